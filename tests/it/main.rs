//! The integration tests, one binary.
//!
//! `scenarios/` is the end-to-end suite: the same scenarios on three hosts (`host.rs`, env `TIKKU_TEST_HOSTS`), seen from outside only.
//! The other modules are its test bed. Out of scope: pure functions, which are tested beside their code.

#![allow(missing_docs, reason = "nothing here is an interface to others")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the report")]
#![allow(clippy::disallowed_methods, reason = "a test is outside: it has a clock and an environment of its own")]

mod api;
mod browser;
mod bulk;
mod certificate;
mod cli;
mod cli_doctor;
mod cli_help;
mod cli_messages;
mod cli_runs;
mod cron;
mod dashboard_expiry;
mod endpoint;
mod flow_edges;
mod flow_storm;
mod flows;
mod host;
mod overview;
mod plans;
mod postgres;
mod process;
mod prune;
mod races;
mod run_bed;
mod run_control;
mod run_control_races;
mod run_desk;
mod run_engine;
mod run_events;
mod run_faults;
mod run_groups;
mod run_messages;
mod run_races;
mod run_signals;
mod run_sql;
mod run_starts;
mod run_vectors;
mod scenarios;
mod schedules;
mod signature;
mod sql_api;
mod sql_rights;
mod store_messages;
mod ticks;
mod tidy;
mod workflow_endpoint;
mod world;
