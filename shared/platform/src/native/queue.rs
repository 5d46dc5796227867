//! The wake queues of a laptop, in memory, and of Lambda, SQS.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tikku_domain::ids::{AccountId, WakeId};
use tokio::sync::Notify;

use super::time;
use crate::{Kick, QueueError, Wake};

#[cfg(feature = "aws")]
pub use super::sqs::SqsQueue;

/// The wake queues.
#[derive(Debug)]
pub enum Queue {
    /// `tikku dev` and tests.
    Memory(Box<MemoryQueues>),
    /// Lambda.
    #[cfg(feature = "aws")]
    Live(SqsQueue),
}

impl Queue {
    /// Hands ids of this kind over, each with its delay.
    pub async fn send(&self, kind: Wake, kicks: &[Kick]) -> Result<(), QueueError> {
        match self {
            Self::Memory(queues) => {
                queues.of(kind).send(kicks);
                Ok(())
            }
            #[cfg(feature = "aws")]
            Self::Live(queue) => queue.send(kind, kicks).await,
        }
    }
}

/// The two queues in memory; a backlog of one holds up nothing of the other.
#[derive(Debug, Default)]
pub struct MemoryQueues {
    /// Ids of messages.
    pub messages: MemoryQueue,
    /// Ids of runs.
    pub runs: MemoryQueue,
}

impl MemoryQueues {
    fn of(&self, kind: Wake) -> &MemoryQueue {
        match kind {
            Wake::Messages => &self.messages,
            Wake::Runs => &self.runs,
        }
    }
}

/// What does not fit is dropped, as a queue may: tick hands it over later.
const HELD_MAX: usize = 200_000;

/// Timers in memory, each id at most once, at its earliest time. Accounts take turns, and within an account its lines do: a million due ids of one hold
/// up no other.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    timers: Mutex<Timers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Timers {
    later: BinaryHeap<Reverse<(u64, WakeId, AccountId, u64)>>,
    held: HashMap<WakeId, u64>,
    /// What is due, by account and line, and the accounts in the order of their turns.
    due: HashMap<AccountId, Lines>,
    turns: VecDeque<AccountId>,
}

/// What is due of one account: its lines, and their turns.
#[derive(Debug, Default)]
struct Lines {
    due: HashMap<u64, VecDeque<(u64, WakeId)>>,
    turns: VecDeque<u64>,
}

impl Lines {
    fn push(&mut self, line: u64, at_ms: u64, id: WakeId) {
        let ids = self.due.entry(line).or_default();
        if ids.is_empty() {
            self.turns.push_back(line);
        }
        ids.push_back((at_ms, id));
    }

    fn pop(&mut self) -> Option<(u64, WakeId)> {
        let line = self.turns.pop_front()?;
        let ids = self.due.get_mut(&line)?;
        let first = ids.pop_front();
        if ids.is_empty() {
            self.due.remove(&line);
        } else {
            self.turns.push_back(line);
        }
        first
    }
}

impl Timers {
    /// Moves what is due by now to its account.
    fn ripen(&mut self, now_ms: u64) {
        while let Some(Reverse((at_ms, id, account, line))) = self.later.peek().copied().filter(|Reverse((at_ms, ..))| *at_ms <= now_ms) {
            self.later.pop();
            let lines = self.due.entry(account).or_default();
            if lines.turns.is_empty() {
                self.turns.push_back(account);
            }
            lines.push(line, at_ms, id);
        }
    }

    /// The next id of the account whose turn it is.
    fn next(&mut self) -> Option<Kick> {
        loop {
            let account = self.turns.pop_front()?;
            let lines = self.due.get_mut(&account)?;
            let first = lines.pop();
            if lines.turns.is_empty() {
                self.due.remove(&account);
            } else {
                self.turns.push_back(account);
            }
            let (at_ms, id) = first?;
            // An id that was handed over again for an earlier time leaves its later entry behind.
            if self.held.get(&id) == Some(&at_ms) {
                self.held.remove(&id);
                return Some(Kick { id, wait_ms: 0, account, line: 0 });
            }
        }
    }
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
                timers.later.push(Reverse((at_ms, kick.id, kick.account, kick.line)));
            }
        }
        drop(timers);
        self.changed.notify_one();
    }

    /// Waits for ids whose time has come; answers at least one and at most `most`. For one consumer.
    pub async fn take(&self, most: usize) -> Vec<Kick> {
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

    fn ready(&self, most: usize) -> (Vec<Kick>, Option<u64>) {
        let now_ms = time::monotonic_ms();
        let mut timers = self.timers();
        timers.ripen(now_ms);
        let ready = std::iter::from_fn(|| timers.next()).take(most).collect();
        let next_ms = timers.later.peek().map(|Reverse((at_ms, ..))| at_ms.saturating_sub(now_ms));
        (ready, next_ms)
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tikku_domain::ids::MessageId;

    use super::*;

    fn kick(n: u128, wait_ms: u64) -> Kick {
        Kick::new(MessageId(uuid::Uuid::from_u128(n)), wait_ms, AccountId(uuid::Uuid::from_u128(n / 1000)))
    }

    fn numbers(kicks: Vec<Kick>) -> Vec<u128> {
        Kick::messages(&kicks).into_iter().map(|id| id.0.as_u128()).collect()
    }

    #[tokio::test]
    async fn ids_come_once_and_in_the_order_of_their_times() {
        let queue = MemoryQueue::default();
        queue.send(&[kick(1, 60), kick(2, 20), kick(3, 0), kick(1, 40), kick(1, 90)]);
        let mut order = Vec::new();
        while order.len() < 3 {
            order.extend(numbers(queue.take(1).await));
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

    #[tokio::test]
    async fn accounts_take_turns() {
        let queue = MemoryQueue::default();
        queue.send(&(0..900).map(|n| kick(n, 0)).collect::<Vec<_>>());
        queue.send(&[kick(1000, 0), kick(2000, 0), kick(2001, 0)]);
        assert_eq!(numbers(queue.take(6).await), [0, 1000, 2000, 1, 2001, 2]);
        assert_eq!(queue.take(1000).await.len(), 897);
        assert!(queue.timers().due.is_empty() && queue.timers().turns.is_empty() && queue.timers().held.is_empty());
    }

    #[tokio::test]
    async fn lines_of_an_account_take_turns_within_its_own() {
        let queue = MemoryQueue::default();
        queue.send(&(0..500).map(|n| Kick { line: 7, ..kick(n, 0) }).collect::<Vec<_>>());
        queue.send(&[kick(500, 0), Kick { line: 8, ..kick(501, 0) }, kick(1000, 0), kick(1001, 0)]);
        assert_eq!(numbers(queue.take(7).await), [0, 1000, 500, 1001, 501, 1, 2]);
    }
}
