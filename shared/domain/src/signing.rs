//! Standard Webhooks signatures, symmetric scheme `v1` (standardwebhooks.com, specification 1.0).
//!
//! Stage: deliver signs every attempt with each valid secret of the account; receivers (the SDK, the
//! tests) verify. Out of scope: where secrets are kept, rotated and drawn at random.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Fewest bytes of a secret (Standard Webhooks, "Signature scheme").
pub const SECRET_BYTES_MIN: usize = 24;
/// Most bytes of a secret (Standard Webhooks, "Signature scheme").
pub const SECRET_BYTES_MAX: usize = 64;

const SECRET_PREFIX: &str = "whsec_";
const SIGNATURE_PREFIX: &str = "v1,";

/// A signing secret of 24 to 64 bytes; its text form is `whsec_` and standard base64 with padding.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// A text or byte string is not a signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is \"whsec_\" followed by the base64 of 24 to 64 bytes")]
pub struct SecretError;

impl Secret {
    /// Takes the raw bytes of a secret.
    ///
    /// # Errors
    /// [`SecretError`] unless there are 24 to 64 of them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretError> {
        if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError) }
    }

    /// Returns the raw bytes, for storage.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text form. Not `Display`: a secret must not slip into a log line.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn mac(&self, id: &str, timestamp_s: i64, body: &[u8]) -> Hmac<Sha256> {
        // invariant: HMAC takes a key of any length (RFC 2104 section 2).
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError)?;
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| SecretError)?)
    }
}

/// Signs `{id}.{timestamp_s}.{body}` with each secret: the value of `webhook-signature`, one
/// `v1,<base64>` per secret in their order, separated by spaces.
///
/// `id` must hold no full stop, or two different messages could have the same signed text.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let one = |secret: &Secret| {
        let tag = secret.mac(id, timestamp_s, body).finalize().into_bytes();
        format!("{SIGNATURE_PREFIX}{}", STANDARD.encode(tag))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The three headers of a signed request, as received.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since the Unix epoch.
    pub timestamp: &'a str,
    /// `webhook-signature`: space-separated signatures; those of another scheme are ignored.
    pub signature: &'a str,
}

/// Why a signed request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is not an integer.
    #[error("webhook-timestamp must be the seconds since the Unix epoch")]
    Timestamp,
    /// The timestamp is further in the past than the tolerance: perhaps a replay.
    #[error("webhook-timestamp is too old")]
    TooOld,
    /// The timestamp is further in the future than the tolerance.
    #[error("webhook-timestamp is too far in the future")]
    TooNew,
    /// No signature is by any of the secrets.
    #[error("no v1 signature in webhook-signature matches")]
    NoMatch,
}

/// Verifies that one of the signatures is by one of the secrets over the received id, timestamp and
/// body, and that the timestamp is at most `tolerance_s` seconds from `now_s`.
///
/// Tags are compared in constant time.
///
/// # Errors
/// A [`VerifyError`]; a wrong time is told only to a sender that knows a secret.
pub fn verify(secrets: &[Secret], headers: SignedHeaders<'_>, body: &[u8], now_s: i64, tolerance_s: u64) -> Result<(), VerifyError> {
    let timestamp_s: i64 = headers.timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    let macs: Vec<_> = secrets.iter().map(|s| s.mac(headers.id, timestamp_s, body)).collect();
    let known = |tag: &[u8]| macs.iter().any(|mac| mac.clone().verify_slice(tag).is_ok());
    let signed = headers
        .signature
        .split_ascii_whitespace()
        .filter_map(|signature| signature.strip_prefix(SIGNATURE_PREFIX))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .any(|tag| known(&tag));
    if !signed {
        Err(VerifyError::NoMatch)
    } else if now_s.abs_diff(timestamp_s) <= tolerance_s {
        Ok(())
    } else if timestamp_s < now_s {
        Err(VerifyError::TooOld)
    } else {
        Err(VerifyError::TooNew)
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
