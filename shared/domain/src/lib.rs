//! The pure rules of Tikku: what a message is, when it is tried again, how a push is signed, what the API accepts and says.
//!
//! In scope: decisions as plain functions of their arguments. Out of scope: async, I/O, clocks and dice (the database has them),
//! and anything that differs between hosts.

pub mod account_settings;
pub mod address;
pub mod app;
pub mod app_view;
pub mod approval;
pub mod approval_view;
pub mod batch;
pub mod bulk;
pub mod config_view;
pub mod cron;
pub mod cron_words;
pub mod destination;
pub mod etag;
pub mod event;
pub mod event_view;
pub mod fanout;
pub mod fetch;
pub mod fields;
pub mod filter;
pub mod flow;
pub mod header_rules;
pub mod ids;
pub mod json_schema;
pub mod limits;
pub mod message;
pub mod overview;
pub mod overview_view;
pub mod pattern;
pub mod problem;
pub mod publish;
pub mod raw_publish;
pub mod retry;
pub mod run_filter;
pub mod run_filter_query;
pub mod run_start;
pub mod run_verbs;
pub mod run_view;
pub mod schedule;
pub mod schedule_view;
pub mod signing;
#[doc(hidden)]
pub mod spellings;
pub mod started;
pub mod view;
pub mod workflow;
pub mod workflow_await;
pub mod workflow_describe;
pub mod workflow_invoke;
mod workflow_json;
pub mod workflow_judge;
pub mod workflow_match;
mod workflow_ops;
pub mod workflow_reply;
pub mod workflow_resume;
