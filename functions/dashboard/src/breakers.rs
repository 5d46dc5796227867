//! Circuit breakers on the page of flow control, and closing one by hand.
//!
//! Out of scope: the page (`flows`); when one opens (STAGE 2, the delivery).

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use tikku_domain::problem::Kind;

use crate::filter::status_chips;
use crate::flows::{self, count};
use crate::gate::Desk;
use crate::link::{Query, segment};
use crate::page::Flash;
use crate::parts::{Chip, number, status_text};
use crate::refusal::Refusal;
use crate::visitor::Visitor;
use crate::when::When;

const STATES: [&str; 3] = ["open", "half_open", "closed"];

/// The routes.
pub fn routes() -> Router<Desk> {
    Router::new().route("/dashboard/breakers/{id}/reset", post(reset))
}

/// A page of breakers, as the API answers it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub data: Vec<Breaker>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    id: String,
    destination: String,
    status: String,
    attempts: i64,
    failures: i64,
    last_error: Option<String>,
    opened_at: Option<String>,
    next_probe_at: Option<String>,
    waiting: i64,
    waiting_more: bool,
}

/// A breaker, as `templates/parts/flows_body.html` shows it.
pub struct BreakerRow {
    pub id: String,
    pub status: String,
    pub status_text: String,
    pub destination: String,
    pub href: String,
    pub attempts: String,
    pub failures: String,
    pub percent: String,
    pub error: String,
    pub opened: When,
    pub probe: When,
    pub waiting: String,
}

/// One page of those in a state, or of all.
pub async fn load(visitor: &Visitor, status: &str, cursor: &str) -> Result<Listed, Refusal> {
    visitor.api.get(&Query::default().with("status", status).with("cursor", cursor).on("/v1/breakers")).await
}

/// Chips of their states.
pub fn chips(here: &Query) -> Vec<Chip> {
    status_chips(&here.without("breakers"), flows::PATH, &STATES, &BTreeMap::new(), &[])
}

/// A breaker as the page shows it.
pub fn row(visitor: &Visitor, breaker: Breaker) -> BreakerRow {
    BreakerRow {
        id: segment(&breaker.id),
        status_text: status_text(&breaker.status),
        href: Query::default().with("url", &breaker.destination).on("/dashboard/messages"),
        percent: (breaker.failures * 100 / breaker.attempts.max(1)).clamp(0, 100).to_string(),
        attempts: number(breaker.attempts),
        failures: number(breaker.failures),
        error: breaker.last_error.unwrap_or_default(),
        opened: visitor.when(breaker.opened_at.as_deref()),
        probe: visitor.when(breaker.next_probe_at.as_deref()),
        waiting: count(breaker.waiting, breaker.waiting_more),
        destination: breaker.destination,
        status: breaker.status,
    }
}

async fn reset(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    match visitor.api.act(&format!("/v1/breakers/{}/reset", segment(&id))).await {
        Ok(answer) => {
            let breaker: Breaker = answer.read()?;
            let text = format!("The breaker of {} is closed; what waited for it is pushed now.", breaker.destination);
            Ok(visitor.done(flows::PATH, Flash::ok(text)))
        }
        Err(refusal) if refusal.is(Kind::Forbidden) => flows::shown(&visitor, &Query::default(), Some(&refusal)).await,
        Err(refusal) => Err(refusal),
    }
}
