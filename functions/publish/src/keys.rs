//! `/v1/keys`: API keys, shown once, listed without their text, revoked for ever.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::fields::Fields;
use tikku_domain::filter;
use tikku_domain::ids::KeyId;
use tikku_domain::limits;
use tikku_domain::problem::Problem;
use tikku_domain::view::{KeyPage, NewKeyView};
use tikku_platform::Ctx;

use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::shapes::{NewKeyRequest, PageQuery};

/// Lists API keys, newest first, without their text.
#[utoipa::path(get, path = "/v1/keys", operation_id = "listKeys", tag = "keys", params(PageQuery), responses(
    (status = 200, description = "A page", body = KeyPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<KeyId>(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.api_key_list(caller.account, page.cursor, page.limit).await?))
}

/// Makes an API key. Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/keys", operation_id = "createKey", security(("key" = ["admin"])), tag = "keys", request_body = NewKeyRequest, responses(
    (status = 201, description = "The key", body = NewKeyView),
))]
pub async fn create(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let bytes = request::bytes(&headers, body).await?;
    let mut fields = Fields::parse(&bytes).map_err(|error| vec![error])?;
    let name = fields.string("name", 0..=limits::KEY_NAME_CHARS_MAX).unwrap_or_default();
    let role = fields.word("role", &[("admin", "admin"), ("publish", "publish"), ("read", "read")]).unwrap_or("publish");
    fields.finish()?;
    Ok(json(StatusCode::CREATED, &ctx.store.api_key_create(caller.account, &name, role).await?))
}

/// Revokes an API key, at once and for ever; revoking it again is the same.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revokeKey", security(("key" = ["admin"])), tag = "keys", params(("id" = String, Path, description = "key_...")), responses(
    (status = 204, description = "Revoked"),
))]
pub async fn revoke(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(id): IdText) -> Result<StatusCode, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Admin).await?;
    let id = request::id(&id, "key")?;
    match ctx.store.api_key_revoke(caller.account, id).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Problem::not_found("key").into()),
    }
}
