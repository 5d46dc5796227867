//! Many workers, publishers and cancellers on a few flows at once, on real connections, without tick: nothing exceeds its limit, nothing leaves
//! its order, and nothing is left behind, because every wake is handed on by whoever sets a place free.
//!
//! Out of scope: hosts (`scenarios/flows.rs`), single steps (`flows.rs`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tikku_domain::ids::MessageId;
use tikku_domain::message::{Settlement, Verdict};
use tikku_store::{Kick, Loaded, Published};
use tokio::time::{Instant, sleep};

use crate::world::{World, delivered, retried};

const WORKERS: usize = 8;
const PUBLISHERS: usize = 4;
const EACH: usize = 60;
/// Key and parallelism.
const FLOWS: [(&str, usize); 3] = [("wide", 3), ("ordered", 1), ("narrow", 2)];

/// What everybody shares: the queue, and what the endpoints have seen.
#[derive(Default)]
struct Yard {
    queue: VecDeque<MessageId>,
    in_flight: HashMap<String, usize>,
    most: HashMap<String, usize>,
    /// Ends of the ordered flow, in the order they came.
    ended: Vec<MessageId>,
    /// Publishes of the ordered flow, in the order they were answered; made by one publisher, so in the order they were asked for.
    published: Vec<MessageId>,
    flow_of: HashMap<MessageId, String>,
    over: usize,
}

type Shared = Arc<Mutex<Yard>>;

/// A cheap dice: the storm is not repeatable anyway, its threads are real.
fn dice(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed >> 11
}

async fn publish(world: Arc<World>, yard: Shared, publisher: usize) {
    for n in 0..EACH {
        // The ordered flow has one publisher.
        let (key, parallelism) = if publisher == 0 { FLOWS[1] } else { FLOWS[(n % 2) * 2] };
        let json = format!(
            r#"{{"url": "https://example.com/{n}", "maxAttempts": 100, "flowControl": {{"key": "{key}", "parallelism": {parallelism}}}}}"#
        );
        let Published::Accepted { id, kick, .. } = world.publish(&json).await else { panic!() };
        let mut yard = yard.lock().unwrap();
        yard.flow_of.insert(id, key.to_owned());
        if publisher == 0 {
            yard.published.push(id);
        }
        yard.queue.extend(Kick::messages(kick.as_slice()));
    }
}

fn take(yard: &Shared, most: usize) -> Vec<MessageId> {
    let mut yard = yard.lock().unwrap();
    let most = most.min(yard.queue.len());
    yard.queue.drain(..most).collect()
}

fn put(yard: &Shared, kicks: &[Kick]) {
    assert!(kicks.iter().all(|kick| kick.wait_ms < 100), "nothing here has to wait: {kicks:?}");
    yard.lock().unwrap().queue.extend(Kick::messages(kicks));
}

/// Counts how many leases each flow has now; false while the publisher has not written its answer down yet.
fn begin(yard: &Shared, id: MessageId) -> bool {
    let mut yard = yard.lock().unwrap();
    let Some(key) = yard.flow_of.get(&id).cloned() else { return false };
    let now = yard.in_flight.entry(key.clone()).or_default();
    *now += 1;
    let now = *now;
    let most = yard.most.entry(key).or_default();
    *most = now.max(*most);
    true
}

async fn work(world: Arc<World>, yard: Shared, mut seed: u64, total: usize) {
    let begun = Instant::now();
    while yard.lock().unwrap().over < total {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "{} of {total} are over, the queue is empty: a wake was lost",
            yard.lock().unwrap().over
        );
        let ids = take(&yard, 1 + dice(&mut seed) as usize % 5);
        if ids.is_empty() {
            sleep(Duration::from_millis(2)).await;
            continue;
        }
        let mut group: Vec<(Settlement, u64)> = Vec::new();
        for one in world.store.message_load(&ids, 10, 1 << 20).await.unwrap() {
            match one {
                Loaded::Waiting(kick) => put(&yard, &[kick]),
                Loaded::Started(job) => {
                    while !begin(&yard, job.id) {
                        sleep(Duration::from_millis(1)).await;
                    }
                    group.push(match dice(&mut seed) % 10 {
                        0..6 => delivered(job.id, job.fence),
                        6..9 => retried(job.id, job.fence),
                        _ => (Settlement { verdict: Verdict::Failed, ..retried(job.id, job.fence).0 }, 1),
                    });
                }
            }
        }
        sleep(Duration::from_millis(dice(&mut seed) % 4)).await;
        {
            let mut yard = yard.lock().unwrap();
            for (settlement, _) in &group {
                let key = yard.flow_of[&settlement.id].clone();
                *yard.in_flight.get_mut(&key).unwrap() -= 1;
            }
            for (settlement, _) in group.iter().filter(|(s, _)| !matches!(s.verdict, Verdict::Retrying { .. })) {
                yard.over += 1;
                if yard.flow_of[&settlement.id] == "ordered" {
                    yard.ended.push(settlement.id);
                }
            }
        }
        if !group.is_empty() {
            put(&yard, &world.store.message_settle("w", 5, &group).await.unwrap().kicks);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_workers_limits_hold_order_holds_and_no_wake_is_lost() {
    let world = Arc::new(World::new("flow_storm").await);
    let yard = Shared::default();
    let total = PUBLISHERS * EACH;
    let mut tasks = Vec::new();
    for publisher in 0..PUBLISHERS {
        tasks.push(tokio::spawn(publish(world.clone(), yard.clone(), publisher)));
    }
    for worker in 0..WORKERS {
        tasks.push(tokio::spawn(work(world.clone(), yard.clone(), 0x9E37_79B9_7F4A_7C15 ^ (worker as u64 * 7919), total)));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let left = "select count(*) from tikku.message where state not in ('delivered', 'failed')";
    assert_eq!(world.client().await.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    let yard = yard.lock().unwrap();
    for (key, parallelism) in FLOWS {
        assert_eq!(yard.most[key], parallelism, "{key}: reached and never exceeded");
    }
    assert_eq!(yard.ended, yard.published, "the ordered flow ended in the order it was published");
}
