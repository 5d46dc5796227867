//! A workflow on Cloudflare Workers, with workers-rs: build it with `worker-build`, and set the secret TIKKU_SIGNING_SECRET.
//!
//! The crate is empty on other targets.

#![cfg(target_arch = "wasm32")]

use std::time::Duration;

use http::Response;
use http_body_util::Full;
use tikku::{Serve, Workflow};
use tower_service::Service;
use worker::{Context, Env, HttpRequest, Result, event};

#[event(fetch)]
async fn fetch(request: HttpRequest, env: Env, _context: Context) -> Result<Response<Full<bytes::Bytes>>> {
    let greet = Workflow::new("greet", async |step, name: String| {
        let greeting = step.run("greet", async |_| Ok(format!("Hello {name}"))).await?;
        step.sleep("pause", Duration::from_secs(60)).await?;
        Ok(greeting)
    });
    let secret = env.secret("TIKKU_SIGNING_SECRET")?.to_string();
    let mut serve =
        Serve::builder().workflow(greet).signing_secret(secret).build().map_err(|error| worker::Error::from(error.to_string()))?;
    match serve.call(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}
