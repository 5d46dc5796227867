//! The machine as reqwest sees it: tokio with rustls natively, `fetch` and `setTimeout` on wasm.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::host::{Host, NoAnswer};

/// A [`Host`] over reqwest. Clones share its connections.
#[derive(Clone, Debug)]
pub struct ReqwestHost(reqwest::Client);

/// The HTTP client could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no HTTP client: {0}")]
pub struct NoClient(String);

impl ReqwestHost {
    /// Makes a client with Mozilla's roots.
    ///
    /// # Errors
    /// [`NoClient`] if TLS cannot be set up.
    pub fn new() -> Result<Self, NoClient> {
        client().map(Self)
    }

    /// Takes a client of your own: with a proxy, other roots, other time limits.
    #[must_use]
    pub fn with_client(client: reqwest::Client) -> Self {
        Self(client)
    }
}

async fn exchange(client: reqwest::Client, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
    let explain = |error: reqwest::Error| NoAnswer(innermost(&error));
    let (parts, body) = request.into_parts();
    let response = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body).send().await.map_err(explain)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut answer = http::Response::new(response.bytes().await.map_err(explain)?);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(not(target_family = "wasm"))]
fn client() -> Result<reqwest::Client, NoClient> {
    use std::sync::Arc;

    let fault = |error: &dyn std::error::Error| NoClient(error.to_string());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(60))
        .build()
        .map_err(|error| fault(&error))
}

#[cfg(not(target_family = "wasm"))]
impl Host for ReqwestHost {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<Bytes>, NoAnswer>> {
        exchange(self.0.clone(), request).boxed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    #[expect(clippy::disallowed_methods, reason = "the SDK runs in programs of its users, far from the database's clock")]
    fn unix_ms(&self) -> u64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.map_or(0, crate::retry::millis)
    }
}

#[cfg(target_family = "wasm")]
fn client() -> Result<reqwest::Client, NoClient> {
    reqwest::Client::builder().build().map_err(|error| NoClient(error.to_string()))
}

// JavaScript's promises are not Send; there is one thread, and the wrapper checks that.
#[cfg(target_family = "wasm")]
impl Host for ReqwestHost {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<Bytes>, NoAnswer>> {
        send_wrapper::SendWrapper::new(exchange(self.0.clone(), request)).boxed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).min(i32::MAX as u32);
        send_wrapper::SendWrapper::new(gloo_timers::future::TimeoutFuture::new(ms)).boxed()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of this age fit")]
    fn unix_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }
}
