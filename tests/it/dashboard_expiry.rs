//! How long a session lasts, by the database's clock. Out of scope: what else ends one (`scenarios/dashboard`).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, header};
use tower_service::Service;

use crate::run_bed::ctx;
use crate::world::World;

const HOUR_S: i64 = 3600;

/// The dashboard as it is so many seconds later.
fn later(world: &World, seconds: i64) -> Router {
    let ctx = Arc::new(ctx(world.later(seconds)));
    let api = tikku_publish::router(ctx.clone());
    tikku_dashboard::router(ctx, api)
}

async fn call(mut router: Router, method: &str, path: &str, cookie: &str, body: String) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost").header(header::COOKIE, cookie);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(Body::from(body)).unwrap();
    router.call(request).await.unwrap()
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let line = headers.get(header::SET_COOKIE)?.to_str().unwrap();
    Some(line.split(';').next().unwrap().to_owned())
}

/// A session that begins now.
async fn session(world: &World) -> String {
    let key = world.store.api_key_create(world.account, "browser", "admin").await.unwrap().key;
    let answer = call(later(world, 0), "POST", "/dashboard/sign-in", "", format!("key={key}")).await;
    cookie(answer.headers()).expect("a session")
}

async fn open(world: &World, seconds: i64, path: &str, session: &str) -> (u16, Option<String>) {
    let answer = call(later(world, seconds), "GET", path, session, String::new()).await;
    (answer.status().as_u16(), cookie(answer.headers()))
}

#[tokio::test]
async fn a_session_ends_twelve_hours_after_its_last_use() {
    let world = World::new("dashboard_expiry").await;
    let first = session(&world).await;
    assert_eq!(open(&world, 300, "/dashboard/messages", &first).await, (200, None), "it is not renewed by every page");
    let (status, renewed) = open(&world, 11 * HOUR_S, "/dashboard/messages", &first).await;
    let renewed = renewed.expect("a new end");
    assert_eq!(status, 200);
    assert_eq!(open(&world, 12 * HOUR_S + 1, "/dashboard/messages", &first).await, (303, None));
    assert_eq!(open(&world, 22 * HOUR_S, "/dashboard/messages", &renewed).await.0, 200);
    assert_eq!(open(&world, 23 * HOUR_S + 1, "/dashboard/messages", &renewed).await, (303, None));
}

#[tokio::test]
async fn a_page_that_refreshes_itself_does_not_prolong_its_session() {
    let world = World::new("dashboard_forgotten").await;
    let session = session(&world).await;
    assert_eq!(open(&world, 11 * HOUR_S, "/dashboard/messages/live?v=x", &session).await, (200, None));
}
