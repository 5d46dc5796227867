//! Verifying what Tikku sends: pushes of messages, requests of the workflow engine (Standard Webhooks, scheme `v1`).

use http::HeaderMap;
use tikku_domain::signing::{Secret, SecretError, SignedHeaders, VerifyError, verify};

/// How far a timestamp may be from the receiver's clock, in seconds (Standard Webhooks).
pub const TOLERANCE_SECONDS: u64 = 300;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// A header is missing or no text.
    #[error("webhook-id, webhook-timestamp and webhook-signature are required")]
    Headers,
    /// The signature or the time is wrong.
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

/// The secrets of a receiver: one, or the old and the new one during a rotation.
///
/// ```
/// use tikku::Webhook;
///
/// let webhook = Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
/// let headers = http::HeaderMap::new();
/// assert!(webhook.verify_at(&headers, b"{}", 1_700_000_000).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Webhook(Vec<Secret>);

impl Webhook {
    /// Takes `whsec_…`, or several of them separated by spaces.
    ///
    /// # Errors
    /// [`SecretError`] if one is not a secret, or there is none.
    pub fn new(secrets: &str) -> Result<Self, SecretError> {
        let secrets: Vec<Secret> = secrets.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(SecretError) } else { Ok(Self(secrets)) }
    }

    /// Verifies the signature over the body exactly as it was received, and that the request is at most five minutes from now.
    ///
    /// # Errors
    /// A [`WebhookError`]: answer 401.
    #[cfg(all(feature = "reqwest", not(target_family = "wasm")))]
    #[expect(clippy::disallowed_methods, reason = "the SDK runs in programs of its users, far from the database's clock")]
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.verify_at(headers, body, since_epoch.as_secs().try_into().unwrap_or(i64::MAX))
    }

    /// Verifies like [`verify`](Self::verify), at this Unix time in seconds.
    ///
    /// # Errors
    /// A [`WebhookError`]: answer 401.
    pub fn verify_at(&self, headers: &HeaderMap, body: &[u8], now_seconds: i64) -> Result<(), WebhookError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(WebhookError::Headers);
        let signed =
            SignedHeaders { id: text("webhook-id")?, timestamp: text("webhook-timestamp")?, signature: text("webhook-signature")? };
        Ok(verify(&self.0, signed, body, now_seconds, TOLERANCE_SECONDS)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tikku_domain::signing::sign;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn headers(secret: &str, body: &[u8], now: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "inv_1_1".parse().unwrap());
        headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
        headers.insert("webhook-signature", sign(&[secret.parse().unwrap()], "inv_1_1", now, body).parse().unwrap());
        headers
    }

    #[test]
    fn either_secret_of_a_rotation_verifies_and_nothing_else_does() {
        let webhook = Webhook::new(&format!("{OLD} {NEW}")).unwrap();
        assert_eq!(webhook.verify_at(&headers(OLD, b"{}", 1000), b"{}", 1240), Ok(()));
        assert_eq!(webhook.verify_at(&headers(NEW, b"{}", 1000), b"{}", 760), Ok(()));
        assert_eq!(webhook.verify_at(&headers(NEW, b"{}", 1000), b"{}", 1360), Err(VerifyError::TooOld.into()));
        assert_eq!(webhook.verify_at(&headers(NEW, b"{}", 1000), b"{ }", 1000), Err(VerifyError::NoMatch.into()));
        assert_eq!(Webhook::new(OLD).unwrap().verify_at(&headers(NEW, b"{}", 1000), b"{}", 1000), Err(VerifyError::NoMatch.into()));
        assert_eq!(webhook.verify_at(&HeaderMap::new(), b"{}", 1000), Err(WebhookError::Headers));
        assert!(Webhook::new("").is_err());
    }
}
