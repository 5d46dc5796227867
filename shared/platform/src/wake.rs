//! What travels through the wake queues: ids and nothing else. What is lost, late or doubled changes nothing but timing.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tikku_domain::ids::{AccountId, WakeId};
use tikku_domain::limits::QUEUE_DELAY_MS_MAX;
use tikku_store::Kick;

/// The queue did not take everything.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(pub String);

/// Which of the two wake queues. They are apart because a push lasts seconds and a dispatch may last minutes: neither holds up the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// To deliver: messages.
    Messages,
    /// To step-invoke: runs.
    Runs,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    ids: Vec<std::borrow::Cow<'a, str>>,
}

/// One queue message to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The queue's delay: whole seconds, rounded down; the consumer waits out the rest. SQS and Cloudflare Queues count to 900 at least.
    pub delay_s: u16,
    /// Whose rows these are.
    pub account: AccountId,
    /// What is due in that second.
    pub ids: Vec<WakeId>,
}

/// Packs ids of one account that are due in the same second together, at most so many.
pub fn parcels(kicks: &[Kick], ids_max: usize) -> Vec<Parcel> {
    let mut together = BTreeMap::<(u16, AccountId), Vec<WakeId>>::new();
    for kick in kicks {
        // The limit fits.
        together.entry(((kick.wait_ms.min(QUEUE_DELAY_MS_MAX) / 1000) as u16, kick.account)).or_default().push(kick.id);
    }
    let pack = |((delay_s, account), ids): ((u16, AccountId), Vec<WakeId>)| {
        ids.chunks(ids_max).map(|ids| Parcel { delay_s, account, ids: ids.to_vec() }).collect::<Vec<_>>()
    };
    together.into_iter().flat_map(pack).collect()
}

/// `{"ids": ["msg_...", ...]}`
pub fn encode_ids(ids: &[impl Display]) -> String {
    serde_json::json!({ "ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>() }).to_string()
}

/// The ids of a queue message; what is not an id of this kind is skipped, so that a stray message cannot stop its batch.
pub fn decode_ids<Id: FromStr>(body: &str) -> Vec<Id> {
    match serde_json::from_str::<Body<'_>>(body) {
        Ok(body) => body.ids.iter().filter_map(|id| id.parse().ok()).collect(),
        Err(error) => {
            tracing::warn!(%error, "a queue message holds no ids");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use tikku_domain::ids::{MessageId, RunId};

    use super::*;

    #[test]
    fn parcels_share_a_second_and_an_account_and_are_bounded() {
        let id: MessageId = "msg_0192f3ab000070008000000000000001".parse().unwrap();
        let kick = |wait_ms, account| Kick::new(id, wait_ms, AccountId(uuid::Uuid::from_u128(account)));
        let packed = parcels(&[kick(999, 1), kick(1000, 1), kick(0, 1), kick(5, 1), kick(99_999_999, 1), kick(0, 2)], 2);
        let shape: Vec<(u16, u128, usize)> = packed.iter().map(|p| (p.delay_s, p.account.0.as_u128(), p.ids.len())).collect();
        assert_eq!(shape, [(0, 1, 2), (0, 1, 1), (0, 2, 1), (1, 1, 1), (900, 1, 1)]);
    }

    #[test]
    fn ids_survive_the_queue() {
        let id: MessageId = "msg_0192f3ab000070008000000000000001".parse().unwrap();
        assert_eq!(decode_ids::<MessageId>(&encode_ids(&[id, id])), [id, id]);
        assert_eq!(decode_ids::<MessageId>(r#"{"ids": ["nonsense"]}"#), []);
        assert_eq!(decode_ids::<MessageId>("nonsense"), []);
    }

    #[test]
    fn a_consumer_sees_only_ids_of_its_kind() {
        let run: RunId = "run_0192f3ab000070008000000000000001".parse().unwrap();
        let body = r#"{"ids": ["msg_0192f3ab000070008000000000000001", "run_0192f3ab000070008000000000000001"]}"#;
        assert_eq!(decode_ids::<RunId>(body), [run]);
        assert_eq!(decode_ids::<MessageId>(body).len(), 1);
    }
}
