//! Test bed: the function URLs of `publish` and `dashboard` behind one address, as a domain in front of both has them. Turns ordinary HTTP
//! requests into events of payload format 2.0, and answers back.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::runtime_api::Invoker;
use crate::endpoint::now_ms;
use crate::host::stage;

// A synchronous invocation carries at most 6 MiB each way.
const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Opens the door; returns its URL and the task that keeps it open.
pub fn open(publish: Invoker, dashboard: Invoker) -> (String, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move |request: Request<Body>| {
        let is_page = request.uri().path() == "/" || request.uri().path().starts_with("/dashboard");
        pass(if is_page { dashboard.clone() } else { publish.clone() }, request)
    });
    let task = stage().spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, router).await.unwrap();
    });
    (url, task)
}

async fn pass(function: Invoker, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, PAYLOAD_BYTES_MAX).await else { return plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long") };
    let event = event(&head, &body).to_string().into_bytes();
    if event.len() > PAYLOAD_BYTES_MAX {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long");
    }
    let answer = match function.invoke(event).await {
        Ok(answer) => answer,
        Err(error) => return plain(StatusCode::BAD_GATEWAY, &format!("Internal Server Error: {error}")),
    };
    match serde_json::from_slice(&answer) {
        Ok(answer) => response(&answer),
        Err(error) => plain(StatusCode::BAD_GATEWAY, &format!("Internal Server Error: {error}")),
    }
}

fn event(head: &axum::http::request::Parts, body: &Bytes) -> Value {
    let mut headers = Map::new();
    for name in head.headers.keys().filter(|name| *name != "cookie") {
        let values: Vec<_> = head.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        headers.insert(name.to_string(), json!(values.join(",")));
    }
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    // A function URL passes textual types as they are; bytes that are not text could not be in the event's JSON.
    let text = std::str::from_utf8(body).ok().filter(|_| is_text(&head.headers));
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {
            "accountId": "anonymous", "apiId": "test", "domainName": "test.lambda-url.us-east-1.on.aws", "domainPrefix": "test",
            "http": { "method": head.method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test" },
            "requestId": "00000000-0000-4000-8000-000000000000", "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": now_ms(),
        },
        "isBase64Encoded": text.is_none(),
    });
    if !body.is_empty() {
        event["body"] = text.map_or_else(|| json!(STANDARD.encode(body)), |text| json!(text));
    } else {
        event["isBase64Encoded"] = json!(false);
    }
    let cookies: Vec<_> =
        head.headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split("; ")).collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        event["queryStringParameters"] = pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    }
    event
}

fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("");
    content_type.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].iter().any(|t| content_type.starts_with(t))
}

fn response(answer: &Value) -> Response<Body> {
    let status = answer["statusCode"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(200);
    let mut response = Response::builder().status(status);
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().unwrap_or_default());
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response = response.header("set-cookie", cookie.as_str().unwrap_or_default());
    }
    // Format 2.0 has no `multiValueHeaders`; what a function puts there is not sent, so a test sees that it is missing.
    let body = answer["body"].as_str().unwrap_or("");
    let bytes = if answer["isBase64Encoded"] == true { STANDARD.decode(body).unwrap_or_default() } else { body.as_bytes().to_vec() };
    response.body(Body::from(bytes)).unwrap_or_else(|e| plain(StatusCode::BAD_GATEWAY, &e.to_string()))
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
