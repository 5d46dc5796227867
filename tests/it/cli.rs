//! The command line, the real binary against a real `tikku dev`: each command, what it prints as JSON and for people, how it ends.
//!
//! This file is the bed, and what holds for all commands; the other `cli_*` files take one part each. Every run checks that no key slips out.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::api::Api;
use crate::endpoint::{Endpoint, Reply};
use crate::host::{Deployment, Host, on, tikku};
use crate::postgres::Cluster;
use crate::process::{free_port, run_dir};

/// The host that the command line is tried on: it is a client of the API, which is the same on all.
pub const DEV: &[Host] = &[Host::Dev];

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The error document that `--json` puts on standard error.
    #[track_caller]
    pub fn error(&self) -> Value {
        let line = self.err.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// The command line as a user of this account runs it.
pub struct Cli {
    pub api: Api,
    /// What must never be printed.
    pub secret: String,
}

impl Cli {
    /// A new account of the deployment.
    pub fn new(d: &Deployment, account: &str) -> Cli {
        let api = d.new_account(account);
        Cli { api, secret: String::new() }
    }

    /// The command, with the deployment in its environment and nothing else of ours.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = bare(args);
        command.env("TIKKU_URL", &self.api.url).env("TIKKU_API_KEY", &self.api.key);
        command
    }

    /// Runs a command and fails if a key slips out.
    pub fn run(&self, args: &[&str]) -> Ran {
        let ran = ran(&mut self.command(args));
        assert!(!ran.out.contains(&self.api.key) && !ran.err.contains(&self.api.key), "the key of {args:?} is in {ran:#?}");
        let secret = !self.secret.is_empty() && (ran.out.contains(&self.secret) || ran.err.contains(&self.secret));
        assert!(!secret, "the signing secret is in the output of {args:?}");
        ran
    }

    /// Runs a command that is to succeed, for people and then with `--json`; returns its document. Only for what may be done twice.
    #[track_caller]
    pub fn both(&self, args: &[&str]) -> Value {
        let text = self.run(args).expect(0);
        assert!(!text.out.trim().is_empty() && !text.out.contains('\u{1b}'), "{text:#?}");
        self.json(args)
    }

    /// Runs a command that is to succeed with `--json` and returns its document.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).expect(0).json()
    }

    /// Runs a command that is to succeed with `--json` and returns a member of its document, which is text.
    #[track_caller]
    pub fn id(&self, args: &[&str], member: &str) -> String {
        let document = self.json(args);
        document[member].as_str().unwrap_or_else(|| panic!("no {member} in {document:#}")).to_owned()
    }
}

/// The binary without any setting, in a folder where no dev server runs.
pub fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(tikku().expect("tikku"));
    command.args(args).current_dir(empty_folder()).stdin(Stdio::null());
    for name in ["TIKKU_URL", "TIKKU_API_KEY", "DATABASE_URL", "NO_COLOR", "COLUMNS", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn ran(command: &mut Command) -> Ran {
    let output = block_in_place(|| command.output().expect("tikku runs"));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A folder of the run without a `.tikku`.
fn empty_folder() -> PathBuf {
    let folder = run_dir().join("cli-nothing");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn exit_codes_say_how_a_command_ended() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-exit");
        let nobody = "msg_00000000000000000000000000000000";
        let gone = format!("http://127.0.0.1:{}", free_port());
        let reader = cli.json(&["keys", "create", "--role", "read"]);
        let reader = Cli { api: cli.api.with_key(reader["key"].as_str().unwrap()), secret: String::new() };
        for (code, args) in [
            (0, vec!["messages", "list"]),
            (1, vec!["publish", "ftp://example.com"]),
            (2, vec!["messages", "lists"]),
            (2, vec!["publish", "https://example.com", "--body", "no json"]),
            (2, vec!["publish"]),
            (2, vec!["dlq", "delete", nobody]),
            (2, vec!["messages", "list", "--url", "nowhere"]),
            (3, vec!["messages", "get", nobody]),
            (3, vec!["runs", "start", "no-such-workflow"]),
            (4, vec!["messages", "list", "--api-key", "tk_live_unknown"]),
            (5, vec!["messages", "list", "--url", &gone]),
        ] {
            let ran = cli.run(&args).expect(code);
            assert!(code == 0 || ran.err.lines().count() >= 1, "{ran:#?}");
        }
        let refused = reader.run(&["messages", "retry", nobody, "--json"]).expect(4).error();
        assert_eq!((&refused["exitCode"], &refused["problem"]["status"]), (&json!(4), &json!(403)), "{refused:#}");
        let late = cli.run(&["publish", &Endpoint::new().url(), "--delay", "10m", "--wait=1"]).expect(6);
        assert!(late.err.contains("is scheduled after 1 s"), "{late:#?}");
    });
}

#[test]
fn a_refusal_is_one_sentence_with_its_fields_and_json_has_the_problem() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-problem");
        let args = ["publish", "ftp://example.com", "--max-attempts", "0"];
        let ran = cli.run(&args).expect(1);
        assert_eq!(ran.err.lines().count(), 1, "{ran:#?}");
        assert!(
            ran.err.starts_with("error: The request is not valid: ") && ran.err.contains("(/url)") && ran.err.contains("(/maxAttempts)")
        );
        let error = cli.run(&[&args[..], &["--json"]].concat()).expect(1);
        assert_eq!((error.out.as_str(), &error.error()["problem"]["type"]), ("", &json!("urn:tikku:problem:invalid-request")));
    });
}

#[test]
fn what_is_not_given_is_asked_for_and_a_dev_server_of_the_folder_is_found() {
    on(DEV, async |d| {
        let nothing = ran(&mut bare(&["messages", "list"])).expect(2);
        assert!(nothing.err.contains("TIKKU_URL") && nothing.err.contains("TIKKU_API_KEY"), "{nothing:#?}");
        let half = ran(bare(&["messages", "list"]).env("TIKKU_URL", &d.api.url)).expect(2);
        assert!(half.err.contains("TIKKU_API_KEY is not set"), "{half:#?}");
        let folder = run_dir().join("cli-dev");
        std::fs::create_dir_all(folder.join(".tikku")).unwrap();
        let facts = json!({ "url": d.api.url, "apiKey": d.api.key, "signingSecret": d.secret, "databaseUrl": d.database_url(), "pid": 1 });
        std::fs::write(folder.join(".tikku/dev.json"), facts.to_string()).unwrap();
        let found = ran(bare(&["messages", "list", "--json"]).current_dir(&folder)).expect(0);
        assert!(found.json()["data"].is_array() && found.err.contains("using the `tikku dev` of this folder"), "{found:#?}");
        assert!(!found.err.contains(&d.api.key) && !found.out.contains(&d.api.key));
    });
}

#[test]
fn a_page_that_is_not_the_api_is_told_from_it() {
    on(DEV, async |_| {
        let page = Endpoint::scripted([Reply::status(200).body("<html>hello</html>")]);
        let ran = ran(bare(&["messages", "list", "--api-key", "tk_live_secret"]).env("TIKKU_URL", page.url())).expect(1);
        assert!(ran.err.contains("is this its URL?") && !ran.err.contains("tk_live_secret"), "{ran:#?}");
    });
}

#[test]
fn accounts_keys_and_the_schema_need_only_the_database() {
    on(DEV, async |d| {
        let database = |args: &[&str]| ran(bare(args).env("DATABASE_URL", d.database_url()));
        let made = database(&["accounts", "create", "cli-accounts", "--json"]).expect(0).json();
        assert!(made["key"].as_str().unwrap().starts_with("tk_live_"));
        let limited = database(&["accounts", "limit", "cli-accounts", "--requests-per-minute", "5000", "--json"]).expect(0).json();
        assert_eq!(limited["requestsPerMinute"], 5000);
        let listed = database(&["accounts", "list"]).expect(0);
        let line = listed.out.lines().find(|line| line.contains("cli-accounts")).unwrap_or_else(|| panic!("{listed:#?}"));
        assert!(line.ends_with("5000"), "{listed:#?}");
        assert_eq!(database(&["keys", "create", "--account", "cli-accounts", "--role", "read", "--json"]).expect(0).json()["role"], "read");
        assert_eq!(database(&["migrate", "--json"]).expect(0).json()["applied"], 0);
        assert!(database(&["migrate"]).expect(0).out.starts_with("The schema is up to date"));
    });
}

#[test]
fn keys_are_made_listed_and_revoked_by_the_api() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-keys");
        let made = cli.json(&["keys", "create", "--name", "robot", "--role", "publish"]);
        let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
        let listed = cli.run(&["keys", "list"]).expect(0);
        assert!(listed.out.contains("robot") && !listed.out.contains(key), "{listed:#?}");
        assert_eq!(cli.json(&["keys", "revoke", id])["revoked"], true);
        assert!(cli.run(&["keys", "list"]).expect(0).out.lines().any(|line| line.contains("robot") && line.ends_with("revoked")));
        let robot = Cli { api: cli.api.with_key(key), secret: String::new() };
        robot.run(&["messages", "list"]).expect(4);
    });
}

#[test]
fn the_signing_secret_is_printed_only_when_it_is_asked_for() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-secrets");
        let secret = cli.id(&["secrets", "get", "--show"], "secret");
        let cli = Cli { secret: secret.clone(), ..cli };
        let hidden = cli.both(&["secrets", "get"]);
        assert_eq!(hidden["hint"].as_str().unwrap(), &secret[..10]);
        let rotated = cli.both(&["secrets", "rotate", "--overlap", "2h"]);
        assert_eq!(rotated["previous"].as_array().unwrap().len(), 2, "{rotated:#}");
    });
}

#[test]
fn the_account_is_shown_and_its_settings_are_changed() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-account");
        assert_eq!(cli.both(&["account", "get"])["name"], "cli-account");
        let set = cli.json(&["account", "set", "--retention-days", "7", "--breaker-open", "2m", "--breaker-failure-percent", "60"]);
        assert_eq!(
            (&set["retentionDays"], &set["breaker"]["openSeconds"], &set["breaker"]["failurePercent"]),
            (&json!(7), &json!(120), &json!(60))
        );
        cli.run(&["account", "set"]).expect(2);
    });
}

#[test]
fn the_overview_counts_what_was_published() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-overview"), Endpoint::new());
        cli.run(&["publish", &endpoint.url(), "--wait"]).expect(0);
        let overview = cli.both(&["overview", "--since", "15m"]);
        assert_eq!((&overview["successRate"], &overview["destinations"][0]["attempts"]), (&json!(1.0), &json!(1)), "{overview:#}");
    });
}

#[test]
fn a_dev_server_says_in_json_where_it_is_and_keeps_its_key_in_its_folder() {
    on(DEV, async |_| {
        let folder = run_dir().join("cli-dev-json");
        let url = Cluster::shared().unwrap().database("cli_dev_json").await.unwrap();
        let mut command = bare(&["dev", "--json", "--port", "0", "--data", folder.to_str().unwrap()]);
        let mut child = command.env("DATABASE_URL", url).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        block_in_place(|| BufReader::new(child.stdout.take().unwrap()).read_line(&mut line)).unwrap();
        let facts: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let health = Api::new(facts["url"].as_str().unwrap(), "").get("/healthz").await;
        let file: Value = serde_json::from_slice(&std::fs::read(facts["devJson"].as_str().unwrap()).unwrap()).unwrap();
        block_in_place(|| child.kill().and_then(|()| child.wait())).unwrap();
        assert_eq!((health.status, &file["url"]), (200, &facts["url"]));
        assert!(!line.contains(file["apiKey"].as_str().unwrap()));
    });
}
