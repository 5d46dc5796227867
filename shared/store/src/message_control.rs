//! What people do to a message: cancel, retry. (Resending makes a new one: `message_publish`.)

use tikku_domain::ids::{AccountId, MessageId};
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// What a control verb met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// It did its work, and perhaps set a place free in this flow.
    Done {
        /// The message's flow.
        flow: Option<String>,
    },
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
select tikku.message_cancel($1, $2)::text as state, (select flow_key from tikku.message where id = $2 and account_id = $1) as flow_key";

/// Makes due with a fresh budget.
pub const RETRY: &str = "-- message::retry
select tikku.message_retry($1, $2)::text as state, (select flow_key from tikku.message where id = $2 and account_id = $1) as flow_key";

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
            Some(state) if applies.contains(&state.as_str()) => Control::Done { flow: row.get("flow_key") },
            Some(state) => Control::Conflict { state },
        })
    }
}
