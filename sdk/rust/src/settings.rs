//! What a program that says nothing gets: settings from the environment, HTTP through reqwest.

#[cfg(feature = "reqwest")]
use std::sync::Arc;

use crate::host::SharedHost;

/// Reads an environment variable; none if it is empty.
#[expect(clippy::disallowed_methods, reason = "the SDK runs in programs of its users; these names are documented")]
pub fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The host that is used when none is given.
#[cfg(feature = "reqwest")]
pub fn host() -> Result<SharedHost, String> {
    crate::ReqwestHost::new().map(|host| Arc::new(host) as SharedHost).map_err(|error| error.to_string())
}

/// The host that is used when none is given: none without the feature `reqwest`.
#[cfg(not(feature = "reqwest"))]
pub fn host() -> Result<SharedHost, String> {
    Err("without the feature \"reqwest\" a host must be given".to_owned())
}
