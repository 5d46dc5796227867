//! The database itself: whether it answers, which schema it has, when tick last looked.

use tikku_store::StoreError;
use tikku_store::migrate::VERSION;

use super::finding::{Finding, failed, ok, schema, tick};
use crate::database::open;

/// Looks at the database behind this URL.
pub async fn check(url: &str) -> Vec<Finding> {
    let store = match open(url, 1) {
        Ok(store) => store,
        Err(error) => return vec![failed("database", format!("{error:#}"), "correct DATABASE_URL")],
    };
    match store.pulse().await {
        Ok(pulse) => {
            vec![ok("database", "it answers"), schema(pulse.schema_version, VERSION), tick(pulse.last_tick_age_s)]
        }
        Err(StoreError::Unmigrated(detail)) => vec![
            ok("database", "it answers"),
            failed("schema", format!("missing, or older than this program: {detail}"), "run `tikku migrate` with DATABASE_URL"),
        ],
        Err(error @ StoreError::Unavailable(_)) => {
            let remedy = "start PostgreSQL; check host, port, user and password of DATABASE_URL, and that this machine may connect";
            vec![failed("database", error.to_string(), remedy)]
        }
        Err(error) => vec![failed("database", error.to_string(), "check that the user of DATABASE_URL may use the schema tikku")],
    }
}
