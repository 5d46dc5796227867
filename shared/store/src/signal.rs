//! Signals to runs, and the keys of resume URLs, which send them too. Out of scope: who may (the API).

use tikku_domain::ids::{AccountId, KeyId, RunId};
use tikku_domain::limits::SIGNALS_MAX;
use tokio_postgres::types::Type;

use crate::{Claimed, Kick, Store, StoreError};

/// A signal, checked.
#[derive(Clone, Copy, Debug)]
pub struct NewSignal<'a> {
    /// Which signal.
    pub name: &'a str,
    /// JSON.
    pub value: &'a [u8],
    /// A second signal to the run with this key is the first.
    pub idempotency_key: Option<&'a str>,
    /// The API key; `None` for a resume URL.
    pub sent_by: Option<KeyId>,
}

/// What became of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunSignalled {
    /// A step has it, or it is kept for one; or it was sent before.
    Done {
        /// To be handed to the queue.
        kicks: Vec<Kick>,
    },
    /// The account has no such run.
    Missing,
    /// The run is over.
    Conflict {
        /// Its state.
        state: String,
    },
    /// The run has [`SIGNALS_MAX`] signals that it has not read.
    Full,
    /// Its idempotency key was used for another signal to the run.
    Mismatch,
}

/// What verifies a resume URL.
#[derive(Clone, Debug)]
pub struct ResumeOf {
    /// Whose run it is.
    pub account: AccountId,
    /// What its tokens are made with.
    pub key: String,
    /// The run's state.
    pub state: String,
}

/// The key of a run's resume URLs.
pub const RESUME_KEY: &str = "-- run::resume_key
select r.account_id, r.state::text as state, tikku.run_resume_key(c.secret) as resume_key
from tikku.run r join tikku.run_content c on c.account_id = r.account_id and c.run_id = r.id where r.id = $1";

/// Sends a signal.
pub const SEND: &str = "-- signal::send
select verdict, state, id, wait_ms, account_id from tikku.run_signal($1, $2, $3, $4, $5, $6, $7)";

/// Hands on what SQL sent.
pub const INTAKE: &str = "-- signal_intake::apply
select taken, id, wait_ms, account_id from tikku.signal_intake_apply($1)";

impl Store {
    /// What verifies a resume URL of a run; `None` when there is no such run. S.
    pub async fn run_resume_key(&self, id: RunId) -> Result<Option<ResumeOf>, StoreError> {
        let rows = self.rows(RESUME_KEY, &[(&id.0, Type::UUID)]).await?;
        Ok(rows.first().map(|row| ResumeOf {
            account: AccountId(row.get("account_id")),
            key: row.get("resume_key"),
            state: row.get("state"),
        }))
    }

    /// Sends a signal to a run: the step that has waited longest has it, or it is kept until one asks. F.
    pub async fn run_signal(&self, account: AccountId, id: RunId, signal: &NewSignal<'_>) -> Result<RunSignalled, StoreError> {
        let sent_by = signal.sent_by.map(|key| key.0);
        let params = [
            (&account.0 as _, Type::UUID),
            (&id.0 as _, Type::UUID),
            (&signal.name as _, Type::TEXT),
            (&signal.value as _, Type::BYTEA),
            (&signal.idempotency_key as _, Type::TEXT),
            (&sent_by as _, Type::UUID),
            (&SIGNALS_MAX as _, Type::INT8),
        ];
        let rows = self.rows(SEND, &params).await?;
        let first = rows.first().ok_or_else(|| StoreError::Failed("a signal was not answered".to_owned()))?;
        Ok(match first.get("verdict") {
            "done" => RunSignalled::Done { kicks: Kick::run_rows(&rows) },
            "missing" => RunSignalled::Missing,
            "conflict" => RunSignalled::Conflict { state: first.get("state") },
            "full" => RunSignalled::Full,
            "mismatch" => RunSignalled::Mismatch,
            other => return Err(StoreError::Failed(format!("a signal answered {other}"))),
        })
    }

    /// Hands on signals that SQL sent, in their order within each run; `most` runs or signals of one. Those to runs that are over are
    /// dropped. F.
    pub async fn signal_intake_apply(&self, most: i32) -> Result<Claimed, StoreError> {
        let rows = self.rows(INTAKE, &[(&most, Type::INT4)]).await?;
        let taken: i32 = rows.iter().map(|row| row.get::<_, i32>("taken")).sum();
        Ok(Claimed { rows: taken.unsigned_abs() as usize, kicks: Kick::run_rows(&rows) })
    }
}
