//! The steps of a run as people see them: finished ones page by page, pending ones, and their failed executions. Out of scope: the run itself.

use std::collections::BTreeMap;

use tikku_domain::ids::{AccountId, MessageId, RunId};
use tikku_domain::limits::{STEP_PAGE_BYTES, STEP_VALUE_MAX};
use tikku_domain::run_view::{PendingView, StepAttemptView, StepPage, StepView};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::run_read::{json_bytes, json_text};
use crate::{Store, StoreError};

/// Entries after a seq, as many as fit; one at least. A value that is too large to show counts nothing.
pub const PAGE: &str = "-- entry::page
select s.seq, s.key, s.kind, s.state, s.value, s.truncated, s.error::text as error, s.child_id, s.attempt::int4 as attempt, s.fence = 0 as copied,
  tikku.rfc3339(s.at) as recorded_at, s.duration_ms, s.ai::text as ai, s.fetched,
  tikku.rfc3339(coalesce(case when s.kind = 'approval' then (select a.since from tikku.approval a where a.run_id = $1 and a.key = s.key) end,
    case when s.kind = 'child' then (select x.created_at from tikku.run_content x where x.account_id = (select r.account_id from tikku.run r where r.id = $1) and x.run_id = s.child_id) end)) as planned_at
from (
  select x.*, sum(x.size) over (order by x.seq) - x.size as before, count(*) over () as fetched
  from (
    select e.seq, e.key, e.kind, e.state, case when octet_length(e.value) <= $4 then e.value end as value,
      coalesce(octet_length(e.value) > $4, false) as truncated, e.error, e.child_id, e.attempt, e.fence, e.at, e.duration_ms, e.ai,
      100 + case when octet_length(e.value) <= $4 then octet_length(e.value) else 0 end + coalesce(octet_length(e.error::text), 0) as size
    from tikku.entry e where e.run_id = $1 and e.seq > $2 order by e.seq limit $3) x
) s where s.before < $5 order by s.seq";

/// One entry, whole.
pub const GET: &str = "-- entry::get
select e.seq, e.key, e.kind, e.state, e.value, false as truncated, e.error::text as error, e.child_id, e.attempt::int4 as attempt, e.fence = 0 as copied,
  tikku.rfc3339(e.at) as recorded_at, e.duration_ms, e.ai::text as ai,
  tikku.rfc3339(coalesce(case when e.kind = 'approval' then (select a.since from tikku.approval a where a.run_id = $2 and a.key = e.key) end,
    case when e.kind = 'child' then (select x.created_at from tikku.run_content x where x.account_id = $1 and x.run_id = e.child_id) end)) as planned_at
from tikku.entry e join tikku.run_content c on c.run_id = e.run_id where c.account_id = $1 and e.run_id = $2 and e.key = $3";

/// What is planned and not finished.
pub const PENDING: &str = "-- waiter::list
select w.key, w.kind, w.name, tikku.rfc3339(w.since) as planned_at, case when w.due_at < 'infinity' then tikku.rfc3339(w.due_at) end as due_at,
  w.attempt::int4 as attempt, w.child_id, w.message_id
from tikku.waiter w where w.run_id = $1 order by w.since, length(w.key), w.key limit 1000";

/// Executions of these steps that do not count, the first hundred of each.
pub const ATTEMPTS: &str = "-- step_attempt::list
select key, number, tikku.rfc3339(at) as recorded_at, duration_ms, error::text as error, free, orphan, retry_ms
from (select a.*, row_number() over (partition by a.key order by a.at, a.number) as n from tikku.step_attempt a
  where a.run_id = $1 and a.key = any($2)) x where n <= 100 order by key, at, number";

/// Whether the account has the run.
pub const KNOWN: &str = "-- run::known
select 1 from tikku.run_content where account_id = $1 and run_id = $2";

impl Store {
    /// A page of a run's finished steps, at most `limit` and about 1 MiB of values, one at least; `None` when the account has no such run. S,
    /// several times.
    pub async fn run_steps(&self, account: AccountId, id: RunId, after: Option<i32>, limit: i64) -> Result<Option<StepPage>, StoreError> {
        if self.rows(KNOWN, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await?.is_empty() {
            return Ok(None);
        }
        let (data, next_cursor) = self.steps(id, after.unwrap_or(0), limit, STEP_VALUE_MAX).await?;
        Ok(Some(StepPage { data, next_cursor }))
    }

    /// A finished step with its whole value; `None` when there is none such. S, twice.
    pub async fn run_step(&self, account: AccountId, id: RunId, key: &str) -> Result<Option<StepView>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&id.0, Type::UUID), (&key, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut attempts = self.step_attempts(id, &[key]).await?;
        step(row, &mut attempts).map(Some)
    }

    pub(crate) async fn steps(
        &self,
        id: RunId,
        after: i32,
        limit: i64,
        value_max: i32,
    ) -> Result<(Vec<StepView>, Option<String>), StoreError> {
        let more = limit + 1;
        let params = [
            (&id.0 as _, Type::UUID),
            (&after as _, Type::INT4),
            (&more as _, Type::INT8),
            (&value_max as _, Type::INT4),
            (&STEP_PAGE_BYTES as _, Type::INT8),
        ];
        let rows = self.rows(PAGE, &params).await?;
        let shown = &rows[..rows.len().min(limit as usize)];
        let keys: Vec<&str> = shown.iter().map(|row| row.get("key")).collect();
        let mut attempts = self.step_attempts(id, &keys).await?;
        let steps = shown.iter().map(|row| step(row, &mut attempts)).collect::<Result<Vec<_>, _>>()?;
        let last = shown.last().filter(|last| (shown.len() as i64) < last.get::<_, i64>("fetched"));
        Ok((steps, last.map(|last| last.get::<_, i32>("seq").to_string())))
    }

    pub(crate) async fn run_pending(&self, id: RunId) -> Result<Vec<PendingView>, StoreError> {
        let rows = self.rows(PENDING, &[(&id.0, Type::UUID)]).await?;
        let keys: Vec<&str> = rows.iter().map(|row| row.get("key")).collect();
        let mut attempts = self.step_attempts(id, &keys).await?;
        let view = |row: &Row| PendingView {
            key: row.get("key"),
            kind: row.get("kind"),
            name: row.get("name"),
            planned_at: row.get("planned_at"),
            due_at: row.get("due_at"),
            attempt: row.get("attempt"),
            run_id: row.get::<_, Option<uuid::Uuid>>("child_id").map(|id| RunId(id).to_string()),
            message_id: row.get::<_, Option<uuid::Uuid>>("message_id").map(|id| MessageId(id).to_string()),
            attempts: attempts.remove(row.get::<_, &str>("key")).unwrap_or_default(),
        };
        Ok(rows.iter().map(view).collect())
    }

    async fn step_attempts(&self, id: RunId, keys: &[&str]) -> Result<BTreeMap<String, Vec<StepAttemptView>>, StoreError> {
        let mut attempts = BTreeMap::<String, Vec<StepAttemptView>>::new();
        if keys.is_empty() {
            return Ok(attempts);
        }
        for row in self.rows(ATTEMPTS, &[(&id.0, Type::UUID), (&keys, Type::TEXT_ARRAY)]).await? {
            let view = StepAttemptView {
                number: row.get("number"),
                recorded_at: row.get("recorded_at"),
                duration_ms: row.get("duration_ms"),
                error: json_text(&row, "error")?,
                free: row.get("free"),
                late: row.get("orphan"),
                retry_ms: row.get("retry_ms"),
            };
            attempts.entry(row.get("key")).or_default().push(view);
        }
        Ok(attempts)
    }
}

fn step(row: &Row, attempts: &mut BTreeMap<String, Vec<StepAttemptView>>) -> Result<StepView, StoreError> {
    let key: String = row.get("key");
    Ok(StepView {
        seq: row.get("seq"),
        kind: row.get("kind"),
        state: row.get("state"),
        value: json_bytes(row, "value")?,
        truncated: row.get("truncated"),
        error: json_text(row, "error")?,
        run_id: row.get::<_, Option<uuid::Uuid>>("child_id").map(|id| RunId(id).to_string()),
        attempt: row.get("attempt"),
        planned_at: row.get("planned_at"),
        recorded_at: row.get("recorded_at"),
        duration_ms: row.get("duration_ms"),
        ai: json_text(row, "ai")?,
        copied: row.get("copied"),
        attempts: attempts.remove(&key).unwrap_or_default(),
        key,
    })
}
