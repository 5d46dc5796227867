//! Events: published, given to those who wait for them, and to what they start. Out of scope: beginning to wait, which a run's own statements do.

use tikku_domain::event_view::{EventPage, EventView};
use tikku_domain::filter::Page;
use tikku_domain::ids::{AccountId, EventId, RunId};
use tikku_domain::limits::WINDOW_MS;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::run_read::json_bytes;
use crate::{Kick, Store, StoreError, page_of};

/// Runs that one call gives an event to.
const RUNS: i32 = 500;

/// An event, checked.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// What has happened.
    pub name: &'a str,
    /// JSON.
    pub data: &'a [u8],
    /// The publisher's own id.
    pub external_id: Option<&'a str>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventPut {
    /// It is stored; [`Store::event_apply`] gives it to those who wait.
    Accepted {
        /// Its id.
        id: EventId,
    },
    /// The id was used before for the same name and data.
    Existing {
        /// The first event.
        id: EventId,
        /// How many runs had waited for it, as far as it is applied.
        woken: i64,
        /// The runs that it started.
        started: Vec<RunId>,
    },
    /// The id belongs to another event.
    Mismatch {
        /// That event.
        id: EventId,
    },
}

/// What one call of applying an event did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventApplied {
    /// Whether there is more to do: call again.
    pub more: bool,
    /// Runs that had waited for this event.
    pub woken: Vec<RunId>,
    /// Runs that this event started.
    pub started: Vec<RunId>,
    /// To be handed to the queue; also of earlier events of the name, which go first.
    pub kicks: Vec<Kick>,
}

/// Stores an event.
pub const PUBLISH: &str = "-- event::publish
select verdict, id, woken, started from tikku.event_publish($1, $2, $3, $4)";

/// Gives it to some of those who wait for it, or starts what it triggers.
pub const APPLY: &str = "-- event::apply
select verdict, event_id, id, wait_ms, $1::uuid as account_id from tikku.event_apply($1, $2, $3, $4)";

/// Those that somebody should have applied, the oldest first.
pub const OPEN: &str = "-- event::open
select account_id, id from tikku.event where not applied and at < tikku.clock_now() - interval '5 seconds' order by at limit $1";

macro_rules! columns {
    ($data:literal) => {
        concat!(
            "id, name, ",
            $data,
            " as data, external_id, tikku.rfc3339(at) as created_at, started, woken from tikku.event where account_id = $1"
        )
    };
}

/// One.
pub const GET: &str = concat!("-- event::get\nselect ", columns!("data"), " and id = $2");

/// A page, newest first.
pub const LIST: &str = concat!(
    "-- event::list\nselect ",
    columns!("case when octet_length(data) <= 4096 then data end"),
    " and ($2::text is null or name = $2) and ($3::uuid is null or id < $3) order by id desc limit $4"
);

impl Store {
    /// Stores an event. F.
    pub async fn event_publish(&self, account: AccountId, event: &NewEvent<'_>) -> Result<EventPut, StoreError> {
        let params = [
            (&account.0 as _, Type::UUID),
            (&event.name as _, Type::TEXT),
            (&event.data as _, Type::BYTEA),
            (&event.external_id as _, Type::TEXT),
        ];
        let row = self.row(PUBLISH, &params).await?;
        let id = EventId(row.get("id"));
        Ok(match row.get("verdict") {
            "accepted" => EventPut::Accepted { id },
            "existing" => EventPut::Existing {
                id,
                woken: row.get::<_, i32>("woken").into(),
                started: row.get::<_, Vec<uuid::Uuid>>("started").into_iter().map(RunId).collect(),
            },
            "mismatch" => EventPut::Mismatch { id },
            other => return Err(StoreError::Failed(format!("event_publish answered {other}"))),
        })
    }

    /// Gives an event to at most 500 of the runs that wait for it, or starts what it triggers; call it until there is no more. F.
    pub async fn event_apply(&self, account: AccountId, id: EventId) -> Result<EventApplied, StoreError> {
        let window_ms = WINDOW_MS as i64;
        let params = [(&account.0 as _, Type::UUID), (&id.0 as _, Type::UUID), (&RUNS as _, Type::INT4), (&window_ms as _, Type::INT8)];
        let rows = self.rows(APPLY, &params).await?;
        let mut applied = EventApplied { kicks: Kick::run_rows(&rows), ..EventApplied::default() };
        for row in &rows {
            let own = row.get::<_, uuid::Uuid>("event_id") == id.0;
            let run = row.get::<_, Option<uuid::Uuid>>("id").map(RunId);
            match (row.get("verdict"), run) {
                ("more", _) => applied.more = true,
                // A run that waited with several steps.
                ("woken", Some(run)) if own && applied.woken.last() != Some(&run) => applied.woken.push(run),
                ("started", Some(run)) if own => applied.started.push(run),
                _ => {}
            }
        }
        Ok(applied)
    }

    /// Events that are older than 5 s and not applied, for tick. S.
    pub async fn event_open(&self, most: i64) -> Result<Vec<(AccountId, EventId)>, StoreError> {
        let rows = self.rows(OPEN, &[(&most, Type::INT8)]).await?;
        Ok(rows.iter().map(|row| (AccountId(row.get("account_id")), EventId(row.get("id")))).collect())
    }

    /// An event; `None` when the account has none such. S.
    pub async fn event_get(&self, account: AccountId, id: EventId) -> Result<Option<EventView>, StoreError> {
        let rows = self.rows(GET, &[(&account.0, Type::UUID), (&id.0, Type::UUID)]).await?;
        rows.first().map(view).transpose()
    }

    /// A page of events without their data. S.
    pub async fn event_list(&self, account: AccountId, name: Option<&str>, page: &Page<EventId>) -> Result<EventPage, StoreError> {
        let (cursor, more) = (page.cursor.map(|id| id.0), page.limit + 1);
        let params = [(&account.0 as _, Type::UUID), (&name as _, Type::TEXT), (&cursor as _, Type::UUID), (&more as _, Type::INT8)];
        let rows = self.rows(LIST, &params).await?;
        let (data, next_cursor) = page_of(&rows, page.limit, view, |event| &event.id)?;
        Ok(EventPage { data, next_cursor })
    }
}

fn view(row: &Row) -> Result<EventView, StoreError> {
    Ok(EventView {
        id: EventId(row.get("id")).to_string(),
        name: row.get("name"),
        data: json_bytes(row, "data")?,
        external_id: row.get("external_id"),
        created_at: row.get("created_at"),
        started: row.get::<_, Vec<uuid::Uuid>>("started").into_iter().map(|id| RunId(id).to_string()).collect(),
        woken: row.get("woken"),
    })
}
