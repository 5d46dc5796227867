//! What only `tikku dev` does: its own Postgres, data that survives, a clean stop.

use serde_json::json;

use super::{SOON, message};
use crate::endpoint::Endpoint;
use crate::host::{Host, Options, on_own};

#[test]
fn dev_with_its_own_postgres_keeps_data_over_a_stop_and_a_kill() {
    on_own(&[Host::Dev], Options { name: "embedded".to_owned(), embedded: true, ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({ "body": "first" }))).await;
        d.api.until(&id, "delivered", SOON).await;
        assert!(tokio::task::block_in_place(|| d.dev().stop()), "SIGTERM does not stop it within 8 s");
        tokio::task::block_in_place(|| d.dev().start_again()).expect("it starts again");
        assert_eq!(d.api.message(&id).await["status"], "delivered", "data and key survive a stop");
        d.kill_deliverer();
        assert_eq!(d.api.message(&id).await["status"], "delivered", "data and key survive a kill");
        let again = d.api.publish(&message(&endpoint, json!({ "body": "again" }))).await;
        d.api.until(&again, "delivered", SOON).await;
    });
}
