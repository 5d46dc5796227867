//! What people do to a schedule: make, edit, pause, delete, run now.

use serde_json::json;
use tikku_domain::etag::IfMatch;
use tikku_domain::ids::{AccountId, MessageId, ScheduleId};
use tikku_domain::limits::{FIRE_AHEAD_MS, WINDOW_MS};
use tikku_domain::publish::Target;
use tikku_domain::schedule::{NewSchedule, Timing};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::message_publish::flow_json;
use crate::{Kick, Put, Store, StoreError};

/// What a change of a schedule met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleEdit {
    /// It did its work.
    Done,
    /// The account has no such schedule.
    Missing,
    /// Another schedule of the account has the name.
    Taken,
    /// The schedule is not at a revision that may be changed.
    Stale,
    /// It is no longer what the change was computed for, or something is due first: read it again.
    Moved,
}

/// When a schedule that is made or changed is due, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleTimes {
    /// Where an interval is counted from.
    pub anchor_ms: i64,
    /// The next due time; `None` when it is paused.
    pub next_ms: Option<i64>,
}

/// What a run by hand came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleRan {
    /// Messages were made: none for a fanout without active endpoints.
    Done(Vec<Put>),
    /// The account has no such schedule.
    Missing,
    /// Its fanout does not exist.
    NoFanout,
    /// Its body, once for each endpoint of its fanout, is too much.
    TooLarge,
}

/// The database's clock.
pub const CLOCK: &str = "-- schedule::clock
select floor(date_part('epoch', tikku.clock_now()) * 1000)::int8 as now_ms";

/// Makes a schedule, unless its name is taken.
pub const CREATE: &str = "-- schedule::create
insert into tikku.schedule (account_id, name, paused, cron, time_zone, every_ms, anchor_at, overlap, catch_up, next_at, look_at, url, fanout, method,
  headers, body, backoff, max_attempts, timeout_ms, labels, flow_key, flow, callback_url, failure_callback_url)
select $1, n.name, n.paused, n.cron, n.time_zone, n.every_ms, to_timestamp($4 / 1000.0), n.overlap, n.catch_up, to_timestamp($5 / 1000.0),
  to_timestamp($5 / 1000.0) - tikku.ms($6), n.url, n.fanout, n.method, n.headers, $3, n.backoff, n.max_attempts, n.timeout_ms, n.labels, n.flow_key,
  n.flow, n.callback_url, n.failure_callback_url
from json_populate_record(null::tikku.schedule, $2::text::json) n
on conflict (account_id, name) do nothing returning id";

/// Gives a schedule everything that people set.
pub const EDIT: &str = "-- schedule::edit
select tikku.schedule_edit($1, $2, $3, $4::text::json, $5, $6, $7, $8) as verdict";

/// Pauses or resumes.
pub const PAUSE: &str = "-- schedule::pause
select tikku.schedule_pause($1, $2, $3, $4, $5, $6, $7) as verdict";

/// Deletes.
pub const DELETE: &str = "-- schedule::delete
select tikku.schedule_delete($1, $2, $3) as verdict";

/// Runs now.
pub const RUN: &str = "-- schedule::run
select outcome, id, state, wait_ms, url from tikku.schedule_run($1, $2, $3)";

impl Store {
    /// The time of the database's clock in milliseconds since 1970: what next due times are computed from. S.
    pub async fn schedule_clock(&self) -> Result<i64, StoreError> {
        Ok(self.row(CLOCK, &[]).await?.get("now_ms"))
    }

    /// Makes a schedule; `None` when its name is taken. S.
    pub async fn schedule_create(
        &self,
        account: AccountId,
        new: &NewSchedule,
        times: ScheduleTimes,
    ) -> Result<Option<ScheduleId>, StoreError> {
        let record = record(new, new.paused.unwrap_or(false));
        let params = [
            (&account.0 as _, Type::UUID),
            (&record as _, Type::TEXT),
            (&new.message.body as _, Type::BYTEA),
            (&times.anchor_ms as _, Type::INT8),
            (&times.next_ms as _, Type::INT8),
            (&FIRE_AHEAD_MS as _, Type::INT8),
        ];
        Ok(self.rows(CREATE, &params).await?.first().map(|row| ScheduleId(row.get("id"))))
    }

    /// Replaces all that people set, if the schedule is at `revision` and nothing of it is due. What was fired ahead and has not begun is
    /// taken back. F.
    pub async fn schedule_edit(
        &self,
        account: AccountId,
        id: ScheduleId,
        revision: i64,
        new: &NewSchedule,
        paused: Paused,
        times: ScheduleTimes,
    ) -> Result<ScheduleEdit, StoreError> {
        let record = record(new, paused == Paused::Yes);
        let params = [
            (&account.0 as _, Type::UUID),
            (&id.0 as _, Type::UUID),
            (&revision as _, Type::INT8),
            (&record as _, Type::TEXT),
            (&new.message.body as _, Type::BYTEA),
            (&times.anchor_ms as _, Type::INT8),
            (&times.next_ms as _, Type::INT8),
            (&FIRE_AHEAD_MS as _, Type::INT8),
        ];
        verdict(&self.row(EDIT, &params).await?)
    }

    /// Pauses, or resumes with a next due time that was computed for `revision`. What was fired ahead and has not begun is taken back. F.
    pub async fn schedule_pause(
        &self,
        account: AccountId,
        id: ScheduleId,
        if_match: &IfMatch,
        revision: i64,
        change: PauseChange,
    ) -> Result<ScheduleEdit, StoreError> {
        let (paused, next_ms) = match change {
            PauseChange::Pause => (true, None),
            PauseChange::Resume { next_ms } => (false, next_ms),
        };
        let revisions = if_match.revisions();
        let params = [
            (&account.0 as _, Type::UUID),
            (&id.0 as _, Type::UUID),
            (&revisions as _, Type::INT8_ARRAY),
            (&paused as _, Type::BOOL),
            (&revision as _, Type::INT8),
            (&next_ms as _, Type::INT8),
            (&FIRE_AHEAD_MS as _, Type::INT8),
        ];
        verdict(&self.row(PAUSE, &params).await?)
    }

    /// Deletes a schedule, and what was fired ahead and has not begun. F.
    pub async fn schedule_delete(&self, account: AccountId, id: ScheduleId, if_match: &IfMatch) -> Result<ScheduleEdit, StoreError> {
        let revisions = if_match.revisions();
        let params = [(&account.0 as _, Type::UUID), (&id.0 as _, Type::UUID), (&revisions as _, Type::INT8_ARRAY)];
        verdict(&self.row(DELETE, &params).await?)
    }

    /// Publishes now what a schedule says; its due times stay as they are. F.
    pub async fn schedule_run(&self, account: AccountId, id: ScheduleId) -> Result<ScheduleRan, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let rows = self.rows(RUN, &[(&account.0, Type::UUID), (&id.0, Type::UUID), (&window_ms, Type::INT8)]).await?;
        let mut puts = Vec::new();
        for row in &rows {
            match row.get("outcome") {
                "missing" => return Ok(ScheduleRan::Missing),
                "no_fanout" => return Ok(ScheduleRan::NoFanout),
                "too_large" => return Ok(ScheduleRan::TooLarge),
                _ => {}
            }
            let Some(id) = row.get::<_, Option<uuid::Uuid>>("id").map(MessageId) else { continue };
            let wait_ms: Option<i64> = row.get("wait_ms");
            let kick = wait_ms.map(|wait_ms| Kick::new(id, wait_ms.unsigned_abs(), account));
            puts.push(Put { id, state: row.get("state"), url: row.get("url"), kick });
        }
        Ok(ScheduleRan::Done(puts))
    }
}

/// Whether an edited schedule is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// It is.
    Yes,
    /// It is active.
    No,
}

/// A pause or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseChange {
    /// Pauses.
    Pause,
    /// Resumes.
    Resume {
        /// The next due time, in milliseconds since 1970.
        next_ms: Option<i64>,
    },
}

fn verdict(row: &Row) -> Result<ScheduleEdit, StoreError> {
    match row.get("verdict") {
        "done" => Ok(ScheduleEdit::Done),
        "missing" => Ok(ScheduleEdit::Missing),
        "taken" => Ok(ScheduleEdit::Taken),
        "stale" => Ok(ScheduleEdit::Stale),
        "moved" => Ok(ScheduleEdit::Moved),
        other => Err(StoreError::Failed(format!("a schedule's change answered {other}"))),
    }
}

/// What people set, but the body, with the names of the columns.
fn record(new: &NewSchedule, paused: bool) -> String {
    let (cron, time_zone, every_ms) = match &new.timing {
        Timing::Cron { text, zone, .. } => (Some(text), Some(zone), None),
        Timing::Every { period_ms } => (None, None, Some(period_ms)),
    };
    let m = &new.message;
    let (url, fanout) = match &m.target {
        Target::Url(url) => (Some(url), None),
        Target::Fanout(name) => (None, Some(name)),
    };
    json!({
        "name": new.name, "paused": paused, "cron": cron, "time_zone": time_zone, "every_ms": every_ms, "overlap": new.overlap.name(),
        "catch_up": new.catch_up.name(), "url": url, "fanout": fanout, "method": m.method, "headers": m.headers, "backoff": m.backoff,
        "max_attempts": m.max_attempts, "timeout_ms": m.timeout_ms, "labels": m.labels, "flow_key": m.flow.as_ref().map(|flow| &flow.key),
        "flow": m.flow.as_ref().map(flow_json), "callback_url": m.callback_url, "failure_callback_url": m.failure_callback_url,
    })
    .to_string()
}
