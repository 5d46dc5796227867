//! The host's settings, read from its environment or bindings by name.

use std::sync::Arc;

use tikku_domain::destination::UrlPolicy;
use tikku_domain::limits::{TIMEOUT_RESERVE_SECONDS, TIMEOUT_SECONDS_MAX};

use crate::Lanes;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct ConfigError {
    /// The setting.
    pub name: &'static str,
    /// What is wrong with it and what is allowed.
    pub detail: String,
}

/// What handlers need to know of the host.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which destinations may be pushed to.
    pub policy: UrlPolicy,
    /// How long one deliver invocation may take, in seconds.
    pub host_limit_seconds: u64,
    /// Room for pushes in flight within this process.
    pub lanes: Arc<Lanes>,
    /// Rows that one tick hands over at most; a queue in memory is not endless.
    pub tick_rows_max: usize,
    /// Name of this process, shown with each attempt.
    pub worker: String,
}

impl Config {
    /// Reads `TIKKU_ALLOW_HTTP`, `TIKKU_ALLOW_CIDRS` and `TIKKU_HOST_LIMIT_SECONDS` through `get`; so many slots and no slow lane.
    pub fn read(get: impl Fn(&str) -> Option<String>, slots: usize, worker: String) -> Result<Self, ConfigError> {
        let allow_http = get("TIKKU_ALLOW_HTTP").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let mut allow_cidrs = Vec::new();
        for text in get("TIKKU_ALLOW_CIDRS").unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let cidr = text.parse().map_err(|_| ConfigError {
                name: "TIKKU_ALLOW_CIDRS",
                detail: format!("{text:?} is not a CIDR such as 10.1.0.0/16 or fd00::/8"),
            })?;
            allow_cidrs.push(cidr);
        }
        let limit = get("TIKKU_HOST_LIMIT_SECONDS").unwrap_or_else(|| "900".to_owned());
        let host_limit_seconds = limit.parse::<u64>().ok().filter(|s| (30..=86_400).contains(s)).ok_or(ConfigError {
            name: "TIKKU_HOST_LIMIT_SECONDS",
            detail: format!("{limit:?} is not a number of seconds from 30 to 86400"),
        })?;
        Ok(Self {
            policy: UrlPolicy { allow_http, allow_cidrs },
            host_limit_seconds,
            lanes: Arc::new(Lanes::new(slots, 0)),
            tick_rows_max: usize::MAX,
            worker,
        })
    }

    /// The longest `timeoutSeconds` that this host can keep.
    pub fn timeout_seconds_max(&self) -> i64 {
        let limit = i64::try_from(self.host_limit_seconds).unwrap_or(i64::MAX);
        (limit - TIMEOUT_RESERVE_SECONDS).min(TIMEOUT_SECONDS_MAX)
    }

    /// When a batch must be through, counted from its start, in milliseconds: the host's limit less 15 s.
    pub fn batch_deadline_ms(&self) -> u64 {
        (self.host_limit_seconds - 15) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_or_refused_by_name() {
        let read = |name: &'static str, value: &'static str| Config::read(|n| (n == name).then(|| value.to_owned()), 8, "w".to_owned());
        assert_eq!(read("NONE", "").unwrap().timeout_seconds_max(), 840);
        assert_eq!(read("TIKKU_HOST_LIMIT_SECONDS", "60").unwrap().timeout_seconds_max(), 40);
        assert_eq!(read("TIKKU_ALLOW_CIDRS", "127.0.0.0/8, ::1/128").unwrap().policy.allow_cidrs.len(), 2);
        assert!(read("TIKKU_ALLOW_CIDRS", "10.0.0.1/99").is_err());
        assert!(read("TIKKU_HOST_LIMIT_SECONDS", "5").is_err());
    }
}
