//! Schedules against a clock that is moved: eight ticks at once, a tick that was away, edits and pauses while something is due.
//!
//! Out of scope: when an expression is due (tested beside `domain::cron`), and what `cron.rs` fires around changes of clocks.

use std::sync::OnceLock;
use std::time::Instant;

use futures_util::future::join_all;
use tikku_domain::destination::UrlPolicy;
use tikku_domain::etag::IfMatch;
use tikku_domain::ids::{MessageId, ScheduleId};
use tikku_domain::publish::Rules;
use tikku_domain::schedule::{self, NewSchedule, Plan};
use tikku_platform::http::Http;
use tikku_platform::queue::Queue;
use tikku_platform::{Config, Ctx};
use tikku_store::{PauseChange, Paused, ScheduleEdit, ScheduleRan, ScheduleTimes, Store};
use tokio_postgres::Client;

use crate::world::{World, delivered, started};

pub const MINUTE: i64 = 60_000;

/// A process that ticks, its clock moved by so many seconds.
pub fn process(world: &World, seconds: i64) -> Ctx {
    // Nothing is pushed here, and making a client takes longer than a tick.
    static HTTP: OnceLock<Http> = OnceLock::new();
    let http = HTTP.get_or_init(|| Http::new(UrlPolicy { allow_http: false, allow_cidrs: Vec::new() }, None).unwrap());
    Ctx {
        store: world.later(seconds),
        http: http.clone(),
        queue: Queue::Memory(Box::default()),
        config: Config::read(|_| None, 8, "test".to_owned()).unwrap(),
    }
}

pub fn parsed(fields: &str) -> NewSchedule {
    let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
    let json = format!(r#"{{"url": "https://example.com/hook", {fields}}}"#);
    let json = if fields.contains("\"fanout\"") { json.replacen(r#""url": "https://example.com/hook", "#, "", 1) } else { json };
    schedule::parse(json.as_bytes(), &Rules { policy: &policy, timeout_seconds_max: 840 }).unwrap()
}

/// Makes a schedule on the clock of a store, as the API does.
pub async fn make(world: &World, store: &Store, fields: &str) -> ScheduleId {
    let new = parsed(fields);
    let now_ms = store.schedule_clock().await.unwrap();
    let times = ScheduleTimes { anchor_ms: now_ms, next_ms: new.timing.next(now_ms, now_ms) };
    store.schedule_create(world.account, &new, times).await.unwrap().unwrap()
}

async fn plan(world: &World, store: &Store, id: ScheduleId) -> Plan {
    store.schedule_get(world.account, &id.to_string()).await.unwrap().unwrap().plan
}

/// An edit as the API makes it after it fired what was due.
async fn edit(world: &World, store: &Store, old: &Plan, fields: &str) -> ScheduleEdit {
    let new = parsed(fields);
    let times = ScheduleTimes { anchor_ms: old.anchor_ms, next_ms: new.timing.next(old.anchor_ms, old.now_ms) };
    store.schedule_edit(world.account, old.id, old.revision, &new, Paused::No, times).await.unwrap()
}

/// The due times that fired, in milliseconds since 1970, with the states of their messages.
async fn fired(client: &Client, id: ScheduleId) -> Vec<(i64, String)> {
    let sql = "select round(date_part('epoch', f.due_at) * 1000)::int8, m.state::text from tikku.schedule_fire f
        cross join unnest(f.message_ids) as i(id) join tikku.message m on m.id = i.id where f.schedule_id = $1 order by 1, m.id";
    client.query(sql, &[&id.0]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn due_times(client: &Client, id: ScheduleId, outcome: &str) -> Vec<i64> {
    let sql =
        "select round(date_part('epoch', due_at) * 1000)::int8 from tikku.schedule_fire where schedule_id = $1 and outcome = $2 order by 1";
    client.query(sql, &[&id.0, &outcome]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Ends every message of a schedule that is due.
async fn deliver(world: &World, store: &Store, client: &Client) {
    let rows = client.query("select id from tikku.message where state in ('scheduled', 'queued')", &[]).await.unwrap();
    let ids: Vec<MessageId> = rows.iter().map(|row| MessageId(row.get(0))).collect();
    let leases = started(&store.message_load(&ids, 100, 1 << 20).await.unwrap());
    let group: Vec<_> = leases.into_iter().map(|(id, fence)| delivered(id, fence)).collect();
    world.store.message_settle("w", 5, &group).await.unwrap();
}

// TIKKU_TEST_SCALE=1: a year, week by week; otherwise two days, one by one. Each step has eight connections, which take longer to open than a day to fire.
#[tokio::test]
async fn eight_ticks_at_once_fire_each_minute_of_a_year_once() {
    let year = std::env::var("TIKKU_TEST_SCALE").is_ok_and(|value| value == "1");
    let (steps, step_s) = if year { (53, 604_800) } else { (2, 86_400) };
    let world = World::new("schedules_year").await;
    let client = world.client().await;
    client.batch_execute("update tikku.account set retention_days = 3650").await.unwrap();
    let id = make(&world, &world.store, r#""name": "minutely", "cron": "* * * * *", "catchUp": "all""#).await;
    let first = plan(&world, &world.store, id).await.next_ms.unwrap();
    let begun = Instant::now();
    for step in 1..=steps {
        let ticks = (0..8).map(|_| process(&world, step * step_s)).collect::<Vec<_>>();
        // A tick that meets another at the same schedule leaves it to that one, which goes on until nothing is left.
        join_all(ticks.iter().map(async |ctx| tikku_tick::handle(ctx).await.unwrap().fired)).await;
        let plan = plan(&world, &ticks[0].store, id).await;
        assert!(plan.next_ms.unwrap() > plan.now_ms, "step {step}: behind by {} s", (plan.now_ms - plan.next_ms.unwrap()) / 1000);
        // Nobody delivers here; left alone, tick would hand all of them over again at each step.
        let over =
            "update tikku.message set state = 'delivered', kick_until = null, finished_at = tikku.clock_now() where kick_until is not null";
        client.batch_execute(over).await.unwrap();
    }
    let until = plan(&world, &world.later(steps * step_s), id).await.next_ms.unwrap();
    let minutes = (until - first) / MINUTE;
    assert!(minutes >= steps * step_s / 60, "{minutes}");
    println!("{minutes} due times in {:.1} s", begun.elapsed().as_secs_f32());
    for (sql, expected) in [
        ("select count(*) from tikku.schedule_fire where outcome = 'fired'", minutes),
        ("select count(*) from tikku.schedule_fire where array_length(message_ids, 1) = 1", minutes),
        (
            "select count(distinct i.id) from tikku.schedule_fire f cross join unnest(f.message_ids) as i(id) join tikku.message m on m.id = i.id",
            minutes,
        ),
        ("select count(*) from tikku.message_content where schedule_id is not null", minutes),
        (
            "select count(*) from (select due_at - lag(due_at) over (order by due_at) as gap from tikku.schedule_fire) g where gap <> '1 minute'",
            0,
        ),
    ] {
        assert_eq!(count(&client, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_tick_that_was_away_for_a_day_fires_what_each_policy_says() {
    let world = World::new("schedules_away").await;
    let client = world.client().await;
    let mut made = Vec::new();
    for policy in ["skip", "latest", "all"] {
        for (kind, timing) in [("cron", r#""cron": "* * * * *""#), ("interval", r#""everySeconds": 300"#)] {
            let id = make(&world, &world.store, &format!(r#""name": "{kind} {policy}", {timing}, "catchUp": "{policy}""#)).await;
            made.push((policy, id, plan(&world, &world.store, id).await));
        }
    }
    let away_s = 86_400 + 7;
    let late = process(&world, away_s);
    // Before the tick: what it fires ahead may be past when it has ended.
    let now = late.store.schedule_clock().await.unwrap();
    let report = tikku_tick::handle(&late).await.unwrap();
    let mut all = 0;
    for (policy, id, first) in made {
        let times = fired(&client, id).await;
        all += times.len();
        let past: Vec<i64> = times.iter().map(|(due, _)| *due).filter(|due| *due <= now).collect();
        let mut expected = Vec::new();
        let mut due = first.next_ms.unwrap();
        while due <= now {
            expected.push(due);
            due = first.timing.next(first.anchor_ms, due).unwrap();
        }
        match policy {
            "skip" => assert_eq!(past, Vec::<i64>::new()),
            "latest" => assert_eq!(past, expected[expected.len() - 1..]),
            _ => assert_eq!(past, expected),
        }
        let plan = plan(&world, &late.store, id).await;
        assert!(plan.next_ms.unwrap() > now + 90_000 - 5_000, "{policy}: the next lies behind what was fired ahead");
        // The oldest first, so that a flow that keeps the order keeps it.
        let ids =
            "select coalesce(bool_and(m.id > lag), true) from (select i.id, lag(i.id) over (order by f.due_at) from tikku.schedule_fire f
            cross join unnest(f.message_ids) as i(id) where f.schedule_id = $1) m";
        assert!(client.query_one(ids, &[&id.0]).await.unwrap().get::<_, bool>(0), "{policy}");
    }
    assert_eq!(report.fired, all);
    assert_eq!(tikku_tick::handle(&late).await.unwrap().fired, 0, "there is nothing left");
}

#[tokio::test]
async fn what_is_due_soon_is_made_ahead_and_due_to_the_millisecond() {
    let world = World::new("schedules_ahead").await;
    let client = world.client().await;
    let id = make(&world, &world.store, r#""name": "n", "everySeconds": 40"#).await;
    let anchor = plan(&world, &world.store, id).await.anchor_ms;
    assert_eq!(tikku_tick::handle(&process(&world, 0)).await.unwrap().fired, 2);
    let expected = [anchor + 40_000, anchor + 80_000].map(|due| (due, "scheduled".to_owned()));
    assert_eq!(fired(&client, id).await, expected);
    let sql = "select count(*) from tikku.message m join tikku.schedule_fire f on m.id = f.message_ids[1] where m.due_at = f.due_at";
    assert_eq!(count(&client, sql).await, 2);
    let view = world.store.schedule_get(world.account, &id.to_string()).await.unwrap().unwrap().view;
    let next: i64 = view.next_run_at.unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!((next, view.last_run_at), (anchor + 40_000, None), "to people it is still to come");
    let view = world.later(41).schedule_get(world.account, &id.to_string()).await.unwrap().unwrap().view;
    assert_eq!((view.last_message_ids.len(), view.last_outcome.as_deref()), (1, Some("fired")));
}

#[tokio::test]
async fn an_overlapping_run_is_passed_over_only_when_that_was_asked_for() {
    let world = World::new("schedules_overlap").await;
    let client = world.client().await;
    let skip = make(&world, &world.store, r#""name": "skip", "everySeconds": 60, "overlap": "skip""#).await;
    let allow = make(&world, &world.store, r#""name": "allow", "everySeconds": 60"#).await;
    let anchor = plan(&world, &world.store, skip).await.anchor_ms;
    let due = |n: i64| anchor + n * MINUTE;
    let tick = async |seconds: i64| tikku_tick::handle(&process(&world, seconds)).await.unwrap();
    // The first is made ahead; whether the second overlaps is not known yet at 40 s.
    tick(40).await;
    assert_eq!(due_times(&client, skip, "fired").await, [due(1)]);
    assert_eq!(due_times(&client, allow, "fired").await.len(), 2);
    // At 125 s it is: the message of the first is not over.
    tick(125).await;
    assert_eq!(due_times(&client, skip, "skipped").await, [due(2)]);
    deliver(&world, &world.later(126), &client).await;
    // Now that it is over, the third is made ahead, on time.
    tick(136).await;
    assert_eq!(due_times(&client, skip, "fired").await, [due(1), due(3)]);
    let view = world.later(137).schedule_get(world.account, "skip").await.unwrap().unwrap().view;
    assert_eq!(view.last_outcome.as_deref(), Some("skipped"));
    // A run by hand counts as one that is under way.
    deliver(&world, &world.later(181), &client).await;
    let ScheduleRan::Done(puts) = world.later(182).schedule_run(world.account, skip).await.unwrap() else { panic!() };
    assert_eq!((puts.len(), puts[0].state.as_str()), (1, "queued"));
    tick(245).await;
    assert_eq!(due_times(&client, skip, "skipped").await, [due(2), due(4)]);
}

#[tokio::test]
async fn a_week_of_pause_is_not_made_up_for() {
    let world = World::new("schedules_pause").await;
    let client = world.client().await;
    let id = make(&world, &world.store, r#""name": "n", "cron": "* * * * *", "catchUp": "all""#).await;
    tikku_tick::handle(&process(&world, 0)).await.unwrap();
    let before = plan(&world, &world.store, id).await;
    let pause = |store: Store, plan: Plan, change| async move {
        store.schedule_pause(world.account, plan.id, &IfMatch::Any, plan.revision, change).await.unwrap()
    };
    assert_eq!(pause(world.later(0), before.clone(), PauseChange::Pause).await, ScheduleEdit::Done);
    assert_eq!(fired(&client, id).await, Vec::new(), "what was made ahead is taken back");
    assert_eq!(
        count(&client, "select count(*) from tikku.message where state = 'cancelled'").await,
        count(&client, "select count(*) from tikku.message").await
    );
    assert_eq!(pause(world.later(0), before, PauseChange::Pause).await, ScheduleEdit::Done, "pausing twice is the same");
    assert_eq!(tikku_tick::handle(&process(&world, 7 * 86_400)).await.unwrap().fired, 0);
    let week = world.later(7 * 86_400);
    let paused = plan(&world, &week, id).await;
    assert_eq!((paused.revision, paused.next_ms, paused.paused), (2, None, true));
    let next_ms = paused.timing.next(paused.anchor_ms, paused.now_ms);
    assert_eq!(pause(week, paused, PauseChange::Resume { next_ms }).await, ScheduleEdit::Done);
    tikku_tick::handle(&process(&world, 7 * 86_400)).await.unwrap();
    let times = due_times(&client, id, "fired").await;
    assert_eq!((times.first().copied(), times.len() <= 2), (next_ms, true), "{times:?}");
}

#[tokio::test]
async fn a_fire_that_was_computed_before_an_edit_pause_or_delete_makes_nothing() {
    let world = World::new("schedules_stale").await;
    let client = world.client().await;
    for change in ["edit", "pause", "delete"] {
        let id = make(&world, &world.store, &format!(r#""name": "{change}", "everySeconds": 60"#)).await;
        let due = schedule::fires(&world.store.schedule_due(10).await.unwrap());
        assert_eq!(due.len(), 1);
        let plan = plan(&world, &world.store, id).await;
        let done = match change {
            "edit" => edit(&world, &world.store, &plan, r#""name": "edit", "everySeconds": 3600"#).await,
            "pause" => world.store.schedule_pause(world.account, id, &IfMatch::Any, plan.revision, PauseChange::Pause).await.unwrap(),
            _ => world.store.schedule_delete(world.account, id, &IfMatch::Any).await.unwrap(),
        };
        assert_eq!(done, ScheduleEdit::Done);
        let answer = world.store.schedule_fire(&due).await.unwrap();
        assert_eq!((answer.moved, answer.messages), (Vec::new(), 0), "{change}");
    }
    assert_eq!(count(&client, "select count(*) from tikku.message").await, 0);
}

#[tokio::test]
async fn an_edit_takes_back_what_was_made_ahead_but_not_what_has_begun() {
    let world = World::new("schedules_edit").await;
    let client = world.client().await;
    let id = make(&world, &world.store, r#""name": "n", "everySeconds": 40, "body": "old""#).await;
    tikku_tick::handle(&process(&world, 0)).await.unwrap();
    let [(first, _), (second, _)] = &fired(&client, id).await[..] else { panic!() };
    // A push starts up to two seconds early: 39 s after the making the first has begun.
    let later = world.later(39);
    let ids: Vec<MessageId> =
        client.query("select id from tikku.message order by id", &[]).await.unwrap().iter().map(|row| MessageId(row.get(0))).collect();
    assert_eq!(started(&later.message_load(&ids, 100, 1 << 20).await.unwrap()).len(), 1);
    let before = plan(&world, &later, id).await;
    assert_eq!(edit(&world, &later, &before, r#""name": "n", "everySeconds": 40, "body": "new""#).await, ScheduleEdit::Done);
    tikku_tick::handle(&process(&world, 39)).await.unwrap();
    let times = fired(&client, id).await;
    assert_eq!(times[..2], [(*first, "delivering".to_owned()), (*second, "scheduled".to_owned())], "each once");
    let sql = "select convert_from(c.body, 'UTF8') from tikku.schedule_fire f join tikku.message_content c on c.message_id = f.message_ids[1] order by f.due_at";
    let bodies: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(bodies[..2], ["\"old\"", "\"new\""]);
    assert_eq!(count(&client, "select count(*) from tikku.message where state = 'cancelled'").await, 1);
}

#[tokio::test]
async fn an_edit_of_what_is_due_waits_until_it_has_fired() {
    let world = World::new("schedules_edit_due").await;
    let client = world.client().await;
    let id = make(&world, &world.store, r#""name": "n", "everySeconds": 60"#).await;
    let late = world.later(70);
    let old = plan(&world, &late, id).await;
    assert_eq!(edit(&world, &late, &old, r#""name": "n", "everySeconds": 3600"#).await, ScheduleEdit::Moved);
    let fire = old.fire_before_edit().unwrap();
    assert_eq!(late.schedule_fire(std::slice::from_ref(&fire)).await.unwrap().messages, 1);
    assert_eq!(late.schedule_fire(&[fire]).await.unwrap().messages, 0);
    assert_eq!(edit(&world, &late, &old, r#""name": "n", "everySeconds": 3600"#).await, ScheduleEdit::Done, "a fire is no new revision");
    assert_eq!(edit(&world, &late, &old, r#""name": "n", "everySeconds": 7200"#).await, ScheduleEdit::Moved, "an edit is");
    assert_eq!(fired(&client, id).await.len(), 1);
}

#[tokio::test]
async fn ticks_pass_by_a_schedule_that_is_being_changed_and_a_change_waits_for_a_tick() {
    let world = World::new("schedules_blocked").await;
    let client = world.client().await;
    for change in ["edit", "pause", "delete"] {
        let id = make(&world, &world.store, &format!(r#""name": "{change}", "everySeconds": 60"#)).await;
        let due = schedule::fires(&world.store.schedule_due(10).await.unwrap());
        let old = plan(&world, &world.store, id).await;
        let mut blocker = world.client().await;
        let held = blocker.transaction().await.unwrap();
        held.query("select 1 from tikku.schedule where id = $1 for update", &[&id.0]).await.unwrap();
        assert_eq!(world.store.schedule_fire(&due).await.unwrap().moved, Vec::new());
        let changing = async {
            match change {
                "edit" => edit(&world, &world.store, &old, r#""name": "edit", "everySeconds": 3600"#).await,
                "pause" => world.store.schedule_pause(world.account, id, &IfMatch::Any, 1, PauseChange::Pause).await.unwrap(),
                _ => world.store.schedule_delete(world.account, id, &IfMatch::Any).await.unwrap(),
            }
        };
        let release = async {
            world.somebody_waits().await;
            // A tick that came first: it made the message of the due time ahead.
            let sql = "select tikku.schedule_put(s, s.next_at, false, 900000) from tikku.schedule s where id = $1";
            held.query(sql, &[&id.0]).await.unwrap();
            held.execute("update tikku.schedule set next_at = next_at + interval '1 minute' where id = $1", &[&id.0]).await.unwrap();
            held.commit().await.unwrap();
        };
        let (done, ()) = futures_util::future::join(changing, release).await;
        assert_eq!(done, ScheduleEdit::Done, "{change}");
        assert_eq!(fired(&client, id).await, Vec::new(), "{change} saw the tick's message and took it back");
        let left = "select count(*) from tikku.message where state <> 'cancelled'";
        assert_eq!(count(&client, left).await, 0, "{change}");
    }
}

#[tokio::test]
async fn a_fanout_makes_a_message_for_each_endpoint_and_a_missing_one_is_told() {
    let world = World::new("schedules_fanout").await;
    let client = world.client().await;
    let id = make(&world, &world.store, r#""name": "n", "everySeconds": 60, "fanout": "f""#).await;
    assert_eq!(world.store.schedule_run(world.account, id).await.unwrap(), ScheduleRan::NoFanout);
    tikku_tick::handle(&process(&world, 61)).await.unwrap();
    assert_eq!(due_times(&client, id, "no_fanout").await.len(), 2, "one of them ahead");
    let view = world.later(61).schedule_get(world.account, "n").await.unwrap().unwrap().view;
    assert_eq!((view.last_outcome.as_deref(), view.last_run_at), (Some("no_fanout"), None));
    let account = world.account.0;
    client.execute("insert into tikku.fanout (account_id, name) values ($1, 'f')", &[&account]).await.unwrap();
    assert_eq!(world.store.schedule_run(world.account, id).await.unwrap(), ScheduleRan::Done(Vec::new()));
    let endpoints = "insert into tikku.fanout_endpoint (account_id, fanout, url, paused) select $1, 'f', 'https://example.com/' || n, n = 3 from generate_series(1, 3) n";
    client.execute(endpoints, &[&account]).await.unwrap();
    tikku_tick::handle(&process(&world, 185)).await.unwrap();
    assert_eq!(plan(&world, &world.store, id).await.messages, 2);
    let ran = due_times(&client, id, "fired").await;
    assert_eq!(fired(&client, id).await.len(), 4, "{ran:?}: the paused endpoint gets none");
    // What was decided ahead is decided anew.
    let (store, ahead) =
        (world.later(185), "select count(*) from tikku.schedule_fire where due_at > now() + interval '185 s' and not asked");
    let before = count(&client, ahead).await;
    let old = plan(&world, &store, id).await;
    assert_eq!(edit(&world, &store, &old, r#""name": "n", "everySeconds": 60, "fanout": "gone""#).await, ScheduleEdit::Done);
    assert_eq!((before, count(&client, ahead).await), (1, 0));
}

#[tokio::test]
async fn an_account_with_hundreds_of_late_schedules_does_not_hide_another_ones() {
    let world = World::new("schedules_fair").await;
    let client = world.client().await;
    make(&world, &world.store, r#""name": "late", "everySeconds": 1, "catchUp": "all""#).await;
    let copies = "insert into tikku.schedule (account_id, name, anchor_at, every_ms, overlap, catch_up, next_at, look_at, url, method, headers, backoff, max_attempts, timeout_ms, labels)
        select account_id, name || n, anchor_at, every_ms, overlap, catch_up, next_at, look_at, url, method, headers, backoff, max_attempts, timeout_ms, labels
        from tikku.schedule, generate_series(1, 400) n";
    client.execute(copies, &[]).await.unwrap();
    let other = world.store.account_create("other").await.unwrap().unwrap().id;
    let late = world.later(86_400);
    let now_ms = late.schedule_clock().await.unwrap();
    let times = ScheduleTimes { anchor_ms: now_ms, next_ms: Some(now_ms + 1000) };
    let id = late.schedule_create(other, &parsed(r#""name": "mine", "everySeconds": 1"#), times).await.unwrap().unwrap();
    let plans = late.schedule_due(100).await.unwrap();
    assert!(plans.len() == 100 && plans[..2].iter().any(|plan| plan.id == id), "in the first statement");
    let fires = schedule::fires(&plans);
    assert!(fires.iter().any(|fire| fire.id == id) && fires.iter().map(|fire| fire.due_ms.len()).sum::<usize>() <= 1_000);
}

#[tokio::test]
async fn a_poisoned_schedule_does_not_hold_up_the_others() {
    let world = World::new("schedules_poison").await;
    let client = world.client().await;
    for n in 0..5 {
        make(&world, &world.store, &format!(r#""name": "n{n}", "everySeconds": 60"#)).await;
    }
    // What no version of ours writes, and message_content refuses.
    client.batch_execute("alter table tikku.message_content add constraint poison check (method <> 'POISON'); update tikku.schedule set method = 'POISON' where name = 'n2'").await.unwrap();
    let report = tikku_tick::handle(&process(&world, 0)).await.unwrap();
    assert_eq!(report.fired, 4);
}

#[tokio::test]
async fn old_runs_are_pruned_but_the_newest_of_each_schedule() {
    let world = World::new("schedules_prune").await;
    let client = world.client().await;
    let kept = make(&world, &world.store, r#""name": "kept", "everySeconds": 3600, "catchUp": "all""#).await;
    let gone = make(&world, &world.store, r#""name": "gone", "everySeconds": 3600, "catchUp": "all""#).await;
    tikku_tick::handle(&process(&world, 86_400)).await.unwrap();
    assert_eq!(world.store.schedule_delete(world.account, gone, &IfMatch::Any).await.unwrap(), ScheduleEdit::Done);
    let prune = async |days: i64| {
        let client = world.client().await;
        client.batch_execute(&format!("set tikku.clock_offset = '{}s'", days * 86_400)).await.unwrap();
        let mut rows = Vec::new();
        while rows.last() != Some(&0) {
            rows.push(client.query_one("select tikku.schedule_prune(10)", &[]).await.unwrap().get::<_, i32>(0));
        }
        rows
    };
    assert_eq!(prune(30).await, [0]);
    assert_eq!(prune(32).await, [10, 10, 10, 10, 7, 0]);
    assert_eq!((due_times(&client, kept, "fired").await.len(), due_times(&client, gone, "fired").await.len()), (1, 0));
}

#[tokio::test]
async fn tick_finds_what_is_due_by_index_beside_thousands_that_are_not() {
    let world = World::new("schedules_plan").await;
    let client = world.client().await;
    let fill = format!(
        "insert into tikku.schedule (account_id, name, anchor_at, every_ms, overlap, catch_up, next_at, look_at, url, method, headers, backoff, max_attempts, timeout_ms, labels)
         select '{}', 'n' || n, tikku.clock_now(), 1000, 'allow', 'all', tikku.clock_now() + interval '1 day', tikku.clock_now() + interval '1 day', 'https://e.com', 'POST', '[]', '{{}}', 1, 1000, '{{}}'
         from generate_series(1, 20000) n; analyze tikku.schedule",
        world.account.0
    );
    client.batch_execute(&fill).await.unwrap();
    for name in ["schedule::due", "tick::look"] {
        let sql = tikku_store::statements::ALL.iter().find(|sql| sql.starts_with(&format!("-- {name}\n"))).unwrap();
        let rows = client.query(&format!("explain {}", sql.replace("$1", "100")), &[]).await.unwrap();
        let plan = rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
        assert!(plan.contains("schedule_look") && !plan.contains("Seq Scan on schedule"), "{name}\n{plan}");
    }
}

// TIKKU_TEST_LONG=1: 3,000 schedules; otherwise 1,000.
#[tokio::test]
async fn one_tick_fires_all_of_thousands_of_schedules_that_are_due_at_once() {
    let schedules: i64 = if std::env::var("TIKKU_TEST_LONG").is_ok_and(|value| value == "1") { 3_000 } else { 1_000 };
    let world = World::new("schedules_many").await;
    let client = world.client().await;
    make(&world, &world.store, r#""name": "n", "cron": "0 * * * *""#).await;
    let copies = "insert into tikku.schedule (account_id, name, anchor_at, cron, time_zone, overlap, catch_up, next_at, look_at, url, method, headers, backoff, max_attempts, timeout_ms, labels)
        select account_id, name || n, anchor_at, cron, time_zone, overlap, catch_up, next_at, look_at, url, method, headers, backoff, max_attempts, timeout_ms, labels
        from tikku.schedule, generate_series(2, $1::int8) n";
    client.execute(copies, &[&schedules]).await.unwrap();
    client.batch_execute("analyze tikku.schedule").await.unwrap();
    let hour = process(&world, 3_600);
    let begun = Instant::now();
    let report = tikku_tick::handle(&hour).await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} messages of {schedules} schedules in {seconds:.2} s: {:.0} a second", report.fired, report.fired as f64 / seconds);
    let fired =
        count(&client, "select count(distinct schedule_id) from tikku.schedule_fire where due_at <= now() + interval '1 hour'").await;
    assert_eq!((fired, hour.store.schedule_due(1).await.unwrap().len()), (schedules, 0));
}
