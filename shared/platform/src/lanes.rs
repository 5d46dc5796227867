//! Room for pushes within one process. A push has a slot; one that has lasted a second moves over to the slow lane and frees its slot,
//! so that an endpoint that hangs does not hold up the messages of others. A destination with many pushes in the slow lane gets no
//! more until some have ended.
//!
//! Out of scope: how long a push may take, and any agreement between processes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Pushes of one destination in the slow lane with which it counts as stuck.
pub const STUCK: usize = 64;

/// The slots and the slow lane.
#[derive(Debug)]
pub struct Lanes {
    slots: Semaphore,
    slow_max: usize,
    slow: Mutex<HashMap<String, usize>>,
}

impl Lanes {
    /// So many slots, and room for so many slow pushes beside them; 0 where a host bounds connections and not only slots.
    pub fn new(slots: usize, slow_max: usize) -> Self {
        Self { slots: Semaphore::new(slots), slow_max, slow: Mutex::default() }
    }

    /// Slots that are free now.
    pub fn free(&self) -> usize {
        self.slots.available_permits()
    }

    /// Waits for a slot.
    pub async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.slots.acquire().await.ok()
    }

    /// Whether a destination has so many slow pushes that it gets no more.
    pub fn is_stuck(&self, destination: &str) -> bool {
        self.slow().get(destination).is_some_and(|count| *count >= STUCK)
    }

    /// A place in the slow lane, until dropped; `None` when it is full.
    pub fn enter_slow(&self, destination: &str) -> Option<Slow<'_>> {
        let mut slow = self.slow();
        if slow.values().sum::<usize>() >= self.slow_max {
            return None;
        }
        *slow.entry(destination.to_owned()).or_default() += 1;
        Some(Slow { lanes: self, destination: destination.to_owned() })
    }

    fn slow(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the slow lane.
#[derive(Debug)]
pub struct Slow<'a> {
    lanes: &'a Lanes,
    destination: String,
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        let mut slow = self.lanes.slow();
        if let Some(count) = slow.get_mut(&self.destination) {
            *count -= 1;
            if *count == 0 {
                slow.remove(&self.destination);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_stuck_while_its_slow_pushes_last() {
        let lanes = Lanes::new(1, STUCK + 1);
        let mut held: Vec<_> = (0..STUCK).filter_map(|_| lanes.enter_slow("a")).collect();
        assert!(lanes.is_stuck("a") && !lanes.is_stuck("b"));
        held.pop();
        assert!(!lanes.is_stuck("a"));
        drop(held);
        assert!(lanes.slow().is_empty());
    }

    #[test]
    fn the_slow_lane_is_bounded_and_may_be_absent() {
        let lanes = Lanes::new(1, 2);
        let held = (lanes.enter_slow("a"), lanes.enter_slow("b"), lanes.enter_slow("c"));
        assert!(held.0.is_some() && held.1.is_some() && held.2.is_none());
        assert!(Lanes::new(1, 0).enter_slow("a").is_none());
    }
}
