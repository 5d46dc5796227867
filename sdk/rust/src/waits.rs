//! Steps that the engine finishes: a sleep, a signal, an event, a child, an approval, a call, a message.
//!
//! One future, [`Wait`], over the op that plans it. Its methods set the op's options before it is first polled.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::checks;
use crate::failure::Failure;
use crate::journal::{Asked, Settled};
use crate::leaf::{Leaf, Turn};
use crate::retry::millis;
use crate::run_info::Shared;

/// An op that plans a step: its kind and its fields.
pub trait Plan: Serialize + Send {
    /// The kind of the step's entry.
    const KIND: &'static str;
    /// The op is told again in a later dispatch: its fields may have changed.
    const REPLAN: bool = false;
}

/// A step that the engine finishes. It is planned when it is first polled.
#[must_use = "a step does nothing unless it is awaited"]
pub struct Wait<P, T> {
    leaf: Leaf,
    plan: Result<P, Failure>,
    read: fn(Settled) -> Result<T, Failure>,
}

impl<P, T> Unpin for Wait<P, T> {}

#[derive(Serialize)]
struct Keyed<'a, P> {
    op: &'static str,
    key: &'a str,
    #[serde(flatten)]
    plan: &'a P,
}

impl<P: Plan, T> Wait<P, T> {
    pub(crate) fn new(shared: &Arc<Shared>, name: &str, plan: Result<P, Failure>, read: fn(Settled) -> Result<T, Failure>) -> Self {
        Self { leaf: Leaf::new(shared, name), plan, read }
    }

    /// The step's key: its name, `#`, its occurrence.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.leaf.key
    }

    fn set(mut self, change: impl FnOnce(&mut P)) -> Self {
        self.plan = self.plan.map(|mut plan| {
            change(&mut plan);
            plan
        });
        self
    }

    fn reading<U>(self, read: fn(Settled) -> Result<U, Failure>) -> Wait<P, U> {
        Wait { leaf: self.leaf, plan: self.plan, read }
    }

    fn op(&self, key: &str) -> Result<Box<RawValue>, Failure> {
        let plan = self.plan.as_ref().map_err(Clone::clone)?;
        let op = checks::written(&format!("what step {key} asks for"), &Keyed { op: P::KIND, key, plan })?;
        checks::plan(key, &op)?;
        Ok(op)
    }
}

impl<P: Plan, T> Future for Wait<P, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let plan = match (!self.leaf.asked).then(|| self.op(&self.leaf.key)).transpose() {
            Ok(plan) => plan,
            Err(failure) => return Poll::Ready(Err(failure)),
        };
        match self.leaf.poll(cx, || Asked { kind: P::KIND, plan, replan: P::REPLAN }) {
            Poll::Ready(Turn::End(settled)) => Poll::Ready((self.read)(settled)),
            _ => Poll::Pending,
        }
    }
}

/// Reads a value; a timeout is an error.
pub fn value<T: DeserializeOwned>(settled: Settled) -> Result<T, Failure> {
    match settled {
        Settled::Value(json) => serde_json::from_str(json.get())
            .map_err(|error| Failure::new("InvalidValue", format!("the recorded value has another type: {error}"))),
        Settled::Failure(failure) => Err(failure),
        Settled::Timeout => Err(Failure::new("Timeout", "the time is over")),
        Settled::Own => Err(Failure::new("Protocol", "the record of a wait has no value")),
    }
}

/// Reads a value; none after the timeout.
pub fn in_time<T: DeserializeOwned>(settled: Settled) -> Result<Option<T>, Failure> {
    match settled {
        Settled::Timeout => Ok(None),
        other => value(other).map(Some),
    }
}

/// Reads how a sleep ended.
pub fn awake(settled: Settled) -> Result<Woken, Failure> {
    let value: Value = value(settled)?;
    Ok(if value == "woken" { Woken::ByPerson } else { Woken::InTime })
}

/// Why a sleep is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Its time has come.
    InTime,
    /// A person woke the run.
    ByPerson,
}

/// The op `sleep`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SleepPlan {
    /// Milliseconds from the first registration.
    #[serde(rename = "forMs")]
    For(u64),
    /// Unix time in milliseconds.
    #[serde(rename = "untilMs")]
    Until(u64),
}

impl Plan for SleepPlan {
    const KIND: &'static str = "sleep";
    const REPLAN: bool = true;
}

/// A sleep.
pub type Sleep = Wait<SleepPlan, Woken>;

/// The op `signal`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalPlan {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
}

impl Plan for SignalPlan {
    const KIND: &'static str = "signal";
}

/// The wait for a signal.
pub type Signal<T> = Wait<SignalPlan, T>;

impl<T: DeserializeOwned> Signal<T> {
    /// Waits no longer than this; then the step gives `None`.
    pub fn timeout(self, timeout: Duration) -> Signal<Option<T>> {
        self.set(|plan| plan.timeout_ms = Some(millis(timeout))).reading(in_time)
    }

    /// Waits for a signal of this name, where the step has another.
    pub fn named(self, name: impl Into<String>) -> Self {
        self.set(|plan| plan.name = name.into())
    }

    /// The URL that sends this signal: for a link in a mail, for another service's webhook.
    #[must_use]
    pub fn resume_url(&self) -> String {
        self.plan.as_ref().map(|plan| self.leaf.shared.resume_url(&plan.name)).unwrap_or_default()
    }
}

/// The op `event`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPlan {
    pub(crate) name: String,
    #[serde(rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) matching: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
}

impl Plan for EventPlan {
    const KIND: &'static str = "event";
}

/// An event that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<D = Value> {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What was published with it.
    pub data: D,
}

/// The wait for an event.
pub type EventWait<T> = Wait<EventPlan, T>;

impl<D: DeserializeOwned> EventWait<Event<D>> {
    /// Waits no longer than this; then the step gives `None`.
    pub fn timeout(self, timeout: Duration) -> EventWait<Option<Event<D>>> {
        self.set(|plan| plan.timeout_ms = Some(millis(timeout))).reading(in_time)
    }
}

impl<T> EventWait<T> {
    /// Only an event with this value at this path: `matching("data.customer.id", "c1")`. At most 10; all must hold.
    pub fn matching(self, path: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(|plan| _ = plan.matching.insert(path.into(), value.into()))
    }
}

/// The op `child`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildPlan {
    pub(crate) workflow: String,
    pub(crate) input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

impl Plan for ChildPlan {
    const KIND: &'static str = "child";
}

/// A child run and its output. A child that failed or was cancelled is a [`Failure`] named `ChildFailed` or `ChildCancelled`.
pub type Child<T> = Wait<ChildPlan, T>;

impl<T> Child<T> {
    /// The child runs in this version, not in the one that new runs get.
    pub fn version(self, version: impl Into<String>) -> Self {
        self.set(|plan| plan.version = Some(version.into()))
    }

    /// The child's external id.
    pub fn id(self, id: impl Into<String>) -> Self {
        self.set(|plan| plan.id = Some(id.into()))
    }
}

/// The op `approval`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalPlan {
    #[serde(skip_serializing_if = "Policy::is_empty")]
    policy: Policy,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    not_initiator: bool,
}

impl Policy {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Plan for ApprovalPlan {
    const KIND: &'static str = "approval";
}

/// What a person decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Yes or no.
    pub approved: bool,
    /// What the person added.
    #[serde(default)]
    pub data: Value,
    /// Who it was.
    #[serde(default)]
    pub by: Value,
    /// When, RFC 3339.
    #[serde(default)]
    pub at: String,
}

/// The wait for a person's decision.
pub type Approval<T> = Wait<ApprovalPlan, T>;

impl Approval<Decision> {
    /// Waits no longer than this; then the step gives `None`.
    pub fn timeout(self, timeout: Duration) -> Approval<Option<Decision>> {
        self.set(|plan| plan.timeout_ms = Some(millis(timeout))).reading(in_time)
    }
}

impl<T> Approval<T> {
    /// Only an API key of this role may answer. Several calls: of one of these roles.
    pub fn role(self, role: impl Into<String>) -> Self {
        self.set(|plan| plan.policy.roles.push(role.into()))
    }

    /// Only this API key (`key_…`) may answer. Several calls: one of these.
    pub fn api_key(self, id: impl Into<String>) -> Self {
        self.set(|plan| plan.policy.keys.push(id.into()))
    }

    /// Not the key that started the run.
    pub fn not_initiator(self) -> Self {
        self.set(|plan| plan.policy.not_initiator = true)
    }

    /// The JSON Schema (2020-12) of the decision's `data`.
    pub fn schema(self, schema: Value) -> Self {
        self.set(|plan| plan.schema = Some(schema))
    }

    /// What is asked, in a line.
    pub fn title(self, title: impl Into<String>) -> Self {
        self.set(|plan| plan.title = Some(title.into()))
    }

    /// What is asked, at length.
    pub fn detail(self, detail: impl Into<String>) -> Self {
        self.set(|plan| plan.detail = Some(detail.into()))
    }

    /// The URL that answers this approval. It works from the moment it is planned, and only if neither role nor key is asked for.
    #[must_use]
    pub fn resume_url(&self) -> String {
        self.leaf.shared.resume_url(&self.leaf.key)
    }
}
