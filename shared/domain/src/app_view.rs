//! What the API answers of apps and workflows: their JSON shapes. Out of scope: where they come from.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// An endpoint that serves workflows. Its revision is also its ETag.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppView {
    /// What its owner calls it.
    pub name: String,
    /// Where it is invoked.
    pub url: String,
    /// How long one dispatch may take.
    pub timeout_seconds: i32,
    /// How long a dispatch of an endpoint that renews its lease may be silent.
    pub lease_seconds: i32,
    /// How it reports results: each, batched or return.
    pub checkpoint: String,
    /// What it speaks the protocol with, as it said.
    pub sdk: Option<String>,
    /// What it said it serves; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflows: Option<Vec<ServedView>>,
    /// When it last said so, RFC 3339.
    pub described_at: Option<String>,
    /// Why it last did not; null when it did.
    pub describe_error: Option<String>,
    /// One more with every change of what is set.
    pub revision: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// A workflow in one version, as an app serves it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServedView {
    /// The name runs are started by.
    pub name: String,
    /// Its version.
    pub version: String,
    /// False when the app no longer says so: its runs are paused.
    pub served: bool,
    /// Whether new runs get this version.
    pub current: bool,
    /// What it said besides.
    #[serde(flatten)]
    pub policy: PolicyView,
}

/// What describe said of a workflow; each is null when it was not given.
#[derive(Debug, Default, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyView {
    /// Events that start a run.
    #[schema(value_type = Option<serde_json::Value>)]
    pub triggers: Option<Box<RawValue>>,
    /// What its SDK uses as default for steps.
    #[schema(value_type = Option<serde_json::Value>)]
    pub retry: Option<Box<RawValue>>,
    /// Dispatches at the same time.
    #[schema(value_type = Option<serde_json::Value>)]
    pub concurrency: Option<Box<RawValue>>,
    /// First dispatches in a period.
    #[schema(value_type = Option<serde_json::Value>)]
    pub rate_limit: Option<Box<RawValue>>,
    /// One run that is not over.
    #[schema(value_type = Option<serde_json::Value>)]
    pub singleton: Option<Box<RawValue>>,
    /// Starts soon after another become one.
    #[schema(value_type = Option<serde_json::Value>)]
    pub debounce: Option<Box<RawValue>>,
    /// Among runs that wait for a place, one more is 30 s earlier.
    pub priority: Option<i32>,
}

/// A page of apps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppPage {
    /// By name.
    pub data: Vec<AppView>,
    /// Of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A workflow: the version that new runs get, and the others.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowView {
    /// The name runs are started by.
    pub name: String,
    /// The version of new runs; null when none is served any more.
    pub version: Option<String>,
    /// Which app serves that version; of the newest one when none is served.
    pub app: String,
    /// Whether runs can be started.
    pub served: bool,
    /// What the app said of that version.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// All versions that runs may be pinned to, the latest described first.
    pub versions: Vec<VersionView>,
}

/// A version of a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    /// Its version.
    pub version: String,
    /// Which app serves it.
    pub app: String,
    /// False when that app no longer says so: its runs are paused.
    pub served: bool,
    /// Whether new runs get this version.
    pub current: bool,
    /// When the app last said so, RFC 3339.
    pub described_at: String,
}

/// A page of workflows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowPage {
    /// By name.
    pub data: Vec<WorkflowView>,
    /// Of the next page; null on the last one.
    pub next_cursor: Option<String>,
}
