//! Starting and signalling runs by SQL, in the transaction of whoever does; and retention of runs. Out of scope: rights of the other entrances
//! (`sql_rights.rs`).

use serde_json::json;
use tikku_domain::ids::RunId;
use tikku_store::{RunPrunePlace, Store};
use tokio_postgres::{Client, NoTls};

use crate::run_bed::{Bed, awaiting, done};
use crate::run_desk::{Hold, lease, parked, play, result_op, settle, signal_op, try_lease};

async fn text(client: &Client, sql: &str) -> Result<String, String> {
    let row = client.query_one(&format!("select ({sql})::text"), &[]).await;
    row.map(|row| row.get(0))
        .map_err(|error| error.as_db_error().map(|e| format!("{} {}", e.code().code(), e.message())).unwrap_or_default())
}

/// What tick does with signals.
async fn intake(bed: &Bed) -> Vec<RunId> {
    let mut woken = Vec::new();
    loop {
        let taken = bed.ctx.store.signal_intake_apply(100).await.unwrap();
        woken.extend(tikku_store::Kick::runs(&taken.kicks));
        if taken.rows == 0 {
            return woken;
        }
    }
}

#[tokio::test]
async fn a_run_started_by_sql_is_there_with_its_transaction() {
    let bed = Bed::new("rsql_start", []).await;
    let user = bed.world.client().await;
    for end in ["rollback", "commit"] {
        user.batch_execute("begin").await.unwrap();
        let id = text(&user, "tikku.start_run('flow', '{\"a\": 1}', id => 'o1', labels => '{vip}')").await.unwrap();
        text(&user, &format!("tikku.signal('{id}', 'hello', '[1]')")).await.unwrap();
        assert_eq!(bed.ctx.store.run_claim(100).await.unwrap().rows, 0, "not committed yet");
        user.batch_execute(end).await.unwrap();
        let claimed = tikku_store::Kick::runs(&bed.ctx.store.run_claim(100).await.unwrap().kicks);
        assert_eq!(claimed.iter().map(RunId::to_string).collect::<Vec<_>>(), if end == "commit" { vec![id.clone()] } else { vec![] });
    }
    let id = bed.ctx.store.run_find(bed.world.account, "flow", "o1").await.unwrap().unwrap();
    let run = bed.ctx.store.run_get(bed.world.account, id, None).await.unwrap().unwrap();
    assert_eq!((run.run.started_how.as_str(), run.run.labels[0].as_str(), run.input.unwrap().get()), ("sql", "vip", "{\"a\": 1}"));
    assert_eq!(text(&user, "tikku.start_run('flow', '{\"a\": 1}', id => 'o1')").await.unwrap(), id.to_string());
    let other = text(&user, "tikku.start_run('flow', '2', id => 'o1')").await.unwrap_err();
    assert!(other.starts_with("23505 tikku.start_run: the id or idempotency_key belongs to run_"), "{other}");
}

#[tokio::test]
async fn what_is_wrong_with_a_start_by_sql_is_named() {
    let bed = Bed::new("rsql_wrong", []).await;
    bed.serve("bounced", "1", r#"{"debounce": {"seconds": 5}}"#).await;
    bed.serve("pushy", "1", r#"{"singleton": {"mode": "cancel"}}"#).await;
    bed.serve("single", "1", r#"{"singleton": {}}"#).await;
    let cases = [
        ("tikku.start_run(null)", "22023 tikku.start_run: workflow is required"),
        ("tikku.start_run('none')", "22023 tikku.start_run: no app serves none"),
        ("tikku.start_run('flow', version => '9')", "22023 tikku.start_run: no app serves flow version 9"),
        ("tikku.start_run('flow', delay_seconds => -1)", "22023 tikku.start_run: delay_seconds must be an integer from 0 to 315360000"),
        ("tikku.start_run('flow', id => '')", "22023 tikku.start_run: id must be text of 1 to 255 characters"),
        ("tikku.start_run('flow', labels => array_fill('x'::text, '{11}'))", "22023 tikku.start_run: labels must be at most 10"),
        ("tikku.start_run('bounced')", "22023 tikku.start_run: bounced has a debounce"),
        ("tikku.start_run('pushy')", "22023 tikku.start_run: pushy has the singleton mode cancel"),
        ("tikku.signal('run_1', 's')", "22023 tikku.signal: run does not exist"),
        ("tikku.signal('run_00000000000000000000000000000001', 's')", "22023 tikku.signal: run does not exist"),
        ("tikku.signal(null, 's')", "22023 tikku.signal: run does not exist"),
    ];
    for (sql, expected) in cases {
        let error = text(&bed.client, sql).await.unwrap_err();
        assert!(error.starts_with(expected), "{sql}: {error}");
    }
    let first = text(&bed.client, "tikku.start_run('single')").await.unwrap();
    assert_eq!(text(&bed.client, "tikku.start_run('single')").await.unwrap(), first);
}

/// A long transaction of a user must not stop anybody.
#[tokio::test]
async fn a_start_and_a_signal_by_sql_lock_nothing_that_was_there() {
    let bed = Bed::new("rsql_locks", []).await;
    bed.serve("flow", "1", r#"{"concurrency": {"limit": 1}}"#).await;
    let id = parked(&bed, json!([signal_op("s#0", "s")]), json!("s#0")).await;
    let user = bed.world.client().await;
    user.batch_execute("begin").await.unwrap();
    text(&user, &format!("tikku.signal('{id}', 's')")).await.unwrap();
    text(&user, "tikku.start_run('flow', id => 'o1')").await.unwrap();
    for table in ["account", "app", "workflow", "run", "run_content", "waiter", "gate", "event_name"] {
        let sql = format!("select count(*) from (select 1 from tikku.{table} for update nowait) x");
        assert!(text(&bed.client, &format!("({sql})")).await.is_ok(), "{table}");
    }
    user.batch_execute("commit").await.unwrap();
    assert_eq!(intake(&bed).await, [id]);
}

#[tokio::test]
async fn a_signal_by_sql_counts_before_the_timeout_although_tick_has_not_come_by() {
    let wait = awaiting(json!([{ "op": "signal", "key": "s#0", "name": "s", "timeoutMs": 60_000 }]), json!("s#0"));
    let bed = Bed::new("rsql_timeout", [wait, done()]).await;
    let id = bed.start().await;
    bed.dispatch(id).await;
    text(&bed.client, &format!("tikku.signal('{id}', 's', '7')")).await.unwrap();
    bed.dispatch_later(61, id).await;
    assert_eq!(bed.request(1)["journal"]["entries"], json!([{ "seq": 1, "key": "s#0", "kind": "signal", "state": "ok", "value": 7 }]));
}

#[tokio::test]
async fn signals_by_sql_come_in_their_order_and_not_to_runs_that_are_over() {
    let bed = Bed::new("rsql_signal", []).await;
    let store = &bed.ctx.store;
    let id = parked(&bed, json!([signal_op("s#0", "s"), signal_op("s#1", "s")]), json!({ "all": ["s#0", "s#1"] })).await;
    let over = bed.start().await;
    for value in 1..=3 {
        assert_eq!(text(&bed.client, &format!("tikku.signal('{id}', 's', '{value}')")).await.unwrap(), "true");
    }
    text(&bed.client, &format!("tikku.signal('{over}', 's', '1')")).await.unwrap();
    store.run_cancel(bed.world.account, over).await.unwrap();
    assert_eq!(text(&bed.client, &format!("tikku.signal('{over}', 's', '1')")).await.unwrap(), "false");
    assert!(store.tick_look().await.unwrap().signal);
    assert_eq!(intake(&bed).await, [id]);
    assert!(!store.tick_look().await.unwrap().signal);
    let values: Vec<_> = bed.journal(id).await.into_iter().map(|row| row.value.unwrap()).collect();
    assert_eq!(values, ["1", "2"]);
    play(store, id, json!([signal_op("s#2", "s")]), json!("s#2")).await;
    assert_eq!(bed.journal(id).await[2].value.as_deref(), Some("3"));
    assert_eq!(bed.count("select count(*) from tikku.signal where run_id = $1", over).await, 0);
}

#[tokio::test]
async fn a_signal_by_sql_follows_a_run_that_goes_on_as_another() {
    let bed = Bed::new("rsql_continue", []).await;
    let store = &bed.ctx.store;
    let old = bed.start().await;
    let first = lease(store, old).await;
    text(&bed.client, &format!("tikku.signal('{old}', 's', '1')")).await.unwrap();
    let mut end = first.over("continue", Some("2"), None);
    end.ops[0].detail = Some("{}".to_owned());
    assert!(settle(store, &end).await);
    assert_eq!(text(&bed.client, &format!("tikku.signal('{old}', 's', '2')")).await.unwrap(), "true");
    intake(&bed).await;
    let new = RunId(bed.column(old, "continued_by").await.parse().unwrap());
    play(store, new, json!([signal_op("s#0", "s"), signal_op("s#1", "s")]), json!({ "all": ["s#0", "s#1"] })).await;
    let values: Vec<_> = bed.journal(new).await.into_iter().map(|row| row.value.unwrap()).collect();
    assert_eq!((values, bed.state(new).await.as_str()), (vec!["1".to_owned(), "2".to_owned()], "queued"));
}

#[tokio::test]
async fn a_role_may_call_what_it_was_granted_and_nothing_beneath() {
    let bed = Bed::new("rsql_role", []).await;
    let grants = "create role rsql_user login; grant usage on schema tikku to rsql_user; grant execute on function tikku.start_run, tikku.signal to rsql_user";
    bed.client.batch_execute(grants).await.unwrap();
    let url = bed.world.url.replace("postgres:postgres@", "rsql_user:x@");
    let (user, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let id = text(&user, "tikku.start_run('flow')").await.unwrap();
    assert_eq!(text(&user, &format!("tikku.signal('{id}', 's')")).await.unwrap(), "true");
    let sql = "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'tikku' and has_function_privilege('rsql_user', p.oid, 'execute') order by 1";
    let may: Vec<String> = bed.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(may, ["tikku.signal(text,text,jsonb)", "tikku.start_run(text,jsonb,text,text,text,bigint,text[])",]);
}

async fn prune(store: &Store) -> (u64, usize) {
    let (mut place, mut pruned, mut bites) = (RunPrunePlace::default(), 0, 0);
    loop {
        let (bite, next) = store.prune_runs(&place).await.unwrap();
        pruned += bite.messages;
        bites += 1;
        assert!(bites < 100);
        match next {
            Some(next) => place = next,
            None => return (pruned, bites),
        }
    }
}

#[tokio::test]
async fn runs_that_are_over_go_after_their_retention_with_all_that_is_theirs() {
    let bed = Bed::new("rsql_prune", []).await;
    let store = &bed.ctx.store;
    let old = parked(&bed, json!([result_op("a#0"), signal_op("s#0", "s")]), json!("s#0")).await;
    text(&bed.client, &format!("tikku.signal('{old}', 'other')")).await.unwrap();
    intake(&bed).await;
    store.run_cancel(bed.world.account, old).await.unwrap();
    let live = parked(&bed, json!([result_op("a#0"), signal_op("s#0", "s")]), json!("s#0")).await;
    let event = tikku_store::NewEvent { name: "e", data: b"1", external_id: None };
    let tikku_store::EventPut::Accepted { id: event } = store.event_publish(bed.world.account, &event).await.unwrap() else { panic!() };
    store.event_apply(bed.world.account, event).await.unwrap();
    assert_eq!(prune(store).await.0, 0);
    let later = bed.world.later(400 * 86_400);
    assert_eq!(prune(&later).await.0, 2);
    for (table, column) in [("run", "id"), ("run_content", "run_id"), ("entry", "run_id"), ("signal", "run_id"), ("approval", "run_id")] {
        assert_eq!(bed.count(&format!("select count(*) from tikku.{table} where {column} = $1"), old).await, 0, "{table}");
    }
    assert_eq!((bed.state(live).await.as_str(), bed.keys(live).await.len()), ("waiting", 1));
    assert!(store.event_get(bed.world.account, event).await.unwrap().is_none());
}

#[tokio::test]
async fn a_large_run_goes_bite_by_bite_and_is_seen_no_more_after_the_first() {
    let bed = Bed::new("rsql_prune_large", []).await;
    let (store, account) = (&bed.ctx.store, bed.world.account);
    let id = bed.start().await;
    let first = lease(store, id).await;
    settle(store, &first.over("done", Some("1"), None)).await;
    let fill = "insert into tikku.entry (run_id, seq, key, kind, state, value, fence, at) select $1, g, 'k#' || g, 'run', 'ok', '1', 1, tikku.clock_now() from generate_series(1, 7000) g";
    bed.client.execute(fill, &[&id.0]).await.unwrap();
    bed.client.execute("update tikku.run set next_seq = 7001, planned = 7000", &[]).await.unwrap();
    let later = bed.world.later(400 * 86_400);
    let (bite, place) = later.prune_runs(&RunPrunePlace::default()).await.unwrap();
    assert_eq!((bite.messages, bed.count("select count(*) from tikku.entry where run_id = $1", id).await), (0, 4_000));
    assert!(store.run_get(account, id, None).await.unwrap().is_none() && try_lease(store, id).await.is_none());
    assert_eq!(store.run_retry(account, id).await.unwrap(), tikku_store::RunControl::Missing);
    assert!(place.is_some());
    assert_eq!(prune(&later).await.0, 1);
    assert_eq!(bed.count("select count(*) from tikku.entry where run_id = $1", id).await, 0);
}

#[tokio::test]
async fn retention_waits_for_nobody() {
    let bed = Bed::new("rsql_prune_held", []).await;
    let (held, free) = (bed.start().await, bed.start().await);
    for id in [held, free] {
        bed.ctx.store.run_cancel(bed.world.account, id).await.unwrap();
    }
    let later = bed.world.later(400 * 86_400);
    for row in ["tikku.run where id", "tikku.run_content where run_id"] {
        let hold = Hold::row(&bed, &format!("select 1 from {row} = '{}' for update", held.0)).await;
        assert_eq!(prune(&later).await.0, u64::from(row.starts_with("tikku.run ")));
        assert_eq!(bed.state(held).await, "cancelled");
        hold.release_for(&bed, 0).await;
    }
    assert_eq!(prune(&later).await.0, 1);
}
