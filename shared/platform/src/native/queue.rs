//! The wake queue of a laptop, in memory, and of Lambda, SQS.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tikku_domain::ids::MessageId;
use tokio::sync::Notify;

use super::time;
use crate::{Kick, QueueError};

#[cfg(feature = "aws")]
pub use super::sqs::SqsQueue;

/// The wake queue.
#[derive(Debug)]
pub enum Queue {
    /// `tikku dev` and tests.
    Memory(MemoryQueue),
    /// Lambda.
    #[cfg(feature = "aws")]
    Live(SqsQueue),
}

impl Queue {
    /// Hands ids over, each with its delay.
    pub async fn send(&self, kicks: &[Kick]) -> Result<(), QueueError> {
        match self {
            Self::Memory(queue) => {
                queue.send(kicks);
                Ok(())
            }
            #[cfg(feature = "aws")]
            Self::Live(queue) => queue.send(kicks).await,
        }
    }
}

/// What does not fit is dropped, as a queue may: tick hands it over later.
const HELD_MAX: usize = 200_000;

/// Timers in memory, each id at most once, at its earliest time.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    timers: Mutex<Timers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Timers {
    due: BinaryHeap<Reverse<(u64, MessageId)>>,
    held: HashMap<MessageId, u64>,
}

impl MemoryQueue {
    /// Takes ids in.
    pub fn send(&self, kicks: &[Kick]) {
        let now_ms = time::monotonic_ms();
        let mut timers = self.timers();
        for kick in kicks {
            let at_ms = now_ms.saturating_add(kick.wait_ms);
            let sooner = timers.held.get(&kick.id).is_none_or(|held| at_ms < *held);
            if sooner && timers.held.len() < HELD_MAX {
                timers.held.insert(kick.id, at_ms);
                timers.due.push(Reverse((at_ms, kick.id)));
            }
        }
        drop(timers);
        self.changed.notify_one();
    }

    /// Waits for ids whose time has come; answers at least one and at most `most`. For one consumer.
    pub async fn take(&self, most: usize) -> Vec<MessageId> {
        loop {
            let (ready, next_ms) = self.ready(most);
            if !ready.is_empty() {
                return ready;
            }
            match next_ms {
                Some(ms) => {
                    // Either way there is something to look at.
                    let _elapsed = tokio::time::timeout(std::time::Duration::from_millis(ms), self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn ready(&self, most: usize) -> (Vec<MessageId>, Option<u64>) {
        let now_ms = time::monotonic_ms();
        let mut timers = self.timers();
        let mut ready = Vec::new();
        while ready.len() < most {
            let Some(Reverse((at_ms, id))) = timers.due.peek().copied() else { return (ready, None) };
            if at_ms > now_ms {
                return (ready, Some(at_ms - now_ms));
            }
            timers.due.pop();
            // An id that was handed over again for an earlier time leaves its later entry behind.
            if timers.held.get(&id) == Some(&at_ms) {
                timers.held.remove(&id);
                ready.push(id);
            }
        }
        (ready, None)
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kick(n: u128, wait_ms: u64) -> Kick {
        Kick { id: MessageId(uuid::Uuid::from_u128(n)), wait_ms }
    }

    #[tokio::test]
    async fn ids_come_once_and_in_the_order_of_their_times() {
        let queue = MemoryQueue::default();
        queue.send(&[kick(1, 60), kick(2, 20), kick(3, 0), kick(1, 40), kick(1, 90)]);
        let mut order = Vec::new();
        while order.len() < 3 {
            order.extend(queue.take(1).await.into_iter().map(|id| id.0.as_u128()));
        }
        assert_eq!(order, [3, 2, 1]);
        assert_eq!(queue.ready(9).0, []);
    }

    #[tokio::test]
    async fn a_take_is_bounded() {
        let queue = MemoryQueue::default();
        queue.send(&(0..10).map(|n| kick(n, 0)).collect::<Vec<_>>());
        assert_eq!(queue.take(4).await.len(), 4);
        assert_eq!(queue.take(100).await.len(), 6);
    }
}
