//! The endpoint: verifies and answers the engine's requests. Bytes in, bytes out; `tower` makes a service of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::checkpoint::Checkpoint;
use crate::checks;
use crate::drive::{Drive, End, op, report};
use crate::host::{Host, SharedHost};
use crate::journal::Journal;
use crate::link::Link;
use crate::run_info::Shared;
use crate::step::Step;
use crate::webhook::Webhook;
use crate::wire::{Head, Invoke, Op, Served, VERSION, null};
use crate::workflow::Workflow;

/// Most bytes of a request: an input of 4 MiB, and the inline part of the journal.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most workflows of an endpoint.
const WORKFLOWS_MAX: usize = 1000;

/// An endpoint cannot be made as it is described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// No or a wrong signing secret.
    #[error("the signing secret, or TIKKU_SIGNING_SECRET, must be \"whsec_\" and base64; several are separated by spaces")]
    Secret,
    /// A workflow's name or version is not allowed.
    #[error("workflow {0:?}: a name has 1 to 128 characters of A-Z a-z 0-9 . _ - and begins with no full stop, a version has 1 to 64")]
    Name(String),
    /// Two workflows of the same name and version, or more than 1,000.
    #[error("workflow {0:?} is there twice, or there are more than 1,000")]
    Twice(String),
    /// A policy, a trigger or a version that no app could be registered with: the workflow, and what is allowed.
    #[error("workflow {0:?}: {1}")]
    Policy(String, String),
    /// There is no HTTP client.
    #[error("no host: {0}")]
    Host(String),
}

/// Collects what an endpoint serves; [`build`](Self::build) makes the [`Serve`].
pub struct ServeBuilder {
    workflows: Vec<Workflow>,
    secrets: Option<String>,
    checkpoint: Checkpoint,
    budget_max: Option<Duration>,
    host: Option<SharedHost>,
}

impl ServeBuilder {
    /// Serves a workflow. Of several versions of a name, the first is what new runs get.
    #[must_use]
    pub fn workflow(mut self, workflow: Workflow) -> Self {
        self.workflows.push(workflow);
        self
    }

    /// The signing secret of the account, `whsec_…`; during a rotation two, separated by a space. Without it: TIKKU_SIGNING_SECRET (not on wasm).
    #[must_use]
    pub fn signing_secret(mut self, secrets: impl Into<String>) -> Self {
        self.secrets = Some(secrets.into());
        self
    }

    /// How results are reported; [`Checkpoint::Each`] if it is not set.
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// Replies after this time at the latest, where the process is stopped sooner than the engine expects: less than a Lambda function's time limit.
    #[must_use]
    pub fn budget_max(mut self, budget_max: Duration) -> Self {
        self.budget_max = Some(budget_max);
        self
    }

    /// HTTP and timers of your own, instead of [`ReqwestHost`](crate::ReqwestHost).
    #[must_use]
    pub fn host(mut self, host: impl Host) -> Self {
        self.host = Some(Arc::new(host));
        self
    }

    /// Makes the endpoint.
    ///
    /// # Errors
    /// A [`ServeError`].
    pub fn build(self) -> Result<Serve, ServeError> {
        let mut known = HashSet::new();
        for workflow in &self.workflows {
            let (name, version) = (workflow.name(), workflow.version_name());
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            let is_name = (1..=128).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.');
            if !is_name || !(1..=64).contains(&version.chars().count()) {
                return Err(ServeError::Name(format!("{name} {version}")));
            }
            checks::definition(workflow).map_err(|rule| ServeError::Policy(format!("{name} {version}"), rule))?;
            if !known.insert((name, version)) || known.len() > WORKFLOWS_MAX {
                return Err(ServeError::Twice(format!("{name} {version}")));
            }
        }
        let secrets = self.secrets.or_else(|| crate::settings::read("TIKKU_SIGNING_SECRET")).ok_or(ServeError::Secret)?;
        let webhook = Webhook::new(&secrets).map_err(|_| ServeError::Secret)?;
        let host = self.host.map_or_else(|| crate::settings::host().map_err(ServeError::Host), Ok)?;
        let Self { workflows, checkpoint, budget_max, .. } = self;
        Ok(Serve(Arc::new(Endpoint { workflows, webhook, checkpoint, budget_max, host })))
    }
}

struct Endpoint {
    workflows: Vec<Workflow>,
    webhook: Webhook,
    checkpoint: Checkpoint,
    budget_max: Option<Duration>,
    host: SharedHost,
}

/// An endpoint that serves workflows: a `tower` service for axum, lambda_http and workers-rs, or [`answer`](Self::answer) for all else.
///
/// ```
/// use tikku::{Serve, Workflow};
///
/// let hello = Workflow::new("hello", async |step, name: String| {
///     step.run("greet", async |_| Ok(format!("Hello {name}"))).await
/// });
/// let serve = Serve::builder().workflow(hello).signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").build()?;
/// let app: axum::Router = axum::Router::new().route_service("/tikku", serve);
/// # Ok::<(), tikku::ServeError>(())
/// ```
#[derive(Clone)]
pub struct Serve(Arc<Endpoint>);

impl Serve {
    /// Begins an endpoint.
    #[must_use]
    pub fn builder() -> ServeBuilder {
        ServeBuilder { workflows: Vec::new(), secrets: None, checkpoint: Checkpoint::Each, budget_max: None, host: None }
    }

    /// Answers one request of the engine. An invoke is answered when the run has ended, waits, or its time is over.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Tikku sends POST");
        }
        let now_seconds = i64::try_from(self.0.host.unix_ms() / 1000).unwrap_or(i64::MAX);
        self.answer_signed(&parts.headers, &body, now_seconds).await
    }

    async fn answer_signed(&self, headers: &HeaderMap, body: &[u8], now_seconds: i64) -> Response<Bytes> {
        if let Err(error) = self.0.webhook.verify_at(headers, body, now_seconds) {
            return problem(StatusCode::UNAUTHORIZED, "unauthorized", &error.to_string());
        }
        let head: Head = match serde_json::from_slice(body) {
            Ok(head) => head,
            Err(error) => return problem(StatusCode::BAD_REQUEST, "invalid-request", &error.to_string()),
        };
        if head.v != VERSION {
            return unspoken(head.v);
        }
        match head.kind.as_str() {
            "describe" => json_response(self.describe().to_string().into_bytes()),
            "invoke" => match serde_json::from_slice::<Invoke>(body) {
                Ok(invoke) => self.invoke(invoke).await,
                Err(error) => problem(StatusCode::BAD_REQUEST, "invalid-request", &error.to_string()),
            },
            other => problem(StatusCode::BAD_REQUEST, "invalid-request", &format!("kind {other:?} is neither describe nor invoke")),
        }
    }

    fn describe(&self) -> Value {
        let sdk = concat!("tikku-rust/", env!("CARGO_PKG_VERSION"));
        json!({ "v": VERSION, "sdk": sdk, "checkpoint": self.0.checkpoint.word(), "workflows": self.0.workflows })
    }

    async fn invoke(&self, invoke: Invoke) -> Response<Bytes> {
        let is_it = |workflow: &&Workflow| workflow.name() == invoke.workflow && workflow.version_name() == invoke.version;
        let Some(workflow) = self.0.workflows.iter().find(is_it) else {
            let served = |workflow: &'_ Workflow| (workflow.name().to_owned(), workflow.version_name().to_owned());
            let served: Vec<_> = self.0.workflows.iter().map(served).collect();
            let serves = served.iter().map(|(name, version)| Served { name, version }).collect();
            return json_response(report(invoke.journal.seq, &[op(&Op::Unserved { serves })], None));
        };
        match self.drive(workflow, invoke).run().await {
            End::Reply(body) => json_response(body),
            End::Broken(detail) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", &detail),
        }
    }

    fn drive(&self, workflow: &Workflow, invoke: Invoke) -> Drive {
        let host = self.0.host.clone();
        let Invoke { workflow: name, version, run, fence, input, journal, pending, lease, engine, limits } = invoke;
        let budget = Duration::from_millis(run.budget_ms);
        let budget = self.0.budget_max.map_or(budget, |max| budget.min(max));
        let link = Link {
            host: host.clone(),
            token: fence.token.into(),
            checkpoint: engine.checkpoint.as_str().into(),
            journal: engine.journal.as_str().into(),
        };
        let journal = Journal::new(journal, pending, run.accept);
        let mut shared = Shared::new(run, (name, version), engine, journal, host);
        shared.retry = workflow.retry_default();
        shared.result_bytes_max = limits.result_bytes;
        let shared = Arc::new(shared);
        let work = workflow.begin(Step(shared.clone()), &input.unwrap_or_else(null));
        Drive::new(shared, link, self.0.checkpoint, budget, Duration::from_millis(lease.renew_ms), work)
    }
}

fn json_response(body: Vec<u8>) -> Response<Bytes> {
    response(StatusCode::OK, "application/json", body)
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<[u32; 1]>,
}

pub(crate) fn problem(status: StatusCode, kind: &str, detail: &str) -> Response<Bytes> {
    problem_of(status, kind, detail, None)
}

fn unspoken(version: u32) -> Response<Bytes> {
    let detail = format!("version {version} of the protocol is not spoken here");
    problem_of(StatusCode::BAD_REQUEST, "protocol-version", &detail, Some([VERSION]))
}

fn problem_of(status: StatusCode, kind: &str, detail: &str, versions: Option<[u32; 1]>) -> Response<Bytes> {
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem { kind: format!("urn:tikku:problem:{kind}"), title, status: status.as_u16(), detail, versions };
    response(status, "application/problem+json", json!(problem).to_string().into_bytes())
}
