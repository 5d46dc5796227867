//! What the store promises of a message's life, one method at a time on a real Postgres.

use tikku_domain::limits::LOST_MAX;
use tikku_domain::message::Settlement;
use tikku_store::{Control, Loaded, Published, StoreError, statements};
use tokio_postgres::types::Type;

use crate::world::{World, delivered, retried, started};

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_schema() {
    let world = World::new("store_prepare").await;
    let client = world.client().await;
    for sql in statements::ALL {
        assert!(sql.starts_with("-- ") && sql.contains('\n'), "a statement opens with its name: {sql}");
        client.prepare(sql).await.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    }
    let mut names: Vec<&str> = statements::ALL.iter().filter_map(|sql| sql.lines().next()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), statements::ALL.len());
}

#[tokio::test]
async fn every_column_table_and_function_has_a_comment() {
    let world = World::new("store_comments").await;
    let sql = "select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          where c.relnamespace = 'tikku'::regnamespace and c.relkind = 'r' and col_description(c.oid, a.attnum) is null
        union all select relname from pg_class where relnamespace = 'tikku'::regnamespace and relkind = 'r' and obj_description(oid) is null
        union all select proname from pg_proc where pronamespace = 'tikku'::regnamespace and obj_description(oid) is null";
    let rows = world.client().await.query(sql, &[]).await.unwrap();
    let bare: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(bare, Vec::<String>::new());
}

#[tokio::test]
async fn a_settlement_sent_twice_is_recorded_once() {
    let world = World::new("store_twice").await;
    let id = world.message().await;
    let [(_, fence)] = started(&world.store.message_load(&[id], 100, 1 << 20).await.unwrap())[..] else { panic!() };
    assert_eq!(world.store.message_settle("w", 5, &[delivered(id, fence)]).await.unwrap().ids.len(), 1);
    // The answer of the first was lost: the second is told what is recorded, and changes nothing.
    let again = world.store.message_settle("w", 5, &[retried(id, fence)]).await.unwrap();
    assert_eq!(again, tikku_store::Settled { ids: vec![id], kicks: vec![] });
    assert_eq!((world.state(id).await.as_str(), world.attempts(id).await), ("delivered", 1));
}

#[tokio::test]
async fn a_poisoned_row_does_not_stop_its_batch() {
    let world = World::new("store_poison").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.message().await);
    }
    let leases = started(&world.store.message_load(&ids, 100, 1 << 20).await.unwrap());
    let mut group: Vec<(Settlement, u64)> = leases.iter().map(|(id, fence)| delivered(*id, *fence)).collect();
    // Postgres has no U+0000 in text: SQLSTATE 22021.
    group[2].0.error = Some("a\0b".to_owned());
    assert_eq!(world.store.message_settle("w", 5, &group).await.unwrap().ids.len(), 5);
    for (id, _) in &leases {
        assert_eq!(world.state(*id).await, "delivered");
    }
    let detail = world.store.message_detail(world.account, group[2].0.id).await.unwrap().unwrap();
    assert_eq!(detail.attempts[0].error.as_deref(), Some("unrecordable"));
    assert_eq!(detail.attempts[0].response_body, None);
}

#[tokio::test]
async fn a_lost_lease_spends_no_budget_and_has_its_own_cap() {
    let world = World::new("store_lost").await;
    let Published::Accepted { id, .. } = world.publish(r#"{"url": "https://example.com", "maxAttempts": 1, "timeoutSeconds": 1}"#).await
    else {
        panic!()
    };
    for round in 1..=LOST_MAX {
        let store = world.later(i64::from(round) * 40);
        assert_eq!(started(&store.message_load(&[id], 100, 1 << 20).await.unwrap()), [(id, i64::from(round))]);
        assert_eq!(store.message_reap(10).await.unwrap().lost, 0, "the lease still runs");
        let later = world.later(i64::from(round) * 40 + 34);
        let reaped = later.message_reap(10).await.unwrap();
        assert_eq!((reaped.lost, reaped.kicks.len()), (1, usize::from(round < LOST_MAX)));
    }
    assert_eq!(world.state(id).await, "failed");
    assert_eq!(world.attempts(id).await, LOST_MAX as usize);
    assert_eq!(world.store.message_retry(world.account, id).await.unwrap(), Control::Done { flow: None });
    assert_eq!(started(&world.later(9999).message_load(&[id], 100, 1 << 20).await.unwrap()), [(id, i64::from(LOST_MAX) + 2)]);
}

#[tokio::test]
async fn a_load_takes_bodies_up_to_its_byte_budget_and_at_least_one() {
    let world = World::new("store_bytes").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let json = format!(r#"{{"url": "https://example.com", "body": "{}"}}"#, "x".repeat(998));
        let Published::Accepted { id, .. } = world.publish(&json).await else { panic!() };
        ids.push(id);
    }
    let loaded = world.store.message_load(&ids, 100, 2000).await.unwrap();
    assert_eq!(started(&loaded).len(), 2);
    assert_eq!(loaded.iter().filter(|l| matches!(l, Loaded::Waiting(kick) if kick.wait_ms == 0)).count(), 2);
    assert_eq!(started(&world.store.message_load(&ids, 100, 1).await.unwrap()).len(), 1);
}

#[tokio::test]
async fn a_start_is_allowed_two_seconds_early_and_says_how_long_to_wait() {
    let world = World::new("store_early").await;
    let Published::Accepted { id, state, kick: Some(kick) } = world.publish(r#"{"url": "https://example.com", "delaySeconds": 10}"#).await
    else {
        panic!()
    };
    assert_eq!((state.as_str(), kick.wait_ms), ("scheduled", 10_000));
    let early = world.later(7).message_load(&[id], 100, 1 << 20).await.unwrap();
    assert!(matches!(early[..], [Loaded::Waiting(_)]));
    let almost = world.later(9).message_load(&[id], 100, 1 << 20).await.unwrap();
    let [Loaded::Started(job)] = &almost[..] else { panic!("{almost:?}") };
    assert!((100..=1000).contains(&job.wait_ms), "{}", job.wait_ms);
}

#[tokio::test]
async fn tick_hands_over_again_with_growing_patience() {
    let world = World::new("store_kick").await;
    world.message().await;
    assert!(!world.store.tick_look().await.unwrap().kick, "publish handed it over");
    let mut at = 0;
    for wait in [61, 61, 121, 241, 481, 901, 901] {
        assert!(!world.later(at + wait - 3).tick_look().await.unwrap().kick, "{at} + {wait}");
        at += wait;
        assert_eq!(world.later(at).message_claim(10).await.unwrap().rows, 1, "{at}");
    }
}

#[tokio::test]
async fn a_released_lease_costs_nothing() {
    let world = World::new("store_release").await;
    let id = world.message().await;
    let [lease] = started(&world.store.message_load(&[id], 100, 1 << 20).await.unwrap())[..] else { panic!() };
    assert_eq!(world.store.message_release(&[(id, lease.1 + 1)]).await.unwrap(), [], "another fence");
    assert_eq!(world.store.message_release(&[lease]).await.unwrap().len(), 1);
    assert_eq!((world.state(id).await.as_str(), world.attempts(id).await), ("queued", 0));
    assert_eq!(world.store.message_settle("w", 5, &[delivered(id, lease.1)]).await.unwrap().ids, []);
}

#[tokio::test]
async fn far_away_messages_wait_for_tick_and_the_longest_delay_is_kept() {
    let world = World::new("store_far").await;
    world.publish(r#"{"url": "https://example.com", "delaySeconds": 86400}"#).await;
    assert!(!world.later(86_400 - 1000).tick_look().await.unwrap().kick);
    let due = world.later(86_400 - 880).message_claim(10).await.unwrap().kicks;
    assert!(matches!(due[..], [kick] if (870_000..=880_000).contains(&kick.wait_ms)), "{due:?}");
    let too_late = r#"{"url": "https://example.com", "notBefore": "9000-01-01T00:00:00Z"}"#;
    assert_eq!(world.publish(too_late).await, Published::TooLate);
}

#[tokio::test]
async fn a_database_that_hangs_is_unavailable_and_its_connection_is_not_used_again() {
    let world = World::new("store_hang").await;
    let client = world.client().await;
    let find = "select pid from pg_stat_activity where datname = current_database() and application_name = 'tikku'";
    let pids: Vec<i32> = client.query(find, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let signal = |name: &str| {
        let pids = pids.iter().map(ToString::to_string);
        assert!(std::process::Command::new("kill").arg(name).args(pids).status().unwrap().success());
    };
    signal("-STOP");
    let hung = world.store.pulse().await;
    let next = world.store.pulse().await;
    signal("-CONT");
    assert!(matches!(hung, Err(StoreError::Unavailable(_))), "{hung:?}");
    assert!(next.is_ok(), "{next:?}");
}

#[tokio::test]
async fn a_lock_that_is_not_to_be_had_is_unavailable_and_changes_nothing() {
    let world = World::new("store_lock").await;
    let id = world.message().await;
    let client = world.client().await;
    client.batch_execute("begin; select 1 from tikku.message for update").await.unwrap();
    assert!(matches!(world.store.message_load(&[id], 100, 1 << 20).await, Err(StoreError::Unavailable(_))));
    client.batch_execute("rollback").await.unwrap();
    assert_eq!(world.state(id).await, "queued");
}

#[tokio::test]
async fn the_lifecycle_check_refuses_impossible_rows() {
    let world = World::new("store_lifecycle").await;
    world.message().await;
    let client = world.client().await;
    for bad in [
        "lease_until = tikku.clock_now()",
        "state = 'lost'",
        "kick_until = null",
        "finished_at = tikku.clock_now()",
        "kick_until = null, lease_until = tikku.clock_now(), finished_at = tikku.clock_now()",
    ] {
        let error = client.execute(&format!("update tikku.message set {bad}"), &[]).await.unwrap_err();
        assert_eq!(error.code().map(|c| &c.code()[..2]), Some("23"), "{bad}");
    }
    assert_eq!(client.query_typed("select $1::text", &[(&"ok", Type::TEXT)]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn sql_and_rust_agree_on_the_default_backoff() {
    let world = World::new("store_backoff").await;
    let row = world.client().await.query_one("select tikku.backoff_default()::text", &[]).await.unwrap();
    let stored: tikku_domain::retry::Backoff = serde_json::from_str(row.get(0)).unwrap();
    assert_eq!(stored, tikku_domain::retry::Backoff::default());
}
