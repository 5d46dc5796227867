//! A workflow: a function with a name, a version, and rules for its runs.
//!
//! Out of scope: calling it (`drive`), answering the engine (`serve`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::checks;
use crate::failure::Failure;
use crate::retry::Retry;
use crate::step::Step;

/// What the workflow function gives, for any input and output.
pub type Work = BoxFuture<'static, Result<Box<RawValue>, Failure>>;

type Begin = dyn Fn(Step, &RawValue) -> Work + Send + Sync;

/// The name of a workflow with the types of its input and output: one constant for who defines, starts and invokes it.
///
/// ```
/// use tikku::{Workflow, WorkflowName};
///
/// const DOUBLE: WorkflowName<u64, u64> = WorkflowName::new("double");
/// let workflow = Workflow::new(DOUBLE, async |_step, n| Ok(n * 2));
/// assert_eq!(workflow.name(), "double");
/// ```
pub struct WorkflowName<I, O>(Cow<'static, str>, PhantomData<fn(I) -> O>);

impl<I, O> WorkflowName<I, O> {
    /// This name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name), PhantomData)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<I, O> Clone for WorkflowName<I, O> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<I, O> fmt::Debug for WorkflowName<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<I, O> From<&str> for WorkflowName<I, O> {
    fn from(name: &str) -> Self {
        Self(Cow::Owned(name.to_owned()), PhantomData)
    }
}

impl<I, O> From<String> for WorkflowName<I, O> {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name), PhantomData)
    }
}

/// What a limit counts: the runs of the workflow, or those among them that have the same value at a path into their start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Per {
    /// One count for the workflow.
    Workflow,
    /// One count for each value at this path: `input.customerId`. What is not there counts as null.
    Key(&'static str),
}

/// What a start does while another run of the same workflow (and key) is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Singleton {
    /// It is answered with the run there is.
    Skip,
    /// That run is cancelled first.
    Cancel,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    event: String,
    #[serde(rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    matching: BTreeMap<String, Value>,
}

/// The input of a run that an event started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, Serialize)]
pub struct Triggered<D = Value> {
    /// The event.
    pub event: crate::waits::Event<D>,
}

/// A workflow: a function with a name, a version, and rules for its runs.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tikku::{Per, Workflow};
///
/// #[derive(Deserialize)]
/// struct Order { id: String, amount: u64 }
/// #[derive(Serialize)]
/// struct Shipped { parcel: String }
///
/// let order = Workflow::new("order-flow", async |step, order: Order| {
///     step.run("charge", async |_| Ok(order.amount)).await?;
///     step.sleep("cooldown", std::time::Duration::from_secs(7 * 86_400)).await?;
///     let parcel: String = step.run("ship", async |_| Ok(format!("parcel of {}", order.id))).await?;
///     Ok(Shipped { parcel })
/// })
/// .version("3")
/// .concurrency(10, Per::Key("input.id"));
/// # let _ = order;
/// ```
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    triggers: Vec<Trigger>,
    #[serde(rename = "retry", serialize_with = "attempts")]
    retry: Retry,
    #[serde(flatten)]
    rules: BTreeMap<&'static str, Value>,
    #[serde(skip)]
    begin: Arc<Begin>,
}

fn attempts<S: serde::Serializer>(retry: &Retry, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::json!({ "maxAttempts": retry.max_attempts }).serialize(serializer)
}

impl Workflow {
    /// A workflow of version `"1"`. The name has 1 to 128 characters of `A-Z a-z 0-9 . _ -` and does not begin with a full stop.
    ///
    /// An input that does not fit the type fails the run (`InvalidValue`) before the function is called.
    pub fn new<I, O, F, W>(name: impl Into<WorkflowName<I, O>>, function: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        F: Fn(Step, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let begin = move |step: Step, input: &RawValue| -> Work {
            let work = serde_json::from_str::<I>(input.get()).map(|input| function(step, input));
            Box::pin(async move {
                let output = work.map_err(|error| Failure::new("InvalidValue", format!("the input is not valid: {error}")))?.await?;
                checks::written("the output", &output)
            })
        };
        Self {
            name: name.into().as_str().to_owned(),
            version: "1".to_owned(),
            triggers: Vec::new(),
            retry: Retry::default(),
            rules: BTreeMap::new(),
            begin: Arc::new(begin),
        }
    }

    /// Sets the version, of 1 to 64 characters. A run is pinned to the version it began with: serve old versions as long as they have runs.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The retry policy of steps that set none.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Events of this name start a run, with [`Triggered`] as its input. At most 20.
    #[must_use]
    pub fn trigger(self, event: impl Into<String>) -> Self {
        self.trigger_where(event, std::iter::empty::<(String, Value)>())
    }

    /// Events of this name start a run, if they have these values at these paths (`data.country`). At most 10.
    #[must_use]
    pub fn trigger_where<P: Into<String>, V: Into<Value>>(
        mut self,
        event: impl Into<String>,
        matching: impl IntoIterator<Item = (P, V)>,
    ) -> Self {
        let matching = matching.into_iter().map(|(path, value)| (path.into(), value.into())).collect();
        self.triggers.push(Trigger { event: event.into(), matching });
        self
    }

    fn rule(mut self, name: &'static str, mut rule: Value, per: &Per) -> Self {
        if let Per::Key(key) = per {
            rule["key"] = (*key).into();
        }
        self.rules.insert(name, rule);
        self
    }

    /// At most so many runs (1 to 10,000) are dispatched at the same time; one that sleeps or waits holds no place.
    #[must_use]
    pub fn concurrency(self, limit: u32, per: Per) -> Self {
        self.rule("concurrency", serde_json::json!({ "limit": limit }), &per)
    }

    /// At most so many runs (1 to 1,000,000) begin in each period of whole seconds; later ones wait.
    #[must_use]
    pub fn rate_limit(self, limit: u32, period: Duration, per: Per) -> Self {
        self.rule("rateLimit", serde_json::json!({ "limit": limit, "periodSeconds": period.as_secs() }), &per)
    }

    /// At most one run that is not over.
    #[must_use]
    pub fn singleton(self, singleton: Singleton, per: Per) -> Self {
        let mode = match singleton {
            Singleton::Skip => "skip",
            Singleton::Cancel => "cancel",
        };
        self.rule("singleton", serde_json::json!({ "mode": mode }), &per)
    }

    /// A start within `quiet` of another replaces that one's input and moves it, no later than `longest` after the first. Whole seconds.
    #[must_use]
    pub fn debounce(self, quiet: Duration, longest: Option<Duration>, per: Per) -> Self {
        let mut rule = serde_json::json!({ "seconds": quiet.as_secs() });
        if let Some(longest) = longest {
            rule["maxSeconds"] = longest.as_secs().into();
        }
        self.rule("debounce", rule, &per)
    }

    /// -100 to 100: among runs that wait for a place, one more is 30 s earlier.
    #[must_use]
    pub fn priority(mut self, priority: i8) -> Self {
        self.rules.insert("priority", priority.into());
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version as text.
    #[must_use]
    pub fn version_name(&self) -> &str {
        &self.version
    }

    pub(crate) fn retry_default(&self) -> Retry {
        self.retry
    }

    pub(crate) fn begin(&self, step: Step, input: &RawValue) -> Work {
        (self.begin)(step, input)
    }
}
