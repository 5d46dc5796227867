//! Fanouts and their endpoints: read and edited. Out of scope: publishing to one (`message`).

use serde_json::json;
use tikku_domain::config_view::{EndpointView, FanoutPage, FanoutSummary, FanoutView};
use tikku_domain::destination;
use tikku_domain::etag::IfMatch;
use tikku_domain::fanout::{Endpoint, FanoutName};
use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, EndpointId};
use tikku_domain::limits::{ENDPOINTS_MAX, FANOUT_BYTES_MAX};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::message_publish::flow_json;
use crate::message_read::{backoff, flow, pairs};
use crate::{Store, StoreError, page_of};

/// What an edit of a fanout met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanoutEdit {
    /// The fanout is new.
    Made,
    /// It did its work.
    Done,
    /// The account has no such fanout, or the fanout no such endpoint.
    Missing,
    /// The fanout is not at a revision that may be changed.
    Stale,
    /// Another endpoint of the fanout has the URL or the workflow.
    Taken,
    /// The fanout has [`ENDPOINTS_MAX`] endpoints.
    Full,
    /// URLs and headers of all endpoints would exceed [`FANOUT_BYTES_MAX`].
    TooLarge,
}

/// A fanout with its endpoints, from one snapshot: the revision is that of the endpoints.
pub const GET: &str = "-- fanout::get
select f.revision, tikku.rfc3339(f.created_at) as created_at, tikku.rfc3339(f.updated_at) as updated_at, e.id, e.url, e.method,
  e.headers::text as headers, e.max_attempts::int4 as max_attempts, e.timeout_ms, e.backoff::text as backoff, e.flow_key, e.flow::text as flow, e.paused
from tikku.fanout f left join tikku.fanout_endpoint e on e.account_id = f.account_id and e.fanout = f.name
where f.account_id = $1 and f.name = $2 order by e.id";

/// A page by name.
pub const LIST: &str = "-- fanout::list
select f.name, f.revision, tikku.rfc3339(f.created_at) as created_at, tikku.rfc3339(f.updated_at) as updated_at, n.endpoints, n.paused
from tikku.fanout f cross join lateral (select count(*) as endpoints, count(*) filter (where e.paused) as paused
  from tikku.fanout_endpoint e where e.account_id = f.account_id and e.fanout = f.name) n
where f.account_id = $1 and ($2::text is null or f.name > $2) order by f.name limit $3";

/// Makes or replaces a fanout.
pub const PUT: &str = "-- fanout::put
select tikku.fanout_put($1, $2, $3, $4, $5::text::json, $6) as verdict";

/// Deletes a fanout.
pub const DELETE: &str = "-- fanout::delete
select tikku.fanout_delete($1, $2, $3) as verdict";

/// Adds or replaces an endpoint.
pub const ENDPOINT_PUT: &str = "-- fanout_endpoint::put
select verdict, endpoint_id from tikku.fanout_endpoint_put($1, $2, $3, $4, $5::text::json, $6, $7)";

/// Deletes an endpoint.
pub const ENDPOINT_DELETE: &str = "-- fanout_endpoint::delete
select tikku.fanout_endpoint_delete($1, $2, $3, $4) as verdict";

impl Store {
    /// A fanout with its endpoints; `None` when the account has none of this name. S.
    pub async fn fanout_get(&self, account: AccountId, name: &FanoutName) -> Result<Option<FanoutView>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&name.0, Type::TEXT)]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let endpoints = rows.iter().filter(|row| row.get::<_, Option<uuid::Uuid>>("id").is_some());
        Ok(Some(FanoutView {
            name: name.to_string(),
            endpoints: endpoints.map(endpoint).collect::<Result<_, _>>()?,
            revision: first.get("revision"),
            created_at: first.get("created_at"),
            updated_at: first.get("updated_at"),
        }))
    }

    /// A page of fanouts without their endpoints. S.
    pub async fn fanout_list(&self, account: AccountId, page: &Page<FanoutName>) -> Result<FanoutPage, StoreError> {
        let (cursor, more) = (page.cursor.as_ref().map(|name| &name.0), page.limit + 1);
        let rows = self.rows(LIST, &[(&account.0, Type::UUID), (&cursor, Type::TEXT), (&more, Type::INT8)]).await?;
        let (data, next_cursor) = page_of(&rows, page.limit, |row| Ok(summary(row)), |fanout| &fanout.name)?;
        Ok(FanoutPage { data, next_cursor })
    }

    /// Gives a fanout these endpoints, and makes it when it is missing. An endpoint whose URL stays keeps its id. F.
    pub async fn fanout_put(
        &self,
        account: AccountId,
        name: &FanoutName,
        if_match: &IfMatch,
        endpoints: &[Endpoint],
    ) -> Result<FanoutEdit, StoreError> {
        let (must_exist, revisions) = (if_match.must_exist(), if_match.revisions());
        let list = serde_json::Value::from_iter(endpoints.iter().map(record)).to_string();
        let params = [
            (&account.0 as &(dyn tokio_postgres::types::ToSql + Sync), Type::UUID),
            (&name.0, Type::TEXT),
            (&must_exist, Type::BOOL),
            (&revisions, Type::INT8_ARRAY),
            (&list, Type::TEXT),
            (&FANOUT_BYTES_MAX, Type::INT8),
        ];
        verdict(&self.row(PUT, &params).await?)
    }

    /// Deletes a fanout; messages that were made stay. F.
    pub async fn fanout_delete(&self, account: AccountId, name: &FanoutName, if_match: &IfMatch) -> Result<FanoutEdit, StoreError> {
        let revisions = if_match.revisions();
        let params =
            [(&account.0 as &(dyn tokio_postgres::types::ToSql + Sync), Type::UUID), (&name.0, Type::TEXT), (&revisions, Type::INT8_ARRAY)];
        verdict(&self.row(DELETE, &params).await?)
    }

    /// Replaces an endpoint, or adds one when `id` is `None`; answers its id too. F.
    pub async fn fanout_endpoint_put(
        &self,
        account: AccountId,
        fanout: &FanoutName,
        id: Option<EndpointId>,
        if_match: &IfMatch,
        endpoint: &Endpoint,
    ) -> Result<(FanoutEdit, Option<EndpointId>), StoreError> {
        let (id, revisions, most) = (id.map(|id| id.0), if_match.revisions(), ENDPOINTS_MAX as i64);
        let record = record(endpoint).to_string();
        let params = [
            (&account.0 as &(dyn tokio_postgres::types::ToSql + Sync), Type::UUID),
            (&fanout.0, Type::TEXT),
            (&id, Type::UUID),
            (&revisions, Type::INT8_ARRAY),
            (&record, Type::TEXT),
            (&most, Type::INT8),
            (&FANOUT_BYTES_MAX, Type::INT8),
        ];
        let row = self.row(ENDPOINT_PUT, &params).await?;
        Ok((verdict(&row)?, row.get::<_, Option<uuid::Uuid>>("endpoint_id").map(EndpointId)))
    }

    /// Deletes an endpoint; messages that were made for it stay. F.
    pub async fn fanout_endpoint_delete(
        &self,
        account: AccountId,
        fanout: &FanoutName,
        id: EndpointId,
        if_match: &IfMatch,
    ) -> Result<FanoutEdit, StoreError> {
        let revisions = if_match.revisions();
        let params = [
            (&account.0 as &(dyn tokio_postgres::types::ToSql + Sync), Type::UUID),
            (&fanout.0, Type::TEXT),
            (&id.0, Type::UUID),
            (&revisions, Type::INT8_ARRAY),
        ];
        verdict(&self.row(ENDPOINT_DELETE, &params).await?)
    }
}

fn verdict(row: &Row) -> Result<FanoutEdit, StoreError> {
    Ok(match row.get("verdict") {
        "made" => FanoutEdit::Made,
        "done" | "replaced" => FanoutEdit::Done,
        "missing" => FanoutEdit::Missing,
        "stale" => FanoutEdit::Stale,
        "taken" => FanoutEdit::Taken,
        "full" => FanoutEdit::Full,
        "too_large" => FanoutEdit::TooLarge,
        other => return Err(StoreError::Failed(format!("verdict {other}"))),
    })
}

/// An endpoint under the names of its columns.
fn record(endpoint: &Endpoint) -> serde_json::Value {
    json!({
        "url": endpoint.url,
        "method": endpoint.method,
        "headers": endpoint.headers,
        "max_attempts": endpoint.max_attempts,
        "timeout_ms": endpoint.timeout_ms,
        "backoff": endpoint.backoff,
        "flow_key": endpoint.flow.as_ref().map(|flow| &flow.key),
        "flow": endpoint.flow.as_ref().map(flow_json),
        "paused": endpoint.paused,
    })
}

fn summary(row: &Row) -> FanoutSummary {
    FanoutSummary {
        name: row.get("name"),
        endpoint_count: row.get("endpoints"),
        paused_count: row.get("paused"),
        revision: row.get("revision"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    }
}

fn endpoint(row: &Row) -> Result<EndpointView, StoreError> {
    let (url, workflow) = destination::shown(row.get("url"));
    Ok(EndpointView {
        id: EndpointId(row.get("id")).to_string(),
        url,
        workflow,
        method: row.get("method"),
        headers: pairs(row, "headers")?.into_iter().collect(),
        max_attempts: row.get("max_attempts"),
        backoff: row.get::<_, Option<&str>>("backoff").map(|_| backoff(row)).transpose()?,
        timeout_seconds: row.get::<_, Option<i32>>("timeout_ms").map(|ms| ms / 1000),
        flow_control: flow(row)?,
        paused: row.get("paused"),
    })
}
