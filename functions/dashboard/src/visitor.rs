//! Who looks at a page: the session that `gate` has checked, and the API as its key may use it. Handlers take a [`Visitor`], and a [`Form`]
//! where something was posted.
//!
//! Out of scope: checking the session (`gate`).

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use tikku_domain::problem::Kind;
use tikku_store::KeySession;

use crate::api::Api;
use crate::link::Query;
use crate::page::{Flash, Page, part, unchanged};
use crate::refusal::Refusal;
use crate::session::Claim;
use crate::when::When;
use crate::{cookie, flash};

/// A person who is signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The API, with the rights of the session's key.
    pub api: Api,
    /// The key.
    pub(crate) key: Arc<KeySession>,
    /// What the cookie says.
    pub(crate) claim: Claim,
    /// The request's headers.
    pub(crate) headers: HeaderMap,
    /// Where the API is, as somebody outside writes it; no slash at the end.
    pub base: String,
    /// Path and query of this page.
    pub(crate) path: String,
}

impl Visitor {
    /// What the frame of a page in this section of the navigation shows.
    pub fn page(&self, section: &'static str) -> Page {
        let theme = cookie::get(&self.headers, "tikku_theme").filter(|theme| ["light", "dark"].contains(theme)).unwrap_or_default();
        Page {
            section: section.to_owned(),
            account: self.key.account.clone(),
            key_name: if self.key.name.is_empty() { self.key.hint.clone() } else { self.key.name.clone() },
            role: self.key.role.clone(),
            can_publish: self.key.role != "read",
            can_admin: self.key.role == "admin",
            csrf: self.claim.csrf.clone(),
            theme: theme.to_owned(),
            path: self.path.clone(),
            now: When::at(self.key.now_s, self.key.now_s).iso,
            flashes: flash::take(&self.headers).into_iter().collect(),
            ..Page::default()
        }
    }

    /// An RFC 3339 time as pages show it; "" for none.
    pub fn when(&self, time: Option<&str>) -> When {
        When::new(time.unwrap_or_default(), self.key.now_s)
    }

    /// The database's time, in seconds since 1970.
    pub fn now_s(&self) -> i64 {
        self.key.now_s
    }

    /// The address of a live part: `path` with this page's filters and the version of what the API has answered to this request.
    pub fn live(&self, path: &str, query: &Query) -> String {
        query.with("v", &self.api.version()).on(path)
    }

    /// Answers a live part: nothing, when the browser has what the API has just answered. It says so by If-None-Match, and the first time by
    /// the `v` of the address.
    pub fn answer(&self, query: &Query, template: &impl Template) -> Result<Response, Refusal> {
        let version = self.api.version();
        let has = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_else(|| query.get("v"));
        let mut response = if has.trim_matches('"') == version { unchanged() } else { part(template)? };
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    /// What an action that worked answers: the page at `path`, with a line that says so.
    pub fn done(&self, path: &str, flash: Flash) -> Response {
        let mut response = Redirect::to(path).into_response();
        flash::put(&self.headers, response.headers_mut(), &flash);
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let outside = || Refusal::new(Kind::Internal, "something went wrong on our side");
        parts.extensions.get::<Self>().cloned().ok_or_else(outside)
    }
}

/// The fields of a form that was posted; `gate` has read it and checked its token.
#[derive(Clone, Debug, Default)]
pub struct Form(pub Query);

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
