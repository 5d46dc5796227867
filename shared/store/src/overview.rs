//! How an account fares: counts in buckets of time, a sample of what was over in each, what waits. Out of scope: what that amounts to
//! (`domain::overview`).
//!
//! All of it goes by indexes that are there for other reasons: ids hold the time of publishing, message_finished the time of the end.

use tikku_domain::ids::{AccountId, BreakerId, MessageId};
use tikku_domain::limits::COUNT_MAX;
use tikku_domain::overview::{self, BUCKET_ROWS_MAX, Bucket, Counted, DESTINATIONS_MAX, Seen, Summary};
use tikku_domain::overview_view::{DestinationHealthView, OldestDueView, OverviewView};
use tikku_domain::run_filter_query;
use tikku_domain::view::StatusCount;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::{Store, StoreError};

/// Messages to be tried again of which the pushes are looked at, the newest.
const RETRYING_MAX: i64 = 500;

/// How many messages were published, and how many over, in each of $3 buckets of $2 ms, counted up to $4.
pub const BUCKETS: &str = "-- overview::buckets
select start_ms, start, published, last_id, finished, last_ms from tikku.overview_buckets($1, $2, $3, $4)";

/// Of each bucket so many messages that were over, and of messages to be tried again the newest, with the last 20 pushes of each.
pub const SAMPLE: &str = "-- overview::sample
select n, state, latency_ms, last, duration_ms, failed, started_ms, destination, retrying from tikku.overview_sample($1, $2, $3, $4, $5)";

/// What waits now, and when tick last looked. The message that has been due for the longest is looked for among the 2,000 that the queue has held
/// for the longest, at the head of the flows of 2,000 that wait for room, and at the head of 200 breakers.
pub const NOW: &str = "-- overview::now
select tikku.rfc3339(tikku.clock_now()) as at, (select extract(epoch from tikku.clock_now() - t.last_at)::float8 from tikku.tick t) as tick_age,
  (select count(*) from (select 1 from tikku.approval a
    where a.account_id = $1 and a.state = 'open' and a.expires_at > tikku.clock_now() limit $2) x) as approvals,
  d.id, tikku.rfc3339(d.due_at) as due_at, extract(epoch from tikku.clock_now() - d.due_at)::float8 as age, d.waiting_for
from (select 1) one left join lateral (
  select x.id, x.due_at, x.waiting_for from (
    (select m.id, m.due_at, case when m.breaker_id is not null then 'breaker' end as waiting_for from (
      select y.id, y.due_at, y.breaker_id from tikku.message y
        where y.account_id = $1 and y.kick_until < tikku.clock_now() + interval '16 minutes' order by y.kick_until limit 2000) m
      where m.due_at <= tikku.clock_now() order by m.due_at limit 1)
    union all
    (select w.id, w.due_at, 'flow' from (select distinct y.flow_key as key from (
      select m.flow_key from tikku.message m where m.account_id = $1 and m.kick_until = 'infinity' and m.flow_key is not null limit 2000) y) f cross join lateral (
      select m.id, m.due_at from tikku.message m
        where m.account_id = $1 and m.flow_key = f.key and m.kick_until is not null and m.breaker_id is null order by m.due_at, m.id limit 1) w
      where w.due_at <= tikku.clock_now() order by w.due_at limit 1)
    union all
    (select w.id, w.due_at, 'breaker' from (select b.id from tikku.breaker b where b.account_id = $1 and b.state <> 'closed' limit 200) b cross join lateral (
      select m.id, m.due_at from tikku.message m where m.breaker_id = b.id order by m.due_at, m.id limit 1) w
      where w.due_at <= tikku.clock_now() order by w.due_at limit 1)
  ) x order by x.due_at limit 1
) d on true";

/// The breakers of these destinations, and those that are not closed.
pub const BREAKERS: &str = "-- overview::breakers
select b.id, b.destination, b.state from tikku.breaker b where b.account_id = $1 and b.destination = any($2)
union
(select b.id, b.destination, b.state from tikku.breaker b where b.account_id = $1 and b.state <> 'closed' order by b.destination limit $3)";

impl Store {
    /// How the account has fared in the last minutes. S, several times.
    pub async fn overview(&self, account: AccountId, minutes: i64) -> Result<OverviewView, StoreError> {
        let (width, buckets) = overview::grid(minutes);
        let width_ms = width * 60_000;
        let params =
            [(&account.0 as _, Type::UUID), (&width_ms as _, Type::INT8), (&buckets as _, Type::INT8), (&BUCKET_ROWS_MAX as _, Type::INT8)];
        let rows = self.rows(BUCKETS, &params).await?;
        let starts: Vec<i64> = rows.iter().map(|row| row.get("start_ms")).collect();
        let buckets: Vec<Bucket> = rows.iter().map(bucket).collect();
        let Summary { buckets, sampled, sample_size, success_rate, latency_ms, push_ms, destinations } =
            self.overview_sample(account, &buckets, &starts, width_ms).await?;
        let destinations = self.overview_breakers(account, destinations).await?;
        let runs = self.run_counts(account, &run_filter_query::all()).await?;
        let most = COUNT_MAX + 1;
        let now = self.row(NOW, &[(&account.0, Type::UUID), (&most, Type::INT8)]).await?;
        Ok(OverviewView {
            at: now.get("at"),
            from: buckets.first().map(|bucket| bucket.from.clone()).unwrap_or_default(),
            bucket_seconds: width * 60,
            buckets,
            sampled,
            sample_size,
            success_rate,
            latency_ms,
            push_ms,
            oldest_due: oldest(&now),
            last_tick_age_seconds: now.get::<_, Option<f64>>("tick_age").map(|age| age.max(0.0)),
            destinations,
            runs,
            approvals_waiting: StatusCount::new(now.get("approvals"), false),
        })
    }

    async fn overview_sample(&self, account: AccountId, buckets: &[Bucket], starts: &[i64], width_ms: i64) -> Result<Summary, StoreError> {
        let shares = overview::shares(buckets, width_ms);
        let params = [
            (&account.0 as _, Type::UUID),
            (&starts as _, Type::INT8_ARRAY),
            (&width_ms as _, Type::INT8),
            (&shares as _, Type::INT8_ARRAY),
            (&RETRYING_MAX as _, Type::INT8),
        ];
        let rows = self.rows(SAMPLE, &params).await?;
        let first = starts.first().copied().unwrap_or_default();
        let seen: Vec<Seen> = rows.iter().flat_map(|row| seen(row, first, width_ms)).collect();
        let mut summary = overview::summarize(buckets, width_ms, &seen);
        summary.sampled |= rows.first().is_some_and(|row| row.get::<_, i64>("retrying") >= RETRYING_MAX);
        Ok(summary)
    }

    /// Adds the breakers to what is known of destinations; those that are not closed come first, seen or not.
    async fn overview_breakers(
        &self,
        account: AccountId,
        mut seen: Vec<DestinationHealthView>,
    ) -> Result<Vec<DestinationHealthView>, StoreError> {
        let names: Vec<&str> = seen.iter().map(|health| health.destination.as_str()).collect();
        let most = DESTINATIONS_MAX as i64;
        let rows = self.rows(BREAKERS, &[(&account.0, Type::UUID), (&names, Type::TEXT_ARRAY), (&most, Type::INT8)]).await?;
        for row in &rows {
            let destination: String = row.get("destination");
            let (state, id) = (row.get::<_, String>("state"), BreakerId(row.get("id")).to_string());
            match seen.iter_mut().find(|health| health.destination == destination) {
                Some(health) => (health.breaker, health.breaker_id) = (Some(state), Some(id)),
                None => seen.push(DestinationHealthView {
                    destination,
                    attempts: 0,
                    failures: 0,
                    push_ms: None,
                    breaker: Some(state),
                    breaker_id: Some(id),
                }),
            }
        }
        seen.sort_by_key(|health| health.breaker.as_deref().is_none_or(|state| state == "closed"));
        seen.truncate(DESTINATIONS_MAX);
        Ok(seen)
    }
}

fn bucket(row: &Row) -> Bucket {
    let start_ms: i64 = row.get("start_ms");
    let span = |last_ms: Option<i64>| last_ms.map_or(0, |last| (last - start_ms).max(0));
    // The first 48 bits of an id are its milliseconds since 1970.
    let last_id = row.get::<_, Option<uuid::Uuid>>("last_id").map(|id| (id.as_u128() >> 80) as i64);
    Bucket {
        from: row.get("start"),
        published: Counted { rows: row.get("published"), span_ms: span(last_id) },
        finished: Counted { rows: row.get("finished"), span_ms: span(row.get("last_ms")) },
    }
}

/// A row is a push, and of the last push of a message that is over that too; or a message that was over without one.
fn seen(row: &Row, first_ms: i64, width_ms: i64) -> impl Iterator<Item = Seen> {
    let of = row.get::<_, Option<i64>>("n").map(|n| (n - 1) as usize);
    let ended =
        of.filter(|_| row.get("last")).map(|bucket| Seen::Ended { bucket, state: row.get("state"), latency_ms: row.get("latency_ms") });
    let push = row.get::<_, Option<i64>>("duration_ms").map(|duration_ms| Seen::Push {
        bucket: usize::try_from((row.get::<_, i64>("started_ms") - first_ms).div_euclid(width_ms)).ok(),
        of,
        destination: row.get::<_, Option<String>>("destination").unwrap_or_default(),
        duration_ms,
        failed: row.get("failed"),
    });
    ended.into_iter().chain(push)
}

fn oldest(row: &Row) -> Option<OldestDueView> {
    let id: Option<uuid::Uuid> = row.get("id");
    id.map(|id| OldestDueView {
        id: MessageId(id).to_string(),
        due_at: row.get("due_at"),
        age_seconds: row.get("age"),
        waiting_for: row.get("waiting_for"),
    })
}
