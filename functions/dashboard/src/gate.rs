//! What every page passes: the session on the way in, the token and the origin of what is posted, and on the way out the renewed cookie and
//! the page around a refusal.
//!
//! Out of scope: what a role may do (the API decides), signing in (`sign_in`).

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tikku_domain::problem::Kind;
use tikku_platform::Ctx;
use tikku_publish::Principal;
use tikku_store::StoreError;

use crate::api::Api;
use crate::link::Query;
use crate::page::{Page, Whole, whole};
use crate::parts::Pair;
use crate::refusal::Refusal;
use crate::session::{self, Claim};
use crate::visitor::{Form, Visitor};
use crate::{cookie, flash, origin};

/// The largest form: a message's body with every byte escaped, and its other fields.
const FORM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// No script, style, image or connection but our own; nothing may frame a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What the dashboard works with.
#[derive(Clone, Debug)]
pub struct Desk {
    /// For the session's key, and the host's public address.
    pub ctx: Arc<Ctx>,
    /// The API's router.
    pub api: Router,
}

/// The page of a refusal.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    status: String,
    title: String,
    detail: String,
    errors: Vec<Pair>,
    request_id: String,
    back_href: String,
    back_text: String,
}

/// Lets those in who are signed in.
pub async fn gate(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let (headers, method, uri) = (request.headers().clone(), request.method().clone(), request.uri().clone());
    let visitor = match visitor(&desk, &headers, &uri).await {
        Ok(Some(visitor)) => visitor,
        Ok(None) => return to_sign_in(&headers, &method, &uri),
        Err(refusal) => return error_page(Page::default(), &refusal),
    };
    let answer = match checked(&desk, &visitor, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let mut answer = match answer.extensions().get::<Refusal>() {
        // The key was revoked a moment ago.
        Some(refusal) if refusal.status == 401 => return to_sign_in(&visitor.headers, &Method::GET, &Uri::from_static("/dashboard")),
        Some(refusal) => error_page(visitor.page(""), refusal),
        None => answer,
    };
    if answer.extensions().get::<Whole>().is_some() {
        flash::forget(&visitor.headers, answer.headers_mut());
    }
    let (key, now_s) = (&visitor.key, visitor.key.now_s);
    // A page that refreshes itself is no use: else a forgotten tab would keep its session for ever.
    if visitor.claim.is_old(now_s) && !Query::of(&uri).has("v") {
        let renewed = Claim::lasting(visitor.claim.key, &visitor.claim.csrf, now_s).sign(&key.hash);
        cookie::set(&visitor.headers, answer.headers_mut(), session::COOKIE, &renewed, session::LASTS_S);
    }
    answer
}

/// Whoever the request's cookie says it is, if that holds.
async fn visitor(desk: &Desk, headers: &HeaderMap, uri: &Uri) -> Result<Option<Visitor>, Refusal> {
    let Some((claim, tag)) = cookie::get(headers, session::COOKIE).and_then(Claim::read) else { return Ok(None) };
    let Some(key) = desk.ctx.store.api_key_session(claim.key).await? else { return Ok(None) };
    if let Err(why) = claim.verify(&tag, &key.hash, key.now_s) {
        tracing::debug!(%why, "signed out");
        return Ok(None);
    }
    let Ok(key_hash) = key.hash.as_slice().try_into() else { return Ok(None) };
    Ok(Some(Visitor {
        api: Api::new(desk.api.clone(), Principal { key_hash }),
        key: Arc::new(key),
        claim,
        headers: headers.clone(),
        base: base(desk, headers),
        path: uri.path_and_query().map_or_else(|| "/dashboard".to_owned(), ToString::to_string),
    }))
}

/// Where the API is, as somebody outside writes it.
fn base(desk: &Desk, headers: &HeaderMap) -> String {
    if !desk.ctx.config.public_url.is_empty() {
        return desk.ctx.config.public_url.clone();
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    format!("{}://{host}", if origin::is_secure(headers) { "https" } else { "http" })
}

/// The request with its visitor and, if it is a post of one of our own forms, what the form says.
async fn checked(desk: &Desk, visitor: &Visitor, request: Request) -> Result<Request, Refusal> {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        let mut request = request;
        request.extensions_mut().insert(visitor.clone());
        return Ok(request);
    }
    let (mut parts, form) = read_form(desk, request).await?;
    let header = parts.headers.get("x-csrf-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = if header.is_empty() { form.get("csrf") } else { header };
    if !session::same(token, &visitor.claim.csrf) {
        return Err(Refusal::new(Kind::Forbidden, "this form is from another session; go back, reload the page and try again"));
    }
    parts.extensions.insert(visitor.clone());
    parts.extensions.insert(Form(form));
    Ok(Request::from_parts(parts, Body::empty()))
}

/// Reads a form that one of our own pages posts.
pub async fn read_form(desk: &Desk, request: Request) -> Result<(http::request::Parts, Query), Refusal> {
    let (parts, body) = request.into_parts();
    let too_large = |_| Refusal::new(Kind::TooLarge, format!("a form may have at most {FORM_BYTES_MAX} bytes"));
    // The body first: what is answered before it is read may cost the connection.
    let bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(too_large)?;
    if !origin::is_ours(&parts.headers, &desk.ctx.config.public_url) {
        return Err(Refusal::new(Kind::Forbidden, "this was posted by a page of another site; nothing was done"));
    }
    Ok((parts, Query::parse(&bytes)))
}

/// Sends the browser to the sign-in page, and from there back to where it wanted to go.
fn to_sign_in(headers: &HeaderMap, method: &Method, uri: &Uri) -> Response {
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    // A part of a page is no page to come back to; the page that it belongs to is, and htmx says which.
    let current = headers.get("hx-current-url").and_then(|value| value.to_str().ok()).and_then(|url| url.parse::<Uri>().ok());
    let current = current.and_then(|uri| uri.path_and_query().map(ToString::to_string));
    let is_part = headers.contains_key("hx-request");
    let back = if is_part {
        current.unwrap_or_default()
    } else if method == Method::GET {
        path
    } else {
        String::new()
    };
    let back = if back == "/dashboard" { String::new() } else { back };
    let address = Query::default().with("return", &back).on("/dashboard/sign-in");
    if !is_part {
        return Redirect::to(&address).into_response();
    }
    let mut response = StatusCode::UNAUTHORIZED.into_response();
    if let Ok(value) = HeaderValue::from_str(&address) {
        response.headers_mut().insert(HeaderName::from_static("hx-redirect"), value);
    }
    response
}

/// The page of a refusal.
pub fn error_page(page: Page, refusal: &Refusal) -> Response {
    let template = ErrorPage {
        page,
        status: refusal.status.to_string(),
        title: refusal.title.clone(),
        detail: refusal.sentence(),
        errors: refusal.errors.iter().map(|error| Pair::new(&error.pointer, &error.detail)).collect(),
        request_id: String::new(),
        back_href: "/dashboard".to_owned(),
        back_text: "To the overview".to_owned(),
    };
    whole(refusal.code(), &template).unwrap_or_else(|_| refusal.code().into_response())
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(detail) | StoreError::Unmigrated(detail) => {
                tracing::warn!(detail, "the dashboard has no database");
                Self::new(Kind::Unavailable, "the database did not answer, or its schema is older than this version: try again in a moment")
            }
            StoreError::Refused(detail) | StoreError::Failed(detail) => {
                tracing::error!(detail, "a statement failed");
                Self::new(Kind::Internal, "something went wrong on our side")
            }
        }
    }
}

/// What every answer of the dashboard tells the browser.
pub async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with that browsers send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages are somebody's data; what may be kept says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
