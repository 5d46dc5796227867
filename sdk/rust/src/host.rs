//! What the SDK needs of the machine it runs on: HTTP out, a timer, the time. [`ReqwestHost`](crate::ReqwestHost) is one; tests bring another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// No answer came.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no answer: {0}")]
pub struct NoAnswer(pub String);

/// HTTP, timers and the time.
pub trait Host: Send + Sync + 'static {
    /// Sends a request and reads the whole answer, whatever its status. Redirects are not followed.
    ///
    /// # Errors
    /// [`NoAnswer`] if the connection failed or broke.
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<Bytes>, NoAnswer>>;

    /// Is ready after this time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Milliseconds since the Unix epoch.
    fn unix_ms(&self) -> u64;
}

/// A host that is shared.
pub(crate) type SharedHost = Arc<dyn Host>;
