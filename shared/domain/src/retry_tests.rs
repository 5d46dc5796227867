//! Tables and bounds for `retry`.

use proptest::prelude::*;

use super::BackoffKind::{Exponential, Fixed, Linear};
use super::*;

const DECADE_MS: u64 = 10 * 366 * 86_400_000;
/// 2026-01-01T00:00:00Z.
const NOW_MS: i64 = 1_767_225_600_000;

fn backoff(kind: BackoffKind, initial_ms: u64, factor: f64, max_ms: u64) -> Backoff {
    Backoff { kind, initial_ms, factor, max_ms, jitter: false }
}

#[test]
fn delays_without_jitter_follow_the_formula_up_to_the_cap() {
    let table = [
        (backoff(Exponential, 1000, 2.0, 60_000), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]),
        (backoff(Exponential, 1000, 1.1, 60_000), [1000, 1100, 1210, 1331, 1464, 1611, 1772]),
        (backoff(Exponential, 1000, 1.0, 60_000), [1000; 7]),
        (backoff(Exponential, 1000, 0.5, 60_000), [1000; 7]),
        (backoff(Exponential, 1000, f64::NAN, 60_000), [1000; 7]),
        (backoff(Exponential, 1000, f64::INFINITY, 5000), [1000, 5000, 5000, 5000, 5000, 5000, 5000]),
        (backoff(Exponential, 0, f64::INFINITY, 60_000), [0; 7]),
        (backoff(Exponential, 90_000, 2.0, 60_000), [60_000; 7]),
        (backoff(Linear, 1000, 9.0, 6000), [1000, 2000, 3000, 4000, 5000, 6000, 6000]),
        (backoff(Fixed, 1500, 9.0, 60_000), [1500; 7]),
        (backoff(Fixed, 1500, 9.0, 700), [700; 7]),
        (backoff(Fixed, 1500, 9.0, 0), [0; 7]),
    ];
    for (backoff, expected) in table {
        let delays = [1, 2, 3, 4, 5, 6, 7].map(|attempt| delay_ms(&backoff, attempt, b"seed"));
        assert_eq!(delays, expected, "{backoff:?}");
        assert_eq!(delay_ms(&backoff, 0, b"seed"), expected[0]);
    }
}

#[test]
fn the_largest_arguments_saturate() {
    for kind in [Exponential, Linear, Fixed] {
        for jitter in [false, true] {
            let decade = Backoff { jitter, ..backoff(kind, DECADE_MS, 100.0, DECADE_MS) };
            let least = if jitter { DECADE_MS / 2 } else { DECADE_MS };
            assert!((least..=DECADE_MS).contains(&delay_ms(&decade, 100, b"s")));
            let most = Backoff { jitter, ..backoff(kind, u64::MAX, f64::MAX, u64::MAX) };
            assert!(delay_ms(&most, u32::MAX, b"s") >= u64::MAX / 2);
        }
    }
    assert_eq!(delay_ms(&backoff(Linear, u64::MAX / 2, 1.0, u64::MAX), 3, b""), u64::MAX);
}

#[test]
fn jitter_covers_its_range_evenly_and_depends_on_seed_and_attempt() {
    let jittered = Backoff { jitter: true, ..backoff(Fixed, 1000, 1.0, 1000) };
    let mut buckets = [0_u32; 10];
    for seed in 0..10_000_u32 {
        let delay = delay_ms(&jittered, 1, &seed.to_be_bytes());
        buckets[usize::try_from((delay - 500) * 10 / 501).unwrap()] += 1;
    }
    assert!(buckets.iter().all(|count| (850..1150).contains(count)), "{buckets:?}");
    let attempts: Vec<u64> = (1..=5).map(|n| delay_ms(&jittered, n, b"msg_1")).collect();
    assert!(attempts.windows(2).any(|pair| pair[0] != pair[1]), "{attempts:?}");
}

/// A changed value here would move the retries of messages already under way.
#[test]
fn jitter_is_the_same_on_every_host_and_in_every_version() {
    let jittered = Backoff { jitter: true, ..backoff(Exponential, 1000, 2.0, 3_600_000) };
    let delays = [1, 2, 3, 4].map(|attempt| delay_ms(&jittered, attempt, b"msg_1"));
    assert_eq!(delays, [602, 1261, 3070, 4473]);
    let odd = Backoff { jitter: true, ..backoff(Fixed, 1, 1.0, 1) };
    assert_eq!(delay_ms(&odd, 1, b"x"), 1);
}

fn wait_ms(headers: &[(&str, &str)]) -> Option<u64> {
    let owned: Vec<_> = headers.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    retry_after_ms(&owned, NOW_MS)
}

#[test]
fn one_header_is_read_in_each_of_its_forms() {
    let table = [
        ("Retry-After", "7", Some(7000)),
        ("retry-after", " 7 ", Some(7000)),
        ("RETRY-AFTER", "1.5", Some(1500)),
        ("retry-after", "0.0001", Some(1)),
        ("retry-after", "31536000", Some(31_536_000_000)),
        ("retry-after", "999999999999999999999999", Some(u64::MAX)),
        ("retry-after", "Thu, 01 Jan 2026 00:00:30 GMT", Some(30_000)),
        ("retry-after", "Thursday, 01-Jan-26 00:00:30 GMT", Some(30_000)),
        ("retry-after", "Thu Jan  1 00:00:30 2026", Some(30_000)),
        ("retry-after-ms", "250", Some(250)),
        ("retry-after-ms", "250.5", Some(251)),
        ("RateLimit-Reset", "30", Some(30_000)),
        ("X-RateLimit-Reset", "30", Some(30_000)),
        ("X-Rate-Limit-Reset", "30", Some(30_000)),
        ("x-ratelimit-reset", "999999999", Some(999_999_999_000)),
        ("x-ratelimit-reset", "1767225690", Some(90_000)),
        ("x-ratelimit-reset", "1767225690.25", Some(90_250)),
        ("x-ratelimit-reset", "1767225690250", Some(90_250)),
        ("RateLimit", "\"default\";r=0;t=30", Some(30_000)),
        ("RateLimit", "\"default\"; r=0; t=30", Some(30_000)),
        ("RateLimit", "default;t=30", Some(30_000)),
        ("RateLimit", "\"a\";r=0;t=5, \"b\";r=0;t=60, \"c\";r=9;t=900", Some(60_000)),
        ("RateLimit", "\"a;t=5,b\";r=0;t=7", Some(7000)),
    ];
    for (name, value, expected) in table {
        assert_eq!(wait_ms(&[(name, value)]), expected, "{name}: {value}");
    }
}

#[test]
fn zero_the_past_and_garbage_ask_for_nothing() {
    let table = [
        ("retry-after", "0"),
        ("retry-after", "-5"),
        ("retry-after", "+5"),
        ("retry-after", ""),
        ("retry-after", "soon"),
        ("retry-after", "1e3"),
        ("retry-after", "5s"),
        ("retry-after", ".5"),
        ("retry-after", "5."),
        ("retry-after", "5, 6"),
        ("retry-after", "٣"),
        ("retry-after", "NaN"),
        ("retry-after", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("retry-after", "Wed, 31 Dec 2025 23:59:59 GMT"),
        ("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("retry-after", "2026-01-01T00:01:00Z"),
        ("retry-after", "Thu, 32 Jan 2026 00:00:30 GMT"),
        ("retry-after-ms", "0"),
        ("retry-after-ms", "x"),
        ("x-ratelimit-reset", "1767225600"),
        ("x-ratelimit-reset", "-1"),
        ("x-ratelimit-reset", "1767225599"),
        ("x-ratelimit-reset", "1767225599000"),
        ("x-ratelimit-reset", "1m30s"),
        ("RateLimit", "\"default\";r=3;t=30"),
        ("RateLimit", "t"),
        ("RateLimit", "\"default\";r=0"),
        ("RateLimit", "\"default\";r=0;t=-1"),
        ("RateLimit", ""),
        ("RateLimit", "\"default;t=30"),
        ("RateLimit", "x;time=30"),
        ("x-other", "30"),
    ];
    for (name, value) in table {
        assert_eq!(wait_ms(&[(name, value)]), None, "{name}: {value}");
    }
    assert_eq!(wait_ms(&[]), None);
}

#[test]
fn the_most_exact_header_wins_and_garbage_gives_way() {
    let table: [(&[(&str, &str)], _); 9] = [
        (&[("retry-after", "9"), ("retry-after-ms", "8500")], Some(8500)),
        (&[("retry-after", "9"), ("retry-after-ms", "x")], Some(9000)),
        (&[("retry-after", "x"), ("retry-after", "9")], Some(9000)),
        (&[("x-ratelimit-reset", "60"), ("retry-after", "9")], Some(9000)),
        (&[("x-ratelimit-reset", "60"), ("retry-after", "0")], Some(60_000)),
        (&[("x-ratelimit-reset", "60"), ("x-ratelimit-remaining", "0")], Some(60_000)),
        (&[("x-ratelimit-reset", "60"), ("x-ratelimit-remaining", "4999")], None),
        (&[("x-ratelimit-reset", "60"), ("ratelimit-remaining", "4999")], Some(60_000)),
        (&[("RateLimit", "\"a\";r=0;t=9"), ("RateLimit-Reset", "x")], Some(9000)),
    ];
    for (headers, expected) in table {
        assert_eq!(wait_ms(headers), expected, "{headers:?}");
    }
}

fn any_kind() -> impl Strategy<Value = BackoffKind> {
    prop::sample::select(vec![Exponential, Linear, Fixed])
}

proptest! {
    #[test]
    fn delays_stay_inside_the_documented_bounds(
        kind in any_kind(),
        initial_ms in 0..=DECADE_MS,
        factor in 1.0..=100.0_f64,
        max_ms in 0..=DECADE_MS,
        attempt in 1..=100_u32,
        seed in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let plain = backoff(kind, initial_ms, factor, max_ms);
        let full = delay_ms(&plain, attempt, &seed);
        prop_assert!(full <= max_ms);
        prop_assert!(full >= initial_ms.min(max_ms));
        prop_assert!(delay_ms(&plain, attempt + 1, &seed) >= full);
        let jittered = Backoff { jitter: true, ..plain };
        let delay = delay_ms(&jittered, attempt, &seed);
        prop_assert!((full.div_ceil(2)..=full).contains(&delay), "{delay} of {full}");
        prop_assert_eq!(delay, delay_ms(&jittered, attempt, &seed));
    }

    #[test]
    fn no_header_value_panics(name in "(retry-after(-ms)?|(x-)?ratelimit(-reset)?)", value in ".{0,40}",
                              now_ms in any::<i64>()) {
        let _ = retry_after_ms(&[(name, value)], now_ms);
    }

    #[test]
    fn seconds_and_dates_agree(seconds in 1..200_000_000_u32) {
        let at = std::time::UNIX_EPOCH
            + std::time::Duration::from_millis(NOW_MS.unsigned_abs() + u64::from(seconds) * 1000);
        let date = httpdate::fmt_http_date(at);
        prop_assert_eq!(wait_ms(&[("retry-after", &date)]), Some(u64::from(seconds) * 1000));
        prop_assert_eq!(wait_ms(&[("retry-after", &seconds.to_string())]), Some(u64::from(seconds) * 1000));
    }
}
