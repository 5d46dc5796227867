//! A step's future, as far as all kinds have it in common: it asks once, is granted or settled once, and gives up when it is dropped.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::checks;
use crate::failure::Failure;
use crate::journal::{Asked, Key, Phase, Settled};
use crate::run_info::Shared;

/// The place of a step in the journal.
pub struct Leaf {
    pub shared: Arc<Shared>,
    pub key: Key,
    /// It was polled before.
    pub asked: bool,
    over: bool,
}

/// What a step's future is to do.
pub enum Turn {
    /// Begin the body, with this attempt number.
    Begin(u32),
    /// Go on with the body.
    Continue,
    End(Settled),
}

impl Leaf {
    pub fn new(shared: &Arc<Shared>, name: &str) -> Self {
        Self { shared: shared.clone(), key: shared.key(name), asked: false, over: false }
    }

    /// Asks, the first time; then says how far the step is.
    pub fn poll(&mut self, cx: &mut Context<'_>, asked: impl FnOnce() -> Asked) -> Poll<Turn> {
        let mut journal = self.shared.journal();
        if !self.asked {
            self.asked = true;
            if let Some(failure) = refusal(&self.key, journal.in_body) {
                self.over = true;
                return Poll::Ready(Turn::End(Settled::Failure(failure)));
            }
            let asked = asked();
            journal.ask(&self.key, asked, cx.waker().clone());
            return Poll::Pending;
        }
        match journal.turn(&self.key, cx.waker()) {
            Phase::Granted(attempt) => Poll::Ready(Turn::Begin(attempt)),
            Phase::Running => Poll::Ready(Turn::Continue),
            Phase::Settled(settled) => {
                self.over = true;
                Poll::Ready(Turn::End(settled))
            }
            _ => Poll::Pending,
        }
    }
}

/// A step that cannot be asked for: inside another's body, or by a name that the protocol does not allow.
fn refusal(key: &str, in_body: bool) -> Option<Failure> {
    let name = key.rsplit_once('#').map_or(key, |(name, _)| name);
    if in_body {
        let message = format!("step {name:?} is inside the body of another step: steps stand side by side in the workflow function");
        return Some(checks::invalid_step(message));
    }
    let fits = (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!fits).then(|| checks::invalid_step(format!("a step's name has 1 to 200 characters, none of them a control character: {name:?}")))
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if self.asked && !self.over {
            self.shared.journal().give_up(&self.key);
        }
    }
}
