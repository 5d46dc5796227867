//! What people do to a message: cancel, retry, resend.

use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::WINDOW_MS;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// What a control verb met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// It did its work.
    Done,
    /// The message is in a state that the verb does not apply to.
    Conflict {
        /// That state.
        state: String,
    },
    /// The account has no such message.
    Missing,
}

/// Cancels.
pub const CANCEL: &str = "-- message::cancel
select tikku.message_cancel($1, $2)::text as state";

/// Makes due with a fresh budget.
pub const RETRY: &str = "-- message::retry
select tikku.message_retry($1, $2)::text as state";

/// Copies a message: same content, fresh state, due now.
pub const RESEND: &str = "-- message::resend
with new as materialized (select tikku.new_id() as id, tikku.clock_now() as now),
source as materialized (
  select c.*, m.max_attempts, m.timeout_ms from tikku.message_content c join tikku.message m on m.id = c.message_id
  where c.account_id = $1 and c.message_id = $2
), content as (
  insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, body,
    backoff, labels, resent_from)
  select account_id, new.id, new.now, url, method, headers, body,
    backoff, labels, message_id from source, new
)
insert into tikku.message (id, account_id, state, due_at, kick_until, max_attempts, timeout_ms)
select new.id, account_id, 'queued', new.now, tikku.kick_until(new.now, new.now, $3), max_attempts, timeout_ms from source, new
returning id";

impl Store {
    /// Cancels what is not over; cancelling twice is the same as once. A push under way may still end delivered. F.
    pub async fn message_cancel(&self, account: AccountId, id: MessageId) -> Result<Control, StoreError> {
        self.control(CANCEL, account, id, &["scheduled", "queued", "retrying", "delivering", "cancelled"]).await
    }

    /// Makes a failed, cancelled or retrying message due now with a fresh budget. F.
    pub async fn message_retry(&self, account: AccountId, id: MessageId) -> Result<Control, StoreError> {
        self.control(RETRY, account, id, &["failed", "cancelled", "retrying"]).await
    }

    async fn control(&self, sql: &str, account: AccountId, id: MessageId, applies: &[&str]) -> Result<Control, StoreError> {
        let row = self.row(sql, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await?;
        Ok(match row.get::<_, Option<String>>("state") {
            None => Control::Missing,
            Some(state) if applies.contains(&state.as_str()) => Control::Done,
            Some(state) => Control::Conflict { state },
        })
    }

    /// Sends a copy, in whatever state the first one is; `None` when the account has no such message. S.
    pub async fn message_resend(&self, account: AccountId, id: MessageId) -> Result<Option<MessageId>, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let rows = self.rows(RESEND, &[(&account.0, Type::UUID), (&id.0, Type::UUID), (&window_ms, Type::INT8)]).await?;
        Ok(rows.first().map(|row| MessageId(row.get("id"))))
    }
}
