//! An account's settings: what can be changed and what the API shows. Out of scope: the request limit, which is the operator's to set.

use serde::Serialize;
use utoipa::ToSchema;

use crate::fields::{FieldError, Fields};
use crate::limits::{BREAKER_ATTEMPTS_MAX, BREAKER_OPEN_SECONDS_MAX, BREAKER_PERCENT_MAX, RETENTION_DAYS_MAX};

/// Changes to an account; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// How long finished messages are kept, in days.
    pub retention_days: Option<i32>,
    /// Ended pushes within 60 s that a breaker needs to open.
    pub breaker_attempts: Option<i32>,
    /// Percent of them that must have failed.
    pub breaker_percent: Option<i32>,
    /// How long a breaker stays open before it tries, in milliseconds.
    pub breaker_open_ms: Option<i64>,
}

/// An account as it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// `acc_` and 32 hex digits.
    #[schema(example = "acc_0192f3ab000070008000000000000001")]
    pub id: String,
    /// Unique.
    pub name: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// How long finished messages are kept.
    pub retention_days: i32,
    /// How many requests all its keys together may make in a minute; the operator sets it.
    pub requests_per_minute: i32,
    /// When the circuit breakers of its destinations open.
    pub breaker: BreakerSettings,
    /// One more with every change of its settings; also its ETag.
    pub revision: i64,
}

/// When a destination's circuit breaker opens, and for how long.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerSettings {
    /// It opens when so many pushes at least ended within 60 s,
    pub min_attempts: i32,
    /// and so many percent of them failed; 101 means never.
    pub failure_percent: i32,
    /// How long it stays open before a single push tries.
    pub open_seconds: i64,
}

/// Reads `{retentionDays?, breaker?: {minAttempts?, failurePercent?, openSeconds?}}`.
pub fn parse(json: &[u8]) -> Result<AccountChange, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    // All upper bounds are within i32.
    let retention_days = fields.integer("retentionDays", 1..=RETENTION_DAYS_MAX).map(|n| n as i32);
    let breaker = fields.object("breaker", |breaker| AccountChange {
        retention_days: None,
        breaker_attempts: breaker.integer("minAttempts", 1..=BREAKER_ATTEMPTS_MAX).map(|n| n as i32),
        breaker_percent: breaker.integer("failurePercent", 1..=BREAKER_PERCENT_MAX).map(|n| n as i32),
        breaker_open_ms: breaker.integer("openSeconds", 1..=BREAKER_OPEN_SECONDS_MAX).map(|s| s * 1000),
    });
    fields.finish()?;
    Ok(AccountChange { retention_days, ..breaker.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_stays() {
        assert_eq!(parse(b"{}"), Ok(AccountChange::default()));
        let change = parse(br#"{"retentionDays": 7, "breaker": {"failurePercent": 101, "openSeconds": 5}}"#).unwrap();
        let expected =
            AccountChange { retention_days: Some(7), breaker_percent: Some(101), breaker_open_ms: Some(5000), ..AccountChange::default() };
        assert_eq!(change, expected);
    }

    #[test]
    fn limits_are_inclusive_and_the_request_limit_is_not_the_accounts_own() {
        for (name, most) in [
            ("retentionDays", RETENTION_DAYS_MAX),
            ("minAttempts", BREAKER_ATTEMPTS_MAX),
            ("failurePercent", BREAKER_PERCENT_MAX),
            ("openSeconds", BREAKER_OPEN_SECONDS_MAX),
        ] {
            let json = |n: i64| {
                if name == "retentionDays" { format!(r#"{{"{name}": {n}}}"#) } else { format!(r#"{{"breaker": {{"{name}": {n}}}}}"#) }
            };
            for n in [1, most] {
                assert!(parse(json(n).as_bytes()).is_ok(), "{name} {n}");
            }
            for n in [0, most + 1] {
                assert!(parse(json(n).as_bytes()).is_err(), "{name} {n}");
            }
        }
        assert_eq!(parse(br#"{"requestsPerMinute": 5}"#).unwrap_err()[0].pointer, "/requestsPerMinute");
    }
}
