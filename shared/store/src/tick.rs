//! What tick asks first, and the health check.

use crate::{Store, StoreError};

/// Which of tick's loops have something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// A row that the queue does not hold.
    pub kick: bool,
    /// A lease that ran out.
    pub lost: bool,
    /// A schedule of which a due time is to be decided.
    pub fire: bool,
    /// A flow or breaker for which rows were left waiting.
    pub waiting: bool,
    /// A run that the queue does not hold.
    pub run_kick: bool,
    /// A dispatch whose lease ran out.
    pub run_lost: bool,
    /// A gate at which runs were left waiting.
    pub gate: bool,
    /// An event that not all who wait for it have, although it is not new.
    pub event: bool,
    /// A signal that SQL sent.
    pub signal: bool,
    /// A run that is over and may have children that are not.
    pub child: bool,
    /// It is time to look for what is older than its retention.
    pub prune: bool,
}

/// The database's own view of how the service is.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// The last migration.
    pub schema_version: i32,
    /// Seconds since tick last looked.
    pub last_tick_age_s: Option<f64>,
}

/// The only statement of an idle tick: notes that it looked, and asks each loop's question.
pub const LOOK: &str = "-- tick::look
with beat as (update tikku.tick set last_at = tikku.clock_now() where only_row)
select exists (select 1 from tikku.account a
    where exists (select 1 from tikku.message m where m.account_id = a.id and m.kick_until <= tikku.clock_now())) as kick,
  exists (select 1 from tikku.message where lease_until < tikku.clock_now()) as lost,
  exists (select 1 from tikku.account a
    where exists (select 1 from tikku.schedule s where s.account_id = a.id and s.look_at <= tikku.clock_now())) as fire,
  exists (select 1 from tikku.flow where next_at <= tikku.clock_now()) or exists (select 1 from tikku.breaker where next_at <= tikku.clock_now()) as waiting,
  exists (select 1 from tikku.account a
    where exists (select 1 from tikku.run r where r.account_id = a.id and r.kick_until <= tikku.clock_now())) as run_kick,
  exists (select 1 from tikku.run where lease_until < tikku.clock_now()) as run_lost,
  exists (select 1 from tikku.gate where next_at <= tikku.clock_now()) as gate,
  exists (select 1 from tikku.event where not applied and at < tikku.clock_now() - interval '5 seconds') as event,
  exists (select 1 from tikku.signal_intake) as signal,
  exists (select 1 from tikku.child_sweep) as child,
  (select prune_at <= tikku.clock_now() from tikku.tick) as prune";

/// Schema version and age of the last tick.
pub const PULSE: &str = "-- tick::pulse
select (select max(version) from tikku.schema_version) as version,
  (select extract(epoch from tikku.clock_now() - last_at)::float8 from tikku.tick) as age";

impl Store {
    /// Looks whether there is anything to do. S.
    pub async fn tick_look(&self) -> Result<Look, StoreError> {
        let row = self.row(LOOK, &[]).await?;
        Ok(Look {
            kick: row.get("kick"),
            lost: row.get("lost"),
            fire: row.get("fire"),
            waiting: row.get("waiting"),
            run_kick: row.get("run_kick"),
            run_lost: row.get("run_lost"),
            gate: row.get("gate"),
            event: row.get("event"),
            signal: row.get("signal"),
            child: row.get("child"),
            prune: row.get("prune"),
        })
    }

    /// Schema version and age of the last tick. S.
    pub async fn pulse(&self) -> Result<Pulse, StoreError> {
        let row = self.row(PULSE, &[]).await?;
        let last_tick_age_s: Option<f64> = row.get("age");
        Ok(Pulse {
            schema_version: row.get::<_, Option<i32>>("version").unwrap_or(0),
            last_tick_age_s: last_tick_age_s.map(|s| s.max(0.0)),
        })
    }
}
