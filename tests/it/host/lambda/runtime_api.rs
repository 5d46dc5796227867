//! Test bed: the Lambda Runtime API (version 2018-06-01) and the life of instances, one invocation at a time each.
//!
//! Each instance has a listener of its own, so that an instance that dies fails exactly the invocation it had, and is replaced.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::endpoint::now_ms;
use crate::host::stage;
use crate::process::Process;

const TIMEOUT: Duration = Duration::from_secs(900);

type Outcome = Result<Bytes, String>;
type Env = Vec<(&'static str, OsString)>;

struct Invocation {
    id: String,
    event: Bytes,
    answer: oneshot::Sender<Outcome>,
}

/// Sends events to a function and waits for what it answers.
#[derive(Clone)]
pub struct Invoker {
    queue: mpsc::UnboundedSender<Invocation>,
}

/// A deployed function: a queue of events and the instances that serve it. Dropping it ends them.
pub struct Function {
    invoker: Invoker,
    instances: Vec<Arc<Instance>>,
}

struct Instance {
    name: String,
    events: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>>,
    in_flight: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    process: Mutex<Option<Arc<Process>>>,
    ended: AtomicBool,
}

impl Invoker {
    /// Invokes the function; the error is what a caller of Lambda would see as a function error.
    pub async fn invoke(&self, event: Vec<u8>) -> Outcome {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.queue.send(Invocation { id, event: event.into(), answer }).map_err(|_| "the function was deleted".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the function was deleted".to_owned()))
    }
}

impl Function {
    /// Starts `count` instances of the program.
    pub fn start(name: &str, program: Command, env: Env, count: usize) -> Result<Function> {
        let line: Arc<Vec<OsString>> =
            Arc::new(std::iter::once(program.get_program()).chain(program.get_args()).map(OsString::from).collect());
        let (sender, receiver) = mpsc::unbounded_channel();
        let events = Arc::new(tokio::sync::Mutex::new(receiver));
        let instances: Vec<Arc<Instance>> = (0..count)
            .map(|i| {
                Arc::new(Instance {
                    name: format!("{name}-{i}"),
                    events: events.clone(),
                    in_flight: Mutex::default(),
                    process: Mutex::default(),
                    ended: AtomicBool::new(false),
                })
            })
            .collect();
        for instance in &instances {
            let port = stage().block_on(serve(instance.clone()))?;
            let (instance, line, env) = (instance.clone(), line.clone(), env.clone());
            std::thread::spawn(move || instance.supervise(port, &line, &env));
        }
        Ok(Function { invoker: Invoker { queue: sender }, instances })
    }

    /// A handle that invokes this function.
    pub fn invoker(&self) -> Invoker {
        self.invoker.clone()
    }

    /// Kills every instance with SIGKILL; new ones take their places.
    pub fn kill_instances(&self) {
        for instance in &self.instances {
            instance.kill();
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        for instance in &self.instances {
            instance.ended.store(true, Ordering::Relaxed);
            instance.kill();
        }
    }
}

impl Instance {
    fn kill(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(process) = process {
            process.signal("KILL");
        }
    }

    // Runs the program, and again whenever it ends, as Lambda replaces an execution environment.
    fn supervise(&self, port: u16, line: &[OsString], env: &Env) {
        while !self.ended.load(Ordering::Relaxed) {
            let mut command = Command::new(&line[0]);
            command
                .args(&line[1..])
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}"))
                .env("AWS_LAMBDA_FUNCTION_NAME", &self.name)
                .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
                .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
                .env("AWS_LAMBDA_LOG_GROUP_NAME", "test")
                .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
                .envs(env.iter().map(|(name, value)| (name, value)));
            let process = match Process::start(&self.name, &mut command, "KILL") {
                Ok(process) => Arc::new(process),
                Err(error) => {
                    eprintln!("{error:#}");
                    return;
                }
            };
            *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
            while !process.wait(Duration::from_secs(3_600)) {}
            self.fail_in_flight();
            // A program that cannot start must not spin; and `next` may have answered the dead process a moment ago.
            std::thread::sleep(Duration::from_millis(100));
            self.fail_in_flight();
        }
    }

    fn fail_in_flight(&self) {
        for (id, answer) in self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            let _ = answer.send(Err(format!("RequestId: {id} Error: Runtime exited")));
        }
    }

    fn answer(&self, id: &str, outcome: Outcome) -> StatusCode {
        let answer = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some(answer) = answer else { return StatusCode::FORBIDDEN };
        let _ = answer.send(outcome);
        StatusCode::ACCEPTED
    }
}

async fn serve(instance: Arc<Instance>) -> Result<u16> {
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(instance);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}

async fn next(State(instance): State<Arc<Instance>>) -> impl IntoResponse {
    // A caller that hangs up drops this future; `recv` loses nothing then.
    let Some(invocation) = instance.events.lock().await.recv().await else {
        return std::future::pending().await; // The function was deleted; the process is about to be killed.
    };
    let deadline_ms = now_ms() + i64::try_from(TIMEOUT.as_millis()).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", invocation.id.clone()),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", format!("arn:aws:lambda:us-east-1:123456789012:function:{}", instance.name)),
        ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1".to_owned()),
        ("content-type", "application/json".to_owned()),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    instance.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(invocation.id, invocation.answer);
    (headers, invocation.event)
}

async fn response(State(instance): State<Arc<Instance>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    instance.answer(&id, Ok(body))
}

async fn error(State(instance): State<Arc<Instance>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    instance.answer(&id, Err(String::from_utf8_lossy(&body).into_owned()))
}

async fn init_error(State(instance): State<Arc<Instance>>, body: Bytes) -> StatusCode {
    eprintln!("{} failed to initialise: {}", instance.name, String::from_utf8_lossy(&body));
    StatusCode::ACCEPTED
}
