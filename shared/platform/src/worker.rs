//! Cloudflare Workers: JavaScript's promises and bindings, made `Send` here because a Worker has one thread.

pub mod db;
pub mod http;
pub mod log;
pub mod queue;
pub mod time;
