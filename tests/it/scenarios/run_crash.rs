//! Engine and endpoint are killed with SIGKILL, again and again, in the middle of runs: every run completes, and no step is recorded twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::host::{Deployment, Host, Options, on_own};
use crate::process::{Process, free_port, run_dir};

const AT_ONCE: usize = 6;
const COMPLETE: Duration = Duration::from_secs(300);

// TIKKU_TEST_LONG=1: 200 kills; otherwise 8.
#[test]
fn runs_complete_although_engine_and_endpoint_are_killed_at_random_moments() {
    let kills = if super::long() { 200 } else { 8 };
    on_own(&[Host::Dev], Options { name: "run-crash".to_owned(), ..Options::default() }, async |d| storm(d, kills).await);
}

async fn storm(d: &Deployment, kills: u64) {
    let endpoint = Endpoint::new(d, "each");
    let mut node = endpoint.start();
    let app = json!({ "url": endpoint.url(), "timeoutSeconds": 5, "leaseSeconds": 2 });
    let begun = Instant::now();
    while until_accepted(d, "PUT", "/v1/apps/storm", &app, &[200, 201]).await["describedAt"].is_null() {
        assert!(begun.elapsed() < COMPLETE, "the endpoint never said what it serves");
        sleep(Duration::from_millis(100)).await;
    }
    let (killing, started) = (AtomicBool::new(true), AtomicU64::new(0));
    let killer = async {
        let mut dice = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..kills {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sleep(Duration::from_millis(50 + (dice >> 33) % 700)).await;
            if dice >> 63 == 0 {
                d.kill_deliverer();
            } else {
                node.kill();
                node = endpoint.start();
            }
        }
        killing.store(false, Ordering::Relaxed);
    };
    // Each starts runs, one after the other, for as long as there are kills; then the last ones complete in peace.
    let lines = futures_util::future::join_all((0..AT_ONCE).map(|_| async {
        let mut ids = Vec::new();
        while ids.is_empty() || killing.load(Ordering::Relaxed) {
            let n = started.fetch_add(1, Ordering::Relaxed);
            ids.push(one_run(d, n).await);
        }
        ids
    }));
    let (runs, ()) = tokio::join!(lines, killer);
    report(d, &endpoint, runs.concat(), kills).await;
}

/// Starts a run, sends its signal, and waits until it is over.
async fn one_run(d: &Deployment, n: u64) -> Value {
    let started =
        until_accepted(d, "POST", "/v1/workflows/storm/runs", &json!({ "input": n, "id": format!("storm-{n}") }), &[200, 202]).await;
    let id = started["id"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let mut signalled = false;
    loop {
        if !signalled {
            // Sent once: a lost answer makes a second one that nobody reads.
            signalled = d
                .api
                .try_send("POST", &format!("/v1/runs/{id}/signals/go"), Some(n.to_string().into_bytes()))
                .await
                .is_ok_and(|a| a.status == 202);
        }
        if let Ok(answer) = d.api.try_send("GET", &format!("/v1/runs/{id}"), None).await
            && answer.status == 200
        {
            let run = answer.json();
            match run["status"].as_str() {
                Some("completed") => return run,
                Some("failed" | "cancelled" | "paused") => panic!("a kill ended the run: {run:#}"),
                _ => assert!(begun.elapsed() < COMPLETE, "not completed: {run:#}"),
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn report(d: &Deployment, endpoint: &Endpoint, runs: Vec<Value>, kills: u64) {
    let mut bodies: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(&endpoint.ledger).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        bodies.entry((words[0].to_owned(), words[1].to_owned())).or_default().push(words[2].to_owned());
    }
    for run in &runs {
        let id = run["id"].as_str().unwrap();
        let recorded: BTreeMap<&str, &Value> =
            run["steps"].as_array().unwrap().iter().map(|step| (step["key"].as_str().unwrap(), &step["value"])).collect();
        let nonces = run["output"]["nonces"].as_object().unwrap();
        assert_eq!(nonces.len(), 50, "{id}");
        for (key, nonce) in nonces {
            assert_eq!(recorded[key.as_str()], nonce, "{id} {key}: the run went on with another result than the recorded one");
            let ran = &bodies[&(id.to_owned(), key.trim_end_matches("#0").to_owned())];
            assert!(ran.iter().any(|one| nonce == one), "{id} {key}: the recorded result is of no body that ran");
        }
    }
    let twice = d.sql("select run_id, key from tikku.entry group by run_id, key having count(*) > 1").await;
    assert!(twice.is_empty(), "recorded twice: {twice:?}");
    let open = d.sql("select state, count(*) from tikku.run where finished_at is null group by state").await;
    assert!(open.is_empty(), "not over: {open:?}");
    let again: usize = bodies.values().map(|ran| ran.len() - 1).sum();
    let lost = &d.sql("select coalesce(sum(lost), 0), count(*) from tikku.run").await[0];
    println!(
        "{kills} kills, {} runs of 50 steps and as many pairs of children: {} bodies ran, {again} of them again; lost dispatches and runs: {lost:?}",
        runs.len(),
        bodies.values().map(Vec::len).sum::<usize>()
    );
}

/// A request that is sent until it is answered: engine or endpoint may be down.
async fn until_accepted(d: &Deployment, method: &str, path: &str, body: &Value, good: &[u16]) -> Value {
    let begun = Instant::now();
    loop {
        match d.api.try_send(method, path, Some(body.to_string().into_bytes())).await {
            Ok(answer) if good.contains(&answer.status) => return answer.json(),
            Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
            Err(_) => {}
        }
        assert!(begun.elapsed() < COMPLETE, "{path} was never accepted");
        sleep(Duration::from_millis(50)).await;
    }
}

/// An endpoint of the TypeScript SDK under Node, at one address however often it is started.
struct Endpoint {
    port: u16,
    ledger: PathBuf,
    secret: String,
    mode: &'static str,
}

impl Endpoint {
    fn new(d: &Deployment, mode: &'static str) -> Self {
        Self { port: free_port(), ledger: run_dir().join(format!("ledger-{mode}")), secret: d.secret.clone(), mode }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn start(&self) -> Process {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let sdk = root
            .join("sdk/typescript/dist")
            .canonicalize()
            .expect("the TypeScript SDK is not built: npm ci && npm run build in sdk/typescript");
        let mut command = Command::new("node");
        command.arg(root.join("tests/it/endpoints/storm.mjs")).env("TIKKU_SDK", sdk).env("LEDGER", &self.ledger);
        command.env("PORT", self.port.to_string()).env("TIKKU_SIGNING_SECRET", &self.secret).env("TIKKU_CHECKPOINT", self.mode);
        Process::start(&format!("storm-endpoint-{}", self.mode), &mut command, "TERM").expect("node")
    }
}
