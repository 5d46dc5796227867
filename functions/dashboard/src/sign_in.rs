//! Signing in with an API key, signing out, and the switch between light and dark.
//!
//! Out of scope: what the session is (`session`), and checking it (`gate`).

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, Uri};
use sha2::{Digest, Sha256};

use crate::gate::{Desk, error_page, read_form};
use crate::link::Query;
use crate::page::{Page, whole};
use crate::refusal::Refusal;
use crate::session::{self, Claim};
use crate::visitor::{Form, Visitor};
use crate::{cookie, origin};

/// How long a browser remembers light or dark: as long as browsers remember anything.
const THEME_S: i64 = 400 * 86_400;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    page: Page,
    error: String,
    return_to: String,
}

/// The form.
pub async fn form(headers: HeaderMap, uri: Uri) -> Response {
    page(&headers, StatusCode::OK, String::new(), Query::of(&uri).get("return"))
}

/// Signs in by the key of the form.
pub async fn enter(State(desk): State<Desk>, request: Request) -> Response {
    let headers = request.headers().clone();
    let entered = match read_form(&desk, request).await {
        Ok((_, form)) => entered(&desk, &headers, &form).await,
        Err(refusal) => Err(refusal),
    };
    entered.unwrap_or_else(|refusal| error_page(Page::default(), &refusal))
}

async fn entered(desk: &Desk, headers: &HeaderMap, form: &Query) -> Result<Response, Refusal> {
    let refused = |status, error: &str| Ok(page(headers, status, error.to_owned(), form.get("return")));
    if origin::is_bare(headers) {
        return refused(
            StatusCode::FORBIDDEN,
            "Over plain HTTP one can sign in on this machine only (localhost); elsewhere it takes HTTPS.",
        );
    }
    let key = form.get("key").trim();
    if key.is_empty() {
        return refused(StatusCode::BAD_REQUEST, "Enter an API key.");
    }
    let caller = desk.ctx.store.api_key_use(&Sha256::digest(key.as_bytes())).await?;
    let found = match &caller {
        Some(caller) => desk.ctx.store.api_key_session(caller.key).await?,
        None => None,
    };
    let (Some(caller), Some(found)) = (caller, found) else {
        return refused(StatusCode::UNAUTHORIZED, "This API key does not exist or was revoked.");
    };
    let claim = Claim::lasting(caller.key, &found.dice, found.now_s);
    let mut response = Redirect::to(safe(form.get("return"))).into_response();
    cookie::set(headers, response.headers_mut(), session::COOKIE, &claim.sign(&found.hash), session::LASTS_S);
    Ok(response)
}

/// Signs out.
pub async fn leave(visitor: Visitor) -> Response {
    let mut response = Redirect::to("/dashboard/sign-in").into_response();
    cookie::set(&visitor.headers, response.headers_mut(), session::COOKIE, "", 0);
    response
}

/// Remembers light or dark.
pub async fn theme(visitor: Visitor, Form(form): Form) -> Response {
    let mut response = Redirect::to(safe(form.get("return"))).into_response();
    let theme = form.get("theme");
    let seconds = if ["light", "dark"].contains(&theme) { THEME_S } else { 0 };
    cookie::set_open(&visitor.headers, response.headers_mut(), "tikku_theme", if seconds > 0 { theme } else { "" }, seconds);
    response
}

fn page(headers: &HeaderMap, status: StatusCode, error: String, return_to: &str) -> Response {
    let theme = cookie::get(headers, "tikku_theme").filter(|theme| ["light", "dark"].contains(theme)).unwrap_or_default();
    let page = Page { theme: theme.to_owned(), ..Page::default() };
    let template = SignInPage { page, error, return_to: return_to.to_owned() };
    whole(status, &template).unwrap_or_else(IntoResponse::into_response)
}

/// Where to go: a page of ours, whatever the form says.
fn safe(path: &str) -> &str {
    let rest = path.strip_prefix("/dashboard");
    let is_page = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_page && is_plain { path } else { "/dashboard" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_back_to_pages_of_the_dashboard_only() {
        for path in ["/dashboard", "/dashboard/messages?status=failed", "/dashboard?x=1"] {
            assert_eq!(safe(path), path);
        }
        for path in ["", "//x", "https://x", "/dashboardx", "/\\x", "/dashboard/\\x", "/dashboard/\r\nx: y", "/v1/messages"] {
            assert_eq!(safe(path), "/dashboard", "{path}");
        }
    }
}
