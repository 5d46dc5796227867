//! Flows as operators see and set them. Out of scope: keeping their limits (`message`).

use tikku_domain::config_view::{FlowPage, FlowState};
use tikku_domain::etag::IfMatch;
use tikku_domain::filter::Page;
use tikku_domain::flow::FlowKey;
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::WAITING_COUNT_MAX;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::{Kick, Store, StoreError, page_of};

/// What an operator does to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowVerb {
    /// Sets its limits, whatever messages say; makes the flow when it is missing.
    Pin {
        /// Pushes at once; `None` for no limit.
        parallelism: Option<i32>,
        /// Starts in a period; `None` for no limit.
        rate: Option<i32>,
        /// Length of the period, with a rate.
        period_ms: Option<i64>,
    },
    /// What messages say counts again.
    Unpin,
    /// Nothing of it starts.
    Pause,
    /// Ends a pause.
    Resume,
}

/// What an edit of a flow met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowEdit {
    /// It did its work; these rows are to be handed to the queue.
    Done(Vec<Kick>),
    /// The flow is new.
    Made,
    /// The account has no such flow.
    Missing,
    /// The flow is not at a revision that may be changed.
    Stale,
}

macro_rules! columns {
    () => {
        "f.key, f.parallelism, f.rate, f.period_ms, f.pinned, f.paused, f.revision,
  tikku.rfc3339(case when f.hold_until > tikku.clock_now() then f.hold_until end) as held_until,
  (select count(*) from (select 1 from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.kick_until is not null
    and m.breaker_id is null and m.due_at <= tikku.clock_now() limit $3) w) as waiting,
  (select count(*) from tikku.message m where m.account_id = f.account_id and m.flow_key = f.key and m.state = 'delivering') as active"
    };
}

/// One flow; what waits is counted to its end.
pub const GET: &str = concat!("-- flow::get\nselect ", columns!(), "\nfrom tikku.flow f where f.account_id = $1 and f.key = $2");

/// A page by key; what waits is counted up to $3.
pub const LIST: &str = concat!(
    "-- flow::list\nselect ",
    columns!(),
    "\nfrom tikku.flow f where f.account_id = $1 and ($2::text is null or f.key > $2) order by f.key limit $4"
);

/// Pins, unpins, pauses or resumes.
pub const EDIT: &str = "-- flow::edit
select verdict, kicks, waits_ms from tikku.flow_edit($1, $2, $3, $4, $5, $6, $7, $8)";

impl Store {
    /// A flow; `None` when the account has none of this key. S.
    pub async fn flow_get(&self, account: AccountId, key: &FlowKey) -> Result<Option<FlowState>, StoreError> {
        let no_end: Option<i64> = None;
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&key.0, Type::TEXT), (&no_end, Type::INT8)]).await?;
        Ok(rows.first().map(|row| view(row, i64::MAX)))
    }

    /// A page of flows. S.
    pub async fn flow_list(&self, account: AccountId, page: &Page<FlowKey>) -> Result<FlowPage, StoreError> {
        let (cursor, count, more) = (page.cursor.as_ref().map(|key| &key.0), WAITING_COUNT_MAX + 1, page.limit + 1);
        let params = [(&account.0 as &(dyn ToSql + Sync), Type::UUID), (&cursor, Type::TEXT), (&count, Type::INT8), (&more, Type::INT8)];
        let rows = self.rows(LIST, &params).await?;
        let (data, next_cursor) = page_of(&rows, page.limit, |row| Ok(view(row, WAITING_COUNT_MAX)), |flow| &flow.key)?;
        Ok(FlowPage { data, next_cursor })
    }

    /// Changes a flow as an operator says. F.
    pub async fn flow_edit(&self, account: AccountId, key: &FlowKey, verb: FlowVerb, if_match: &IfMatch) -> Result<FlowEdit, StoreError> {
        let (must_exist, revisions) = (if_match.must_exist(), if_match.revisions());
        let (word, parallelism, rate, period_ms) = match verb {
            FlowVerb::Pin { parallelism, rate, period_ms } => ("pin", parallelism, rate, period_ms),
            FlowVerb::Unpin => ("unpin", None, None, None),
            FlowVerb::Pause => ("pause", None, None, None),
            FlowVerb::Resume => ("resume", None, None, None),
        };
        let params = [
            (&account.0 as &(dyn ToSql + Sync), Type::UUID),
            (&key.0, Type::TEXT),
            (&word, Type::TEXT),
            (&must_exist, Type::BOOL),
            (&revisions, Type::INT8_ARRAY),
            (&parallelism, Type::INT4),
            (&rate, Type::INT4),
            (&period_ms, Type::INT8),
        ];
        let row = self.row(EDIT, &params).await?;
        Ok(match row.get("verdict") {
            "done" => FlowEdit::Done(kicks(&row, account)),
            "made" => FlowEdit::Made,
            "missing" => FlowEdit::Missing,
            "stale" => FlowEdit::Stale,
            other => return Err(StoreError::Failed(format!("verdict {other}"))),
        })
    }
}

fn kicks(row: &Row, account: AccountId) -> Vec<Kick> {
    let ids: Option<Vec<uuid::Uuid>> = row.get("kicks");
    let waits: Option<Vec<i64>> = row.get("waits_ms");
    let pairs = ids.unwrap_or_default().into_iter().zip(waits.unwrap_or_default());
    pairs.map(|(id, wait_ms)| Kick::new(MessageId(id), wait_ms.unsigned_abs(), account)).collect()
}

fn view(row: &Row, most: i64) -> FlowState {
    let waiting: i64 = row.get("waiting");
    FlowState {
        key: row.get("key"),
        parallelism: row.get("parallelism"),
        rate: row.get("rate"),
        period_seconds: row.get::<_, Option<i64>>("period_ms").map(|ms| ms / 1000),
        pinned: row.get("pinned"),
        paused: row.get("paused"),
        waiting: waiting.min(most),
        waiting_more: waiting > most,
        active: row.get("active"),
        held_until: row.get("held_until"),
        revision: row.get("revision"),
    }
}
