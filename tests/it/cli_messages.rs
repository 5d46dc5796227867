//! The command line's messages, dead letters, fanouts, schedules, flows and breakers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::cli::{Cli, DEV, Ran, bare, ran};
use crate::endpoint::{Endpoint, Reply};
use crate::host::{Deployment, on};
use crate::signature::python;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_message_is_published_as_its_options_say_and_shown_with_its_attempts() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-publish"), Endpoint::scripted([Reply::status(200).body("fine\u{1b}[2J\u{7}")]));
        let url = endpoint.url();
        let args = [
            ["publish", url.as_str(), "--body", r#"{"b": 1.0, "a": [1e3]}"#].as_slice(),
            &["--method", "put", "-H", "x-a: one", "--header", "x-b:two", "--max-attempts", "3", "--timeout", "5s", "--label", "red"],
            &["--backoff", r#"{"type": "fixed", "initialSeconds": 1}"#, "--idempotency-key", "k1", "--flow-key", "f", "--parallelism", "2"],
            &["--wait"],
        ]
        .concat();
        let published = cli.json(&args);
        assert_eq!(published["status"], "delivered", "{published:#}");
        let push = endpoint.wait(1, SOON).await.remove(0);
        assert_eq!((push.method.as_str(), &push.body[..]), ("PUT", r#"{"b": 1.0, "a": [1e3]}"#.as_bytes()));
        assert_eq!((push.header("x-a"), push.header("x-b")), (Some("one"), Some("two")));
        let again = cli.json(&args);
        assert_eq!(again["id"], published["id"], "the same key is the same message");

        let id = published["id"].as_str().unwrap();
        let shown = cli.both(&["messages", "get", id]);
        assert_eq!((&shown["maxAttempts"], &shown["timeoutSeconds"], &shown["labels"]), (&json!(3), &json!(5), &json!(["red"])));
        assert_eq!((&shown["flowControl"]["parallelism"], &shown["backoff"]["type"]), (&json!(2), &json!("fixed")));
        let text = cli.run(&["messages", "get", id]).expect(0).out;
        for part in ["delivered, 1/3 tries", "PUT http", "    1e3", "Attempt 1", "200", "fine\\u{1b}[2J\\u{7}"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    });
}

#[test]
fn messages_are_listed_by_filter_and_cancelled_retried_and_sent_again() {
    on(DEV, async |d| {
        let cli = Cli::new(d, "cli-messages");
        let (works, broken) = (Endpoint::new(), Endpoint::scripted([Reply::status(500)]));
        let first = cli.id(&["publish", &works.url(), "--label", "a", "--wait"], "id");
        cli.run(&["publish", &broken.url(), "--max-attempts", "1", "--wait"]).expect(1);
        let later = cli.id(&["publish", &works.url(), "--delay", "1h", "--label", "b"], "id");
        let page = cli.both(&["messages", "list", "--limit", "2"]);
        assert_eq!(
            (page["data"].as_array().unwrap().len(), &page["counts"]["delivered"], page["nextCursor"].is_string()),
            (2, &json!(1), true)
        );
        let rest = cli.json(&["messages", "list", "--cursor", page["nextCursor"].as_str().unwrap()]);
        assert_eq!(ids(&rest), std::slice::from_ref(&first));
        assert_eq!(ids(&cli.json(&["messages", "list", "--label", "a", "--from", "1h"])), std::slice::from_ref(&first));
        assert_eq!(ids(&cli.json(&["messages", "list", "--destination", &broken.url(), "--status", "failed"])).len(), 1);
        assert_eq!(cli.json(&["messages", "list", "--to", "2h"])["data"], json!([]));

        let cancelled = cli.json(&["messages", "cancel", &later]);
        assert_eq!(cancelled["status"], "cancelled");
        let copy = cli.json(&["messages", "resend", &first]);
        assert_eq!(copy["resentFrom"], first.as_str());
        assert_eq!(cli.json(&["messages", "retry", &later])["id"], later.as_str());
        let two = cli.run(&["messages", "cancel", &first, &later, "--json"]).expect(1).json();
        assert_eq!((&two["data"][0]["problem"]["status"], two["data"].as_array().unwrap().len()), (&json!(409), 2), "{two:#}");
        for _ in 0..2 {
            cli.json(&["publish", &works.url(), "--delay", "1h", "--label", "bulk"]);
        }
        assert_eq!(cli.json(&["messages", "cancel", "--label", "bulk"])["count"], 2);
        assert!(cli.run(&["messages", "cancel", "--all"]).expect(0).out.ends_with("messages cancelled.\n"));
    });
}

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn following_shows_a_message_that_is_published_meanwhile_and_what_becomes_of_it() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-tail"), Endpoint::new());
        let before = cli.id(&["publish", &endpoint.url(), "--wait"], "id");
        let last = cli.run(&["messages", "tail", "-n", "1"]).expect(0);
        assert!(last.out.contains(&before) && last.out.lines().count() == 1, "{last:#?}");
        let mut child = cli.command(&["messages", "tail", "-f", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || -> Value { block_in_place(|| serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()) };
        assert_eq!(next()["id"], before.as_str());
        let later = cli.id(&["publish", &endpoint.url(), "--delay", "3"], "id");
        let (scheduled, delivered) = (
            next(),
            loop {
                let line = next();
                if line["status"] == "delivered" {
                    break line;
                }
            },
        );
        block_in_place(|| child.kill().and_then(|()| child.wait())).unwrap();
        assert_eq!((&scheduled["id"], &scheduled["status"]), (&json!(later), &json!("scheduled")));
        assert_eq!(delivered["id"], later.as_str());
    });
}

// Dead letters, made in the database: publishing so many takes minutes.
async fn bury(d: &Deployment, cli: &Cli, endpoint: &Endpoint, n: usize) {
    let account = cli.api.get("/v1/account").await.expect(200).json()["id"].as_str().unwrap().replace("acc_", "");
    let url = endpoint.url();
    d.sql(&format!(
        "with ids as materialized (select tikku.new_id() as id from generate_series(1, {n})),
         c as (insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff, labels)
           select '{account}', id, tikku.clock_now(), '{url}', 'POST', '[]', '{{\"type\":\"fixed\",\"initialMs\":1000,\"factor\":1.0,\"maxMs\":1000,\"jitter\":false}}', '{{}}' from ids)
         insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, attempts, timeout_ms)
           select id, '{account}', 'failed', tikku.clock_now(), tikku.clock_now() - interval '1 hour', 1, 1, 30000 from ids"
    ))
    .await;
}

#[test]
fn dead_letters_are_retried_in_chunks_until_none_remains() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-dlq"), Endpoint::new());
        bury(d, &cli, &endpoint, 2_100).await;
        assert_eq!(cli.both(&["dlq", "list", "--limit", "250"])["data"].as_array().unwrap().len(), 250);
        let done = cli.json(&["dlq", "retry", "--all"]);
        assert_eq!((&done["count"], &done["remaining"], &done["chunks"]), (&json!(2_100), &json!(0), &json!(3)), "{done:#}");
        endpoint.wait(2_100, Duration::from_secs(120)).await;
        assert_eq!(cli.json(&["dlq", "list"])["data"], json!([]));
    });
}

#[test]
fn dead_letters_are_deleted_by_ids_or_by_filter_once_that_is_confirmed() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-dlq-delete"), Endpoint::new());
        bury(d, &cli, &endpoint, 1_005).await;
        let two = ids(&cli.json(&["dlq", "list", "--limit", "2"]));
        let refused = cli.run(&["dlq", "delete", "--all"]).expect(2);
        assert!(refused.err.contains("--yes"), "{refused:#?}");
        assert_eq!(cli.json(&["dlq", "delete", "--yes", &two[0], &two[1]])["count"], 2);
        let rest = cli.run(&["dlq", "delete", "--yes", "--destination", &endpoint.url()]).expect(0);
        assert_eq!(rest.out, "1,003 dead letters deleted.\n");
    });
}

/// Runs a command on a terminal of its own, 80 columns wide; what both streams print comes as one text.
fn on_a_terminal(command: &Command) -> Ran {
    const PTY: &str = r"
import fcntl, os, pty, struct, sys, termios
def size(fd):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    size(1)
    os.execvp(sys.argv[1], sys.argv[1:])
out = b''
while True:
    try:
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    out += piece
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut terminal = Command::new(python().expect("python"));
    terminal.args(["-c", PTY]).arg(command.get_program()).args(command.get_args()).env("TERM", "xterm").stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        terminal.current_dir(folder);
    }
    ran(&mut terminal)
}

#[test]
fn a_terminal_gets_colours_tables_that_fit_and_a_bar_for_many() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-terminal"), Endpoint::new());
        bury(d, &cli, &endpoint, 2_001).await;
        let listed = on_a_terminal(&cli.command(&["messages", "list", "--limit", "3"])).expect(0);
        assert!(listed.out.contains("\u{1b}[31mfailed\u{1b}[0m"), "{listed:#?}");
        let plain = on_a_terminal(cli.command(&["messages", "list", "--limit", "3"]).env("NO_COLOR", "1")).expect(0);
        assert!(!plain.out.contains('\u{1b}') && plain.out.contains('…'), "{plain:#?}");
        let table: Vec<&str> = plain.out.lines().take(4).collect();
        assert!(table.iter().all(|line| line.trim_end().chars().count() <= 80), "{table:#?}");
        let json = on_a_terminal(&cli.command(&["messages", "list", "--limit", "3", "--json"])).expect(0);
        assert!(serde_json::from_str::<Value>(json.out.lines().next().unwrap()).is_ok() && !json.out.contains('\u{1b}'));
        let deleted = on_a_terminal(&cli.command(&["dlq", "delete", "--yes", "--all"])).expect(0);
        assert!(deleted.out.contains("█") && deleted.out.contains("1,000 of 2,001 dead letters, 49 %"), "{deleted:#?}");
        assert!(deleted.out.ends_with("2,001 dead letters deleted.\r\n"), "{deleted:#?}");
    });
}

#[test]
fn fanouts_are_put_shown_changed_published_to_and_deleted() {
    on(DEV, async |d| {
        let (cli, [a, b]) = (Cli::new(d, "cli-fanouts"), [Endpoint::new(), Endpoint::new()]);
        cli.both(&["fanouts", "put", "orders", "--endpoint", &a.url()]);
        let added = cli.id(&["fanouts", "add", "orders", &b.url(), "--method", "put", "-H", "x: y"], "id");
        let shown = cli.both(&["fanouts", "get", "orders"]);
        assert_eq!(shown["endpoints"].as_array().unwrap().len(), 2, "{shown:#}");
        assert_eq!(cli.both(&["fanouts", "list"])["data"][0]["endpointCount"], 2);
        let sent = cli.json(&["publish", "--fanout", "orders", "--body", "1"]);
        assert_eq!(sent["messages"].as_array().unwrap().len(), 2);
        b.wait(1, SOON).await;
        assert_eq!(cli.json(&["fanouts", "remove", "orders", &added])["removed"], true);
        let document = json!({ "endpoints": [{ "url": b.url(), "paused": true }] }).to_string();
        assert_eq!(cli.json(&["fanouts", "put", "orders", "--document", &document])["endpoints"][0]["paused"], true);
        assert_eq!(cli.json(&["fanouts", "delete", "orders", "--yes"])["deleted"], true);
        cli.run(&["fanouts", "get", "orders"]).expect(3);
    });
}

#[test]
fn schedules_are_made_shown_paused_resumed_fired_replaced_and_deleted() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-schedules"), Endpoint::new());
        let url = endpoint.url();
        let cron = ["--cron", "0 9 * * MON-FRI", "--timezone", "Europe/Berlin"];
        let made = cli.json(&[["schedules", "create", &url, "--name", "report", "--body", "{\"n\": 1}"].as_slice(), &cron].concat());
        let id = made["id"].as_str().unwrap();
        assert_eq!((&made["cron"], &made["timezone"]), (&json!("0 9 * * MON-FRI"), &json!("Europe/Berlin")));
        assert_eq!(cli.both(&["schedules", "get", "report"])["id"], id);
        assert_eq!(cli.both(&["schedules", "list"])["data"][0]["name"], "report");
        assert_eq!(cli.both(&["schedules", "pause", id])["status"], "paused");
        assert_eq!(cli.both(&["schedules", "resume", "report"])["status"], "active");
        assert!(cli.json(&["schedules", "run", "report"])["messages"][0]["id"].is_string());
        endpoint.wait(1, SOON).await;
        let put =
            cli.json(&["schedules", "put", id, &url, "--name", "report", "--every", "2h", "--overlap", "skip", "--catch-up", "latest"]);
        assert_eq!((&put["everySeconds"], &put["overlap"], &put["catchUp"]), (&json!(7_200), &json!("skip"), &json!("latest")));
        let document = json!({ "name": "second", "everySeconds": 60, "url": url, "paused": true }).to_string();
        assert_eq!(cli.json(&["schedules", "create", "--document", &document])["status"], "paused");
        assert_eq!(cli.json(&["schedules", "delete", "report", "--yes"])["deleted"], true);
        cli.run(&["schedules", "get", "report"]).expect(3);
        cli.run(&["schedules", "create", &url, "--name", "nothing"]).expect(2);
    });
}

#[test]
fn flows_are_listed_pinned_paused_and_resumed() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-flows"), Endpoint::new());
        let pinned = cli.both(&["flows", "pin", "stock", "--parallelism", "1", "--rate", "10", "--period", "1m"]);
        assert_eq!((&pinned["parallelism"], &pinned["rate"], &pinned["periodSeconds"]), (&json!(1), &json!(10), &json!(60)));
        assert_eq!(cli.both(&["flows", "pause", "stock"])["paused"], true);
        let id = cli.id(&["publish", &endpoint.url(), "--flow-key", "stock"], "id");
        assert_eq!(cli.both(&["flows", "list"])["data"][0]["key"], "stock");
        assert_eq!(cli.json(&["flows", "resume", "stock"])["paused"], false);
        cli.api.until(&id, "delivered", SOON).await;
        assert_eq!(cli.both(&["flows", "get", "stock"])["pinned"], true);
        assert_eq!(cli.json(&["flows", "unpin", "stock"])["pinned"], false);
    });
}

#[test]
fn an_open_breaker_is_listed_shown_and_reset() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-breakers"), Endpoint::scripted([Reply::status(500)]));
        let settings = json!({ "breaker": { "minAttempts": 1, "failurePercent": 1, "openSeconds": 600 } });
        cli.api.send_with("PATCH", "/v1/account", &[], Some(&settings)).await.expect(200);
        cli.run(&["publish", &endpoint.url(), "--max-attempts", "1", "--wait"]).expect(1);
        let open = cli.both(&["breakers", "list", "--status", "open"]);
        let id = open["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{open:#}"));
        assert_eq!(cli.both(&["breakers", "get", id])["status"], "open");
        assert_eq!(cli.json(&["breakers", "reset", id])["status"], "closed");
        let empty = cli.run(&["breakers", "list", "--status", "open"]).expect(0);
        assert_eq!(empty.out, "There are no such breakers.\n");
    });
}

#[test]
fn json_comes_from_a_file_or_from_standard_input_too() {
    on(DEV, async |d| {
        let (cli, endpoint) = (Cli::new(d, "cli-json"), Endpoint::new());
        let file = crate::process::run_dir().join("cli-body.json");
        std::fs::write(&file, "{\"from\": \"file\"}\n").unwrap();
        cli.run(&["publish", &endpoint.url(), "--body", &format!("@{}", file.display()), "--wait"]).expect(0);
        let mut command = cli.command(&["publish", &endpoint.url(), "--body", "-", "--wait"]);
        ran(command.stdin(std::fs::File::open(&file).unwrap())).expect(0);
        let pushes = endpoint.wait(2, SOON).await;
        assert!(pushes.iter().all(|push| &push.body[..] == b"{\"from\": \"file\"}"), "{pushes:?}");
        ran(&mut bare(&["publish", "https://example.com", "--body", "@/no/such/file", "--url", "http://127.0.0.1:1", "--api-key", "k"]))
            .expect(2);
    });
}
