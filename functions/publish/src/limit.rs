//! Request limits: every answer to a key says how much of the account's minute is left, and a request beyond it is refused before it
//! does anything.
//!
//! Each process counts in memory and tells the database once a second for each key, the first time before it answers: publishers neither
//! pay a statement each nor wait for each other. So the limit of an account is exact within what its processes accept in a second.
//! Out of scope: what a key may do (`auth`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use tikku_domain::problem::{Kind, Problem};
use tikku_platform::{Ctx, time};
use tikku_store::Usage;

use crate::auth;
use crate::reply::ApiError;

/// How long a process counts by itself.
const TELL_MS: u64 = 1_000;
/// The window of all limits, in seconds.
const WINDOW_S: u64 = 60;
/// Keys that a process remembers.
const KEYS_MAX: usize = 10_000;

type KeyHash = [u8; 32];

/// Counts the request, and refuses it or adds what is left to its answer.
pub async fn layer(State(ctx): State<Arc<Ctx>>, request: Request, next: Next) -> Response {
    let Ok(hash) = auth::key_hash(request.headers()) else { return next.run(request).await };
    let Some(standing) = count(&ctx, &hash).await else { return next.run(request).await };
    let mut response =
        if standing.used > standing.limit { ApiError::from(refusal(&standing)).into_response() } else { next.run(request).await };
    for (name, value) in headers(&standing) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Counts a request; `None` when the key is unknown, or nothing is known of it because the database is away.
async fn count(ctx: &Ctx, hash: &KeyHash) -> Option<Standing> {
    let step = table().count(hash, time::monotonic_ms());
    let told = match step {
        Step::Go(standing) => return Some(standing),
        Step::Tell(told) => told,
    };
    match ctx.store.usage_add(hash, told).await {
        Ok(usage) => table().told(hash, usage, time::monotonic_ms()),
        Err(error) => {
            // The handler meets the same trouble and says so.
            tracing::debug!(%error, "requests could not be counted");
            table().standing(hash, time::monotonic_ms())
        }
    }
}

fn refusal(standing: &Standing) -> Problem {
    let detail = format!(
        "this account may make {} requests a minute and has used them up; nothing was done: try again in {} s",
        standing.limit, standing.seconds_left
    );
    Problem { retry_after_s: u32::try_from(standing.seconds_left).ok(), ..Problem::new(Kind::RateLimited, detail) }
}

/// The fields of draft-ietf-httpapi-ratelimit-headers, and the three that were there before it.
fn headers(standing: &Standing) -> [(HeaderName, String); 5] {
    let (limit, left, seconds) = (standing.limit, standing.limit.saturating_sub(standing.used), standing.seconds_left);
    [
        (HeaderName::from_static("ratelimit-policy"), format!("\"requests\";q={limit};w={WINDOW_S}")),
        (HeaderName::from_static("ratelimit"), format!("\"requests\";r={left};t={seconds}")),
        (HeaderName::from_static("ratelimit-limit"), limit.to_string()),
        (HeaderName::from_static("ratelimit-remaining"), left.to_string()),
        (HeaderName::from_static("ratelimit-reset"), seconds.to_string()),
    ]
}

/// How an account stands with this request counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    limit: u64,
    used: u64,
    seconds_left: u64,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is counted.
    Go(Standing),
    /// The database must be told of so many requests, this one included, before it is known how the account stands.
    Tell(u64),
}

/// What this process knows of the minute of one key's account.
#[derive(Debug)]
struct Count {
    limit: u64,
    /// As the database knows it, this process's included.
    used: u64,
    /// Not told yet.
    pending: u64,
    ends_ms: u64,
    told_ms: u64,
}

impl Count {
    fn standing(&self, now_ms: u64) -> Standing {
        Standing {
            limit: self.limit,
            used: self.used + self.pending,
            seconds_left: self.ends_ms.saturating_sub(now_ms).div_ceil(1000).max(1),
        }
    }
}

#[derive(Debug, Default)]
struct Table(HashMap<KeyHash, Count>);

fn table() -> MutexGuard<'static, Table> {
    static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();
    TABLE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    fn count(&mut self, hash: &KeyHash, now_ms: u64) -> Step {
        let Some(count) = self.0.get_mut(hash) else { return Step::Tell(1) };
        let over = now_ms >= count.ends_ms;
        if over {
            // Until the answer is here, the new minute is as long as it can be.
            *count = Count { limit: count.limit, used: 0, pending: 0, ends_ms: now_ms + WINDOW_S * 1000, told_ms: now_ms };
        }
        count.pending += 1;
        if over || now_ms.saturating_sub(count.told_ms) >= TELL_MS {
            // Others go on counting meanwhile, and do not tell the same again.
            count.told_ms = now_ms;
            count.used += count.pending;
            return Step::Tell(std::mem::take(&mut count.pending));
        }
        Step::Go(count.standing(now_ms))
    }

    fn told(&mut self, hash: &KeyHash, usage: Option<Usage>, now_ms: u64) -> Option<Standing> {
        let Some(usage) = usage else {
            self.0.remove(hash);
            return None;
        };
        if self.0.len() >= KEYS_MAX && !self.0.contains_key(hash) {
            self.0.retain(|_, count| now_ms < count.ends_ms);
            if self.0.len() >= KEYS_MAX {
                // What is forgotten is asked for again.
                self.0.clear();
            }
        }
        let pending = self.0.get(hash).map_or(0, |count| count.pending);
        self.0.insert(*hash, Count { limit: usage.limit, used: usage.used, pending, ends_ms: now_ms + usage.ms_left, told_ms: now_ms });
        self.standing(hash, now_ms)
    }

    fn standing(&self, hash: &KeyHash, now_ms: u64) -> Option<Standing> {
        self.0.get(hash).map(|count| count.standing(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyHash = [7; 32];

    fn usage(used: u64) -> Option<Usage> {
        Some(Usage { limit: 5, used, ms_left: 30_000 })
    }

    #[test]
    fn the_database_is_told_first_and_then_once_a_second() {
        let mut table = Table::default();
        assert_eq!(table.count(&KEY, 0), Step::Tell(1));
        assert_eq!(table.told(&KEY, usage(1), 1), Some(Standing { limit: 5, used: 1, seconds_left: 30 }));
        assert_eq!(table.count(&KEY, 500), Step::Go(Standing { limit: 5, used: 2, seconds_left: 30 }));
        assert_eq!(table.count(&KEY, 1_001), Step::Tell(2), "that one and this one");
        assert_eq!(table.count(&KEY, 1_002), Step::Go(Standing { limit: 5, used: 4, seconds_left: 29 }), "while the answer is under way");
        assert_eq!(table.told(&KEY, usage(40), 1_003), Some(Standing { limit: 5, used: 41, seconds_left: 30 }), "others were busy");
    }

    #[test]
    fn a_minute_that_is_over_is_forgotten() {
        let mut table = Table::default();
        table.told(&KEY, usage(5), 0);
        assert!(matches!(table.count(&KEY, 100), Step::Go(standing) if standing.used == 6));
        assert_eq!(table.count(&KEY, 30_000), Step::Tell(1));
        assert!(matches!(table.count(&KEY, 30_001), Step::Go(standing) if standing.used == 2));
        assert_eq!(table.told(&KEY, None, 30_002), None);
        assert_eq!(table.count(&KEY, 30_003), Step::Tell(1), "a revoked key is unknown");
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Table::default();
        for n in 0..=KEYS_MAX {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            assert!(table.told(&key, usage(1), n as u64).is_some());
        }
        assert!(table.0.len() <= KEYS_MAX);
    }
}
