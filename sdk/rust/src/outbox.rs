//! What the engine is to be told: ops in order, cut into requests that it takes, kept until it has answered.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::journal::Key;
use crate::wire::{Answer, Entry, OPS_BYTES_MAX, OPS_MAX};

/// An op on its way.
pub struct Outgoing {
    pub key: Key,
    pub op: Box<RawValue>,
    /// The workflow can go on when the engine has answered this one.
    pub settles: bool,
    /// The workflow went on with it already.
    pub early: bool,
}

impl Outgoing {
    fn is_result(&self) -> bool {
        self.op.get().starts_with(r#"{"op":"result""#)
    }
}

#[derive(Default)]
pub struct Outbox {
    waiting: Vec<Outgoing>,
    sent: Vec<Outgoing>,
    /// The ops of results that the workflow was given before they were recorded, until they are.
    early: HashMap<Key, Box<RawValue>>,
}

impl Outbox {
    pub fn push(&mut self, outgoing: Outgoing) {
        if outgoing.early {
            self.early.insert(outgoing.key.clone(), outgoing.op.clone());
        }
        self.waiting.push(outgoing);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether what waits fits into one request.
    pub fn fits(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(|outgoing| outgoing.op.get().len() + 1).sum();
        self.waiting.len() < OPS_MAX && bytes <= OPS_BYTES_MAX
    }

    /// Ops that wait to be sent.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Results that were given out and are not recorded.
    pub fn early(&self) -> usize {
        self.early.len()
    }

    /// Whether an answer to what waits would bring the workflow on.
    pub fn settles(&self) -> bool {
        self.waiting.iter().any(|outgoing| outgoing.settles)
    }

    /// Takes the ops of the next request: as many as fit with room for one more op, at least one.
    pub fn send(&mut self) -> Vec<Box<RawValue>> {
        let mut bytes = 0;
        let fits = |outgoing: &&Outgoing| {
            bytes += outgoing.op.get().len() + 1;
            bytes <= OPS_BYTES_MAX
        };
        let count = self.waiting.iter().take(OPS_MAX - 1).take_while(fits).count().max(1).min(self.waiting.len());
        self.sent = self.waiting.drain(..count).collect();
        self.sent.iter().map(|outgoing| outgoing.op.clone()).collect()
    }

    /// Whether a result that was sent once had been recorded already: by another process that was given the same dispatch.
    pub fn beaten(&self, answer: &Answer) -> bool {
        let beaten = |entry: &&Entry| entry.state == "ok" && matches!(entry.kind.as_str(), "run" | "ai") && !entry.echo;
        let own = |entry: &Entry| self.sent.iter().any(|sent| *sent.key == *entry.key && !sent.early && sent.is_result());
        !answer.resent && answer.journal.entries.iter().filter(beaten).any(own)
    }

    /// The engine has recorded what was sent.
    pub fn answered(&mut self) {
        for outgoing in self.sent.drain(..) {
            self.early.remove(&outgoing.key);
        }
    }

    /// The engine did not answer: what was sent is to be sent again.
    pub fn unsent(&mut self) {
        let later = std::mem::take(&mut self.waiting);
        self.waiting = self.sent.drain(..).chain(later).collect();
    }

    /// Whether an entry says otherwise than what the workflow was given early.
    pub fn contradicts(&self, entry: &Entry) -> bool {
        let Some(op) = self.early.get(entry.key.as_str()) else { return false };
        if entry.echo {
            return false;
        }
        let said: serde_json::Value = serde_json::from_str(op.get()).unwrap_or_default();
        let value = entry.value.as_ref().map_or(serde_json::Value::Null, |raw| serde_json::from_str(raw.get()).unwrap_or_default());
        entry.state != if said["op"] == "result" { "ok" } else { "error" } || said["value"] != value
    }
}
