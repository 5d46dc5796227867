//! Steps with a body: `step.run` and `step.ai`.
//!
//! Stage: inside the workflow's future, which polls the body in place. Out of scope: when a body may begin (`journal`).

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::checks;
use crate::failure::{Failure, StepError, fit};
use crate::journal::{Asked, Finish, Settled};
use crate::leaf::{Leaf, Turn};
use crate::retry::{Backoff, Retry};
use crate::run_info::{Shared, lock};
use crate::wire::{AiUsage, Execution, Op, raw};

/// Most characters of a model's name, and the highest cost of one call.
const MODEL_CHARS_MAX: usize = 200;
const COST_USD_MAX: f64 = 1e9;

/// What a step body may know of its execution.
#[derive(Clone, Debug)]
pub struct StepContext {
    /// The step's name and occurrence: `charge#0`.
    pub key: String,
    /// The run's id.
    pub run_id: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The same in every execution of this step of this run, unlike in any other: hand it to the services that you call as their
    /// `Idempotency-Key`, because a body may run again although it had its effect.
    pub idempotency_key: String,
    usage: Arc<Mutex<Option<AiUsage>>>,
}

impl StepContext {
    fn new(shared: &Shared, key: &str, attempt: u32) -> Self {
        let run_id = shared.info.id.clone();
        let digest = Sha256::digest(format!("{run_id}/{key}"));
        let idempotency_key = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { key: key.to_owned(), run_id, attempt, idempotency_key, usage: Arc::default() }
    }

    /// Notes what the call of a model used. The last note counts; it is kept when the step fails, too.
    pub fn record_usage(&self, usage: AiUsage) {
        // What is only shown is cleaned, not refused: the call has its price already.
        let model = fit(&usage.model).chars().take(MODEL_CHARS_MAX).collect();
        let cost_usd = usage.cost_usd.filter(|cost| (0.0..=COST_USD_MAX).contains(cost));
        *lock(&self.usage) = Some(AiUsage { model, cost_usd, ..usage });
    }
}

type Start<'a, T> = Box<dyn FnOnce(StepContext) -> BoxFuture<'a, Result<T, StepError>> + Send + 'a>;

/// A body that has begun.
struct Running<'a, T> {
    future: BoxFuture<'a, Result<T, StepError>>,
    context: StepContext,
    began_ms: u64,
}

/// A step with a body, as [`Step::run`](crate::Step::run) and [`Step::ai`](crate::Step::ai) give it. It begins when it is first polled.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Run<'a, T> {
    leaf: Leaf,
    kind: &'static str,
    retry: Retry,
    start: Option<Start<'a, T>>,
    body: Option<Running<'a, T>>,
    own: Option<Result<T, Failure>>,
}

// Nothing in it is pinned: the body is boxed.
impl<T> Unpin for Run<'_, T> {}

impl<'a, T: Serialize + DeserializeOwned + Send + 'a> Run<'a, T> {
    pub(crate) fn new<F, B>(shared: &Arc<Shared>, name: &str, kind: &'static str, start: F) -> Self
    where
        F: FnOnce(StepContext) -> B + Send + 'a,
        B: Future<Output = Result<T, StepError>> + Send + 'a,
    {
        let start: Start<'a, T> = Box::new(move |context| Box::pin(start(context)));
        Self { leaf: Leaf::new(shared, name), kind, retry: shared.retry, start: Some(start), body: None, own: None }
    }

    /// At most so many attempts in all, instead of the workflow's default (4).
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.retry.max_attempts = max_attempts.max(1);
        self
    }

    /// The delays between attempts, instead of the workflow's default.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.retry.backoff = backoff;
        self
    }

    /// The whole retry policy, instead of the workflow's default.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) {
        let Some(body) = &mut self.body else { return };
        self.leaf.shared.journal().in_body = true;
        let polled = catch_unwind(AssertUnwindSafe(|| body.future.as_mut().poll(cx)));
        self.leaf.shared.journal().in_body = false;
        let outcome = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => Err(StepError::Retriable(Failure::new("Panic", panic_text(&*panic)))),
        };
        let ms = self.leaf.shared.host.unix_ms().saturating_sub(body.began_ms);
        let context = body.context.clone();
        self.body = None;
        self.end(outcome, &context, ms);
    }

    fn end(&mut self, outcome: Result<T, StepError>, context: &StepContext, ms: u64) {
        let usage = lock(&context.usage).clone();
        let execution = Execution { ms, attempt: context.attempt, kind: self.kind, ai: usage.as_ref() };
        let key = &*context.key;
        let written = outcome.and_then(|value| Ok((record::<T>(&value, self.leaf.shared.result_bytes_max)?, value)));
        let (op, is_final) = match written {
            Ok((json, value)) => {
                self.own = Some(Ok(value));
                (raw(&Op::Result { key, value: &json, execution }), true)
            }
            Err(error) => {
                let (failure, retry) = self.retry.judge(error, context.attempt, &context.idempotency_key);
                let failure = failure.fitted();
                let op = raw(&Op::Error { key, error: &failure, retry, execution });
                self.own = Some(Err(failure));
                (op, retry.is_none())
            }
        };
        // invariant: texts, numbers and JSON that was parsed before can be written as JSON.
        #[expect(clippy::expect_used, reason = "texts, numbers and JSON can be written as JSON")]
        let op = op.expect("an op is JSON");
        self.leaf.shared.journal().finish(&self.leaf.key, Finish { op, is_final });
    }
}

/// Writes a result, and refuses one that a replay would not give back: NaN becomes null, maps may have keys that are no text.
fn record<T: Serialize + DeserializeOwned>(value: &T, bytes_max: usize) -> Result<Box<RawValue>, StepError> {
    let fault = |error: serde_json::Error| StepError::NonRetriable(checks::not_recordable("the result", &error));
    let json = raw(value).map_err(fault)?;
    if json.get().len() > bytes_max {
        let message = format!("the result has {} bytes of JSON; {bytes_max} are allowed", json.get().len());
        return Err(StepError::NonRetriable(checks::too_large(message)));
    }
    serde_json::from_str::<T>(json.get()).map_err(fault)?;
    Ok(json)
}

pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

impl<'a, T: Serialize + DeserializeOwned + Send + 'a> Future for Run<'a, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let kind = this.kind;
        match this.leaf.poll(cx, || Asked { kind, plan: None, replan: false }) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Turn::End(settled)) => return Poll::Ready(this.read(settled)),
            Poll::Ready(Turn::Continue) => {}
            Poll::Ready(Turn::Begin(attempt)) => {
                let context = StepContext::new(&this.leaf.shared, &this.leaf.key, attempt);
                let began_ms = this.leaf.shared.host.unix_ms();
                this.body = this.start.take().map(|start| Running { future: start(context.clone()), context, began_ms });
            }
        }
        this.poll_body(cx);
        Poll::Pending
    }
}

impl<T: DeserializeOwned> Run<'_, T> {
    fn read(&mut self, settled: Settled) -> Result<T, Failure> {
        self.body = None;
        match settled {
            Settled::Own => self.own.take().unwrap_or_else(|| Err(Failure::new("Protocol", "a record of this dispatch without a result"))),
            settled => crate::waits::value(settled),
        }
    }
}
