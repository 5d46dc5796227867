//! What only the laptop has: `tikku dev` with its own Postgres, data that survives a stop or not, migrations by hand.

use std::process::Command;

use serde_json::json;
use tokio::task::block_in_place;

use super::{SOON, message};
use crate::api::Api;
use crate::endpoint::Endpoint;
use crate::host::{Host, Options, on_own, stage, tikku};
use crate::postgres::{Cluster, sql};
use crate::process::run;

const DEV: &[Host] = &[Host::Dev];

#[test]
fn dev_with_its_own_postgres_keeps_data_over_a_stop_and_a_kill() {
    on_own(DEV, Options { name: "embedded".to_owned(), embedded: true, ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({ "body": "first" }))).await;
        d.api.until(&id, "delivered", SOON).await;
        assert!(block_in_place(|| d.dev().stop()), "SIGTERM does not stop it");
        assert!(sql(d.database_url(), "select 1").await.is_err(), "its Postgres runs on");
        block_in_place(|| d.dev().start_again()).expect("it starts again");
        assert_eq!(d.api.message(&id).await["status"], "delivered", "data and key survive a stop");
        d.kill_deliverer();
        assert_eq!(d.api.message(&id).await["status"], "delivered", "data and key survive a kill");
        let again = d.api.publish(&message(&endpoint, json!({ "body": "again" }))).await;
        d.api.until(&again, "delivered", SOON).await;
    });
}

#[test]
fn ephemeral_dev_forgets_everything_and_still_writes_dev_json() {
    on_own(DEV, Options { name: "ephemeral".to_owned(), embedded: true, ephemeral: true, ..Options::default() }, async |d| {
        let endpoint = Endpoint::new();
        let id = d.api.publish(&message(&endpoint, json!({}))).await;
        d.api.until(&id, "delivered", SOON).await;
        assert!(block_in_place(|| d.dev().stop()), "SIGTERM does not stop it");
        let facts = block_in_place(|| d.dev().start_again()).expect("it starts again");
        let api = Api::new(facts["url"].as_str().unwrap(), facts["apiKey"].as_str().unwrap());
        api.get(&format!("/v1/messages/{id}")).await.problem(404);
    });
}

#[test]
fn migrations_that_run_at_once_and_again_leave_one_schema() {
    let url = stage().block_on(async { Cluster::shared().unwrap().database("migrations").await.unwrap() });
    let migrate = || run(Command::new(tikku().unwrap()).arg("migrate").env("DATABASE_URL", &url));
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(migrate)).collect();
        for one in running {
            one.join().unwrap().unwrap();
        }
    });
    migrate().unwrap();
    let versions = stage().block_on(sql(&url, "select count(*), count(distinct version) from tikku.schema_version")).unwrap();
    assert_eq!(versions[0][0], versions[0][1]);
}
