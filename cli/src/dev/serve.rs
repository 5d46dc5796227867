//! The HTTP side of `tikku dev`: the API, the dashboard, and a receiver that says yes.
//!
//! Out of scope: the routes of the API (STAGE 1, tikku-publish), the pages (tikku-dashboard).

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::any;
use axum::serve::ListenerExt;
use tikku_domain::limits::REQUEST_BYTES_MAX;
use tikku_platform::Ctx;
use tokio::net::TcpListener;

use super::stop::Stop;

/// How long open requests may go on after a stop.
const REQUESTS_WAIT: Duration = Duration::from_secs(5);

/// Takes the port; nothing is answered yet.
pub async fn listen(host: IpAddr, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!("port {port} of {host} is taken: stop the program that uses it, or choose another with --port"),
        _ => anyhow!("could not listen on port {port} of {host}: {error}"),
    })
}

/// Answers requests until a stop; requests that are open then may end.
pub async fn run(listener: TcpListener, ctx: Arc<Ctx>, stop: Stop) -> Result<()> {
    let api = tikku_publish::router(ctx.clone());
    let router = api.clone().merge(tikku_dashboard::router(ctx, api)).merge(echo());
    // Small answers leave at once.
    let listener = listener.tap_io(|socket| {
        let _slower = socket.set_nodelay(true);
    });
    let (mut signal, mut limit) = (stop.clone(), stop);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { signal.wait().await });
    tokio::select! {
        served = async { serving.await } => served.context("the HTTP server failed"),
        () = async { limit.wait().await; tokio::time::sleep(REQUESTS_WAIT).await } => Ok(()),
    }
}

/// `/dev/echo`: a destination for trying things out; it answers 200 with what it was sent.
fn echo() -> Router {
    let reply = |body: Bytes| async move {
        let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (headers, body).into_response()
    };
    Router::new().route("/dev/echo", any(reply)).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
}
