//! The session: a cookie that says which API key signed in and until when, under a MAC whose key comes from that API key's stored hash. So
//! there is nothing to configure and nothing to store, and a key that is revoked is signed out at once.
//!
//! Out of scope: loading the key (`gate`), signing in and out (`sign_in`).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tikku_domain::ids::KeyId;
use uuid::Uuid;

/// The cookie's name.
pub const COOKIE: &str = "tikku_session";
/// How long a session lasts after it was last renewed, in seconds.
pub const LASTS_S: i64 = 12 * 3600;
/// A session that has been used is renewed when it is older than this, in seconds.
const RENEWED_AFTER_S: i64 = 600;
/// What the stored hash signs besides sessions would have another domain.
const DOMAIN: &[u8] = b"tikku dashboard session, version 1";

/// What a cookie says; believed only once [`Claim::verify`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The API key that signed in.
    pub key: KeyId,
    /// When it ends, in seconds since 1970 by the database's clock.
    pub ends_s: i64,
    /// What forms must bring along.
    pub csrf: String,
}

/// Why a cookie is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// Its MAC is wrong.
    #[error("the session is not one of ours")]
    Forged,
    /// Its time is over.
    #[error("the session has ended")]
    Over,
}

impl Claim {
    /// A session that begins or goes on now.
    pub fn lasting(key: KeyId, csrf: &str, now_s: i64) -> Self {
        Self { key, ends_s: now_s + LASTS_S, csrf: csrf.to_owned() }
    }

    /// The cookie's value.
    pub fn sign(&self, key_hash: &[u8]) -> String {
        let tag: String = self.mac(key_hash).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{tag}", self.text())
    }

    /// Reads a cookie's value; `None` when it has another form.
    pub fn read(value: &str) -> Option<(Self, Vec<u8>)> {
        let mut parts = value.split('.');
        let (key, ends_s, csrf, tag) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if parts.next().is_some() || !is_hex(csrf) || csrf.len() != 32 || !is_hex(tag) || tag.len() != 64 {
            return None;
        }
        let key = KeyId(Uuid::try_parse(key).ok()?);
        let tag = (0..32).map(|n| u8::from_str_radix(&tag[2 * n..2 * n + 2], 16)).collect::<Result<_, _>>().ok()?;
        Some((Self { key, ends_s: ends_s.parse().ok()?, csrf: csrf.to_owned() }, tag))
    }

    /// Whether the key's hash has signed this, and its time is not over. Tags are compared in constant time.
    pub fn verify(&self, tag: &[u8], key_hash: &[u8], now_s: i64) -> Result<(), Untrue> {
        self.mac(key_hash).verify_slice(tag).map_err(|_| Untrue::Forged)?;
        if now_s < self.ends_s { Ok(()) } else { Err(Untrue::Over) }
    }

    /// Whether a use at this time should renew it.
    pub fn is_old(&self, now_s: i64) -> bool {
        now_s > self.ends_s - LASTS_S + RENEWED_AFTER_S
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.key.0.simple(), self.ends_s, self.csrf)
    }

    fn mac(&self, key_hash: &[u8]) -> Hmac<Sha256> {
        let derived = hmac(key_hash, DOMAIN).finalize().into_bytes();
        hmac(&derived, self.text().as_bytes())
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    // invariant: HMAC takes a key of any length (RFC 2104 section 2).
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_800_000_000;
    const HASH: &[u8] = &[7; 32];

    fn claim() -> Claim {
        Claim::lasting(KeyId(Uuid::from_u128(5)), "0123456789abcdef0123456789abcdef", NOW_S)
    }

    #[test]
    fn a_session_is_believed_until_it_ends_and_only_of_its_key() {
        let (read, tag) = Claim::read(&claim().sign(HASH)).unwrap();
        assert_eq!(read, claim());
        assert_eq!(read.verify(&tag, HASH, NOW_S + LASTS_S - 1), Ok(()));
        assert_eq!(read.verify(&tag, HASH, NOW_S + LASTS_S), Err(Untrue::Over));
        assert_eq!(read.verify(&tag, &[8; 32], NOW_S), Err(Untrue::Forged));
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let value = claim().sign(HASH);
        for at in (0..value.len()).filter(|at| value.as_bytes()[*at] != b'.') {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let believed = Claim::read(std::str::from_utf8(&changed).unwrap()).is_some_and(|(c, tag)| c.verify(&tag, HASH, NOW_S).is_ok());
            assert!(!believed, "at {at}");
        }
        for value in ["", "...", "a.b.c.d", &format!("{value}.x"), &value[1..], &value[..value.len() - 1]] {
            assert!(Claim::read(value).is_none_or(|(c, tag)| c.verify(&tag, HASH, NOW_S).is_err()), "{value}");
        }
    }

    #[test]
    fn it_is_renewed_by_use_but_not_by_every_use() {
        assert!(!claim().is_old(NOW_S + RENEWED_AFTER_S));
        assert!(claim().is_old(NOW_S + RENEWED_AFTER_S + 1));
    }

    #[test]
    fn texts_are_the_same_or_not() {
        assert!(same("ab", "ab") && !same("ab", "ac") && !same("ab", "abc") && !same("", "a"));
    }
}
