//! What an overview says of samples that are whole, and of those that are not.

use super::*;

const WIDTH_MS: i64 = 60_000;

fn bucket(published: i64, finished: i64, span_ms: i64) -> Bucket {
    let from = "2027-01-31T09:00:00.000Z".to_owned();
    Bucket { from, published: Counted { rows: published, span_ms }, finished: Counted { rows: finished, span_ms } }
}

fn ended(bucket: usize, state: &str, latency_ms: i64) -> Seen {
    Seen::Ended { bucket, state: state.to_owned(), latency_ms }
}

fn push(bucket: usize, of: Option<usize>, destination: &str, duration_ms: i64, failed: bool) -> Seen {
    Seen::Push { bucket: Some(bucket), of, destination: destination.to_owned(), duration_ms, failed }
}

#[test]
fn a_grid_has_60_buckets_at_most_and_covers_the_time() {
    for (minutes, width, buckets) in [(1, 1, 1), (60, 1, 60), (61, 2, 31), (1_440, 24, 60), (10_080, 168, 60)] {
        assert_eq!(grid(minutes), (width, buckets), "{minutes}");
        assert!(width * buckets >= minutes && buckets <= BUCKETS_MAX);
    }
}

#[test]
fn a_whole_sample_is_exact() {
    let buckets = [bucket(4, 3, 0), bucket(0, 1, 0)];
    let seen = [
        ended(0, "delivered", 10),
        ended(0, "delivered", 30),
        ended(0, "failed", 9_000),
        ended(1, "cancelled", 5),
        push(0, Some(0), "a", 5, false),
        push(0, Some(0), "a", 7, false),
        push(1, Some(0), "b", 100, true),
        push(1, None, "b", 200, true),
    ];
    let summary = summarize(&buckets, WIDTH_MS, &seen);
    let numbers: Vec<_> = summary.buckets.iter().map(|b| (b.published, b.delivered, b.failed, b.cancelled, b.failed_attempts)).collect();
    assert_eq!(numbers, [(4, 2, 1, 0, 0), (0, 0, 0, 1, 2)]);
    assert_eq!((summary.sampled, summary.sample_size), (false, 4));
    assert_eq!(summary.success_rate, Some(2.0 / 3.0), "what was cancelled is neither");
    assert_eq!(summary.latency_ms, Some(PercentilesView { p50: 10, p99: 30 }), "of what was delivered");
    assert_eq!(summary.buckets.iter().map(|b| b.latency_ms).collect::<Vec<_>>(), [summary.latency_ms, None]);
    assert_eq!(summary.push_ms, Some(PercentilesView { p50: 7, p99: 200 }));
    let health: Vec<_> = summary.destinations.iter().map(|d| (d.destination.as_str(), d.attempts, d.failures)).collect();
    assert_eq!(health, [("b", 2, 2), ("a", 2, 0)]);
}

#[test]
fn nothing_has_no_rate_and_no_percentiles() {
    let summary = summarize(&[bucket(0, 0, 0)], WIDTH_MS, &[]);
    assert_eq!((summary.success_rate, summary.latency_ms, summary.push_ms, summary.sampled), (None, None, None, false));
}

#[test]
fn a_message_of_a_sample_stands_for_those_of_its_bucket_that_were_not_looked_at() {
    // 250 in the first half of the minute: 500 in all of it, of which two were looked at.
    let buckets = [bucket(1, 250, 30_000), bucket(1, 1, 0)];
    let seen = [
        ended(0, "delivered", 1),
        ended(0, "failed", 1),
        ended(1, "delivered", 1),
        push(0, Some(0), "a", 1, true),
        push(0, None, "a", 1, true),
    ];
    let summary = summarize(&buckets, WIDTH_MS, &seen);
    assert_eq!((summary.buckets[0].delivered, summary.buckets[0].failed), (250, 250));
    assert_eq!(summary.buckets[0].failed_attempts, 251, "a push of a message that is not over stands for itself");
    assert_eq!(summary.success_rate, Some(251.0 / 501.0));
    assert_eq!((summary.buckets[0].estimated, summary.buckets[1].estimated, summary.sampled), (true, false, true));
}

#[test]
fn shares_are_all_or_as_large_as_the_buckets() {
    assert_eq!(shares(&vec![bucket(0, 249, 0); 4], WIDTH_MS), [249; 4], "996 are all looked at");
    assert_eq!(shares(&vec![bucket(0, 200, 0); 6], WIDTH_MS), [167; 6], "of 1,200 a sixth of 1,000 each, rounded up");
    let many = shares(&[bucket(0, 250, 6_000), bucket(0, 1, 0), bucket(0, 0, 0)], WIDTH_MS);
    assert_eq!(many, [1_000, 1, 0], "2,500 are estimated of the first");
    assert_eq!(shares(&vec![bucket(0, 250, 60_000); 60], WIDTH_MS).iter().sum::<i64>(), 1_020);
}

#[test]
fn an_estimate_is_never_below_what_was_counted() {
    for (span_ms, rows) in [(60_000, 250), (0, 15_000_000), (30_000, 500), (70_000, 250)] {
        assert_eq!(all(Counted { rows: BUCKET_ROWS_MAX, span_ms }, WIDTH_MS), rows, "{span_ms}");
    }
    assert_eq!(all(Counted { rows: 249, span_ms: 1 }, WIDTH_MS), 249, "all were counted");
}

#[test]
fn percentiles_are_by_nearest_rank() {
    assert_eq!(percentiles(vec![7]), Some(PercentilesView { p50: 7, p99: 7 }));
    assert_eq!(percentiles((1..=100).rev().collect()), Some(PercentilesView { p50: 50, p99: 99 }));
    assert_eq!(percentiles((1..=1_000).collect()), Some(PercentilesView { p50: 500, p99: 990 }));
}

#[test]
fn minutes_are_bounded() {
    let read = |name: &str, value: &str| minutes(&[(name.to_owned(), value.to_owned())]).ok();
    assert_eq!((minutes(&[]).ok(), read("minutes", "1"), read("minutes", "10080")), (Some(60), Some(1), Some(10_080)));
    for (name, value) in [("minutes", "0"), ("minutes", "10081"), ("minutes", "x"), ("hours", "1")] {
        assert_eq!(read(name, value), None, "{name}={value}");
    }
}
