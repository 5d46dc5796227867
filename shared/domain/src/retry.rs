//! When to push a message again: the backoff, and the hint an endpoint gives in its reply.
//!
//! Stage: the judge beat of deliver. Out of scope: whether to try again at all and the cap on a hint
//! (`message`), the clock, and dice: jitter is a hash, so the same attempt always gets the same delay.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How delays grow from attempt to attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackoffKind {
    /// `initial * factor^(n-1)` after n attempts.
    Exponential,
    /// `initial * n` after n attempts.
    Linear,
    /// `initial`, always.
    Fixed,
}

/// A message's backoff, stored as JSON with its message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// How delays grow.
    #[serde(rename = "type")]
    pub kind: BackoffKind,
    /// The delay after the first attempt, in milliseconds.
    pub initial_ms: u64,
    /// The growth of an exponential backoff; less than 1, and NaN, count as 1.
    pub factor: f64,
    /// No delay is longer than this many milliseconds.
    pub max_ms: u64,
    /// Spreads each delay d evenly over [d/2, d].
    pub jitter: bool,
}

/// Returns the delay in milliseconds after `attempt` attempts were spent (1-based; 0 counts as 1).
///
/// The delay is capped at `max_ms` before jitter. Jitter is "equal jitter", drawn from SHA-256 of
/// `seed` and `attempt`. All arithmetic saturates.
#[must_use]
pub fn delay_ms(backoff: &Backoff, attempt: u32, seed: &[u8]) -> u64 {
    let attempt = attempt.max(1);
    let initial_ms = backoff.initial_ms;
    let grown_ms = match backoff.kind {
        BackoffKind::Exponential => {
            let growth = backoff.factor.max(1.0).powf(f64::from(attempt - 1));
            saturating_product(initial_ms, growth)
        }
        BackoffKind::Linear => initial_ms.saturating_mul(u64::from(attempt)),
        BackoffKind::Fixed => initial_ms,
    };
    let delay_ms = grown_ms.min(backoff.max_ms);
    if !backoff.jitter {
        return delay_ms;
    }
    let spread_ms = delay_ms / 2;
    delay_ms - spread_ms + draw(seed, attempt) % (spread_ms + 1)
}

/// A float cast saturates, and turns the NaN of 0 * infinity into 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "delays are far below 2^53 ms, and beyond that only the cap matters"
)]
fn saturating_product(initial_ms: u64, growth: f64) -> u64 {
    (initial_ms as f64 * growth).round() as u64
}

fn draw(seed: &[u8], attempt: u32) -> u64 {
    let digest = Sha256::new().chain_update(seed).chain_update(attempt.to_be_bytes()).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Reads from a reply's headers how many milliseconds from `now_epoch_ms` the endpoint asks us to wait.
///
/// The first of these that names a time in the future counts: `retry-after-ms`; `Retry-After` as
/// seconds or as any of the three HTTP-date forms (RFC 9110 sections 10.2.3 and 5.6.7);
/// `RateLimit-Reset`, `X-RateLimit-Reset`, `X-Rate-Limit-Reset` as seconds from now or as an epoch in
/// seconds or milliseconds; `RateLimit: "name";r=0;t=30` (draft-ietf-httpapi-ratelimit-headers). A
/// rate limit with some quota remaining asks for nothing. Zero, the past and garbage give `None`.
#[must_use]
pub fn retry_after_ms(headers: &[(String, String)], now_epoch_ms: i64) -> Option<u64> {
    let read = |name: &str, parse: &dyn Fn(&str) -> Option<u64>| {
        let named = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.filter_map(|(_, value)| parse(value.trim())).find(|wait_ms| *wait_ms > 0)
    };
    let spent = |family: &str| {
        let remaining = format!("{family}-remaining");
        read(&remaining, &|text| scaled_decimal(text, 1000)).is_none()
    };
    let reset = |family: &str| {
        let name = format!("{family}-reset");
        spent(family).then(|| read(&name, &|text| reset_ms(text, now_epoch_ms))).flatten()
    };
    read("retry-after-ms", &|text| scaled_decimal(text, 1))
        .or_else(|| read("retry-after", &|text| seconds_or_date_ms(text, now_epoch_ms)))
        .or_else(|| ["ratelimit", "x-ratelimit", "x-rate-limit"].into_iter().find_map(reset))
        .or_else(|| read("ratelimit", &policies_ms))
}

fn seconds_or_date_ms(text: &str, now_epoch_ms: i64) -> Option<u64> {
    scaled_decimal(text, 1000).or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        until_ms(u64::try_from(since_epoch.as_millis()).ok()?, now_epoch_ms)
    })
}

/// Tells seconds from now from an epoch by size: 10^9 s is 31 years from now or the year 2001, and
/// 10^11 is the year 5138 in seconds or 1973 in milliseconds.
fn reset_ms(text: &str, now_epoch_ms: i64) -> Option<u64> {
    let as_seconds_ms = scaled_decimal(text, 1000)?;
    match as_seconds_ms / 1000 {
        0..1_000_000_000 => Some(as_seconds_ms),
        1_000_000_000..100_000_000_000 => until_ms(as_seconds_ms, now_epoch_ms),
        _ => until_ms(scaled_decimal(text, 1)?, now_epoch_ms),
    }
}

fn until_ms(epoch_ms: u64, now_epoch_ms: i64) -> Option<u64> {
    u64::try_from(i128::from(epoch_ms) - i128::from(now_epoch_ms)).ok()
}

/// The longest `t` of the rate limits in a `RateLimit` field that have no quota left (`r` absent or 0).
fn policies_ms(text: &str) -> Option<u64> {
    // A quoted policy name may hold the separators; what is inside quotes is of no interest.
    let bare: String = text.split('"').step_by(2).collect();
    let wait_ms = |policy: &str| {
        let parameter = |name: &str| {
            let values = policy.split(';').filter_map(|p| p.trim().strip_prefix(name));
            values.filter_map(|value| value.strip_prefix('=')).next_back()
        };
        let spent = parameter("r").is_none_or(|remaining| scaled_decimal(remaining, 1) == Some(0));
        spent.then(|| scaled_decimal(parameter("t")?, 1000)).flatten()
    };
    bare.split(',').filter_map(wait_ms).max()
}

/// Reads `digits[.digits]`, times `scale` (a power of ten up to 1000), rounded up; too large a number
/// saturates. Signs, exponents and anything else are `None`.
fn scaled_decimal(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // invariant: digits only, so the one way to fail is to be too large.
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let mut part = 0;
    let mut unit = scale;
    for digit in fraction.bytes().map(|byte| u64::from(byte - b'0')) {
        if unit < 10 {
            // Below the resolution: any remainder counts as one more.
            part += u64::from(digit > 0);
            if digit > 0 {
                break;
            }
        } else {
            unit /= 10;
            part += digit * unit;
        }
    }
    Some(whole.saturating_mul(scale).saturating_add(part))
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
