//! Bulk retry, delete and cancel on a real Postgres, beside others who work on the same rows.

use std::sync::Arc;

use serde_json::{Value, json};
use tikku_domain::bulk::{self, Bulk};
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::message::{Settlement, Verdict};
use tikku_store::{Control, Kick, Published, Store};
use tokio::sync::mpsc;

use crate::world::{World, delivered, retried, started};

fn request(json: &Value) -> Bulk {
    bulk::parse(json.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{json}: {errors:?}"))
}

fn everything() -> Bulk {
    request(&json!({ "filter": {} }))
}

/// Makes dead letters that failed one after the other, the last an hour ago; answers them in that order.
async fn dead(world: &World, account: AccountId, rows: i32) -> Vec<MessageId> {
    let sql = format!(
        "create temp table ids as select n, tikku.new_id() as id from generate_series(1, {rows}) n;
         insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, attempts, timeout_ms, attempt_number)
           select id, '{account}', 'failed', tikku.clock_now(), tikku.clock_now() - interval '1 hour' - ({rows} - n) * interval '1 millisecond', 5, 5, 30000, 1 from ids;
         insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff, labels)
           select '{account}', id, tikku.clock_now(), 'https://example.com/' || n % 10, 'POST', '[]', '{{\"type\":\"fixed\",\"initialMs\":1000,\"factor\":1.0,\"maxMs\":1000,\"jitter\":false}}', '{{}}' from ids;
         insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, status, worker)
           select id, 1, 0, tikku.clock_now(), 5, 500, 'w' from ids;",
        account = account.0
    );
    let client = world.client().await;
    client.batch_execute(&sql).await.unwrap();
    client.query("select id from ids order by n", &[]).await.unwrap().iter().map(|row| MessageId(row.get(0))).collect()
}

/// Starts these and records that they failed for good.
async fn fail(store: &Store, ids: &[MessageId]) -> usize {
    let leases = started(&store.message_load(ids, 1000, 1 << 20).await.unwrap());
    let failed = |(id, fence): &(MessageId, i64)| {
        let (settlement, ago_ms) = retried(*id, *fence);
        (Settlement { verdict: Verdict::Failed, ..settlement }, ago_ms)
    };
    let group: Vec<_> = leases.iter().map(failed).collect();
    if group.is_empty() { 0 } else { store.message_settle("w", 5, &group).await.unwrap().ids.len() }
}

fn ids(kicks: &[Kick]) -> Vec<MessageId> {
    Kick::messages(kicks)
}

async fn count(world: &World, condition: &str) -> i64 {
    world.client().await.query_one(&format!("select count(*) from tikku.message where {condition}"), &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_dead_letters_are_retried_once_each_while_they_and_others_fail() {
    const ROWS: i64 = 10_000;
    let world = Arc::new(World::new("bulk_retry").await);
    dead(&world, world.account, ROWS as i32).await;
    let (hand_over, mut queue) = mpsc::unbounded_channel::<Vec<MessageId>>();
    // The endpoint is still down: what is retried fails at once.
    let store = world.store.clone();
    let worker = tokio::spawn(async move {
        let mut failed = 0;
        while let Some(ids) = queue.recv().await {
            failed += fail(&store, &ids).await;
        }
        failed as i64
    });
    let fail_others = || {
        let world = world.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                let id = world.message().await;
                assert_eq!(fail(&world.store, &[id]).await, 1);
            }
        })
    };
    let mut others = None;
    let (mut done, mut bulk) = (0, everything());
    loop {
        let (view, kicks) = world.store.message_retry_many(world.account, &bulk).await.unwrap();
        assert_eq!(
            (view.count, view.remaining),
            (kicks.len() as i64, ROWS - done - view.count),
            "only those that had failed when it began"
        );
        assert!(view.count > 0 && kicks.iter().all(|kick| kick.wait_ms == 0 && kick.account == world.account));
        done += view.count;
        hand_over.send(ids(&kicks)).unwrap();
        // From when the first call has begun.
        others.get_or_insert_with(fail_others);
        if view.remaining == 0 {
            break;
        }
        bulk = request(&json!({ "filter": {}, "asOf": view.as_of }));
    }
    drop(hand_over);
    others.unwrap().await.unwrap();
    assert_eq!((done, worker.await.unwrap()), (ROWS, ROWS));
    // A retry and a start each raise the fence: those that failed later were started and not retried.
    assert_eq!(count(&world, "state = 'failed' and fence = 2 and attempts = 1").await, ROWS, "once each, with a fresh budget");
    assert_eq!(count(&world, "state = 'failed' and fence = 1 and attempts = 1").await, 200);
    assert_eq!(count(&world, "true").await, ROWS + 200);
}

#[tokio::test]
async fn calls_without_a_time_get_through_although_what_they_retried_fails_again() {
    let world = World::new("bulk_order").await;
    let first = dead(&world, world.account, 1_500).await;
    let (view, kicks) = world.store.message_retry_many(world.account, &everything()).await.unwrap();
    assert_eq!((view.count, view.remaining), (1_000, 500));
    let mut retried = ids(&kicks);
    retried.sort_unstable();
    let mut oldest = first[..1_000].to_vec();
    oldest.sort_unstable();
    assert_eq!(retried, oldest, "those that failed first");
    fail(&world.store, &retried).await;
    let (view, kicks) = world.store.message_retry_many(world.account, &everything()).await.unwrap();
    assert_eq!((view.count, view.remaining), (1_000, 500));
    let second = ids(&kicks);
    assert!(first[1_000..].iter().all(|id| second.contains(id)), "those that were never retried come before those that failed again");
}

#[tokio::test]
async fn a_row_that_is_retried_while_a_delete_waits_for_it_stays() {
    let world = World::new("bulk_delete_race").await;
    let ids = dead(&world, world.account, 3).await;
    let blocker = world.client().await;
    blocker.batch_execute("begin").await.unwrap();
    blocker.query("select tikku.message_retry($1, $2)", &[&world.account.0, &ids[1].0]).await.unwrap();
    let (store, account) = (world.store.clone(), world.account);
    let delete = tokio::spawn(async move { store.message_delete_many(account, &everything()).await.unwrap() });
    world.somebody_waits().await;
    blocker.batch_execute("commit").await.unwrap();
    let view = delete.await.unwrap();
    assert_eq!((view.count, view.remaining), (2, 0));
    assert_eq!(world.state(ids[1]).await, "queued");
    assert_eq!(world.attempts(ids[1]).await, 1);
    for id in [ids[0], ids[2]] {
        assert!(world.store.message_detail(world.account, id).await.unwrap().is_none());
    }
    let left: i64 = world.client().await.query_one("select count(*) from tikku.attempt", &[]).await.unwrap().get(0);
    assert_eq!(left, 1, "attempts go with their messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_either_deleted_or_retried_when_both_are_done_at_once() {
    const ROWS: usize = 5_000;
    let world = Arc::new(World::new("bulk_delete_stress").await);
    let ids = dead(&world, world.account, ROWS as i32).await;
    let retries = |part: usize| {
        let (world, ids) = (world.clone(), ids.clone());
        tokio::spawn(async move {
            let mut done = Vec::new();
            // From the end that is deleted last, and from the middle.
            for id in ids.iter().rev().skip(part * ROWS / 2).take(ROWS / 4) {
                if matches!(world.store.message_retry(world.account, *id).await.unwrap(), Control::Done { .. }) {
                    done.push(*id);
                }
            }
            done
        })
    };
    let (a, b) = (retries(0), retries(1));
    let mut deleted = 0;
    loop {
        let view = world.store.message_delete_many(world.account, &everything()).await.unwrap();
        deleted += view.count;
        if view.remaining == 0 {
            break;
        }
    }
    let retried = [a.await.unwrap(), b.await.unwrap()].concat();
    assert_eq!(deleted as usize + retried.len(), ROWS);
    assert_eq!(count(&world, "state = 'queued'").await as usize, retried.len());
    for table in ["message_content", "attempt"] {
        let sql = format!("select count(*) from tikku.{table}");
        assert_eq!(world.client().await.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) as usize, retried.len(), "{table}");
    }
}

#[tokio::test]
async fn cancelling_all_ends_what_waits_and_asks_what_is_under_way_and_leaves_what_came_later() {
    let world = World::new("bulk_cancel").await;
    let publish = async |store: &Store, fields: Value| {
        let mut message = json!({ "url": "https://example.com/", "maxAttempts": 5 });
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        match world.publish_on(store, &message.to_string()).await {
            Published::Accepted { id, .. } => id,
            other => panic!("{other:?}"),
        }
    };
    let [scheduled, queued, retrying, leased, over] = [
        publish(&world.store, json!({ "delaySeconds": 60 })).await,
        publish(&world.store, json!({})).await,
        publish(&world.store, json!({ "flowControl": { "key": "k", "parallelism": 1 } })).await,
        publish(&world.store, json!({})).await,
        publish(&world.store, json!({})).await,
    ];
    let lease = async |id: MessageId| started(&world.store.message_load(&[id], 1, 1 << 20).await.unwrap())[0].1;
    world.store.message_settle("w", 5, &[retried(retrying, lease(retrying).await), delivered(over, lease(over).await)]).await.unwrap();
    let fence = lease(leased).await;
    let (view, flows) = world.store.message_cancel_many(world.account, &everything()).await.unwrap();
    assert_eq!((view.count, view.remaining), (4, 0));
    assert_eq!(flows, [(world.account, "k".to_owned())], "the next of this flow may start");
    for (id, state) in
        [(scheduled, "cancelled"), (queued, "cancelled"), (retrying, "cancelled"), (leased, "delivering"), (over, "delivered")]
    {
        assert_eq!(world.state(id).await, state);
    }
    let later = publish(&world.later(60), json!({})).await;
    let again = request(&json!({ "filter": {}, "asOf": view.as_of }));
    let (view, flows) = world.later(120).message_cancel_many(world.account, &again).await.unwrap();
    assert_eq!((view.count, view.remaining, flows), (0, 0, vec![]), "asked for once");
    assert_eq!(world.state(later).await, "queued");
    world.store.message_settle("w", 5, &[retried(leased, fence)]).await.unwrap();
    assert_eq!(world.state(leased).await, "cancelled");
}

#[tokio::test]
async fn ids_and_filters_pick_what_they_name_within_the_account() {
    let world = World::new("bulk_pick").await;
    let stranger = world.store.account_create("stranger").await.unwrap().unwrap().id;
    let (ours, theirs) = (dead(&world, world.account, 20).await, dead(&world, stranger, 5).await);
    let schedule = "sch_0192f3ab000070008000000000000001";
    let sql = format!(
        "update tikku.message_content set labels = '{{a}}', created_at = '2020-01-01T00:00:00Z', fanout = 'f', schedule_id = '0192f3ab-0000-7000-8000-000000000001'
         where message_id in ('{}', '{}')",
        ours[0].0, ours[10].0
    );
    world.client().await.batch_execute(&sql).await.unwrap();
    let text = |ids: &[MessageId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let cases = [
        (json!({ "ids": text(&ours[..3]) }), 3),
        (json!({ "ids": text(&[&ours[..1], &ours[..1], &theirs[..]].concat()) }), 1),
        (json!({ "ids": ["msg_00000000000000000000000000000000"] }), 0),
        (json!({ "filter": { "url": "com/7" } }), 2),
        (json!({ "filter": { "url": "%" } }), 0),
        (json!({ "filter": { "label": "a" } }), 2),
        (json!({ "filter": { "label": "a", "url": "com/1" } }), 2),
        (json!({ "filter": { "label": "a", "url": "com/2" } }), 0),
        (json!({ "filter": { "fanout": "f" } }), 2),
        (json!({ "filter": { "schedule": schedule } }), 2),
        (json!({ "filter": { "to": "2020-01-01T00:00:00Z" } }), 0),
        (json!({ "filter": { "from": "2020-01-01T00:00:00Z", "to": "2020-01-01T00:00:00.001Z" } }), 2),
        (json!({ "filter": { "from": "2021-01-01T00:00:00Z" } }), 18),
        (json!({ "filter": {} }), 20),
        (json!({ "filter": {}, "asOf": "2020-01-01T00:00:00Z" }), 0),
    ];
    for (body, expected) in cases {
        let (view, kicks) = world.store.message_retry_many(world.account, &request(&body)).await.unwrap();
        assert_eq!((view.count, view.remaining), (expected, 0), "{body}");
        assert_eq!(fail(&world.store, &ids(&kicks)).await as i64, expected);
    }
    let (view, _) = world.store.message_cancel_many(world.account, &request(&json!({ "ids": text(&theirs) }))).await.unwrap();
    assert_eq!(view.count, 0);
    let sql = format!("account_id = '{}' and state = 'failed' and fence = 0", stranger.0);
    assert_eq!(count(&world, &sql).await, 5, "another account's are not touched");
}
