//! The pure rules of Tikku: what a message is, when it is tried again, how a push is signed, what the API accepts and says.
//!
//! In scope: decisions as plain functions of their arguments. Out of scope: async, I/O, clocks and dice (the database has them),
//! and anything that differs between hosts.

pub mod account_settings;
pub mod address;
pub mod batch;
pub mod bulk;
pub mod config_view;
pub mod cron;
pub mod destination;
pub mod etag;
pub mod fanout;
pub mod fields;
pub mod filter;
pub mod flow;
pub mod header_rules;
pub mod ids;
pub mod limits;
pub mod message;
pub mod problem;
pub mod publish;
pub mod raw_publish;
pub mod retry;
pub mod schedule;
pub mod schedule_view;
pub mod signing;
#[doc(hidden)]
pub mod spellings;
pub mod view;
