//! The tokens of resume URLs: whoever has one may send one signal, or answer one approval, of one run. Out of scope: where the key is
//! kept, and what the signal does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The token for a signal's name or an approval's key.
pub fn resume_token(resume_key: &str, name: &str) -> String {
    URL_SAFE_NO_PAD.encode(mac(resume_key, name).finalize().into_bytes())
}

/// Whether a token is the one for this name, in constant time.
pub fn verify_resume_token(resume_key: &str, name: &str, token: &str) -> bool {
    URL_SAFE_NO_PAD.decode(token).is_ok_and(|tag| mac(resume_key, name).verify_slice(&tag).is_ok())
}

fn mac(resume_key: &str, name: &str) -> Hmac<Sha256> {
    // invariant: HMAC takes a key of any length (RFC 2104 section 2).
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(resume_key.as_bytes()).expect("any length");
    mac.update(b"resume:");
    mac.update(name.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_name_of_one_run() {
        let token = resume_token("ab12", "review");
        // printf 'resume:review' | openssl dgst -sha256 -hmac ab12 -binary | basenc --base64url, without the padding
        assert_eq!(token, "d2py1NptnW5H12U7TGnqWkz9UVyga64VICvmpZmV1Hk");
        assert!(verify_resume_token("ab12", "review", &token));
        for (key, name, token) in
            [("ab13", "review", token.as_str()), ("ab12", "revieW", &token), ("ab12", "review", ""), ("ab12", "review", "x")]
        {
            assert!(!verify_resume_token(key, name, token), "{key} {name} {token}");
        }
    }
}
