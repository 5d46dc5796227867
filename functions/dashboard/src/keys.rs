//! API keys: made and shown once, listed without their text, revoked.
//!
//! Out of scope: what a role may do (the API).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use serde::Deserialize;
use tikku_domain::problem::Kind;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{Confirm, ConfirmPage, FieldError, form_errors, status_text};
use crate::refusal::Refusal;
use crate::typed::Document;
use crate::visitor::{Form, Visitor};
use crate::when::When;

/// Its address.
const PATH: &str = "/dashboard/keys";
/// Keys are looked through for one of them so many at a time.
const LOOKED_MAX: usize = 200;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(list).post(make)).route("/dashboard/keys/{id}/revoke", get(ask).post(revoke))
}

/// A page of keys, as the API answers it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    data: Vec<Key>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: String,
    name: String,
    role: String,
    hint: String,
    created_at: String,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// A key that was made.
#[derive(Deserialize)]
struct Made {
    key: String,
    name: String,
    role: String,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    page: Page,
    rows: Vec<KeyRow>,
    next_href: String,
    made: Vec<MadeKey>,
    form: KeyForm,
}

struct KeyRow {
    id: String,
    name: String,
    hint: String,
    role: String,
    status: &'static str,
    status_text: String,
    created: When,
    used: When,
    yours: bool,
}

struct MadeKey {
    key: String,
    name: String,
    role: String,
    curl: String,
}

#[derive(Default)]
struct KeyForm {
    name: String,
    role: String,
    detail: String,
    errors: Vec<FieldError>,
}

async fn list(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    shown(&visitor, Query::of(&uri).get("cursor"), StatusCode::OK, KeyForm::default(), None).await
}

/// Answers with the key itself: a redirect would have to keep it somewhere.
async fn make(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let (name, role) = (form.get("name").trim(), form.get("role"));
    let document = Document::default().text("name", name).text("role", role);
    match visitor.api.post("/v1/keys", &document).await {
        Ok(answer) => shown(&visitor, "", StatusCode::OK, KeyForm::default(), Some(answer.read()?)).await,
        Err(refusal) if [400, 403].contains(&refusal.status) => {
            let (detail, errors) = form_errors(&refusal);
            let form = KeyForm { name: name.to_owned(), role: role.to_owned(), detail, errors };
            shown(&visitor, "", refusal.code(), form, None).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    let key = find(&visitor, &id).await?;
    let is_own = is_own(&visitor, &key);
    let own = if is_own { " It is the key of this session: you are signed out with it." } else { "" };
    let name = if key.name.is_empty() { &key.hint } else { &key.name };
    let confirm = Confirm {
        title: format!("Revoke the key {name}?"),
        text: format!("What uses it is refused from now on, for ever; its sessions here end.{own}"),
        items: vec![format!("{}… ({})", key.hint, key.role)],
        action: format!("{PATH}/{}/revoke", segment(&key.id)),
        button: "Revoke it".to_owned(),
        danger: true,
        back_href: PATH.to_owned(),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("keys"), confirm })
}

async fn revoke(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    match visitor.api.delete(&format!("/v1/keys/{}", segment(&id))).await {
        Ok(_) => Ok(visitor.done(PATH, Flash::ok("Revoked. What still uses it is refused."))),
        Err(refusal) if refusal.is(Kind::Forbidden) => {
            let form = KeyForm { detail: refusal.sentence(), ..KeyForm::default() };
            shown(&visitor, "", refusal.code(), form, None).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn shown(visitor: &Visitor, cursor: &str, status: StatusCode, form: KeyForm, made: Option<Made>) -> Result<Response, Refusal> {
    let listed = load(visitor, &Query::default().with("cursor", cursor)).await?;
    let mut page = visitor.page("keys");
    if !page.can_admin && !form.detail.is_empty() {
        // The form is not there to say it.
        page.flashes.push(Flash { kind: "error".to_owned(), text: form.detail.clone(), ..Flash::default() });
    }
    let next = |cursor: &str| Query::default().with("cursor", cursor).on(PATH);
    let template = KeysPage {
        page,
        next_href: listed.next_cursor.as_deref().map(next).unwrap_or_default(),
        rows: listed.data.into_iter().map(|key| row(visitor, key)).collect(),
        made: made.into_iter().map(|made| made_key(visitor, made)).collect(),
        form,
    };
    whole(status, &template)
}

async fn load(visitor: &Visitor, query: &Query) -> Result<Listed, Refusal> {
    visitor.api.get(&query.on("/v1/keys")).await
}

/// One key; the API has no route for one.
async fn find(visitor: &Visitor, id: &str) -> Result<Key, Refusal> {
    let listed = load(visitor, &Query::default().with("limit", &LOOKED_MAX.to_string())).await?;
    listed.data.into_iter().find(|key| key.id == id).ok_or_else(|| Refusal::not_found("key"))
}

fn row(visitor: &Visitor, key: Key) -> KeyRow {
    let status = if key.revoked_at.is_some() { "revoked" } else { "active" };
    KeyRow {
        yours: is_own(visitor, &key),
        status,
        status_text: status_text(status),
        created: visitor.when(Some(&key.created_at)),
        used: visitor.when(key.last_used_at.as_deref()),
        name: if key.name.is_empty() { "without a name".to_owned() } else { key.name },
        hint: format!("{}…", key.hint),
        role: key.role,
        id: key.id,
    }
}

fn is_own(visitor: &Visitor, key: &Key) -> bool {
    key.id == visitor.claim.key.to_string()
}

fn made_key(visitor: &Visitor, made: Made) -> MadeKey {
    let curl = format!("curl {}/v1/messages \\\n  -H 'authorization: Bearer {}'", visitor.base, made.key);
    let name = if made.name.is_empty() { "The new key".to_owned() } else { made.name };
    MadeKey { key: made.key, name, role: made.role, curl }
}
