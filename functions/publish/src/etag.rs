//! ETag and If-Match (RFC 9110, sections 8.8.3 and 13.1.1) of what is configured. Out of scope: comparing, which the writing statement does.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
pub use tikku_domain::etag::IfMatch;
use tikku_domain::problem::{Kind, Problem};

/// What the request's If-Match asks. Several header lines are one list.
pub fn if_match(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    let mut lines = headers.get_all(header::IF_MATCH).iter().peekable();
    if lines.peek().is_none() {
        return Ok(IfMatch::Any);
    }
    let text: Vec<String> = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
    IfMatch::parse(&text.join(", ")).map_err(|error| Problem::invalid_field("If-Match", error.to_string()))
}

/// The answer with its ETag.
pub fn with_etag(mut response: Response, revision: i64) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// What the thing is now is not what If-Match names.
pub fn precondition_failed(what: &str) -> Problem {
    Problem::new(
        Kind::PreconditionFailed,
        format!("the {what} is not at a revision that If-Match names; nothing was changed: read it again"),
    )
}
