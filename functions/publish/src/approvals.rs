//! Approvals: questions of runs to people. In scope: who may answer, and whether the answer fits. Out of scope: whether the question is still
//! open, which the database decides under the run's lock.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tikku_domain::approval::{self, Answer, Person, Policy};
use tikku_domain::approval_view::{ApprovalPage, ApprovalView};
use tikku_domain::ids::{AccountId, RunId};
use tikku_domain::problem::{Kind, Problem};
use tikku_domain::run_filter_query;
use tikku_platform::Ctx;
use tikku_store::{Approval, ApprovalAnswer, RunControl};

use crate::app_shapes::ApprovalRequest;
use crate::auth::{self, Needs};
use crate::reply::{ApiError, json};
use crate::request::{self, IdPair};
use crate::run_shapes::ApprovalQuery;

/// Lists approvals that wait for an answer, newest first; with `status=all` those that were answered too.
#[utoipa::path(get, path = "/v1/approvals", operation_id = "listApprovals", tag = "approvals", params(ApprovalQuery), responses(
    (status = 200, description = "A page", body = ApprovalPage),
))]
pub async fn list(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Read).await?;
    let (open_only, page) = run_filter_query::approvals(&request::query(&uri))?;
    Ok(json(StatusCode::OK, &ctx.store.approval_list(caller.account, open_only, &page).await?))
}

/// Answers an approval. Its policy may ask for more than the role.
#[utoipa::path(post, path = "/v1/runs/{id}/approvals/{key}", operation_id = "answerApproval", security(("key" = ["publish"])), tag = "approvals", params(
    ("id" = String, Path, description = "run_..."),
    ("key" = String, Path, description = "The step's key, percent-encoded: ok%230"),
), request_body = ApprovalRequest, responses(
    (status = 200, description = "The approval", body = ApprovalView),
    (status = 409, description = "It was answered, has expired, or its run is over", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The data does not fit the schema; the approval still waits", body = Problem, content_type = "application/problem+json"),
))]
pub async fn answer(State(ctx): State<Arc<Ctx>>, headers: HeaderMap, IdPair(id, key): IdPair, body: Body) -> Result<Response, ApiError> {
    let caller = auth::caller(&ctx, &headers, Needs::Publish).await?;
    let id: RunId = request::id(&id, "approval")?;
    let bytes = request::bytes(&headers, body).await?;
    let asked = ctx.store.approval_get(caller.account, id, &key).await?.ok_or_else(missing)?;
    let answer = approval::parse(&bytes)?;
    let person = Person { role: &caller.role, key: caller.key, initiator: asked.started_by };
    if let Some(refusal) = policy(&asked).refusal(person) {
        return Err(Problem::new(Kind::Forbidden, refusal).into());
    }
    let (data, by_name) = (answer.data.as_deref(), answer.by.as_deref());
    let given = ApprovalAnswer { approve: answer.approve, data, by: Some(caller.key), by_name };
    give(&ctx, caller.account, id, &key, &asked, &answer, &given).await?;
    let view = ctx.store.approval_view(caller.account, id, &key).await?.ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &view))
}

/// The policy of an approval; one that cannot be read lets nobody answer.
pub fn policy(asked: &Approval) -> Policy {
    Policy::stored(&asked.policy).unwrap_or_else(|| Policy { roles: vec!["nobody".to_owned()], ..Policy::default() })
}

/// Checks an answer's data and records it.
pub async fn give(
    ctx: &Ctx,
    account: AccountId,
    id: RunId,
    key: &str,
    asked: &Approval,
    answer: &Answer,
    given: &ApprovalAnswer<'_>,
) -> Result<(), ApiError> {
    if asked.state != "open" {
        return Err(over(&asked.state).into());
    }
    if let Err(errors) = approval::check_data(asked.schema.as_deref(), answer) {
        let detail = errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>().join("; ");
        return Err(Problem { errors, ..Problem::new(Kind::UnfitData, detail) }.into());
    }
    match ctx.store.approval_answer(account, id, key, given).await? {
        RunControl::Done { kicks } => {
            ctx.kick(&kicks).await;
            Ok(())
        }
        RunControl::Missing => Err(missing().into()),
        RunControl::Conflict { state } => Err(over(&state).into()),
    }
}

/// The approval does not wait any more.
pub fn over(state: &str) -> Problem {
    let detail = match state {
        "expired" => "the approval has expired: nobody answered it in time".to_owned(),
        "closed" => "the approval is closed: its run is over".to_owned(),
        state => format!("the approval was answered already: it is {state}"),
    };
    Problem::new(Kind::Conflict, detail)
}

fn missing() -> Problem {
    Problem::not_found("approval")
}
