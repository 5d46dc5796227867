//! Brings the schema up to date. Each migration is one multi-statement query, so one transaction; a transaction-level advisory
//! lock makes two at once safe: the second waits, finds the version applied, and its transaction is thrown away.

use tokio_postgres::error::SqlState;

use crate::{Store, StoreError};

/// Version, name and text of every migration, in order.
pub const MIGRATIONS: [(i32, &str, &str); 20] = [
    (1, "clock", include_str!("../../../migrations/0001_clock.sql")),
    (2, "accounts", include_str!("../../../migrations/0002_accounts.sql")),
    (3, "messages", include_str!("../../../migrations/0003_messages.sql")),
    (4, "message_functions", include_str!("../../../migrations/0004_message_functions.sql")),
    (5, "platform", include_str!("../../../migrations/0005_platform.sql")),
    (6, "publish", include_str!("../../../migrations/0006_publish.sql")),
    (7, "flows", include_str!("../../../migrations/0007_flows.sql")),
    (8, "breakers", include_str!("../../../migrations/0008_breakers.sql")),
    (9, "delivery", include_str!("../../../migrations/0009_delivery.sql")),
    (10, "schedules", include_str!("../../../migrations/0010_schedules.sql")),
    (11, "accounts", include_str!("../../../migrations/0011_accounts.sql")),
    (12, "fanouts", include_str!("../../../migrations/0012_fanouts.sql")),
    (13, "sql_api", include_str!("../../../migrations/0013_sql_api.sql")),
    (14, "runs", include_str!("../../../migrations/0014_runs.sql")),
    (15, "run_core", include_str!("../../../migrations/0015_run_core.sql")),
    (16, "run_control", include_str!("../../../migrations/0016_run_control.sql")),
    (17, "run_sql_api", include_str!("../../../migrations/0017_run_sql_api.sql")),
    (18, "destinations", include_str!("../../../migrations/0018_destinations.sql")),
    (19, "events", include_str!("../../../migrations/0019_events.sql")),
    (20, "dashboard", include_str!("../../../migrations/0020_dashboard.sql")),
];

/// The version this code wants.
pub const VERSION: i32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

impl Store {
    /// Applies what is missing; answers the versions that this call applied.
    pub async fn migrate(&self) -> Result<Vec<i32>, StoreError> {
        let client = self.clients.lend().await?;
        let mut applied = Vec::new();
        for (version, name, text) in MIGRATIONS {
            // The check raises, so that an applied version leaves nothing of its text behind.
            let sql = format!(
                "-- schema::migrate\n\
                 select pg_advisory_xact_lock(7281160713);\n\
                 create schema if not exists tikku;\n\
                 do $check$ begin\n\
                   if to_regclass('tikku.schema_version') is not null then\n\
                     if exists (select 1 from tikku.schema_version where version = {version}) then\n\
                       raise exception 'applied' using errcode = 'TK001';\n\
                     end if;\n\
                   end if;\n\
                 end $check$;\n\
                 {text}\n\
                 insert into tikku.schema_version (version, name) values ({version}, '{name}');"
            );
            // A migration is the one thing that is many statements: the simple protocol runs them as one transaction.
            #[allow(clippy::disallowed_methods)]
            match client.batch_execute(&sql).await {
                Ok(()) => applied.push(version),
                Err(error) if error.code() == Some(&SqlState::from_code("TK001")) => {}
                Err(error) => return Err(StoreError::of(&error)),
            }
        }
        client.done();
        Ok(applied)
    }
}
