//! `/v1/fanouts`: named lists of endpoints, replaced whole or edited one endpoint at a time. Publishes see an edit at once; messages that
//! were made before it stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::config_view::{EndpointView, FanoutPage, FanoutView};
use tikku_domain::fanout::{self, FanoutName};
use tikku_domain::filter;
use tikku_domain::ids::{AccountId, EndpointId};
use tikku_domain::limits::{ENDPOINTS_MAX, FANOUT_BYTES_MAX};
use tikku_domain::problem::{Kind, Problem};
use tikku_platform::Ctx;
use tikku_store::FanoutEdit;
use utoipa::ToSchema;

use crate::auth::{self, Needs};
use crate::etag::{self, if_match, with_etag};
use crate::publish_shapes::FlowControlRequest;
use crate::publishing;
use crate::reply::{ApiError, json};
use crate::request::{self, IdText};
use crate::shapes::{BackoffRequest, Method, PageQuery};

/// The endpoints of a fanout.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::fanout reads")]
pub struct FanoutRequest {
    /// Each url and each workflow once. URLs and headers of all have at most 2 MiB together.
    #[schema(max_items = 1000)]
    endpoints: Vec<EndpointRequest>,
}

/// Where a fanout delivers: a url, or a workflow that it starts. What is absent is as the publish says.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "describes what domain::fanout reads")]
pub struct EndpointRequest {
    /// Where to push.
    #[schema(example = "https://example.com/hook")]
    url: Option<String>,
    /// Instead of url: the workflow of which a run is started, with the body of the publish as its input. method and headers have no meaning then.
    workflow: Option<String>,
    /// HTTP method. With GET and HEAD the body of the publish is left out.
    method: Option<Method>,
    /// They replace those of the publish that have the same names.
    headers: Option<BTreeMap<String, String>>,
    /// How often a message may be tried.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<i64>,
    /// The wait between attempts.
    backoff: Option<BackoffRequest>,
    /// How long one push may take.
    #[schema(minimum = 1, maximum = 840)]
    timeout_seconds: Option<i64>,
    /// The flow of its messages.
    flow_control: Option<FlowControlRequest>,
    /// While true, publishes make no message for it: it does not get them later either.
    #[schema(default = false)]
    paused: Option<bool>,
}

/// Lists fanouts by name, without their endpoints.
#[utoipa::path(get, path = "/v1/fanouts", operation_id = "listFanouts", tag = "fanouts", params(PageQuery), responses(
    (status = 200, description = "A page", body = FanoutPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let page = filter::page::<FanoutName>(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.fanout_list(caller.account, &page).await?))
}

/// Shows a fanout with its endpoints.
#[utoipa::path(get, path = "/v1/fanouts/{name}", operation_id = "getFanout", tag = "fanouts", params(
    ("name" = String, Path, description = "The fanout's name"),
), responses(
    (status = 200, description = "The fanout", body = FanoutView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn show(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    answer(&ctx, caller.account, &request::id(&name, "fanout")?, StatusCode::OK).await
}

/// Makes a fanout, or gives it other endpoints. An endpoint whose url stays keeps its id.
#[utoipa::path(put, path = "/v1/fanouts/{name}", operation_id = "putFanout", security(("key" = ["publish"])), tag = "fanouts", params(
    ("name" = String, Path, description = "1 to 64 of A-Z, a-z, 0-9, dot, hyphen and underscore; not . or .."),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be replaced; * for any, but none that is missing"),
), request_body = FanoutRequest, responses(
    (status = 200, description = "Replaced", body = FanoutView, headers(("ETag" = String, description = "Its revision in quotes"))),
    (status = 201, description = "Made", body = FanoutView, headers(("ETag" = String, description = "Its revision in quotes"))),
))]
pub async fn put(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let if_match = if_match(&headers)?;
    let name: FanoutName = name.parse().map_err(|e: fanout::FanoutNameError| Problem::invalid_field("name", format!("name {e}")))?;
    let bytes = request::bytes(&headers, body).await?;
    let endpoints = fanout::parse(&bytes, &publishing::rules(&ctx))?;
    let edit = ctx.store.fanout_put(caller.account, &name, &if_match, &endpoints).await?;
    let status = if edit == FanoutEdit::Made { StatusCode::CREATED } else { StatusCode::OK };
    done(edit, "fanout")?;
    answer(&ctx, caller.account, &name, status).await
}

/// Deletes a fanout with its endpoints. Messages that were made stay.
#[utoipa::path(delete, path = "/v1/fanouts/{name}", operation_id = "deleteFanout", security(("key" = ["publish"])), tag = "fanouts", params(
    ("name" = String, Path, description = "The fanout's name"),
    ("If-Match" = Option<String>, Header, description = "Revisions that may be deleted"),
), responses(
    (status = 204, description = "Deleted"),
))]
pub async fn delete(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText) -> Result<StatusCode, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let name = request::id(&name, "fanout")?;
    done(ctx.store.fanout_delete(caller.account, &name, &if_match(&headers)?).await?, "fanout")?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds an endpoint to a fanout.
#[utoipa::path(post, path = "/v1/fanouts/{name}/endpoints", operation_id = "addEndpoint", security(("key" = ["publish"])), tag = "fanouts", params(
    ("name" = String, Path, description = "The fanout's name"),
    ("If-Match" = Option<String>, Header, description = "Revisions of the fanout that may be changed"),
), request_body = EndpointRequest, responses(
    (status = 201, description = "The endpoint", body = EndpointView, headers(("ETag" = String, description = "The fanout's revision in quotes"))),
    (status = 409, description = "The fanout has the url or workflow, or 1,000 endpoints", body = Problem, content_type = "application/problem+json"),
))]
pub async fn add(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdText(name): IdText, body: Body) -> Result<Response, ApiError> {
    put_endpoint(&ctx, &headers, &name, None, body).await
}

/// Replaces an endpoint of a fanout; it keeps its id.
#[utoipa::path(put, path = "/v1/fanouts/{name}/endpoints/{id}", operation_id = "putEndpoint", security(("key" = ["publish"])), tag = "fanouts", params(
    ("name" = String, Path, description = "The fanout's name"),
    ("id" = String, Path, description = "ep_..."),
    ("If-Match" = Option<String>, Header, description = "Revisions of the fanout that may be changed"),
), request_body = EndpointRequest, responses(
    (status = 200, description = "The endpoint", body = EndpointView, headers(("ETag" = String, description = "The fanout's revision in quotes"))),
    (status = 409, description = "Another endpoint of the fanout has the url or workflow", body = Problem, content_type = "application/problem+json"),
))]
pub async fn replace(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, place: Place, body: Body) -> Result<Response, ApiError> {
    put_endpoint(&ctx, &headers, &place.fanout, Some(&place.id), body).await
}

/// Deletes an endpoint of a fanout. Messages that were made for it stay.
#[utoipa::path(delete, path = "/v1/fanouts/{name}/endpoints/{id}", operation_id = "deleteEndpoint", security(("key" = ["publish"])), tag = "fanouts", params(
    ("name" = String, Path, description = "The fanout's name"),
    ("id" = String, Path, description = "ep_..."),
    ("If-Match" = Option<String>, Header, description = "Revisions of the fanout that may be changed"),
), responses(
    (status = 204, description = "Deleted"),
))]
pub async fn remove(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, place: Place) -> Result<StatusCode, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let (name, id) = (request::id(&place.fanout, "fanout")?, request::id(&place.id, "endpoint")?);
    let edit = ctx.store.fanout_endpoint_delete(caller.account, &name, id, &if_match(&headers)?).await?;
    done(edit, "endpoint of a fanout")?;
    Ok(StatusCode::NO_CONTENT)
}

/// The `{name}` and `{id}` of an endpoint's path.
pub struct Place {
    fanout: String,
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((fanout, id))) => Ok(Self { fanout, id }),
            Err(_) => Err(Problem::not_found("endpoint").into()),
        }
    }
}

async fn put_endpoint(ctx: &Ctx, headers: &HeaderMap, name: &str, id: Option<&str>, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(ctx, headers, Needs::Publish).await?;
    let if_match = if_match(headers)?;
    let name: FanoutName = request::id(name, "fanout")?;
    let id: Option<EndpointId> = id.map(|id| request::id(id, "endpoint")).transpose()?;
    let bytes = request::bytes(headers, body).await?;
    let endpoint = fanout::endpoint(&bytes, &publishing::rules(ctx))?;
    let (edit, written) = ctx.store.fanout_endpoint_put(caller.account, &name, id, &if_match, &endpoint).await?;
    done(edit, if id.is_some() { "endpoint of a fanout" } else { "fanout" })?;
    let shown = ctx.store.fanout_get(caller.account, &name).await?.ok_or_else(|| Problem::not_found("fanout"))?;
    let written = written.map(|id| id.to_string()).unwrap_or_default();
    let view = shown.endpoints.into_iter().find(|endpoint| endpoint.id == written).ok_or_else(|| Problem::not_found("endpoint"))?;
    let status = if id.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok(with_etag(json(status, &view), shown.revision))
}

async fn answer(ctx: &Ctx, account: AccountId, name: &FanoutName, status: StatusCode) -> Result<Response, ApiError> {
    let view = ctx.store.fanout_get(account, name).await?.ok_or_else(|| Problem::not_found("fanout"))?;
    Ok(with_etag(json(status, &view), view.revision))
}

fn done(edit: FanoutEdit, what: &str) -> Result<(), Problem> {
    match edit {
        FanoutEdit::Made | FanoutEdit::Done => Ok(()),
        FanoutEdit::Missing => Err(Problem::not_found(what)),
        FanoutEdit::Stale => Err(etag::precondition_failed("fanout")),
        FanoutEdit::Taken => {
            Err(Problem::new(Kind::Conflict, "another endpoint of this fanout has this url or workflow; a fanout has each once"))
        }
        FanoutEdit::Full => Err(Problem::new(Kind::Conflict, format!("a fanout has at most {ENDPOINTS_MAX} endpoints"))),
        FanoutEdit::TooLarge => {
            let detail = format!("urls and headers of all endpoints of a fanout may have at most {FANOUT_BYTES_MAX} bytes together");
            Err(Problem::new(Kind::TooLarge, detail))
        }
    }
}
