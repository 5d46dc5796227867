//! Circuit breakers as operators see and reset them. Out of scope: opening and closing them (`message`).

use tikku_domain::config_view::{BreakerPage, BreakerView};
use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, BreakerId};
use tikku_domain::limits::WAITING_COUNT_MAX;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::{Kick, Store, StoreError, page_of};

// Counts are kept for two halves of a minute; one that ended long ago says nothing of the last minute.
macro_rules! columns {
    () => {
        "b.id, b.destination, b.state,
  case when b.window_at > tikku.clock_now() - interval '30 seconds' then b.attempts + b.attempts_before
    when b.window_at > tikku.clock_now() - interval '60 seconds' then b.attempts else 0 end as attempts,
  case when b.window_at > tikku.clock_now() - interval '30 seconds' then b.failures + b.failures_before
    when b.window_at > tikku.clock_now() - interval '60 seconds' then b.failures else 0 end as failures,
  tikku.rfc3339(b.opened_at) as opened_at, tikku.rfc3339(case when b.state <> 'closed' then b.probe_at end) as next_probe_at, b.last_error,
  (select count(*) from (select 1 from tikku.message m where m.breaker_id = b.id limit $3) w) as waiting"
    };
}

/// One breaker; what waits is counted to its end.
pub const GET: &str = concat!("-- breaker::get\nselect ", columns!(), "\nfrom tikku.breaker b where b.account_id = $1 and b.id = $2");

/// A page, newest first; what waits is counted up to $3.
pub const LIST: &str = concat!(
    "-- breaker::list\nselect ",
    columns!(),
    "\nfrom tikku.breaker b where b.account_id = $1 and ($2::uuid is null or b.id < $2) and ($5::text is null or b.state = $5)
order by b.id desc limit $4"
);

/// Closes a breaker and wakes what waits for it.
pub const RESET: &str = "-- breaker::reset
select id, wait_ms, account_id from tikku.breaker_reset($1, $2)";

impl Store {
    /// A breaker; `None` when the account has no such one. S.
    pub async fn breaker_get(&self, account: AccountId, id: BreakerId) -> Result<Option<BreakerView>, StoreError> {
        let no_end: Option<i64> = None;
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&id.0, Type::UUID), (&no_end, Type::INT8)]).await?;
        Ok(rows.first().map(|row| view(row, i64::MAX)))
    }

    /// A page of breakers, of all or of one status. S.
    pub async fn breaker_list(&self, account: AccountId, status: Option<&str>, page: &Page<BreakerId>) -> Result<BreakerPage, StoreError> {
        let (cursor, count, more) = (page.cursor.map(|id| id.0), WAITING_COUNT_MAX + 1, page.limit + 1);
        let params = [
            (&account.0 as &(dyn ToSql + Sync), Type::UUID),
            (&cursor, Type::UUID),
            (&count, Type::INT8),
            (&more, Type::INT8),
            (&status, Type::TEXT),
        ];
        let rows = self.rows(LIST, &params).await?;
        let (data, next_cursor) = page_of(&rows, page.limit, |row| Ok(view(row, WAITING_COUNT_MAX)), |breaker| &breaker.id)?;
        Ok(BreakerPage { data, next_cursor })
    }

    /// Closes a breaker; answers what is to be handed to the queue, nothing when the account has no such breaker. F.
    pub async fn breaker_reset(&self, account: AccountId, id: BreakerId) -> Result<Vec<Kick>, StoreError> {
        let rows = self.rows(RESET, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await?;
        Ok(Kick::of_rows(&rows))
    }
}

fn view(row: &Row, most: i64) -> BreakerView {
    let waiting: i64 = row.get("waiting");
    BreakerView {
        id: BreakerId(row.get("id")).to_string(),
        destination: row.get("destination"),
        status: row.get("state"),
        attempts: row.get("attempts"),
        failures: row.get("failures"),
        opened_at: row.get("opened_at"),
        next_probe_at: row.get("next_probe_at"),
        last_error: row.get("last_error"),
        waiting: waiting.min(most),
        waiting_more: waiting > most,
    }
}
