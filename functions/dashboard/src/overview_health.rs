//! Whether all is well, in one sentence: the worst thing that the overview's numbers say. Out of scope: the numbers (STAGE 1, `/v1/overview`).

use crate::overview::Fared;
use crate::parts::duration;

/// Tick runs every minute at least: so many seconds without it are two that it missed, or five.
const TICK_WARN_S: f64 = 120.0;
const TICK_BAD_S: f64 = 300.0;
/// What is due is pushed within a minute at worst, when tick has to hand it over.
const DUE_WARN_S: f64 = 120.0;
const DUE_BAD_S: f64 = 300.0;

/// ok, warn or bad, and why.
pub fn health(fared: &Fared) -> (&'static str, String) {
    let ago = |seconds: f64| duration((seconds * 1_000.0) as i64);
    let open = fared.destinations.iter().filter(|to| to.breaker.as_deref() == Some("open")).count();
    // What waits for its flow or its destination is late by its own limits.
    let due = fared.oldest_due.as_ref().filter(|due| due.waiting_for.is_none()).map_or(0.0, |due| due.age_seconds);
    let Some(tick) = fared.last_tick_age_seconds else {
        return ("bad", "Tick has never run: nothing that is due later will be pushed.".to_owned());
    };
    if tick > TICK_BAD_S {
        return ("bad", format!("Tick ran {} ago: retries and delayed messages are stuck.", ago(tick)));
    }
    if due > DUE_BAD_S {
        return ("bad", format!("A message has been due for {} and is not pushed.", ago(due)));
    }
    if open > 0 {
        let them = if open == 1 { "A destination fails".to_owned() } else { format!("{open} destinations fail") };
        return ("warn", format!("{them}: the circuit breaker is open, and messages wait."));
    }
    if tick > TICK_WARN_S {
        return ("warn", format!("Tick ran {} ago: it should run every minute.", ago(tick)));
    }
    if due > DUE_WARN_S {
        return ("warn", format!("A message has been due for {}.", ago(due)));
    }
    match fared.success_rate {
        Some(rate) if rate < 0.95 => ("warn", format!("The engine is well, but {} of 100 messages failed for good.", lost(rate))),
        _ => ("ok", "All is well: nothing is overdue, and tick runs.".to_owned()),
    }
}

fn lost(rate: f64) -> i64 {
    (((1.0 - rate) * 100.0).round() as i64).clamp(1, 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::{Destination, OldestDue};

    fn well() -> Fared {
        Fared { last_tick_age_seconds: Some(3.0), success_rate: Some(1.0), ..Fared::default() }
    }

    fn due(age_seconds: f64, waiting_for: Option<&str>) -> Option<OldestDue> {
        Some(OldestDue { id: "msg_1".to_owned(), age_seconds, waiting_for: waiting_for.map(ToOwned::to_owned) })
    }

    #[test]
    fn the_worst_is_said() {
        let open = || Destination {
            destination: "https://a.example".to_owned(),
            attempts: 5,
            failures: 5,
            push_ms: None,
            breaker: Some("open".to_owned()),
        };
        for (fared, kind, text) in [
            (well(), "ok", "All is well"),
            (Fared { last_tick_age_seconds: None, ..well() }, "bad", "Tick has never run"),
            (Fared { last_tick_age_seconds: Some(301.0), destinations: vec![open()], ..well() }, "bad", "Tick ran 5 min 1 s ago"),
            (Fared { last_tick_age_seconds: Some(130.0), ..well() }, "warn", "Tick ran 2 min 10 s ago"),
            (Fared { oldest_due: due(400.0, None), ..well() }, "bad", "A message has been due for 6 min 40 s and is not pushed."),
            (Fared { oldest_due: due(400.0, Some("flow")), ..well() }, "ok", "All is well"),
            (Fared { oldest_due: due(60.0, None), ..well() }, "ok", "All is well"),
            (Fared { destinations: vec![open(), open()], ..well() }, "warn", "2 destinations fail"),
            (Fared { success_rate: Some(0.9), ..well() }, "warn", "The engine is well, but 10 of 100"),
            (Fared { success_rate: None, ..well() }, "ok", "All is well"),
        ] {
            let said = health(&fared);
            assert!(said.0 == kind && said.1.starts_with(text), "{said:?}");
        }
    }
}
