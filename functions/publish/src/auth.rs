//! Who calls, and whether the role allows it. A publish checks its key inside its own statement; all else asks here.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, header};
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

/// Carries a principal from [`take_principal`] to the handlers. What the network sends under this name is thrown away.
const PRINCIPAL: &str = "tikku-principal";

/// Who makes a request from inside this process, in the place of an API key. It stands in the request's extensions, where nothing that
/// comes from the network gets.
#[derive(Clone, Debug)]
pub struct Principal {
    /// SHA-256 of the text of the key that it acts for; the key must work and its role must be enough.
    pub key_hash: [u8; 32],
}

/// Lets a request in by its principal. Comes before all else: from here on the header is ours.
pub async fn take_principal(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove(PRINCIPAL);
    let hex = |principal: &Principal| principal.key_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if let Some(value) = request.extensions().get().map(hex).and_then(|text| HeaderValue::from_str(&text).ok()) {
        request.headers_mut().insert(PRINCIPAL, value);
    }
    request
}

/// The hash that [`take_principal`] has written, if it has.
fn principal_hash(headers: &HeaderMap) -> Option<[u8; 32]> {
    let text = headers.get(PRINCIPAL)?.to_str().ok()?;
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// SHA-256 of the Bearer key (RFC 6750, section 2.1), or of the principal's.
pub fn key_hash(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    if let Some(hash) = principal_hash(headers) {
        return Ok(hash);
    }
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
