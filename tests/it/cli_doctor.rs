//! `tikku doctor`: what it finds and what it says to do.

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::cli::{Cli, DEV, Ran, bare, ran};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{Options, on, on_own};
use crate::postgres::{Cluster, sql};
use crate::process::free_port;
use crate::workflow_endpoint::describes;

/// The check of this name; fails where there is none.
#[track_caller]
fn check(ran: &Ran, name: &str) -> Value {
    let report = ran.json();
    let found = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("no check {name}: {report:#}"))
}

/// Fails unless the check has this verdict and its remedy holds this text.
#[track_caller]
fn expect(ran: &Ran, name: &str, verdict: &str, remedy: &str) {
    let check = check(ran, name);
    assert_eq!(check["verdict"], verdict, "{check:#}");
    assert!(check["remedy"].as_str().unwrap_or_default().contains(remedy), "{check:#}");
}

/// Looks at one database and nothing else.
fn of_database(url: &str) -> Ran {
    ran(bare(&["doctor", "--json"]).env("DATABASE_URL", url))
}

#[test]
fn a_sound_deployment_passes_every_check_and_an_endpoint_that_verifies_too() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-doctor");
        let cli = Cli { secret: cli.id(&["secrets", "get", "--show"], "secret"), ..cli };
        let endpoint = Endpoint::scripted([Reply::status(200), Reply::status(401)]);
        let found = ran(cli.command(&["doctor", "--endpoint", &endpoint.url(), "--json"]).env("DATABASE_URL", d.database_url())).expect(0);
        let report = found.json();
        assert_eq!((&report["ok"], &report["failed"]), (&json!(true), &json!(0)), "{report:#}");
        for name in [
            "database",
            "schema",
            "tick",
            "api",
            "key",
            "clock",
            "queue",
            "dead letters",
            "breakers",
            "delivery",
            "signature",
            "verification",
        ] {
            expect(&found, name, "ok", "");
        }
        let text = cli.run(&["doctor"]).expect(0);
        assert!(text.out.lines().any(|line| line.starts_with("ok       tick ")) && text.out.ends_with("All is well.\n"), "{text:#?}");
    });
}

#[test]
fn an_endpoint_with_another_secret_without_one_or_out_of_reach_is_told_apart() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-doctor-endpoint");
        let look = |url: &str| cli.run(&["doctor", "--json", "--endpoint", url]);
        let refuses = look(&Endpoint::scripted([Reply::status(401)]).url()).expect(1);
        expect(&refuses, "signature", "failed", "tikku secrets get --show");
        let takes_all = look(&Endpoint::new().url()).expect(0);
        expect(&takes_all, "verification", "warning", "verify signatures");
        let away = look(&format!("http://127.0.0.1:{}/hook", free_port())).expect(1);
        expect(&away, "endpoint", "failed", "must reach it");
        let missing = look(&Endpoint::scripted([Reply::status(404)]).url()).expect(1);
        expect(&missing, "endpoint", "failed", "correct its path");
        let refused = look("ftp://example.com").expect(1);
        expect(&refused, "endpoint", "failed", "correct --endpoint");
        assert_eq!(cli.json(&["dlq", "list"])["data"], json!([]), "it leaves no dead letters");
    });
}

#[test]
fn dead_letters_open_breakers_and_silent_apps_deserve_a_look() {
    on(DEV, async |d| {
        let (cli, broken) = (Cli::new(d, "cli-doctor-look"), Endpoint::scripted([Reply::status(500)]));
        let settings = json!({ "breaker": { "minAttempts": 1, "failurePercent": 1, "openSeconds": 600 } });
        cli.api.send_with("PATCH", "/v1/account", &[], Some(&settings)).await.expect(200);
        cli.run(&["publish", &broken.url(), "--max-attempts", "1", "--wait"]).expect(1);
        let app = Endpoint::scripted([describes(&json!([])), Reply::status(500)]);
        cli.json(&["apps", "put", "shop", &app.url()]);
        cli.run(&["apps", "sync", "shop"]).expect(1);
        let found = cli.run(&["doctor", "--json"]).expect(0);
        expect(&found, "dead letters", "warning", "tikku dlq retry");
        expect(&found, "breakers", "warning", "tikku breakers");
        expect(&found, "apps", "warning", "tikku apps sync shop");
    });
}

#[test]
fn messages_that_nobody_takes_are_late() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-doctor-late"), Endpoint::new());
        let id = cli.id(&["publish", &endpoint.url(), "--delay", "1d"], "id");
        // As if it had been handed to a queue an hour ago, and the queue to nobody.
        let old = "tikku.clock_now() - interval '1 hour'";
        d.sql(&format!(
            "with c as (update tikku.message_content set created_at = {old} where message_id = '{id}')
             update tikku.message set state = 'queued', due_at = {old}, kick_until = tikku.clock_now() + interval '10 minutes' where id = '{id}'",
            id = &id["msg_".len()..]
        ))
        .await;
        let found = cli.run(&["doctor", "--json"]).expect(1);
        expect(&found, "queue", "failed", "log of deliver");
    });
}

#[test]
fn a_key_that_does_not_work_and_an_api_that_is_away_are_failures() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-doctor-key");
        let unknown = Cli { api: cli.api.with_key("tk_live_nobody"), secret: String::new() };
        expect(&unknown.run(&["doctor", "--json"]).expect(1), "key", "failed", "tikku keys create");
        let gone = format!("http://127.0.0.1:{}", free_port());
        expect(&cli.run(&["doctor", "--json", "--url", &gone]).expect(1), "api", "failed", "TIKKU_URL");
        let page = Endpoint::scripted([Reply::status(200).body("{}")]);
        expect(&cli.run(&["doctor", "--json", "--url", &page.url()]).expect(1), "api", "failed", "TIKKU_URL");
    });
}

#[test]
fn a_database_without_a_schema_with_an_old_one_or_a_tick_that_stands_still_is_found() {
    on(DEV, async |_| {
        let cluster = Cluster::shared().unwrap();
        let url = cluster.database("cli_doctor").await.unwrap();
        expect(&of_database(&url).expect(1), "schema", "failed", "tikku migrate");
        ran(bare(&["migrate"]).env("DATABASE_URL", &url)).expect(0);
        expect(&of_database(&url).expect(1), "tick", "failed", "tikku dev");
        sql(&url, "update tikku.tick set last_at = tikku.clock_now()").await.unwrap();
        let sound = of_database(&url).expect(0);
        expect(&sound, "schema", "ok", "");
        sql(&url, "update tikku.tick set last_at = tikku.clock_now() - interval '4 minutes'").await.unwrap();
        expect(&of_database(&url).expect(0), "tick", "warning", "EventBridge");
        sql(&url, "update tikku.tick set last_at = tikku.clock_now() - interval '1 hour'").await.unwrap();
        expect(&of_database(&url).expect(1), "tick", "failed", "EventBridge");
        sql(&url, "delete from tikku.schema_version where version = (select max(version) from tikku.schema_version)").await.unwrap();
        expect(&of_database(&url).expect(1), "schema", "failed", "tikku migrate");
    });
}

#[test]
fn a_stopped_database_is_found_by_the_api_and_by_itself() {
    on_own(DEV, Options { name: "cli-stopped".to_owned(), own_cluster: true, ..Options::default() }, async |d| {
        let cli = Cli { api: d.api.clone(), secret: d.secret.clone() };
        cli.run(&["doctor"]).expect(0);
        block_in_place(|| d.cluster().stop());
        expect(&cli.run(&["doctor", "--json"]).expect(1), "database", "failed", "start the database");
        expect(&of_database(d.database_url()).expect(1), "database", "failed", "start PostgreSQL");
        let busy = cli.run(&["publish", "https://example.com/hook"]).expect(5);
        assert!(busy.err.contains("Temporarily unavailable"), "{busy:#?}");
        block_in_place(|| d.cluster().start()).unwrap();
    });
}
