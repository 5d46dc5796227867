//! Each loop's statement uses its index although 1,000,000 finished rows are present.

use tikku_store::{Store, statements};
use tokio_postgres::Client;

use crate::world::World;

const ROWS: i32 = 1_000_000;

async fn fill(world: &World, client: &Client) {
    let sql = format!(
        "create temp table ids as select n, tikku.new_id() as id from generate_series(1, {ROWS}) n;
         insert into tikku.message (id, account_id, state, due_at, finished_at, max_attempts, timeout_ms)
           select id, '{account}', case when n % 1000 = 0 then 'failed' else 'delivered' end, tikku.clock_now(), tikku.clock_now(), 5, 30000 from ids;
         insert into tikku.message_content (account_id, message_id, created_at, url, method, headers, backoff, labels)
           select '{account}', id, tikku.clock_now(), 'https://example.com/' || n % 100, 'POST', '[]', '{{}}', '{{}}' from ids;
         insert into tikku.attempt (message_id, number, fence, started_at, duration_ms, status, worker)
           select id, 1, 1, tikku.clock_now(), 5, 200, 'w' from ids;",
        account = world.account.0
    );
    client.batch_execute(&sql).await.unwrap();
    for _ in 0..50 {
        world.message().await;
    }
    client.batch_execute("analyze tikku.message; analyze tikku.message_content; analyze tikku.attempt").await.unwrap();
}

/// The plan of a statement with its parameters written in.
async fn plan(client: &Client, name: &str, params: &[&str]) -> String {
    let sql = statements::ALL.iter().find(|sql| sql.starts_with(&format!("-- {name}\n"))).unwrap();
    let mut text = (*sql).to_owned();
    for (index, value) in params.iter().enumerate().rev() {
        text = text.replace(&format!("${}", index + 1), value);
    }
    let rows = client.query(&format!("explain {text}"), &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_loop_uses_its_index_beside_a_million_finished_rows() {
    let world = World::new("plans").await;
    let client = world.client().await;
    fill(&world, &client).await;
    let account = format!("'{}'::uuid", world.account.0);
    let account = account.as_str();
    let list = |fanout, schedule, status| vec![account, "null", "null", "null", "null", fanout, schedule, status, "null", "51", "5000"];
    let of_state = |status| vec![account, "'nope'", "null", "null", "null", "null", "null", status, "null", "51", "5000"];
    let of_fanout = |fanout, schedule| vec![account, "null", "null", "null", "null", fanout, schedule, "null", "5000"];
    let cases: [(&str, Vec<&str>, &str); 17] = [
        ("message::claim", vec!["100"], "message_kick"),
        ("tick::look", vec![], "message_kick"),
        ("message::list_state", of_state("'failed'"), "message_failed"),
        ("message::list_state", of_state("'cancelled'"), "message_state"),
        ("message::list_leased", of_state("'delivering'"), "message_lease"),
        ("message::list_due", of_state("'queued'"), "message_kick"),
        ("message::due_few", vec![account, "10001"], "message_kick"),
        ("message::list", list("null", "null", "'delivered'"), "message_content_pkey"),
        ("message::list", list("null", "null", "null"), "message_content_pkey"),
        ("message::list", list("'f'", "null", "null"), "message_content_fanout"),
        ("message::list", list("null", account, "null"), "message_content_schedule"),
        ("message::counts", vec![account, "10001"], "message_state"),
        ("message::counts", vec![account, "10001"], "message_finished"),
        ("message::counts_narrow", of_fanout("'f'", "null"), "message_content_fanout"),
        ("message::counts_narrow", of_fanout("null", account), "message_content_schedule"),
        ("message::counts_state", vec![account, "'nope'", "null", "null", "null", "null", "null", "'failed'", "5000"], "message_failed"),
        ("overview::now", vec![account, "10001"], "message_kick"),
    ];
    for (name, params, index) in cases {
        let plan = plan(&client, name, &params).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan on message"), "{name} {params:?}\n{plan}");
    }
    functions_scan_nothing(&world, &client).await;
}

/// What runs inside functions has no plan to look at: the tables' own counters tell.
async fn functions_scan_nothing(world: &World, client: &Client) {
    let store: &Store = &world.store;
    let id = world.message().await;
    let bulk = |function: &str, url: &str| {
        format!("select * from tikku.{function}('{}', null, 1000, null, {url}, null, null, null, null, null)", world.account.0)
    };
    let calls = [
        format!("select * from tikku.message_lease(array['{}'::uuid], 100, 1000)", id.0),
        format!(
            "select * from tikku.message_settle(array['{}'::uuid], '{{1}}', '{{delivered}}', '{{f}}', '{{f}}', '{{0}}', '{{0}}', '{{0}}', '{{200}}', '{{null}}', '{{[]}}', '{{null}}', '{{null}}', null, null, 'w', 1)",
            id.0
        ),
        "select * from tikku.lease_reap(100, 30, 900000)".to_owned(),
        format!("select * from tikku.message_start(array['{}'::uuid], 900000)", id.0),
        format!("select * from tikku.message_release(array['{}'::uuid], '{{1}}')", id.0),
        format!("select * from tikku.fetch_end(array['{}'::uuid], null, null)", id.0),
        format!("select tikku.message_cancel('{}', '{}')", world.account.0, id.0),
        format!("select tikku.message_retry('{}', '{}')", world.account.0, id.0),
        format!("select * from tikku.overview_buckets('{}', 60000, 60, 250)", world.account.0),
        format!("select * from tikku.overview_sample('{}', array[0::bigint], 9000000000000, array[100::bigint], 500)", world.account.0),
        bulk("message_retry_many", "'nope'"),
        bulk("message_delete_many", "'nope'"),
        bulk("message_cancel_many", "'nope'"),
        bulk("message_retry_many", "null"),
        format!("select * from tikku.message_prune('{}', '-infinity', 250, 3000)", world.account.0),
    ];
    for call in calls {
        client.batch_execute("begin").await.unwrap();
        client.query(call.as_str(), &[]).await.unwrap();
        let sql = "select coalesce(sum(seq_scan), 0)::int8 from pg_stat_xact_user_tables where schemaname = 'tikku' and relname in ('message', 'message_content', 'attempt')";
        let scans: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        client.batch_execute("commit").await.unwrap();
        assert_eq!(scans, 0, "{call}");
    }
    assert_eq!(store.message_get(world.account, id).await.unwrap().unwrap().status, "delivered");
}
