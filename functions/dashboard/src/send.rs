//! Sending one message by a form, which can begin with another message; and the same publish in other tongues, as it is typed.
//!
//! Out of scope: the form (`send_form`); the tongues (`send_code`); judging a message (the API).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::endpoint_form::{names, workflows};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::message_view::Message;
use crate::page::{Flash, Page, part, whole};
use crate::parts::{FieldError, form_errors};
use crate::refusal::Refusal;
use crate::send_code::{SendCode, code};
use crate::send_form::{self, SendForm, document, filled, is_same};
use crate::visitor::{Form, Visitor};

/// Its address.
pub const PATH: &str = "/dashboard/send";
/// What an address may fill in.
const FILLED: [&str; 5] = ["url", "fanout", "workflow", "method", "labels"];

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new().route(PATH, get(empty).post(send)).route("/dashboard/send/code", post(told))
}

#[derive(Template)]
#[template(path = "send.html")]
struct SendPage {
    page: Page,
    form: SendForm,
    code: SendCode,
}

#[derive(Template)]
#[template(path = "parts/send_code.html")]
struct CodePart {
    code: SendCode,
}

/// What the API answers to a publish: a message, or those of a fanout.
#[derive(Debug, Deserialize)]
struct Published {
    #[serde(default)]
    id: String,
    #[serde(default)]
    messages: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    deduplicated: bool,
}

async fn empty(visitor: Visitor, uri: Uri) -> Result<Response, Refusal> {
    let given = Query::of(&uri).only(&FILLED);
    let target = ["fanout", "workflow"].into_iter().find(|target| given.has(target)).unwrap_or("url");
    shown(&visitor, &given.with("target", target), None, StatusCode::OK, Default::default()).await
}

/// The form, filled from a message.
pub async fn again(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    let message = load(&visitor, &id).await?;
    shown(&visitor, &filled(&message), Some(&message), StatusCode::OK, Default::default()).await
}

/// The code for what has been typed so far.
async fn told(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let old = old(&visitor, &form).await?;
    part(&CodePart { code: code_of(&visitor, &form, old.as_ref()) })
}

async fn send(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let old = old(&visitor, &form).await?;
    let sent = match (&old, document(&form, old.as_ref())) {
        // Nothing was changed: a copy, which says of what.
        (Some(old), _) if is_same(&form, old) => visitor.api.act(&format!("/v1/messages/{}/resend", segment(&old.id))).await,
        (_, Err(error)) => return shown(&visitor, &form, old.as_ref(), StatusCode::BAD_REQUEST, wrong(error)).await,
        (_, Ok(document)) => visitor.api.post("/v1/messages", &document).await,
    };
    match sent {
        Ok(answer) => Ok(done(&visitor, &form, &answer.read()?)),
        Err(refusal) if [400, 403, 404, 409, 413, 422].contains(&refusal.status) => {
            shown(&visitor, &form, old.as_ref(), refusal.code(), form_errors(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// Where the messages are that came of it.
fn done(visitor: &Visitor, form: &Query, published: &Published) -> Response {
    let was_there = "The idempotency key was used before: this is the message that is there, and nothing was sent.";
    let text = if published.deduplicated { was_there } else { "Accepted: it is stored and will be pushed." };
    if !published.id.is_empty() {
        return visitor.done(&format!("/dashboard/messages/{}", segment(&published.id)), Flash::ok(text));
    }
    let text = match (published.deduplicated, published.messages.len()) {
        (true, _) => "The idempotency key was used before: these are the messages that are there, and nothing was sent.".to_owned(),
        (false, 0) => "The fanout has no endpoint that is active: nothing was sent.".to_owned(),
        (false, 1) => "Accepted: one message, for the one active endpoint.".to_owned(),
        (false, n) => format!("Accepted: {n} messages, one for each active endpoint."),
    };
    visitor.done(&Query::default().with("fanout", form.get("fanout").trim()).on("/dashboard/messages"), Flash::ok(text))
}

/// The message that the form was filled from.
async fn old(visitor: &Visitor, form: &Query) -> Result<Option<Message>, Refusal> {
    if form.has("resentFrom") { load(visitor, form.get("resentFrom")).await.map(Some) } else { Ok(None) }
}

async fn load(visitor: &Visitor, id: &str) -> Result<Message, Refusal> {
    visitor.api.get(&format!("/v1/messages/{}", segment(id))).await
}

/// The page with the form as it is filled in.
async fn shown(
    visitor: &Visitor,
    form: &Query,
    old: Option<&Message>,
    status: StatusCode,
    (detail, errors): (String, Vec<FieldError>),
) -> Result<Response, Refusal> {
    let (fanouts, workflows) = (names(visitor, "/v1/fanouts?limit=200").await, workflows(visitor).await);
    let code = code_of(visitor, form, old);
    let form = SendForm { fanouts, workflows, detail, errors, ..send_form::view(form, old) };
    whole(status, &SendPage { page: visitor.page("send"), form, code })
}

fn code_of(visitor: &Visitor, form: &Query, old: Option<&Message>) -> SendCode {
    // Until a destination is typed, the code shows the place of one.
    let target = if form.has("target") { form.get("target") } else { "url" };
    let example = if target == "url" { "https://example.com/hook" } else { "name" };
    let form = if form.get(target).trim().is_empty() { form.with(target, example) } else { form.clone() };
    code(&visitor.base, &visitor.key.hint, document(&form, old))
}

fn wrong(error: FieldError) -> (String, Vec<FieldError>) {
    ("This was not accepted.".to_owned(), vec![error])
}
