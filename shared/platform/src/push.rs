//! A request to an endpoint, complete: what every host's `Http` sends.

use url::Url;

/// One push.
#[derive(Clone, Debug)]
pub struct Push {
    /// Destination, checked by `tikku_domain::destination::parse`.
    pub url: Url,
    /// HTTP method.
    pub method: String,
    /// All headers but those that HTTP itself sets.
    pub headers: Vec<(String, String)>,
    /// The bytes; empty for none.
    pub body: Vec<u8>,
    /// From the start to the end of the answer.
    pub timeout_ms: u64,
    /// How much of the answer's body is read, in bytes; the rest is left.
    pub body_max: usize,
}
