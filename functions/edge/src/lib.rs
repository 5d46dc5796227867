//! The Cloudflare Worker: HTTP requests, the cron trigger and the wake queue reach the same handlers as on every other host.
//! In scope: one context for each event, and its end. Out of scope: what the handlers decide; any other host (the crate is empty there).

#![cfg(target_arch = "wasm32")]

mod context;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::http::header::ACCEPT_ENCODING;
use tikku_domain::ids::WakeId;
use tikku_platform::{Ctx, decode_ids};
use tokio::sync::oneshot;
use tower_service::Service;
use worker::js_sys::JSON;
use worker::{Context, Env, HttpRequest, MessageBatch, RawMessage, Result, ScheduleContext, ScheduledEvent, event};

/// Answers an HTTP request through publish's router, or the dashboard's.
///
/// The work runs beside the request, so that a client who hangs up does not freeze it half-way: a row would wait for tick.
#[event(fetch)]
async fn fetch(mut request: HttpRequest, env: Env, event: Context) -> Result<Response<Body>> {
    let (ctx, connections) = context::open(&env)?;
    // Cloudflare packs answers itself, and would pack a second time what is packed.
    request.headers_mut().remove(ACCEPT_ENCODING);
    let (answer_to, answer) = oneshot::channel();
    event.wait_until(async move {
        let mut router = router(ctx, request.uri().path());
        // Err: the client has hung up.
        let _unheard = answer_to.send(router.call(request).await);
        // The router holds the store; without it the connections close.
        drop(router);
        connections.closed().await;
    });
    match answer.await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err("the request's work has ended without an answer".into()),
    }
}

/// Routers are made for each request: only the dashboard's paths pay for its own.
fn router(ctx: Ctx, path: &str) -> Router {
    let ctx = Arc::new(ctx);
    let api = tikku_publish::router(ctx.clone());
    if tikku_dashboard::is_for(path) { tikku_dashboard::router(ctx, api) } else { api }
}

/// Ticks, once a minute.
#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    let (ctx, connections) = match context::open(&env) {
        Ok(opened) => opened,
        Err(error) => return tracing::error!(%error, "the Worker is not set up"),
    };
    if let Err(error) = tikku_tick::handle(&ctx).await {
        tracing::error!(%error, "tick failed; the next one makes up for it");
    }
    drop(ctx);
    connections.closed().await;
}

/// Delivers or dispatches what a wake queue names: its ids tell which. A batch that could not be recorded comes again as a whole, after the
/// queue's `retry_delay`; what was recorded of it is then skipped.
#[event(queue)]
async fn queue(batch: MessageBatch<()>, env: Env, _context: Context) -> Result<()> {
    let (ctx, connections) = context::open(&env)?;
    let ids: Vec<WakeId> = batch.raw_iter().flat_map(|message| ids(&message)).collect();
    match work(&ctx, &ids).await {
        Ok(()) => batch.ack_all(),
        Err(error) => {
            tracing::error!(%error, "the batch is to be brought again");
            batch.retry_all();
        }
    }
    drop(ctx);
    connections.closed().await;
    Ok(())
}

async fn work(ctx: &Ctx, ids: &[WakeId]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (messages, runs) = WakeId::split(ids.iter().copied());
    if !messages.is_empty() {
        tikku_deliver::handle(ctx, &messages).await?;
    }
    if !runs.is_empty() {
        ctx.config.public_url_required()?;
        tikku_step_invoke::handle(ctx, &runs).await?;
    }
    Ok(())
}

/// The ids of a queue message; none when it is not one of ours.
fn ids(message: &RawMessage) -> Vec<WakeId> {
    let body = JSON::stringify(&message.body()).ok().and_then(|text| text.as_string());
    decode_ids(&body.unwrap_or_default())
}
