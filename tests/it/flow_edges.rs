//! Flows where they are easily got wrong: leases given back, several flows in one load, large bodies, limits that change, batches of fanouts.
//!
//! Out of scope: the ordinary cases (`flows.rs`).

use tikku_domain::ids::MessageId;
use tikku_domain::message::{Settlement, Verdict};
use tikku_store::{Kick, Loaded, Published, PublishedBatch, PublishedItem};

use crate::world::{World, delivered, retried, started};

const BYTES: u64 = 1 << 24;
const ORDERED: &str = r#"{"key": "k", "parallelism": 1}"#;

async fn publish(world: &World, rest: &str, flow: &str) -> MessageId {
    let json = format!(r#"{{"url": "https://example.com/hook", {rest} "flowControl": {flow}}}"#);
    match world.publish(&json).await {
        Published::Accepted { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

async fn begun(world: &World, ids: &[MessageId]) -> Vec<(MessageId, i64)> {
    started(&world.store.message_load(ids, 100, BYTES).await.unwrap())
}

#[tokio::test]
async fn a_retry_that_is_given_back_unstarted_keeps_its_place() {
    let world = World::new("edge_release").await;
    let first = publish(&world, "", ORDERED).await;
    let second = publish(&world, "", ORDERED).await;
    let [lease] = begun(&world, &[first, second]).await[..] else { panic!() };
    world.store.message_settle("w", 5, &[retried(lease.0, lease.1)]).await.unwrap();
    let [lease] = begun(&world, &[first]).await[..] else { panic!() };
    world.store.message_release(&[lease]).await.unwrap();
    let [lease] = begun(&world, &[second, first]).await[..] else { panic!() };
    assert_eq!(lease.0, first);
}

#[tokio::test]
async fn a_retry_by_hand_of_the_first_keeps_its_place() {
    let world = World::new("edge_retry").await;
    let first = publish(&world, "", ORDERED).await;
    let second = publish(&world, "", ORDERED).await;
    let [lease] = begun(&world, &[first, second]).await[..] else { panic!() };
    let (settlement, at) = retried(lease.0, lease.1);
    let later = Settlement { verdict: Verdict::Retrying { delay_ms: 600_000 }, ..settlement };
    world.store.message_settle("w", 5, &[(later, at)]).await.unwrap();
    world.store.message_retry(world.account, first).await.unwrap();
    let [lease] = begun(&world, &[second, first]).await[..] else { panic!() };
    assert_eq!(lease.0, first);
}

#[tokio::test]
async fn a_cancelled_message_whose_lease_is_given_back_lets_the_next_go() {
    let world = World::new("edge_cancel").await;
    let first = publish(&world, "", ORDERED).await;
    let second = publish(&world, "", ORDERED).await;
    let [lease] = begun(&world, &[first, second]).await[..] else { panic!() };
    world.store.message_cancel(world.account, first).await.unwrap();
    let kicks = world.store.message_release(&[lease]).await.unwrap();
    assert_eq!(Kick::messages(&kicks), [second]);
}

#[tokio::test]
async fn a_small_flow_does_not_starve_behind_a_big_one_in_the_same_load() {
    let world = World::new("edge_starve").await;
    let mut asked = Vec::new();
    for _ in 0..300 {
        asked.push(publish(&world, "", r#"{"key": "big"}"#).await);
    }
    let small = publish(&world, "", r#"{"key": "small"}"#).await;
    // Which of the two is served first is chance; a load that takes ten cannot pass the small one by for ever.
    for _ in 0..29 {
        asked.push(small);
        let loaded = world.store.message_load(&asked, 10, BYTES).await.unwrap();
        if started(&loaded).iter().any(|(id, _)| *id == small) {
            return;
        }
    }
    panic!("it did not start within 29 loads");
}

#[tokio::test]
async fn a_load_of_many_flows_keeps_to_its_bytes() {
    let world = World::new("edge_bytes").await;
    let body = format!(r#""body": "{}","#, "x".repeat(998));
    let mut asked = Vec::new();
    for n in 0..12 {
        asked.push(publish(&world, &body, &format!(r#"{{"key": "k{n}"}}"#)).await);
    }
    let mut rounds = Vec::new();
    loop {
        let loaded = world.store.message_load(&asked, 100, 4_000).await.unwrap();
        let bytes: usize = loaded.iter().map(|l| if let Loaded::Started(job) = l { job.body.as_ref().unwrap().len() } else { 0 }).sum();
        if bytes == 0 {
            break;
        }
        assert!(bytes <= 5_000, "{bytes}");
        rounds.push(bytes / 1_000);
    }
    assert_eq!(rounds.iter().sum::<usize>(), 12, "{rounds:?}");
}

#[tokio::test]
async fn limits_of_what_is_due_later_do_not_count_yet_and_an_answer_that_is_no_429_holds_nothing() {
    let world = World::new("edge_limits").await;
    publish(&world, r#""delaySeconds": 86400,"#, ORDERED).await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(publish(&world, "", r#"{"key": "k", "parallelism": 3}"#).await);
    }
    let leases = begun(&world, &asked).await;
    assert_eq!(leases.len(), 3);
    let (settlement, at) = retried(leases[0].0, leases[0].1);
    let told =
        Settlement { verdict: Verdict::Retrying { delay_ms: 60_000 }, retry_after_ms: Some(60_000), status: Some(404), ..settlement };
    world.store.message_settle("w", 5, &[(told, at), delivered(leases[1].0, leases[1].1)]).await.unwrap();
    assert_eq!(begun(&world, &asked).await.len(), 1, "one message said 404 with Retry-After; the flow goes on");
}

#[tokio::test]
async fn a_batch_makes_no_more_messages_of_fanouts_than_a_request_may() {
    let world = World::new("edge_fanouts").await;
    let fill = format!(
        "insert into tikku.fanout (account_id, name) values ('{0}', 'all');
         insert into tikku.fanout_endpoint (account_id, fanout, url) select '{0}', 'all', 'https://example.com/' || n from generate_series(1, 1000) n",
        world.account.0
    );
    world.client().await.batch_execute(&fill).await.unwrap();
    let policy = tikku_domain::destination::UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
    let rules = tikku_domain::publish::Rules { policy: &policy, timeout_seconds_max: 840 };
    let one = tikku_domain::publish::parse(br#"{"fanout": "all"}"#, &rules).unwrap();
    let PublishedBatch::Items(items) = world.store.message_publish_batch(&world.key_hash, &vec![one; 11]).await.unwrap() else { panic!() };
    let made: Vec<usize> = items.iter().map(|item| if let PublishedItem::Accepted(puts) = item { puts.len() } else { 0 }).collect();
    assert_eq!(made, [vec![1000; 10], vec![0]].concat());
    assert_eq!(items[10], PublishedItem::TooLarge);
    let large = format!(r#"{{"fanout": "all", "body": "{}"}}"#, "x".repeat(70_000));
    let large = tikku_domain::publish::parse(large.as_bytes(), &rules).unwrap();
    let PublishedBatch::Items(items) = world.store.message_publish_batch(&world.key_hash, &[large]).await.unwrap() else { panic!() };
    assert_eq!(items, [PublishedItem::TooLarge]);
}
