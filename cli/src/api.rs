//! The client of the HTTP API, on the Rust SDK's HTTP: JSON in, JSON out, problem documents as faults.
//!
//! The SDK's own `Tikku::request` tries every call again and keeps one sentence of a problem; a command says what happened, once.
//! Out of scope: what the routes mean (`commands`).

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use serde_json::Value;
use serde_json::value::RawValue;
use tikku::{Host, ReqwestHost};

use crate::connection::Connection;
use crate::exit::{Exit, Fault};

/// How often a call that changes nothing, or may be repeated, is tried while the service is busy.
const TRIES_MAX: u32 = 4;
/// The longest wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What the API answered: the text as it came, for `--json`, and what it says.
#[derive(Clone, Debug)]
pub struct Doc {
    /// The JSON text; `null` where there was no content.
    pub raw: Box<RawValue>,
    /// The same, parsed.
    pub value: Value,
}

impl Doc {
    /// Parses a document.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Doc> {
        let bytes = if bytes.is_empty() { b"null" } else { bytes };
        let raw: Box<RawValue> = serde_json::from_slice(bytes)?;
        Ok(Doc { value: serde_json::from_str(raw.get())?, raw })
    }
}

/// Whether a call may be made again after 429 or 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It changes nothing, or nothing twice.
    Yes,
    /// A 503 may have done it: once.
    No,
}

/// A deployment that commands talk to.
pub struct Api {
    host: ReqwestHost,
    connection: Connection,
}

/// An answer of any status.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Api {
    /// A client of this deployment; nothing is asked yet.
    pub fn new(connection: Connection) -> Result<Api> {
        Ok(Api { host: ReqwestHost::new().context("could not set up HTTP")?, connection })
    }

    /// Where the API is.
    pub fn url(&self) -> &str {
        &self.connection.url
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Doc> {
        self.send(Method::GET, path, None, &[], Again::Yes).await
    }

    /// POST, once.
    pub async fn post(&self, path: &str, body: Option<String>) -> Result<Doc> {
        self.send(Method::POST, path, body, &[], Again::No).await
    }

    /// PUT, once.
    pub async fn put(&self, path: &str, body: String) -> Result<Doc> {
        self.send(Method::PUT, path, Some(body), &[], Again::No).await
    }

    /// DELETE, once.
    pub async fn delete(&self, path: &str) -> Result<Doc> {
        self.send(Method::DELETE, path, None, &[], Again::No).await
    }

    /// Sends a request; an answer that is no success is a [`Fault`].
    pub async fn send(&self, method: Method, path: &str, body: Option<String>, headers: &[(&str, &str)], again: Again) -> Result<Doc> {
        for tries in 1.. {
            let answer = self.exchange(method.clone(), path, body.clone(), headers).await?;
            let busy = matches!(answer.status, 429 | 503);
            if !busy || again == Again::No || tries >= TRIES_MAX {
                return self.read(&answer);
            }
            tokio::time::sleep(pause(&answer.headers)).await;
        }
        Err(Fault::error(Exit::Unreachable, "not tried"))
    }

    /// Sends a request and takes whatever is answered.
    pub async fn exchange(&self, method: Method, path: &str, body: Option<String>, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.connection.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.connection.key))
            .header(header::USER_AGENT, concat!("tikku-cli/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from(body.unwrap_or_default())).context("the request cannot be sent")?;
        let answer = self.host.send(request).await.map_err(|error| Fault::new(Exit::Unreachable, self.unreachable(&error.0)))?;
        let (parts, body) = answer.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn unreachable(&self, detail: &str) -> String {
        let Connection { url, from_dev, .. } = &self.connection;
        let hint = if *from_dev { "; .tikku/dev.json names it: does `tikku dev` still run?" } else { "" };
        format!("nobody answered at {url}: {detail}{hint}")
    }

    /// The document of a success, or the fault that the answer means.
    pub fn read(&self, answer: &Answer) -> Result<Doc> {
        if (200..300).contains(&answer.status)
            && let Ok(doc) = Doc::parse(&answer.body)
        {
            return Ok(doc);
        }
        Err(fault(&self.connection.url, answer).into())
    }
}

/// What an answer that is no success means.
fn fault(url: &str, answer: &Answer) -> Fault {
    let status = answer.status;
    let Some(problem) = serde_json::from_slice::<Value>(&answer.body).ok().filter(|problem| problem["type"].is_string()) else {
        let text = format!("{url} answered {status}, and not as the Tikku API does: is this its URL?");
        let exit = if matches!(status, 502..=504) { Exit::Unreachable } else { Exit::Failed };
        return Fault::new(exit, text);
    };
    let exit = match status {
        404 => Exit::NotFound,
        401 | 403 => Exit::Refused,
        429 | 502..=504 => Exit::Unreachable,
        _ => Exit::Failed,
    };
    Fault { exit, text: sentence(&problem), problem: Some(problem) }
}

/// The problem in one sentence: title, then what is wrong where.
fn sentence(problem: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields: Vec<String> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| format!("{} ({})", text(&error["detail"]), text(&error["pointer"])))
        .collect();
    let detail = if fields.is_empty() { text(&problem["detail"]) } else { fields.join("; ") };
    format!("{}: {detail}", text(&problem["title"]))
}

fn pause(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).clamp(Duration::from_secs(1), PAUSE_MAX)
}

/// Percent-encodes a path segment or a query value: all but RFC 3986's unreserved characters.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// A path with the query parameters that have a value.
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let pairs: Vec<String> = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_deref()?)))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_problem_is_one_sentence_with_its_fields_and_the_status_says_the_exit_code() {
        let problem = json!({ "type": "urn:tikku:problem:invalid-request", "title": "The request is not valid", "status": 400,
            "detail": "a; b", "errors": [{ "pointer": "/url", "detail": "url must be https" }, { "pointer": "/body", "detail": "b" }] });
        let fault = fault("u", &answer(400, &problem.to_string()));
        assert_eq!((fault.exit, fault.text.as_str()), (Exit::Failed, "The request is not valid: url must be https (/url); b (/body)"));
        assert_eq!(fault.problem, Some(problem));
    }

    #[test]
    fn statuses_mean_exit_codes() {
        let problem = json!({ "type": "urn:x", "title": "T", "detail": "d" }).to_string();
        for (status, exit) in [
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::NotFound),
            (409, Exit::Failed),
            (412, Exit::Failed),
            (422, Exit::Failed),
            (429, Exit::Unreachable),
            (500, Exit::Failed),
            (503, Exit::Unreachable),
        ] {
            let fault = fault("u", &answer(status, &problem));
            assert_eq!((fault.exit, fault.text.as_str()), (exit, "T: d"), "{status}");
        }
        let page = fault("https://a", &answer(404, "<html>"));
        assert_eq!(page.exit, Exit::Failed);
        assert!(page.text.contains("is this its URL"), "{}", page.text);
        assert_eq!(fault("u", &answer(502, "")).exit, Exit::Unreachable);
    }

    #[test]
    fn text_in_paths_and_queries_is_encoded() {
        assert_eq!(encoded("ok#0 /é"), "ok%230%20%2F%C3%A9");
        assert_eq!(with_query("/v1/x", &[("a", Some("1 2".into())), ("b", None), ("c", Some("3".into()))]), "/v1/x?a=1%202&c=3");
        assert_eq!(with_query("/v1/x", &[("a", None)]), "/v1/x");
    }
}
