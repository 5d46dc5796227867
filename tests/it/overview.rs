//! Counts, pages and the overview on a real Postgres: exact while there is little, bounded and saying so when there is much.

use serde_json::{Value, json};
use tikku_domain::filter::{self, MessageFilter};
use tikku_domain::ids::MessageId;
use tikku_domain::message::{Settlement, Verdict};
use tikku_domain::view::StatusCount;
use tikku_domain::{limits, run_filter_query};

use crate::world::{World, delivered, retried, started};

fn query(pairs: &[(&str, &str)]) -> MessageFilter {
    filter::messages(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()).unwrap()
}

/// Messages that were over long ago, `n` of a state, and their contents.
async fn over(world: &World, state: &str, n: i64, url: &str) {
    let sql = format!(
        "with ids as materialized (select tikku.new_id() as id from generate_series(1, {n})), content as (
           insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff, labels)
             select '{account}', id, tikku.clock_now(), '{url}', 'POST', '[]', tikku.backoff_default(), '{{}}' from ids)
         insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, timeout_ms)
           select id, '{account}', '{state}', tikku.clock_now(), tikku.clock_now() - interval '9 days', 5, 30000 from ids",
        account = world.account.0
    );
    world.client().await.batch_execute(&sql).await.unwrap();
}

async fn counted(world: &World, pairs: &[(&str, &str)], state: &str) -> (i64, bool) {
    let StatusCount { count, more } = world.store.message_counts(world.account, &query(pairs)).await.unwrap().0[state];
    (count, more)
}

/// Pushes a message once: delivered, failed for good, or to be tried again in an hour.
async fn push(world: &World, id: MessageId, end: &str) {
    let leases = started(&world.store.message_load(&[id], 1, 1 << 20).await.unwrap());
    let (id, fence) = leases[0];
    let (settlement, ago_ms) = if end == "delivered" { delivered(id, fence) } else { retried(id, fence) };
    let verdict = match end {
        "delivered" => Verdict::Delivered,
        "failed" => Verdict::Failed,
        _ => Verdict::Retrying { delay_ms: 3_600_000 },
    };
    world.store.message_settle("w", 5, &[(Settlement { verdict, ..settlement }, ago_ms)]).await.unwrap();
}

#[tokio::test]
async fn counts_are_exact_up_to_their_limit_and_say_when_there_may_be_more() {
    let world = World::new("counts").await;
    world.message().await;
    world.publish(r#"{"url": "https://example.com/hook", "delaySeconds": 86400}"#).await;
    over(&world, "failed", 3, "https://example.com/a").await;
    over(&world, "cancelled", 2, "https://example.com/a").await;
    over(&world, "delivered", limits::COUNT_MAX, "https://example.com/a").await;
    for (state, exact) in [("queued", 1), ("scheduled", 1), ("failed", 3), ("cancelled", 2), ("delivering", 0), ("retrying", 0)] {
        assert_eq!(counted(&world, &[], state).await, (exact, false), "{state}");
    }
    assert_eq!(counted(&world, &[], "delivered").await, (limits::COUNT_MAX, false), "as many as are counted");
    over(&world, "delivered", 1, "https://example.com/a").await;
    assert_eq!(counted(&world, &[], "delivered").await, (limits::COUNT_MAX, true), "one more");
    over(&world, "failed", limits::COUNT_MAX, "https://example.com/b").await;
    assert_eq!(counted(&world, &[], "failed").await, (limits::COUNT_MAX, true));
    let (found, more) = counted(&world, &[], "delivered").await;
    assert!(found <= limits::COUNT_MAX && more, "what is not failed among the newest: {found}");
    let only = world.store.message_counts(world.account, &query(&[("status", "cancelled")])).await.unwrap();
    assert_eq!(only.0.into_iter().collect::<Vec<_>>(), [("cancelled".to_owned(), StatusCount { count: 2, more: false })]);
}

#[tokio::test]
async fn a_search_looks_at_a_bounded_number_of_rows_and_goes_on_by_its_cursor() {
    let world = World::new("search").await;
    over(&world, "delivered", 3, "https://example.com/needle").await;
    over(&world, "delivered", limits::SCAN_MAX * 2, "https://example.com/hay").await;
    over(&world, "failed", 2, "https://example.com/needle").await;
    assert_eq!(counted(&world, &[("url", "needle")], "failed").await, (2, true), "the oldest were not looked at");
    assert_eq!(counted(&world, &[("url", "needle"), ("status", "failed")], "failed").await, (2, false), "an index has the failed ones");
    let (mut found, mut pages, mut cursor) = (0, 0, None);
    loop {
        let mut filter = query(&[("url", "needle"), ("counts", "false")]);
        filter.page.cursor = cursor;
        let page = world.store.message_list(world.account, &filter).await.unwrap();
        assert!(page.counts.is_none() && page.counts_more.is_none());
        assert_eq!(page.partial, page.next_cursor.is_some(), "a page that is not full goes on only if it ended early");
        found += page.data.len();
        pages += 1;
        let Some(next) = page.next_cursor else { break };
        cursor = Some(next.parse().unwrap());
    }
    assert_eq!((found, pages), (5, 3));
    let whole = world.store.message_list(world.account, &query(&[("url", "hay"), ("limit", "200")])).await.unwrap();
    assert_eq!((whole.data.len(), whole.partial), (200, false), "a full page has not ended early");
    assert_eq!(whole.counts_more.unwrap().len(), filter::STATES.len());
    let failed = world.store.message_list(world.account, &query(&[("url", "needle"), ("status", "failed")])).await.unwrap();
    assert_eq!((failed.data.len(), failed.partial, failed.counts.unwrap()["failed"]), (2, false, 2));
}

#[tokio::test]
async fn each_status_lists_its_own_whatever_finds_it() {
    let world = World::new("statuses").await;
    let due: Vec<MessageId> = vec![world.message().await, world.message().await, world.message().await, world.message().await];
    push(&world, due[0], "delivered").await;
    push(&world, due[1], "failed").await;
    push(&world, due[2], "retrying").await;
    world.store.message_load(&due[3..], 1, 1 << 20).await.unwrap();
    let cancelled = world.message().await;
    world.store.message_cancel(world.account, cancelled).await.unwrap();
    let queued = world.message().await;
    let flow = r#"{"url": "https://example.com/", "flowControl": {"key": "k", "parallelism": 1}}"#;
    world.publish(flow).await;
    world.publish(r#"{"url": "https://example.com/", "delaySeconds": 60}"#).await;
    for (status, first, rows) in [
        ("delivered", Some(due[0]), 1),
        ("failed", Some(due[1]), 1),
        ("retrying", Some(due[2]), 1),
        ("delivering", Some(due[3]), 1),
        ("cancelled", Some(cancelled), 1),
        ("scheduled", None, 1),
        ("queued", Some(queued), 2),
    ] {
        let page = world.store.message_list(world.account, &query(&[("status", status)])).await.unwrap();
        let shown: Vec<&str> = page.data.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(shown.len(), rows, "{status}");
        assert!(page.data.iter().all(|message| message.status == status), "{status}");
        assert!(first.is_none_or(|id| shown.contains(&id.to_string().as_str())), "{status}: {shown:?}");
        assert_eq!(page.counts.unwrap()[status], rows as i64, "{status}");
    }
}

#[tokio::test]
async fn a_time_range_shows_what_was_created_in_it() {
    let world = World::new("ranges").await;
    let id = world.message().await.to_string();
    let sql = "select tikku.rfc3339(created_at), tikku.rfc3339(created_at + interval '1 millisecond') from tikku.message_content";
    let row = world.client().await.query_one(sql, &[]).await.unwrap();
    let (at, after): (String, String) = (row.get(0), row.get(1));
    for (from, to, shown) in [(&at, &after, 1), (&after, &after, 0), (&at, &at, 0)] {
        for status in [None, Some("queued")] {
            let mut pairs = vec![("from", from.as_str()), ("to", to.as_str())];
            pairs.extend(status.map(|status| ("status", status)));
            let page = world.store.message_list(world.account, &query(&pairs)).await.unwrap();
            assert_eq!(page.data.iter().filter(|message| message.id == id).count(), shown, "{from} to {to} {status:?}");
            assert_eq!(counted(&world, &pairs, "queued").await, (shown as i64, false), "{from} to {to} {status:?}");
        }
    }
}

#[tokio::test]
async fn the_overview_tells_what_was_done_and_what_waits() {
    let world = World::new("overview").await;
    let empty = json!(world.store.overview(world.account, 60).await.unwrap());
    let nothing = ["successRate", "latencyMs", "pushMs", "oldestDue", "lastTickAgeSeconds"].map(|field| empty[field].is_null());
    assert_eq!(
        (nothing, empty["sampled"].as_bool(), empty["buckets"].as_array().unwrap().len()),
        ([true; 5], Some(false), 60),
        "{empty:#}"
    );
    let ids = [world.message().await, world.message().await, world.message().await, world.message().await];
    push(&world, ids[0], "delivered").await;
    push(&world, ids[1], "delivered").await;
    push(&world, ids[2], "failed").await;
    push(&world, ids[3], "retrying").await;
    let oldest = world.message().await;
    world.message().await;
    world.store.tick_look().await.unwrap();
    let seen = json!(world.store.overview(world.account, 60).await.unwrap());
    let sum = |field: &str| seen["buckets"].as_array().unwrap().iter().map(|bucket| bucket[field].as_i64().unwrap()).sum::<i64>();
    assert_eq!(["published", "delivered", "failed", "cancelled", "failedAttempts"].map(sum), [6, 2, 1, 0, 2], "{seen:#}");
    assert_eq!((&seen["sampleSize"], &seen["sampled"], &seen["bucketSeconds"]), (&json!(3), &json!(false), &json!(60)));
    assert_eq!(seen["successRate"], json!(2.0 / 3.0));
    assert_eq!((&seen["pushMs"]["p50"], &seen["pushMs"]["p99"]), (&json!(3), &json!(3)));
    assert!(seen["latencyMs"]["p99"].as_i64().is_some_and(|ms| (0..60_000).contains(&ms)), "{seen:#}");
    assert_eq!(seen["oldestDue"]["id"], json!(oldest.to_string()));
    assert!(seen["lastTickAgeSeconds"].as_f64().is_some_and(|age| age < 60.0));
    let health = &seen["destinations"][0];
    assert_eq!(
        (&health["destination"], &health["attempts"], &health["failures"]),
        (&json!("https://example.com/hook"), &json!(4), &json!(2))
    );
    assert_eq!((&health["breaker"], &health["breakerId"]), (&Value::Null, &Value::Null));
    assert_eq!((&seen["runs"]["waiting"]["count"], &seen["approvalsWaiting"]["count"]), (&json!(0), &json!(0)));
    let breakers = "insert into tikku.breaker (account_id, destination, state, window_at)
      select $1, destination, state, tikku.clock_now() from (values ('https://example.com/hook', 'closed'), ('https://example.com/down', 'open')) v(destination, state)";
    world.client().await.execute(breakers, &[&world.account.0]).await.unwrap();
    let broken = json!(world.store.overview(world.account, 60).await.unwrap());
    let states: Vec<_> =
        broken["destinations"].as_array().unwrap().iter().map(|one| (&one["destination"], &one["breaker"], &one["attempts"])).collect();
    let (down, hook) = (json!("https://example.com/down"), json!("https://example.com/hook"));
    assert_eq!(states, [(&down, &json!("open"), &json!(0)), (&hook, &json!("closed"), &json!(4))], "what is open comes first, seen or not");
    let later = json!(world.later(7_200).overview(world.account, 60).await.unwrap());
    assert_eq!((&later["sampleSize"], &later["successRate"]), (&json!(0), &Value::Null), "two hours later");
    assert!(later["oldestDue"]["ageSeconds"].as_f64().unwrap() > 7_000.0);
}

#[tokio::test]
async fn the_overview_samples_when_much_was_done_and_says_so() {
    let world = World::new("overview-much").await;
    let sql = format!(
        "with ids as materialized (select n, tikku.new_id() as id from generate_series(1, 6000) n), content as (
           insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff, labels)
             select '{account}', id, tikku.clock_now(), 'https://example.com/' || n % 3 || '?q=' || n, 'POST', '[]', tikku.backoff_default(), '{{}}' from ids
         ), pushes as (
           insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, status, error, worker)
             select id, 1, 1, tikku.clock_now() - n * interval '0.5 seconds', n % 100, 200, case when n % 4 = 0 then 'no' end, 'w' from ids)
         insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, timeout_ms, attempt_number)
           select id, '{account}', case when n % 4 = 0 then 'failed' else 'delivered' end, tikku.clock_now() - n * interval '0.5 seconds' - interval '2 seconds',
             tikku.clock_now() - n * interval '0.5 seconds', 5, 30000, 1 from ids",
        account = world.account.0
    );
    world.client().await.batch_execute(&sql).await.unwrap();
    let seen = json!(world.store.overview(world.account, 60).await.unwrap());
    let size = seen["sampleSize"].as_i64().unwrap();
    assert!((1_000..=1_060).contains(&size) && seen["sampled"] == true, "{size}");
    let sum = |field: &str| seen["buckets"].as_array().unwrap().iter().map(|bucket| bucket[field].as_i64().unwrap()).sum::<i64>();
    let (delivered, failed) = (sum("delivered"), sum("failed"));
    assert!((5_900..=6_100).contains(&(delivered + failed)), "120 a minute were counted, not guessed: {delivered} and {failed}");
    assert!((0.7..=0.8).contains(&seen["successRate"].as_f64().unwrap()), "{seen:#}");
    assert_eq!(seen["latencyMs"], json!({ "p50": 2_000, "p99": 2_000 }));
    let names: Vec<&str> = seen["destinations"].as_array().unwrap().iter().map(|one| one["destination"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "without their queries: {names:?}");
}

#[tokio::test]
async fn runs_are_counted_in_each_state() {
    let world = World::new("run-counts").await;
    let states = ["queued", "sleeping", "waiting", "retrying", "paused", "completed", "failed", "cancelled"];
    let client = world.client().await;
    for (n, state) in states.iter().enumerate() {
        let place = match *state {
            "completed" | "failed" | "cancelled" => "finished_at",
            _ => "kick_until",
        };
        let sql = format!(
            "with ids as materialized (select tikku.new_id() as id from generate_series(0, {n})), content as (
               insert into tikku.run_content (account_id, run_id, workflow, version, created_at, input, secret, seed, labels)
                 select '{account}', id, 'w{n}', '1', tikku.clock_now(), '1', '0123456789abcdef', repeat('0', 32), '{{all}}' from ids)
             insert into tikku.run (id, account_id, state, due_at, {place}) select id, '{account}', '{state}', tikku.clock_now(), tikku.clock_now() from ids",
            account = world.account.0
        );
        client.batch_execute(&sql).await.unwrap();
    }
    let mut all = run_filter_query::all();
    for label in [None, Some("all".to_owned())] {
        all.label = label;
        let counts = world.store.run_counts(world.account, &all).await.unwrap().0;
        for (n, state) in states.iter().enumerate() {
            assert_eq!(counts[*state], StatusCount { count: n as i64 + 1, more: false }, "{state}");
        }
        assert_eq!((counts.len(), counts["running"].count), (9, 0));
    }
    all.workflow = Some("w2".to_owned());
    let counts = world.store.run_counts(world.account, &all).await.unwrap().0;
    assert_eq!((counts["waiting"].count, counts["failed"].count), (3, 0));
}
