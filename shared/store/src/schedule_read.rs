//! Schedules as people see them, and as their next due times are computed.

use serde_json::value::RawValue;
use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, MessageId, ScheduleId};
use tikku_domain::limits::NEXT_RUNS_SHOWN;
use tikku_domain::schedule::{CatchUp, Plan, Timing};
use tikku_domain::schedule_view::{SchedulePage, ScheduleView};
use tikku_domain::{cron_words, destination};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::message_read::{backoff, flow, pairs};
use crate::{Store, StoreError, page_of};

/// A schedule as it was read: what is shown of it, and what its due times are computed from.
#[derive(Debug)]
pub struct Schedule {
    /// What is shown.
    pub view: ScheduleView,
    /// What is computed from.
    pub plan: Plan,
}

macro_rules! plan_columns {
    () => {
        "s.id, s.revision, s.cron, s.time_zone, s.every_ms, s.catch_up, s.paused, round(date_part('epoch', s.anchor_at) * 1000)::int8 as anchor_ms,
  round(date_part('epoch', s.next_at) * 1000)::int8 as next_ms, floor(date_part('epoch', tikku.clock_now()) * 1000)::int8 as now_ms,
  octet_length(s.body)::int8 as body_bytes, case when s.fanout is null then 1 else
    (select count(*) from tikku.fanout_endpoint e where e.account_id = s.account_id and e.fanout = s.fanout and not e.paused) end as messages"
    };
}
pub(crate) use plan_columns;

// A due time that was fired ahead is still the next one to people.
macro_rules! view_columns {
    ($body:literal) => {
        concat!(
            plan_columns!(),
            ", s.name, s.overlap, s.url, s.fanout, s.method, s.headers::text as headers, ",
            $body,
            " as body, s.max_attempts::int4 as max_attempts, s.backoff::text as backoff, s.timeout_ms, s.labels, s.flow_key, s.flow::text as flow,
  s.callback_url, s.failure_callback_url, tikku.rfc3339(s.created_at) as created_at, tikku.rfc3339(s.updated_at) as updated_at,
  tikku.rfc3339(coalesce((select min(f.due_at) from tikku.schedule_fire f
    where f.schedule_id = s.id and f.due_at > tikku.clock_now() and not s.paused), s.next_at)) as next_run_at,
  tikku.rfc3339(r.due_at) as last_run_at, coalesce(r.message_ids, '{}') as last_message_ids,
  (select f.outcome from tikku.schedule_fire f where f.schedule_id = s.id and f.due_at <= tikku.clock_now()
    order by f.due_at desc limit 1) as last_outcome
from tikku.schedule s left join lateral (
  select f.due_at, f.message_ids from tikku.schedule_fire f
  where f.schedule_id = s.id and f.outcome = 'fired' and f.due_at <= tikku.clock_now() order by f.due_at desc limit 1) r on true"
        )
    };
}

/// One, by id or by name.
pub const GET: &str = concat!(
    "-- schedule::get\nselect ",
    view_columns!("s.body"),
    "\nwhere s.account_id = $1 and s.id = coalesce($2, (select n.id from tikku.schedule n where n.account_id = $1 and n.name = $3))"
);

/// A page, newest first.
pub const LIST: &str = concat!(
    "-- schedule::list\nselect ",
    view_columns!("null::bytea"),
    "\nwhere s.account_id = $1 and ($2::uuid is null or s.id < $2) order by s.id desc limit $3"
);

impl Store {
    /// A schedule by its id, or by its name when the text is no id; `None` when the account has none such. S.
    pub async fn schedule_get(&self, account: AccountId, id_or_name: &str) -> Result<Option<Schedule>, StoreError> {
        let id = id_or_name.parse::<ScheduleId>().ok().map(|id| id.0);
        let name = id.is_none().then_some(id_or_name);
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&id, Type::UUID), (&name, Type::TEXT)]).await?;
        let schedule = |row: &Row| {
            let (mut view, plan) = (view(row)?, plan(row)?);
            let next = cron_words::next_times(&plan.timing, plan.anchor_ms, plan.now_ms, NEXT_RUNS_SHOWN);
            view.next_runs_at = Some(if plan.paused { Vec::new() } else { next });
            Ok(Schedule { view, plan })
        };
        rows.first().map(schedule).transpose()
    }

    /// A page of schedules without their bodies. S.
    pub async fn schedule_list(&self, account: AccountId, page: &Page<ScheduleId>) -> Result<SchedulePage, StoreError> {
        let (cursor, more) = (page.cursor.map(|id| id.0), page.limit + 1);
        let rows = self.rows(LIST, &[(&account.0, Type::UUID), (&cursor, Type::UUID), (&more, Type::INT8)]).await?;
        let (data, next_cursor) = page_of(&rows, page.limit, view, |schedule| &schedule.id)?;
        Ok(SchedulePage { data, next_cursor })
    }
}

pub(crate) fn plan(row: &Row) -> Result<Plan, StoreError> {
    let bad = |error: &dyn std::fmt::Display| StoreError::Failed(format!("schedule {}: {error}", row.get::<_, uuid::Uuid>("id")));
    let timing = match (row.get::<_, Option<&str>>("cron"), row.get::<_, Option<&str>>("time_zone"), row.get::<_, Option<i64>>("every_ms"))
    {
        (Some(text), Some(zone), None) => Timing::stored_cron(text, zone).map_err(|error| bad(&error))?,
        (None, None, Some(period_ms)) => Timing::Every { period_ms },
        _ => return Err(bad(&"neither an expression nor an interval")),
    };
    let catch_up: &str = row.get("catch_up");
    let known = CatchUp::ALL.iter().find(|(name, _)| *name == catch_up);
    Ok(Plan {
        id: ScheduleId(row.get("id")),
        revision: row.get("revision"),
        timing,
        anchor_ms: row.get("anchor_ms"),
        next_ms: row.get("next_ms"),
        catch_up: known.ok_or_else(|| bad(&catch_up))?.1,
        paused: row.get("paused"),
        messages: row.get("messages"),
        body_bytes: row.get::<_, Option<i64>>("body_bytes").unwrap_or(0),
        now_ms: row.get("now_ms"),
    })
}

fn view(row: &Row) -> Result<ScheduleView, StoreError> {
    let plan = plan(row)?;
    let body: Option<Vec<u8>> = row.get("body");
    let paused: bool = row.get("paused");
    let message_ids: Vec<uuid::Uuid> = row.get("last_message_ids");
    let (url, workflow) = destination::shown(row.get("url"));
    let (callback_url, callback_workflow) = destination::shown(row.get("callback_url"));
    let (failure_callback_url, failure_callback_workflow) = destination::shown(row.get("failure_callback_url"));
    let json = body.and_then(|bytes| RawValue::from_string(String::from_utf8(bytes).ok()?).ok());
    let (body, input) = if workflow.is_some() { (None, json) } else { (json, None) };
    Ok(ScheduleView {
        id: ScheduleId(row.get("id")).to_string(),
        name: row.get("name"),
        status: if paused { "paused" } else { "active" }.to_owned(),
        cron: row.get("cron"),
        timezone: row.get("time_zone"),
        every_seconds: row.get::<_, Option<i64>>("every_ms").map(|ms| ms / 1000),
        overlap: row.get("overlap"),
        catch_up: row.get("catch_up"),
        url,
        fanout: row.get("fanout"),
        workflow,
        method: row.get("method"),
        headers: pairs(row, "headers")?.into_iter().collect(),
        body,
        input,
        body_bytes: row.get("body_bytes"),
        max_attempts: row.get("max_attempts"),
        backoff: backoff(row)?,
        timeout_seconds: row.get::<_, i32>("timeout_ms") / 1000,
        labels: row.get("labels"),
        flow_control: flow(row)?,
        callback_url,
        failure_callback_url,
        callback_workflow,
        failure_callback_workflow,
        in_words: cron_words::describe(&plan.timing),
        clock_change: cron_words::clock_change(&plan.timing, plan.now_ms),
        next_runs_at: None,
        next_run_at: row.get("next_run_at"),
        last_run_at: row.get("last_run_at"),
        last_message_ids: message_ids.into_iter().map(|id| MessageId(id).to_string()).collect(),
        last_outcome: row.get("last_outcome"),
        revision: row.get("revision"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}
