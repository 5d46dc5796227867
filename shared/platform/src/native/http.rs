//! Pushes from a laptop or a Lambda function, through reqwest. The address of every connection is checked where it is opened: names
//! are resolved by [`Guard`], which hands out checked addresses only, and literal addresses, which reqwest connects to without
//! asking a resolver, are checked before. Redirects and proxies are off. Connections live as long as the process.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, redirect};
use tikku_domain::destination::{self, UrlPolicy};
use tikku_domain::message::{Answer, Failure, Outcome, Reply};
use tokio::time::{Instant, timeout_at};

use super::time::Stopwatch;
use super::tls;
use crate::{ConfigError, Push};

/// The way to endpoints.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    policy: Arc<UrlPolicy>,
}

impl Http {
    /// A client that may reach what the policy allows.
    pub fn new(policy: UrlPolicy, extra_ca_file: Option<&str>) -> Result<Self, ConfigError> {
        let policy = Arc::new(policy);
        let mut tls = tls::verifying(extra_ca_file)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Guard(policy.clone()))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(15))
            .build()
            .map_err(|error| ConfigError { name: "HTTP client", detail: error.to_string() })?;
        Ok(Self { client, policy })
    }

    /// Makes a push; whatever comes of it is a value.
    pub async fn push(&self, push: Push) -> Outcome {
        let watch = Stopwatch::start();
        let end = Instant::now() + Duration::from_millis(push.timeout_ms);
        let body_max = push.body_max;
        let late = format!("no complete answer within {} s", push.timeout_ms.div_ceil(1000));
        let result = match timeout_at(end, self.send(push)).await {
            Err(_) => Reply::failed(Failure::Timeout, late),
            Ok(Err(reply)) => reply,
            Ok(Ok(response)) => read(response, end, late, body_max).await,
        };
        Outcome { duration_ms: watch.elapsed_ms(), result }
    }

    /// Sends the request and waits for the answer's head.
    async fn send(&self, push: Push) -> Result<Response, Reply> {
        if let Err(error) = destination::parse(&self.policy, push.url.as_str()) {
            return Err(Reply::failed(Failure::Refused, error.to_string()));
        }
        let (Ok(method), Some(mut headers)) = (Method::from_bytes(push.method.as_bytes()), header_map(&push.headers)) else {
            return Err(Reply::failed(Failure::Invalid, "the method or a header cannot be sent"));
        };
        if push.body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            // RFC 9110, section 8.6: a method that has a meaning for content says that there is none.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let sent = self.client.request(method, push.url).headers(headers).body(push.body).send().await;
        sent.map_err(|error| {
            let (kind, detail) = explain(&error);
            Reply::failed(kind, detail)
        })
    }
}

/// Reads as much of the body as was asked for. What arrived of an answer that breaks off is kept with the failure.
async fn read(mut response: Response, end: Instant, late: String, body_max: usize) -> Reply {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut answer = Answer { status: response.status().as_u16(), headers, body: Vec::new() };
    while answer.body.len() < body_max {
        let (kind, detail) = match timeout_at(end, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = body_max - answer.body.len();
                answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                continue;
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => explain(&error),
            Err(_) => (Failure::Timeout, late),
        };
        return Reply::Failed { kind, detail, partial: Some(answer) };
    }
    Reply::Response(answer)
}

fn header_map(headers: &[(String, String)]) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(map)
}

/// Sorts reqwest's error by what it means for the message, with the innermost cause in words.
fn explain(error: &reqwest::Error) -> (Failure, String) {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        if let Some(refused) = source.downcast_ref::<AddressRefused>() {
            return (Failure::Refused, refused.to_string());
        }
        cause = source;
    }
    if error.is_connect() {
        return (Failure::Connect, format!("no connection: {cause}"));
    }
    if error.is_builder() {
        return (Failure::Invalid, format!("the request cannot be sent: {cause}"));
    }
    (Failure::Interrupted, format!("the connection broke before the answer was complete: {cause}"))
}

/// The name leads to an address that pushes may not reach.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} resolves to {address}, a private or special address; pushes go to public addresses only (TIKKU_ALLOW_CIDRS makes exceptions)"
)]
struct AddressRefused {
    name: String,
    address: std::net::IpAddr,
}

/// Resolves a name once and refuses it when any of its addresses is not allowed; the connection is made to what it returns.
#[derive(Debug)]
struct Guard(Arc<UrlPolicy>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(bad) = addresses.iter().find(|a| !destination::address_allowed(&policy, a.ip())) {
                return Err(Box::new(AddressRefused { name, address: bad.ip() }).into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
