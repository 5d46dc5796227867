//! Calls of models: when a provider that is busy may be asked again.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tikku_domain::retry::retry_after_ms;

use crate::failure::{Failure, StepError};

pub use crate::wire::AiUsage;

/// Longest wait that a header can ask for.
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// The wait when a busy provider names none.
const WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// Makes an error of a provider's answer that is no success.
///
/// 429, 503 and 529 are tried again without spending an attempt, after what `retry-after-ms`, `Retry-After` or a rate limit's reset ask for (at most a day;
/// 5 s if they say nothing). 408, 409, 425 and 5xx are retriable, other answers are not. `unix_ms`: the time, for dates in headers.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue, StatusCode};
/// use tikku::{StepError, ai};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", HeaderValue::from_static("20"));
/// let error = ai::refused(StatusCode::TOO_MANY_REQUESTS, &headers, "slow down", 0);
/// assert!(matches!(error, StepError::RetryAfter { after, free: true, .. } if after == Duration::from_secs(20)));
/// ```
#[must_use]
pub fn refused(status: StatusCode, headers: &HeaderMap, body: &str, unix_ms: u64) -> StepError {
    let text: String = body.chars().take(2000).collect();
    let failure = Failure::new("ProviderError", format!("{status}: {text}")).with_code(status.as_str());
    match status.as_u16() {
        429 | 503 | 529 => StepError::throttled(wait(headers, unix_ms).unwrap_or(WAIT_DEFAULT), failure),
        408 | 409 | 425 | 500.. => StepError::Retriable(failure),
        _ => StepError::NonRetriable(failure),
    }
}

/// How long a provider asks to wait, by any of the headers in use.
#[must_use]
pub fn wait(headers: &HeaderMap, unix_ms: u64) -> Option<Duration> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    let texts: Vec<(String, String)> = headers.iter().filter_map(pair).collect();
    let common = retry_after_ms(&texts, i64::try_from(unix_ms).unwrap_or(i64::MAX)).map(Duration::from_millis);
    common.or_else(|| provider_reset(&texts)).map(|wait| wait.min(WAIT_MAX))
}

/// OpenAI's `x-ratelimit-reset-requests: 1m2.5s` of the limits that are used up, the longest.
fn provider_reset(headers: &[(String, String)]) -> Option<Duration> {
    let used_up = |what: &str| {
        let remaining = format!("x-ratelimit-remaining-{what}");
        headers.iter().any(|(name, value)| *name == remaining && value.trim() == "0")
    };
    let resets = headers.iter().filter_map(|(name, value)| {
        let what = name.strip_prefix("x-ratelimit-reset-")?;
        used_up(what).then(|| span(value.trim())).flatten()
    });
    resets.max()
}

/// Reads `1h2m3.5s` and `120ms`.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|char: char| char.is_ascii_alphabetic())?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_end = tail.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(tail.len());
        let seconds = match &tail[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = &tail[unit_end..];
    }
    (total > Duration::ZERO).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn wait_of(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        wait(&map, 1_700_000_000_000)
    }

    #[test]
    fn each_providers_way_to_say_wait_is_understood() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait_of(&[("retry-after", "20")]), seconds(20));
        assert_eq!(wait_of(&[("retry-after-ms", "1500"), ("retry-after", "20")]), Some(Duration::from_millis(1500)));
        assert_eq!(wait_of(&[("x-ratelimit-reset", "1700000030")]), seconds(30));
        assert_eq!(
            wait_of(&[("x-ratelimit-reset-tokens", "1m2.5s"), ("x-ratelimit-remaining-tokens", "0")]),
            Some(Duration::from_millis(62_500))
        );
        assert_eq!(wait_of(&[("x-ratelimit-reset-tokens", "6m"), ("x-ratelimit-remaining-tokens", "10")]), None);
        assert_eq!(wait_of(&[("retry-after", "31536000")]), Some(WAIT_MAX));
        assert_eq!(wait_of(&[("retry-after", "soon")]), None);
    }

    #[test]
    fn an_answer_says_whether_asking_again_can_help() {
        let judge = |status| refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), "", 0);
        assert!(matches!(judge(529), StepError::RetryAfter { after: WAIT_DEFAULT, free: true, .. }));
        assert!(matches!(judge(500), StepError::Retriable(_)));
        assert!(matches!(judge(400), StepError::NonRetriable(_)));
    }
}
