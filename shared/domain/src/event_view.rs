//! What the API answers of events: their JSON shapes. Out of scope: where they come from.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Something that has happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// `evt_` and 32 hex digits.
    pub id: String,
    /// What has happened.
    pub name: String,
    /// JSON as it came; in lists null when it has more than 4 KiB.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Box<RawValue>>,
    /// The publisher's own id.
    pub external_id: Option<String>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// The runs that it started.
    pub started: Vec<String>,
    /// How many runs had waited for it.
    pub woken: i32,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// Newest first.
    pub data: Vec<EventView>,
    /// Of the next page; null on the last one.
    pub next_cursor: Option<String>,
}
