//! Publishing by SQL from other people's sessions: whose account, which rights, what is locked, and what strange sessions change.
//!
//! Out of scope: the arguments (`sql_api.rs`).

use tikku_store::{Published, Store};
use tokio_postgres::{Client, NoTls};

use crate::sql_api::{count, fanout, publish, value};
use crate::world::World;

/// Makes a role of this name that may call what is granted to publishers, and logs in as it.
async fn publisher(world: &World, role: &str) -> Client {
    let grants = format!(
        "create role {role} login; grant usage on schema tikku to {role}; grant execute on function tikku.publish, tikku.publish_batch to {role}"
    );
    world.client().await.batch_execute(&grants).await.unwrap();
    login(world, role).await
}

async fn login(world: &World, role: &str) -> Client {
    let url = world.url.replace("postgres:postgres@", &format!("{role}:x@"));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn claimed(store: &Store) -> usize {
    store.message_claim(100).await.unwrap().rows
}

#[tokio::test]
async fn tick_hands_over_what_was_committed_and_nothing_else() {
    let world = World::new("sql_commit").await;
    let client = world.client().await;
    client.batch_execute(&fanout(&world, "f", &["https://example.com/1", "https://example.com/2"])).await.unwrap();
    for (end, messages) in [("rollback", 0), ("commit", 5)] {
        client.batch_execute("begin").await.unwrap();
        publish(&client, "'https://example.com/', '1'").await;
        publish(&client, "fanout => 'f'").await;
        publish(&client, "'https://example.com/', '1', delay_seconds => 60").await;
        value(&client, r#"tikku.publish_batch('[{"url": "https://example.com/"}]')"#).await.unwrap();
        client.batch_execute("savepoint s").await.unwrap();
        publish(&client, "'https://example.com/', '2'").await;
        client.batch_execute("rollback to s").await.unwrap();
        assert!(!world.store.tick_look().await.unwrap().kick, "not committed yet");
        client.batch_execute(end).await.unwrap();
        assert_eq!(world.store.tick_look().await.unwrap().kick, messages > 0);
        assert_eq!((claimed(&world.store).await, count(&client).await), (messages, 2 * messages as i64), "{end}");
    }
}

/// A long transaction of a user must not stop anybody: every row that was there before can be locked at once.
#[tokio::test]
async fn a_publish_locks_no_row_and_reads_no_whole_table() {
    let world = World::new("sql_locks").await;
    let (user, other) = (world.client().await, world.client().await);
    user.batch_execute(&fanout(&world, "f", &["https://example.com/1", "https://example.com/2"])).await.unwrap();
    user.batch_execute(&format!("insert into tikku.flow (account_id, key, waiting) values ('{}', 'k', true)", world.account.0))
        .await
        .unwrap();
    user.batch_execute(&format!("insert into tikku.database_role values ('postgres', '{}')", world.account.0)).await.unwrap();
    let Published::Accepted { id, .. } = world.publish(r#"{"url": "https://example.com/", "idempotencyKey": "old"}"#).await else {
        panic!()
    };
    user.batch_execute("begin").await.unwrap();
    let flow = r#"flow_control => '{"key": "k", "parallelism": 1}'"#;
    publish(&user, &format!("'https://example.com/', {flow}, idempotency_key => 'new'")).await;
    publish(&user, &format!("fanout => 'f', {flow}")).await;
    value(&user, r#"tikku.publish_batch('[{"fanout": "f"}, {"url": "https://example.com/", "flow_control": {"key": "k"}}]')"#)
        .await
        .unwrap();
    assert_eq!(publish(&user, "'https://example.com/', idempotency_key => 'old'").await, id);

    let scans = "select coalesce(sum(seq_scan), 0)::int8 from pg_stat_xact_user_tables where schemaname = 'tikku'";
    assert_eq!(user.query_one(scans, &[]).await.unwrap().get::<_, i64>(0), 0);
    let tables = "select relname::text from pg_class where relnamespace = 'tikku'::regnamespace and relkind = 'r'";
    let mut rows = 0;
    for table in other.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let lock = format!("select 1 from tikku.{table} for update nowait");
        rows += other.query(&lock, &[]).await.unwrap_or_else(|e| panic!("{table}: {e:?}")).len();
    }
    assert!(rows > 8, "there were rows to lock");
    user.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn a_publish_waits_for_one_with_the_same_key_and_gets_its_id() {
    let world = World::new("sql_race").await;
    let (first, second) = (world.client().await, world.client().await);
    let mut old = None;
    for end in ["rollback", "commit"] {
        first.batch_execute("begin").await.unwrap();
        let id = publish(&first, "'https://example.com/', '1', idempotency_key => 'k'").await;
        let racer = publish(&second, "'https://example.com/', '1', idempotency_key => 'k'");
        let (answer, ()) = futures_util::future::join(racer, async {
            world.somebody_waits().await;
            first.batch_execute(end).await.unwrap();
        })
        .await;
        assert_eq!(answer == id, end == "commit");
        assert_ne!(Some(answer), old);
        old = Some(answer);
        if end == "rollback" {
            // The second has its own now, which must go for the next round.
            second.batch_execute("delete from tikku.message; delete from tikku.message_content").await.unwrap();
        }
    }
    assert_eq!(count(&first).await, 2);
}

#[tokio::test]
async fn a_key_that_a_snapshot_cannot_see_ends_the_transaction_to_be_run_again() {
    let world = World::new("sql_snapshot").await;
    let (first, second) = (world.client().await, world.client().await);
    first.batch_execute("begin isolation level repeatable read; select 1 from tikku.account").await.unwrap();
    let id = publish(&second, "'https://example.com/', idempotency_key => 'k'").await;
    let error = value(&first, "tikku.publish('https://example.com/', idempotency_key => 'k')").await.unwrap_err();
    assert!(error.starts_with("40001"), "{error}");
    first.batch_execute("rollback; begin isolation level repeatable read").await.unwrap();
    assert_eq!(publish(&first, "'https://example.com/', idempotency_key => 'k'").await, id);
    first.batch_execute("commit").await.unwrap();
}

#[tokio::test]
async fn batches_with_the_same_keys_in_opposite_orders_do_not_deadlock() {
    let world = World::new("sql_batches").await;
    let (first, second) = (world.client().await, world.client().await);
    for round in 0..20 {
        let batch = |order: &str| {
            format!(
                "array_to_string(array(select unnest(tikku.publish_batch((
                   select jsonb_agg(jsonb_build_object('url', 'https://example.com/', 'idempotency_key', 'k{round} ' || n) order by n {order}) from generate_series(1, 100) n))) order by 1), ',')"
            )
        };
        let (up, down) = (batch("asc"), batch("desc"));
        let (a, b) = futures_util::future::join(value(&first, &up), value(&second, &down)).await;
        assert_eq!(a.unwrap(), b.unwrap(), "round {round}");
    }
    assert_eq!(count(&first).await, 4000);
}

#[tokio::test]
async fn a_role_publishes_for_its_account_else_for_the_only_one() {
    let world = World::new("sql_account").await;
    let owner = world.client().await;
    owner.batch_execute("delete from tikku.api_key; delete from tikku.signing_secret; delete from tikku.account").await.unwrap();
    let client = publisher(&world, "sql_account_shop").await;
    assert!(
        value(&client, "tikku.publish('https://example.com/')").await.unwrap_err().starts_with("55000: tikku.publish: there is no account")
    );

    let one = world.store.account_create("one").await.unwrap().unwrap().id;
    let whose = "select c.account_id from tikku.message_content c where c.message_id = $1";
    let id = publish(&client, "'https://example.com/'").await;
    assert_eq!(owner.query_one(whose, &[&id.0]).await.unwrap().get::<_, uuid::Uuid>(0), one.0);

    let two = world.store.account_create("two").await.unwrap().unwrap().id;
    for call in ["tikku.publish('https://example.com/')", r#"tikku.publish_batch('[{"url": "https://example.com/"}]')"#] {
        let error = client.query_one(&format!("select {call}"), &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert!(
            error.code().code() == "42501"
                && error.message().ends_with("there are several accounts, and the role sql_account_shop has none"),
            "{error}"
        );
        let remedy = error.hint().unwrap().replace("'...'", "'two'");
        assert!(remedy.starts_with("insert into tikku.database_role"), "{remedy}");
        owner.batch_execute("delete from tikku.database_role").await.unwrap();
        owner.batch_execute(&remedy).await.unwrap();
        value(&client, call).await.unwrap();
        owner.batch_execute("delete from tikku.database_role").await.unwrap();
    }

    // Who logged in counts, not what it has become since.
    owner.batch_execute("create role sql_account_one; grant sql_account_one to sql_account_shop").await.unwrap();
    owner
        .batch_execute("grant usage on schema tikku to sql_account_one; grant execute on function tikku.publish to sql_account_one")
        .await
        .unwrap();
    let roles = format!("insert into tikku.database_role values ('sql_account_one', '{}'), ('sql_account_shop', '{}')", one.0, two.0);
    owner.batch_execute(&roles).await.unwrap();
    for become_ in ["set role sql_account_one", "reset role"] {
        client.batch_execute(become_).await.unwrap();
        let id = publish(&client, "'https://example.com/', idempotency_key => 'k'").await;
        assert_eq!(owner.query_one(whose, &[&id.0]).await.unwrap().get::<_, uuid::Uuid>(0), two.0, "{become_}");
    }
}

#[tokio::test]
async fn a_publisher_may_publish_and_nothing_else() {
    let world = World::new("sql_least").await;
    let owner = world.client().await;
    let client = publisher(&world, "sql_least_shop").await;
    publish(&client, "'https://example.com/', '1', idempotency_key => 'k'").await;
    value(&client, r#"tikku.publish_batch('[{"url": "https://example.com/"}]')"#).await.unwrap();

    // Everything that can be called is called, with nulls.
    let functions = "select p.oid::regproc::text || '(' || coalesce((
          select string_agg(format('null::%s', format_type(t.type, null)), ', ' order by t.n) from unnest(p.proargtypes) with ordinality as t(type, n)), '') || ')', p.proname::text
        from pg_proc p where p.pronamespace = 'tikku'::regnamespace order by 1";
    let mut refused = 0;
    for row in owner.query(functions, &[]).await.unwrap() {
        let (call, name): (String, String) = (row.get(0), row.get(1));
        let error = client.batch_execute(&format!("select {call}")).await.expect_err(&call);
        let code = error.code().unwrap().code().to_owned();
        if ["publish", "publish_batch"].contains(&name.as_str()) {
            assert_eq!(code, "22023", "{call}: {error:?}");
        } else {
            assert!(code == "42501" && error.as_db_error().unwrap().message().contains("for function"), "{call}: {error:?}");
            refused += 1;
        }
    }
    assert!(refused > 60, "{refused}");
    let relations = "select c.relname::text from pg_class c where c.relnamespace = 'tikku'::regnamespace and c.relkind in ('r', 'v', 'm', 'S', 'f', 'p')";
    for row in owner.query(relations, &[]).await.unwrap() {
        let table: String = row.get(0);
        for statement in [
            format!("select 1 from tikku.{table}"),
            format!("delete from tikku.{table}"),
            format!("insert into tikku.{table} default values"),
        ] {
            let error = client.batch_execute(&statement).await.expect_err(&statement);
            assert_eq!(error.code().unwrap().code(), "42501", "{statement}: {error:?}");
        }
    }
    let made = client.batch_execute("create table tikku.mine ()").await.unwrap_err();
    assert_eq!(made.code().unwrap().code(), "42501");
    // The clock is Tikku's, although everybody can change a setting.
    client.batch_execute("set tikku.clock_offset = '-1 day'").await.unwrap();
    let error = value(&client, "tikku.publish('https://example.com/')").await.unwrap_err();
    assert_eq!(error, "42501: tikku.publish: the setting tikku.clock_offset is for tests of Tikku");

    // Without the two grants there is nothing at all.
    owner.batch_execute("create role sql_least_nobody login; grant usage on schema tikku to sql_least_nobody").await.unwrap();
    let nobody = login(&world, "sql_least_nobody").await;
    assert!(value(&nobody, "tikku.publish('https://example.com/')").await.unwrap_err().starts_with("42501"));
}

#[tokio::test]
async fn a_callers_own_objects_are_never_picked_up() {
    let world = World::new("sql_hostile").await;
    let owner = world.client().await;
    owner.batch_execute(&fanout(&world, "f", &["https://example.com/1"])).await.unwrap();
    owner.batch_execute("update tikku.fanout_endpoint set headers = '[[\"a\", \"b\"]]'").await.unwrap();
    let client = publisher(&world, "sql_hostile_shop").await;
    owner.batch_execute("create schema sql_hostile authorization sql_hostile_shop").await.unwrap();
    client
        .batch_execute(
            "create function sql_hostile.caught() returns boolean language plpgsql as $$ begin raise 'caught as %', current_user; end $$",
        )
        .await
        .unwrap();
    // Every function and operator that Tikku's functions name without a schema, and more: for all types that they could meet.
    for (name, arguments) in hostile_functions() {
        let sql = format!(
            "create function sql_hostile.{name}({arguments}) returns boolean language plpgsql as $$ begin return sql_hostile.caught(); end $$"
        );
        client.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
    for operator in ["=", "<>", "<", ">", "<=", ">=", "~", "!~", "||", "-", "+", "*", "->", "->>", "#>>"] {
        for (n, (left, right)) in OPERANDS.iter().enumerate() {
            let name = format!("sql_hostile.op_{}_{n}", operator.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join("_"));
            let sql = format!(
                "create function {name}({left}, {right}) returns boolean language plpgsql as $$ begin return sql_hostile.caught(); end $$;
                 create operator sql_hostile.{operator} (leftarg = {left}, rightarg = {right}, function = {name})"
            );
            client.batch_execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
    }
    client
        .batch_execute(
            "create type sql_hostile.text as (a int); create domain sql_hostile.uuid as pg_catalog.int4; create type sql_hostile.jsonb as (a int);
             create table sql_hostile.message_content (a int); create table sql_hostile.account (id int);
             create temp table message (a int); create temp table account (id int); create temp table pg_class (a int); create type pg_temp.bytea as (a int);
             create function pg_temp.length(pg_catalog.text) returns int language sql as 'select 1/0'",
        )
        .await
        .unwrap();
    client.batch_execute("set search_path = pg_temp, sql_hostile, pg_catalog").await.unwrap();
    assert!(client.query("select lower('x'::pg_catalog.text)", &[]).await.is_err(), "the trap works");
    let everything = r#"method => 'PUT', headers => '{"x": "y"}', delay_seconds => 5, backoff => '{"factor": 2}', content_based_deduplication => true,
        flow_control => '{"key": "k", "rate": 1}', callback_url => 'https://example.com/', labels => '{a,b}'"#;
    for arguments in [format!("'https://example.com/', '{{}}', {everything}"), format!("fanout => 'f', body => '1', {everything}")] {
        let row =
            client.query_one(&format!("select tikku.publish({arguments})"), &[]).await.unwrap_or_else(|e| panic!("{arguments}: {e:?}"));
        assert!(row.get::<_, Option<String>>(0).is_some());
    }
    let batch = r#"[{"url": "https://example.com/", "not_before": "2031-01-01T00:00:00Z", "idempotency_key": "k"}, {"fanout": "f"}]"#;
    client.query_one(&format!("select tikku.publish_batch('{batch}')"), &[]).await.unwrap();
    for wrong in [
        "'x'",
        "'https://e.com', labels => '{\"\"}'",
        "'https://e.com', backoff => '{\"x\": 1}'",
        "'https://e.com', headers => '{\"host\": \"1\"}'",
    ] {
        let error = client.query_one(&format!("select tikku.publish({wrong})"), &[]).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22023", "{error:?}");
    }
    assert_eq!(count(&owner).await, 8);
    // Without a fixed search_path they would have been, with the owner's rights.
    owner.batch_execute("alter function tikku.publish reset search_path").await.unwrap();
    let caught = client.query_one("select tikku.publish('https://example.com/')", &[]).await.unwrap_err();
    assert_eq!(caught.as_db_error().unwrap().message(), "caught as postgres");
}

const OPERANDS: [(&str, &str); 12] = [
    ("pg_catalog.text", "pg_catalog.text"),
    ("pg_catalog.bytea", "pg_catalog.bytea"),
    ("pg_catalog.jsonb", "pg_catalog.jsonb"),
    ("pg_catalog.jsonb", "pg_catalog.text"),
    ("pg_catalog.json", "pg_catalog.text"),
    ("pg_catalog.uuid", "pg_catalog.uuid"),
    ("pg_catalog.name", "pg_catalog.name"),
    ("pg_catalog.int8", "pg_catalog.int4"),
    ("pg_catalog.int4", "pg_catalog.int4"),
    ("pg_catalog.int8", "pg_catalog.int8"),
    ("pg_catalog.timestamptz", "pg_catalog.timestamptz"),
    ("pg_catalog.timestamptz", "pg_catalog.interval"),
];

fn hostile_functions() -> Vec<(&'static str, &'static str)> {
    let text = "pg_catalog.text";
    vec![
        ("length", text),
        ("lower", text),
        ("octet_length", text),
        ("octet_length", "pg_catalog.bytea"),
        ("sha256", "pg_catalog.bytea"),
        ("int8send", "pg_catalog.int8"),
        ("encode", "pg_catalog.bytea, pg_catalog.text"),
        ("convert_to", "pg_catalog.text, pg_catalog.name"),
        ("strpos", "pg_catalog.text, pg_catalog.text"),
        ("substr", "pg_catalog.text, pg_catalog.int4"),
        ("left", "pg_catalog.text, pg_catalog.int4"),
        ("rtrim", "pg_catalog.text, pg_catalog.text"),
        ("split_part", "pg_catalog.text, pg_catalog.text, pg_catalog.int4"),
        ("translate", "pg_catalog.text, pg_catalog.text, pg_catalog.text"),
        ("format", "pg_catalog.text, pg_catalog.text"),
        ("jsonb_typeof", "pg_catalog.jsonb"),
        ("jsonb_array_length", "pg_catalog.jsonb"),
        ("jsonb_array_elements", "pg_catalog.jsonb"),
        ("jsonb_each", "pg_catalog.jsonb"),
        ("jsonb_object_keys", "pg_catalog.jsonb"),
        ("json_array_elements", "pg_catalog.json"),
        ("json_array_length", "pg_catalog.json"),
        ("has_table_privilege", "pg_catalog.name, pg_catalog.text, pg_catalog.text"),
        ("to_timestamp", "pg_catalog.float8"),
        ("round", "pg_catalog.numeric, pg_catalog.int4"),
        ("trim_scale", "pg_catalog.numeric"),
        ("array_length", "pg_catalog.anyarray, pg_catalog.int4"),
        ("gen_random_uuid", ""),
        ("to_hex", "pg_catalog.int8"),
    ]
}

#[tokio::test]
async fn strange_sessions_publish_the_same() {
    let world = World::new("sql_settings").await;
    let client = world.client().await;
    let settings = [
        "standard_conforming_strings = off",
        "escape_string_warning = off",
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
        "transform_null_equals = on",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "xmloption = document",
        "default_transaction_isolation = 'serializable'",
        "plan_cache_mode = force_generic_plan",
        "client_encoding = 'LATIN1'",
    ];
    let arguments = r#"E'https://example.com/', '{"a": [1.10]}', headers => '{"a-b": "c"}', not_before => '2031-02-03T04:05:06Z', backoff => '{"factor": 2.123456789}',
        labels => array['a', 'b']"#;
    let told = |id: tikku_domain::ids::MessageId| {
        let sql = "select concat_ws(' ', c.url, c.headers, convert_from(c.body, 'UTF8'), extract(epoch from c.not_before), c.backoff::text, array_to_string(c.labels, ','))
            from tikku.message_content c where c.message_id = $1";
        let client = &client;
        async move { client.query_one(sql, &[&id.0]).await.unwrap().get::<_, String>(0) }
    };
    let plain = publish(&client, arguments).await;
    let plain = told(plain).await;
    assert!(plain.contains("2.123456789"), "{plain}");
    for setting in settings {
        let strange = world.client().await;
        strange.batch_execute(&format!("set {setting}")).await.unwrap();
        let id = publish(&strange, arguments).await;
        assert_eq!(told(id).await, plain, "{setting}");
        for wrong in [
            r#"'https://e.com', headers => jsonb_build_object('a', E'x\ny')"#,
            "E'https://e.com/\\n'",
            "E'https://u@\\\\e.com'",
            "E'https://e.com/\\u00a0'",
        ] {
            let error = value(&strange, &format!("tikku.publish({wrong})")).await.unwrap_err();
            assert!(error.starts_with("22023"), "{setting}: {wrong}: {error}");
        }
    }
}
