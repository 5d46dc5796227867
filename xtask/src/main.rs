//! `cargo xtask`: set-up, tests, builds and benchmarks, each one command from a fresh clone.
//!
//! Stage: none of the product's; developers, CI and `wrangler deploy` call it. It installs what is missing into one cache
//! folder and runs the ordinary tools. Out of scope: the tests themselves (`tests/`), the benchmarks (`bench/`), deploying.

#![allow(clippy::disallowed_methods, reason = "a build tool reads its environment and times its steps")]

mod bench;
mod browser;
mod checks;
mod env;
mod flaky;
mod lambda;
mod openapi;
mod sdk;
mod suites;
mod tools;
mod wasm;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::env::Env;

const USAGE: &str = "\
cargo xtask setup [tool...]   installs what is missing: postgres faketime python node wasm browser (default: all but browser)
cargo xtask test [part...]    runs tests: tidy unit sdk it browser scale lambda workers deploy (default: all of them)
cargo xtask build worker      builds the Cloudflare Worker into functions/edge/build
cargo xtask build lambda      builds the Lambda functions into .aws-sam/build
cargo xtask openapi           writes docs/openapi.json and the TypeScript types anew
cargo xtask screenshots       writes docs/screenshots anew, for README.md
cargo xtask bench [args...]   builds a release `tikku` and runs bench/run.mjs with the arguments";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command line; false when tests ran and some of them failed.
fn run(words: &[&str]) -> Result<bool> {
    let env = Env::load()?;
    match words {
        ["setup", tools @ ..] => tools::setup(&env, tools)?,
        ["test", parts @ ..] => return suites::test(&env, parts),
        ["build", "worker"] => drop(wasm::build_worker(&env)?),
        ["build", "lambda"] => drop(lambda::build(&env)?),
        ["screenshots"] => browser::screenshots(&env)?,
        ["openapi"] => openapi::write(&env)?,
        ["bench", arguments @ ..] => bench::run_benchmarks(&env, arguments)?,
        [] | ["help" | "--help" | "-h"] => println!("{USAGE}"),
        _ => bail!("unknown command: {}\n{USAGE}", words.join(" ")),
    }
    Ok(true)
}
