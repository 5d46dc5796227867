//! Lambda and laptop: tokio, sockets, the process environment.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "aws")]
mod batch;
pub mod db;
pub mod http;
pub mod log;
pub mod queue;
#[cfg(feature = "aws")]
mod sqs;
pub mod time;
mod tls;
