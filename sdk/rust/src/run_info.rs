//! What a workflow may know of its run, and what its steps share during a dispatch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::host::SharedHost;
use crate::journal::Journal;
use crate::random::Dice;
use crate::retry::Retry;
use crate::wire;

/// The run that a workflow function works for.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// `run_…`
    pub id: String,
    /// The id that the starter gave.
    pub external_id: Option<String>,
    /// 1, and one more for every `retry` of the run by a person.
    pub attempt: u32,
    /// When the run was started, RFC 3339.
    pub created_at: String,
    /// The run that started this one as its child.
    pub parent_id: Option<String>,
    /// The workflow's name.
    pub workflow: String,
    /// The version that the run is pinned to.
    pub version: String,
}

/// All that steps of one dispatch share.
pub struct Shared {
    pub info: RunInfo,
    pub engine: wire::Engine,
    pub result_bytes_max: usize,
    pub retry: Retry,
    pub host: SharedHost,
    journal: Mutex<Journal>,
    dice: Mutex<Dice>,
    occurrences: Mutex<HashMap<String, u32>>,
    /// The workflow ends by starting anew.
    pub again: Mutex<Option<Again>>,
}

/// What the next run begins with.
pub struct Again {
    pub input: Box<RawValue>,
    pub version: Option<String>,
}

/// A panic of a step body does not make what others wrote wrong: every transition is whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(run: wire::Run, workflow: (String, String), engine: wire::Engine, journal: Journal, host: SharedHost) -> Self {
        let dice = Mutex::new(Dice::new(&run.seed));
        let info = RunInfo {
            id: run.id,
            external_id: run.external_id,
            attempt: run.attempt,
            created_at: run.created_at,
            parent_id: run.parent.map(|parent| parent.id),
            workflow: workflow.0,
            version: workflow.1,
        };
        Self {
            info,
            engine,
            result_bytes_max: wire::Limits::default().result_bytes,
            retry: Retry::default(),
            host,
            journal: Mutex::new(journal),
            dice,
            occurrences: Mutex::default(),
            again: Mutex::default(),
        }
    }

    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    pub fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    /// The key of the next step of this name.
    pub fn key(&self, name: &str) -> Arc<str> {
        let mut occurrences = lock(&self.occurrences);
        let next = match occurrences.get_mut(name) {
            Some(next) => next,
            None => occurrences.entry(name.to_owned()).or_default(),
        };
        let key = format!("{name}#{next}");
        *next += 1;
        key.into()
    }

    /// The URL that sends a signal, or answers an approval, to whoever has it (protocol, "Resume URLs").
    pub fn resume_url(&self, name: &str) -> String {
        // invariant: HMAC takes a key of any length (RFC 2104 section 2).
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.engine.resume_key.as_bytes()).expect("any length");
        mac.update(format!("resume:{name}").as_bytes());
        let token = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        format!("{}/{}?token={token}", self.engine.resume, encoded(name))
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
