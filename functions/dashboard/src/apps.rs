//! What is done to apps: registered, moved, asked again what they serve, deleted. Out of scope: showing them (`workflows`).

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;

use crate::gate::Desk;
use crate::link::segment;
use crate::page::{Flash, whole};
use crate::parts::{Confirm, ConfirmPage, form_errors};
use crate::refusal::Refusal;
use crate::typed::Document;
use crate::visitor::{Form, Visitor};
use crate::workflows::{self, AppForm, PATH};

/// The routes of these actions.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route("/dashboard/apps", get(to_workflows).post(register))
        .route("/dashboard/apps/{name}/sync", post(sync))
        .route("/dashboard/apps/{name}/delete", get(ask).post(delete))
}

/// An app after it was asked what it serves.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    describe_error: Option<String>,
    #[serde(default)]
    workflows: Vec<Served>,
}

#[derive(Debug, Deserialize)]
struct Served {
    served: bool,
}

impl Asked {
    fn flash(&self, done: &str) -> Flash {
        let count = self.workflows.iter().filter(|workflow| workflow.served).count();
        match (&self.describe_error, count) {
            (Some(error), _) => Flash {
                kind: "error".to_owned(),
                text: format!("{done}, but it could not be asked what it serves."),
                detail: error.clone(),
                ..Flash::default()
            },
            (None, 1) => Flash::ok(format!("{done}: it serves 1 workflow.")),
            (None, count) => Flash::ok(format!("{done}: it serves {count} workflows.")),
        }
    }
}

async fn to_workflows() -> axum::response::Redirect {
    axum::response::Redirect::to(PATH)
}

async fn register(visitor: Visitor, Form(form): Form) -> Result<Response, Refusal> {
    let body = Document::default().text("url", form.get("url").trim());
    let body = body.number("timeoutSeconds", form.get("timeoutSeconds")).number("leaseSeconds", form.get("leaseSeconds"));
    match visitor.api.put(&format!("/v1/apps/{}", segment(form.get("name").trim())), &body).await {
        Ok(answer) => Ok(visitor.done(PATH, answer.read::<Asked>()?.flash("Registered"))),
        Err(refusal) if [400, 403, 404, 405, 409, 422].contains(&refusal.status) => {
            let (detail, errors) = form_errors(&refusal);
            let text = |name: &str| form.get(name).to_owned();
            let form = AppForm {
                name: text("name"),
                url: text("url"),
                timeout: text("timeoutSeconds"),
                lease: text("leaseSeconds"),
                open: true,
                detail,
                errors,
            };
            workflows::shown(&visitor, "", form, refusal.code()).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn sync(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    let answer = visitor.api.act(&format!("/v1/apps/{}/describe", segment(&name))).await?;
    Ok(visitor.done(PATH, answer.read::<Asked>()?.flash(&format!("Synced {name}"))))
}

async fn ask(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    workflows::load_app(&visitor, &name).await?;
    let confirm = Confirm {
        title: format!("Delete the app {name}?"),
        text: "Its runs stay. Those that are under way pause when they would be dispatched next, and go on when an app serves their version again.".to_owned(),
        action: format!("/dashboard/apps/{}/delete", segment(&name)),
        button: "Delete it".to_owned(),
        danger: true,
        back_href: PATH.to_owned(),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("workflows"), confirm })
}

async fn delete(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    visitor.api.delete(&format!("/v1/apps/{}", segment(&name))).await?;
    Ok(visitor.done(PATH, Flash::ok(format!("The app {name} was deleted."))))
}
