//! What ticks fire while the clocks of Europe/Berlin and Europe/London change: minutes are walked through, as ticks do, over both nights of 2027.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::schedules::{make, process};
use crate::world::World;

/// Ticks once a minute from one time to another; the wall times at which each schedule fired.
async fn walk(name: &str, zone: &str, from: &str, hours: i64, crons: &[&str]) -> Vec<Vec<String>> {
    let world = World::new(name).await;
    let client = world.client().await;
    let now = world.store.schedule_clock().await.unwrap();
    let offset_s = (from.parse::<Timestamp>().unwrap().as_millisecond() - now) / 1000;
    let start = world.later(offset_s);
    let mut ids = Vec::new();
    for (n, cron) in crons.iter().enumerate() {
        let policy = ["skip", "latest", "all"][n % 3];
        ids.push(make(&world, &start, &format!(r#""name": "{n}", "cron": "{cron}", "timezone": "{zone}", "catchUp": "{policy}""#)).await);
    }
    for minute in 0..hours * 60 {
        tikku_tick::handle(&process(&world, offset_s + minute * 60)).await.unwrap();
    }
    let zone = TimeZone::get(zone).unwrap();
    let mut all = Vec::new();
    for id in ids {
        let sql = "select round(date_part('epoch', due_at) * 1000)::int8 from tikku.schedule_fire
            where schedule_id = $1 and due_at < to_timestamp($2::float8 / 1000) and cardinality(message_ids) = 1 order by due_at";
        let end = (now + (offset_s + hours * 3600) * 1000) as f64;
        let rows = client.query(sql, &[&id.0, &end]).await.unwrap();
        let wall = |ms: i64| Timestamp::from_millisecond(ms).unwrap().to_zoned(zone.clone()).strftime("%H:%M%:::z").to_string();
        all.push(rows.iter().map(|row| wall(row.get(0))).collect());
    }
    all
}

#[tokio::test]
async fn in_the_night_in_which_berlin_loses_an_hour_each_time_of_day_fires_once() {
    let fired = walk(
        "cron_berlin_spring",
        "Europe/Berlin",
        "2027-03-28T00:30:30Z",
        2,
        &["30 2 * * *", "*/20 * * * *", "0 3 * * *", "15,45 2,3 * * *"],
    )
    .await;
    // It is 01:30 when the walk begins; 02:00 to 03:00 does not exist.
    assert_eq!(fired[0], ["03:00+02"]);
    assert_eq!(fired[1], ["01:40+01", "03:00+02", "03:20+02", "03:40+02", "04:00+02", "04:20+02"]);
    assert_eq!(fired[2], ["03:00+02"]);
    assert_eq!(fired[3], ["03:00+02", "03:15+02", "03:45+02"]);
}

#[tokio::test]
async fn in_the_night_in_which_berlin_gains_an_hour_each_time_of_day_fires_once() {
    let fired = walk("cron_berlin_autumn", "Europe/Berlin", "2027-10-30T23:50:30Z", 3, &["30 2 * * *", "0 * * * *", "*/30 2 * * *"]).await;
    assert_eq!(fired[0], ["02:30+02"]);
    assert_eq!(fired[1], ["02:00+02", "02:00+01", "03:00+01"]);
    assert_eq!(fired[2], ["02:00+02", "02:30+02", "02:00+01", "02:30+01"]);
}

#[tokio::test]
async fn london_changes_its_clocks_at_one() {
    let spring = walk("cron_london_spring", "Europe/London", "2027-03-28T00:50:30Z", 1, &["30 1 * * *", "*/30 * * * *"]).await;
    assert_eq!(spring, [vec!["02:00+01"], vec!["02:00+01", "02:30+01"]]);
    let autumn = walk("cron_london_autumn", "Europe/London", "2027-10-31T00:10:30Z", 2, &["30 1 * * *", "*/30 1 * * *"]).await;
    assert_eq!(autumn, [vec!["01:30+01"], vec!["01:30+01", "01:00+00", "01:30+00"]]);
}
