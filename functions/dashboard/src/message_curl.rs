//! The publish of a message as a line for a terminal. Out of scope: sending it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::message_view::Message;
use crate::parts::shell;
use crate::visitor::Visitor;

/// A longer body is not written out.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// The publish's fields that say where to and what; the rest is as the defaults have it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Publish<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'m str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: &'m BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'m RawValue>,
    max_attempts: i32,
    timeout_seconds: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    labels: &'m [String],
}

/// A line that publishes the same again. A body that is no JSON, or long, is to come from a file.
pub fn publish(visitor: &Visitor, message: &Message) -> String {
    let auth = format!("-H 'authorization: Bearer {}…'", visitor.key.hint);
    let body = message.body.as_deref().filter(|json| json.get().len() <= BODY_BYTES_MAX);
    if message.body_base64.is_some() || (message.body.is_some() && body.is_none()) {
        let to = match (&message.url, &message.workflow) {
            (_, Some(workflow)) => format!("workflow:{workflow}"),
            (url, None) => url.clone().unwrap_or_default(),
        };
        let address = shell(&format!("{}/v1/publish/{to}", visitor.base));
        return format!("curl {address} -X {} {auth} --data-binary @body", shell(&message.method));
    }
    let publish = Publish {
        url: message.url.as_deref(),
        workflow: message.workflow.as_deref(),
        method: Some(message.method.as_str()).filter(|method| *method != "POST" && message.url.is_some()),
        headers: &message.headers,
        body,
        max_attempts: message.max_attempts,
        timeout_seconds: message.timeout_seconds,
        labels: &message.labels,
    };
    let json = serde_json::to_string(&publish).unwrap_or_default();
    format!("curl {}/v1/messages {auth} -H 'content-type: application/json' -d {}", visitor.base, shell(&json))
}
