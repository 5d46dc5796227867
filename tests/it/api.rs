//! Test bed: a client of the HTTP API that knows nothing of our own code.

use std::time::Duration;

use reqwest::{Client, Method, header::HeaderMap};
use serde_json::Value;
use tokio::time::Instant;

/// One account's view of a deployment: its URL and a key.
#[derive(Clone)]
pub struct Api {
    pub url: String,
    pub key: String,
    client: Client,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON; fails, showing the body, when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in the answer {self:?}"))
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless this is a problem document (RFC 9457) with this status; returns it.
    #[track_caller]
    pub fn problem(self, status: u16) -> Value {
        let answer = self.expect(status);
        let content_type = answer.headers.get("content-type").and_then(|v| v.to_str().ok());
        assert_eq!(content_type, Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{answer:?}");
        assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string(), "{answer:?}");
        problem
    }
}

impl Api {
    /// A client of the API at `url` with an API key.
    pub fn new(url: &str, key: &str) -> Api {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().expect("a client");
        Api { url: url.to_owned(), key: key.to_owned(), client }
    }

    /// The same deployment with another key.
    pub fn with_key(&self, key: &str) -> Api {
        Api { key: key.to_owned(), ..self.clone() }
    }

    /// Sends one request; an error is a connection that failed.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> reqwest::Result<Answer> {
        let mut request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url));
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        Ok(Answer { status, headers, text })
    }

    /// Sends one request with further headers; a connection that fails fails the test.
    pub async fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request =
            self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url)).bearer_auth(&self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("text") }
    }

    /// PUT of a JSON value.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body.to_string().into_bytes())).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// POST to the root with these headers, for servers other than ours.
    pub async fn post_with(&self, headers: &[(&str, &str)], body: String) -> Answer {
        let request = headers.iter().fold(self.client.post(&self.url), |request, (name, value)| request.header(*name, *value));
        let response = request.body(body).send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("text") }
    }

    /// Sends one request with these headers and bytes, and the key if there is one.
    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url)).body(body);
        let request = if self.key.is_empty() { request } else { request.bearer_auth(&self.key) };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("text") }
    }

    /// Sends one request; a connection that fails fails the test.
    pub async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// POST of a JSON value.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().into_bytes())).await
    }

    /// POST without a body.
    pub async fn act(&self, path: &str) -> Answer {
        self.send("POST", path, None).await
    }

    /// Publishes and returns the new id.
    #[track_caller]
    pub fn publish(&self, message: &Value) -> impl Future<Output = String> + use<> {
        let caller = std::panic::Location::caller();
        let (api, message) = (self.clone(), message.clone());
        async move {
            let answer = api.post("/v1/messages", &message).await;
            assert_eq!(answer.status, 202, "publish at {caller}: {message} was answered {answer:?}");
            answer.json()["id"].as_str().expect("an id").to_owned()
        }
    }

    /// The message with its attempts.
    pub async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await.expect(200).json()
    }

    /// Waits until the message has this status; fails after `limit`, or at once when it ended otherwise.
    pub async fn until(&self, id: &str, status: &str, limit: Duration) -> Value {
        let begun = Instant::now();
        loop {
            let message = self.message(id).await;
            if message["status"] == status {
                return message;
            }
            let ended = ["delivered", "failed", "cancelled"].iter().any(|s| message["status"] == *s);
            assert!(!ended && begun.elapsed() < limit, "{status} was expected within {limit:?}: {message:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
