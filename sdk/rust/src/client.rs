//! The client of the API: publish messages and events, start runs and follow them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calls::Published;
use crate::failure::Failure;
use crate::host::{Host, NoAnswer, SharedHost};
use crate::message::Message;
use crate::run_info::encoded;
use crate::workflow::WorkflowName;

/// How long a request is tried again while nobody answers or the server is busy.
const TRIES_MAX: u32 = 4;

/// Why a call of the API failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TIKKU_URL or TIKKU_API_KEY is missing or wrong, or there is no HTTP client.
    #[error("{0}")]
    Settings(String),
    /// Nobody answered.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The API refused.
    #[error("{status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The problem's type: `urn:tikku:problem:…`.
        kind: String,
        /// What was wrong.
        detail: String,
    },
    /// What was sent or received does not fit its type.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The run is not over yet.
    #[error("the run is {0}, not over")]
    NotOver(String),
    /// The run failed, or was cancelled (`RunCancelled`).
    #[error("{0}")]
    Run(Failure),
}

/// A client. Clones share its connections.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use serde_json::json;
/// use tikku::{Message, Start, Tikku, WorkflowName};
///
/// const ORDER: WorkflowName<serde_json::Value, String> = WorkflowName::new("order-flow");
///
/// let tikku = Tikku::from_env()?;
/// tikku.publish(&Message::to("https://example.com/hooks").body(json!({"n": 1}))).await?;
/// let run = tikku.start(ORDER, &json!({"id": "order-1"}), Start::id("order-1")).await?;
/// run.signal("review", &json!("fine")).await?;
/// let parcel: String = run.result(std::time::Duration::from_secs(60)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tikku {
    host: SharedHost,
    url: Arc<str>,
    key: Arc<str>,
}

/// Options of a start.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Your own id of the run: a start with the same one gives the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The version, instead of the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A start with the same key gives the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Begins after so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u64>,
}

impl Start {
    /// With an id of your own.
    pub fn id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }
}

/// What publishing an event brought about.
#[derive(Clone, Debug, Deserialize)]
pub struct EventAccepted {
    /// The event's id.
    pub id: String,
    /// The runs that it started.
    #[serde(default)]
    pub started: Vec<String>,
    /// The runs that it woke.
    #[serde(default)]
    pub woken: Vec<String>,
}

/// A run as the API shows it; `more` has the rest of its fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// `run_…`
    pub id: String,
    /// `queued`, `running`, `sleeping`, `waiting`, `retrying`, `paused`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// What it gave, once it is completed.
    #[serde(default)]
    pub output: Value,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Failure>,
    /// The run that goes on in its place, after `continue_as_new`.
    #[serde(default)]
    pub continued_by: Option<String>,
    /// All else.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// Newest first.
    pub data: Vec<T>,
    /// The cursor of the next page.
    pub next_cursor: Option<String>,
}

/// A run that was started, or is known by its id.
pub struct RunHandle<O> {
    tikku: Tikku,
    id: String,
    output: PhantomData<fn() -> O>,
}

#[derive(Deserialize)]
struct Started {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemView {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
}

impl Tikku {
    /// Reads TIKKU_URL and TIKKU_API_KEY.
    ///
    /// # Errors
    /// [`ClientError::Settings`] if one is missing.
    pub fn from_env() -> Result<Self, ClientError> {
        let read = |name: &str| crate::settings::read(name).ok_or_else(|| ClientError::Settings(format!("{name} is not set")));
        Self::new(&read("TIKKU_URL")?, &read("TIKKU_API_KEY")?)
    }

    /// A client of the API at this URL, with this key.
    ///
    /// # Errors
    /// [`ClientError::Settings`] if there is no HTTP client.
    pub fn new(url: &str, api_key: &str) -> Result<Self, ClientError> {
        let host = crate::settings::host().map_err(ClientError::Settings)?;
        Ok(Self { host, url: url.trim_end_matches('/').into(), key: api_key.into() })
    }

    /// A client over HTTP of your own.
    pub fn with_host(url: &str, api_key: &str, host: impl Host) -> Self {
        Self { host: Arc::new(host), url: url.trim_end_matches('/').into(), key: api_key.into() }
    }

    /// Publishes a message: `POST /v1/messages`.
    ///
    /// It is sent again while nobody answers: without an idempotency key that may publish it twice.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn publish(&self, message: &Message) -> Result<Published, ClientError> {
        self.call(Method::POST, "/v1/messages", Some(&serde_json::to_value(message)?), &[]).await
    }

    /// Publishes an event: it starts the runs that it triggers and wakes those that wait for it.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn publish_event(&self, name: &str, data: &impl Serialize, id: Option<&str>) -> Result<EventAccepted, ClientError> {
        let mut event = serde_json::json!({ "name": name, "data": data });
        if let Some(id) = id {
            event["id"] = id.into();
        }
        self.call(Method::POST, "/v1/events", Some(&event), &[]).await
    }

    /// Starts a run, or finds the one with this id or idempotency key.
    ///
    /// # Errors
    /// A [`ClientError`]; 422 if there is one with another input.
    pub async fn start<I: Serialize, O>(
        &self,
        workflow: impl Into<WorkflowName<I, O>>,
        input: &I,
        start: Start,
    ) -> Result<RunHandle<O>, ClientError> {
        let mut body = serde_json::to_value(start)?;
        body["input"] = serde_json::to_value(input)?;
        let path = format!("/v1/workflows/{}/runs", encoded(workflow.into().as_str()));
        let started: Started = self.call(Method::POST, &path, Some(&body), &[]).await?;
        Ok(self.run(started.id))
    }

    /// A run that is known by its id (`run_…`). Nothing is asked.
    pub fn run<O>(&self, id: impl Into<String>) -> RunHandle<O> {
        RunHandle { tikku: self.clone(), id: id.into(), output: PhantomData }
    }

    /// Lists runs; `filter` are query parameters: `workflow`, `status`, `limit`, `cursor` …
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn runs(&self, filter: &[(&str, &str)]) -> Result<Page<RunView>, ClientError> {
        let pairs: Vec<String> = filter.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.call(Method::GET, &format!("/v1/runs?{}", pairs.join("&")), None, &[]).await
    }

    /// Calls any route of the API: a path that begins with `/v1/`, and a JSON body.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn request<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T, ClientError> {
        self.call(method, path, body, &[]).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let body = body.map(serde_json::to_vec).transpose()?.map(Bytes::from).unwrap_or_default();
        let mut pause = Duration::from_millis(200);
        for tries in 1.. {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(format!("{}{path}", self.url))
                .header("authorization", format!("Bearer {}", self.key))
                .header("content-type", "application/json");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(body.clone()).map_err(|error| ClientError::Settings(error.to_string()))?;
            let response = match self.host.send(request).await {
                Err(error) if tries >= TRIES_MAX => return Err(error.into()),
                Err(_) => None,
                Ok(response) if [429, 502, 503, 504].contains(&response.status().as_u16()) && tries < TRIES_MAX => None,
                Ok(response) => Some(response),
            };
            if let Some(response) = response {
                return read(&response);
            }
            self.host.sleep(pause).await;
            pause *= 2;
        }
        Err(ClientError::NoAnswer(NoAnswer("no try".to_owned())))
    }
}

fn read<T: DeserializeOwned>(response: &http::Response<Bytes>) -> Result<T, ClientError> {
    let status = response.status();
    if status.is_success() {
        let body: &[u8] = if response.body().is_empty() { b"null" } else { response.body() };
        return Ok(serde_json::from_slice(body)?);
    }
    let problem: ProblemView = serde_json::from_slice(response.body()).unwrap_or_default();
    let detail = if problem.detail.is_empty() { problem.title } else { problem.detail };
    Err(ClientError::Refused { status, kind: problem.kind, detail })
}

impl<O> fmt::Debug for RunHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunHandle({})", self.id)
    }
}

impl<O> RunHandle<O> {
    /// `run_…`
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/runs/{}{rest}", encoded(&self.id))
    }

    /// Sends a signal with any JSON value.
    ///
    /// # Errors
    /// A [`ClientError`]; 409 if the run is over.
    pub async fn signal(&self, name: &str, value: &impl Serialize) -> Result<(), ClientError> {
        self.send_signal(name, value, &[]).await
    }

    /// Sends a signal once per idempotency key.
    ///
    /// # Errors
    /// A [`ClientError`]; 409 if the run is over.
    pub async fn signal_once(&self, name: &str, value: &impl Serialize, idempotency_key: &str) -> Result<(), ClientError> {
        self.send_signal(name, value, &[("idempotency-key", idempotency_key)]).await
    }

    async fn send_signal(&self, name: &str, value: &impl Serialize, headers: &[(&str, &str)]) -> Result<(), ClientError> {
        let path = self.path(&format!("/signals/{}", encoded(name)));
        let _: Value = self.tikku.call(Method::POST, &path, Some(&serde_json::to_value(value)?), headers).await?;
        Ok(())
    }

    /// Answers an approval; `key` is its step's key: `ok#0`.
    ///
    /// # Errors
    /// A [`ClientError`]; 409 if it was answered or is over, 403 if this key may not, 422 if the data does not fit.
    pub async fn approve(&self, key: &str, approve: bool, data: Option<Value>) -> Result<(), ClientError> {
        let mut body = serde_json::json!({ "approve": approve });
        if let Some(data) = data {
            body["data"] = data;
        }
        let path = self.path(&format!("/approvals/{}", encoded(key)));
        let _: Value = self.tikku.call(Method::POST, &path, Some(&body), &[]).await?;
        Ok(())
    }

    /// Cancels the run and its children.
    ///
    /// # Errors
    /// A [`ClientError`]; 409 if the run is over.
    pub async fn cancel(&self) -> Result<RunView, ClientError> {
        self.tikku.call(Method::POST, &self.path("/cancel"), None, &[]).await
    }

    /// The run as it is now.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn view(&self) -> Result<RunView, ClientError> {
        self.tikku.call(Method::GET, &self.path(""), None, &[]).await
    }
}

impl<O: DeserializeOwned> RunHandle<O> {
    /// Waits for the run's output: asks every second, more often at first. A run that continued as a new one has that one's output.
    ///
    /// # Errors
    /// [`ClientError::Run`] if the run failed or was cancelled, [`ClientError::NotOver`] after `timeout`, others as they come.
    pub async fn result(&self, timeout: Duration) -> Result<O, ClientError> {
        let mut left = timeout;
        let mut pause = Duration::from_millis(50);
        let mut run: Self = self.tikku.run(self.id());
        loop {
            let view = run.view().await?;
            if let Some(id) = view.continued_by {
                run = self.tikku.run(id);
                continue;
            }
            match view.status.as_str() {
                "completed" => return Ok(serde_json::from_value(view.output)?),
                "failed" => return Err(ClientError::Run(view.error.unwrap_or_else(|| Failure::new("RunFailed", "the run failed")))),
                "cancelled" => return Err(ClientError::Run(Failure::new("RunCancelled", "the run was cancelled"))),
                _ if left.is_zero() => return Err(ClientError::NotOver(view.status)),
                _ => {}
            }
            let wait = pause.min(left);
            self.tikku.host.sleep(wait).await;
            left -= wait;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}
