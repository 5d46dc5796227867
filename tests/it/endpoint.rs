//! Test bed: the receiver of pushes. One server for the run on 127.0.0.1, one `Endpoint` (a path of its own) for each use.
//!
//! It records every request and answers by script. Out of scope: judging what came (`scenarios/`, `signature.rs`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{Request, Response, Version};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

use crate::certificate;
use crate::host::stage;

type Connection = hyper_util::server::conn::auto::Builder<TokioExecutor>;

static PATHS: LazyLock<Mutex<HashMap<String, Arc<State>>>> = LazyLock::new(Mutex::default);

/// What one request was.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    /// Path and query after the endpoint's own path.
    pub rest: String,
    pub version: Version,
    /// In the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// When its last byte was read, milliseconds since 1970.
    pub at_ms: i64,
    /// Number of the connection it came on.
    pub connection: usize,
}

impl Received {
    /// The value of a header, if it came.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// How one request is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub after: Duration,
    pub ending: Ending,
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// It is sent whole.
    Whole,
    /// Nothing is ever sent.
    Hang,
    /// The head is sent, then 64 KiB pieces until the other side has had enough.
    Endless,
    /// Head and body are sent, and the answer does not end.
    Stall,
    /// The connection is closed without an answer.
    Drop,
    /// It is sent whole after [`Endpoint::release`].
    Held,
}

impl Reply {
    /// An answer with this status and an empty body.
    pub fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), after: Duration::ZERO, ending: Ending::Whole }
    }
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }
    /// Waits before it answers.
    pub fn after(mut self, wait: Duration) -> Reply {
        self.after = wait;
        self
    }
    /// Ends otherwise than whole.
    pub fn ending(mut self, ending: Ending) -> Reply {
        self.ending = ending;
        self
    }
}

struct State {
    script: Mutex<Vec<Reply>>,
    received: Mutex<Vec<Received>>,
    cut: AtomicBool,
    news: Notify,
    released: Semaphore,
}

impl Default for State {
    fn default() -> State {
        State {
            script: Mutex::default(),
            received: Mutex::default(),
            cut: AtomicBool::new(false),
            news: Notify::new(),
            released: Semaphore::new(0),
        }
    }
}

/// A path of the receiver with its own script and records.
pub struct Endpoint {
    name: String,
    state: Arc<State>,
}

impl Endpoint {
    /// An endpoint that answers 200 until told otherwise.
    pub fn new() -> Endpoint {
        Endpoint::scripted([])
    }

    /// An endpoint that answers by this script, one entry a request; the last entry repeats.
    pub fn scripted(replies: impl IntoIterator<Item = Reply>) -> Endpoint {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("e{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let state = Arc::new(State::default());
        PATHS.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), state.clone());
        let endpoint = Endpoint { name, state };
        endpoint.script(replies);
        endpoint
    }

    /// Replaces the script; it begins with the next request.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        let mut script: Vec<Reply> = replies.into_iter().collect();
        script.reverse(); // The next one is popped from the end; the bottom stays.
        *self.state.script.lock().unwrap() = script;
    }

    /// Where to push: plain HTTP on 127.0.0.1.
    pub fn url(&self) -> String {
        self.url_at(&format!("http://127.0.0.1:{}", plain_port()))
    }

    /// The same endpoint at another origin of the receiver.
    pub fn url_at(&self, origin: &str) -> String {
        format!("{origin}/{}", self.name)
    }

    /// Lets one held answer go, one that waits or the next.
    pub fn release(&self) {
        self.state.released.add_permits(1);
    }

    /// All that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.state.received.lock().unwrap().len()
    }

    /// Whether an endless answer was cut off by the other side.
    pub fn was_cut(&self) -> bool {
        self.state.cut.load(Ordering::Relaxed)
    }

    /// Waits until `n` requests came; fails after `limit`.
    pub async fn wait(&self, n: usize, limit: Duration) -> Vec<Received> {
        let enough = async {
            loop {
                let news = self.state.news.notified();
                if self.count() >= n {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), news).await;
            }
        };
        let result = tokio::time::timeout(limit, enough).await;
        assert!(result.is_ok(), "{} of {n} requests came to the endpoint within {limit:?}", self.count());
        self.received()
    }

    /// Waits for exactly one request and makes sure that no second one follows within half a second.
    pub async fn only(&self, limit: Duration) -> Received {
        self.wait(1, limit).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut all = self.received();
        assert_eq!(all.len(), 1, "one request was expected: {all:#?}");
        all.remove(0)
    }
}

/// Milliseconds since 1970 by this machine's clock, which is also the database's.
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn plain_port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let (port, mut accepted) = listen();
        stage().spawn(async move {
            while let Some(stream) = accepted.recv().await {
                tokio::spawn(serve(stream, Connection::new(TokioExecutor::new())));
            }
        });
        port
    })
}

/// The port of the receiver's TLS listener, for `localhost` and 127.0.0.1.
pub fn tls_port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let acceptor = acceptor();
        let (port, mut accepted) = listen();
        stage().spawn(async move {
            while let Some(stream) = accepted.recv().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, Connection::new(TokioExecutor::new())).await;
                    }
                });
            }
        });
        port
    })
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let certificate = certificate::server();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certificate.key_der.clone()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der.clone().into()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

// Binds at once, so that the port is known before anything is served.
fn listen() -> (u16, tokio::sync::mpsc::Receiver<tokio::net::TcpStream>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    stage().spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let _ = sender.send(stream).await;
        }
    });
    (port, receiver)
}

async fn serve(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, connection: Connection) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| answer(request.map(Body::new), number));
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

// An error closes the connection without an answer.
async fn answer(request: Request<Body>, connection: usize) -> Result<Response<Body>, std::io::Error> {
    let path = request.uri().path_and_query().map_or("", |p| p.as_str()).trim_start_matches('/').to_owned();
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let state = PATHS.lock().unwrap_or_else(PoisonError::into_inner).get(&path[..end]).cloned();
    let Some(state) = state else { return Ok(respond(Reply::status(404), &Arc::default())) };
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(std::io::Error::other)?;
    let text = |v: &axum::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let rest = path[end..].to_owned();
    let received = Received { method: head.method.to_string(), rest, version: head.version, headers, body, at_ms: now_ms(), connection };
    state.received.lock().unwrap().push(received);
    let reply = {
        let mut script = state.script.lock().unwrap();
        if script.len() > 1 { script.pop() } else { script.last().cloned() }
    };
    state.news.notify_waiters();
    let reply = reply.unwrap_or_else(|| Reply::status(200));
    tokio::time::sleep(reply.after).await;
    match reply.ending {
        Ending::Hang => std::future::pending().await,
        Ending::Drop => Err(std::io::Error::other("dropped by the script")),
        Ending::Held => {
            state.released.acquire().await.expect("never closed").forget();
            Ok(respond(reply, &state))
        }
        Ending::Whole | Ending::Endless | Ending::Stall => Ok(respond(reply, &state)),
    }
}

fn respond(reply: Reply, state: &Arc<State>) -> Response<Body> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let body = match reply.ending {
        Ending::Endless => endless(Cut(state.clone())),
        Ending::Stall => stalled(reply.body.into()),
        _ => Body::from(reply.body),
    };
    response.body(body).unwrap()
}

/// Notes that the answer it belongs to was dropped before its end.
struct Cut(Arc<State>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.cut.store(true, Ordering::Relaxed);
    }
}

fn stalled(beginning: Bytes) -> Body {
    let sent = futures_util::stream::once(async { Ok::<_, Infallible>(beginning) });
    Body::from_stream(sent.chain(futures_util::stream::pending()))
}

fn endless(cut: Cut) -> Body {
    let piece = Bytes::from(vec![b'x'; 65_536]);
    Body::from_stream(futures_util::stream::repeat(piece).map(move |piece| {
        let _held_until_dropped = &cut;
        Ok::<_, Infallible>(piece)
    }))
}
