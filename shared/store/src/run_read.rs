//! Runs as people see them: one with its steps, a page. Out of scope: what an endpoint gets of a run (`run`, `run_journal`).

use serde_json::value::RawValue;
use tikku_domain::ids::{AccountId, EventId, KeyId, MessageId, RunId, ScheduleId};
use tikku_domain::limits::{RUN_INPUT_SHOWN, STEP_VALUE_SHOWN};
use tikku_domain::run_filter::RunFilter;
use tikku_domain::run_view::{AiView, AwaitedView, ParentView, RunPage, RunSummary, RunView, SignalCountView};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::{Store, StoreError, page_of};

/// Steps of the first page, in a run.
const STEPS: i64 = 200;

macro_rules! columns {
    () => {
        "r.id, c.workflow, c.version, r.state::text as state, c.external_id, tikku.rfc3339(c.created_at) as created_at,
  tikku.rfc3339(r.started_at) as started_at, tikku.rfc3339(r.finished_at) as finished_at,
  case when r.state in ('queued', 'sleeping', 'waiting', 'retrying') and r.due_at < 'infinity' then tikku.rfc3339(r.due_at) end as wakes_at,
  c.attempt, c.labels, r.parent_id, c.parent_key, c.forked_from, c.fork_key, c.continued_from, c.continued_by, c.started_by, c.started_how, c.source_id,
  r.pause_requested, c.pause_reason, c.pause_detail::text as pause_detail, c.last_error::text as last_error,
  case when r.state in ('sleeping', 'waiting', 'retrying') then (select json_agg(x)::text from (
    select w.key, w.kind, w.name from tikku.waiter w where w.run_id = r.id order by w.key limit 3) x) end as waiting_for,
  case when r.state = 'failed' and c.error::text !~ '\\\\u(0000|[dD][89a-fA-F])'
    then left(coalesce((c.error ->> 'name') || ': ', '') || coalesce(c.error ->> 'message', ''), 200) end as failure"
    };
}

/// One, with what its steps used and the signals that it has not read.
pub const GET: &str = concat!(
    "-- run::get\nselect ",
    columns!(),
    ", case when octet_length(c.input) <= $3 then c.input end as input, c.output, c.error::text as error,
  array(select s.name from (select distinct x.name from tikku.signal x where x.run_id = r.id and x.key is null order by x.name limit 1000) s) as signals,
  array(select count(*) from tikku.signal x where x.run_id = r.id and x.key is null group by x.name order by x.name limit 1000) as signal_counts,
  u.input_tokens, u.output_tokens, u.cost_usd
from tikku.run_content c join tikku.run r on r.id = c.run_id cross join lateral (
  select coalesce(sum((x.ai ->> 'inputTokens')::float8), 0) as input_tokens, coalesce(sum((x.ai ->> 'outputTokens')::float8), 0) as output_tokens,
    coalesce(sum((x.ai ->> 'costUsd')::float8), 0) as cost_usd
  from (select e.ai from tikku.entry e where e.run_id = r.id and e.ai is not null and e.fence > 0
    union all select a.ai from tikku.step_attempt a where a.run_id = r.id and a.ai is not null) x) u
where c.account_id = $1 and c.run_id = $2"
);

/// A page, newest first. Rows that arrive meanwhile come before the first page and move nothing. What is not over, and whose child
/// it is, is said twice: so the planner can come from those few.
pub const LIST: &str = concat!(
    "-- run::list\nselect ",
    columns!(),
    "\nfrom tikku.run_content c join tikku.run r on r.id = c.run_id
where c.account_id = $1 and r.account_id = $1 and ($2::text is null or r.state = $2)
  and ($2 is null or $2 in ('completed', 'failed', 'cancelled') or r.kick_until is not null or r.lease_until is not null) and ($3::text is null or c.workflow = $3)
  and ($4::text is null or c.version = $4) and ($5::text is null or $5 = any(c.labels)) and ($6::uuid is null or (r.parent_id = $6 and c.source_id = $6 and c.parent_key is not null and c.continued_by is null))
  and ($7::text is null or c.external_id = $7) and ($8::int8 is null or c.created_at >= to_timestamp($8 / 1000.0))
  and ($9::int8 is null or c.created_at < to_timestamp($9 / 1000.0)) and ($10::uuid is null or c.run_id < $10) order by c.run_id desc limit $11"
);

/// The run with a starter's own id.
pub const FIND: &str = "-- run::find
select run_id from tikku.run_content where account_id = $1 and workflow = $2 and external_id = $3 and continued_by is null";

impl Store {
    /// A run with a page of its steps: several statements, each true in itself. `None` when the account has none such. S.
    pub async fn run_get(&self, account: AccountId, id: RunId, steps_after: Option<i32>) -> Result<Option<RunView>, StoreError> {
        let params = [(&account.0 as _, Type::UUID), (&id.0 as _, Type::UUID), (&RUN_INPUT_SHOWN as _, Type::INT4)];
        let rows = self.rows(GET, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (steps, steps_cursor) = self.steps(id, steps_after.unwrap_or(0), STEPS, STEP_VALUE_SHOWN).await?;
        let pending = self.run_pending(id).await?;
        let input = json_bytes(row, "input")?;
        let names: Vec<String> = row.get("signals");
        let counts: Vec<i64> = row.get("signal_counts");
        Ok(Some(RunView {
            run: summary(row)?,
            input_truncated: input.is_none(),
            input,
            output: json_bytes(row, "output")?,
            error: json_text(row, "error")?,
            steps,
            steps_cursor,
            pending,
            signals: names.into_iter().zip(counts).map(|(name, count)| SignalCountView { name, count }).collect(),
            ai: AiView {
                input_tokens: row.get::<_, f64>("input_tokens") as i64,
                output_tokens: row.get::<_, f64>("output_tokens") as i64,
                cost_usd: row.get("cost_usd"),
            },
        }))
    }

    /// A page of runs. S.
    pub async fn run_list(&self, account: AccountId, f: &RunFilter) -> Result<RunPage, StoreError> {
        let (parent, cursor, more) = (f.parent.map(|id| id.0), f.page.cursor.map(|id| id.0), f.page.limit + 1);
        let params: [(&(dyn ToSql + Sync), Type); 11] = [
            (&account.0, Type::UUID),
            (&f.status, Type::TEXT),
            (&f.workflow, Type::TEXT),
            (&f.version, Type::TEXT),
            (&f.label, Type::TEXT),
            (&parent, Type::UUID),
            (&f.external_id, Type::TEXT),
            (&f.from_ms, Type::INT8),
            (&f.to_ms, Type::INT8),
            (&cursor, Type::UUID),
            (&more, Type::INT8),
        ];
        let rows = self.rows(LIST, &params).await?;
        let (data, next_cursor) = page_of(&rows, f.page.limit, summary, |run| &run.id)?;
        Ok(RunPage { data, next_cursor })
    }

    /// The run of a workflow with a starter's own id. S.
    pub async fn run_find(&self, account: AccountId, workflow: &str, external_id: &str) -> Result<Option<RunId>, StoreError> {
        let params = [(&account.0 as _, Type::UUID), (&workflow as _, Type::TEXT), (&external_id as _, Type::TEXT)];
        Ok(self.rows(FIND, &params).await?.first().map(|row| RunId(row.get("run_id"))))
    }
}

fn summary(row: &Row) -> Result<RunSummary, StoreError> {
    let run = |column: &str| row.get::<_, Option<uuid::Uuid>>(column).map(|id| RunId(id).to_string());
    let started_how: String = row.get("started_how");
    let source = row.get::<_, Option<uuid::Uuid>>("source_id").map(|id| match started_how.as_str() {
        "schedule" => ScheduleId(id).to_string(),
        "message" => MessageId(id).to_string(),
        "event" => EventId(id).to_string(),
        _ => RunId(id).to_string(),
    });
    Ok(RunSummary {
        id: RunId(row.get("id")).to_string(),
        workflow: row.get("workflow"),
        version: row.get("version"),
        status: row.get("state"),
        external_id: row.get("external_id"),
        created_at: row.get("created_at"),
        started_at: row.get("started_at"),
        finished_at: row.get("finished_at"),
        wakes_at: row.get("wakes_at"),
        attempt: row.get("attempt"),
        labels: row.get("labels"),
        parent: run("parent_id").map(|id| ParentView { id, key: row.get("parent_key") }),
        forked_from: run("forked_from"),
        fork_key: row.get("fork_key"),
        continued_from: run("continued_from"),
        continued_by: run("continued_by"),
        started_by: row.get::<_, Option<uuid::Uuid>>("started_by").map(|id| KeyId(id).to_string()),
        source,
        started_how,
        pause_requested: row.get("pause_requested"),
        pause_reason: row.get("pause_reason"),
        pause_detail: json_text(row, "pause_detail")?,
        last_error: json_text(row, "last_error")?,
        waiting_for: awaited(row)?,
        failure: row.get::<_, Option<String>>("failure").filter(|text| !text.is_empty()),
    })
}

fn awaited(row: &Row) -> Result<Vec<AwaitedView>, StoreError> {
    let text: Option<&str> = row.get("waiting_for");
    let read = |text| serde_json::from_str(text).map_err(|error| StoreError::Failed(format!("waiting_for: {error}")));
    text.map(read).transpose().map(Option::unwrap_or_default)
}

/// A column of JSON as bytes.
pub(crate) fn json_bytes(row: &Row, column: &str) -> Result<Option<Box<RawValue>>, StoreError> {
    let bytes: Option<&[u8]> = row.get(column);
    bytes.map(serde_json::from_slice).transpose().map_err(|error| StoreError::Failed(format!("{column}: {error}")))
}

/// A column of JSON as text.
pub(crate) fn json_text(row: &Row, column: &str) -> Result<Option<Box<RawValue>>, StoreError> {
    let text: Option<&str> = row.get(column);
    text.map(serde_json::from_str).transpose().map_err(|error| StoreError::Failed(format!("{column}: {error}")))
}
