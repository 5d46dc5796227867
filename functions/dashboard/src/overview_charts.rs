//! The charts of the overview: what each of its buckets says.
//!
//! Out of scope: where bars stand (`charts`).

use crate::charts::{self, Chart, Legend, Stack};
use crate::overview::{Bucket, Fared};
use crate::overview_view::percent;
use crate::parts::{duration, number, seconds};

/// What ended, and what was accepted, in each bucket.
pub fn throughput(range: &str, fared: &Fared) -> Chart {
    let per = per(fared.bucket_seconds);
    let highest = fared.buckets.iter().map(|b| (b.delivered + b.failed).max(b.published)).max().unwrap_or_default();
    let top = charts::top(highest);
    let stack = |b: &Bucket| Stack {
        title: format!(
            "{}: {} delivered, {} failed, {} accepted",
            clock(&b.from),
            number(b.delivered),
            number(b.failed),
            number(b.published)
        ),
        parts: vec![("ok", b.delivered), ("bad", b.failed)],
    };
    let accepted: Vec<Option<f64>> = fared.buckets.iter().map(|b| Some(b.published as f64)).collect();
    let sum = |of: fn(&Bucket) -> i64| number(fared.buckets.iter().map(of).sum());
    Chart {
        title: format!("Messages per {per}"),
        legend: vec![
            Legend { kind: "ok", text: "delivered" },
            Legend { kind: "bad", text: "failed" },
            Legend { kind: "soft", text: "accepted" },
        ],
        bars: charts::bars(&fared.buckets.iter().map(stack).collect::<Vec<_>>(), top),
        lines: charts::lines(&accepted, top as f64, "soft"),
        none: highest == 0,
        summary: format!(
            "In the last {range}: {} delivered, {} failed, {} accepted; at most {} per {per}.",
            sum(|b| b.delivered),
            sum(|b| b.failed),
            sum(|b| b.published),
            number(highest)
        ),
        ..scaled(range, &number(top), &number(top / 2))
    }
}

/// The share of what ended that was delivered.
pub fn success(range: &str, fared: &Fared) -> Chart {
    let rate = |b: &Bucket| (b.delivered + b.failed > 0).then(|| b.delivered as f64 / (b.delivered + b.failed) as f64);
    let rates: Vec<Option<f64>> = fared.buckets.iter().map(rate).collect();
    let lowest = rates.iter().flatten().copied().reduce(f64::min);
    Chart {
        title: "Success rate".to_owned(),
        legend: vec![Legend { kind: "main", text: "delivered of those that ended" }],
        lines: charts::lines(&rates, 1.0, "main"),
        none: lowest.is_none(),
        summary: lowest
            .map_or_else(String::new, |low| format!("In the last {range} at least {} percent were delivered at any time.", percent(low))),
        ..scaled(range, "100 %", "50 %")
    }
}

/// From when messages were due until they were delivered.
pub fn latency(range: &str, fared: &Fared) -> Chart {
    let of = |value: fn(&Bucket) -> Option<i64>| fared.buckets.iter().map(value).collect::<Vec<_>>();
    let (p50, p99) = (of(|b| b.latency_ms.map(|p| p.p50)), of(|b| b.latency_ms.map(|p| p.p99)));
    let highest = p99.iter().flatten().copied().max();
    let top = charts::top(highest.unwrap_or_default());
    let points = |values: &[Option<i64>]| values.iter().map(|value| value.map(|ms| ms as f64)).collect::<Vec<_>>();
    let mut lines = charts::lines(&points(&p99), top as f64, "soft");
    lines.extend(charts::lines(&points(&p50), top as f64, "main"));
    let summary = fared.latency_ms.map(|p| format!("In the last {range}: p50 {}, p99 {}.", duration(p.p50), duration(p.p99)));
    Chart {
        title: "Latency, due until delivered".to_owned(),
        legend: vec![Legend { kind: "main", text: "p50" }, Legend { kind: "soft", text: "p99" }],
        lines,
        none: highest.is_none(),
        summary: summary.unwrap_or_default(),
        ..scaled(range, &duration(top), &duration(top / 2))
    }
}

fn scaled(range: &str, y_max: &str, y_mid: &str) -> Chart {
    let (y_max, y_mid) = (y_max.to_owned(), y_mid.to_owned());
    Chart { y_max, y_mid, x_from: format!("{range} ago"), x_to: "now".to_owned(), ..Chart::default() }
}

fn per(bucket_seconds: i64) -> String {
    if bucket_seconds == 60 { "minute".to_owned() } else { seconds(bucket_seconds) }
}

/// "09:15 UTC" of an RFC 3339 time in UTC.
fn clock(time: &str) -> String {
    format!("{} UTC", time.get(11..16).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::Percentiles;

    fn bucket(delivered: i64, failed: i64, latency: Option<i64>) -> Bucket {
        let latency_ms = latency.map(|p50| Percentiles { p50, p99: 2 * p50 });
        Bucket {
            from: "2027-01-31T09:15:00.000Z".to_owned(),
            published: delivered + failed + 1,
            delivered,
            failed,
            failed_attempts: 0,
            latency_ms,
        }
    }

    #[test]
    fn each_chart_has_what_its_buckets_have() {
        let buckets = vec![bucket(8, 0, Some(40)), bucket(0, 0, None), bucket(3, 1, Some(100))];
        let fared = Fared { bucket_seconds: 60, buckets, ..Fared::default() };
        let (through, success, latency) = (throughput("1h", &fared), success("1h", &fared), latency("1h", &fared));
        assert_eq!((through.title.as_str(), through.y_max.as_str(), through.y_mid.as_str()), ("Messages per minute", "10", "5"));
        assert_eq!(through.bars[0].title, "09:15 UTC: 8 delivered, 0 failed, 9 accepted");
        assert_eq!(through.summary, "In the last 1h: 11 delivered, 1 failed, 15 accepted; at most 9 per minute.");
        assert_eq!(through.bars.iter().map(|bar| bar.kind).collect::<Vec<_>>(), ["ok", "ok", "bad"]);
        assert_eq!(success.lines.len(), 2, "nothing ended in the second");
        assert_eq!(success.summary, "In the last 1h at least 75 percent were delivered at any time.");
        assert_eq!((latency.y_max.as_str(), latency.lines.iter().filter(|line| line.kind == "soft").count()), ("200 ms", 2));
        assert!(!through.none && !success.none && !latency.none);
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let fared = Fared { bucket_seconds: 1_440, buckets: vec![Bucket::default()], ..Fared::default() };
        assert!(throughput("24h", &fared).none && success("24h", &fared).none && latency("24h", &fared).none);
        assert_eq!((per(60), per(1_440), clock("2027-01-31T09:15:00.000Z")), ("minute".into(), "24 min".into(), "09:15 UTC".into()));
    }
}
