//! One dispatch: the workflow function is polled, given what is recorded, let begin what is new, until it ends or can only wait.
//!
//! Stage: between `serve` and `journal`. A suspended run is a future that stays pending: when it is, nothing is in flight and nothing is left to
//! deliver, the reply says what it waits for. Out of scope: the rules (`journal`), HTTP (`link`).

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::task::{ArcWake, AtomicWaker, waker};
use serde_json::value::RawValue;

use crate::body::panic_text;
use crate::checkpoint::Checkpoint;
use crate::checks;
use crate::failure::Failure;
use crate::link::{Link, Refusal};
use crate::run_info::{Shared, lock};
use crate::wire::{Answer, Diff, Op, Report, Tree, VERSION, null, raw};
use crate::workflow::Work;

/// How long bodies may go on when the budget is over: the engine waits 5 s.
const GRACE: Duration = Duration::from_secs(3);
/// Polls of a workflow that wakes itself before others get the thread.
const POLLS_MAX: usize = 64;

const NOT_A_STEP: &str =
    "the workflow function waits for something that is no step: what it awaits outside of steps is lost when the run is suspended";

/// How a dispatch ends.
#[derive(Debug)]
pub enum End {
    /// With this reply.
    Reply(Vec<u8>),
    /// The program is broken: the engine should try again later.
    Broken(String),
}

/// Notes that the workflow wants to be polled.
#[derive(Default)]
struct Flag {
    woken: AtomicBool,
    outer: AtomicWaker,
}

impl ArcWake for Flag {
    fn wake_by_ref(flag: &Arc<Self>) {
        flag.woken.store(true, Ordering::Release);
        flag.outer.wake();
    }
}

type Timer = Option<BoxFuture<'static, ()>>;

/// A dispatch under way.
pub struct Drive {
    shared: Arc<Shared>,
    link: Link,
    mode: Checkpoint,
    renew: Duration,
    work: Work,
    flag: Arc<Flag>,
    waker: Waker,
    /// No step begins any more: the budget is over, or a pause was asked for.
    stopping: bool,
    under_way: Option<BoxFuture<'static, Result<Answer, Refusal>>>,
    budget: Timer,
    grace: Timer,
    heartbeat: Timer,
    flush: Timer,
    flush_due: bool,
}

enum Event {
    Work,
    Answer(Result<Answer, Refusal>),
    BudgetOver,
    GraceOver,
    Heartbeat,
    Flush,
}

impl Drive {
    pub fn new(shared: Arc<Shared>, link: Link, mode: Checkpoint, budget: Duration, renew: Duration, work: Work) -> Self {
        let flag = Arc::new(Flag::default());
        match mode {
            Checkpoint::Each => {}
            Checkpoint::Batched { max_steps, .. } => shared.journal().early_max = max_steps.max(1),
            Checkpoint::Return => shared.journal().one_reply = true,
        }
        Self {
            budget: Some(shared.host.sleep(budget)),
            waker: waker(flag.clone()),
            shared,
            link,
            mode,
            renew: renew.max(Duration::from_millis(1)),
            work,
            flag,
            stopping: false,
            under_way: None,
            grace: None,
            heartbeat: None,
            flush: None,
            flush_due: false,
        }
    }

    /// Drives the run as far as it goes.
    pub async fn run(mut self) -> End {
        loop {
            if let Some(end) = self.work().await {
                return end;
            }
            let delivered = self.shared.journal().deliver();
            if let Some(waker) = delivered {
                waker.wake();
                continue;
            }
            if self.shared.journal().contradicted {
                return self.silent();
            }
            if let Some(end) = self.read_on().await {
                return end;
            }
            let (ready, diff) = {
                let journal = self.shared.journal();
                (journal.is_ready(), journal.divergence(false))
            };
            if ready {
                continue;
            }
            if let Some(diff) = diff {
                return self.diverged(&diff, "the code asks for other steps than were recorded");
            }
            if !self.stopping && !self.gate_is_shut() && self.shared.journal().begin() {
                continue;
            }
            if let Some(end) = self.wait().await {
                return end;
            }
        }
    }

    /// Polls the workflow until it is still: its end, if it has ended.
    async fn work(&mut self) -> Option<End> {
        let (work, flag, waker) = (&mut self.work, &self.flag, &self.waker);
        let polled = poll_fn(|cx| {
            flag.outer.register(cx.waker());
            for _ in 0..POLLS_MAX {
                flag.woken.store(false, Ordering::Release);
                match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(waker)))) {
                    Ok(Poll::Ready(output)) => return Poll::Ready(Some(Ok(output))),
                    Ok(Poll::Pending) => {}
                    Err(panic) => return Poll::Ready(Some(Err(panic_text(&*panic)))),
                }
                if !flag.woken.load(Ordering::Acquire) {
                    return Poll::Ready(None);
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        match polled {
            None if lock(&self.shared.again).is_some() => Some(self.finish(None).await),
            None => None,
            Some(Ok(output)) => Some(self.finish(Some(output)).await),
            Some(Err(panic)) => Some(End::Broken(format!("the workflow function panicked: {panic}"))),
        }
    }

    /// Reads the next page of the journal, if there is more than was sent along.
    async fn read_on(&mut self) -> Option<End> {
        let cursor = self.shared.journal().next.clone()?;
        let mut page = self.link.page(&cursor);
        let budget = &mut self.budget;
        let read = poll_fn(|cx| match page.poll_unpin(cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => ready(budget, cx).then_some(None).map_or(Poll::Pending, Poll::Ready),
        });
        match read.await {
            Some(Ok(page)) => self.shared.journal().absorb(page),
            Some(Err(Refusal::Stale)) => return Some(self.silent()),
            Some(Err(Refusal::TooLarge(detail) | Refusal::Unacceptable(detail))) => {
                return Some(End::Broken(format!("the engine refused a journal page: {detail}")));
            }
            None => return Some(self.reply(None, false)),
        }
        None
    }

    /// No body may begin: as many results as a crash may cost are not recorded yet.
    fn gate_is_shut(&self) -> bool {
        let journal = self.shared.journal();
        journal.early_max > 0 && journal.outbox.early() >= journal.early_max
    }

    fn checkpoint_is_due(&self) -> bool {
        let journal = self.shared.journal();
        let (outbox, idle) = (&journal.outbox, journal.in_flight == 0);
        if outbox.is_empty() || (self.stopping && idle) {
            return false;
        }
        match self.mode {
            Checkpoint::Return => false,
            Checkpoint::Each => !idle || outbox.settles(),
            Checkpoint::Batched { .. } => self.flush_due || outbox.len() >= journal.early_max || (idle && outbox.settles()),
        }
    }

    /// Nothing can be done at once: sends what is due, and waits for something to happen, or parks the run.
    async fn wait(&mut self) -> Option<End> {
        if self.under_way.is_none() && self.checkpoint_is_due() {
            self.send();
        }
        let (idle, something) = {
            let journal = self.shared.journal();
            (journal.in_flight == 0, !journal.outbox.is_empty())
        };
        if self.under_way.is_none() && idle {
            return Some(self.reply(None, !self.stopping));
        }
        self.set_timers(idle, something);
        match self.event().await {
            Event::Work => {}
            Event::Answer(answer) => return self.answered(answer),
            Event::BudgetOver => {
                self.stopping = true;
                self.grace = Some(self.shared.host.sleep(GRACE));
            }
            Event::GraceOver => {
                self.shared.journal().outbox.unsent();
                return Some(self.reply(None, false));
            }
            Event::Heartbeat if self.under_way.is_none() => self.send(),
            Event::Heartbeat => {}
            Event::Flush => self.flush_due = true,
        }
        None
    }

    fn set_timers(&mut self, idle: bool, something: bool) {
        if self.mode != Checkpoint::Return && !idle && self.heartbeat.is_none() {
            self.heartbeat = Some(self.shared.host.sleep(self.renew));
        }
        if let Checkpoint::Batched { every, .. } = self.mode
            && something
            && self.flush.is_none()
            && !self.flush_due
        {
            self.flush = Some(self.shared.host.sleep(every));
        }
    }

    async fn event(&mut self) -> Event {
        poll_fn(|cx| {
            self.flag.outer.register(cx.waker());
            if self.flag.woken.load(Ordering::Acquire) {
                return Poll::Ready(Event::Work);
            }
            if let Some(Poll::Ready(answer)) = self.under_way.as_mut().map(|under_way| under_way.poll_unpin(cx)) {
                self.under_way = None;
                return Poll::Ready(Event::Answer(answer));
            }
            if ready(&mut self.grace, cx) {
                return Poll::Ready(Event::GraceOver);
            }
            if ready(&mut self.budget, cx) {
                return Poll::Ready(Event::BudgetOver);
            }
            if ready(&mut self.heartbeat, cx) {
                return Poll::Ready(Event::Heartbeat);
            }
            if ready(&mut self.flush, cx) {
                return Poll::Ready(Event::Flush);
            }
            Poll::Pending
        })
        .await
    }

    /// Sends a checkpoint with what waits, perhaps nothing: it renews the lease.
    fn send(&mut self) {
        let mut journal = self.shared.journal();
        let ops = journal.outbox.send();
        let body = report(journal.have, &ops, None);
        drop(journal);
        self.under_way = Some(self.link.checkpoint(body));
        (self.heartbeat, self.flush, self.flush_due) = (None, None, false);
    }

    fn answered(&mut self, answer: Result<Answer, Refusal>) -> Option<End> {
        let mut journal = self.shared.journal();
        match answer {
            Ok(answer) if answer.cancelled || journal.outbox.beaten(&answer) => {}
            Ok(answer) => {
                journal.absorb(answer.journal);
                journal.outbox.answered();
                self.stopping |= answer.pause_requested;
                return None;
            }
            // The engine reads the same ops in the reply, and can say what is wrong with them.
            Err(Refusal::Unacceptable(_)) => {
                journal.outbox.unsent();
                drop(journal);
                return Some(self.reply(None, false));
            }
            // Nothing more can be recorded, and what was not is no reason to try for ever.
            Err(Refusal::TooLarge(detail)) => {
                let last = op(&Op::Fail { error: &checks::too_large(detail) });
                return Some(End::Reply(report(journal.have, &[last], None)));
            }
            Err(Refusal::Stale) => {}
        }
        drop(journal);
        Some(self.silent())
    }

    /// The workflow has ended, or begins anew (without an output).
    async fn finish(&mut self, output: Option<Result<Box<RawValue>, Failure>>) -> End {
        loop {
            while self.under_way.is_some() {
                match self.event().await {
                    Event::Answer(answer) => {
                        if let Some(end) = self.answered(answer) {
                            return end;
                        }
                    }
                    Event::BudgetOver => self.grace = Some(self.shared.host.sleep(GRACE)),
                    Event::GraceOver => {
                        self.shared.journal().outbox.unsent();
                        return self.reply(None, false);
                    }
                    Event::Work => self.flag.woken.store(false, Ordering::Release),
                    Event::Heartbeat | Event::Flush => {}
                }
            }
            if let Some(end) = self.read_on().await {
                return end;
            }
            if self.shared.journal().next.is_some() {
                continue;
            }
            if self.mode == Checkpoint::Return || self.shared.journal().outbox.fits() {
                break;
            }
            self.send();
        }
        if self.shared.journal().contradicted {
            return self.silent();
        }
        let diff = self.shared.journal().divergence(true);
        if let Some(diff) = diff {
            return self.diverged(&diff, "the code ends before it has asked for all that was recorded");
        }
        let op = self.last_op(output);
        self.reply(Some(op), false)
    }

    fn last_op(&self, output: Option<Result<Box<RawValue>, Failure>>) -> Box<RawValue> {
        let bytes_max = self.shared.result_bytes_max;
        let output = match output {
            Some(Ok(value)) if value.get().len() > bytes_max => {
                let message = format!("the output has {} bytes of JSON; {bytes_max} are allowed", value.get().len());
                Some(Err(checks::too_large(message)))
            }
            other => other,
        };
        match output {
            Some(Ok(value)) => op(&Op::Done { value: &value }),
            Some(Err(failure)) => op(&Op::Fail { error: &failure.fitted() }),
            None => {
                let again = lock(&self.shared.again).take();
                let (input, version) = again.map_or_else(|| (null(), None), |again| (again.input, again.version));
                op(&Op::ContinueAsNew { input: &input, version: version.as_deref() })
            }
        }
    }

    fn diverged(&self, diff: &Diff, message: &str) -> End {
        self.reply(Some(op(&Op::Diverged { diff, message })), false)
    }

    /// Nobody reads it: another dispatch has taken over.
    fn silent(&self) -> End {
        let have = self.shared.journal().have;
        End::Reply(report(have, &[], None))
    }

    /// Replies with what there is and the last op, if there is one; `wait`: with what the run waits for.
    fn reply(&self, last: Option<Box<RawValue>>, wait: bool) -> End {
        let mut journal = self.shared.journal();
        let mut ops = journal.outbox.send();
        let cut = !journal.outbox.is_empty();
        let leaves = journal.leaves().filter(|_| wait && !cut);
        if leaves.as_ref().is_some_and(Vec::is_empty) {
            ops.push(op(&Op::Diverged { diff: &Diff::default(), message: NOT_A_STEP }));
            return End::Reply(report(journal.have, &ops, None));
        }
        let tree = leaves.and_then(|leaves| journal.groups.tree(leaves));
        ops.extend(last.filter(|_| !cut));
        End::Reply(report(journal.have, &ops, tree.as_ref()))
    }
}

fn ready(timer: &mut Timer, cx: &mut Context<'_>) -> bool {
    let is_ready = timer.as_mut().is_some_and(|timer| timer.poll_unpin(cx).is_ready());
    if is_ready {
        *timer = None;
    }
    is_ready
}

pub fn op(op: &Op<'_>) -> Box<RawValue> {
    // invariant: texts, numbers and JSON that was parsed before can be written as JSON.
    #[expect(clippy::expect_used, reason = "texts, numbers and JSON can be written as JSON")]
    raw(op).expect("an op is JSON")
}

pub fn report(have: u64, ops: &[Box<RawValue>], tree: Option<&Tree>) -> Vec<u8> {
    // invariant: as above.
    #[expect(clippy::expect_used, reason = "texts, numbers and JSON can be written as JSON")]
    serde_json::to_vec(&Report { v: VERSION, have, ops, tree }).expect("a report is JSON")
}
