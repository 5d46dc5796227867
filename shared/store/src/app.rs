//! Apps: where workflows are served, and what they said they serve. Out of scope: asking them (the API).

use tikku_domain::app::AppName;
use tikku_domain::app_view::{AppPage, AppView, ServedView};
use tikku_domain::etag::IfMatch;
use tikku_domain::filter::Page;
use tikku_domain::ids::AccountId;
use tikku_domain::workflow_describe::Served;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::workflow::policy;
use crate::{Kick, Store, StoreError, page_of};

/// What people set of an app, checked.
#[derive(Clone, Copy, Debug)]
pub struct NewApp<'a> {
    /// Where it is invoked.
    pub url: &'a str,
    /// How long one dispatch may take.
    pub timeout_ms: i32,
    /// How long a dispatch that renews its lease may be silent.
    pub lease_ms: i32,
}

/// What an edit of an app met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppEdit {
    /// The app is new.
    Made {
        /// Its revision.
        revision: i64,
    },
    /// It did its work.
    Done {
        /// The app's revision now; 0 when it was deleted.
        revision: i64,
    },
    /// The account has no such app.
    Missing,
    /// The app is not at a revision that may be changed.
    Stale,
}

/// What an app said.
#[derive(Clone, Copy, Debug)]
pub struct DescribedApp<'a> {
    /// What it speaks the protocol with.
    pub sdk: Option<&'a str>,
    /// each, batched or return.
    pub checkpoint: &'a str,
    /// The first of a name is what new runs get.
    pub workflows: &'a [DescribedWorkflow<'a>],
}

/// A workflow in one version, as an app described it.
#[derive(Clone, Debug)]
pub struct DescribedWorkflow<'a> {
    /// The name runs are started by.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// A JSON object of what it said besides.
    pub policy: &'a str,
    /// Names of events that start a run, and what they must match, JSON.
    pub triggers: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> DescribedWorkflow<'a> {
    /// From an answer that was read.
    pub fn of(served: &'a Served) -> Self {
        let triggers = served.triggers.iter().map(|trigger| (trigger.event.as_str(), trigger.matching.as_deref())).collect();
        Self { name: &served.name, version: &served.version, policy: &served.policy, triggers }
    }
}

macro_rules! columns {
    () => {
        "a.name, a.url, a.timeout_ms, a.lease_ms, a.checkpoint, a.sdk, tikku.rfc3339(a.described_at) as described_at, a.describe_error, a.revision,
  tikku.rfc3339(a.created_at) as created_at, tikku.rfc3339(a.updated_at) as updated_at"
    };
}

/// One, with what it serves, from one snapshot.
pub const GET: &str = concat!(
    "-- app::get\nselect ",
    columns!(),
    ", w.name as workflow, w.version, w.served, w.is_current, w.policy::text as policy
from tikku.app a left join tikku.workflow w on w.account_id = a.account_id and w.app = a.name
where a.account_id = $1 and a.name = $2 order by w.name, w.is_current desc, w.version"
);

/// A page by name.
pub const LIST: &str = concat!(
    "-- app::list\nselect ",
    columns!(),
    "\nfrom tikku.app a where a.account_id = $1 and ($2::text is null or a.name > $2) order by a.name limit $3"
);

/// Makes or changes one.
pub const PUT: &str = "-- app::put
select verdict, revision from tikku.app_put($1, $2, $3, $4, $5, $6, $7)";

/// Records what it serves.
pub const DESCRIBED: &str = "-- app::described
select tikku.app_described($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as known";

/// Records why it did not say.
pub const DESCRIBE_FAILED: &str = "-- app::describe_failed
update tikku.app set describe_error = $4 where account_id = $1 and name = $2 and revision = $3 returning name";

/// Deletes one.
pub const DELETE: &str = "-- app::delete
select tikku.app_delete($1, $2, $3) as verdict";

impl Store {
    /// Makes an app, or changes where it is. What it serves is as it last said. F.
    pub async fn app_put(&self, account: AccountId, name: &str, if_match: &IfMatch, app: &NewApp<'_>) -> Result<AppEdit, StoreError> {
        let (must_exist, revisions) = (if_match.must_exist(), if_match.revisions());
        let params = [
            (&account.0 as _, Type::UUID),
            (&name as _, Type::TEXT),
            (&must_exist as _, Type::BOOL),
            (&revisions as _, Type::INT8_ARRAY),
            (&app.url as _, Type::TEXT),
            (&app.timeout_ms as _, Type::INT4),
            (&app.lease_ms as _, Type::INT4),
        ];
        let row = self.row(PUT, &params).await?;
        edit(&row, row.get::<_, Option<i64>>("revision").unwrap_or(0))
    }

    /// Records what an app that is at `revision` said, and lets some of the runs go on that nobody served before; the others with
    /// [`Store::run_resume_served`]. `None` when the app is gone or has changed. F, twice.
    pub async fn app_described(
        &self,
        account: AccountId,
        name: &str,
        revision: i64,
        app: &DescribedApp<'_>,
    ) -> Result<Option<Vec<Kick>>, StoreError> {
        let names: Vec<&str> = app.workflows.iter().map(|workflow| workflow.name).collect();
        let versions: Vec<&str> = app.workflows.iter().map(|workflow| workflow.version).collect();
        let policies: Vec<&str> = app.workflows.iter().map(|workflow| workflow.policy).collect();
        let (mut of, mut events, mut matches) = (Vec::new(), Vec::new(), Vec::new());
        for (n, workflow) in (1_i32..).zip(app.workflows) {
            for (event, matching) in &workflow.triggers {
                of.push(n);
                events.push(*event);
                matches.push(*matching);
            }
        }
        let params: [(&(dyn ToSql + Sync), Type); 11] = [
            (&account.0, Type::UUID),
            (&name, Type::TEXT),
            (&revision, Type::INT8),
            (&app.sdk, Type::TEXT),
            (&app.checkpoint, Type::TEXT),
            (&names, Type::TEXT_ARRAY),
            (&versions, Type::TEXT_ARRAY),
            (&policies, Type::TEXT_ARRAY),
            (&of, Type::INT4_ARRAY),
            (&events, Type::TEXT_ARRAY),
            (&matches, Type::TEXT_ARRAY),
        ];
        if !self.row(DESCRIBED, &params).await?.get::<_, bool>("known") {
            return Ok(None);
        }
        Ok(Some(self.run_resume_served(account).await?.kicks))
    }

    /// Notes why an app that is at `revision` did not say what it serves; false when it is gone or has changed. S.
    pub async fn app_describe_failed(&self, account: AccountId, name: &str, revision: i64, error: &str) -> Result<bool, StoreError> {
        let params = [(&account.0 as _, Type::UUID), (&name as _, Type::TEXT), (&revision as _, Type::INT8), (&error as _, Type::TEXT)];
        Ok(!self.rows(DESCRIBE_FAILED, &params).await?.is_empty())
    }

    /// Deletes an app with what it serves. Its runs are paused when they are next to be dispatched. F.
    pub async fn app_delete(&self, account: AccountId, name: &str, if_match: &IfMatch) -> Result<AppEdit, StoreError> {
        let revisions = if_match.revisions();
        let row = self.row(DELETE, &[(&account.0, Type::UUID), (&name, Type::TEXT), (&revisions, Type::INT8_ARRAY)]).await?;
        edit(&row, 0)
    }

    /// An app with what it serves; `None` when the account has none of this name. S.
    pub async fn app_get(&self, account: AccountId, name: &str) -> Result<Option<AppView>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&name, Type::TEXT)]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let served = rows.iter().filter(|row| row.get::<_, Option<&str>>("workflow").is_some()).map(served);
        Ok(Some(AppView { workflows: Some(served.collect::<Result<_, _>>()?), ..view(first) }))
    }

    /// A page of apps without what they serve. S.
    pub async fn app_list(&self, account: AccountId, page: &Page<AppName>) -> Result<AppPage, StoreError> {
        let (cursor, more) = (page.cursor.as_ref().map(|name| &name.0), page.limit + 1);
        let rows = self.rows(LIST, &[(&account.0, Type::UUID), (&cursor, Type::TEXT), (&more, Type::INT8)]).await?;
        let (data, next_cursor) = page_of(&rows, page.limit, |row| Ok(view(row)), |app| &app.name)?;
        Ok(AppPage { data, next_cursor })
    }
}

fn edit(row: &Row, revision: i64) -> Result<AppEdit, StoreError> {
    Ok(match row.get("verdict") {
        "made" => AppEdit::Made { revision },
        "done" => AppEdit::Done { revision },
        "missing" => AppEdit::Missing,
        "stale" => AppEdit::Stale,
        other => return Err(StoreError::Failed(format!("an app's change answered {other}"))),
    })
}

fn view(row: &Row) -> AppView {
    AppView {
        name: row.get("name"),
        url: row.get("url"),
        timeout_seconds: row.get::<_, i32>("timeout_ms") / 1000,
        lease_seconds: row.get::<_, i32>("lease_ms") / 1000,
        checkpoint: row.get("checkpoint"),
        sdk: row.get("sdk"),
        workflows: None,
        described_at: row.get("described_at"),
        describe_error: row.get("describe_error"),
        revision: row.get("revision"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    }
}

fn served(row: &Row) -> Result<ServedView, StoreError> {
    Ok(ServedView {
        name: row.get("workflow"),
        version: row.get("version"),
        served: row.get("served"),
        current: row.get("is_current"),
        policy: policy(row)?,
    })
}
