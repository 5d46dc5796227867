//! Drives runs by hand: leases one, reports for it, holds its row. Out of scope: endpoints and step-invoke (`run_bed`).

use serde_json::{Value, json};
use tikku_domain::ids::RunId;
use tikku_domain::workflow::{Op, Outcome, Settlement};
use tikku_store::{Dispatched, NewSignal, RunSignalled, Store};
use tokio_postgres::Client;

use crate::run_bed::{Bed, parsed};

/// A dispatch that nobody sent.
#[derive(Clone, Debug)]
pub struct Lease {
    pub id: RunId,
    pub fence: i64,
    pub token: String,
}

impl Lease {
    /// What its endpoint replies, to be recorded.
    pub fn reply(&self, ops: Value, tree: Value) -> Settlement {
        self.end(parsed(&ops), (!tree.is_null()).then(|| tree.to_string()))
    }

    /// A reply that ends the run.
    pub fn over(&self, op: &'static str, value: Option<&str>, error: Option<Value>) -> Settlement {
        let op = Op { op, value: value.map(|text| text.as_bytes().to_vec()), error: error.map(|error| error.to_string()), ..Op::default() };
        self.end(vec![op], None)
    }

    fn end(&self, ops: Vec<Op>, awaits: Option<String>) -> Settlement {
        Settlement { id: self.id, fence: self.fence, have: 0, outcome: Outcome::Reply, awaits, again: false, ops }
    }
}

/// Leases a run that can be.
pub async fn lease(store: &Store, id: RunId) -> Lease {
    try_lease(store, id).await.expect("it can be dispatched")
}

pub async fn try_lease(store: &Store, id: RunId) -> Option<Lease> {
    match &store.run_lease(&[id], 1).await.unwrap()[..] {
        [Dispatched::Started(d)] => Some(Lease { id, fence: d.fence, token: d.token.clone() }),
        _ => None,
    }
}

/// Leases a run and records a reply for it.
pub async fn play(store: &Store, id: RunId, ops: Value, tree: Value) {
    let lease = lease(store, id).await;
    settle(store, &lease.reply(ops, tree)).await;
}

/// Records an end; answers whether it was taken.
pub async fn settle(store: &Store, settlement: &Settlement) -> bool {
    let rows = store.run_settle(std::slice::from_ref(settlement)).await.unwrap();
    !rows.iter().any(|row| matches!(row, Dispatched::Stale { .. }))
}

pub fn signal_op(key: &str, name: &str) -> Value {
    json!({ "op": "signal", "key": key, "name": name })
}

pub fn result_op(key: &str) -> Value {
    json!({ "op": "result", "key": key, "value": key })
}

pub fn child_op(key: &str) -> Value {
    json!({ "op": "child", "key": key, "workflow": "child", "input": 1 })
}

pub fn error(message: &str) -> Value {
    json!({ "name": "E", "message": message })
}

/// A run of `flow` that waits for what these ops plan.
pub async fn parked(bed: &Bed, ops: Value, tree: Value) -> RunId {
    let id = bed.start().await;
    play(&bed.ctx.store, id, ops, tree).await;
    id
}

pub async fn send(bed: &Bed, id: RunId, name: &str, value: &str) -> RunSignalled {
    let signal = NewSignal { name, value: value.as_bytes(), idempotency_key: None, sent_by: None };
    bed.ctx.store.run_signal(bed.world.account, id, &signal).await.unwrap()
}

/// The children of a run, by the step that waits for them.
pub async fn children(bed: &Bed, parent: RunId) -> Vec<RunId> {
    let rows = bed.client.query("select id from tikku.run where parent_id = $1 order by id", &[&parent.0]).await.unwrap();
    rows.iter().map(|row| RunId(row.get(0))).collect()
}

/// A transaction that holds a row.
pub struct Hold(Client);

impl Hold {
    /// Holds a run.
    pub async fn run(bed: &Bed, id: RunId) -> Hold {
        Self::row(bed, &format!("select 1 from tikku.run where id = '{}' for update", id.0)).await
    }

    pub async fn row(bed: &Bed, sql: &str) -> Hold {
        let client = bed.world.client().await;
        client.batch_execute(&format!("begin; {sql}")).await.unwrap();
        Hold(client)
    }

    /// Waits until so many statements wait for locks, and lets go.
    pub async fn release_for(self, bed: &Bed, waiting: i64) {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        for _ in 0..12_000 {
            if bed.client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= waiting {
                self.0.batch_execute("commit").await.unwrap();
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("fewer than {waiting} statements came to wait for the lock");
    }
}
