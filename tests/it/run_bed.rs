//! Test bed of the engine's in-process tests: a database, an app whose endpoint answers by script, and step-invoke in this process.
//!
//! Out of scope: hosts, the API and the SDKs, which `scenarios/` sees from outside.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tikku_domain::destination::UrlPolicy;
use tikku_domain::ids::RunId;
use tikku_domain::publish::Rules;
use tikku_domain::workflow::{Dispatch, Op, Outcome, Settlement};
use tikku_domain::{limits, workflow_reply};
use tikku_platform::http::Http;
use tikku_platform::queue::Queue;
use tikku_platform::{Config, Ctx, Kick};
use tikku_store::{CheckpointTaken, Checkpointed, Store};
use tokio_postgres::Client;

use crate::endpoint::{Endpoint, Reply};
use crate::world::World;

/// A world with an app that serves version 1 of `flow` and `child`.
pub struct Bed {
    pub world: World,
    pub ctx: Arc<Ctx>,
    pub endpoint: Endpoint,
    pub client: Client,
}

/// One entry, as the database has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: i32,
    pub key: String,
    pub kind: String,
    pub state: String,
    pub value: Option<String>,
    pub error: Option<String>,
}

impl Bed {
    pub async fn new(name: &str, replies: impl IntoIterator<Item = Reply>) -> Bed {
        let world = World::new(name).await;
        let endpoint = Endpoint::scripted(replies);
        let client = world.client().await;
        let bed = Bed { ctx: Arc::new(ctx(world.later(0))), world, endpoint, client };
        let app = "insert into tikku.app (account_id, name, url) values ($1, 'shop', $2)";
        bed.client.execute(app, &[&bed.world.account.0, &bed.endpoint.url()]).await.unwrap();
        bed.serve("flow", "1", "{}").await;
        bed.serve("child", "1", "{}").await;
        bed
    }

    /// Makes a version the current one of a workflow that the app serves.
    pub async fn serve(&self, workflow: &str, version: &str, policy: &str) {
        let account = &self.world.account.0;
        self.client.execute("update tikku.workflow set is_current = false where name = $1", &[&workflow]).await.unwrap();
        let sql = "insert into tikku.workflow (account_id, name, version, app, is_current, policy) values ($1, $2, $3, 'shop', true, $4::text::json)
          on conflict (account_id, name, version) do update set is_current = true, served = true, policy = excluded.policy";
        self.client.execute(sql, &[account, &workflow, &version, &policy]).await.unwrap();
    }

    /// Starts a run of `flow`, due now.
    pub async fn start(&self) -> RunId {
        self.start_of("flow", r#"{"n": 1}"#).await
    }

    pub async fn start_of(&self, workflow: &str, input: &str) -> RunId {
        let sql = "select tikku.run_start($1, $2, null, null, null, convert_to($3, 'UTF8'), null, '{}', 900000)";
        let row = self.client.query_one(sql, &[&self.world.key_hash, &workflow, &input]).await.unwrap();
        let answer: Vec<Option<String>> = row.get(0);
        assert_eq!(answer[0].as_deref(), Some("accepted"), "{answer:?}");
        RunId(answer[1].as_ref().unwrap().parse().unwrap())
    }

    /// Does what the queue's consumer does for an id.
    pub async fn dispatch(&self, id: RunId) {
        tikku_step_invoke::handle(&self.ctx, &[id]).await.unwrap();
    }

    /// The same seconds later.
    pub async fn dispatch_later(&self, seconds: i64, id: RunId) {
        tikku_step_invoke::handle(&ctx(self.world.later(seconds)), &[id]).await.unwrap();
    }

    /// The next runs that were handed to the queue.
    pub async fn kicked(&self) -> Vec<RunId> {
        #[allow(irrefutable_let_patterns, reason = "there is a second kind of queue when Lambda's features are on")]
        let Queue::Memory(queues) = &self.ctx.queue else { panic!("the queue is in memory") };
        Kick::runs(&tokio::time::timeout(Duration::from_secs(60), queues.runs.take(100)).await.expect("a kick"))
    }

    /// Dispatches what is handed to the queue until a run is in this state.
    pub async fn until(&self, id: RunId, state: &str) {
        self.ctx.kick(&[Kick::new(id, 0, self.world.account)]).await;
        while self.state(id).await != state {
            tikku_step_invoke::handle(&self.ctx, &self.kicked().await).await.unwrap();
        }
    }

    pub async fn state(&self, id: RunId) -> String {
        self.column(id, "state").await
    }

    /// A column of the run's rows, as text; empty for null.
    pub async fn column(&self, id: RunId, column: &str) -> String {
        let sql =
            format!("select coalesce({column}::text, '') from tikku.run r join tikku.run_content c on c.run_id = r.id where r.id = $1");
        self.client.query_one(&sql, &[&id.0]).await.unwrap().get(0)
    }

    /// The run that goes on for this one.
    pub async fn continued_by(&self, id: RunId) -> RunId {
        self.column(id, "continued_by").await.parse().map(RunId).unwrap()
    }

    /// A column that is JSON.
    pub async fn json(&self, id: RunId, column: &str) -> Value {
        serde_json::from_str(&self.column(id, column).await).unwrap()
    }

    pub async fn count(&self, sql: &str, id: RunId) -> i64 {
        self.client.query_one(sql, &[&id.0]).await.unwrap().get(0)
    }

    pub async fn journal(&self, id: RunId) -> Vec<Row> {
        let sql = "select seq, key, kind, state, convert_from(value, 'UTF8'), error::text from tikku.entry where run_id = $1 order by seq";
        let rows = self.client.query(sql, &[&id.0]).await.unwrap();
        let row = |r: &tokio_postgres::Row| Row {
            seq: r.get(0),
            key: r.get(1),
            kind: r.get(2),
            state: r.get(3),
            value: r.get(4),
            error: r.get(5),
        };
        rows.iter().map(row).collect()
    }

    /// Keys of the journal in order.
    pub async fn keys(&self, id: RunId) -> Vec<String> {
        self.journal(id).await.into_iter().map(|row| row.key).collect()
    }

    /// Keys that are planned.
    pub async fn planned(&self, id: RunId) -> Vec<String> {
        let rows = self.client.query("select key from tikku.waiter where run_id = $1 order by key", &[&id.0]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The body of the n-th request that the endpoint got.
    pub fn request(&self, n: usize) -> Value {
        serde_json::from_slice(&self.endpoint.received()[n].body).unwrap()
    }

    /// A checkpoint that is taken.
    pub async fn checkpoint(&self, id: RunId, invoke: &Value, have: i32, ops: Value) -> CheckpointTaken {
        match self.try_checkpoint(id, invoke, have, ops).await {
            Checkpointed::Taken(taken) => *taken,
            other => panic!("{other:?}"),
        }
    }

    pub async fn try_checkpoint(&self, id: RunId, invoke: &Value, have: i32, ops: Value) -> Checkpointed {
        checkpoint(&self.ctx.store, id, token(invoke), have, &ops).await
    }

    pub async fn signal(&self, id: RunId, name: &str, value: &str) {
        let sql = "select count(*) from tikku.run_signal($1, $2, $3, convert_to($4, 'UTF8'), null, null, 10000)";
        self.client.query_one(sql, &[&self.world.account.0, &id.0, &name, &value]).await.unwrap();
    }
}

/// The bearer token of an invoke.
pub fn token(invoke: &Value) -> &str {
    invoke["fence"]["token"].as_str().unwrap()
}

pub async fn checkpoint(store: &Store, id: RunId, token: &str, have: i32, ops: &Value) -> Checkpointed {
    store.run_checkpoint(id, token, have, &parsed(ops)).await.unwrap()
}

/// Ops as an endpoint sends them, read as the engine reads them.
pub fn parsed(ops: &Value) -> Vec<Op> {
    let policy = policy();
    let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
    workflow_reply::parse_checkpoint(json!({ "v": 1, "have": 0, "ops": ops }).to_string().as_bytes(), &rules).unwrap().ops
}

/// The end of a dispatch by a reply that does not go on in this process.
pub fn replied(dispatch: &Dispatch, ops: &Value, tree: Option<&Value>) -> Settlement {
    let over = |op: &Value| matches!(op["op"].as_str(), Some("done" | "fail"));
    let (ends, steps): (Vec<Value>, Vec<Value>) = ops.as_array().unwrap().iter().cloned().partition(over);
    let mut ops = parsed(&Value::Array(steps));
    for end in ends {
        let op = if end["op"] == "done" { "done" } else { "fail" };
        let value = (op == "done").then(|| end["value"].to_string().into_bytes());
        let error = (op == "fail").then(|| end["error"].to_string());
        ops.push(Op { op, value, error, ..Default::default() });
    }
    let awaits = tree.map(Value::to_string);
    Settlement { id: dispatch.id, fence: dispatch.fence, have: 0, outcome: Outcome::Reply, awaits, again: false, ops }
}

/// A reply by the protocol.
pub fn ops(ops: Value) -> Reply {
    reply(json!({ "v": 1, "have": 0, "ops": ops }))
}

/// The same with what the run waits for.
pub fn awaiting(ops: Value, tree: Value) -> Reply {
    reply(json!({ "v": 1, "have": 0, "ops": ops, "await": tree }))
}

pub fn reply(body: Value) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(body.to_string())
}

/// A reply that ends the run.
pub fn done() -> Reply {
    ops(json!([{ "op": "done", "value": "bye" }]))
}

fn policy() -> UrlPolicy {
    UrlPolicy { allow_http: true, allow_cidrs: vec!["127.0.0.0/8".parse().unwrap()] }
}

/// Step-invoke's context over a store.
pub fn ctx(store: Store) -> Ctx {
    let get = |name: &str| match name {
        "TIKKU_ALLOW_HTTP" => Some("true".to_owned()),
        "TIKKU_ALLOW_CIDRS" => Some("127.0.0.0/8".to_owned()),
        "TIKKU_PUBLIC_URL" => Some("http://127.0.0.1:9/tikku".to_owned()),
        _ => None,
    };
    let config = Config::read(get, 64, "test".to_owned()).unwrap();
    Ctx { store, http: Http::new(policy(), None).unwrap(), queue: Queue::Memory(Box::default()), config }
}
