//! `tikku.publish` and `tikku.publish_batch` in SQL: what they insert and what they refuse.
//!
//! Out of scope: whose rights it takes and what it locks (`sql_rights.rs`), that it is delivered (`scenarios/sql.rs`).

use tikku_domain::destination::{self, DestinationError, UrlPolicy};
use tikku_domain::header_rules::{self, HEADERS_BYTES_MAX, HEADERS_MAX};
use tikku_domain::ids::MessageId;
use tikku_domain::limits;
use tikku_domain::publish::{self, METHODS, NewMessage, Rules};
use tikku_store::{Published, PublishedBatch, PublishedItem};
use tokio_postgres::{Client, Row};

use crate::world::World;

const URL: &str = "'https://example.com/'";

/// Evaluates one expression; an error as `SQLSTATE: message`.
pub async fn value(client: &Client, expression: &str) -> Result<Option<String>, String> {
    match client.query_one(&format!("select ({expression})::text"), &[]).await {
        Ok(row) => Ok(row.get(0)),
        Err(error) => {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
            Err(format!("{}: {}", error.code().code(), error.message()))
        }
    }
}

/// Publishes with these arguments; answers the id.
pub async fn publish(client: &Client, arguments: &str) -> MessageId {
    let id = value(client, &format!("tikku.publish({arguments})")).await.unwrap_or_else(|e| panic!("{arguments}: {e}"));
    id.unwrap().parse().unwrap()
}

/// The error of a publish with these arguments, which is a wrong parameter and names the function.
async fn refusal(client: &Client, arguments: &str) -> String {
    let error = value(client, &format!("tikku.publish({arguments})")).await.expect_err(arguments);
    error.strip_prefix("22023: tikku.publish: ").unwrap_or_else(|| panic!("{arguments}: {error}")).to_owned()
}

/// Rows of messages and their contents.
pub async fn count(client: &Client) -> i64 {
    let sql = "select (select count(*) from tikku.message) + (select count(*) from tikku.message_content)";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn parsed(json: &str) -> NewMessage {
    let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
    publish::parse(json.as_bytes(), &Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX }).unwrap()
}

/// Publishes by HTTP's way, to a URL or a fanout: the first id, and whether it is an old one.
async fn by_http(world: &World, json: &str) -> (MessageId, bool) {
    let answer = world.store.message_publish_batch(&world.key_hash, &[parsed(json)]).await.unwrap();
    match answer {
        PublishedBatch::Items(items) => match &items[..] {
            [PublishedItem::Accepted(puts)] => (puts[0].id, false),
            [PublishedItem::Deduplicated(puts)] => (puts[0].id, true),
            other => panic!("{json}: {other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sql_makes_the_rows_that_http_makes() {
    let world = World::new("sql_rows").await;
    let client = world.client().await;
    let pairs = [
        (r#"{"url": "https://example.com/"}"#, "'https://example.com/'"),
        (
            r#"{"url": "https://example.com/", "body": {"a": [1.10, "é"]}, "delaySeconds": 0}"#,
            r#"'https://example.com/', '{"a":[1.10,"é"]}', delay_seconds => 0"#,
        ),
        (
            r#"{"url": "https://example.com/x?y=1", "method": "PUT", "body": null, "headers": {"X-A": "1", "x-bb": "Zoë"}, "delaySeconds": 100000,
                "maxAttempts": 100, "timeoutSeconds": 840, "labels": ["a", "b\\c"],
                "backoff": {"type": "linear", "initialSeconds": 7200, "factor": 2.5, "jitter": false},
                "flowControl": {"key": "k", "parallelism": 2, "rate": 7}, "callbackUrl": "https://example.com/1", "failureCallbackUrl": "https://example.com/2"}"#,
            r#"'https://example.com/x?y=1#fragment', 'null', method => 'PUT', headers => '{"X-A": "1", "x-bb": "Zoë"}', delay_seconds => 100000,
                max_attempts => 100, timeout_seconds => 840, labels => array['a', 'b\c'],
                backoff => '{"type": "linear", "initial_seconds": 7200, "factor": 2.5, "jitter": false}',
                flow_control => '{"key": "k", "parallelism": 2, "rate": 7}', callback_url => 'https://example.com/1', failure_callback_url => 'https://example.com/2'"#,
        ),
        (
            r#"{"url": "https://example.com/", "method": "GET", "notBefore": "2031-02-03T04:05:06.789+01:00", "idempotencyKey": "k",
                "flowControl": {"key": "k", "rate": 7, "periodSeconds": 60}, "backoff": {"type": "fixed", "maxSeconds": 9}}"#,
            r#"'https://example.com/', method => 'GET', not_before => '2031-02-03T04:05:06.789+01:00', idempotency_key => 'k2',
                flow_control => '{"key": "k", "rate": 7, "period_seconds": 60}', backoff => '{"type": "fixed", "max_seconds": 9}'"#,
        ),
    ];
    for (json, arguments) in pairs {
        let (http, _) = by_http(&world, json).await;
        let sql = publish(&client, arguments).await;
        let rows = "select c.url, c.method, c.headers::jsonb, c.body, c.delay_ms, c.not_before, c.backoff::jsonb - 'factor', c.payload_hash, c.labels, c.resent_from, c.raw,
              jsonb_strip_nulls(c.flow::jsonb), c.callback_url, c.failure_callback_url, c.callback_of, c.fanout, c.publish_id, c.schedule_id, c.account_id,
              m.account_id, m.state, m.max_attempts, m.timeout_ms, m.flow_key, m.fence, m.kicks
            from tikku.message m join tikku.message_content c on c.message_id = m.id where m.id";
        let equal = format!("select (select r::text from ({rows} = $1) r), (select r::text from ({rows} = $2) r)");
        let row = client.query_one(&equal, &[&http.0, &sql.0]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), row.get::<_, String>(1), "{json}");
        let backoffs = "select c.backoff::text from tikku.message_content c where c.message_id = $1";
        let backoff: String = client.query_one(backoffs, &[&sql.0]).await.unwrap().get(0);
        assert_eq!(serde_json::from_str::<tikku_domain::retry::Backoff>(&backoff).unwrap(), parsed(json).backoff);
    }
}

#[tokio::test]
async fn a_key_means_the_same_by_sql_and_by_http() {
    let world = World::new("sql_keys").await;
    let client = world.client().await;
    client.batch_execute(&fanout(&world, "f", &["https://example.com/1", "https://example.com/2"])).await.unwrap();
    // What HTTP gets, without its key, and the arguments that say the same.
    let pairs = [
        (r#""url": "https://example.com/""#, "'https://example.com/'"),
        (r#""url": "https://example.com""#, "'https://example.com/#fragment'"),
        (r#""url": "https://example.com/", "body": null"#, "'https://example.com/', 'null'"),
        (r#""url": "https://example.com/", "body": {"a": 1, "bb": ["é", 1.10]}"#, r#"'https://example.com/', '{"bb":["é",1.10],"a":1}'"#),
        (
            r#""url": "https://example.com/", "method": "DELETE", "headers": {"X-I": "1", "x-aa": "ü"}"#,
            r#"'https://example.com/', method => 'DELETE', headers => '{"x-aa": "ü", "x-i": "1"}'"#,
        ),
        (r#""fanout": "f", "body": 1"#, "fanout => 'f', body => '1'"),
    ];
    for (n, (fields, arguments)) in pairs.into_iter().enumerate() {
        let first = by_http(&world, &format!(r#"{{{fields}, "idempotencyKey": "http {n}"}}"#)).await;
        let again = publish(&client, &format!("{arguments}, idempotency_key => 'http {n}', labels => '{{l}}', delay_seconds => 9")).await;
        assert_eq!((again, first.1), (first.0, false), "{fields}");
        let first = publish(&client, &format!("{arguments}, idempotency_key => 'sql {n}'")).await;
        assert_eq!(by_http(&world, &format!(r#"{{{fields}, "idempotencyKey": "sql {n}"}}"#)).await, (first, true), "{fields}");
        let first = publish(&client, &format!("{arguments}, content_based_deduplication => true")).await;
        assert_eq!(by_http(&world, &format!(r#"{{{fields}, "contentBasedDeduplication": true}}"#)).await, (first, true), "{fields}");
    }
}

/// SQL that makes a fanout with these endpoints.
pub fn fanout(world: &World, name: &str, urls: &[&str]) -> String {
    let account = world.account.0;
    let endpoints: String = urls
        .iter()
        .map(|url| format!("insert into tikku.fanout_endpoint (account_id, fanout, url) values ('{account}', '{name}', '{url}');"))
        .collect();
    format!("insert into tikku.fanout (account_id, name) values ('{account}', '{name}'); {endpoints}")
}

#[tokio::test]
async fn a_key_with_another_payload_is_refused_and_names_the_first_message() {
    let world = World::new("sql_mismatch").await;
    let client = world.client().await;
    let Published::Accepted { id, .. } = world.publish(r#"{"url": "https://example.com/", "idempotencyKey": "k", "body": 1}"#).await else {
        panic!()
    };
    let before = count(&client).await;
    for arguments in ["'https://example.com/', '2'", "'https://example.com/'", "'https://example.com/', '1', method => 'PUT'"] {
        let error = value(&client, &format!("tikku.publish({arguments}, idempotency_key => 'k')")).await.unwrap_err();
        assert_eq!(error, format!("23505: tikku.publish: idempotency_key belongs to {id}, which has another payload"));
        let item = r#"[{"url": "https://example.com/"}, {"url": "https://example.com/", "idempotency_key": "k"}]"#;
        let error = value(&client, &format!("tikku.publish_batch('{item}')")).await.unwrap_err();
        assert_eq!(error, format!("23505: tikku.publish_batch: messages[1].idempotency_key belongs to {id}, which has another payload"));
    }
    assert_eq!(count(&client).await, before);
}

/// A text of so many characters, in SQL.
fn text(n: usize) -> String {
    format!("repeat('é', {n})")
}

/// Publishes with each argument at its limit, and is refused it beyond.
async fn check_edges(client: &Client, edges: Vec<(&str, String, String)>) {
    for (name, most, more) in edges {
        publish(client, &format!("{URL}, {name} => {most}")).await;
        let error = refusal(client, &format!("{URL}, {name} => {more}")).await;
        assert!(error.starts_with(name), "{name} => {more}: {error}");
    }
}

#[tokio::test]
async fn every_limit_holds_at_its_edge() {
    let world = World::new("sql_limits").await;
    let client = world.client().await;
    let url = |n: usize| format!("'https://e.com/' || repeat('x', {})", n - "https://e.com/".len());
    let labels = |n: usize, chars: usize| format!("array_fill(repeat('é', {chars}), array[{n}])");
    let headers = |n: usize| format!("(select jsonb_object_agg('x-' || n, 'v') from generate_series(1, {n}) n)");
    let header_bytes = |n: usize| format!("jsonb_build_object('a', repeat('é', 10000), 'b', repeat('x', {}))", n - 20_002);
    let ahead = |n: i64| format!("tikku.clock_now() + interval '{n} seconds'");
    let int = |n: i64| n.to_string();
    let bytes = |n: usize| format!("to_jsonb(repeat('é', {}) || repeat('x', {}))", n / 4, n - 2 - n / 4 * 2);
    let edges = vec![
        ("body", bytes(limits::BODY_BYTES_MAX), bytes(limits::BODY_BYTES_MAX + 1)),
        ("delay_seconds", int(0), int(-1)),
        ("delay_seconds", int(limits::DELAY_SECONDS_MAX), int(limits::DELAY_SECONDS_MAX + 1)),
        ("delay_seconds", int(0), int(i64::MAX)),
        ("not_before", ahead(limits::DELAY_SECONDS_MAX), ahead(limits::DELAY_SECONDS_MAX + 1)),
        ("not_before", "'1970-01-01T00:00:00Z'".into(), "'1969-12-31T23:59:59Z'".into()),
        ("not_before", "tikku.clock_now()".into(), "'infinity'".into()),
        ("not_before", "tikku.clock_now()".into(), "'-infinity'".into()),
        ("not_before", "tikku.clock_now()".into(), "'2030-01-01 00:00:00+00 BC'".into()),
        ("max_attempts", int(1), int(0)),
        ("max_attempts", int(limits::ATTEMPTS_MAX), int(limits::ATTEMPTS_MAX + 1)),
        ("timeout_seconds", int(1), int(0)),
        ("timeout_seconds", int(limits::TIMEOUT_SECONDS_MAX), int(limits::TIMEOUT_SECONDS_MAX + 1)),
        ("idempotency_key", text(limits::IDEMPOTENCY_KEY_CHARS_MAX), text(limits::IDEMPOTENCY_KEY_CHARS_MAX + 1)),
        ("idempotency_key", text(1), text(0)),
        ("labels", labels(limits::LABELS_MAX, limits::LABEL_CHARS_MAX), labels(limits::LABELS_MAX + 1, 1)),
        ("labels", "'{}'".into(), labels(1, limits::LABEL_CHARS_MAX + 1)),
        ("labels", labels(1, 1), labels(1, 0)),
        ("labels", "null".into(), "array[null]::text[]".into()),
        ("labels", "array['a']".into(), "array[['a'], ['b']]".into()),
        ("callback_url", url(destination::URL_CHARS_MAX), url(destination::URL_CHARS_MAX + 1)),
        ("failure_callback_url", url(destination::URL_CHARS_MAX), url(destination::URL_CHARS_MAX + 1)),
        ("headers", headers(HEADERS_MAX), headers(HEADERS_MAX + 1)),
        ("headers", header_bytes(HEADERS_BYTES_MAX), header_bytes(HEADERS_BYTES_MAX + 1)),
        ("headers", "'{}'".into(), "'[]'".into()),
        ("headers", "'null'".into(), r#"'{"a": null}'"#.into()),
        ("method", "null".into(), "'post'".into()),
    ];
    check_edges(&client, edges).await;
    publish(&client, &url(destination::URL_CHARS_MAX)).await;
    assert!(refusal(&client, &url(destination::URL_CHARS_MAX + 1)).await.starts_with("url "));
    for method in METHODS {
        publish(&client, &format!("{URL}, method => '{method}'")).await;
    }
}

#[tokio::test]
async fn every_limit_of_backoff_and_flow_control_holds_at_its_edge() {
    let world = World::new("sql_objects").await;
    let client = world.client().await;
    let object = |fields: String| format!("jsonb_build_object('key', 'k', {fields})");
    let number = |name: &str, n: i64| object(format!("'{name}', {n}"));
    let period = |n: i64| object(format!("'rate', 1, 'period_seconds', {n}"));
    let key = |n: usize| format!("jsonb_build_object('key', {})", text(n));
    let factor = |n: f64| format!("jsonb_build_object('factor', {n})");
    let seconds = |name: &str, n: i64| format!("jsonb_build_object('{name}', {n})");
    let (initial_s, max_s) = ("initial_seconds", "max_seconds");
    let edges = vec![
        ("backoff", factor(1.0), factor(0.999)),
        ("backoff", factor(limits::BACKOFF_FACTOR_MAX), factor(limits::BACKOFF_FACTOR_MAX + 0.001)),
        ("backoff", seconds(initial_s, limits::BACKOFF_SECONDS_MAX), seconds(initial_s, limits::BACKOFF_SECONDS_MAX + 1)),
        ("backoff", seconds(max_s, limits::BACKOFF_SECONDS_MAX), seconds(max_s, limits::BACKOFF_SECONDS_MAX + 1)),
        ("backoff", seconds(max_s, 0), seconds(max_s, -1)),
        ("backoff", r#"'{"type": null}'"#.into(), r#"'{"type": "cubic"}'"#.into()),
        ("backoff", r#"'{"jitter": false}'"#.into(), r#"'{"jitter": "no"}'"#.into()),
        ("backoff", r#"'{"initial_seconds": 1e1}'"#.into(), r#"'{"initial_seconds": 1.0}'"#.into()),
        ("backoff", "'{}'".into(), r#"'{"maxSeconds": 5}'"#.into()),
        ("flow_control", number("parallelism", 1), number("parallelism", 0)),
        ("flow_control", number("parallelism", limits::FLOW_PARALLELISM_MAX), number("parallelism", limits::FLOW_PARALLELISM_MAX + 1)),
        ("flow_control", number("rate", 1), number("rate", 0)),
        ("flow_control", number("rate", limits::FLOW_RATE_MAX), number("rate", limits::FLOW_RATE_MAX + 1)),
        ("flow_control", period(1), period(0)),
        ("flow_control", period(limits::FLOW_PERIOD_SECONDS_MAX), period(limits::FLOW_PERIOD_SECONDS_MAX + 1)),
        ("flow_control", object("'rate', null".into()), number("period_seconds", 1)),
        ("flow_control", number("rate", 1), r#"'{"rate": 1}'"#.into()),
        ("flow_control", number("rate", 1), number("burst", 1)),
        ("flow_control", key(limits::FLOW_KEY_CHARS_MAX), key(limits::FLOW_KEY_CHARS_MAX + 1)),
    ];
    check_edges(&client, edges).await;
}

#[tokio::test]
async fn the_bodies_of_a_fanout_have_a_limit_together() {
    let world = World::new("sql_bodies").await;
    let client = world.client().await;
    let urls: Vec<String> = (0..=limits::FANOUT_BODIES_BYTES_MAX / limits::BODY_BYTES_MAX).map(|n| format!("https://e.com/{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    client.batch_execute(&(fanout(&world, "most", &urls[1..]) + &fanout(&world, "more", &urls))).await.unwrap();
    let body = format!("body => to_jsonb(repeat('x', {}))", limits::BODY_BYTES_MAX - 2);
    publish(&client, &format!("fanout => 'most', {body}")).await;
    assert!(refusal(&client, &format!("fanout => 'more', {body}")).await.starts_with("body, once for each endpoint"));
}

#[tokio::test]
async fn what_excludes_each_other_or_is_missing_is_refused() {
    let world = World::new("sql_pairs").await;
    let client = world.client().await;
    for (arguments, begins) in [
        ("", "url is required, or a fanout"),
        ("null, '1'", "url is required, or a fanout"),
        ("'https://example.com/', fanout => 'f'", "fanout and url exclude each other"),
        ("fanout => 'nobody'", "fanout does not exist"),
        ("fanout => repeat('f', 65)", "fanout must be text of 1 to 64 characters"),
        ("'https://example.com/', delay_seconds => 0, not_before => now()", "not_before and delay_seconds exclude each other"),
        (
            "'https://example.com/', idempotency_key => 'k', content_based_deduplication => true",
            "content_based_deduplication and idempotency_key",
        ),
        ("'https://example.com/', 'null', method => 'GET'", "body must be absent with method GET"),
        ("'https://example.com/', '0', method => 'HEAD'", "body must be absent with method HEAD"),
    ] {
        let error = refusal(&client, arguments).await;
        assert!(error.starts_with(begins), "{arguments}: {error}");
    }
    assert_eq!(count(&client).await, 0);
}

#[tokio::test]
async fn headers_are_judged_as_http_judges_them() {
    let world = World::new("sql_headers").await;
    let client = world.client().await;
    let mut names: Vec<String> = (1..=0x2ff).filter_map(char::from_u32).map(|c| format!("x{c}")).collect();
    let words = [
        "",
        "Host",
        "HOST",
        "te",
        "TE2",
        "webhook",
        "Webhook-",
        "tikku-x",
        "PROXY-a",
        "x-webhook-id",
        "content-length",
        "expect",
        "a\n",
        "\u{130}",
    ];
    names.extend(words.map(str::to_owned));
    let mut values: Vec<String> =
        (1..=0x2ff).filter_map(char::from_u32).flat_map(|c| [format!("a{c}b"), format!("{c}b"), format!("a{c}")]).collect();
    values.extend(["", " ", "a b", "\u{1F600}", "\u{85}", "a\r\nb: c"].map(str::to_owned));
    let pairs = names.into_iter().map(|name| (name, "v".to_owned())).chain(values.into_iter().map(|value| ("x".to_owned(), value)));
    let sql =
        client.prepare("select tikku.publish('https://example.com/', headers => jsonb_build_object($1::text, $2::text))").await.unwrap();
    for (name, value) in pairs {
        let taken = client.query_one(&sql, &[&name, &value]).await.is_ok();
        assert_eq!(taken, header_rules::check(&[(name.clone(), value.clone())]).is_ok(), "{name:?}: {value:?}");
    }
    assert!(refusal(&client, &format!("{URL}, headers => '{{\"a\": \"1\", \"A\": \"2\"}}'")).await.contains("appears twice"));
}

#[tokio::test]
async fn urls_are_judged_as_http_judges_them_as_far_as_their_form_goes() {
    let world = World::new("sql_urls").await;
    let client = world.client().await;
    let codes = (1..=0x180).chain(0x1670..=0x1690).chain(0x1ff0..=0x2070).chain(0x2ff0..=0x3010).chain(0xfef0..=0xff10);
    let mut urls: Vec<String> = codes.filter_map(char::from_u32).map(|c| format!("https://example.com/{c}")).collect();
    let texts = [
        "",
        "x",
        "https:example.com",
        "https:///example.com",
        "https://",
        "https://?x",
        "ftp://e.com",
        "HTTPS://EXAMPLE.com",
        "http://e.com",
        "https://u@e.com",
        "https://u:p@e.com/",
        "https://@e.com",
        "https://e.com/@",
        "https://e.com?@",
        "https://e.com#@",
        "https://e.com\\@f.com",
        "https://\\e.com",
        "x://https://e.com",
        "https://e.com:0/",
        "https://e.com:99999/",
        "https://[::1",
        "https://intranet/",
        "https://%00/",
        "javascript://e.com",
        " https://e.com",
        "https://e.com ",
    ];
    urls.extend(texts.map(str::to_owned));
    urls.extend(tikku_domain::spellings::private_address_urls().into_iter().step_by(10));
    let policy = UrlPolicy::default();
    let sql = client.prepare("select tikku.publish($1)").await.unwrap();
    for url in urls {
        let taken = client.query_one(&sql, &[&url]).await.is_ok();
        let left_to_the_push = match destination::parse(&policy, &url) {
            Ok(_) => true,
            Err(DestinationError::NoHost | DestinationError::Userinfo | DestinationError::Whitespace | DestinationError::Scheme) => false,
            Err(_) => true,
        };
        assert_eq!(taken, left_to_the_push, "{url:?}");
    }
}

#[tokio::test]
async fn a_batch_answers_in_order_and_its_errors_name_the_index() {
    let world = World::new("sql_batch").await;
    let client = world.client().await;
    client.batch_execute(&fanout(&world, "two", &["https://example.com/1", "https://example.com/2"])).await.unwrap();
    client.batch_execute(&fanout(&world, "none", &[])).await.unwrap();
    let batch = r#"[{"url": "https://example.com/", "idempotency_key": "z", "body": null}, {"fanout": "two", "not_before": "2031-01-01T00:00:00Z"},
        {"fanout": "none"}, {"url": "https://example.com/", "idempotency_key": "a", "labels": ["l"]}, {"url": "https://example.com/", "idempotency_key": "z", "body": null}]"#;
    let row = client.query_one(&format!("select tikku.publish_batch('{batch}')"), &[]).await.unwrap();
    let ids: Vec<Option<String>> = row.get(0);
    let ids: Vec<Option<MessageId>> = ids.into_iter().map(|id| id.map(|id| id.parse().unwrap())).collect();
    assert_eq!((ids.len(), ids[0], ids[2]), (5, ids[4], None));
    let sql =
        "select coalesce(c.idempotency_key, c.url), convert_from(c.body, 'UTF8') from tikku.message_content c where c.message_id = $1";
    let mut told: Vec<(String, Option<String>)> = Vec::new();
    for id in [ids[0], ids[1], ids[3]] {
        let row: Row = client.query_one(sql, &[&id.unwrap().0]).await.unwrap();
        told.push((row.get(0), row.get(1)));
    }
    let text = |key: &str, body: Option<&str>| (key.to_owned(), body.map(str::to_owned));
    assert_eq!(told, [text("z", Some("null")), text("https://example.com/1", None), text("a", None)]);
    assert_eq!(count(&client).await, 8);

    let good = r#"{"url": "https://example.com/"}"#;
    for (item, says) in [
        ("5", " must be an object"),
        ("[]", " must be an object"),
        ("null", " must be an object"),
        ("{}", ".url is required, or a fanout"),
        (r#"{"url": 5}"#, ".url must be text"),
        (r#"{"url": "https://e.com", "maxAttempts": 5}"#, r#"."maxAttempts" is not known"#),
        (r#"{"url": "https://e.com", "max_attempts": "5"}"#, ".max_attempts must be an integer from 1 to 100"),
        (r#"{"url": "https://e.com", "max_attempts": 1.5}"#, ".max_attempts must be an integer"),
        (r#"{"url": "https://e.com", "delay_seconds": 99999999999999999999}"#, ".delay_seconds must be an integer"),
        (r#"{"url": "https://e.com", "not_before": "tomorrow"}"#, ".not_before must be a time"),
        (r#"{"url": "https://e.com", "not_before": "2030-13-01T00:00:00Z"}"#, ".not_before must be a time"),
        (r#"{"url": "https://e.com", "not_before": "2030-01-01T00:00:00"}"#, ".not_before must be a time"),
        (r#"{"url": "https://e.com", "not_before": 5}"#, ".not_before must be a time"),
        (r#"{"url": "https://e.com", "content_based_deduplication": "true"}"#, ".content_based_deduplication must be true or false"),
        (r#"{"url": "https://e.com", "labels": "l"}"#, ".labels must be"),
        (r#"{"url": "https://e.com", "labels": [5]}"#, ".labels must be"),
        (r#"{"url": "https://e.com", "backoff": {"factor": "2"}}"#, ".backoff.factor must be a number"),
        (r#"{"url": "https://e.com", "backoff": []}"#, ".backoff must be an object"),
        (r#"{"url": "https://e.com", "flow_control": {"key": ""}}"#, ".flow_control.key must be"),
        (r#"{"fanout": "nobody"}"#, ".fanout does not exist"),
    ] {
        let error = value(&client, &format!("tikku.publish_batch('[{good}, {item}, {good}]')")).await.unwrap_err();
        assert!(error.starts_with(&format!("22023: tikku.publish_batch: messages[1]{says}")), "{item}: {error}");
    }
    let many = |n: usize| format!("tikku.publish_batch((select jsonb_agg('{good}'::jsonb) from generate_series(1, {n})))");
    for bad in [
        "tikku.publish_batch(null)".to_owned(),
        "tikku.publish_batch('[]')".to_owned(),
        format!("tikku.publish_batch('{good}')"),
        many(limits::BATCH_MAX + 1),
    ] {
        let error = value(&client, &bad).await.unwrap_err();
        assert_eq!(error, "22023: tikku.publish_batch: messages must be an array of 1 to 1000 objects", "{bad}");
    }
    assert_eq!(count(&client).await, 8, "a batch that fails publishes nothing");
    value(&client, &many(limits::BATCH_MAX)).await.unwrap();
    let order = "select coalesce(bool_and(due_at > before), false) from (select due_at, lag(due_at) over (order by id) as before from tikku.message where state = 'queued' order by id offset 3) m";
    assert!(client.query_one(order, &[]).await.unwrap().get::<_, bool>(0), "a flow starts them in the order of the array");
}
