//! What the workflows of the kit share: the log of begun bodies, and the shape of `kit-diverge`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tikku::StepContext;

/// A step body that has begun.
#[derive(Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Began {
    run: String,
    key: String,
    attempt: u32,
    step_key: String,
}

/// The state of this process. Clones are the same one.
#[derive(Clone)]
pub struct Kit(Arc<Mutex<State>>);

struct State {
    log: Vec<Began>,
    shape: Vec<String>,
}

impl Default for Kit {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { log: Vec::new(), shape: ["a", "b", "c"].map(str::to_owned).to_vec() })))
    }
}

impl Kit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a body has begun: whether it is the first of this step here.
    pub fn begin(&self, context: &StepContext) -> bool {
        let mut state = self.state();
        let first = !state.log.iter().any(|began| began.run == context.run_id && began.key == context.key);
        state.log.push(Began {
            run: context.run_id.clone(),
            key: context.key.clone(),
            attempt: context.attempt,
            step_key: context.idempotency_key.clone(),
        });
        first
    }

    /// Notes that a body has begun, and takes so many milliseconds.
    pub async fn take(&self, context: &StepContext, ms: u64) {
        self.begin(context);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// The begun bodies of a run.
    pub fn log(&self, run: &str) -> Vec<Began> {
        self.state().log.iter().filter(|began| began.run == run).cloned().collect()
    }

    /// What `kit-diverge` does.
    pub fn shape(&self) -> Vec<String> {
        self.state().shape.clone()
    }

    /// Deploys another `kit-diverge`.
    pub fn set_shape(&self, shape: Vec<String>) {
        self.state().shape = shape;
    }
}
