//! An endpoint in axum on loopback and an engine beside it: everything crosses real sockets.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tikku::{Checkpoint, Host, ReqwestHost, Serve, Step, Workflow};

use crate::engine::{Engine, SECRET};

async fn engine_route(State(engine): State<Engine>, uri: Uri, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let token = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ");
    let (status, answer) = engine.handle(uri.path(), uri.query().unwrap_or_default(), token, &body).unwrap();
    (StatusCode::from_u16(status).unwrap(), answer.to_string())
}

async fn listen(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

fn order() -> Workflow {
    Workflow::new("order", async |step: Step, id: String| {
        let charge: String = step.run("charge", async |ctx| Ok(format!("{id}/{}", ctx.attempt))).await?;
        let parcels = step.all((0..3).map(|i| step.run("pack", async move |_| Ok(i)))).await?;
        Ok(json!({ "charge": charge, "parcels": parcels }))
    })
}

#[tokio::test]
async fn an_axum_endpoint_checkpoints_to_the_engine_over_http() {
    let engine = Engine::new(vec![json!({ "seq": 1, "key": "charge#0", "kind": "run", "state": "ok", "value": "before" })]);
    engine.state().page_entries = 2;
    let base = listen(Router::new().fallback(engine_route).with_state(engine.clone())).await;
    let serve = Serve::builder().workflow(order()).signing_secret(SECRET).checkpoint(Checkpoint::Each).build().unwrap();
    let url = listen(Router::new().route_service("/tikku", serve)).await;

    let host = ReqwestHost::new().unwrap();
    let now_seconds = i64::try_from(host.unix_ms() / 1000).unwrap();
    let (parts, body) = Engine::signed(&engine.invoke("order", &json!("o1"), &base), now_seconds).into_parts();
    let mut request = axum::http::Request::post(format!("{url}/tikku")).body(body.clone()).unwrap();
    request.headers_mut().extend(parts.headers.clone());
    let response = host.send(request).await.unwrap();
    assert_eq!((response.status(), &response.headers()["content-type"]), (StatusCode::OK, &"application/json".parse().unwrap()));
    let reply: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(reply["ops"], json!([{ "op": "done", "value": { "charge": "before", "parcels": [0, 1, 2] } }]));
    assert_eq!(engine.state().entries.len(), 4);
    assert_eq!(engine.state().checkpoints.len(), 1);

    let mut forged = axum::http::Request::post(format!("{url}/tikku")).body(Bytes::from_static(b"{}")).unwrap();
    forged.headers_mut().extend(parts.headers);
    let refused = host.send(forged).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["content-type"]), (401, &"application/problem+json".parse().unwrap()));
}
