//! The API inside the process: pages read and act through the same routes as every other client, so its checks are theirs.
//!
//! Out of scope: which routes there are (STAGE 1, tikku-publish); who may call (`gate` makes an [`Api`] for each request).

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use http::{HeaderValue, Method, Request, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tikku_domain::problem::Kind;
use tikku_publish::Principal;
use tower_service::Service;

use crate::refusal::Refusal;

/// The largest answer that a page reads.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The API as one person may use it.
#[derive(Clone, Debug)]
pub struct Api {
    router: Router,
    principal: Principal,
    /// Of all that was answered.
    hash: Arc<Mutex<Sha256>>,
}

/// An answer with a status below 400.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    bytes: Bytes,
}

impl Answer {
    /// The body, read as JSON.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            tracing::error!(%error, "the dashboard does not understand an answer of the API");
            broken()
        })
    }
}

impl Api {
    /// The API for a principal.
    pub fn new(router: Router, principal: Principal) -> Self {
        Self { router, principal, hash: Arc::default() }
    }

    /// A hash of all that the API has answered to this request. A page made of the same answers is the same page.
    pub fn version(&self) -> String {
        let hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// GET, read as JSON. Ids in paths go through [`crate::link::segment`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.send(Method::GET, path, &[], None).await?.read()
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, Refusal> {
        self.send(Method::POST, path, &[], Some(json(body)?)).await
    }

    /// POST without a body.
    pub async fn act(&self, path: &str) -> Result<Answer, Refusal> {
        self.send(Method::POST, path, &[], None).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<Answer, Refusal> {
        self.send(Method::PUT, path, &[], Some(json(body)?)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer, Refusal> {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// Any request, with headers such as If-Match. A status of 400 or more is a [`Refusal`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Refusal> {
        let mut request = Request::new(body.map_or_else(Body::empty, Body::from));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Refusal::not_found("thing"))?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| Refusal::new(Kind::InvalidRequest, format!("{name} is no header")))?;
            request.headers_mut().insert(*name, value);
        }
        request.extensions_mut().insert(self.principal.clone());
        let response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(|_| broken())?;
        self.hash.lock().unwrap_or_else(PoisonError::into_inner).update(&bytes);
        let answer = Answer { status: head.status.as_u16(), bytes };
        if answer.status < 400 { Ok(answer) } else { Err(answer.read()?) }
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(body).map_err(|_| broken())
}

fn broken() -> Refusal {
    Refusal::new(Kind::Internal, "something went wrong on our side")
}
