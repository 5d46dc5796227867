//! One endpoint of a fanout: added, edited, paused, resumed and removed. Each change names the revision of the fanout that was seen, so that
//! nobody's change is lost unseen.
//!
//! Out of scope: the page that lists them (`fanout`); the form (`endpoint_form`).

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::endpoint_form::{again, document, empty, of as form_of, same};
use crate::fanout::{href, load, shown as fanout_shown};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, whole};
use crate::parts::{Confirm, ConfirmPage, Pair, form_errors};
use crate::refusal::Refusal;
use crate::visitor::{Form, Visitor};

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route("/dashboard/fanouts/{name}/endpoints", post(add))
        .route("/dashboard/fanouts/{name}/endpoints/new", get(new))
        .route("/dashboard/fanouts/{name}/endpoints/{id}/edit", get(edit).post(replace))
        .route("/dashboard/fanouts/{name}/endpoints/{id}/pause", post(pause))
        .route("/dashboard/fanouts/{name}/endpoints/{id}/resume", post(resume))
        .route("/dashboard/fanouts/{name}/endpoints/{id}/delete", get(ask).post(delete))
}

/// The endpoint's id, which the API answers.
#[derive(Deserialize)]
struct Written {
    id: String,
}

async fn new(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    let fanout = load(&visitor, &name).await?;
    empty(&visitor, &fanout).await
}

async fn edit(visitor: Visitor, Path((name, id)): Path<(String, String)>) -> Result<Response, Refusal> {
    let fanout = load(&visitor, &name).await?;
    form_of(&visitor, &fanout, fanout.endpoint(&id)?).await
}

async fn add(visitor: Visitor, Path(name): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    write(&visitor, &name, None, &form).await
}

async fn replace(visitor: Visitor, Path((name, id)): Path<(String, String)>, Form(form): Form) -> Result<Response, Refusal> {
    write(&visitor, &name, Some(&id), &form).await
}

async fn write(visitor: &Visitor, name: &str, id: Option<&str>, form: &Query) -> Result<Response, Refusal> {
    let fanout = load(visitor, name).await?;
    let old = id.map(|id| fanout.endpoint(id)).transpose()?;
    let document = match document(form, old) {
        Ok(document) => document,
        Err(error) => {
            return again(visitor, &fanout, id, form, StatusCode::BAD_REQUEST, ("This was not accepted.".to_owned(), vec![error])).await;
        }
    };
    let method = if id.is_some() { Method::PUT } else { Method::POST };
    let body = serde_json::to_vec(&document).ok();
    match visitor.api.send(method, &path(name, id), &[("if-match", &tag(form))], body).await {
        Ok(answer) => {
            let written: Written = answer.read()?;
            let text = if id.is_some() { "The endpoint is changed." } else { "The endpoint is added." };
            Ok(visitor.done(&href(name), Flash { detail: written.id, ..Flash::ok(text) }))
        }
        Err(refusal) if refusal.status == 412 => {
            let detail = format!(
                "Somebody else has changed this fanout meanwhile (it is at revision {} now), and nothing was changed by you. If it is still right, press the button again.",
                fanout.revision
            );
            again(visitor, &fanout, id, form, refusal.code(), (detail, Vec::new())).await
        }
        Err(refusal) if [400, 403, 409, 413].contains(&refusal.status) => {
            again(visitor, &fanout, id, form, refusal.code(), form_errors(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn pause(visitor: Visitor, Path((name, id)): Path<(String, String)>, Form(form): Form) -> Result<Response, Refusal> {
    set_paused(&visitor, &name, &id, &form, true).await
}

async fn resume(visitor: Visitor, Path((name, id)): Path<(String, String)>, Form(form): Form) -> Result<Response, Refusal> {
    set_paused(&visitor, &name, &id, &form, false).await
}

async fn set_paused(visitor: &Visitor, name: &str, id: &str, form: &Query, paused: bool) -> Result<Response, Refusal> {
    let fanout = load(visitor, name).await?;
    let endpoint = fanout.endpoint(id)?;
    let body = serde_json::to_vec(&same(endpoint, paused)).ok();
    match visitor.api.send(Method::PUT, &path(name, Some(id)), &[("if-match", &tag(form))], body).await {
        Ok(_) => {
            let what =
                if paused { "is paused: it gets nothing of what is published meanwhile." } else { "gets what is published from now on." };
            Ok(visitor.done(&href(name), Flash::ok(format!("{} {what}", endpoint.destination()))))
        }
        Err(refusal) if refusal.status == 412 || refusal.status == 403 => fanout_shown(visitor, name, Some(&refusal)).await,
        Err(refusal) => Err(refusal),
    }
}

async fn ask(visitor: Visitor, Path((name, id)): Path<(String, String)>) -> Result<Response, Refusal> {
    let fanout = load(&visitor, &name).await?;
    let endpoint = fanout.endpoint(&id)?;
    let confirm = Confirm {
        title: "Remove this endpoint?".to_owned(),
        text: format!("Publishes to {} make no message for it any more. Messages that were made for it stay.", fanout.name),
        items: vec![endpoint.destination().to_owned()],
        action: format!("{}/endpoints/{}/delete", href(&name), segment(&id)),
        button: "Remove it".to_owned(),
        danger: true,
        fields: vec![Pair::new("revision", fanout.revision.to_string())],
        back_href: href(&name),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("fanouts"), confirm })
}

async fn delete(visitor: Visitor, Path((name, id)): Path<(String, String)>, Form(form): Form) -> Result<Response, Refusal> {
    match visitor.api.send(Method::DELETE, &path(&name, Some(&id)), &[("if-match", &tag(&form))], None).await {
        Ok(_) => Ok(visitor.done(&href(&name), Flash::ok("The endpoint is removed."))),
        Err(refusal) if refusal.status == 412 || refusal.status == 403 => fanout_shown(&visitor, &name, Some(&refusal)).await,
        Err(refusal) => Err(refusal),
    }
}

/// The revision that the form's page has shown; any, for a form without one.
fn tag(form: &Query) -> String {
    if form.has("revision") { format!("\"{}\"", form.get("revision")) } else { "*".to_owned() }
}

fn path(name: &str, id: Option<&str>) -> String {
    let id = id.map(|id| format!("/{}", segment(id))).unwrap_or_default();
    format!("/v1/fanouts/{}/endpoints{id}", segment(name))
}
