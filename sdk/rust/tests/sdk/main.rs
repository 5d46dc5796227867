//! The SDK from outside: replay by the shared vectors, dispatches against an engine in memory, one endpoint on loopback, the client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod dispatches;
mod engine;
mod loopback;
mod mistakes;
mod vectors;
