//! Makes an overview of what a sample of messages came to. Out of scope: taking the sample.

use std::collections::BTreeMap;

use crate::fields::FieldError;
use crate::filter;
use crate::overview_view::{BucketView, DestinationHealthView, PercentilesView};

/// Buckets of an overview.
pub const BUCKETS_MAX: i64 = 60;
/// Minutes that are shown when none are given.
pub const MINUTES_DEFAULT: i64 = 60;
/// The longest time that is shown: a week.
pub const MINUTES_MAX: i64 = 10_080;
/// Rows of one bucket that are counted; more are estimated.
pub const BUCKET_ROWS_MAX: i64 = 250;
/// Messages that are looked at.
pub const SAMPLE_MAX: i64 = 1_000;
/// Destinations that are shown.
pub const DESTINATIONS_MAX: usize = 20;

/// How many rows a bucket has, as far as they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// At most [`BUCKET_ROWS_MAX`].
    pub rows: i64,
    /// From the bucket's start to the last of them.
    pub span_ms: i64,
}

/// A bucket before it is known what its messages came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its start, RFC 3339.
    pub from: String,
    /// Messages that were accepted.
    pub published: Counted,
    /// Messages that were over.
    pub finished: Counted,
}

/// A message of the sample, or one of its pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A message that was over.
    Ended {
        /// In which bucket.
        bucket: usize,
        /// delivered, failed or cancelled.
        state: String,
        /// From its due time to its end.
        latency_ms: i64,
    },
    /// A push.
    Push {
        /// In which bucket; `None` when it was before the first.
        bucket: Option<usize>,
        /// The bucket in which its message was over; `None` when that is to be tried again.
        of: Option<usize>,
        /// The URL without its query, or the workflow.
        destination: String,
        /// How long it took.
        duration_ms: i64,
        /// Whether it failed.
        failed: bool,
    },
}

/// What a sample says.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// In the order of the buckets.
    pub buckets: Vec<BucketView>,
    /// Whether anything is an estimate.
    pub sampled: bool,
    /// Messages over that were looked at.
    pub sample_size: i64,
    /// Delivered of those that ended delivered or failed.
    pub success_rate: Option<f64>,
    /// Of delivered messages.
    pub latency_ms: Option<PercentilesView>,
    /// Of pushes.
    pub push_ms: Option<PercentilesView>,
    /// Without their breakers, those with most failures first.
    pub destinations: Vec<DestinationHealthView>,
}

/// Reads the number of minutes from decoded query parameters.
pub fn minutes(query: &[(String, String)]) -> Result<i64, Vec<FieldError>> {
    let mut minutes = MINUTES_DEFAULT;
    filter::each(query, |name, value| match (name, value.parse::<i64>()) {
        ("minutes", Ok(n)) if (1..=MINUTES_MAX).contains(&n) => {
            minutes = n;
            Ok(())
        }
        ("minutes", _) => Err(format!("must be an integer from 1 to {MINUTES_MAX}")),
        _ => Err("is not a parameter of the overview".to_owned()),
    })?;
    Ok(minutes)
}

/// The length of a bucket in minutes, and how many there are; the last one is not over.
#[must_use]
pub fn grid(minutes: i64) -> (i64, i64) {
    let width = (minutes + BUCKETS_MAX - 1) / BUCKETS_MAX;
    (width, (minutes + width - 1) / width)
}

/// All of a bucket's rows, guessed from how fast the first came when there were more than were counted.
fn all(counted: Counted, width_ms: i64) -> i64 {
    let Counted { rows, span_ms } = counted;
    if rows < BUCKET_ROWS_MAX { rows } else { (rows * width_ms / span_ms.clamp(1, width_ms)).max(rows) }
}

/// How many messages of each bucket are looked at: all, or a share of [`SAMPLE_MAX`] as large as the bucket's share of all.
#[must_use]
pub fn shares(buckets: &[Bucket], width_ms: i64) -> Vec<i64> {
    let ended: Vec<i64> = buckets.iter().map(|bucket| all(bucket.finished, width_ms)).collect();
    let total: i64 = ended.iter().sum();
    if total <= SAMPLE_MAX {
        return ended;
    }
    // Rounded up, so that a quiet minute is not left out.
    ended.iter().map(|n| (n * SAMPLE_MAX + total - 1) / total).collect()
}

/// Makes the summary of a sample that was taken by [`shares`].
#[must_use]
pub fn summarize(buckets: &[Bucket], width_ms: i64, seen: &[Seen]) -> Summary {
    let mut views: Vec<BucketView> = buckets.iter().map(|bucket| empty(bucket, width_ms)).collect();
    let mut looked_at = vec![0_i64; buckets.len()];
    for one in seen {
        if let Seen::Ended { bucket, .. } = one
            && let Some(n) = looked_at.get_mut(*bucket)
        {
            *n += 1;
        }
    }
    let ended: Vec<i64> = buckets.iter().map(|bucket| all(bucket.finished, width_ms)).collect();
    // What one message that was looked at stands for.
    let weight = |bucket: usize| match (ended.get(bucket), looked_at.get(bucket)) {
        (Some(all), Some(n)) if *n > 0 => *all as f64 / *n as f64,
        _ => 1.0,
    };
    let mut tally = vec![[0.0_f64; 4]; buckets.len()];
    let mut latencies = vec![Vec::new(); buckets.len()];
    let (mut pushes, mut delivered, mut over) = (Vec::new(), 0.0, 0.0);
    let mut health = BTreeMap::<&str, (i64, i64, Vec<i64>)>::new();
    for one in seen {
        match one {
            Seen::Ended { bucket, state, latency_ms } => {
                let column = ["delivered", "failed", "cancelled"].iter().position(|name| name == state);
                let Some((row, column)) = tally.get_mut(*bucket).zip(column) else { continue };
                row[column] += weight(*bucket);
                if column < 2 {
                    over += weight(*bucket);
                }
                if column == 0 {
                    delivered += weight(*bucket);
                    latencies[*bucket].push(*latency_ms);
                }
            }
            Seen::Push { bucket, of, destination, duration_ms, failed } => {
                if let Some(row) = bucket.filter(|_| *failed).and_then(|bucket| tally.get_mut(bucket)) {
                    row[3] += of.map_or(1.0, weight);
                }
                pushes.push(*duration_ms);
                let entry = health.entry(destination).or_default();
                entry.0 += 1;
                entry.1 += i64::from(*failed);
                entry.2.push(*duration_ms);
            }
        }
    }
    let mut partly = false;
    for (index, view) in views.iter_mut().enumerate() {
        [view.delivered, view.failed, view.cancelled, view.failed_attempts] = tally[index].map(|n| n.round() as i64);
        view.latency_ms = percentiles(latencies[index].clone());
        view.estimated |= looked_at[index] < ended[index];
        partly |= view.estimated;
    }
    Summary {
        buckets: views,
        sampled: partly,
        sample_size: looked_at.iter().sum(),
        success_rate: (over > 0.0).then(|| delivered / over),
        latency_ms: percentiles(latencies.concat()),
        push_ms: percentiles(pushes),
        destinations: worst(health),
    }
}

fn empty(bucket: &Bucket, width_ms: i64) -> BucketView {
    let estimated = bucket.published.rows >= BUCKET_ROWS_MAX || bucket.finished.rows >= BUCKET_ROWS_MAX;
    BucketView { from: bucket.from.clone(), published: all(bucket.published, width_ms), estimated, ..BucketView::default() }
}

fn worst(health: BTreeMap<&str, (i64, i64, Vec<i64>)>) -> Vec<DestinationHealthView> {
    let view = |(destination, (attempts, failures, durations)): (&str, (i64, i64, Vec<i64>))| DestinationHealthView {
        destination: destination.to_owned(),
        attempts,
        failures,
        push_ms: percentiles(durations),
        breaker: None,
        breaker_id: None,
    };
    let mut all: Vec<_> = health.into_iter().map(view).collect();
    all.sort_by_key(|one| std::cmp::Reverse((one.failures, one.attempts)));
    all.truncate(DESTINATIONS_MAX);
    all
}

/// By nearest rank: the smallest value that as many percent do not exceed.
fn percentiles(mut values: Vec<i64>) -> Option<PercentilesView> {
    values.sort_unstable();
    let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(PercentilesView { p50: at(50)?, p99: at(99)? })
}

#[cfg(test)]
#[path = "overview_tests.rs"]
mod tests;
