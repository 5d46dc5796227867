//! Writes what endpoints read: the invoke request, journal pages, the answer to a checkpoint. User values go in as the bytes they came as.

use crate::ids::RunId;
use crate::limits::{INLINE_BYTES_MAX, REPLY_GRACE_MS, RESULT_BYTES_MAX, RUN_STEPS_MAX};
use crate::signing::{self, Secret};
use crate::workflow::{Dispatch, Entry, Journal, PROTOCOL};
use crate::workflow_json::Writer;

/// How long the endpoint may work on a dispatch whose reply is awaited for so long: less by the grace, and by half at most.
pub fn budget_ms(timeout_ms: u64) -> u64 {
    timeout_ms.saturating_sub(REPLY_GRACE_MS).max(timeout_ms / 2)
}

/// The `webhook-id` of a dispatch; the same when it is delivered twice.
pub fn webhook_id(run: RunId, fence: i64) -> String {
    format!("inv_{}_{fence}", run.0.simple())
}

/// The headers of a request of the engine, signed; `timestamp_s` is the database's time.
pub fn headers(secrets: &[Secret], webhook_id: String, timestamp_s: i64, body: &[u8]) -> Vec<(String, String)> {
    let signature = signing::sign(secrets, &webhook_id, timestamp_s, body);
    let pairs = [
        ("content-type", "application/json".to_owned()),
        ("accept", "application/json".to_owned()),
        ("user-agent", concat!("Tikku/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("tikku-protocol", PROTOCOL.to_string()),
        ("webhook-id", webhook_id),
        ("webhook-timestamp", timestamp_s.to_string()),
        ("webhook-signature", signature),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The body of an invoke. `engine` is the engine's own public address, without a slash at its end.
pub fn body(dispatch: &Dispatch, budget_ms: u64, engine: &str) -> Vec<u8> {
    let d = dispatch;
    let journal_bytes: usize = d.journal.entries.iter().map(|entry| entry.bytes() + 64).sum();
    let mut w = Writer::with_capacity(2048 + d.input.len() + d.pending.len() + journal_bytes);
    w.raw(r#"{"v":1,"kind":"invoke","app":"#).string(&d.app).name("workflow").string(&d.workflow).name("version").string(&d.version);
    w.name("run").raw("{").name("id").string(&d.id.to_string());
    if let Some(id) = &d.external_id {
        w.name("externalId").string(id);
    }
    w.name("attempt").number(i64::from(d.attempt)).name("seed").string(&d.seed);
    w.name("budgetMs").number(budget_ms as i64).name("createdAt").string(&d.created_at);
    if let Some((id, key)) = &d.parent {
        w.name("parent").raw("{").name("id").string(&id.to_string()).name("key").string(key).raw("}");
    }
    if d.accept_seq > 0 {
        w.name("accept").number(i64::from(d.accept_seq));
    }
    w.raw("}").name("fence").raw("{").name("gen").number(d.fence).name("token").string(&d.token).raw("}");
    w.name("input").raw(&d.input).name("journal");
    journal(&mut w, &d.journal);
    w.name("pending").raw(&d.pending);
    w.name("lease").raw("{").name("ms").number(d.lease_ms).name("renewMs").number(d.lease_ms / 3).raw("}").name("engine").raw("{");
    for what in ["checkpoint", "journal", "resume"] {
        w.name(what).string(&format!("{engine}/v1/runs/{}/{what}", d.id));
    }
    w.name("resumeKey").string(&d.resume_key).raw("}").name("limits").raw("{");
    w.name("resultBytes").number(RESULT_BYTES_MAX as i64).name("steps").number(RUN_STEPS_MAX);
    w.name("inlineBytes").number(i64::from(INLINE_BYTES_MAX)).raw("}}");
    w.into_bytes()
}

/// The answer to a request for a page of a journal.
pub fn journal_page(page: &Journal) -> Vec<u8> {
    let mut w = Writer::default();
    w.raw("{").name("v").number(PROTOCOL).name("entries");
    entries(&mut w, &page.entries);
    seq_and_next(&mut w, page);
    w.raw("}");
    w.into_bytes()
}

/// The answer to a checkpoint; `signals` is a JSON array.
pub fn checkpoint_answer(page: &Journal, signals: &str, pause_requested: bool, lease_ms: i64) -> Vec<u8> {
    let mut w = Writer::default();
    w.raw("{").name("v").number(PROTOCOL).name("journal");
    journal(&mut w, page);
    w.name("signals").raw(signals).name("pauseRequested").raw(if pause_requested { "true" } else { "false" });
    w.name("cancelled").raw("false").name("leaseMs").number(lease_ms).raw("}");
    w.into_bytes()
}

/// The seq after which the page of a cursor begins.
pub fn parse_cursor(cursor: &str) -> Option<i32> {
    cursor.parse().ok().filter(|seq| *seq >= 0)
}

fn journal(w: &mut Writer, page: &Journal) {
    w.raw("{").name("entries");
    entries(w, &page.entries);
    seq_and_next(w, page);
    w.raw("}");
}

fn seq_and_next(w: &mut Writer, page: &Journal) {
    w.name("seq").number(i64::from(page.seq)).name("next");
    if page.more {
        w.string(&page.seq.to_string())
    } else {
        w.raw("null")
    };
}

fn entries(w: &mut Writer, entries: &[Entry]) {
    w.raw("[");
    for (index, entry) in entries.iter().enumerate() {
        w.raw(if index == 0 { "{" } else { ",{" }).name("seq").number(i64::from(entry.seq)).name("key").string(&entry.key);
        w.name("kind").string(&entry.kind).name("state").string(&entry.state);
        if entry.echo {
            w.name("echo").raw("true");
        } else if entry.state == "ok" {
            w.name("value").raw(entry.value.as_deref().unwrap_or(b"null"));
        } else if let Some(error) = &entry.error {
            w.name("error").raw(error);
        }
        if let Some(child) = entry.child {
            w.name("run").string(&child.to_string());
        }
        w.raw("}");
    }
    w.raw("]");
}

#[cfg(test)]
#[path = "workflow_invoke_tests.rs"]
pub(crate) mod tests;
