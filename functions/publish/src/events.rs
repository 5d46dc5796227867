//! `/v1/events`: what has happened. An event starts the workflows that subscribe to its name and wakes the runs that wait for it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::event;
use tikku_domain::event_view::{EventPage, EventView};
use tikku_domain::ids::{AccountId, EventId, RunId};
use tikku_domain::limits::EVENT_RUNS_SHOWN;
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::run_filter_query;
use tikku_platform::Ctx;
use tikku_store::{EventPut, NewEvent};

use crate::app_shapes::EventRequest;
use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::run_shapes::{EventAnswer, EventQuery};

/// Publishes an event. It is stored before anything comes of it: what this call cannot do in time, tick does.
#[utoipa::path(post, path = "/v1/events", operation_id = "publishEvent", security(("key" = ["publish"])), tag = "events", request_body = EventRequest, responses(
    (status = 202, description = "Accepted, with the runs that it started and woke so far", body = EventAnswer),
    (status = 422, description = "The id belongs to an event with another name or other data", body = Problem, content_type = "application/problem+json"),
))]
pub async fn publish(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let event = event::parse(&request::bytes(&headers, body).await?)?;
    let new = NewEvent { name: &event.name, data: &event.data, external_id: event.external_id.as_deref() };
    let answer = match ctx.store.event_publish(caller.account, &new).await? {
        EventPut::Accepted { id } => apply(&ctx, caller.account, id).await?,
        EventPut::Existing { id, started, .. } => {
            // Whoever published it first may have died before all of it was done.
            let mut answer = apply(&ctx, caller.account, id).await?;
            answer.started.splice(0..0, texts(started));
            EventAnswer { deduplicated: true, ..answer }
        }
        EventPut::Mismatch { id } => {
            let detail = format!("the id belongs to {id}, whose name or data differ; nothing was published");
            return Err(Problem::new(Kind::IdempotencyMismatch, detail).into());
        }
    };
    Ok(json(StatusCode::ACCEPTED, &answer))
}

/// Starts and wakes what the event starts and wakes, in as many rounds as a request may take.
async fn apply(ctx: &Ctx, account: AccountId, id: EventId) -> Result<EventAnswer, ApiError> {
    const ROUNDS_MAX: usize = 50;
    let (mut started, mut woken) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_MAX {
        let applied = ctx.store.event_apply(account, id).await?;
        ctx.kick(&applied.kicks).await;
        started.extend(applied.started);
        woken.extend(applied.woken);
        if !applied.more {
            break;
        }
    }
    Ok(EventAnswer { id: id.to_string(), started: texts(started), woken: texts(woken), deduplicated: false })
}

fn texts(ids: Vec<RunId>) -> Vec<String> {
    ids.into_iter().take(EVENT_RUNS_SHOWN).map(|id| id.to_string()).collect()
}

/// Lists events, newest first.
#[utoipa::path(get, path = "/v1/events", operation_id = "listEvents", tag = "events", params(EventQuery), responses(
    (status = 200, description = "A page", body = EventPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let (name, page) = run_filter_query::events(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.event_list(caller.account, name.as_deref(), &page).await?))
}

/// Shows an event.
#[utoipa::path(get, path = "/v1/events/{id}", operation_id = "getEvent", tag = "events", params(("id" = String, Path, description = "evt_...")), responses(
    (status = 200, description = "The event", body = EventView),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let id: EventId = request::id(&id, "event")?;
    let view = ctx.store.event_get(caller.account, id).await?.ok_or_else(|| Problem::not_found("event"))?;
    Ok(json(StatusCode::OK, &view))
}
