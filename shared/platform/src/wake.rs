//! What travels through the wake queue: ids and nothing else. A message that is lost, late or doubled changes nothing but timing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::limits::QUEUE_DELAY_MS_MAX;
use tikku_store::Kick;

/// The queue did not take everything.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(pub String);

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    ids: Vec<std::borrow::Cow<'a, str>>,
}

/// One queue message to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The queue's delay: whole seconds, rounded down; deliver waits out the rest. Both queues count to 900 at least.
    pub delay_s: u16,
    /// Whose messages these are.
    pub account: AccountId,
    /// What is due in that second.
    pub ids: Vec<MessageId>,
}

/// Packs ids of one account that are due in the same second together, at most so many.
pub fn parcels(kicks: &[Kick], ids_max: usize) -> Vec<Parcel> {
    let mut together = BTreeMap::<(u16, AccountId), Vec<MessageId>>::new();
    for kick in kicks {
        // The limit fits.
        together.entry(((kick.wait_ms.min(QUEUE_DELAY_MS_MAX) / 1000) as u16, kick.account)).or_default().push(kick.id);
    }
    let pack = |((delay_s, account), ids): ((u16, AccountId), Vec<MessageId>)| {
        ids.chunks(ids_max).map(|ids| Parcel { delay_s, account, ids: ids.to_vec() }).collect::<Vec<_>>()
    };
    together.into_iter().flat_map(pack).collect()
}

/// `{"ids": ["msg_...", ...]}`
pub fn encode_ids(ids: &[MessageId]) -> String {
    serde_json::json!({ "ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>() }).to_string()
}

/// The ids of a queue message; what is not an id is skipped, so that a stray message cannot stop its batch.
pub fn decode_ids(body: &str) -> Vec<MessageId> {
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
    use super::*;

    #[test]
    fn parcels_share_a_second_and_an_account_and_are_bounded() {
        let id: MessageId = "msg_0192f3ab000070008000000000000001".parse().unwrap();
        let kick = |wait_ms, account| Kick { id, wait_ms, account: AccountId(uuid::Uuid::from_u128(account)), line: 0 };
        let packed = parcels(&[kick(999, 1), kick(1000, 1), kick(0, 1), kick(5, 1), kick(99_999_999, 1), kick(0, 2)], 2);
        let shape: Vec<(u16, u128, usize)> = packed.iter().map(|p| (p.delay_s, p.account.0.as_u128(), p.ids.len())).collect();
        assert_eq!(shape, [(0, 1, 2), (0, 1, 1), (0, 2, 1), (1, 1, 1), (900, 1, 1)]);
    }

    #[test]
    fn ids_survive_the_queue() {
        let id: MessageId = "msg_0192f3ab000070008000000000000001".parse().unwrap();
        assert_eq!(decode_ids(&encode_ids(&[id, id])), [id, id]);
        assert_eq!(decode_ids(r#"{"ids": ["nonsense"]}"#), []);
        assert_eq!(decode_ids("nonsense"), []);
    }
}
