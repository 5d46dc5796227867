//! Two real connections and a blocker that holds the row between an operation's snapshot and its visit to the row: the
//! interleavings that a sequential simulation cannot see (ARCHITECTURE.md, "Locks and fences").

use std::sync::Arc;

use tikku_store::{Control, Published, Settled};
use tokio_postgres::Client;

use crate::world::{World, delivered, retried, started};

/// A transaction that holds a message's row and may change it before it lets go.
struct Blocker(Client);

impl Blocker {
    async fn hold(world: &World, id: tikku_domain::ids::MessageId) -> Blocker {
        let client = world.client().await;
        client.batch_execute("begin").await.unwrap();
        client.query("select 1 from tikku.message where id = $1 for update", &[&id.0]).await.unwrap();
        Blocker(client)
    }

    async fn release(self, change: &str) {
        self.0.batch_execute(&format!("{change}; commit")).await.unwrap();
    }
}

#[tokio::test]
async fn of_two_loads_of_one_message_one_starts_it() {
    let world = World::new("race_two_loads").await;
    let id = world.message().await;
    let blocker = Blocker::hold(&world, id).await;
    let load = || {
        let store = world.store.clone();
        tokio::spawn(async move { store.message_load(&[id], 100, 1 << 20).await.unwrap() })
    };
    let (a, b) = (load(), load());
    world.somebody_waits().await;
    blocker.release("select 1").await;
    let starts = [started(&a.await.unwrap()), started(&b.await.unwrap())].concat();
    assert_eq!(starts, [(id, 1)]);
}

#[tokio::test]
async fn a_load_that_waited_for_a_cancel_starts_nothing() {
    let world = World::new("race_cancel_load").await;
    let id = world.message().await;
    let blocker = Blocker::hold(&world, id).await;
    let store = world.store.clone();
    let load = tokio::spawn(async move { store.message_load(&[id], 100, 1 << 20).await.unwrap() });
    world.somebody_waits().await;
    blocker
        .release("update tikku.message set state = 'cancelled', fence = fence + 1, kick_until = null, finished_at = tikku.clock_now()")
        .await;
    assert_eq!(load.await.unwrap().len(), 0);
    assert_eq!(world.state(id).await, "cancelled");
}

#[tokio::test]
async fn a_load_that_waited_for_a_postponement_answers_the_wait() {
    let world = World::new("race_postpone_load").await;
    let id = world.message().await;
    let blocker = Blocker::hold(&world, id).await;
    let store = world.store.clone();
    let load = tokio::spawn(async move { store.message_load(&[id], 100, 1 << 20).await.unwrap() });
    world.somebody_waits().await;
    blocker.release("update tikku.message set due_at = tikku.clock_now() + interval '60 seconds'").await;
    match &load.await.unwrap()[..] {
        [tikku_store::Loaded::Waiting(kick)] => assert!((55_000..=60_000).contains(&kick.wait_ms), "{kick:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_settlement_that_waited_for_a_newer_start_is_refused() {
    let world = World::new("race_settle_restart").await;
    let id = world.message().await;
    let [(_, fence)] = started(&world.store.message_load(&[id], 100, 1 << 20).await.unwrap())[..] else { panic!() };
    let blocker = Blocker::hold(&world, id).await;
    let store = world.store.clone();
    let settle = tokio::spawn(async move { store.message_settle("zombie", 5, &[delivered(id, fence)]).await.unwrap() });
    world.somebody_waits().await;
    blocker.release("update tikku.message set fence = fence + 1").await;
    assert_eq!(settle.await.unwrap(), Settled::default());
    assert_eq!((world.state(id).await.as_str(), world.attempts(id).await), ("delivering", 0));
}

#[tokio::test]
async fn a_cancel_that_waited_for_a_start_lets_the_push_decide() {
    for (verdict, state) in [(true, "delivered"), (false, "cancelled")] {
        let world = World::new(&format!("race_cancel_start_{state}")).await;
        let id = world.message().await;
        let blocker = Blocker::hold(&world, id).await;
        let (store, account) = (world.store.clone(), world.account);
        let cancel = tokio::spawn(async move { store.message_cancel(account, id).await.unwrap() });
        world.somebody_waits().await;
        blocker
            .release("update tikku.message set state = 'delivering', fence = 1, kick_until = null, lease_until = tikku.clock_fresh() + interval '1 minute'")
            .await;
        assert_eq!(cancel.await.unwrap(), Control::Done { flow: None });
        assert_eq!(world.state(id).await, "delivering");
        let settlement = if verdict { delivered(id, 1) } else { retried(id, 1) };
        let settled = world.store.message_settle("w", 5, &[settlement]).await.unwrap();
        assert_eq!(settled, Settled { ids: vec![id], kicks: vec![] });
        assert_eq!(world.state(id).await, state);
    }
}

#[tokio::test]
async fn a_reap_passes_by_a_row_that_is_being_settled() {
    let world = World::new("race_reap_settle").await;
    let id = world.message().await;
    let [(_, fence)] = started(&world.store.message_load(&[id], 100, 1 << 20).await.unwrap())[..] else { panic!() };
    let later = world.later(3600);
    let blocker = Blocker::hold(&world, id).await;
    assert_eq!(later.message_reap(100).await.unwrap().lost, 0);
    blocker.release("select 1").await;
    // The lease ran out, but nobody else started it: the late result still counts.
    assert_eq!(world.store.message_settle("w", 5, &[delivered(id, fence)]).await.unwrap().ids.len(), 1);
    assert_eq!(later.message_reap(100).await.unwrap().lost, 0);
    assert_eq!((world.state(id).await.as_str(), world.attempts(id).await), ("delivered", 1));
}

#[tokio::test]
async fn a_release_that_waited_for_a_reap_gives_nothing_back() {
    let world = World::new("race_release_reap").await;
    let id = world.message().await;
    let [lease] = started(&world.store.message_load(&[id], 100, 1 << 20).await.unwrap())[..] else { panic!() };
    let blocker = Blocker::hold(&world, id).await;
    let store = world.store.clone();
    let release = tokio::spawn(async move { store.message_release(&[lease]).await.unwrap() });
    world.somebody_waits().await;
    blocker.release("update tikku.message set state = 'retrying', lease_until = null, kick_until = tikku.clock_now(), lost = 1").await;
    assert_eq!(release.await.unwrap(), []);
    assert_eq!(world.state(id).await, "retrying");
}

#[tokio::test]
async fn a_retry_that_waited_for_a_start_is_a_conflict() {
    let world = World::new("race_retry_start").await;
    let id = world.message().await;
    world.store.message_cancel(world.account, id).await.unwrap();
    let blocker = Blocker::hold(&world, id).await;
    let (store, account) = (world.store.clone(), world.account);
    let retry = tokio::spawn(async move { store.message_retry(account, id).await.unwrap() });
    world.somebody_waits().await;
    let start = "update tikku.message set state = 'delivering', fence = fence + 2, finished_at = null, lease_until = tikku.clock_now()";
    blocker.release(start).await;
    assert_eq!(retry.await.unwrap(), Control::Conflict { state: "delivering".to_owned() });
}

#[tokio::test]
async fn a_claim_passes_by_a_row_that_is_being_started() {
    let world = World::new("race_claim_load").await;
    let id = world.message().await;
    let later = world.later(120);
    let blocker = Blocker::hold(&world, id).await;
    assert_eq!(later.message_claim(10).await.unwrap().rows, 0);
    blocker.release("update tikku.message set state = 'delivering', fence = 1, kick_until = null, lease_until = tikku.clock_now()").await;
    assert_eq!(later.message_claim(10).await.unwrap().rows, 0);
}

#[tokio::test]
async fn two_publishers_of_one_key_get_one_id() {
    let world = World::new("race_idempotency").await;
    let client = world.client().await;
    let json = r#"{"url": "https://example.com", "idempotencyKey": "k", "body": 1}"#;
    for (end, same) in [("rollback", false), ("commit", true)] {
        client.batch_execute("begin").await.unwrap();
        client.batch_execute("delete from tikku.message; delete from tikku.message_content").await.unwrap();
        let first: uuid::Uuid = client
            .query_one(
                "insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff,
                   idempotency_key, payload_hash, labels)
                 select account_id, tikku.new_id(), tikku.clock_now(), 'https://example.com/', 'POST', '[]', '{}', 'k', 'other', '{}'
                 from tikku.api_key returning message_id",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        let racer = async { world.publish(json).await };
        let (published, ()) = futures_util::future::join(racer, async {
            world.somebody_waits().await;
            client.batch_execute(end).await.unwrap();
        })
        .await;
        match published {
            Published::Mismatch { id } => assert!(same && id.0 == first),
            Published::Accepted { id, .. } => assert!(!same && id.0 != first),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn settlements_and_loads_in_opposite_orders_do_not_deadlock() {
    let world = World::new("race_order").await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(world.message().await);
    }
    for _ in 0..20 {
        let mut reversed = ids.clone();
        reversed.reverse();
        let load = |ids: Vec<_>| {
            let store = world.store.clone();
            tokio::spawn(async move { store.message_load(&ids, 100, 1 << 20).await.unwrap() })
        };
        let (a, b) = (load(ids.clone()), load(reversed));
        let leases = [started(&a.await.unwrap()), started(&b.await.unwrap())].concat();
        assert_eq!(leases.len(), ids.len());
        let settle = |leases: Vec<(_, _)>| {
            let store = world.store.clone();
            let group: Vec<_> = leases.into_iter().map(|(id, fence)| retried(id, fence)).collect();
            tokio::spawn(async move { store.message_settle("w", 5, &group).await.unwrap().ids.len() })
        };
        let (a, b) = (settle(leases.clone()), settle(leases.iter().rev().copied().collect()));
        // Both are told that each is recorded; it was recorded once.
        assert_eq!((a.await.unwrap(), b.await.unwrap()), (ids.len(), ids.len()));
    }
    assert_eq!(world.attempts(ids[0]).await, 20);
}

#[tokio::test]
async fn eight_ticks_at_once_share_no_row() {
    let world = Arc::new(World::new("race_ticks").await);
    for _ in 0..300 {
        world.message().await;
    }
    // Their kicks ran out unanswered.
    let later = Arc::new(world.later(120));
    let mut ticks = Vec::new();
    for _ in 0..8 {
        let later = later.clone();
        ticks.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let rows = later.message_claim(25).await.unwrap().kicks;
                if rows.is_empty() {
                    return taken;
                }
                taken.extend(rows.into_iter().map(|kick| kick.id));
            }
        }));
    }
    let mut all = Vec::new();
    for tick in ticks {
        all.extend(tick.await.unwrap());
    }
    let taken = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((taken, all.len()), (300, 300));
}

#[tokio::test]
async fn two_rotations_at_once_leave_one_current_secret() {
    let world = World::new("race_rotation").await;
    for _ in 0..10 {
        let rotate = || {
            let (store, account) = (world.store.clone(), world.account);
            tokio::spawn(async move { store.signing_secret_rotate(account, 60_000).await.unwrap() })
        };
        let (a, b) = (rotate(), rotate());
        a.await.unwrap();
        b.await.unwrap();
    }
    let view = world.store.signing_secret_list(world.account).await.unwrap();
    assert!(view.secret.starts_with("whsec_") && view.previous.len() == 4, "{}", view.previous.len());
}

#[tokio::test]
async fn two_migrations_at_once_make_one_schema() {
    let world = World::new("race_migrate").await;
    let client = world.client().await;
    client.batch_execute("drop schema tikku cascade").await.unwrap();
    let migrate = || {
        let store = world.store.clone();
        tokio::spawn(async move { store.migrate().await.unwrap() })
    };
    let (a, b) = (migrate(), migrate());
    let mut applied = [a.await.unwrap(), b.await.unwrap()].concat();
    applied.sort_unstable();
    assert_eq!(applied, (1..=tikku_store::migrate::VERSION).collect::<Vec<_>>());
    assert_eq!(world.store.pulse().await.unwrap().schema_version, tikku_store::migrate::VERSION);
}
