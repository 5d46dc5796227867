//! `/v1/signing-secret`: what endpoints verify pushes with.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tikku_domain::fields::Fields;
use tikku_domain::limits;
use tikku_domain::view::SigningSecretView;
use tikku_platform::Ctx;

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request;
use crate::shapes::RotateRequest;

/// Shows the signing secret and the rotated ones that still sign.
#[utoipa::path(get, path = "/v1/signing-secret", operation_id = "getSigningSecret", security(("key" = ["admin"])), tag = "signing", responses(
    (status = 200, description = "The secrets", body = SigningSecretView),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    Ok(json(StatusCode::OK, &ctx.store.signing_secret_list(caller.account).await?))
}

/// Makes a new signing secret. The old one signs beside it for the overlap, so that receivers can change over.
#[utoipa::path(post, path = "/v1/signing-secret/rotate", operation_id = "rotateSigningSecret", security(("key" = ["admin"])), tag = "signing", request_body = Option<RotateRequest>, responses(
    (status = 200, description = "The secrets", body = SigningSecretView),
))]
pub async fn rotate(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let bytes = request::bytes(&headers, body).await?;
    let mut overlap_s = limits::OVERLAP_SECONDS_DEFAULT;
    if !bytes.is_empty() {
        let mut fields = Fields::parse(&bytes).map_err(|error| vec![error])?;
        overlap_s = fields.integer("overlapSeconds", 0..=limits::OVERLAP_SECONDS_MAX).unwrap_or(overlap_s);
        fields.finish()?;
    }
    ctx.store.signing_secret_rotate(caller.account, overlap_s * 1000).await?;
    Ok(json(StatusCode::OK, &ctx.store.signing_secret_list(caller.account).await?))
}
