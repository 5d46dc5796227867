//! The pages of resume URLs: plain HTML, a form, no script. What users wrote is escaped, and the policy of the page allows nothing that is
//! not named here, should it ever not be.

use std::fmt::Write;
use std::sync::OnceLock;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use tikku_domain::problem::Problem;

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:12vh auto;padding:0 1rem;color:#1c1f24;background:#fff}\
h1{font-size:1.4rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f2f4f7;padding:.8rem;border-radius:.4rem;font-size:.9rem}\
label{display:block;margin:.8rem 0}input,textarea{font:inherit;width:100%;box-sizing:border-box;padding:.4rem}\
button{font:inherit;padding:.5rem 1.4rem;margin:.4rem .6rem .4rem 0;border-radius:.4rem;border:1px solid #8a94a3;background:#fff;cursor:pointer}\
button.yes{background:#14532d;border-color:#14532d;color:#fff}\
@media (prefers-color-scheme:dark){body{color:#e8eaed;background:#16181c}pre{background:#23262c}button,input,textarea{background:#23262c;color:inherit}}";

/// A page that sends a signal.
pub fn signal(name: &str) -> Response {
    let body = format!(
        "<h1>Continue?</h1><p>This sends the signal <strong>{}</strong> to the workflow that waits for it.</p>\
         <form method=\"post\"><button class=\"yes\">Continue</button></form>",
        Escaped(name)
    );
    html(StatusCode::OK, "Continue?", &body)
}

/// A page that answers an approval; with a schema there is a field for data.
pub fn question(title: Option<&str>, detail: Option<&str>, data: Data) -> Response {
    let title = title.unwrap_or("Approve?");
    let mut body = format!("<h1>{}</h1>", Escaped(title));
    if let Some(detail) = detail.filter(|detail| *detail != "null") {
        // A text is shown as such, anything else as JSON.
        let shown = match serde_json::from_str::<serde_json::Value>(detail) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
            Err(_) => detail.to_owned(),
        };
        // invariant: writing to a string does not fail.
        let _ = write!(body, "<pre>{}</pre>", Escaped(&shown));
    }
    body.push_str("<form method=\"post\">");
    if data == Data::Asked {
        body.push_str("<label>Data (JSON) <textarea name=\"data\" rows=\"4\"></textarea></label>");
    }
    body.push_str(
        "<label>Your name <input name=\"by\" maxlength=\"255\" autocomplete=\"name\"></label>\
         <button class=\"yes\" name=\"approve\" value=\"true\">Approve</button><button name=\"approve\" value=\"false\">Reject</button></form>",
    );
    html(StatusCode::OK, title, &body)
}

/// Whether an approval asks for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// It has a schema.
    Asked,
    /// It has none.
    None,
}

/// What was asked for is done.
pub fn done() -> Response {
    html(StatusCode::ACCEPTED, "Done", "<h1>Done</h1><p>Your answer was recorded. You can close this page.</p>")
}

/// It could not be done.
pub fn refused(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    html(status, &problem.title, &format!("<h1>{}</h1><p>{}</p>", Escaped(&problem.title), Escaped(&problem.detail)))
}

fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>",
        Escaped(title)
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy().clone());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        // The URL is a secret.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// No script, no image, no frame; the one style sheet by its hash; forms go where they came from.
fn policy() -> &'static HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    POLICY.get_or_init(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        let text = format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; form-action 'self'"))
    })
}

/// Text within HTML, in elements and in attributes with double quotes.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_wrote_is_text() {
        assert_eq!(Escaped("<a href=\"x\" b='&'>").to_string(), "&lt;a href=&quot;x&quot; b=&#39;&amp;&#39;&gt;");
    }

    #[test]
    fn the_policy_names_the_style_and_no_script() {
        let policy = policy().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    }
}
