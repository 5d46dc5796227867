//! Messages and runs in the database: a message starts a run, a run's step has a message make a call. Two real connections where they can meet.
//!
//! Out of scope: pushes and dispatches, which `scenarios/workflow_destinations.rs` sees from outside.

use tikku_domain::fetch::{Fetch, Fetched};
use tikku_domain::ids::{MessageId, RunId, WakeId};
use tikku_domain::message::{self, Job, Settlement, Verdict};
use tikku_domain::started::Started;
use tikku_store::{Kick, Loaded, Published};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::world::{World, delivered, started};

const BYTES: u64 = 1 << 20;

/// A world in which the workflow `order-flow` is served.
async fn served(name: &str) -> (World, Client) {
    let world = World::new(name).await;
    let client = world.client().await;
    client
        .execute("insert into tikku.app (account_id, name, url) values ($1, 'shop', 'https://example.com/flows')", &[&world.account.0])
        .await
        .unwrap();
    let sql = "insert into tikku.workflow (account_id, name, version, app, is_current) values ($1, 'order-flow', '1', 'shop', true)";
    client.execute(sql, &[&world.account.0]).await.unwrap();
    (world, client)
}

async fn published(world: &World, json: &str) -> MessageId {
    match world.publish(json).await {
        Published::Accepted { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

async fn job(world: &World, id: MessageId) -> Job {
    let mut loaded = world.store.message_load(&[id], 100, BYTES).await.unwrap();
    match loaded.pop() {
        Some(Loaded::Started(job)) => *job,
        other => panic!("{other:?}"),
    }
}

async fn state_of(client: &Client, run: Uuid) -> String {
    client.query_one("select state::text from tikku.run where id = $1", &[&run]).await.unwrap().get(0)
}

/// The entry of the call: its state, value and error.
async fn entry(client: &Client, run: Uuid) -> Option<(String, Option<String>, Option<String>)> {
    let sql =
        "select state, convert_from(value, 'UTF8'), error::text from tikku.entry where run_id = $1 and key = 'call#0' and kind = 'fetch'";
    client.query_opt(sql, &[&run]).await.unwrap().map(|row| (row.get(0), row.get(1), row.get(2)))
}

/// A run that waits for the call that this message makes.
async fn fetching(world: &World, client: &Client) -> (Uuid, MessageId) {
    let start = "select (tikku.run_start_for($1, 'api', null, 'order-flow', null, null, null, '{}', null, '{}', 900000))[2]::uuid";
    let run: Uuid = client.query_one(start, &[&world.account.0]).await.unwrap().get(0);
    let fence: i64 =
        client.query_one("select fence from tikku.run_lease(array[$1::uuid], 10, 196608, 30, 900000)", &[&run]).await.unwrap().get(0);
    let plan = "select 1 from tikku.run_settle(array[$1::uuid], array[$2::int8], array[0], array['reply'], array['\"call#0\"'], array[false],
        array[null]::int8[], array[null]::text[], array[null]::text[], array[1], array['fetch'], array['call#0'], array['fetch'], array[null]::bytea[],
        array[null]::text[], array[null]::int8[], array[1], array[null]::text[],
        array['{\"url\": \"https://example.com/api\", \"method\": \"GET\", \"headers\": [], \"timeoutMs\": 5000, \"maxAttempts\": 2}'], 900000)";
    client.query(plan, &[&run, &fence]).await.unwrap();
    assert_eq!(state_of(client, run).await, "waiting");
    let message: Uuid = client.query_one("select message_id from tikku.waiter where run_id = $1", &[&run]).await.unwrap().get(0);
    (run, MessageId(message))
}

/// The settlement of a call that was answered 200.
fn answered(job: &Job) -> (Settlement, u64) {
    let (settlement, started_ms) = delivered(job.id, job.fence);
    (Settlement { fetched: Some(Fetched::Answer(br#"{"status":200}"#.to_vec())), ..settlement }, started_ms)
}

fn runs(kicks: &[Kick]) -> Vec<Uuid> {
    kicks.iter().filter_map(|kick| if let WakeId::Run(RunId(id)) = kick.id { Some(id) } else { None }).collect()
}

#[tokio::test]
async fn a_message_to_a_workflow_starts_one_run_however_often_it_is_asked() {
    let (world, client) = served("message_start").await;
    let body = r#"{"b": 1,  "a": [2]}"#;
    let json = format!(r#"{{"workflow": "order-flow", "body": {body}, "labels": ["l"]}}"#);
    let (first, second) = (published(&world, &json).await, published(&world, r#"{"workflow": "order-flow"}"#).await);
    assert_eq!(world.store.message_start(&[first]).await.unwrap(), [], "what is not leased starts nothing");
    let jobs = world.store.message_load(&[first, second], 100, BYTES).await.unwrap();
    assert_eq!(jobs.len(), 2);
    let answers = world.store.message_start(&[second, first]).await.unwrap();
    let [(a, Started::Run { id: run, state, wait_ms: Some(0) }), (b, Started::Run { id: other, .. })] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!((*a, *b, state.as_str()), (first, second, "queued"));
    let again = world.store.message_start(&[first]).await.unwrap();
    assert_eq!(again, [(first, Started::Run { id: *run, state: "queued".to_owned(), wait_ms: None })]);
    let sql = "select convert_from(input, 'UTF8'), started_how, source_id, labels from tikku.run_content where run_id = $1";
    let row = client.query_one(sql, &[&run.0]).await.unwrap();
    let content: (String, String, Uuid, Vec<String>) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(content, (body.to_owned(), "message".to_owned(), first.0, vec!["l".to_owned()]));
    let input: String = client.query_one(sql, &[&other.0]).await.unwrap().get(0);
    assert_eq!(input, "null");
}

#[tokio::test]
async fn a_workflow_that_nobody_serves_starts_nothing_and_its_batch_mates_start() {
    let (world, client) = served("message_unserved").await;
    let (bad, good) = (published(&world, r#"{"workflow": "nope"}"#).await, published(&world, r#"{"workflow": "order-flow"}"#).await);
    world.store.message_load(&[bad, good], 100, BYTES).await.unwrap();
    let answers = world.store.message_start(&[bad, good]).await.unwrap();
    assert!(matches!(&answers[..], [(a, Started::Unserved), (b, Started::Run { .. })] if *a == bad && *b == good), "{answers:?}");
    let runs: i64 = client.query_one("select count(*) from tikku.run", &[]).await.unwrap().get(0);
    assert_eq!(runs, 1);
}

#[tokio::test]
async fn two_starts_of_one_message_that_meet_start_one_run() {
    let (world, client) = served("race_message_start").await;
    let id = published(&world, r#"{"workflow": "order-flow"}"#).await;
    job(&world, id).await;
    // Whoever inserts the key first holds it until its transaction ends.
    let blocker = world.client().await;
    blocker.batch_execute("begin").await.unwrap();
    let row = blocker.query_one("select run_id from tikku.message_start(array[$1::uuid], 900000)", &[&id.0]).await.unwrap();
    let first: Uuid = row.get(0);
    let store = world.store.clone();
    let second = tokio::spawn(async move { store.message_start(&[id]).await.unwrap() });
    world.somebody_waits().await;
    blocker.batch_execute("commit").await.unwrap();
    let answers = second.await.unwrap();
    assert!(matches!(&answers[..], [(_, Started::Run { id: RunId(run), wait_ms: None, .. })] if *run == first), "{answers:?}");
    let runs: i64 = client.query_one("select count(*) from tikku.run", &[]).await.unwrap().get(0);
    assert_eq!(runs, 1);
}

#[tokio::test]
async fn a_run_that_a_due_time_started_counts_for_overlap_until_it_is_over() {
    let (world, client) = served("schedule_run_overlap").await;
    let id = published(&world, r#"{"workflow": "order-flow"}"#).await;
    let (settlement, at) = delivered(id, job(&world, id).await.fence);
    let schedule = "insert into tikku.schedule (account_id, name, every_ms, anchor_at, overlap, catch_up, url, method, headers, backoff, max_attempts, timeout_ms, labels)
        values ($1, 's', 60000, now(), 'skip', 'latest', 'workflow:order-flow', 'POST', '[]', tikku.backoff_default(), 5, 30000, '{}') returning id";
    let schedule: Uuid = client.query_one(schedule, &[&world.account.0]).await.unwrap().get(0);
    client.execute("update tikku.message_content set schedule_id = $1 where message_id = $2", &[&schedule, &id.0]).await.unwrap();
    let fire = "insert into tikku.schedule_fire (schedule_id, due_at, account_id, outcome, asked, message_ids, fired_at) values ($1, now(), $2, 'fired', false, array[$3::uuid], now())";
    client.execute(fire, &[&schedule, &world.account.0, &id.0]).await.unwrap();
    let running = async || -> bool { client.query_one("select tikku.schedule_is_running($1)", &[&schedule]).await.unwrap().get(0) };
    assert!(running().await, "the message is not over");
    let answers = world.store.message_start(&[id]).await.unwrap();
    let [(_, Started::Run { id: run, .. })] = &answers[..] else { panic!("{answers:?}") };
    world.store.message_settle("w", 5, &[(settlement, at)]).await.unwrap();
    assert!(world.state(id).await == "delivered" && running().await, "the run is not over");
    let row = client.query_one("select started_how, source_id from tikku.run_content where run_id = $1", &[&run.0]).await.unwrap();
    assert_eq!((row.get::<_, String>(0).as_str(), row.get::<_, Uuid>(1)), ("schedule", schedule));
    client.query("select tikku.run_end($1, 'completed', 'null', null, tikku.clock_fresh())", &[&run.0]).await.unwrap();
    assert!(!running().await);
}

#[tokio::test]
async fn the_answer_of_a_call_is_an_entry_and_wakes_the_run() {
    let (world, client) = served("fetch_answer").await;
    let (run, message) = fetching(&world, &client).await;
    let job = job(&world, message).await;
    assert_eq!((job.fetch, job.url.as_str()), (Some(Fetch::Awaited), "https://example.com/api"));
    let shown = world.store.message_get(world.account, message).await.unwrap().unwrap();
    assert_eq!((shown.run, shown.step.as_deref()), (Some(RunId(run).to_string()), Some("call#0")));
    let settled = world.store.message_settle("w", 5, &[answered(&job)]).await.unwrap();
    assert_eq!((settled.ids, runs(&settled.kicks)), (vec![message], vec![run]));
    let expected = Some(("ok".to_owned(), Some(r#"{"status":200}"#.to_owned()), None));
    assert_eq!((entry(&client, run).await, state_of(&client, run).await.as_str()), (expected.clone(), "queued"));
    // The answer to the settlement was lost: it is sent again, with something else even.
    let (other, at) = answered(&job);
    let other = Settlement { fetched: Some(Fetched::Error(r#"{"name":"FetchError","message":"x"}"#.to_owned())), ..other };
    let settled = world.store.message_settle("w", 5, &[(other, at)]).await.unwrap();
    assert_eq!((settled.ids, runs(&settled.kicks).len(), entry(&client, run).await), (vec![message], 0, expected));
}

#[tokio::test]
async fn a_call_without_an_answer_is_an_error_of_the_step() {
    let (world, client) = served("fetch_error").await;
    let (run, message) = fetching(&world, &client).await;
    let job = job(&world, message).await;
    let settlement = message::settle(
        &Job { attempts: 1, ..job },
        message::Outcome { duration_ms: 1, result: message::Reply::failed(message::Failure::Connect, "no connection") },
        0,
    );
    assert_eq!(settlement.verdict, Verdict::Failed);
    let settled = world.store.message_settle("w", 5, &[(settlement, 1)]).await.unwrap();
    assert_eq!(runs(&settled.kicks), [run]);
    let (state, value, error) = entry(&client, run).await.unwrap();
    assert_eq!((state.as_str(), value, error.as_deref()), ("error", None, Some(r#"{"message":"no connection","name":"FetchError"}"#)));
}

#[tokio::test]
async fn a_call_that_is_cancelled_or_lost_too_often_is_an_error_of_the_step() {
    let (world, client) = served("fetch_cancelled").await;
    let (run, message) = fetching(&world, &client).await;
    world.store.message_cancel(world.account, message).await.unwrap();
    let (state, _, error) = entry(&client, run).await.unwrap();
    assert_eq!((state.as_str(), error.unwrap().contains("cancelled")), ("error", true));
    let tick = "select state = 'queued' and kick_until <= tikku.clock_now() from tikku.run where id = $1";
    assert!(client.query_one(tick, &[&run]).await.unwrap().get::<_, bool>(0), "tick hands it over at once");

    // Cancelled while a push is under way: what that comes to decides.
    let (run, message) = fetching(&world, &client).await;
    let pushed = job(&world, message).await;
    world.store.message_cancel(world.account, message).await.unwrap();
    assert_eq!(entry(&client, run).await, None);
    let failed = message::Outcome { duration_ms: 1, result: message::Reply::failed(message::Failure::Connect, "no connection") };
    let settled = world.store.message_settle("w", 5, &[(message::settle(&pushed, failed, 0), 1)]).await.unwrap();
    assert_eq!((world.state(message).await.as_str(), runs(&settled.kicks)), ("cancelled", vec![run]));
    assert_eq!(entry(&client, run).await.unwrap().0, "error");

    // Cancelled and then given back unsent.
    let (run, message) = fetching(&world, &client).await;
    let held = job(&world, message).await;
    world.store.message_cancel(world.account, message).await.unwrap();
    assert_eq!(runs(&world.store.message_release(&[(message, held.fence)]).await.unwrap()), [run]);
    assert_eq!(entry(&client, run).await.unwrap().0, "error");

    let (run, message) = fetching(&world, &client).await;
    client.execute("update tikku.message set lost = 29 where id = $1", &[&message.0]).await.unwrap();
    job(&world, message).await;
    let reaped = world.later(100).message_reap(10).await.unwrap();
    assert_eq!((world.state(message).await.as_str(), runs(&reaped.kicks)), ("failed", vec![run]));
    let (state, _, error) = entry(&client, run).await.unwrap();
    assert_eq!((state.as_str(), error.unwrap().contains("lost")), ("error", true));
}

#[tokio::test]
async fn a_call_whose_run_is_over_is_not_made() {
    let (world, client) = served("fetch_abandoned").await;
    let (run, message) = fetching(&world, &client).await;
    client.query("select tikku.run_end($1, 'cancelled', null, null, tikku.clock_fresh())", &[&run]).await.unwrap();
    let job = job(&world, message).await;
    assert_eq!(job.fetch, Some(Fetch::Abandoned));
    let settled = world.store.message_settle("w", 5, &[(message::abandon(&job), 1)]).await.unwrap();
    assert_eq!((world.state(message).await.as_str(), settled.kicks, entry(&client, run).await), ("cancelled", vec![], None));
}

#[tokio::test]
async fn an_answer_that_waited_for_the_end_of_its_run_is_ignored() {
    let (world, client) = served("race_fetch_end").await;
    let (run, message) = fetching(&world, &client).await;
    let job = job(&world, message).await;
    let blocker = world.client().await;
    blocker.batch_execute("begin").await.unwrap();
    blocker.query("select 1 from tikku.run where id = $1 for update", &[&run]).await.unwrap();
    let (store, settlement) = (world.store.clone(), answered(&job));
    let settle = tokio::spawn(async move { store.message_settle("w", 5, &[settlement]).await.unwrap() });
    world.somebody_waits().await;
    blocker.query("select tikku.run_end($1, 'cancelled', null, null, tikku.clock_fresh())", &[&run]).await.unwrap();
    blocker.batch_execute("commit").await.unwrap();
    let settled = settle.await.unwrap();
    assert_eq!((settled.ids, settled.kicks, entry(&client, run).await), (vec![message], vec![], None));
    assert_eq!(state_of(&client, run).await, "cancelled");
}

#[tokio::test]
async fn two_answers_that_wait_for_a_run_are_both_entries() {
    let (world, client) = served("race_fetch_two").await;
    let (run, message) = fetching(&world, &client).await;
    let job = job(&world, message).await;
    let blocker = world.client().await;
    blocker.batch_execute("begin").await.unwrap();
    blocker.query("select 1 from tikku.run where id = $1 for update", &[&run]).await.unwrap();
    let (store, settlement) = (world.store.clone(), answered(&job));
    let settle = tokio::spawn(async move { store.message_settle("w", 5, &[settlement]).await.unwrap() });
    world.somebody_waits().await;
    // Another fact takes the number that the entry would have had.
    blocker.query("select tikku.run_fact($1, 'other#0', 'signal', 'ok', 'null', null, null)", &[&run]).await.unwrap();
    blocker.batch_execute("commit").await.unwrap();
    assert_eq!(runs(&settle.await.unwrap().kicks), [run]);
    let rows = client.query("select seq, key from tikku.entry where run_id = $1 order by seq", &[&run]).await.unwrap();
    let entries: Vec<(i32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(entries, [(1, "other#0".to_owned()), (2, "call#0".to_owned())]);
}

#[tokio::test]
async fn a_copy_of_a_call_is_a_message_like_any_other() {
    let (world, client) = served("fetch_resend").await;
    let (run, message) = fetching(&world, &client).await;
    let (copy, _) = world.store.message_resend(world.account, message).await.unwrap().unwrap();
    assert_eq!(job(&world, copy).await.fetch, None);
    assert_eq!(started(&world.store.message_load(&[message], 100, BYTES).await.unwrap()).len(), 1);
    assert_eq!(entry(&client, run).await, None);
}

#[tokio::test]
async fn a_workflow_is_the_same_destination_by_sql_and_over_http() {
    let (world, client) = served("sql_workflow").await;
    let id = published(&world, r#"{"workflow": "order-flow", "body": {"a": 1}, "idempotencyKey": "k"}"#).await;
    client.execute("insert into tikku.database_role (role_name, account_id) values (session_user, $1)", &[&world.account.0]).await.unwrap();
    let publish =
        async |args: &str| client.query_one(&format!("select tikku.publish({args})"), &[]).await.map(|row| row.get::<_, String>(0));
    let again = publish(r#"workflow => 'order-flow', body => '{"a": 1}', idempotency_key => 'k'"#).await.unwrap();
    assert_eq!(again, id.to_string(), "jsonb writes this body as it is above");
    assert_eq!(publish("workflow => 'other', idempotency_key => 'k'").await.unwrap_err().code().unwrap().code(), "23505");
    let sql =
        publish("workflow => 'order-flow', callback_workflow => 'done', failure_callback_url => 'https://example.com/f'").await.unwrap();
    let shown = world.store.message_get(world.account, sql.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((shown.url, shown.workflow.as_deref()), (None, Some("order-flow")));
    assert_eq!((shown.callback_url, shown.callback_workflow.as_deref()), (None, Some("done")));
    assert_eq!((shown.failure_callback_url.as_deref(), shown.failure_callback_workflow), (Some("https://example.com/f"), None));
    for (args, said) in [
        ("workflow => '.w'", "workflow must be the name of a workflow"),
        ("workflow => 'w', url => 'https://example.com'", "workflow and url exclude each other"),
        ("workflow => 'w', fanout => 'f'", "fanout and workflow exclude each other"),
        ("workflow => 'w', method => 'PUT'", "method has no meaning with workflow"),
        ("workflow => 'w', headers => '{\"a\": \"b\"}'", "headers has no meaning with workflow"),
        ("'workflow:w'", "url must begin with https://"),
        (
            "'https://example.com', callback_workflow => 'w', callback_url => 'https://example.com'",
            "callback_workflow and callback_url exclude",
        ),
    ] {
        let error = publish(args).await.unwrap_err();
        let message = error.as_db_error().unwrap().message().to_owned();
        assert!(error.code().unwrap().code() == "22023" && message.contains(said), "{args}: {message}");
    }
}
