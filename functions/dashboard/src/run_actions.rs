//! What people do to a run: cancel, pause, resume, wake, retry, send a signal, answer an approval. The API decides whether that can be.
//!
//! Out of scope: forks (`run_fork`).

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tikku_domain::problem::Kind;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, whole};
use crate::parts::{Confirm, ConfirmPage};
use crate::refusal::{FieldRefusal, Refusal};
use crate::run::{self, Refused, path};
use crate::run_api;
use crate::visitor::{Form, Visitor};

/// The routes of these actions.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route("/dashboard/runs/{id}/signals", post(signal))
        .route("/dashboard/runs/{id}/approvals", post(approve))
        .route("/dashboard/runs/{id}/{verb}", get(ask).post(act))
}

/// What can be done to a run.
struct Verb {
    name: &'static str,
    button: &'static str,
    title: &'static str,
    text: &'static str,
    is_danger: bool,
    done: &'static str,
}

const VERBS: [Verb; 5] = [
    Verb {
        name: "cancel",
        button: "Cancel it",
        title: "Cancel this run?",
        text: "It is over, and so are its children. A step that is under way ends, and nothing comes of it. A cancelled run can be retried.",
        is_danger: true,
        done: "Cancelled.",
    },
    Verb {
        name: "retry",
        button: "Retry",
        title: "Retry this run?",
        text: "It goes on from the step that failed, with a fresh budget of attempts. What succeeded is not executed again.",
        is_danger: false,
        done: "It goes on.",
    },
    Verb {
        name: "pause",
        button: "Pause",
        title: "Pause this run?",
        text: "It is not dispatched until it is resumed. What is under way may end, and timers go on.",
        is_danger: false,
        done: "It is paused, or will be as soon as what is under way has ended.",
    },
    Verb {
        name: "resume",
        button: "Resume",
        title: "Resume this run?",
        text: "It goes on where it was.",
        is_danger: false,
        done: "It goes on.",
    },
    Verb {
        name: "wake",
        button: "Wake now",
        title: "Wake this run?",
        text: "Its sleeps, and its waits for another try, end now.",
        is_danger: false,
        done: "It is woken.",
    },
];

/// Asks before something is done.
async fn ask(visitor: Visitor, Path((id, verb)): Path<(String, String)>) -> Result<Response, Refusal> {
    let verb = verb_of(&verb)?;
    let run = run_api::load(&visitor, &id).await?;
    let confirm = Confirm {
        title: verb.title.to_owned(),
        text: verb.text.to_owned(),
        items: vec![run.head.id],
        action: format!("{}/{}", path(&id), verb.name),
        button: verb.button.to_owned(),
        danger: verb.is_danger,
        back_href: path(&id),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("runs"), confirm })
}

async fn act(visitor: Visitor, Path((id, verb)): Path<(String, String)>, Form(form): Form) -> Result<Response, Refusal> {
    let verb = verb_of(&verb)?;
    let api = format!("/v1/runs/{}/{}", segment(&id), verb.name);
    let answer = if verb.name == "resume" && form.has("accept") {
        visitor.api.post(&api, &json!({ "accept": true })).await
    } else {
        visitor.api.act(&api).await
    };
    let answer = answer.map(|_| Flash::ok(verb.done));
    answered(&visitor, &id, &path(&id), answer, None).await
}

async fn signal(visitor: Visitor, Path(id): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let (name, body) = (form.get("name"), form.get("body"));
    if name.is_empty() {
        return Err(Refusal::new(Kind::InvalidRequest, "a signal needs a name"));
    }
    let sent = match json_of(body, "/body", "the signal's body") {
        Ok(json) => {
            let api = format!("/v1/runs/{}/signals/{}", segment(&id), segment(name));
            visitor
                .api
                .send(Method::POST, &api, &[], Some(json.map_or_else(|| b"null".to_vec(), |json| json.get().as_bytes().to_vec())))
                .await
        }
        Err(refusal) => Err(refusal),
    };
    let sent = sent.map(|_| Flash::ok(format!("The signal {name} was sent.")));
    answered(&visitor, &id, &path(&id), sent, Some((name, body))).await
}

/// An answer to an approval.
#[derive(Serialize)]
struct Answered<'a> {
    approve: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

async fn approve(visitor: Visitor, Path(id): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let (key, data, approve) = (form.get("key"), form.get("data"), form.get("approve") == "true");
    if !["true", "false"].contains(&form.get("approve")) || key.is_empty() {
        return Err(Refusal::new(Kind::InvalidRequest, "say which approval, and yes or no"));
    }
    let sent = match json_of(data, "/data", "the data") {
        Ok(json) => {
            let api = format!("/v1/runs/{}/approvals/{}", segment(&id), segment(key));
            visitor.api.post(&api, &Answered { approve, data: json.as_deref() }).await
        }
        Err(refusal) => Err(refusal),
    };
    let back = if form.get("return").starts_with("/dashboard/approvals") { "/dashboard/approvals".to_owned() } else { path(&id) };
    let flash = Flash::ok(if approve { "Approved." } else { "Rejected." });
    let flash = if back == path(&id) { flash } else { flash.linked(path(&id), "See the run") };
    answered(&visitor, &id, &back, sent.map(|_| flash), Some((key, data))).await
}

/// Goes back to where the form was; when it was refused, to the run, with what was typed.
async fn answered(
    visitor: &Visitor,
    id: &str,
    back: &str,
    sent: Result<Flash, Refusal>,
    typed: Option<(&str, &str)>,
) -> Result<Response, Refusal> {
    match sent {
        Ok(flash) => Ok(visitor.done(back, flash)),
        // Its state does not allow this, the role does not, or what was typed does not fit: the run says why as it is now.
        Err(refusal) if [400, 403, 409, 422].contains(&refusal.status) => {
            run::shown(visitor, id, &Query::default(), Some(Refused { refusal: &refusal, typed })).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// JSON that was typed, as it was written; none for an empty field.
pub fn json_of(text: &str, pointer: &str, what: &str) -> Result<Option<Box<RawValue>>, Refusal> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    RawValue::from_string(text.trim().to_owned()).map(Some).map_err(|error| {
        let detail = format!("{what} is no JSON: {error}");
        let errors = vec![FieldRefusal { pointer: pointer.to_owned(), detail: detail.clone() }];
        Refusal { errors, ..Refusal::new(Kind::InvalidRequest, detail) }
    })
}

fn verb_of(name: &str) -> Result<&'static Verb, Refusal> {
    VERBS.iter().find(|verb| verb.name == name).ok_or_else(|| Refusal::not_found("page"))
}
