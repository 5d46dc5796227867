//! Ids as the API shows them: a prefix and the 32 hex digits of a time-ordered UUID. Making one is the database's business.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The text is not an id of this kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {prefix} followed by 32 lower-case hex digits")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { prefix: $prefix };
                let digits = text.strip_prefix($prefix).ok_or(IdError { prefix: $prefix })?;
                if digits.len() != 32 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(error);
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| error)
            }
        }
    };
}

id!(
    /// A message: `msg_...`; also the `webhook-id` of each of its pushes.
    MessageId,
    "msg_"
);
id!(
    /// An account: `acc_...`.
    AccountId,
    "acc_"
);
id!(
    /// An API key's record: `key_...` (the key itself reads `tk_live_...`).
    KeyId,
    "key_"
);

id!(
    /// An endpoint of a fanout: `ep_...`.
    EndpointId,
    "ep_"
);
id!(
    /// A destination's circuit breaker: `brk_...`.
    BreakerId,
    "brk_"
);
id!(
    /// A schedule: `sch_...`.
    ScheduleId,
    "sch_"
);
id!(
    /// A run of a workflow: `run_...`.
    RunId,
    "run_"
);
id!(
    /// A published event: `evt_...`.
    EventId,
    "evt_"
);

/// What the wake queues hold: the id of a message or of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WakeId {
    /// To be delivered.
    Message(MessageId),
    /// To be dispatched.
    Run(RunId),
}

impl WakeId {
    /// The messages and the runs among these.
    pub fn split(ids: impl IntoIterator<Item = Self>) -> (Vec<MessageId>, Vec<RunId>) {
        let (mut messages, mut runs) = (Vec::new(), Vec::new());
        for id in ids {
            match id {
                Self::Message(id) => messages.push(id),
                Self::Run(id) => runs.push(id),
            }
        }
        (messages, runs)
    }
}

impl From<MessageId> for WakeId {
    fn from(id: MessageId) -> Self {
        Self::Message(id)
    }
}

impl From<RunId> for WakeId {
    fn from(id: RunId) -> Self {
        Self::Run(id)
    }
}

impl fmt::Display for WakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(id) => id.fmt(f),
            Self::Run(id) => id.fmt(f),
        }
    }
}

impl FromStr for WakeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.starts_with("run_") { text.parse().map(Self::Run) } else { text.parse().map(Self::Message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written() {
        let id = MessageId(Uuid::from_u128(0x0192_f3ab_0000_7000_8000_0000_0000_0001));
        assert_eq!(id.to_string(), "msg_0192f3ab000070008000000000000001");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "msg_",
            "run_0192f3ab000070008000000000000001",
            "msg_0192f3ab00007000800000000000001",
            "msg_0192F3AB000070008000000000000001",
            "msg_0192f3ab-0000-7000-8000-000000000001",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
