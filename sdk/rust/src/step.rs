//! What a workflow function works with: [`Step`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::all::All;
use crate::body::{Run, StepContext};
use crate::calls::{Fetch, FetchPlan, FetchWait, PublishWait, publish_plan};
use crate::checks;
use crate::failure::{Failure, StepError};
use crate::message::Message;
use crate::retry::millis;
use crate::run_info::{Again, RunInfo, Shared, lock};
use crate::waits::{
    self, Approval, ApprovalPlan, Child, ChildPlan, Event, EventPlan, EventWait, Signal, SignalPlan, Sleep, SleepPlan, Wait,
};
use crate::wire::Op;
use crate::workflow::WorkflowName;

/// The steps of a run. Clones are the same one.
///
/// Every method gives a future that begins when it is first polled, as all futures do: `step.run("a", …).await` runs a step,
/// `futures::try_join!(step.run("a", …), step.run("b", …))` runs two at the same time. A step's key is its name and its occurrence, counted when
/// the method is called. A future that is dropped before it is ready (the loser of a race) stops its body.
///
/// The workflow function itself is run again from its beginning in every dispatch, with the recorded results; whatever it does outside of steps
/// must do the same again. So it reads no clock, draws no dice and calls no service but in steps, waits for nothing but steps, and spawns
/// no task that uses them. `select!` polls its branches in random order: take `select_biased!` or `select`.
#[derive(Clone)]
pub struct Step(pub(crate) Arc<Shared>);

impl Step {
    /// The run.
    #[must_use]
    pub fn run_info(&self) -> &RunInfo {
        &self.0.info
    }

    /// Runs the body and records its result. In later dispatches it gives what was recorded.
    ///
    /// The body runs at least once: after a crash it may run again, so hand
    /// [`StepContext::idempotency_key`](crate::StepContext::idempotency_key) on. An error is tried again by the [`Retry`](crate::Retry) policy; what the
    /// workflow gets is the last one.
    ///
    /// ```
    /// # async fn pay(order: &str, key: String) -> Result<String, std::io::Error> { Ok(format!("{order}{key}")) }
    /// # async fn flow(step: tikku::Step, order: String) -> tikku::Result<()> {
    /// let charge = step.run("charge", async |ctx| Ok(pay(&order, ctx.idempotency_key).await?)).max_attempts(5).await?;
    /// # let _: String = charge; Ok(()) }
    /// ```
    pub fn run<'a, T, F, B>(&self, name: &str, body: F) -> Run<'a, T>
    where
        T: Serialize + DeserializeOwned + Send + 'a,
        F: FnOnce(StepContext) -> B + Send + 'a,
        B: Future<Output = Result<T, StepError>> + Send + 'a,
    {
        Run::new(&self.0, name, "run", body)
    }

    /// Runs the body, a call of a model: like [`run`](Self::run), and [`StepContext::record_usage`] keeps what it used.
    ///
    /// Make a provider's refusal an error with [`ai::refused`](crate::ai::refused): 429, 503 and 529 are then tried again when the provider says so, without
    /// spending an attempt.
    pub fn ai<'a, T, F, B>(&self, name: &str, body: F) -> Run<'a, T>
    where
        T: Serialize + DeserializeOwned + Send + 'a,
        F: FnOnce(StepContext) -> B + Send + 'a,
        B: Future<Output = Result<T, StepError>> + Send + 'a,
    {
        Run::new(&self.0, name, "ai", body)
    }

    /// Sleeps so long, counted from the moment the engine first hears of it; at most ten years. No process is held meanwhile.
    pub fn sleep(&self, name: &str, duration: Duration) -> Sleep {
        Wait::new(&self.0, name, Ok(SleepPlan::For(millis(duration))), waits::awake)
    }

    /// Sleeps until then.
    pub fn sleep_until(&self, name: &str, time: SystemTime) -> Sleep {
        let until_ms = millis(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        Wait::new(&self.0, name, Ok(SleepPlan::Until(until_ms)), waits::awake)
    }

    /// Waits for a signal of this name; early ones are kept, each serves one wait, in order.
    ///
    /// ```
    /// # async fn flow(step: tikku::Step) -> tikku::Result<()> {
    /// let review: Option<String> = step.wait_for_signal("review").timeout(std::time::Duration::from_secs(3 * 86_400)).await?;
    /// # Ok(()) }
    /// ```
    pub fn wait_for_signal<T: DeserializeOwned>(&self, name: &str) -> Signal<T> {
        Wait::new(&self.0, name, Ok(SignalPlan { name: name.to_owned(), timeout_ms: None }), waits::value)
    }

    /// Waits for the next event of this name that is published after this step was recorded.
    ///
    /// ```
    /// # async fn flow(step: tikku::Step) -> tikku::Result<()> {
    /// let paid: tikku::Event = step.wait_for_event("paid", "invoice.paid").matching("data.id", "inv_1").await?;
    /// # Ok(()) }
    /// ```
    pub fn wait_for_event<D: DeserializeOwned>(&self, name: &str, event: &str) -> EventWait<Event<D>> {
        let plan = EventPlan { name: event.to_owned(), matching: BTreeMap::new(), timeout_ms: None };
        Wait::new(&self.0, name, Ok(plan), waits::value)
    }

    /// Waits for a person to decide.
    pub fn approval(&self, name: &str) -> Approval<waits::Decision> {
        Wait::new(&self.0, name, Ok(ApprovalPlan::default()), waits::value)
    }

    /// Starts a run of a workflow as a child, once, and waits for its output.
    ///
    /// ```
    /// # async fn flow(step: tikku::Step) -> tikku::Result<()> {
    /// const RECEIPT: tikku::WorkflowName<String, u64> = tikku::WorkflowName::new("receipt-flow");
    /// let number = step.invoke("receipt", RECEIPT, "order-1".to_owned()).await?;
    /// # Ok(()) }
    /// ```
    pub fn invoke<I: Serialize, O: DeserializeOwned>(&self, name: &str, workflow: impl Into<WorkflowName<I, O>>, input: I) -> Child<O> {
        let plan = match serde_json::to_value(input) {
            Ok(input) => Ok(ChildPlan { workflow: workflow.into().as_str().to_owned(), input, version: None, id: None }),
            Err(error) => Err(checks::not_recordable(&format!("the input of step {name}"), &error)),
        };
        Wait::new(&self.0, name, plan, waits::value)
    }

    /// The engine calls a URL, with retries; no process of yours is held meanwhile.
    pub fn fetch(&self, name: &str, request: Fetch) -> FetchWait {
        Wait::new(&self.0, name, Ok(FetchPlan { request }), waits::value)
    }

    /// The engine publishes a message in the transaction that records this step: once.
    pub fn publish(&self, name: &str, message: Message) -> PublishWait {
        Wait::new(&self.0, name, publish_plan(message), waits::value)
    }

    /// Waits for all of these at the same time: their values, or the first error in their order, after all have ended.
    ///
    /// Better than `join_all` where many waits are joined: the run is dispatched once, when all are finished, not once for each.
    ///
    /// ```
    /// # async fn flow(step: tikku::Step) -> tikku::Result<()> {
    /// let squares: Vec<u64> = step.all((0..10).map(|n| step.run("square", async move |_| Ok(n * n)))).await?;
    /// # Ok(()) }
    /// ```
    pub fn all<F, T>(&self, futures: impl IntoIterator<Item = F>) -> All<F>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        All::new(&self.0, futures)
    }

    /// The URL that sends the signal `name` to this run.
    #[must_use]
    pub fn resume_url(&self, name: &str) -> String {
        self.0.resume_url(name)
    }

    /// Ends this run and begins a new one of the same workflow: for runs that would have endless journals. It never returns.
    ///
    /// # Errors
    /// A [`Failure`] if the input is no JSON or larger than a value may be, or the version is none.
    pub async fn continue_as_new<T>(&self, input: impl Serialize) -> Result<T, Failure> {
        self.begin_anew(input, None).await
    }

    /// Like [`continue_as_new`](Self::continue_as_new), in another version.
    ///
    /// # Errors
    /// A [`Failure`] if the input is no JSON or larger than a value may be, or the version is none.
    pub async fn continue_as_new_in<T>(&self, version: &str, input: impl Serialize) -> Result<T, Failure> {
        self.begin_anew(input, Some(version.to_owned())).await
    }

    async fn begin_anew<T>(&self, input: impl Serialize, version: Option<String>) -> Result<T, Failure> {
        let input = checks::written("the input of the next run", &input)?;
        let next = Op::ContinueAsNew { input: &input, version: version.as_deref() };
        checks::last("the next run", &crate::drive::op(&next))?;
        *lock(&self.0.again) = Some(Again { input, version });
        std::future::pending().await
    }

    /// A number of at least 0 and below 1, the same in every replay of this run.
    #[must_use]
    pub fn random(&self) -> f64 {
        self.0.dice().fraction()
    }

    /// A UUID, the same in every replay of this run, unlike any other run's.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.0.dice().uuid()
    }

    /// The time, recorded as a step named `now`: the same in every replay.
    ///
    /// # Errors
    /// None that this step makes itself.
    pub async fn now(&self) -> Result<SystemTime, Failure> {
        let host = self.0.host.clone();
        let unix_ms: u64 = self.run("now", async move |_| Ok(host.unix_ms())).await?;
        Ok(UNIX_EPOCH + Duration::from_millis(unix_ms))
    }
}
