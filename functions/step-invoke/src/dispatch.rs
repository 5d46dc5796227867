//! One run, driven: build the invoke, POST it, judge the answer, have it recorded, and go on with what the recorder answers.

use std::pin::pin;

use futures_util::future::{Either, select};
use tikku_domain::destination;
use tikku_domain::limits::{INLINE_BYTES_MAX, REPLY_BYTES_MAX, START_WITHIN_MS};
use tikku_domain::message::{self, Failure, Reply};
use tikku_domain::publish::Rules;
use tikku_domain::workflow::{Dispatch, Journal, Outcome, Settlement};
use tikku_domain::{workflow_invoke, workflow_judge};
use tikku_platform::time::{self, Stopwatch};
use tikku_platform::{Ctx, Push, Slow};
use tikku_store::StoreError;
use tokio::sync::SemaphorePermit;

use crate::record::Recorder;

/// A dispatch that has lasted so long moves to the slow lane.
const SLOW_MS: u64 = 1_000;

/// Where a dispatch is under way; held from the first dispatch of a drive to its end.
enum Place<'a> {
    Slot(#[expect(dead_code, reason = "held until dropped")] SemaphorePermit<'a>),
    Slow(#[expect(dead_code, reason = "held until dropped")] Slow<'a>),
}

/// A run under way in this process.
pub(crate) struct Drive<'a> {
    ctx: &'a Ctx,
    dispatch: Dispatch,
    /// Runs since the dispatch was leased.
    leased: Stopwatch,
    /// Runs since the invocation of this function began.
    watch: Stopwatch,
    place: Option<Place<'a>>,
}

impl<'a> Drive<'a> {
    pub(crate) fn new(ctx: &'a Ctx, dispatch: Dispatch, watch: Stopwatch) -> Self {
        Self { ctx, dispatch, leased: Stopwatch::start(), watch, place: None }
    }

    /// Dispatches the run until it stops to go on at once, or time is up.
    pub(crate) async fn run(mut self, recorder: &Recorder) -> Result<(), StoreError> {
        loop {
            let settlement = self.dispatch().await;
            match recorder.record(self.ctx, settlement).await? {
                Some(next) => self.go_on(*next),
                None => return Ok(()),
            }
        }
    }

    /// The next dispatch: its entries are added to those in memory.
    fn go_on(&mut self, next: Dispatch) {
        let mut journal = std::mem::take(&mut self.dispatch.journal);
        append(&mut journal, next.journal);
        let input = std::mem::take(&mut self.dispatch.input);
        self.dispatch = Dispatch { input, journal: Journal::default(), ..next };
        self.dispatch.journal = journal;
        self.leased = Stopwatch::start();
    }

    async fn dispatch(&mut self) -> Settlement {
        let config = &self.ctx.config;
        if self.place.is_none() {
            self.place = config.run_lanes.slot().await.map(Place::Slot);
        }
        let left_ms = config.batch_deadline_ms().saturating_sub(self.watch.elapsed_ms());
        let timeout_ms = self.dispatch.timeout_ms.min(left_ms);
        if self.leased.elapsed_ms() > START_WITHIN_MS || timeout_ms == 0 {
            return self.settlement(workflow_judge::no_room());
        }
        let outcome = self.invoke(timeout_ms).await;
        let rules = Rules { policy: &config.policy, timeout_seconds_max: config.timeout_seconds_max() };
        let judged = workflow_judge::judge(&self.dispatch, outcome, &rules, self.now_ms());
        let awaits = judged.awaits.map(|tree| tree.to_json());
        Settlement { awaits, ops: judged.ops, ..self.settlement(judged.outcome) }
    }

    /// The end of this dispatch, nothing reported yet.
    fn settlement(&self, outcome: Outcome) -> Settlement {
        let (config, journal) = (&self.ctx.config, &self.dispatch.journal);
        let fits = self.watch.elapsed_ms() + self.dispatch.timeout_ms <= config.batch_deadline_ms();
        // Entries beyond those that stand in the request come as pages: they are of no use here.
        let have = if journal.more { i32::MAX } else { journal.seq };
        let again = fits && !config.is_stopping();
        Settlement { id: self.dispatch.id, fence: self.dispatch.fence, have, outcome, awaits: None, again, ops: Vec::new() }
    }

    /// The database's time, as far as this process knows it.
    fn now_ms(&self) -> i64 {
        self.dispatch.now_ms.saturating_add_unsigned(self.leased.elapsed_ms())
    }

    async fn invoke(&mut self, timeout_ms: u64) -> message::Outcome {
        let (ctx, dispatch) = (self.ctx, &self.dispatch);
        let url = match destination::parse(&ctx.config.policy, &dispatch.url) {
            Ok(url) => url,
            Err(error) => return message::Outcome { duration_ms: 0, result: Reply::failed(Failure::Refused, error.to_string()) },
        };
        let body = workflow_invoke::body(dispatch, workflow_invoke::budget_ms(timeout_ms), &ctx.config.public_url);
        let id = workflow_invoke::webhook_id(dispatch.id, dispatch.fence);
        let headers = workflow_invoke::headers(&dispatch.secrets, id, self.now_ms() / 1000, &body);
        let push = Push { url, method: "POST".to_owned(), headers, body, timeout_ms, body_max: REPLY_BYTES_MAX + 1 };
        let push = pin!(ctx.http.push(push));
        match select(push, pin!(time::sleep_ms(SLOW_MS))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), push)) => {
                if let Some(Place::Slot(_)) = self.place
                    && let Some(slow) = ctx.config.run_lanes.enter_slow(&self.dispatch.url)
                {
                    self.place = Some(Place::Slow(slow));
                }
                push.await
            }
        }
    }
}

/// Adds entries that follow, up to what stands in a request.
fn append(journal: &mut Journal, next: Journal) {
    if journal.more {
        return;
    }
    let mut bytes: usize = journal.entries.iter().map(|entry| entry.bytes()).sum();
    let max = usize::try_from(INLINE_BYTES_MAX).unwrap_or(0);
    for entry in next.entries {
        bytes += entry.bytes();
        if bytes > max {
            journal.more = true;
            return;
        }
        journal.seq = entry.seq;
        journal.entries.push(entry);
    }
    journal.more = next.more;
}

#[cfg(test)]
mod tests {
    use tikku_domain::workflow::Entry;

    use super::*;

    fn entries(seqs: std::ops::RangeInclusive<i32>, bytes: usize, more: bool) -> Journal {
        let entry = |seq| Entry {
            seq,
            key: "a#0".to_owned(),
            kind: "run".to_owned(),
            state: "ok".to_owned(),
            value: Some(vec![b'1'; bytes]),
            error: None,
            child: None,
            echo: false,
        };
        Journal { seq: *seqs.end(), entries: seqs.map(entry).collect(), more }
    }

    #[test]
    fn a_journal_in_memory_grows_up_to_what_stands_in_a_request() {
        let mut journal = entries(1..=2, 10, false);
        append(&mut journal, entries(3..=4, 10, false));
        assert_eq!((journal.entries.len(), journal.seq, journal.more), (4, 4, false));
        append(&mut journal, entries(5..=8, 90_000, false));
        assert_eq!((journal.entries.len(), journal.seq, journal.more), (6, 6, true));
        // What follows comes as pages: a hole must not arise.
        append(&mut journal, entries(9..=9, 1, false));
        assert_eq!((journal.entries.len(), journal.seq, journal.more), (6, 6, true));
    }

    #[test]
    fn what_the_database_could_not_answer_at_once_is_left_to_pages() {
        let mut journal = Journal::default();
        append(&mut journal, entries(1..=3, 10, true));
        assert_eq!((journal.seq, journal.more), (3, true));
    }
}
