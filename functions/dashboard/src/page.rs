//! What every page has around its own content, and how a template becomes an answer.
//!
//! Out of scope: the content.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tikku_domain::problem::Kind;

use crate::assets;
use crate::refusal::Refusal;

/// The frame of a page: `templates/base.html` says what each is.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which entry of the navigation is current.
    pub section: String,
    /// The account's name; "" on pages without a session.
    pub account: String,
    /// The name of the key that signed in.
    pub key_name: String,
    /// admin, publish or read.
    pub role: String,
    /// Whether the role allows sending, and acting on what was sent.
    pub can_publish: bool,
    /// Whether the role allows everything.
    pub can_admin: bool,
    /// What every form brings along.
    pub csrf: String,
    /// light, dark, or "" for what the system says.
    pub theme: String,
    /// Path and query of this page.
    pub path: String,
    /// The database's time, RFC 3339: what the relative times of the page count from.
    pub now: String,
    /// Address of tikku.css.
    pub css: String,
    /// Address of tikku.js.
    pub js: String,
    /// Address of htmx.min.js.
    pub htmx: String,
    /// Address of icon.svg.
    pub icon: String,
    /// What was done last.
    pub flashes: Vec<Flash>,
    /// How many dead letters there are; "" for none.
    pub nav_dlq: String,
    /// How many approvals wait; "" for none.
    pub nav_approvals: String,
}

impl Default for Page {
    fn default() -> Self {
        let empty = String::new;
        Self {
            section: empty(),
            account: empty(),
            key_name: empty(),
            role: empty(),
            can_publish: false,
            can_admin: false,
            csrf: empty(),
            theme: empty(),
            path: empty(),
            now: empty(),
            css: assets::address("tikku.css"),
            js: assets::address("tikku.js"),
            htmx: assets::address("htmx.min.js"),
            icon: assets::address("icon.svg"),
            flashes: Vec::new(),
            nav_dlq: empty(),
            nav_approvals: empty(),
        }
    }
}

/// A line that says what was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flash {
    /// ok, info or error.
    pub kind: String,
    /// What was done.
    pub text: String,
    /// More of it.
    pub detail: String,
    /// Where to see it.
    pub href: String,
    /// The text of that link.
    pub link: String,
}

impl Flash {
    /// It worked.
    pub fn ok(text: impl Into<String>) -> Self {
        Self { kind: "ok".to_owned(), text: text.into(), ..Self::default() }
    }

    /// It did not work, or what was asked for cannot be shown.
    pub fn error(refusal: &Refusal) -> Self {
        Self { kind: "error".to_owned(), text: format!("{}.", refusal.title), detail: refusal.sentence(), ..Self::default() }
    }

    /// With a link to what came of it.
    pub fn linked(self, href: impl Into<String>, link: &str) -> Self {
        Self { href: href.into(), link: link.to_owned(), ..self }
    }
}

/// Marks an answer as a whole page: it has shown the line that was left for it.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

/// Answers a page.
pub fn whole(status: StatusCode, template: &impl Template) -> Result<Response, Refusal> {
    let mut response = part(template)?;
    *response.status_mut() = status;
    response.extensions_mut().insert(Whole);
    Ok(response)
}

/// Answers a part of a page.
pub fn part(template: &impl Template) -> Result<Response, Refusal> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be written");
        Refusal::new(Kind::Internal, "something went wrong on our side")
    })?;
    let mut response = Response::new(Body::from(html));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// Answers that nothing has changed: htmx leaves the part as it is.
pub fn unchanged() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
