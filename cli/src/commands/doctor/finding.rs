//! What a check found, and what to do about it.

use serde::Serialize;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and deserves a look.
    Warning,
    /// It does not work.
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in one word or two.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub says: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All is well.
pub fn ok(name: &'static str, says: impl Into<String>) -> Finding {
    Finding { name, verdict: Verdict::Ok, says: says.into(), remedy: None }
}

/// It deserves a look.
pub fn warning(name: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { name, verdict: Verdict::Warning, says: says.into(), remedy: Some(remedy.into()) }
}

/// It does not work.
pub fn failed(name: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { name, verdict: Verdict::Failed, says: says.into(), remedy: Some(remedy.into()) }
}

/// Tick runs every minute, in `tikku dev` every two seconds: two late ones deserve a look, from five on something is broken.
const TICK_LATE_S: f64 = 150.0;
const TICK_GONE_S: f64 = 330.0;

/// Judges how long ago tick last looked; None is never.
pub fn tick(age_s: Option<f64>) -> Finding {
    let remedy =
        "start `tikku dev`, or look at what calls tick every minute (EventBridge Scheduler, the Worker's cron trigger) and at its log";
    match age_s {
        None => failed("tick", "it has never run: nothing delayed, scheduled or lost will be delivered", remedy),
        Some(age) if age > TICK_GONE_S => failed("tick", format!("it last ran {age:.0} s ago, and should every minute"), remedy),
        Some(age) if age > TICK_LATE_S => warning("tick", format!("it last ran {age:.0} s ago, and should every minute"), remedy),
        Some(age) => ok("tick", format!("it last ran {age:.1} s ago")),
    }
}

/// Receivers refuse signatures that are more than five minutes old or early.
const SKEW_SEEN_MS: i64 = 5_000;
const SKEW_BAD_MS: i64 = 120_000;

/// Judges how far a clock is ahead of this machine's.
pub fn skew(whose: &str, ahead_ms: i64) -> Finding {
    let direction = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let says = format!("{whose} is {:.1} s {direction} this machine's", ahead_ms.unsigned_abs() as f64 / 1000.0);
    let remedy = "set the clocks by NTP: receivers refuse signatures whose time is more than five minutes off";
    match ahead_ms.abs() {
        ms if ms > SKEW_BAD_MS => failed("clock", says, remedy),
        ms if ms > SKEW_SEEN_MS => warning("clock", says, remedy),
        _ => ok("clock", says),
    }
}

/// Judges the schema that a database has by the one that this program knows.
pub fn schema(found: i32, known: i32) -> Finding {
    let says = format!("version {found}, this program knows {known}");
    match found.cmp(&known) {
        std::cmp::Ordering::Less => failed("schema", says, "run `tikku migrate` with DATABASE_URL"),
        std::cmp::Ordering::Equal => ok("schema", format!("version {found}")),
        std::cmp::Ordering::Greater => warning("schema", says, "use the `tikku` of the version that is deployed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_each_judgement() {
        let verdicts = [None, Some(2.0), Some(150.0), Some(151.0), Some(331.0)].map(|age| tick(age).verdict);
        assert_eq!(verdicts, [Verdict::Failed, Verdict::Ok, Verdict::Ok, Verdict::Warning, Verdict::Failed]);
        let verdicts = [0, -5_000, 5_001, -120_000, 120_001].map(|ms| skew("x", ms).verdict);
        assert_eq!(verdicts, [Verdict::Ok, Verdict::Ok, Verdict::Warning, Verdict::Warning, Verdict::Failed]);
        assert_eq!([1, 2, 3].map(|found| schema(found, 2).verdict), [Verdict::Failed, Verdict::Ok, Verdict::Warning]);
        assert!(skew("the database's clock", -1_500).says.ends_with("is 1.5 s behind this machine's"));
    }
}
