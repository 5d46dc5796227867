//! Who calls, and whether the role allows it. A publish checks its key inside its own statement; all else asks here.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use tikku_domain::problem::{Kind, Problem};
use tikku_platform::Ctx;
use tikku_store::Caller;

use crate::reply::ApiError;

/// What a route asks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// admin, publish or read.
    Read,
    /// admin or publish.
    Publish,
    /// admin.
    Admin,
}

impl Needs {
    fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["admin", "publish", "read"],
            Self::Publish => &["admin", "publish"],
            Self::Admin => &["admin"],
        }
    }
}

/// SHA-256 of the Bearer key (RFC 6750, section 2.1).
pub fn key_hash(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let key = match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        _ => "",
    };
    if key.is_empty() {
        return Err(Problem::new(Kind::Unauthorized, "send the header `Authorization: Bearer tk_live_...`"));
    }
    Ok(Sha256::digest(key.as_bytes()).into())
}

/// No such key, or revoked.
pub fn unknown_key() -> Problem {
    Problem::new(Kind::Unauthorized, "this API key does not exist or was revoked")
}

/// The role is too small.
pub fn wrong_role(needs: Needs) -> Problem {
    Problem::new(Kind::Forbidden, format!("this needs a key of role {}", needs.roles().join(" or ")))
}

/// The caller, if the key works and its role is enough.
pub async fn caller(ctx: &Ctx, headers: &HeaderMap, needs: Needs) -> Result<Caller, ApiError> {
    let hash = key_hash(headers)?;
    let caller = ctx.store.api_key_use(&hash).await?.ok_or_else(unknown_key)?;
    if !needs.roles().contains(&caller.role.as_str()) {
        return Err(wrong_role(needs).into());
    }
    Ok(caller)
}
