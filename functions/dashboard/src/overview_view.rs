//! The overview as its page shows it: whether all is well, numbers, charts, destinations, and what to look at.
//!
//! Out of scope: reading it (`overview`); where bars stand (`charts`).

use crate::charts::{self, Chart, ChartBar};
use crate::filter::status_chips;
use crate::link::{Query, segment};
use crate::overview::{Bucket, Count, Destination, Fared, Looked, OldestDue, PATH, RANGES};
use crate::overview_charts::{latency, success, throughput};
use crate::overview_health::health;
use crate::parts::{Chip, Pair, duration, number, shell};
use crate::visitor::Visitor;

const RUN_STATES: [&str; 9] = ["queued", "running", "sleeping", "waiting", "retrying", "paused", "completed", "failed", "cancelled"];

/// The overview, as `templates/overview.html` shows it.
pub struct Overview {
    pub ranges: Vec<Chip>,
    pub empty: bool,
    pub curl: String,
    pub health: String,
    pub health_text: String,
    pub stats: Vec<Stat>,
    pub throughput: Chart,
    pub success: Chart,
    pub latency: Chart,
    pub destinations: Vec<DestinationRow>,
    pub attention: Vec<Attention>,
    pub facts: Vec<Pair>,
    pub runs: Vec<Chip>,
    pub app_curl: String,
}

/// A number.
pub struct Stat {
    pub label: &'static str,
    pub value: String,
    pub unit: String,
    pub hint: String,
    pub tone: &'static str,
    pub href: String,
}

/// A destination, with how it has answered.
pub struct DestinationRow {
    pub destination: String,
    pub href: String,
    pub total: String,
    pub percent: String,
    pub p50: String,
    pub p99: String,
    pub status: &'static str,
    pub status_text: &'static str,
    pub spark: Vec<ChartBar>,
}

/// Something that somebody should look at.
pub struct Attention {
    pub kind: &'static str,
    pub text: String,
    pub detail: String,
    pub href: String,
    pub link: &'static str,
}

/// Of what the API answers.
pub fn view(visitor: &Visitor, range: &str, looked: &Looked) -> Overview {
    let fared = &looked.fared;
    let (kind, text) = health(fared);
    let most = fared.destinations.iter().map(|to| to.attempts).max().unwrap_or_default();
    let curl = |method: &str, path: &str, body: &str| {
        let (auth, json) = (format!("'authorization: Bearer {}…'", visitor.key.hint), "'content-type: application/json'");
        format!("curl {method}{}{path} \\\n  -H {auth} \\\n  -H {json} \\\n  -d {}", visitor.base, shell(body))
    };
    Overview {
        ranges: ranges(range),
        empty: looked.is_new,
        curl: curl("", "/v1/messages", r#"{"url":"https://example.com/hook","body":{"hello":"world"}}"#),
        health: kind.to_owned(),
        health_text: text,
        stats: stats(range, looked),
        throughput: throughput(range, fared),
        success: success(range, fared),
        latency: latency(range, fared),
        destinations: fared.destinations.iter().map(|to| destination(to, most)).collect(),
        attention: attention(looked),
        facts: facts(fared),
        runs: runs(fared),
        app_curl: curl("-X PUT ", "/v1/apps/shop", r#"{"url":"https://example.com/api/tikku"}"#),
    }
}

fn ranges(current: &str) -> Vec<Chip> {
    let chip = |(name, _): &(&str, i64)| Chip {
        label: (*name).to_owned(),
        status: String::new(),
        count: String::new(),
        href: Query::default().with("range", name).on(PATH),
        current: *name == current,
    };
    RANGES.iter().map(chip).collect()
}

fn stats(range: &str, looked: &Looked) -> Vec<Stat> {
    let fared = &looked.fared;
    let sum = |of: fn(&Bucket) -> i64| fared.buckets.iter().map(of).sum::<i64>();
    let about = if fared.sampled { "≈ " } else { "" };
    let (failed, rate) = (sum(|b| b.failed), fared.success_rate);
    let percentiles = fared.latency_ms;
    vec![
        Stat {
            label: "Delivered",
            value: format!("{about}{}", number(sum(|b| b.delivered))),
            unit: format!("in {range}"),
            hint: format!("{} accepted", number(sum(|b| b.published))),
            tone: "",
            href: Query::default().with("status", "delivered").on("/dashboard/messages"),
        },
        Stat {
            label: "Success rate",
            value: rate.map_or_else(|| "–".to_owned(), percent),
            unit: if rate.is_some() { "%".to_owned() } else { String::new() },
            hint: format!("{about}{} failed for good", number(failed)),
            tone: rate.map_or("", |rate| tone(rate < 0.95, rate < 0.8)),
            href: Query::default().with("status", "failed").on("/dashboard/messages"),
        },
        Stat {
            label: "Latency p50",
            value: percentiles.map_or_else(|| "–".to_owned(), |p| amount(p.p50).0),
            unit: percentiles.map_or_else(String::new, |p| amount(p.p50).1.to_owned()),
            hint: percentiles.map_or_else(|| "nothing delivered".to_owned(), |p| format!("p99 {}", duration(p.p99))),
            tone: "",
            href: String::new(),
        },
        oldest(fared.oldest_due.as_ref()),
        Stat {
            label: "Dead letters",
            value: counted(looked.dead),
            unit: String::new(),
            hint: if looked.dead.count == 0 { "none" } else { "retry or delete them" }.to_owned(),
            tone: tone(looked.dead.count > 0, false),
            href: "/dashboard/dlq".to_owned(),
        },
    ]
}

fn oldest(due: Option<&OldestDue>) -> Stat {
    let empty = Stat {
        label: "Oldest due",
        value: "–".to_owned(),
        unit: String::new(),
        hint: "nothing waits".to_owned(),
        tone: "",
        href: String::new(),
    };
    let Some(due) = due else { return empty };
    let (value, unit) = amount((due.age_seconds * 1_000.0) as i64);
    let (hint, waits) = match due.waiting_for.as_deref() {
        Some("flow") => ("waits for room in its flow", true),
        Some("breaker") => ("waits for its destination", true),
        _ => ("due and not pushed yet", false),
    };
    Stat {
        value,
        unit: unit.to_owned(),
        hint: hint.to_owned(),
        tone: tone(!waits && due.age_seconds > 120.0, !waits && due.age_seconds > 300.0),
        href: format!("/dashboard/messages/{}", segment(&due.id)),
        ..empty
    }
}

fn destination(to: &Destination, most: i64) -> DestinationRow {
    let (status, status_text) = match (to.breaker.as_deref(), to.failures) {
        (Some("open"), _) => ("open", "Breaker open"),
        (Some("half_open"), _) => ("retrying", "Probing"),
        (_, 0) => ("ok", "Well"),
        (_, failures) if failures == to.attempts => ("failed", "Failing"),
        _ => ("retrying", "Some fail"),
    };
    let time = |ms: Option<i64>| ms.map_or_else(|| "–".to_owned(), duration);
    let rate = (to.attempts > 0).then(|| (to.attempts - to.failures) as f64 / to.attempts as f64);
    // Lists are searched by a workflow's name as it is.
    let searched = to.destination.strip_prefix("workflow:").map_or_else(
        || Query::default().with("url", &to.destination).on("/dashboard/messages"),
        |name| format!("/dashboard/workflows/{}", segment(name)),
    );
    DestinationRow {
        destination: to.destination.clone(),
        href: searched,
        total: number(to.attempts),
        percent: rate.map_or_else(|| "–".to_owned(), |rate| format!("{} %", percent(rate))),
        p50: time(to.push_ms.map(|p| p.p50)),
        p99: time(to.push_ms.map(|p| p.p99)),
        status,
        status_text,
        spark: charts::share(to.attempts - to.failures, to.failures, most),
    }
}

fn attention(looked: &Looked) -> Vec<Attention> {
    let fared = &looked.fared;
    let breakers: Vec<&str> =
        fared.destinations.iter().filter(|to| to.breaker.as_deref() == Some("open")).map(|to| to.destination.as_str()).collect();
    let paused = fared.runs.get("paused").copied().unwrap_or_default();
    let approvals = fared.approvals_waiting;
    let rows = [
        (approvals.count > 0).then(|| Attention {
            kind: "wait",
            text: format!("{} for an answer.", plural(approvals, "approval waits", "approvals wait")),
            detail: String::new(),
            href: "/dashboard/approvals".to_owned(),
            link: "Answer",
        }),
        (!breakers.is_empty()).then(|| Attention {
            kind: "bad",
            text: format!("{} open.", plural(of(breakers.len()), "circuit breaker is", "circuit breakers are")),
            detail: breakers.join(", "),
            href: "/dashboard/flows?breakers=open".to_owned(),
            link: "Show",
        }),
        (looked.dead.count > 0).then(|| Attention {
            kind: "bad",
            text: format!("{}.", plural(looked.dead, "message is a dead letter", "messages are dead letters")),
            detail: "All attempts are used.".to_owned(),
            href: "/dashboard/dlq".to_owned(),
            link: "Look",
        }),
        (paused.count > 0).then(|| Attention {
            kind: "warn",
            text: format!("{} paused.", plural(paused, "run is", "runs are")),
            detail: "Their code may have changed before what they have recorded.".to_owned(),
            href: "/dashboard/runs?status=paused".to_owned(),
            link: "Show",
        }),
        (!looked.silent_apps.is_empty()).then(|| Attention {
            kind: "warn",
            text: format!("{} not say what it serves.", plural(of(looked.silent_apps.len()), "app did", "apps did")),
            detail: looked.silent_apps.join(", "),
            href: "/dashboard/workflows".to_owned(),
            link: "See why",
        }),
    ];
    rows.into_iter().flatten().collect()
}

fn facts(fared: &Fared) -> Vec<Pair> {
    let tick = fared.last_tick_age_seconds.map_or_else(|| "never".to_owned(), |age| format!("{} ago", whole(age)));
    let push = fared.push_ms.map_or_else(|| "none".to_owned(), |p| format!("p50 {}, p99 {}", duration(p.p50), duration(p.p99)));
    let failed: i64 = fared.buckets.iter().map(|b| b.failed_attempts).sum();
    let basis = if fared.sampled { format!("estimated from {} messages", number(fared.sample_size)) } else { "exact".to_owned() };
    vec![
        Pair::new("Tick ran", tick),
        Pair::new("Pushes take", push),
        Pair::new("Pushes that failed", number(failed)),
        Pair::new("These numbers", basis),
    ]
}

fn runs(fared: &Fared) -> Vec<Chip> {
    if fared.runs.values().all(|count| count.count == 0) {
        return Vec::new();
    }
    let counts = fared.runs.iter().map(|(status, count)| (status.clone(), count.count)).collect();
    let more: Vec<String> = fared.runs.iter().filter(|(_, count)| count.more).map(|(status, _)| status.clone()).collect();
    let chips = status_chips(&Query::default(), "/dashboard/runs", &RUN_STATES, &counts, &more);
    chips.into_iter().map(|chip| Chip { current: false, ..chip }).collect()
}

/// Whole seconds, and what is longer in words: tenths would change with every look.
fn whole(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.0} s") } else { duration((seconds * 1_000.0) as i64) }
}

fn tone(warns: bool, is_bad: bool) -> &'static str {
    if is_bad {
        "bad"
    } else if warns {
        "warn"
    } else {
        ""
    }
}

/// A share as percent, with what it takes to tell nearly all from all.
pub fn percent(share: f64) -> String {
    let floored = (share * 1_000.0).floor() / 10.0;
    if floored.fract() == 0.0 { format!("{floored:.0}") } else { format!("{floored:.1}") }
}

/// A length of time as a number and a unit.
fn amount(ms: i64) -> (String, &'static str) {
    match ms {
        ..1_000 => (ms.max(0).to_string(), "ms"),
        1_000..60_000 => (format!("{:.1}", ms as f64 / 1_000.0), "s"),
        60_000..7_200_000 => ((ms / 60_000).to_string(), "min"),
        _ => ((ms / 3_600_000).to_string(), "h"),
    }
}

fn of(n: usize) -> Count {
    Count { count: n as i64, more: false }
}

fn counted(count: Count) -> String {
    number(count.count) + if count.more { "+" } else { "" }
}

fn plural(count: Count, one: &str, many: &str) -> String {
    format!("{} {}", counted(count), if count.count == 1 && !count.more { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_is_not_all() {
        for (share, expected) in [(1.0, "100"), (0.9999, "99.9"), (0.5, "50"), (0.0, "0"), (0.9949, "99.4")] {
            assert_eq!(percent(share), expected);
        }
    }

    #[test]
    fn a_length_of_time_has_the_unit_that_fits() {
        for (ms, expected) in
            [(41, ("41", "ms")), (1_250, ("1.2", "s")), (90_000, ("1", "min")), (7_200_000, ("2", "h")), (-3, ("0", "ms"))]
        {
            let (value, unit) = amount(ms);
            assert_eq!((value.as_str(), unit), expected, "{ms}");
        }
    }

    #[test]
    fn a_destination_is_as_well_as_its_breaker_and_its_pushes() {
        let row = |attempts, failures, breaker: Option<&str>| {
            let to = Destination {
                destination: "workflow:a b".to_owned(),
                attempts,
                failures,
                push_ms: None,
                breaker: breaker.map(ToOwned::to_owned),
            };
            let row = destination(&to, 10);
            (row.status, row.percent)
        };
        assert_eq!(row(10, 0, Some("closed")), ("ok", "100 %".to_owned()));
        assert_eq!(row(10, 3, None), ("retrying", "70 %".to_owned()));
        assert_eq!(row(10, 10, None), ("failed", "0 %".to_owned()));
        assert_eq!(row(0, 0, Some("open")), ("open", "–".to_owned()));
    }

    #[test]
    fn what_is_counted_reads_as_a_sentence() {
        let count = |count, more| Count { count, more };
        assert_eq!(plural(count(1, false), "run is", "runs are"), "1 run is");
        assert_eq!(plural(count(10_000, true), "run is", "runs are"), "10,000+ runs are");
    }
}
