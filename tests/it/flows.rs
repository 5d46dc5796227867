//! Flow control and circuit breakers in the database, with a clock that can be moved: limits hold whoever asks, nothing that waits is forgotten.
//!
//! Out of scope: hosts and endpoints (`scenarios/flows.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::message::{Settlement, Verdict};
use tikku_store::{Kick, Loaded, Published, Store};

use crate::world::{World, delivered, retried, started};

const BYTES: u64 = 1 << 24;

async fn publish(world: &World, flow: &str) -> MessageId {
    let json = format!(r#"{{"url": "https://example.com/hook", "body": 1, "flowControl": {flow}}}"#);
    match world.publish(&json).await {
        Published::Accepted { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

async fn publish_many(world: &World, flow: &str, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(publish(world, flow).await);
    }
    ids
}

fn ids(kicks: &[Kick]) -> Vec<MessageId> {
    Kick::messages(kicks)
}

fn waits(loaded: &[Loaded]) -> Vec<u64> {
    loaded.iter().filter_map(|l| if let Loaded::Waiting(kick) = l { Some(kick.wait_ms) } else { None }).collect()
}

/// When each start is to be pushed, by the database clock.
fn start_times(loaded: &[Loaded]) -> Vec<i64> {
    loaded.iter().filter_map(|l| if let Loaded::Started(job) = l { Some(job.now_ms + job.wait_ms as i64) } else { None }).collect()
}

async fn settle(store: &Store, group: &[(Settlement, u64)]) -> Vec<Kick> {
    let settled = store.message_settle("w", 5, group).await.unwrap();
    assert_eq!(settled.ids.len(), group.len(), "{settled:?}");
    settled.kicks
}

/// A failure that counts against the destination.
fn broken(id: MessageId, fence: i64) -> (Settlement, u64) {
    let (settlement, started_ms) = retried(id, fence);
    (Settlement { broken: Some(true), ..settlement }, started_ms)
}

fn failed(id: MessageId, fence: i64) -> (Settlement, u64) {
    let (settlement, started_ms) = retried(id, fence);
    (Settlement { verdict: Verdict::Failed, ..settlement }, started_ms)
}

#[tokio::test]
async fn a_flow_never_has_more_pushes_than_its_parallelism_and_always_as_many_as_it_may() {
    let world = Arc::new(World::new("flow_parallel").await);
    let all = publish_many(&world, r#"{"key": "k", "parallelism": 3}"#, 60).await;
    let mut kicked = all.clone();
    let mut done = BTreeSet::new();
    let mut rounds = 0;
    while done.len() < all.len() {
        rounds += 1;
        assert!(rounds < 200, "{} of {} came through", done.len(), all.len());
        // Eight workers ask for the same messages at once, in different orders.
        let loads = (0..8).map(|turn| {
            let (world, mut asked) = (world.clone(), kicked.clone());
            if !asked.is_empty() {
                let by = turn % asked.len();
                asked.rotate_left(by);
            }
            tokio::spawn(async move { started(&world.store.message_load(&asked, 100, BYTES).await.unwrap()) })
        });
        let mut leases = Vec::new();
        for load in loads.collect::<Vec<_>>() {
            leases.extend(load.await.unwrap());
        }
        assert_eq!(leases.len(), 3.min(all.len() - done.len()), "round {rounds}");
        let group: Vec<_> = leases.iter().map(|(id, fence)| delivered(*id, *fence)).collect();
        done.extend(leases.iter().map(|(id, _)| *id));
        kicked = ids(&settle(&world.store, &group).await);
    }
    assert_eq!(done.len(), 60);
    assert_eq!(kicked, [], "nothing is left to hand over");
}

#[tokio::test]
async fn parallelism_one_keeps_the_order_through_retries_and_ends() {
    let world = World::new("flow_fifo").await;
    let all = publish_many(&world, r#"{"key": "k", "parallelism": 1}"#, 4).await;
    let mut backwards = all.clone();
    backwards.reverse();
    let [lease] = started(&world.store.message_load(&backwards, 100, BYTES).await.unwrap())[..] else { panic!() };
    assert_eq!(lease.0, all[0], "the first, whichever was asked for");
    let (settlement, at) = retried(lease.0, lease.1);
    let later = Settlement { verdict: Verdict::Retrying { delay_ms: 30_000 }, ..settlement };
    let kicks = settle(&world.store, &[(later, at)]).await;
    assert_eq!(ids(&kicks), [all[0]], "the others wait for its retry");
    assert_eq!(started(&world.store.message_load(&all, 100, BYTES).await.unwrap()), [], "also when they are asked for");
    assert_eq!(started(&world.later(20).message_load(&all[1..], 100, BYTES).await.unwrap()), []);
    let store = world.later(40);
    let [retry] = started(&store.message_load(&[all[0]], 100, BYTES).await.unwrap())[..] else { panic!() };
    assert_eq!(retry.0, all[0]);
    assert_eq!(ids(&settle(&store, &[failed(retry.0, retry.1)]).await), [all[1]], "a dead letter lets the next go");
    let [second] = started(&store.message_load(&[all[1]], 100, BYTES).await.unwrap())[..] else { panic!() };
    settle(&store, &[retried(second.0, second.1)]).await;
    world.store.message_cancel(world.account, second.0).await.unwrap();
    let woken = store.flow_wake(&[(world.account, "k".to_owned())]).await.unwrap();
    assert_eq!(ids(&woken), [all[2]], "so does a cancelled one");
}

#[tokio::test]
async fn a_rate_is_spent_at_once_when_idle_and_evenly_when_busy() {
    let world = World::new("flow_rate").await;
    let all = publish_many(&world, r#"{"key": "k", "rate": 10, "periodSeconds": 10}"#, 45).await;
    let begun = std::time::Instant::now();
    let first = world.store.message_load(&all, 100, BYTES).await.unwrap();
    let mut starts = start_times(&first);
    assert_eq!(starts.len(), 10);
    assert!(starts[9] - starts[0] < 1_000, "all at once: {starts:?}");
    let [wait] = waits(&first)[..] else { panic!("{first:?}") };
    assert!((9_000..=10_000).contains(&wait), "the next period begins in {wait} ms");
    for second in 1..=45 {
        starts.extend(start_times(&world.later(second).message_load(&all, 100, BYTES).await.unwrap()));
    }
    assert_eq!(starts.len(), 45, "{starts:?}");
    assert!(starts[10] - starts[0] >= 9_990, "{starts:?}");
    // The moved clocks go on meanwhile.
    let took = begun.elapsed().as_millis() as i64;
    for (n, start) in (0_i64..).zip(&starts[10..]) {
        let late = start - (starts[0] + 10_000 + n * 1_000);
        assert!((-10..2_000 + took).contains(&late), "start {n} is {late} ms after its time: {starts:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_says_when_to_come_back_holds_its_whole_flow() {
    let world = World::new("flow_hold").await;
    let all = publish_many(&world, r#"{"key": "k", "parallelism": 2}"#, 5).await;
    let leases = started(&world.store.message_load(&all, 100, BYTES).await.unwrap());
    let (settlement, at) = retried(leases[0].0, leases[0].1);
    let told = Settlement { verdict: Verdict::Retrying { delay_ms: 20_000 }, throttled: true, retry_after_ms: Some(20_000), ..settlement };
    let kicks = settle(&world.store, &[(told, at)]).await;
    assert!(kicks.iter().all(|kick| (10_000..=20_100).contains(&kick.wait_ms)), "{kicks:?}");
    settle(&world.store, &[delivered(leases[1].0, leases[1].1)]).await;
    assert_eq!(started(&world.store.message_load(&all, 100, BYTES).await.unwrap()), []);
    assert_eq!(started(&world.later(17).message_load(&all, 100, BYTES).await.unwrap()), []);
    assert_eq!(started(&world.later(21).message_load(&all, 100, BYTES).await.unwrap()).len(), 2);
}

#[tokio::test]
async fn what_waits_for_its_flow_is_found_by_tick_when_nobody_hands_it_on() {
    let world = World::new("flow_sweep").await;
    let all = publish_many(&world, r#"{"key": "k", "parallelism": 1}"#, 3).await;
    let [lease] = started(&world.store.message_load(&all, 100, BYTES).await.unwrap())[..] else { panic!() };
    assert_eq!(waits(&world.store.message_load(&all, 100, BYTES).await.unwrap()), [0; 0], "they are not handed over in circles");
    // The process that settled died before it handed the next one on.
    settle(&world.store, &[delivered(lease.0, lease.1)]).await;
    let later = world.later(70);
    assert!(later.tick_look().await.unwrap().waiting);
    assert_eq!(ids(&later.waiting_sweep(10).await.unwrap().kicks), [all[1]]);
    assert!(!later.tick_look().await.unwrap().waiting, "once a minute");
    // A process that died during a push.
    let [lease] = started(&later.message_load(&[all[1]], 100, BYTES).await.unwrap())[..] else { panic!() };
    world.store.message_cancel(world.account, lease.0).await.unwrap();
    let reaped = world.later(200).message_reap(10).await.unwrap();
    assert_eq!((reaped.lost, &reaped.flows[..]), (1, &[(world.account, "k".to_owned())][..]));
    assert_eq!(ids(&world.later(200).flow_wake(&reaped.flows).await.unwrap()), [all[2]]);
}

#[tokio::test]
async fn a_publish_to_a_flow_that_waits_does_not_trouble_the_queue_and_comes_through() {
    let world = World::new("flow_join").await;
    let flow = r#"{"key": "k", "parallelism": 1}"#;
    let first = publish_many(&world, flow, 2).await;
    let [lease] = started(&world.store.message_load(&first, 100, BYTES).await.unwrap())[..] else { panic!() };
    let json = format!(r#"{{"url": "https://example.com/hook", "flowControl": {flow}}}"#);
    let Published::Accepted { id: third, kick: None, .. } = world.publish(&json).await else { panic!("it was handed over") };
    let [next] = settle(&world.store, &[delivered(lease.0, lease.1)]).await[..] else { panic!() };
    let [lease] = started(&world.store.message_load(&ids(&[next]), 100, BYTES).await.unwrap())[..] else { panic!() };
    assert_eq!(ids(&settle(&world.store, &[delivered(lease.0, lease.1)]).await), [third]);
}

#[tokio::test]
async fn what_tick_would_hand_over_of_a_flow_that_waits_joins_it_instead() {
    let world = World::new("flow_claim").await;
    let all = publish_many(&world, r#"{"key": "k", "parallelism": 1}"#, 3).await;
    // One is asked for: the flow waits, and of the other two nobody has told the queue.
    assert_eq!(started(&world.store.message_load(&all[..1], 100, BYTES).await.unwrap()).len(), 1);
    let later = world.later(70);
    let claimed = later.message_claim(10).await.unwrap();
    assert_eq!((claimed.rows, claimed.kicks), (2, vec![]));
    assert_eq!(later.message_claim(10).await.unwrap().rows, 0);
    assert_eq!(ids(&settle(&later, &[delivered(all[0], 1)]).await), [all[1]]);
}

#[tokio::test]
async fn a_pinned_limit_wins_and_other_limits_are_those_of_the_last_message() {
    let world = World::new("flow_limits").await;
    let mut all = publish_many(&world, r#"{"key": "k", "parallelism": 1}"#, 3).await;
    all.push(publish(&world, r#"{"key": "k", "parallelism": 3}"#).await);
    assert_eq!(started(&world.store.message_load(&all, 100, BYTES).await.unwrap()).len(), 3);
    let client = world.client().await;
    client.execute("update tikku.flow set pinned = true, parallelism = 4", &[]).await.unwrap();
    assert_eq!(started(&world.store.message_load(&all, 100, BYTES).await.unwrap()).len(), 1);
}

#[tokio::test]
async fn a_flow_that_is_of_no_use_is_removed_and_made_again_when_it_is() {
    let world = World::new("flow_idle").await;
    let flow = r#"{"key": "k", "parallelism": 1}"#;
    let first = publish(&world, flow).await;
    let [lease] = started(&world.store.message_load(&[first], 100, BYTES).await.unwrap())[..] else { panic!() };
    let flows = async || -> i64 { world.client().await.query_one("select count(*) from tikku.flow", &[]).await.unwrap().get(0) };
    world.later(3_610).waiting_sweep(10).await.unwrap();
    assert_eq!(flows().await, 1, "a push of it is under way");
    settle(&world.store, &[delivered(lease.0, lease.1)]).await;
    world.later(3_700).waiting_sweep(10).await.unwrap();
    assert_eq!(flows().await, 1, "an hour has not passed since tick last looked");
    world.later(7_300).waiting_sweep(10).await.unwrap();
    assert_eq!(flows().await, 0);
    let second = publish(&world, flow).await;
    assert_eq!(started(&world.store.message_load(&[second], 100, BYTES).await.unwrap()).len(), 1);
}

async fn to(world: &World, path: &str, count: usize) -> Vec<MessageId> {
    let mut made = Vec::new();
    for n in 0..count {
        let json = format!(r#"{{"url": "https://example.com/{path}?n={n}", "maxAttempts": 100}}"#);
        let Published::Accepted { id, .. } = world.publish(&json).await else { panic!() };
        made.push(id);
    }
    made
}

/// A destination whose breaker has just opened, with so many messages that have not been tried.
async fn open_breaker(world: &World, waiting: usize) -> Vec<MessageId> {
    let tried = to(world, "down", 100).await;
    let leases = started(&world.store.message_load(&tried, 100, BYTES).await.unwrap());
    let group: Vec<_> =
        leases.iter().enumerate().map(|(n, (id, fence))| if n < 90 { broken(*id, *fence) } else { delivered(*id, *fence) }).collect();
    settle(&world.store, &group[..99]).await;
    assert_eq!(breaker(world).await, "closed", "99 ended");
    settle(&world.store, &group[99..]).await;
    assert_eq!(breaker(world).await, "open", "90 of 100 failed");
    to(world, "down", waiting).await
}

async fn breaker(world: &World) -> String {
    let row = world.client().await.query_one("select state from tikku.breaker where destination = 'https://example.com/down'", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn a_breaker_opens_at_ninety_percent_of_a_hundred_lets_one_try_and_closes_in_steps() {
    let world = World::new("breaker").await;
    let waiting = open_breaker(&world, 20).await;
    let other = to(&world, "up", 1).await;
    let asked = [waiting.clone(), other.clone()].concat();
    let loaded = world.store.message_load(&asked, 100, BYTES).await.unwrap();
    assert_eq!(started(&loaded).iter().map(|l| l.0).collect::<Vec<_>>(), other, "another path is another destination");
    let [wait] = waits(&loaded)[..] else { panic!("{loaded:?}") };
    assert!((15_000..=30_000).contains(&wait), "one comes back for the probe, in {wait} ms");
    assert_eq!(world.store.message_get(world.account, waiting[1]).await.unwrap().unwrap().waiting_for.as_deref(), Some("breaker"));

    let store = world.later(31);
    let [probe] = started(&store.message_load(&waiting, 100, BYTES).await.unwrap())[..] else { panic!("one probe") };
    assert_eq!(
        (started(&store.message_load(&waiting, 100, BYTES).await.unwrap()), breaker(&world).await),
        (vec![], "half_open".to_owned())
    );
    let kicks = settle(&store, &[broken(probe.0, probe.1)]).await;
    assert_eq!(breaker(&world).await, "open");
    let next = kicks.iter().find(|kick| kick.id != probe.0.into()).expect("another is handed over for the next probe");
    assert!((15_000..=32_000).contains(&next.wait_ms), "{next:?}");

    let store = world.later(62);
    let [probe] = started(&store.message_load(&ids(&[*next]), 100, BYTES).await.unwrap())[..] else { panic!("the second probe") };
    let mut kicked = ids(&settle(&store, &[delivered(probe.0, probe.1)]).await);
    assert_eq!(breaker(&world).await, "closed");
    let mut steps = Vec::new();
    while !kicked.is_empty() {
        let leases = started(&store.message_load(&kicked, 100, BYTES).await.unwrap());
        steps.push(leases.len());
        let group: Vec<_> = leases.iter().map(|(id, fence)| delivered(*id, *fence)).collect();
        kicked = ids(&settle(&store, &group).await);
    }
    assert_eq!(steps.iter().sum::<usize>(), 18, "{steps:?}: all that waited, but for the first probe, which retries by its own time");
    assert_eq!(steps[..3], [2, 4, 8]);
}

#[tokio::test]
async fn a_breaker_that_is_reset_lets_all_go_and_a_lost_probe_is_replaced() {
    let world = World::new("breaker_reset").await;
    let waiting = open_breaker(&world, 10).await;
    world.store.message_load(&waiting, 100, BYTES).await.unwrap();
    let store = world.later(31);
    assert_eq!(started(&store.message_load(&waiting, 100, BYTES).await.unwrap()).len(), 1);
    // The probe's process died: when its lease is over, another may try, and tick says so.
    let late = world.later(31 + 30 + 95);
    late.message_reap(10).await.unwrap();
    assert!(late.tick_look().await.unwrap().waiting);
    let swept = late.waiting_sweep(10).await.unwrap().kicks;
    assert_eq!(started(&late.message_load(&ids(&swept), 100, BYTES).await.unwrap()).len(), 1);
    let row = world.client().await.query_one("select id from tikku.breaker where destination like '%down'", &[]).await.unwrap();
    let kicks = late.breaker_reset(world.account, tikku_domain::ids::BreakerId(row.get(0))).await.unwrap();
    assert_eq!((kicks.len(), breaker(&world).await.as_str()), (8, "closed"));
    assert_eq!(started(&late.message_load(&waiting, 100, BYTES).await.unwrap()).len(), 9, "and the lost one is tried again");
}

#[tokio::test]
async fn a_breaker_holds_up_a_flow_that_keeps_the_order() {
    let world = World::new("breaker_fifo").await;
    open_breaker(&world, 0).await;
    let flow = r#""flowControl": {"key": "k", "parallelism": 1}"#;
    let mut all = Vec::new();
    for path in ["down", "up", "up"] {
        let Published::Accepted { id, .. } = world.publish(&format!(r#"{{"url": "https://example.com/{path}", {flow}}}"#)).await else {
            panic!()
        };
        all.push(id);
    }
    assert_eq!(started(&world.store.message_load(&all, 100, BYTES).await.unwrap()), [], "the first is bound for what is down");
    assert_eq!(started(&world.store.message_load(&all, 100, BYTES).await.unwrap()), []);
    let late = world.later(40);
    let swept = late.waiting_sweep(10).await.unwrap().kicks;
    assert_eq!(ids(&swept), [all[0]]);
    let [probe] = started(&late.message_load(&all, 100, BYTES).await.unwrap())[..] else { panic!() };
    assert_eq!(probe.0, all[0]);
    assert_eq!(ids(&settle(&late, &[delivered(probe.0, probe.1)]).await), [all[1]]);
}

#[tokio::test]
async fn a_claim_takes_from_every_account_that_has_due_rows() {
    let world = World::new("claim_fair").await;
    let client = world.client().await;
    let busy = format!(
        "insert into tikku.message (id, account_id, state, due_at, kick_until, max_attempts, timeout_ms)
         select tikku.new_id(), '{}', 'queued', tikku.clock_now(), tikku.clock_now() - interval '1 hour', 5, 30000 from generate_series(1, 50000)",
        world.account.0
    );
    client.batch_execute(&busy).await.unwrap();
    let mut quiet = Vec::new();
    for n in 0..3 {
        let account = world.store.account_create(&format!("quiet {n}")).await.unwrap().unwrap().id;
        let row = client
            .query_one(
                "insert into tikku.message (id, account_id, state, due_at, kick_until, max_attempts, timeout_ms)
                 values (tikku.new_id(), $1, 'queued', tikku.clock_now(), tikku.clock_now(), 5, 30000) returning id",
                &[&account.0],
            )
            .await
            .unwrap();
        quiet.push((AccountId(account.0), MessageId(row.get(0))));
    }
    let claimed = world.later(1).message_claim(100).await.unwrap().kicks;
    for (account, id) in quiet {
        assert!(
            claimed.iter().any(|kick| kick.id == id.into() && kick.account == account),
            "the first round has the only row of {account}"
        );
    }
    assert!(claimed.len() <= 100 && claimed.iter().filter(|kick| kick.account == world.account).count() == 25, "{}", claimed.len());
}

#[tokio::test]
async fn an_end_makes_its_callback_in_the_same_transaction_and_a_callback_makes_none() {
    let world = World::new("callbacks").await;
    let json =
        r#"{"url": "https://example.com/a", "callbackUrl": "https://example.com/done", "failureCallbackUrl": "https://example.com/gone"}"#;
    let Published::Accepted { id, .. } = world.publish(json).await else { panic!() };
    let loaded = world.store.message_load(&[id], 100, BYTES).await.unwrap();
    let [Loaded::Started(job)] = &loaded[..] else { panic!() };
    let (settlement, at) = delivered(id, job.fence);
    let callback = tikku_domain::message::Callback { url: job.callback_url.clone().unwrap(), body: b"{}".to_vec() };
    let told = [(Settlement { callback: Some(callback), ..settlement }, at)];
    let [kick] = settle(&world.store, &told).await[..] else { panic!("the callback is handed over") };
    let made = world.store.message_get(world.account, ids(&[kick])[0]).await.unwrap().unwrap();
    assert_eq!((made.url.as_deref(), made.callback_of.as_deref()), (Some("https://example.com/done"), Some(id.to_string().as_str())));
    assert_eq!((made.callback_url, made.failure_callback_url), (None, None));
    assert_eq!(world.store.message_settle("w", 5, &told).await.unwrap().kicks, [], "settled again, it tells nobody twice");

    // A message that failed because its processes died is told of as well.
    let Published::Accepted { id: lost, .. } = world.publish(json).await else { panic!() };
    world.client().await.execute("update tikku.message set lost = 29 where id = $1", &[&lost.0]).await.unwrap();
    world.store.message_load(&[lost], 100, BYTES).await.unwrap();
    let reaped = world.later(100).message_reap(10).await.unwrap();
    let [kick] = reaped.kicks[..] else { panic!("{reaped:?}") };
    let made = world.store.message_get(world.account, ids(&[kick])[0]).await.unwrap().unwrap();
    let body: serde_json::Value = serde_json::from_str(made.body.unwrap().get()).unwrap();
    assert_eq!(
        (made.url.as_deref(), &body["messageId"], &body["status"]),
        (Some("https://example.com/gone"), &lost.to_string().into(), &"failed".into())
    );
}
