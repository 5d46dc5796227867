//! The dashboard: pages on the HTTP API, rendered here and refreshed by htmx.
//!
//! It is a client of the API inside the process. Every read and every action is a request to publish's own router, with a principal in the
//! place of an API key (`api`); so roles, validation, limits, isolation and problems are the API's. What a page needs and the API lacks is
//! added to the API. The only thing read here is the session's key (`gate`).
//!
//! # A page
//!
//! One file for each, such as `messages`, from top to bottom:
//!
//! 1. `routes()`: its paths, all under `/dashboard`; `pages` below merges them.
//! 2. What the API answers, as structs that derive `Deserialize` and have the fields that the page shows and no other.
//! 3. Templates: a struct for the page (`page`, and what `templates/NAME.html` says in its first comment), and one for its live part.
//! 4. Handlers. They take a [`visitor::Visitor`] and answer `Result<Response, Refusal>`; a refusal with `?` becomes an error page with the
//!    problem as a sentence. All state stands in the address ([`link::Query`]).
//! 5. Plain functions from answers to views.
//!
//! **Live parts** are asked for every two seconds with `hx-get`. Their handler makes the same requests to the API as the page's; if the API
//! answers the same, [`visitor::Visitor::answer`] answers 204 and nothing moves.
//!
//! **Actions** are forms, which work without a script: `POST path` calls the API and answers [`visitor::Visitor::done`], a redirect to a page
//! with a line that says what was done. When the API refuses, the page that has the form is answered with the problem in it and the problem's
//! status. What cannot be taken back is asked first: `GET` of the same path answers [`parts::ConfirmPage`]. `gate` has checked the form's token
//! before a handler sees it. What a role must not do is refused by the API; templates show it as disabled.
//!
//! Out of scope: deciding anything; SQL.

mod api;
mod approvals;
mod apps;
mod assets;
mod breakers;
mod charts;
mod cookie;
mod dlq;
mod dlq_bulk;
mod endpoint;
mod endpoint_form;
mod events;
mod fanout;
mod fanouts;
mod filter;
mod flash;
mod flow;
mod flows;
mod gate;
mod keys;
mod link;
mod message;
mod message_curl;
mod message_view;
mod messages;
mod messages_bulk;
mod origin;
mod overview;
mod overview_charts;
mod overview_health;
mod overview_view;
mod packed;
mod page;
mod parts;
mod payload;
mod refusal;
mod run;
mod run_actions;
mod run_api;
mod run_diff;
mod run_diff_lines;
mod run_fork;
mod run_row;
mod run_start;
mod run_step_words;
mod run_steps;
mod run_times;
mod run_view;
mod run_waits;
mod run_waterfall;
mod runs;
mod runs_bulk;
mod schedule;
mod schedule_form;
mod schedule_typed;
mod schedule_view;
mod schedule_words;
mod schedules;
mod secrets;
mod send;
mod send_code;
mod send_form;
mod session;
mod sign_in;
mod typed;
mod visitor;
mod when;
mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get, post};
use tikku_platform::Ctx;

use gate::Desk;
use refusal::Refusal;

/// The dashboard's routes, `/dashboard`, what is below it, and `/`, which leads there. `api` is the router of `tikku_publish`.
pub fn router(ctx: Arc<Ctx>, api: Router) -> Router {
    let desk = Desk { ctx, api };
    Router::new()
        .merge(pages().layer(middleware::from_fn_with_state(desk.clone(), gate::gate)))
        .route("/dashboard/sign-in", get(sign_in::form).post(sign_in::enter))
        .route("/dashboard/static/{hash}/{name}", get(assets::show))
        .route("/", get(to_dashboard))
        .route("/dashboard/", get(to_dashboard))
        .layer(middleware::map_response(gate::guard))
        .layer(middleware::from_fn(packed::pack))
        .with_state(desk)
}

/// Whether a path is the dashboard's, for hosts that make a router for each request.
pub fn is_for(path: &str) -> bool {
    path == "/" || path.strip_prefix("/dashboard").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What one must be signed in for.
fn pages() -> Router<Desk> {
    Router::new()
        .merge(approvals::routes())
        .merge(apps::routes())
        .merge(breakers::routes())
        .merge(dlq::routes())
        .merge(dlq_bulk::routes())
        .merge(endpoint::routes())
        .merge(events::routes())
        .merge(fanout::routes())
        .merge(fanouts::routes())
        .merge(flow::routes())
        .merge(flows::routes())
        .merge(keys::routes())
        .merge(message::routes())
        .merge(messages::routes())
        .merge(messages_bulk::routes())
        .merge(runs_bulk::routes())
        .merge(overview::routes())
        .merge(schedule::routes())
        .merge(schedule_form::routes())
        .merge(schedule_words::routes())
        .merge(schedules::routes())
        .merge(run::routes())
        .merge(run_actions::routes())
        .merge(run_diff::routes())
        .merge(run_fork::routes())
        .merge(run_start::routes())
        .merge(runs::routes())
        .merge(secrets::routes())
        .merge(send::routes())
        .merge(workflows::routes())
        .route("/dashboard/sign-out", post(sign_in::leave))
        .route("/dashboard/theme", post(sign_in::theme))
        .route("/dashboard/{*rest}", any(nowhere))
        .method_not_allowed_fallback(nowhere)
}

async fn to_dashboard() -> Redirect {
    Redirect::to("/dashboard")
}

async fn nowhere() -> impl IntoResponse {
    Refusal::not_found("page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_dashboard_are_told_from_the_apis() {
        for path in ["/", "/dashboard", "/dashboard/", "/dashboard/messages"] {
            assert!(is_for(path), "{path}");
        }
        for path in ["/dashboards", "/v1/messages", "/healthz", ""] {
            assert!(!is_for(path), "{path}");
        }
    }
}
