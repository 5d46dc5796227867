//! Retention: what goes, what stays, and how long a bite holds its locks beside publishers on a large table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tikku_domain::account_settings::AccountChange;
use tikku_domain::ids::MessageId;
use tikku_store::{PrunePlace, Published, Store};

use crate::world::{World, delivered, started};

const DAY: i64 = 86_400;

/// Prunes until a round is at its end; answers how many messages went in each bite.
async fn prune(store: &Store) -> Vec<u64> {
    let (mut place, mut bites) = (PrunePlace::default(), Vec::new());
    loop {
        let (pruned, next) = store.prune_messages(&place).await.unwrap();
        let Some(next) = next else { return bites };
        bites.push(pruned);
        place = next;
    }
}

async fn count(world: &World, table: &str) -> i64 {
    world.client().await.query_one(&format!("select count(*) from tikku.{table}"), &[]).await.unwrap().get(0)
}

async fn deliver(world: &World, id: MessageId) {
    let leases = started(&world.store.message_load(&[id], 1, 1 << 20).await.unwrap());
    world.store.message_settle("w", 5, &[delivered(id, leases[0].1)]).await.unwrap();
}

#[tokio::test]
async fn what_is_older_than_its_accounts_retention_goes_with_all_that_belongs_to_it_and_nothing_else() {
    let world = World::new("prune_what").await;
    let keeper = world.store.account_create("keeper").await.unwrap().unwrap().id;
    let change = AccountChange { retention_days: Some(100), ..AccountChange::default() };
    assert!(world.store.account_change(keeper, None, &change).await.unwrap().is_some());
    let (over, cancelled, kept) = (world.message().await, world.message().await, world.message().await);
    for id in [over, kept] {
        deliver(&world, id).await;
    }
    world.store.message_cancel(world.account, cancelled).await.unwrap();
    let Published::Accepted { id: waiting, .. } = world.publish(r#"{"url": "https://example.com", "delaySeconds": 8640000}"#).await else {
        panic!()
    };
    let sql = format!(
        "update tikku.message set account_id = '{0}' where id = '{1}'; update tikku.message_content set account_id = '{0}' where message_id = '{1}'",
        keeper.0, kept.0
    );
    world.client().await.batch_execute(&sql).await.unwrap();

    assert_eq!(prune(&world.later(29 * DAY)).await, Vec::<u64>::new());
    assert_eq!(prune(&world.later(31 * DAY)).await, [2]);
    assert_eq!((count(&world, "message").await, count(&world, "message_content").await, count(&world, "attempt").await), (2, 2, 1));
    assert_eq!(world.state(waiting).await, "scheduled");
    assert!(world.store.message_get(keeper, kept).await.unwrap().is_some());
    assert_eq!(prune(&world.later(101 * DAY)).await, [1]);
}

#[tokio::test]
async fn a_bite_waits_for_nobody_and_the_next_round_takes_what_was_held() {
    let world = World::new("prune_held").await;
    let publish = r#"{"url": "https://example.com", "idempotencyKey": "k"}"#;
    let Published::Accepted { id: held, .. } = world.publish(publish).await else { panic!() };
    let (locked, free) = (world.message().await, world.message().await);
    for id in [held, locked, free] {
        deliver(&world, id).await;
    }
    let blocker = world.client().await;
    // What a publish with a known key does to the content, in a transaction that stays open; and any holder of a message.
    let sql = format!(
        "begin; update tikku.message_content set idempotency_key = 'k' where idempotency_key = 'k'; select 1 from tikku.message where id = '{}' for update",
        locked.0
    );
    blocker.batch_execute(&sql).await.unwrap();
    let store = world.later(31 * DAY);
    assert_eq!(prune(&store).await.iter().sum::<u64>(), 1);
    assert_eq!(count(&world, "message").await, 2);
    blocker.batch_execute("commit").await.unwrap();
    assert_eq!(prune(&store).await.iter().sum::<u64>(), 2);
}

#[tokio::test]
async fn large_bodies_make_small_bites() {
    let world = World::new("prune_large").await;
    let body = "x".repeat(2 << 20);
    for _ in 0..6 {
        let Published::Accepted { id, .. } = world.publish(&format!(r#"{{"url": "https://example.com", "body": "{body}"}}"#)).await else {
            panic!()
        };
        deliver(&world, id).await;
    }
    // Each brings a thousand pieces of TOAST.
    assert_eq!(prune(&world.later(31 * DAY)).await, [3, 3]);
}

#[tokio::test]
async fn what_nobody_uses_any_more_goes_too() {
    let world = World::new("prune_leftovers").await;
    let Published::Accepted { .. } =
        world.publish(r#"{"url": "https://example.com", "delaySeconds": 864000, "flowControl": {"key": "used", "parallelism": 1}}"#).await
    else {
        panic!()
    };
    let (account, client) = (world.account.0, world.client().await);
    let sql = format!(
        "insert into tikku.flow (account_id, key, pinned, next_at) values ('{account}', 'used', false, 'infinity'), ('{account}', 'idle', false, 'infinity'),
           ('{account}', 'pinned', true, 'infinity'), ('{account}', 'waiting', false, tikku.clock_now()) on conflict do nothing;
         insert into tikku.breaker (account_id, destination, state, window_at) values ('{account}', 'https://a/', 'closed', tikku.clock_now() - interval '2 hours'),
           ('{account}', 'https://b/', 'closed', tikku.clock_now()), ('{account}', 'https://c/', 'open', tikku.clock_now() - interval '2 hours')"
    );
    client.batch_execute(&sql).await.unwrap();
    assert!(world.store.usage_add(&world.key_hash, 1).await.unwrap().is_some());
    assert!(world.later(2 * 3600).usage_add(&world.key_hash, 1).await.unwrap().is_some());
    // Each call is a bite; the last finds nothing and sets the time of the next round.
    let store = world.later(2 * 3600 - 60);
    assert!(store.tick_look().await.unwrap().prune);
    assert!(store.prune_leftovers().await.unwrap());
    assert!(!store.prune_leftovers().await.unwrap());
    assert!(!store.tick_look().await.unwrap().prune);
    assert!(world.later(3 * 3600).tick_look().await.unwrap().prune);
    let names = async |sql: &str| -> Vec<String> { client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect() };
    assert_eq!(names("select key from tikku.flow order by 1").await, ["pinned", "used", "waiting"]);
    assert_eq!(names("select destination from tikku.breaker order by 1").await, ["https://c/"]);
    assert_eq!(count(&world, "account_usage").await, 1);
}

/// Publishes, starts and settles until told to stop; answers how many messages and the longest of them.
async fn work(world: Arc<World>, stop: Arc<AtomicBool>) -> (usize, Duration) {
    let (mut messages, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let id = world.message().await;
        deliver(&world, id).await;
        messages += 1;
        longest = longest.max(begun.elapsed());
    }
    (messages, longest)
}

/// Times here are part of the promise: no bite may hold a lock for 100 ms. A statement's duration bounds its locks'. Of 1,000 bites one may take
/// longer: a checkpoint, or this machine's scheduler. 200,000 rows; 5,000,000 with TIKKU_TEST_LONG=1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bite_holds_a_lock_for_100_ms_on_a_large_table_with_publishers_beside_it() {
    let rows = if std::env::var("TIKKU_TEST_LONG").is_ok_and(|value| value == "1") { 5_000_000 } else { 200_000 };
    let world = Arc::new(World::new("prune_large_table").await);
    let begun = Instant::now();
    fill(&world, rows).await;
    let filled = begun.elapsed();
    let stop = Arc::new(AtomicBool::new(false));
    let worker = tokio::spawn(work(world.clone(), stop.clone()));
    let (mut place, mut bites, mut pruned) = (PrunePlace::default(), Vec::new(), 0);
    loop {
        let begun = Instant::now();
        let (count, next) = world.store.prune_messages(&place).await.unwrap();
        bites.push(begun.elapsed());
        pruned += count;
        let Some(next) = next else { break };
        place = next;
    }
    stop.store(true, Ordering::Relaxed);
    let (messages, longest) = worker.await.unwrap();
    bites.sort_unstable();
    let over = bites.iter().filter(|bite| **bite >= Duration::from_millis(100)).count();
    println!(
        "{rows} rows filled in {filled:.1?}; {} bites: median {:.1?}, worst {:.1?}, {over} of 100 ms or more; beside them {messages} messages, the slowest in {longest:.1?}",
        bites.len(),
        bites[bites.len() / 2],
        bites[bites.len() - 1],
    );
    assert_eq!(pruned, rows / 2, "the younger half stays");
    assert!(messages > 0);
    assert!(over <= bites.len().div_ceil(1_000), "worst: {:?}", &bites[bites.len().saturating_sub(5)..]);
}

/// Finished messages, half of them older than the retention, with content and attempts.
async fn fill(world: &World, rows: u64) {
    let client = world.client().await;
    let chunk = 100_000;
    for from in (0..rows).step_by(chunk) {
        let sql = format!(
            "create temp table ids as select n, tikku.new_id() as id from generate_series({from}, {from} + {chunk} - 1) n;
             insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, timeout_ms, attempt_number)
               select id, '{account}', case when n % 10 = 0 then 'failed' else 'delivered' end, tikku.clock_now(),
                 tikku.clock_now() - case when n < {rows} / 2 then interval '60 days' else interval '10 days' end + n * interval '1 millisecond', 5, 30000, 1 from ids;
             insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, body, backoff, labels)
               select '{account}', id, tikku.clock_now(), 'https://example.com/' || n % 100, 'POST', '[]', '\\x7b7d', '{{}}', '{{}}' from ids;
             insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, status, worker)
               select id, 1, 1, tikku.clock_now(), 5, 200, 'w' from ids;
             drop table ids",
            account = world.account.0
        );
        client.batch_execute(&sql).await.unwrap();
    }
    client.batch_execute("analyze tikku.message; analyze tikku.message_content; analyze tikku.attempt").await.unwrap();
}
