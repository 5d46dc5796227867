//! Workflows as people see them: the version that new runs get, and the others. Out of scope: registering them (`app`).

use tikku_domain::app::WorkflowName;
use tikku_domain::app_view::{PolicyView, VersionView, WorkflowPage, WorkflowView};
use tikku_domain::filter::Page;
use tikku_domain::ids::AccountId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// Versions of the workflows of a page, or of one.
pub const LIST: &str = "-- workflow::list
select w.name, w.version, w.app, w.served, w.is_current, w.policy::text as policy, tikku.rfc3339(w.described_at) as described_at
from tikku.workflow w join (
  select distinct x.name from tikku.workflow x
  where x.account_id = $1 and ($2::text is null or x.name > $2) and ($3::text is null or x.name = $3) order by x.name limit $4) n on n.name = w.name
where w.account_id = $1 order by w.name, w.is_current desc, w.described_at desc, w.version";

impl Store {
    /// A workflow with its versions; `None` when no app of the account ever served one of this name. S.
    pub async fn workflow_get(&self, account: AccountId, name: &str) -> Result<Option<WorkflowView>, StoreError> {
        Ok(self.workflows(account, None, Some(name), 1).await?.pop())
    }

    /// A page of workflows. S.
    pub async fn workflow_list(&self, account: AccountId, page: &Page<WorkflowName>) -> Result<WorkflowPage, StoreError> {
        let after = page.cursor.as_ref().map(|name| name.0.as_str());
        let mut data = self.workflows(account, after, None, page.limit + 1).await?;
        let more = data.len() as i64 > page.limit;
        data.truncate(page.limit as usize);
        let next_cursor = data.last().filter(|_| more).map(|last| last.name.clone());
        Ok(WorkflowPage { data, next_cursor })
    }

    async fn workflows(
        &self,
        account: AccountId,
        after: Option<&str>,
        name: Option<&str>,
        most: i64,
    ) -> Result<Vec<WorkflowView>, StoreError> {
        let params = [(&account.0 as _, Type::UUID), (&after as _, Type::TEXT), (&name as _, Type::TEXT), (&most as _, Type::INT8)];
        let rows = self.rows(LIST, &params).await?;
        let mut workflows: Vec<WorkflowView> = Vec::new();
        for row in &rows {
            match workflows.last_mut().filter(|last| last.name == row.get::<_, &str>("name")) {
                Some(last) => last.versions.push(version(row)),
                None => workflows.push(first(row)?),
            }
        }
        Ok(workflows)
    }
}

/// The current version comes first, or the one that was described last.
fn first(row: &Row) -> Result<WorkflowView, StoreError> {
    let current: bool = row.get("is_current");
    Ok(WorkflowView {
        name: row.get("name"),
        version: current.then(|| row.get("version")),
        app: row.get("app"),
        served: current,
        policy: policy(row)?,
        versions: vec![version(row)],
    })
}

fn version(row: &Row) -> VersionView {
    VersionView {
        version: row.get("version"),
        app: row.get("app"),
        served: row.get("served"),
        current: row.get("is_current"),
        described_at: row.get("described_at"),
    }
}

pub(crate) fn policy(row: &Row) -> Result<PolicyView, StoreError> {
    serde_json::from_str(row.get("policy")).map_err(|error| StoreError::Failed(format!("policy: {error}")))
}
