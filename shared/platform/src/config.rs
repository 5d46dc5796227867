//! The host's settings, read from its environment or bindings by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Room for dispatches of runs in flight within this process.
    pub run_lanes: Arc<Lanes>,
    /// Where endpoints of workflows reach the API, without a slash at the end; empty where it is not set.
    pub public_url: String,
    /// Set when this process is to end: no run goes on to another dispatch.
    pub stopping: Arc<AtomicBool>,
    /// Rows that one tick hands over at most; a queue in memory is not endless.
    pub tick_rows_max: usize,
    /// Name of this process, shown with each attempt.
    pub worker: String,
}

impl Config {
    /// Reads `TIKKU_ALLOW_HTTP`, `TIKKU_ALLOW_CIDRS`, `TIKKU_HOST_LIMIT_SECONDS` and `TIKKU_PUBLIC_URL` through `get`; so many slots for
    /// pushes, as many for runs, and no slow lane.
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
            run_lanes: Arc::new(Lanes::new(slots, 0)),
            public_url: public_url(&get("TIKKU_PUBLIC_URL").unwrap_or_default())?,
            stopping: Arc::default(),
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

    /// Whether this process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// For those who dispatch runs: an endpoint that does not know where the engine is could report nothing.
    pub fn public_url_required(&self) -> Result<(), ConfigError> {
        if self.public_url.is_empty() {
            let detail =
                "is not set: it must be the address at which endpoints of workflows reach this API, such as https://tikku.example.com";
            return Err(ConfigError { name: "TIKKU_PUBLIC_URL", detail: detail.to_owned() });
        }
        Ok(())
    }
}

/// The address without a slash at its end.
fn public_url(text: &str) -> Result<String, ConfigError> {
    let base = text.trim().trim_end_matches('/');
    let is_base = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if !base.is_empty() && !url::Url::parse(base).is_ok_and(is_base) {
        let detail = format!("{base:?} is not the base of an HTTP API, such as https://tikku.example.com");
        return Err(ConfigError { name: "TIKKU_PUBLIC_URL", detail });
    }
    Ok(base.to_owned())
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

    #[test]
    fn the_public_address_is_a_base_without_a_slash_at_its_end_or_missing() {
        let read = |value: &'static str| Config::read(|n| (n == "TIKKU_PUBLIC_URL").then(|| value.to_owned()), 8, "w".to_owned());
        assert_eq!(read("https://a.example/").unwrap().public_url, "https://a.example");
        assert_eq!(read("http://127.0.0.1:8787/tikku/").unwrap().public_url, "http://127.0.0.1:8787/tikku");
        assert!(read("https://a.example").unwrap().public_url_required().is_ok());
        assert!(read("").unwrap().public_url_required().unwrap_err().to_string().contains("TIKKU_PUBLIC_URL"));
        for wrong in ["a.example", "ftp://a.example", "https://a.example?b=1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
