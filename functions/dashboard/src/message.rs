//! One message: its attempts as they come, what was published, and its actions.
//!
//! Out of scope: the list (`messages`); how it is shown (`message_view`).

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, Uri, header};
use serde::Deserialize;
use tikku_domain::problem::Kind;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::message_view::{Message, MessageDetail};
use crate::page::{Flash, Page, whole};
use crate::parts::{Confirm, ConfirmPage};
use crate::payload;
use crate::refusal::Refusal;
use crate::send;
use crate::visitor::Visitor;

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route("/dashboard/messages/{id}", get(show))
        .route("/dashboard/messages/{id}/live", get(live))
        .route("/dashboard/messages/{id}/body", get(body))
        .route("/dashboard/messages/{id}/{verb}", get(ask).post(act))
}

/// The page.
#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    page: Page,
    live: String,
    message: MessageDetail,
}

/// The part of it that refreshes itself.
#[derive(Template)]
#[template(path = "parts/message_body.html")]
struct MessageLive {
    page: Page,
    message: MessageDetail,
}

/// What can be done to a message.
struct Verb {
    name: &'static str,
    button: &'static str,
    title: &'static str,
    text: &'static str,
    is_danger: bool,
    done: &'static str,
}

const VERBS: [Verb; 3] = [
    Verb {
        name: "cancel",
        button: "Cancel it",
        title: "Cancel this message?",
        text: "It will not be pushed any more. A push that is under way may still end delivered.",
        is_danger: true,
        done: "Cancelled.",
    },
    Verb {
        name: "retry",
        button: "Retry now",
        title: "Retry this message?",
        text: "It becomes due now, with a fresh budget of attempts and the same id.",
        is_danger: false,
        done: "It is due now.",
    },
    Verb {
        name: "resend",
        button: "Send a copy",
        title: "Send a copy of this message?",
        text: "The copy is a message of its own, with another id and no idempotency key; it is due now.",
        is_danger: false,
        done: "This is the copy.",
    },
];

async fn show(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    shown(&visitor, &id, None).await
}

/// The page, with what was refused.
async fn shown(visitor: &Visitor, id: &str, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let message = load(visitor, id).await?;
    let mut page = visitor.page("messages");
    page.flashes.extend(refusal.map(Flash::error));
    let live = if message.is_over() { String::new() } else { visitor.live(&format!("{}/live", path(id)), &Query::default()) };
    let template = MessagePage { page, live, message: MessageDetail::new(visitor, message) };
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &template)
}

async fn live(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let message = load(&visitor, &id).await?;
    let template = MessageLive { page: visitor.page("messages"), message: MessageDetail::new(&visitor, message) };
    visitor.answer(&Query::of(&uri), &template)
}

/// The whole body, as a file.
async fn body(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    let message = load(&visitor, &id).await?;
    let bytes = payload::bytes(message.body.as_deref(), message.body_base64.as_deref());
    let (bytes, content_type) = bytes.ok_or_else(|| Refusal::not_found("body: this message has none"))?;
    let extension = if content_type == "application/json" { "json" } else { "bin" };
    let name = format!("attachment; filename=\"{}.{extension}\"", message.id);
    Ok(([(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, name)], Body::from(bytes)).into_response())
}

/// Asks before something is done.
async fn ask(visitor: Visitor, Path((id, verb)): Path<(String, String)>) -> Result<Response, Refusal> {
    let verb = verb_of(&verb)?;
    if verb.name == "resend" {
        // The form asks, and lets one edit the copy.
        return send::again(visitor, Path(id)).await;
    }
    let message = load(&visitor, &id).await?;
    let confirm = Confirm {
        title: verb.title.to_owned(),
        text: verb.text.to_owned(),
        items: vec![message.id],
        action: format!("{}/{}", path(&id), verb.name),
        button: verb.button.to_owned(),
        danger: verb.is_danger,
        back_href: path(&id),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("messages"), confirm })
}

async fn act(visitor: Visitor, Path((id, verb)): Path<(String, String)>) -> Result<Response, Refusal> {
    let verb = verb_of(&verb)?;
    match visitor.api.act(&format!("/v1/messages/{}/{}", segment(&id), verb.name)).await {
        Ok(answer) => {
            /// What the API shows is the message itself, or its copy.
            #[derive(Deserialize)]
            struct Acted {
                id: String,
            }
            let acted: Acted = answer.read()?;
            let flash = Flash::ok(verb.done);
            let flash = if acted.id == id { flash } else { flash.linked(path(&id), "See the first one") };
            Ok(visitor.done(&path(&acted.id), flash))
        }
        // Its state does not allow this, or the role does not: the message says why as it is now.
        Err(refusal) if refusal.is(Kind::Conflict) || refusal.is(Kind::Forbidden) => shown(&visitor, &id, Some(&refusal)).await,
        Err(refusal) => Err(refusal),
    }
}

async fn load(visitor: &Visitor, id: &str) -> Result<Message, Refusal> {
    visitor.api.get(&format!("/v1/messages/{}", segment(id))).await
}

fn verb_of(name: &str) -> Result<&'static Verb, Refusal> {
    VERBS.iter().find(|verb| verb.name == name).ok_or_else(|| Refusal::not_found("page"))
}

fn path(id: &str) -> String {
    format!("/dashboard/messages/{}", segment(id))
}
