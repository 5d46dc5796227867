//! Pages of messages. A page looks at no more than [`SCAN_MAX`] rows: one that ends there says so, and its cursor goes on behind them.
//!
//! What drives the search is chosen here, not by the planner, whose guess of how many rows fit a filter may be far off: rows by id, or the rows
//! of one state where an index has them. Out of scope: counts (`message_counts`).

use tikku_domain::filter::MessageFilter;
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::{COUNT_MAX, SCAN_MAX};
use tikku_domain::view::{MessagePage, StatusCounts};
use tokio_postgres::types::{ToSql, Type};

use crate::message_read::{columns, view};
use crate::{Param, Store, StoreError};

/// States that the index message_state or message_failed has.
pub(crate) const INDEXED: [&str; 4] = ["failed", "scheduled", "retrying", "cancelled"];

// What a message must be like beside its state; $4 and $5 are exact here, and only bound the search by id elsewhere.
macro_rules! matching {
    () => {
        "($2::text is null or strpos(c.url, $2) > 0) and ($3::text is null or $3 = any(c.labels))
    and ($4::int8 is null or c.created_at >= to_timestamp($4 / 1000.0)) and ($5::int8 is null or c.created_at < to_timestamp($5 / 1000.0))"
    };
}
pub(crate) use matching;

// An id is made after its message's created_at, by the time that the statement had taken until then: an hour is more than any of ours may take.
macro_rules! bounds {
    ($id:literal) => {
        concat!("($4::int8 is null or ", $id, " >= tikku.id_at($4)) and ($5::int8 is null or ", $id, " < tikku.id_at($5 + 3600000))")
    };
}
pub(crate) use bounds;

macro_rules! of_account {
    () => {
        concat!(
            "from tikku.message_content c where c.account_id = $1 and ($6::text is null or c.fanout = $6) and ($7::uuid is null or c.schedule_id = $7)
    and ",
            crate::message_list::bounds!("c.message_id")
        )
    };
}
pub(crate) use of_account;

// What is of a fanout or schedule is found by that.
macro_rules! of_state {
    ($state:literal) => {
        concat!(
            "from tikku.message m where ",
            $state,
            " and $6::text is null and $7::uuid is null\n    and ",
            crate::message_list::bounds!("m.id")
        )
    };
}
pub(crate) use of_state;

// Of what was found, and of the row at which the search ended if the page is not full, all that is shown.
macro_rules! page {
    ($name:literal, $id:literal, $fit:expr, $rows:expr, $fits:expr) => {
        concat!(
            "-- message::",
            $name,
            "\nwith found as materialized (\n  select s.id from (select ",
            $id,
            " as id",
            $fit,
            "\n    ",
            $rows,
            "\n    and ($9::uuid is null or ",
            $id,
            " < $9) order by ",
            $id,
            " desc limit $11) s\n  where ",
            $fits,
            "\n  order by s.id desc limit $10\n), ended as materialized (\n  select ",
            $id,
            " as id ",
            $rows,
            "\n    and ($9::uuid is null or ",
            $id,
            " < $9) and (select count(*) from found) < $10 order by ",
            $id,
            " desc offset $11 - 1 limit 1\n)\nselect ",
            columns!("null::bytea"),
            ", f.ended\nfrom (select id, false as ended from found union all select id, true from ended) f
  join tikku.message_content c on c.account_id = $1 and c.message_id = f.id join tikku.message m on m.id = f.id\norder by f.id desc, f.ended"
        )
    };
}

// By subquery, so that a row is looked at through its key whatever the planner expects.
macro_rules! content_fits {
    () => {
        concat!(
            "(($2::text is null and $3::text is null and $4::int8 is null and $5::int8 is null) or (select ",
            matching!(),
            "\n    from tikku.message_content c where c.account_id = $1 and c.message_id = s.id))"
        )
    };
}
pub(crate) use content_fits;

/// A page of all states, of delivered ones, or of a fanout or schedule. Rows that arrive meanwhile come before the first page and move nothing.
pub const LIST: &str = page!(
    "list",
    "c.message_id",
    concat!(", ", matching!(), " as fits"),
    of_account!(),
    "s.fits and ($8::text is null or (select m.state from tikku.message m where m.id = s.id) = $8)"
);

/// A page of one of [`INDEXED`].
pub const LIST_STATE: &str = page!("list_state", "m.id", "", of_state!("m.account_id = $1 and m.state = $8"), content_fits!());

/// A page of what is being pushed: leases of all accounts are few.
pub const LIST_LEASED: &str =
    page!("list_leased", "m.id", "", of_state!("m.lease_until > '-infinity' and m.account_id = $1 and m.state = $8"), content_fits!());

/// A page of what is due, when rows that the queue holds or that wait for room are few.
pub const LIST_DUE: &str = page!(
    "list_due",
    "m.id",
    "",
    of_state!(
        "(m.kick_until < tikku.clock_now() + interval '16 minutes' or m.kick_until = 'infinity') and m.account_id = $1 and m.state = $8"
    ),
    content_fits!()
);

/// Whether rows that the queue holds or that wait for room are no more than a page may look at. One that is due is handed over again within
/// 15 minutes, or waits without an end.
pub const DUE_FEW: &str = "-- message::due_few
select (select count(*) from (select 1 from tikku.message m where m.account_id = $1 and m.kick_until < tikku.clock_now() + interval '16 minutes'
    order by m.kick_until limit $2) x)
  + (select count(*) from (select 1 from tikku.message m where m.account_id = $1 and m.kick_until = 'infinity' limit $2) x) < $2 as few";

impl Store {
    /// A page, with counts if they are wanted. S, each statement.
    pub async fn message_list(&self, account: AccountId, f: &MessageFilter) -> Result<MessagePage, StoreError> {
        let sql = self.driver(account, f).await?;
        let (cursor, more) = (f.page.cursor.map(|id| id.0), f.page.limit + 1);
        let schedule = f.schedule.map(|id| id.0);
        let mut params = Vec::from(narrowed(&account, f, &schedule));
        params.extend([
            (&f.status as &(dyn ToSql + Sync), Type::TEXT),
            (&cursor, Type::UUID),
            (&more, Type::INT8),
            (&SCAN_MAX, Type::INT8),
        ]);
        let rows = self.rows(sql, &params).await?;
        let (ended, found): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get("ended"));
        let shown = &found[..found.len().min(f.page.limit as usize)];
        let data = shown.iter().map(|row| view(row)).collect::<Result<Vec<_>, _>>()?;
        let last = if shown.len() < found.len() { shown.last() } else { ended.first() };
        let next_cursor = last.map(|row| MessageId(row.get("id")).to_string());
        let counts = if f.counts { Some(self.page_counts(account, f).await?) } else { None };
        let (counts, counts_more) = counts.map(split).unzip();
        Ok(MessagePage { data, next_cursor, partial: !ended.is_empty(), counts, counts_more })
    }

    /// Counts of all states; of the one that is listed, if an index has it, as far as it reaches.
    async fn page_counts(&self, account: AccountId, f: &MessageFilter) -> Result<StatusCounts, StoreError> {
        let mut counts = self.message_counts(account, &MessageFilter { status: None, ..f.clone() }).await?;
        if f.is_narrow() && f.status.as_deref().is_some_and(|state| INDEXED.contains(&state)) {
            counts.0.extend(self.message_counts(account, f).await?.0);
        }
        Ok(counts)
    }

    /// The statement that finds rows of the filter's state by the shortest way.
    async fn driver(&self, account: AccountId, f: &MessageFilter) -> Result<&'static str, StoreError> {
        if f.fanout.is_some() || f.schedule.is_some() {
            return Ok(LIST);
        }
        Ok(match f.status.as_deref() {
            Some("delivering") => LIST_LEASED,
            Some(state) if INDEXED.contains(&state) => LIST_STATE,
            Some("queued") => {
                let most = COUNT_MAX + 1;
                let row = self.row(DUE_FEW, &[(&account.0, Type::UUID), (&most, Type::INT8)]).await?;
                if row.get("few") { LIST_DUE } else { LIST }
            }
            _ => LIST,
        })
    }
}

/// The first seven parameters of these statements.
pub(crate) fn narrowed<'a>(account: &'a AccountId, f: &'a MessageFilter, schedule: &'a Option<uuid::Uuid>) -> [Param<'a>; 7] {
    [
        (&account.0, Type::UUID),
        (&f.url, Type::TEXT),
        (&f.label, Type::TEXT),
        (&f.from_ms, Type::INT8),
        (&f.to_ms, Type::INT8),
        (&f.fanout, Type::TEXT),
        (schedule, Type::UUID),
    ]
}

/// Counts, and the names of those that ended early.
fn split(counts: StatusCounts) -> (std::collections::BTreeMap<String, i64>, Vec<String>) {
    let more = counts.0.iter().filter(|(_, count)| count.more).map(|(state, _)| state.clone()).collect();
    (counts.0.into_iter().map(|(state, count)| (state, count.count)).collect(), more)
}
