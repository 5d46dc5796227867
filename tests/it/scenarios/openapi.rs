//! The OpenAPI document and the running service say the same: schemathesis finds no violation, and the client that a generator makes of the
//! document works. Out of scope: what the committed copies are made of (`cargo xtask openapi`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tikku_domain::workflow_resume::resume_token;

use super::long;
use crate::api::Api;
use crate::endpoint::Ending;
use crate::host::{ALL, Host, Options, on, on_own};
use crate::process::{run, run_dir};
use crate::signature::python;
use crate::workflow_endpoint::{Flow, completes};

/// A program of the Python environment, which finds the others of it in PATH.
fn program(name: &str) -> Command {
    let python = PathBuf::from(python().expect("python"));
    let folder = python.parent().expect("a folder of programs").to_owned();
    let mut command = Command::new(folder.join(name));
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&rest))).expect("a PATH");
    command.env("PATH", paths).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1");
    command
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("it/openapi").join(file)
}

/// Runs a program to its end; what it said is shown when it fails.
async fn done(command: &mut Command) -> String {
    tokio::task::block_in_place(|| run(command)).unwrap_or_else(|error| panic!("{error:#}"))
}

/// The served document in a file of the run.
async fn document(api: &Api, name: &str) -> PathBuf {
    let answer = api.with_key("").get("/openapi.json").await.expect(200);
    let file = run_dir().join(format!("{name}.json"));
    std::fs::write(&file, &answer.text).expect("a file");
    file
}

#[test]
fn the_document_is_valid_openapi_3_1() {
    on(&[Host::Dev], async |d| {
        let file = document(&d.api, "valid-openapi").await;
        done(program("openapi-spec-validator").args(["--schema", "3.1", "--errors", "all"]).arg(file)).await;
    });
}

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let options = Options { name: "openapi".to_owned(), ..Options::default() };
    on_own(&[Host::Dev], options, async |d| {
        let own = d.api.get("/v1/keys").await.expect(200).json()["data"][0]["id"].as_str().expect("a key").to_owned();
        let endpoints = json!({ "endpoints": [{ "url": "http://127.0.0.1:9/" }] });
        d.api.send("PUT", "/v1/fanouts/everyone", Some(endpoints.to_string().into_bytes())).await.expect(201);
        d.api.send("PUT", "/v1/flows/everything", Some(b"{}".to_vec())).await.expect(201);
        // A dispatch that lasts as long as the test, whose token checkpoints are made with.
        let held = Flow::serve(&d.api, [completes(&json!(null)).ending(Ending::Hang)]).await;
        let ends = Flow::serve(&d.api, [completes(&json!(null))]).await;
        let run = held.start(&json!({})).await;
        let dispatch = held.dispatch(1).await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        // So many examples an operation; the seed makes a failure repeatable.
        let examples = if long() { "20" } else { "10" };
        let mut command = program("schemathesis");
        command.arg("--config-file").arg(here("schemathesis.toml")).args(["run", &format!("{}/openapi.json", d.api.url)]);
        command.args(["--max-examples", examples, "--seed", "3"]).current_dir(run_dir());
        command
            .env("TIKKU_RUN", &run)
            .env("TIKKU_WORKFLOW", &ends.name)
            .env("TIKKU_HELD", &held.name)
            .env("TIKKU_FENCE", text(&dispatch["fence"]["token"]));
        command.env("TIKKU_RESUME", resume_token(&text(&dispatch["engine"]["resumeKey"]), "go"));
        command.env("TIKKU_KEY", &d.api.key).env("TIKKU_KEY_ID", &own).env("PYTHONPATH", here(""));
        let report = done(&mut command).await;
        println!("{report}");
        d.api.get("/v1/keys").await.expect(200); // Else all it saw were refusals of a revoked key.
    });
}

/// The package that openapi-python-client makes of the document, once a run. A route that it cannot read fails.
fn client(file: &Path) -> &'static Path {
    static CLIENT: OnceLock<PathBuf> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let folder = run_dir().join("python-client");
        let mut command = program("openapi-python-client");
        command.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]).arg(file);
        command.arg("--output-path").arg(folder.join("tikku_client")).current_dir(run_dir());
        let said = run(&mut command).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(!said.to_lowercase().contains("warning"), "{said}");
        folder
    })
}

#[test]
fn a_generated_python_client_takes_a_message_from_failure_to_delivery() {
    on(ALL, async |d| {
        let file = document(&d.api, &format!("client-openapi-{:?}", d.host)).await;
        let api = d.new_account("python client");
        let package = tokio::task::block_in_place(|| client(&file));
        let mut command = program("python");
        command.arg(here("round_trip.py")).args([&api.url, &api.key]).env("PYTHONPATH", package);
        done(&mut command).await;
    });
}
