//! Two real connections and a blocker that holds a run's row between an operation's snapshot and its visit to the row: the interleavings of
//! the engine that a sequential test cannot see (ARCHITECTURE.md, "Locks and fences").

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tikku_domain::ids::RunId;
use tikku_domain::workflow::{Dispatch, Settlement};
use tikku_domain::workflow_await::Tree;
use tikku_store::{Checkpointed, Dispatched, Store};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::run_bed::{Bed, checkpoint, done, replied};

/// A transaction that holds a run's row and may change it before it lets go.
struct Blocker(Client);

impl Blocker {
    async fn hold(bed: &Bed, id: RunId) -> Blocker {
        let client = bed.world.client().await;
        client.batch_execute("begin").await.unwrap();
        client.query("select 1 from tikku.run where id = $1 for update", &[&id.0]).await.unwrap();
        Blocker(client)
    }

    async fn release(self, change: &str) {
        self.0.batch_execute(&format!("{change}; commit")).await.unwrap();
    }
}

async fn bed(name: &str) -> Bed {
    Bed::new(name, [done()]).await
}

/// Leases a run that is due, as step-invoke does.
async fn lease(store: &Store, id: RunId) -> Option<Dispatch> {
    let leased = store.run_lease(&[id], 10).await.unwrap();
    leased.into_iter().find_map(|one| if let Dispatched::Started(dispatch) = one { Some(*dispatch) } else { None })
}

fn settle(bed: &Bed, settlement: Settlement) -> JoinHandle<Vec<Dispatched>> {
    let ctx = bed.ctx.clone();
    tokio::spawn(async move { ctx.store.run_settle(&[settlement]).await.unwrap() })
}

fn check(bed: &Bed, dispatch: &Dispatch, have: i32, ops: Value) -> JoinHandle<Checkpointed> {
    let (ctx, id, token) = (bed.ctx.clone(), dispatch.id, dispatch.token.clone());
    tokio::spawn(async move { checkpoint(&ctx.store, id, &token, have, &ops).await })
}

async fn signal(bed: &Bed, id: RunId, value: &'static str) -> JoinHandle<()> {
    let (client, account) = (bed.world.client().await, bed.world.account.0);
    tokio::spawn(async move {
        let sql = "select count(*) from tikku.run_signal($1, $2, 's', convert_to($3, 'UTF8'), null, null, 10000)";
        client.query_one(sql, &[&account, &id.0, &value]).await.unwrap();
    })
}

/// Waits until so many statements wait for locks.
async fn waiting(bed: &Bed, most: i64) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..6_000 {
        if bed.client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= most {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{most} statements were expected to wait for the blocker");
}

fn kicks(dispatched: &[Dispatched], id: RunId) -> usize {
    let wanted = tikku_domain::ids::WakeId::Run(id);
    let of = |one: &&Dispatched| match one {
        Dispatched::Kick(kick) | Dispatched::Recorded { kick: Some(kick), .. } => kick.id == wanted,
        _ => false,
    };
    dispatched.iter().filter(of).count()
}

#[tokio::test]
async fn a_signal_and_a_park_that_meet_do_not_miss_each_other() {
    for park_first in [true, false] {
        let bed = bed(&format!("rr_park_signal_{park_first}")).await;
        let id = bed.start().await;
        let dispatch = lease(&bed.ctx.store, id).await.unwrap();
        let park = replied(&dispatch, &json!([{ "op": "signal", "key": "s#0", "name": "s" }]), Some(&json!("s#0")));
        let blocker = Blocker::hold(&bed, id).await;
        let (park, signal) = if park_first {
            let park = settle(&bed, park);
            waiting(&bed, 1).await;
            (park, signal(&bed, id, "1").await)
        } else {
            let signal = signal(&bed, id, "1").await;
            waiting(&bed, 1).await;
            (settle(&bed, park), signal)
        };
        waiting(&bed, 2).await;
        blocker.release("select 1").await;
        park.await.unwrap();
        signal.await.unwrap();
        assert_eq!((bed.keys(id).await, bed.state(id).await.as_str()), (vec!["s#0".to_owned()], "queued"), "{park_first}");
    }
}

#[tokio::test]
async fn a_childs_end_and_its_parents_park_do_not_miss_each_other() {
    for park_first in [true, false] {
        let bed = bed(&format!("rr_park_child_{park_first}")).await;
        let id = bed.start().await;
        let first = lease(&bed.ctx.store, id).await.unwrap();
        let plan = checkpoint(&bed.ctx.store, id, &first.token, 0, &json!([{ "op": "child", "key": "c#0", "workflow": "child" }])).await;
        let Checkpointed::Taken(taken) = plan else { panic!() };
        let [tikku_store::Kick { id: tikku_domain::ids::WakeId::Run(child), .. }] = taken.kicks[..] else { panic!("{taken:?}") };
        let dispatch = lease(&bed.ctx.store, child).await.unwrap();
        let end = replied(&dispatch, &json!([{ "op": "done", "value": 5 }]), None);
        let park = replied(&first, &json!([]), Some(&json!("c#0")));
        let blocker = Blocker::hold(&bed, id).await;
        let (one, two) = if park_first { (park, end) } else { (end, park) };
        let one = settle(&bed, one);
        waiting(&bed, 1).await;
        let two = settle(&bed, two);
        waiting(&bed, 2).await;
        blocker.release("select 1").await;
        let all = [one.await.unwrap(), two.await.unwrap()].concat();
        assert_eq!((bed.keys(id).await, bed.state(id).await.as_str()), (vec!["c#0".to_owned()], "queued"), "{park_first}");
        assert_eq!(kicks(&all, id), 1);
    }
}

#[tokio::test]
async fn a_lease_that_waited_for_a_fact_carries_it() {
    let bed = bed("rr_torn_load").await;
    let id = bed.start().await;
    let blocker = Blocker::hold(&bed, id).await;
    let ctx = bed.ctx.clone();
    let leased = tokio::spawn(async move { lease(&ctx.store, id).await.unwrap() });
    waiting(&bed, 1).await;
    let fact = format!("select tikku.run_fact('{}', 'a#0', 'run', 'ok', '1', null, null)", id.0);
    blocker.release(&fact).await;
    let dispatch = leased.await.unwrap();
    assert_eq!((dispatch.journal.entries.len(), dispatch.journal.seq), (1, 1));
}

#[tokio::test]
async fn of_two_leases_of_one_run_one_starts_it() {
    let bed = bed("rr_two_leases").await;
    let id = bed.start().await;
    let blocker = Blocker::hold(&bed, id).await;
    let one = |ctx: Arc<tikku_platform::Ctx>| tokio::spawn(async move { lease(&ctx.store, id).await });
    let (a, b) = (one(bed.ctx.clone()), one(bed.ctx.clone()));
    waiting(&bed, 2).await;
    blocker.release("select 1").await;
    let started = [a.await.unwrap(), b.await.unwrap()].into_iter().flatten().map(|d| d.fence).collect::<Vec<_>>();
    assert_eq!(started, [1]);
}

#[tokio::test]
async fn a_settle_that_waited_for_a_newer_dispatch_records_nothing() {
    let bed = bed("rr_settle_stale").await;
    let id = bed.start().await;
    let dispatch = lease(&bed.ctx.store, id).await.unwrap();
    let blocker = Blocker::hold(&bed, id).await;
    let settled = settle(&bed, replied(&dispatch, &json!([{ "op": "result", "key": "a#0" }, { "op": "done" }]), None));
    waiting(&bed, 1).await;
    blocker.release("update tikku.run set fence = fence + 1").await;
    assert!(matches!(settled.await.unwrap()[..], [Dispatched::Stale { .. }]));
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("running", 0));
}

#[tokio::test]
async fn a_checkpoint_that_waited_for_a_cancel_records_nothing() {
    let bed = bed("rr_checkpoint_cancel").await;
    let id = bed.start().await;
    let dispatch = lease(&bed.ctx.store, id).await.unwrap();
    let blocker = Blocker::hold(&bed, id).await;
    let taken = check(&bed, &dispatch, 0, json!([{ "op": "result", "key": "a#0" }, { "op": "child", "key": "c#0", "workflow": "child" }]));
    waiting(&bed, 1).await;
    blocker.release(&format!("select * from tikku.run_cancel('{}', '{}')", bed.world.account.0, id.0)).await;
    assert_eq!(taken.await.unwrap(), Checkpointed::Stale);
    assert_eq!((bed.state(id).await.as_str(), bed.keys(id).await.len()), ("cancelled", 0));
    assert_eq!(bed.count("select count(*) from tikku.run where parent_id = $1", id).await, 0);
}

#[tokio::test]
async fn a_late_checkpoint_that_waited_for_a_newer_dispatch_records_nothing() {
    let bed = bed("rr_late").await;
    let id = bed.start().await;
    let dispatch = lease(&bed.ctx.store, id).await.unwrap();
    bed.world.later(120).run_reap(10).await.unwrap();
    let blocker = Blocker::hold(&bed, id).await;
    let late = check(&bed, &dispatch, 0, json!([{ "op": "result", "key": "a#0" }]));
    waiting(&bed, 1).await;
    blocker.release("update tikku.run set state = 'running', fence = fence + 1, kick_until = null, lease_until = tikku.clock_now() + interval '1 minute'").await;
    assert_eq!((late.await.unwrap(), bed.keys(id).await.len()), (Checkpointed::Stale, 0));
}

#[tokio::test]
async fn a_reap_passes_by_a_run_whose_lease_is_being_renewed() {
    let bed = bed("rr_reap").await;
    let id = bed.start().await;
    lease(&bed.ctx.store, id).await.unwrap();
    let later = bed.world.later(3600);
    let blocker = Blocker::hold(&bed, id).await;
    assert_eq!(later.run_reap(10).await.unwrap().lost, 0);
    blocker.release("update tikku.run set lease_until = tikku.clock_now() + interval '2 hours'").await;
    assert_eq!((later.run_reap(10).await.unwrap().lost, bed.state(id).await.as_str()), (0, "running"));
}

#[tokio::test]
async fn a_claim_passes_by_a_run_that_is_being_started() {
    let bed = bed("rr_claim").await;
    let id = bed.start().await;
    let later = bed.world.later(120);
    let blocker = Blocker::hold(&bed, id).await;
    assert_eq!(later.run_claim(10).await.unwrap().kicks.len(), 0);
    blocker.release("update tikku.run set state = 'running', fence = 1, kick_until = null, lease_until = tikku.clock_now()").await;
    assert_eq!(later.run_claim(10).await.unwrap().kicks.len(), 0);
}

#[tokio::test]
async fn two_checkpoints_at_once_get_the_same_order() {
    let bed = bed("rr_order").await;
    let id = bed.start().await;
    let dispatch = lease(&bed.ctx.store, id).await.unwrap();
    let blocker = Blocker::hold(&bed, id).await;
    let a = check(&bed, &dispatch, 0, json!([{ "op": "result", "key": "a#0" }, { "op": "result", "key": "both#0", "value": "a" }]));
    let b = check(&bed, &dispatch, 0, json!([{ "op": "result", "key": "both#0", "value": "b" }, { "op": "result", "key": "b#0" }]));
    waiting(&bed, 2).await;
    blocker.release("select 1").await;
    let answers = [a.await.unwrap(), b.await.unwrap()];
    let journal = bed.journal(id).await;
    let all: Vec<(i32, String)> = journal.iter().map(|row| (row.seq, row.key.clone())).collect();
    assert_eq!(all.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
    for one in answers {
        let Checkpointed::Taken(taken) = one else { panic!() };
        let seen: Vec<(i32, String)> = taken.journal.entries.iter().map(|e| (e.seq, e.key.clone())).collect();
        assert_eq!(seen[..], all[..seen.len()]);
        assert_eq!(taken.journal.seq as usize, seen.len());
    }
}

#[tokio::test]
async fn many_children_that_end_at_once_wake_their_parent_once() {
    let bed = bed("rr_join").await;
    let id = bed.start().await;
    let parent = lease(&bed.ctx.store, id).await.unwrap();
    let plan: Vec<Value> = (0..12).map(|n| json!({ "op": "child", "key": format!("c#{n}"), "workflow": "child" })).collect();
    let tree = json!({ "all": (0..12).map(|n| format!("c#{n}")).collect::<Vec<_>>() });
    bed.ctx.store.run_settle(&[replied(&parent, &Value::Array(plan), Some(&tree))]).await.unwrap();
    let rows = bed.client.query("select id from tikku.run where parent_id = $1", &[&id.0]).await.unwrap();
    let mut children = Vec::new();
    for row in rows {
        children.push(lease(&bed.ctx.store, RunId(row.get(0))).await.unwrap());
    }
    let blocker = Blocker::hold(&bed, id).await;
    let ends: Vec<_> = children.iter().map(|child| settle(&bed, replied(child, &json!([{ "op": "done" }]), None))).collect();
    waiting(&bed, 12).await;
    blocker.release("select 1").await;
    let mut woken = 0;
    for end in ends {
        woken += kicks(&end.await.unwrap(), id);
    }
    assert_eq!((woken, bed.keys(id).await.len(), bed.state(id).await.as_str()), (1, 12, "queued"));
    assert_eq!(bed.count("select count(*) from tikku.entry where run_id = $1 and state = 'ok'", id).await, 12);
}

#[tokio::test]
async fn a_gate_is_never_overrun() {
    let bed = bed("rr_gate").await;
    bed.serve("flow", "1", r#"{"concurrency":{"limit":3}}"#).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(bed.start().await);
    }
    while !ids.is_empty() {
        let one = |ctx: Arc<tikku_platform::Ctx>, id| tokio::spawn(async move { lease(&ctx.store, id).await });
        let leases: Vec<_> = ids.iter().map(|id| one(bed.ctx.clone(), *id)).collect();
        let mut started = Vec::new();
        for lease in leases {
            started.extend(lease.await.unwrap());
        }
        assert_eq!(started.len(), 3);
        ids.retain(|id| started.iter().all(|dispatch| dispatch.id != *id));
        let ends: Vec<_> = started.iter().map(|dispatch| settle(&bed, replied(dispatch, &json!([{ "op": "done" }]), None))).collect();
        let mut handed = 0;
        for end in ends {
            handed += end.await.unwrap().iter().filter(|one| matches!(one, Dispatched::Kick(_))).count();
        }
        assert_eq!(handed > 0, !ids.is_empty());
    }
}

#[tokio::test]
async fn an_end_that_is_sent_twice_is_recorded_once_and_makes_one_child() {
    let bed = bed("rr_twice").await;
    let id = bed.start().await;
    let dispatch = lease(&bed.ctx.store, id).await.unwrap();
    let ops = json!([{ "op": "result", "key": "a#0" }, { "op": "child", "key": "c#0", "workflow": "child" }, { "op": "publish", "key": "p#0", "message": { "url": "https://example.com" } }]);
    let end = replied(&dispatch, &ops, Some(&json!("c#0")));
    let blocker = Blocker::hold(&bed, id).await;
    let (a, b) = (settle(&bed, end.clone()), settle(&bed, end));
    waiting(&bed, 2).await;
    blocker.release("select 1").await;
    for settled in [a.await.unwrap(), b.await.unwrap()] {
        assert!(settled.iter().any(|one| matches!(one, Dispatched::Recorded { .. })), "{settled:?}");
    }
    assert_eq!(bed.count("select count(*) from tikku.run where parent_id = $1", id).await, 1);
    assert_eq!(bed.count("select count(*) from tikku.message where $1::uuid is not null", id).await, 1);
    assert_eq!((bed.keys(id).await.len(), bed.planned(id).await), (2, vec!["c#0".to_owned()]));
}

#[tokio::test]
async fn a_checkpoint_that_is_sent_twice_makes_one_child() {
    let bed = bed("rr_twice_checkpoint").await;
    let id = bed.start().await;
    let dispatch = lease(&bed.ctx.store, id).await.unwrap();
    let ops = json!([{ "op": "child", "key": "c#0", "workflow": "child" }, { "op": "result", "key": "a#0", "value": 1 }]);
    let blocker = Blocker::hold(&bed, id).await;
    let (a, b) = (check(&bed, &dispatch, 0, ops.clone()), check(&bed, &dispatch, 0, ops));
    waiting(&bed, 2).await;
    blocker.release("select 1").await;
    let mut kicked = 0;
    for one in [a.await.unwrap(), b.await.unwrap()] {
        let Checkpointed::Taken(taken) = one else { panic!() };
        kicked += taken.kicks.len();
        assert_eq!(taken.journal.entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["a#0"]);
    }
    assert_eq!((kicked, bed.count("select count(*) from tikku.run where parent_id = $1", id).await), (1, 1));
}

#[tokio::test]
async fn an_event_and_a_wait_for_it_that_meet_agree_who_was_first() {
    for wait_first in [true, false] {
        let bed = bed(&format!("rr_event_{wait_first}")).await;
        let id = bed.start().await;
        let dispatch = lease(&bed.ctx.store, id).await.unwrap();
        let wait = replied(&dispatch, &json!([{ "op": "event", "key": "e#0", "name": "paid" }]), Some(&json!("e#0")));
        let account = bed.world.account.0;
        let held = bed.world.client().await;
        held.batch_execute("begin").await.unwrap();
        held.execute("insert into tikku.event_name (account_id, name) values ($1, 'paid') on conflict do nothing", &[&account])
            .await
            .unwrap();
        let publisher = bed.world.client().await;
        let publish = async move {
            let sql = "select id from tikku.event_publish($1, 'paid', '{\"n\":1}', null)";
            let row = publisher.query_one(sql, &[&account]).await.unwrap();
            let event: uuid::Uuid = row.get(0);
            publisher.query("select * from tikku.event_apply($1, $2, 1000, 900000)", &[&account, &event]).await.unwrap();
        };
        let (wait, publish) = if wait_first {
            let wait = settle(&bed, wait);
            waiting(&bed, 1).await;
            (wait, tokio::spawn(publish))
        } else {
            let publish = tokio::spawn(publish);
            waiting(&bed, 1).await;
            (settle(&bed, wait), publish)
        };
        waiting(&bed, 2).await;
        held.batch_execute("commit").await.unwrap();
        wait.await.unwrap();
        publish.await.unwrap();
        let sql = "select count(*) from tikku.event e where e.seq >= coalesce((select w.event_seq from tikku.waiter w where w.run_id = $1), e.seq)
          and not exists (select 1 from tikku.entry x where x.run_id = $1)";
        assert_eq!(bed.count(sql, id).await, 0, "an event that counts was not received");
        let state = bed.state(id).await;
        assert_eq!(state, if bed.keys(id).await.is_empty() { "waiting" } else { "queued" });
    }
}

#[tokio::test]
async fn settles_of_families_in_opposite_orders_do_not_deadlock() {
    let bed = bed("rr_families").await;
    let mut parents = Vec::new();
    for _ in 0..6 {
        let id = bed.start().await;
        parents.push(lease(&bed.ctx.store, id).await.unwrap());
    }
    let plan: Vec<Value> = (0..4).map(|n| json!({ "op": "child", "key": format!("c#{n}"), "workflow": "child" })).collect();
    for parent in &parents {
        check(&bed, parent, 0, Value::Array(plan.clone())).await.unwrap();
    }
    let rows = bed.client.query("select id from tikku.run where parent_id is not null order by id", &[]).await.unwrap();
    let mut children = Vec::new();
    for row in rows {
        children.push(lease(&bed.ctx.store, RunId(row.get(0))).await.unwrap());
    }
    let tree = json!({ "all": ["c#0", "c#1", "c#2", "c#3"] });
    let mut group: Vec<Settlement> = children.iter().map(|child| replied(child, &json!([{ "op": "done" }]), None)).collect();
    group.extend(parents.iter().map(|parent| replied(parent, &json!([]), Some(&tree))));
    let mut tasks = Vec::new();
    for (n, half) in group.chunks(10).enumerate() {
        let (ctx, mut half) = (bed.ctx.clone(), half.to_vec());
        if n % 2 == 0 {
            half.reverse();
        }
        tasks.push(tokio::spawn(async move { ctx.store.run_settle(&half).await.unwrap().len() }));
    }
    for task in tasks {
        assert!(task.await.unwrap() > 0);
    }
    for parent in &parents {
        assert_eq!((bed.state(parent.id).await.as_str(), bed.keys(parent.id).await.len()), ("queued", 4));
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = (0..6_u8).prop_map(|n| Tree::Key(format!("k#{n}")));
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner, 0..4);
        prop_oneof![list.clone().prop_map(Tree::All), list.prop_map(Tree::Any)]
    })
}

#[tokio::test]
async fn a_parked_run_is_woken_by_the_fact_that_resolves_its_tree_and_by_no_other() {
    let bed = bed("rr_trees").await;
    let mut runner = TestRunner::deterministic();
    let cases = (trees(), Just((0..6_u8).collect::<Vec<_>>()).prop_shuffle());
    for _ in 0..120 {
        let (tree, order) = cases.new_tree(&mut runner).unwrap().current();
        let id = bed.start().await;
        let dispatch = lease(&bed.ctx.store, id).await.unwrap();
        let plan: Vec<Value> = (0..6).map(|n| json!({ "op": "signal", "key": format!("k#{n}"), "name": format!("k{n}") })).collect();
        let json: Value = serde_json::from_str(&tree.to_json()).unwrap();
        bed.ctx.store.run_settle(&[replied(&dispatch, &Value::Array(plan), Some(&json))]).await.unwrap();
        let mut finished = Vec::new();
        for n in order {
            let met = tree.resolves(&|key| finished.iter().any(|done| done == key));
            assert_eq!(bed.state(id).await == "queued", met, "{} with {finished:?}", tree.to_json());
            if met {
                break;
            }
            finished.push(format!("k#{n}"));
            bed.signal(id, &format!("k{n}"), "0").await;
        }
        let met = tree.resolves(&|key| finished.iter().any(|done| done == key));
        assert_eq!(bed.state(id).await == "queued", met, "{} with {finished:?}", tree.to_json());
    }
}
