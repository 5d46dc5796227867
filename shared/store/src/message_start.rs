//! Messages to workflows, in the place of a push: they start runs. Out of scope: starting one for anybody else (`run_start`), and what is
//! recorded of the attempt (`message`).

use tikku_domain::ids::{AccountId, MessageId, RunId};
use tikku_domain::limits::WINDOW_MS;
use tikku_domain::started::Started;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Kick, Store, StoreError};

/// Starts the runs of leased messages.
pub const START: &str = "-- message::start
select id, verdict, run_id, state, wait_ms from tikku.message_start($1, $2)";

impl Store {
    /// Starts the runs of leased messages to workflows, one for each, also when it is asked again. A message that is no longer leased is left out. F.
    pub async fn message_start(&self, ids: &[MessageId]) -> Result<Vec<(MessageId, Started)>, StoreError> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let window_ms = WINDOW_MS as i64;
        let rows = self.rows(START, &[(&ids, Type::UUID_ARRAY), (&window_ms, Type::INT8)]).await?;
        rows.iter().map(|row| Ok((MessageId(row.get("id")), started(row)?))).collect()
    }
}

fn started(row: &Row) -> Result<Started, StoreError> {
    let verdict: &str = row.get("verdict");
    let bad = || StoreError::Failed(format!("message_start answered {verdict}"));
    Ok(match verdict {
        "accepted" | "debounced" | "existing" | "skipped" => Started::Run {
            id: row.get::<_, Option<uuid::Uuid>>("run_id").map(RunId).ok_or_else(bad)?,
            state: row.get::<_, Option<String>>("state").ok_or_else(bad)?,
            wait_ms: row.get::<_, Option<i64>>("wait_ms").map(i64::unsigned_abs),
        },
        "mismatch" => Started::Mismatch,
        "no_workflow" | "no_version" => Started::Unserved,
        _ => return Err(bad()),
    })
}

impl Kick {
    /// Of a run that was started for this account, if it is to be handed to the queue now.
    pub fn started(started: &Started, account: AccountId) -> Option<Self> {
        match started {
            Started::Run { id, wait_ms: Some(wait_ms), .. } => Some(Self::new(*id, *wait_ms, account)),
            _ => None,
        }
    }
}
