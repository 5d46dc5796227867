//! Retry, delete and cancel many messages, a chunk a call. Each is F: it locks the chunk in id order and looks at the rows again.

use tikku_domain::bulk::{Bulk, BulkFilter, BulkView, Pick};
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::BULK_MAX;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{FlowOf, Kick, Store, StoreError};

macro_rules! bulk {
    ($name:literal, $function:literal, $more:literal) => {
        concat!(
            "-- message::",
            $name,
            "\nselect tikku.rfc3339_us(as_of_us) as as_of, remaining, done",
            $more,
            " from tikku.",
            $function,
            "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        )
    };
}

/// Makes dead letters due with fresh budgets.
pub const RETRY_MANY: &str = bulk!("retry_many", "message_retry_many", "");

/// Deletes dead letters.
pub const DELETE_MANY: &str = bulk!("delete_many", "message_delete_many", "");

/// Cancels what is not over.
pub const CANCEL_MANY: &str = bulk!("cancel_many", "message_cancel_many", ", coalesce(flow_keys, '{}') as flow_keys");

impl Store {
    /// Retries dead letters, those that failed first first; answers what to hand to the queue. F.
    pub async fn message_retry_many(&self, account: AccountId, bulk: &Bulk) -> Result<(BulkView, Vec<Kick>), StoreError> {
        let row = self.bulk(RETRY_MANY, account, bulk).await?;
        let done: Vec<uuid::Uuid> = row.get("done");
        let kicks = done.into_iter().map(|id| Kick::new(MessageId(id), 0, account)).collect();
        Ok((view(&row), kicks))
    }

    /// Deletes dead letters with their content and attempts, those that failed first first. F.
    pub async fn message_delete_many(&self, account: AccountId, bulk: &Bulk) -> Result<BulkView, StoreError> {
        Ok(view(&self.bulk(DELETE_MANY, account, bulk).await?))
    }

    /// Cancels what is not over; a push under way may still end delivered. Answers the flows that have more room now, for
    /// [`Store::flow_wake`]: a flow is locked before its messages, so never here. F.
    pub async fn message_cancel_many(&self, account: AccountId, bulk: &Bulk) -> Result<(BulkView, Vec<FlowOf>), StoreError> {
        let row = self.bulk(CANCEL_MANY, account, bulk).await?;
        let keys: Vec<String> = row.get("flow_keys");
        Ok((view(&row), keys.into_iter().map(|key| (account, key)).collect()))
    }

    async fn bulk(&self, sql: &str, account: AccountId, bulk: &Bulk) -> Result<Row, StoreError> {
        let nothing = BulkFilter::default();
        let (ids, filter) = match &bulk.pick {
            Pick::Ids(ids) => (Some(ids.iter().map(|id| id.0).collect::<Vec<_>>()), &nothing),
            Pick::Filter(filter) => (None, filter),
        };
        let (most, schedule) = (BULK_MAX as i32, filter.schedule.map(|id| id.0));
        self.row(
            sql,
            &[
                (&account.0, Type::UUID),
                (&bulk.as_of_us, Type::INT8),
                (&most, Type::INT4),
                (&ids, Type::UUID_ARRAY),
                (&filter.url, Type::TEXT),
                (&filter.label, Type::TEXT),
                (&filter.fanout, Type::TEXT),
                (&schedule, Type::UUID),
                (&filter.from_ms, Type::INT8),
                (&filter.to_ms, Type::INT8),
            ],
        )
        .await
    }
}

fn view(row: &Row) -> BulkView {
    let count = row.get::<_, Vec<uuid::Uuid>>("done").len() as i64;
    BulkView { count, remaining: row.get("remaining"), as_of: row.get("as_of") }
}
