//! Due times of a schedule that were decided, and what came of them.

use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, MessageId, ScheduleId};
use tikku_domain::schedule_view::{FiredMessageView, FiringPage, FiringView};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// A page, the latest first; the cursor is a due time in microseconds since 1970. A message that was deleted has no state.
pub const LIST: &str = "-- schedule_fire::list
select tikku.us(f.due_at) as due_us, tikku.rfc3339(f.due_at) as due_at, tikku.rfc3339(f.fired_at) as fired_at, f.outcome, f.asked,
  coalesce(array_length(f.message_ids, 1), 0)::int8 as message_count, f.message_ids[1:20] as message_ids,
  array(select (select m.state::text from tikku.message m where m.id = i.id) from unnest(f.message_ids[1:20]) with ordinality as i(id, n) order by i.n) as states
from tikku.schedule_fire f where f.account_id = $1 and f.schedule_id = $2 and ($3::int8 is null or f.due_at < 'epoch'::timestamptz + greatest(0, least($3, 253402300800000000)) * interval '1 microsecond')
order by f.due_at desc limit $4";

impl Store {
    /// A page of what became of a schedule's due times. S.
    pub async fn schedule_firings(&self, account: AccountId, id: ScheduleId, page: &Page<i64>) -> Result<FiringPage, StoreError> {
        let more = page.limit + 1;
        let params = [(&account.0 as _, Type::UUID), (&id.0 as _, Type::UUID), (&page.cursor as _, Type::INT8), (&more as _, Type::INT8)];
        let rows = self.rows(LIST, &params).await?;
        let shown = &rows[..rows.len().min(page.limit as usize)];
        let last = shown.last().filter(|_| shown.len() < rows.len());
        let next_cursor = last.map(|row| row.get::<_, i64>("due_us").to_string());
        Ok(FiringPage { data: shown.iter().map(view).collect(), next_cursor })
    }
}

fn view(row: &Row) -> FiringView {
    let ids: Vec<uuid::Uuid> = row.get("message_ids");
    let states: Vec<Option<String>> = row.get("states");
    FiringView {
        due_at: row.get("due_at"),
        fired_at: row.get("fired_at"),
        outcome: row.get("outcome"),
        asked: row.get("asked"),
        message_count: row.get("message_count"),
        messages: ids.into_iter().zip(states).map(|(id, status)| FiredMessageView { id: MessageId(id).to_string(), status }).collect(),
    }
}
