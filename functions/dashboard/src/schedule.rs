//! One schedule: when it is due, what it sends, what became of its due times; paused, resumed, run by hand and deleted.
//!
//! Out of scope: the list (`schedules`); editing (`schedule_form`); what it shows of the API's answers (`schedule_view`).

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode, Uri};
use serde::Deserialize;

use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::{Flash, Page, whole};
use crate::parts::{Confirm, ConfirmPage, Pair};
use crate::refusal::Refusal;
use crate::schedule_view::{FiringPage, Schedule, ScheduleDetail};
use crate::schedules::{PATH, href};
use crate::visitor::{Form, Visitor};

/// The routes of this page.
pub fn routes() -> Router<Desk> {
    Router::new()
        .route("/dashboard/schedules/{id}", get(show))
        .route("/dashboard/schedules/{id}/live", get(live))
        .route("/dashboard/schedules/{id}/pause", post(pause))
        .route("/dashboard/schedules/{id}/resume", post(resume))
        .route("/dashboard/schedules/{id}/run", post(run))
        .route("/dashboard/schedules/{id}/delete", get(ask).post(delete))
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    page: Page,
    live: String,
    schedule: ScheduleDetail,
}

#[derive(Template)]
#[template(path = "parts/schedule_body.html")]
struct ScheduleLive {
    page: Page,
    schedule: ScheduleDetail,
}

async fn show(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    shown(&visitor, &id, &Query::of(&uri), None).await
}

/// The page, with what was refused.
async fn shown(visitor: &Visitor, id: &str, query: &Query, refusal: Option<&Refusal>) -> Result<Response, Refusal> {
    let schedule = view(visitor, id, query).await?;
    let mut page = visitor.page("schedules");
    page.flashes.extend(refusal.map(|refusal| if refusal.status == 412 { overtaken() } else { Flash::error(refusal) }));
    // Earlier firings stand still.
    let live = if query.has("cursor") { String::new() } else { visitor.live(&format!("{}/live", href(&schedule.id)), &Query::default()) };
    whole(refusal.map_or(StatusCode::OK, Refusal::code), &SchedulePage { page, live, schedule })
}

async fn live(visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let schedule = view(&visitor, &id, &Query::default()).await?;
    visitor.answer(&Query::of(&uri), &ScheduleLive { page: visitor.page("schedules"), schedule })
}

async fn view(visitor: &Visitor, id: &str, query: &Query) -> Result<ScheduleDetail, Refusal> {
    let schedule = load(visitor, id).await?;
    let firings: FiringPage = visitor.api.get(&query.only(&["cursor"]).with("limit", "20").on(&format!("{}/firings", path(id)))).await?;
    Ok(ScheduleDetail::new(visitor, schedule, firings, query))
}

/// Somebody else was faster.
fn overtaken() -> Flash {
    Flash {
        kind: "error".to_owned(),
        text: "Somebody else has changed this schedule meanwhile.".to_owned(),
        detail: "You see it as it is now; nothing was changed by you.".to_owned(),
        ..Flash::default()
    }
}

async fn pause(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    change(&visitor, &id, "pause", "It is paused: nothing of it is due until it is resumed.").await
}

async fn resume(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    change(&visitor, &id, "resume", "It goes on. What it would have fired while it was paused is not made up for.").await
}

async fn change(visitor: &Visitor, id: &str, verb: &str, said: &str) -> Result<Response, Refusal> {
    match visitor.api.act(&format!("{}/{verb}", path(id))).await {
        Ok(_) => Ok(visitor.done(&href(id), Flash::ok(said))),
        Err(refusal) => refused(visitor, id, refusal).await,
    }
}

/// The schedule with what was refused; what is no refusal of the schedule's is a page of its own.
async fn refused(visitor: &Visitor, id: &str, refusal: Refusal) -> Result<Response, Refusal> {
    if [403, 409, 412, 413].contains(&refusal.status) { shown(visitor, id, &Query::default(), Some(&refusal)).await } else { Err(refusal) }
}

async fn run(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Published {
        id: String,
    }
    #[derive(Deserialize)]
    struct Ran {
        messages: Vec<Published>,
    }
    let ran: Ran = match visitor.api.act(&format!("{}/run", path(&id))).await {
        Ok(answer) => answer.read()?,
        Err(refusal) => return refused(&visitor, &id, refusal).await,
    };
    let flash = match ran.messages.as_slice() {
        [] => Flash::ok("It ran, and made no message: its fanout has no endpoint that gets one."),
        [one] => Flash::ok("It ran and published one message.").linked(format!("/dashboard/messages/{}", segment(&one.id)), "See it"),
        many => Flash::ok(format!("It ran and published {} messages.", many.len())),
    };
    Ok(visitor.done(&href(&id), flash))
}

async fn ask(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    let schedule = load(&visitor, &id).await?;
    let confirm = Confirm {
        title: format!("Delete the schedule {}?", schedule.name),
        text: "It fires no more. Messages that it has published stay, but those that are not due yet.".to_owned(),
        items: vec![schedule.id],
        action: format!("{}/delete", href(&id)),
        button: "Delete it".to_owned(),
        danger: true,
        fields: vec![Pair::new("revision", schedule.revision.to_string()), Pair::new("name", schedule.name)],
        back_href: href(&id),
        ..Confirm::default()
    };
    whole(StatusCode::OK, &ConfirmPage { page: visitor.page("schedules"), confirm })
}

async fn delete(visitor: Visitor, Path(id): Path<String>, Form(form): Form) -> Result<Response, Refusal> {
    let tag = format!("\"{}\"", form.get("revision"));
    let headers: &[(&'static str, &str)] = if form.has("revision") { &[("if-match", &tag)] } else { &[] };
    match visitor.api.send(Method::DELETE, &path(&id), headers, None).await {
        Ok(_) => {
            let name = if form.has("name") { form.get("name") } else { id.as_str() };
            Ok(visitor.done(PATH, Flash::ok(format!("The schedule {name} is deleted."))))
        }
        Err(refusal) => refused(&visitor, &id, refusal).await,
    }
}

/// A schedule as it is now.
pub async fn load(visitor: &Visitor, id: &str) -> Result<Schedule, Refusal> {
    visitor.api.get(&path(id)).await
}

/// Where the API has it.
pub fn path(id: &str) -> String {
    format!("/v1/schedules/{}", segment(id))
}
