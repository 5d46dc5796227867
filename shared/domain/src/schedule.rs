//! Schedules: what the API accepts, when one is due, and what a tick that was away makes up for. Out of scope: inserting the messages, and
//! whether a run overlaps the one before, which the database decides under the schedule's lock.

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cron::{self, Cron};
use crate::fields::{FieldError, Fields};
use crate::filter;
use crate::ids::ScheduleId;
use crate::limits;
use crate::publish::{self, NewMessage, Rules};

/// When a schedule is due.
#[derive(Clone, Debug)]
pub enum Timing {
    /// By an expression.
    Cron {
        /// As it was written.
        text: String,
        /// The name of its zone, in the database's spelling.
        zone: String,
        /// Read.
        cron: Box<Cron>,
    },
    /// Each so many milliseconds, counted from an anchor, so that it never drifts.
    Every {
        /// The period.
        period_ms: i64,
    },
}

/// What becomes of a due time while messages of earlier ones are not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It fires all the same.
    Allow,
    /// It is passed over.
    Skip,
}

/// What becomes of due times that tick missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// None fires.
    Skip,
    /// The newest fires.
    Latest,
    /// Each fires, the oldest first.
    All,
}

/// A schedule as the API takes it, checked.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// What people call it.
    pub name: String,
    /// When it is due.
    pub timing: Timing,
    /// Whether runs may overlap.
    pub overlap: Overlap,
    /// What is made up for.
    pub catch_up: CatchUp,
    /// Whether it is paused; `None` to leave it as it is.
    pub paused: Option<bool>,
    /// What each due time publishes.
    pub message: NewMessage,
}

/// A schedule as tick sees it. All times are milliseconds since 1970 by the database's clock.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which one.
    pub id: ScheduleId,
    /// Of this revision.
    pub revision: i64,
    /// When it is due.
    pub timing: Timing,
    /// Where an interval is counted from.
    pub anchor_ms: i64,
    /// The first due time that was not decided yet; `None` while it is paused or when there is none.
    pub next_ms: Option<i64>,
    /// What is made up for.
    pub catch_up: CatchUp,
    /// Whether it is paused.
    pub paused: bool,
    /// How many messages a due time makes: the endpoints of its fanout.
    pub messages: i64,
    /// The size of its body.
    pub body_bytes: i64,
    /// When this was read.
    pub now_ms: i64,
}

/// Due times to fire, decided on a plan; the database refuses it if the schedule has moved on since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// Of which schedule.
    pub id: ScheduleId,
    /// At which revision.
    pub revision: i64,
    /// The first undecided due time.
    pub from_ms: i64,
    /// Due times, ascending.
    pub due_ms: Vec<i64>,
    /// The first due time that stays undecided; `None` at the end of time.
    pub next_ms: Option<i64>,
}

impl Overlap {
    /// All, with their names.
    pub const ALL: [(&str, Self); 2] = [("allow", Self::Allow), ("skip", Self::Skip)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
        }
    }
}

impl CatchUp {
    /// All, with their names.
    pub const ALL: [(&str, Self); 3] = [("skip", Self::Skip), ("latest", Self::Latest), ("all", Self::All)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Latest => "latest",
            Self::All => "all",
        }
    }
}

impl Timing {
    /// The first due time after a time; `None` at the end of time.
    pub fn next(&self, anchor_ms: i64, after_ms: i64) -> Option<i64> {
        match self {
            Self::Cron { cron, .. } => cron.next(after_ms),
            Self::Every { period_ms } => {
                let periods = after_ms.saturating_sub(anchor_ms).div_euclid(*period_ms).max(0) + 1;
                anchor_ms.checked_add(period_ms.checked_mul(periods)?)
            }
        }
    }

    /// Whether both are due at the same times, given the same anchor.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cron { text: a, zone: y, .. }, Self::Cron { text: b, zone: z, .. }) => (a, y) == (b, z),
            (Self::Every { period_ms: a }, Self::Every { period_ms: b }) => a == b,
            _ => false,
        }
    }

    /// The last due time from `from_ms`, which is one, to `to_ms`. It halves the time in between: a minutely schedule that nobody
    /// looked after for years has millions of them.
    fn newest(&self, anchor_ms: i64, from_ms: i64, to_ms: i64) -> i64 {
        let (mut newest, mut none_after) = (from_ms, to_ms);
        while none_after - newest > 1 {
            let middle = newest + (none_after - newest) / 2;
            match self.next(anchor_ms, middle).filter(|next| *next <= to_ms) {
                Some(next) => newest = next,
                None => none_after = middle,
            }
        }
        // What lies at the border is a millisecond after a due time, and they are a second apart, unless nothing came between.
        self.next(anchor_ms, newest).filter(|next| *next <= to_ms).unwrap_or(newest)
    }
}

impl Plan {
    /// What is to be fired: due times until `ahead_ms` from now, at most `most`. When the first is more than
    /// [`limits::FIRE_LATE_MS_MAX`] old, tick was away, and the catch-up policy decides on all that is past.
    pub fn fire(&self, ahead_ms: i64, most: usize) -> Option<Fire> {
        let from_ms = self.next_ms?;
        let after = |ms: i64| self.timing.next(self.anchor_ms, ms);
        let (mut due_ms, mut next_ms) = (Vec::new(), Some(from_ms));
        if self.now_ms - from_ms > limits::FIRE_LATE_MS_MAX {
            match self.catch_up {
                CatchUp::All => {}
                CatchUp::Skip => next_ms = after(self.now_ms),
                CatchUp::Latest => {
                    due_ms.push(self.timing.newest(self.anchor_ms, from_ms, self.now_ms));
                    next_ms = after(self.now_ms);
                }
            }
        }
        while let Some(at) = next_ms.filter(|at| *at <= self.now_ms + ahead_ms && due_ms.len() < most) {
            due_ms.push(at);
            next_ms = after(at);
        }
        Some(Fire { id: self.id, revision: self.revision, from_ms, due_ms, next_ms })
    }

    /// What is still to be fired as it was before an edit: what was due until now. What the schedule was catching up with, each of it, ends
    /// with its newest: who edits a schedule because too much comes of it must not first get the rest.
    pub fn fire_before_edit(&self) -> Option<Fire> {
        let catch_up = if self.catch_up == CatchUp::All { CatchUp::Latest } else { self.catch_up };
        // A second is the shortest period.
        let most = (limits::FIRE_LATE_MS_MAX / 1000 + 2) as usize;
        Self { catch_up, ..self.clone() }.fire(0, most).filter(|_| self.next_ms.is_some_and(|next| next <= self.now_ms))
    }
}

/// What one statement fires: each plan gets an equal share of what a statement may insert, and one due time at least; plans that are left
/// over are for the next statement.
pub fn fires(plans: &[Plan]) -> Vec<Fire> {
    let share = limits::FIRES_STATEMENT_MAX / plans.len().max(1) as i64;
    let (mut messages, mut bytes) = (0, 0);
    let mut fires = Vec::new();
    for plan in plans {
        if messages >= limits::FIRES_STATEMENT_MAX || bytes >= limits::FIRES_STATEMENT_BYTES_MAX {
            break;
        }
        let (each, each_bytes) = (plan.messages.max(1), (plan.messages * plan.body_bytes).max(1));
        let most = (share / each).min((limits::FIRES_STATEMENT_BYTES_MAX - bytes) / each_bytes).clamp(1, limits::FIRES_MAX);
        let Some(fire) = plan.fire(limits::FIRE_AHEAD_MS, most as usize) else { continue };
        let due = fire.due_ms.len() as i64;
        (messages, bytes) = (messages + due * each, bytes + due * each_bytes);
        fires.push(fire);
    }
    fires
}

/// Reads a schedule from JSON.
pub fn parse(json: &[u8], rules: &Rules<'_>) -> Result<NewSchedule, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let name = name(&mut fields);
    let timing = timing(&mut fields);
    let overlap = fields.word("overlap", &Overlap::ALL).unwrap_or(Overlap::Allow);
    let catch_up = fields.word("catchUp", &CatchUp::ALL).unwrap_or(CatchUp::Latest);
    let paused = fields.boolean("paused");
    for field in ["delaySeconds", "notBefore", "idempotencyKey", "contentBasedDeduplication"] {
        if fields.raw(field).is_some_and(|raw| raw.get() != "null") {
            fields.refuse(field, "has no meaning in a schedule, which says itself when it publishes");
        }
    }
    let input = input(&mut fields);
    let mut message = publish::take(&mut fields, rules);
    message.body = input.or(message.body);
    fields.finish()?;
    // invariant: without a timing there was an error.
    let Some(timing) = timing else { return Err(Vec::new()) };
    Ok(NewSchedule { name, timing, overlap, catch_up, paused, message })
}

/// Takes the input of the runs that it starts, which is the body of its messages. A null is what an absent one is.
fn input(fields: &mut Fields<'_>) -> Option<Vec<u8>> {
    let input = fields.raw("input").filter(|raw| raw.get() != "null")?;
    if !fields.has("workflow") {
        fields.refuse("input", "belongs to workflow; what is pushed is the body");
    } else if fields.has("body") {
        fields.refuse("input", "and body exclude each other");
    }
    publish::sized(fields, "input", input)
}

fn name(fields: &mut Fields<'_>) -> String {
    let name = fields.required_string("name", 1..=limits::SCHEDULE_NAME_CHARS_MAX);
    if name.chars().any(|c| c.is_control() || c == '/') || name == "." || name == ".." {
        fields.refuse("name", "must not contain control characters or /, and not be . or ..: it stands in URLs");
    } else if name.parse::<ScheduleId>().is_ok() {
        fields.refuse("name", "must not look like the id of a schedule");
    }
    name
}

/// Reads when a schedule would be due from decoded query parameters: cron and timezone, or everySeconds.
pub fn preview(query: &[(String, String)]) -> Result<Timing, Vec<FieldError>> {
    let mut json = serde_json::Map::new();
    filter::each(query, |name, value| {
        let value = match name {
            "cron" | "timezone" => Value::from(value),
            "everySeconds" => value.parse::<i64>().map(Value::from).map_err(|_| "must be an integer".to_owned())?,
            _ => return Err("is not a parameter of a preview".to_owned()),
        };
        json.insert(name.to_owned(), value);
        Ok(())
    })?;
    let json = Value::Object(json).to_string();
    let mut fields = Fields::parse(json.as_bytes()).map_err(|error| vec![error])?;
    let timing = timing(&mut fields);
    let named = |mut error: FieldError| {
        error.pointer = error.pointer.trim_start_matches('/').to_owned();
        error
    };
    fields.finish().map_err(|errors| errors.into_iter().map(named).collect::<Vec<_>>())?;
    // invariant: without a timing there was an error.
    timing.ok_or_else(Vec::new)
}

fn timing(fields: &mut Fields<'_>) -> Option<Timing> {
    let timed = (fields.has("cron"), fields.has("everySeconds"));
    let text = fields.string("cron", 1..=limits::CRON_CHARS_MAX);
    let zone_name = fields.string("timezone", 1..=limits::ZONE_CHARS_MAX);
    let every = fields.integer("everySeconds", 1..=limits::EVERY_SECONDS_MAX);
    match timed {
        (true, true) => fields.refuse("everySeconds", "and cron exclude each other"),
        (false, false) => fields.refuse("cron", "is required, or everySeconds"),
        _ => {}
    }
    if zone_name.is_some() && !timed.0 {
        fields.refuse("timezone", "belongs to cron; an interval is the same in every zone");
    }
    let Some(text) = text else { return every.map(|seconds| Timing::Every { period_ms: seconds * 1000 }) };
    let zone = match zone_name.as_deref().map(cron::zone) {
        None => TimeZone::UTC,
        Some(Ok(zone)) => zone,
        Some(Err(error)) => {
            fields.refuse("timezone", error.to_string());
            TimeZone::UTC
        }
    };
    match read_cron(&text, zone) {
        Ok(timing) => Some(timing),
        Err(error) => {
            fields.refuse("cron", error.to_string());
            None
        }
    }
}

fn read_cron(text: &str, zone: TimeZone) -> Result<Timing, cron::CronError> {
    let name = zone.iana_name().unwrap_or("UTC").to_owned();
    Ok(Timing::Cron { text: text.to_owned(), zone: name, cron: Box::new(Cron::parse(text, zone)?) })
}

impl Timing {
    /// Reads an expression as it was stored.
    pub fn stored_cron(text: &str, zone: &str) -> Result<Self, cron::CronError> {
        read_cron(text, cron::zone(zone)?)
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
