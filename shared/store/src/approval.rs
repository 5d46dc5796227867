//! Approvals: questions of runs to people. Out of scope: who may answer, and whether the data fits the schema (`domain::approval`).

use serde_json::value::RawValue;
use tikku_domain::approval_view::{ApprovalCursor, ApprovalPage, ApprovalView};
use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, KeyId, RunId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::run_read::{json_bytes, json_text};
use crate::{RunControl, Store, StoreError};

/// What decides about an answer, as it was read without a lock.
#[derive(Clone, Debug)]
pub struct Approval {
    /// open, approved, rejected, expired or closed.
    pub state: String,
    /// Who may answer, JSON.
    pub policy: String,
    /// JSON Schema of the data.
    pub schema: Option<String>,
    /// The API key that started the run.
    pub started_by: Option<KeyId>,
}

/// An answer, checked.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalAnswer<'a> {
    /// Yes or no.
    pub approve: bool,
    /// What it brings, JSON.
    pub data: Option<&'a [u8]>,
    /// The API key; `None` for a resume URL.
    pub by: Option<KeyId>,
    /// Who it says it is.
    pub by_name: Option<&'a str>,
}

macro_rules! select {
    () => {
        "select a.run_id, a.key, c.workflow, a.title, a.detail::text as detail, a.schema::text as schema, a.policy::text as policy,
  tikku.rfc3339(a.since) as created_at, case when a.expires_at < 'infinity' then tikku.rfc3339(a.expires_at) end as expires_at,
  case when a.state = 'open' and a.expires_at <= tikku.clock_now() then 'expired' else a.state end as state,
  tikku.rfc3339(a.decided_at) as decided_at, a.decided_by, a.decided_name, a.data, c.started_by
from tikku.approval a join tikku.run_content c on c.account_id = a.account_id and c.run_id = a.run_id"
    };
}

/// One.
pub const GET: &str = concat!("-- approval::get\n", select!(), "\nwhere a.account_id = $1 and a.run_id = $2 and a.key = $3");

/// A page, those of the newest runs first.
pub const LIST: &str = concat!(
    "-- approval::list\n",
    select!(),
    "\nwhere a.account_id = $1 and (not $2 or (a.state = 'open' and a.expires_at > tikku.clock_now()))
  and ($3::uuid is null or a.run_id < $3 or (a.run_id = $3 and a.key > $4)) order by a.run_id desc, a.key limit $5"
);

/// Records an answer.
pub const ANSWER: &str = "-- approval::answer
select verdict, state, id, wait_ms, account_id from tikku.approval_answer($1, $2, $3, $4, $5, $6, $7)";

impl Store {
    /// What decides about an answer; `None` when the account's run has no such approval. S.
    pub async fn approval_get(&self, account: AccountId, run: RunId, key: &str) -> Result<Option<Approval>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&run.0, Type::UUID), (&key, Type::TEXT)]).await?;
        Ok(rows.first().map(|row| Approval {
            state: row.get("state"),
            policy: row.get("policy"),
            schema: row.get("schema"),
            started_by: row.get::<_, Option<uuid::Uuid>>("started_by").map(KeyId),
        }))
    }

    /// An approval as people see it; `None` when the account's run has none such. S.
    pub async fn approval_view(&self, account: AccountId, run: RunId, key: &str) -> Result<Option<ApprovalView>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&run.0, Type::UUID), (&key, Type::TEXT)]).await?;
        rows.first().map(view).transpose()
    }

    /// Records an answer if the question is still open: of two answers one counts. A conflict has the state: approved, rejected, expired or
    /// closed. F.
    pub async fn approval_answer(
        &self,
        account: AccountId,
        run: RunId,
        key: &str,
        answer: &ApprovalAnswer<'_>,
    ) -> Result<RunControl, StoreError> {
        let by = answer.by.map(|id| id.0);
        let params = [
            (&account.0 as _, Type::UUID),
            (&run.0 as _, Type::UUID),
            (&key as _, Type::TEXT),
            (&answer.approve as _, Type::BOOL),
            (&answer.data as _, Type::BYTEA),
            (&by as _, Type::UUID),
            (&answer.by_name as _, Type::TEXT),
        ];
        self.ruled(ANSWER, &params).await
    }

    /// A page of approvals, of those that are open or of all. S.
    pub async fn approval_list(
        &self,
        account: AccountId,
        open_only: bool,
        page: &Page<ApprovalCursor>,
    ) -> Result<ApprovalPage, StoreError> {
        let (run, key) = page.cursor.as_ref().map_or((None, None), |cursor| (Some(cursor.run.0), Some(cursor.key.as_str())));
        let more = page.limit + 1;
        let params = [
            (&account.0 as _, Type::UUID),
            (&open_only as _, Type::BOOL),
            (&run as _, Type::UUID),
            (&key as _, Type::TEXT),
            (&more as _, Type::INT8),
        ];
        let rows = self.rows(LIST, &params).await?;
        let shown = &rows[..rows.len().min(page.limit as usize)];
        let last = shown.last().filter(|_| shown.len() < rows.len());
        let next_cursor = last.map(|row| ApprovalCursor { run: RunId(row.get("run_id")), key: row.get("key") }.to_string());
        Ok(ApprovalPage { data: shown.iter().map(view).collect::<Result<_, _>>()?, next_cursor })
    }
}

fn view(row: &Row) -> Result<ApprovalView, StoreError> {
    let policy = json_text(row, "policy")?;
    Ok(ApprovalView {
        run_id: RunId(row.get("run_id")).to_string(),
        key: row.get("key"),
        workflow: row.get("workflow"),
        title: row.get("title"),
        detail: json_text(row, "detail")?,
        schema: json_text(row, "schema")?,
        policy: policy.unwrap_or_else(|| RawValue::NULL.to_owned()),
        created_at: row.get("created_at"),
        expires_at: row.get("expires_at"),
        status: row.get("state"),
        decided_at: row.get("decided_at"),
        decided_by: row.get::<_, Option<uuid::Uuid>>("decided_by").map(|id| KeyId(id).to_string()),
        decided_name: row.get("decided_name"),
        data: json_bytes(row, "data")?,
    })
}
