//! The benchmarks: builds `tikku` as it ships and hands over to `bench/run.mjs`.
//!
//! Stage: none. Out of scope: what is measured and how (`bench/README.md`).

use anyhow::{Result, ensure};

use crate::env::{Env, run};
use crate::{lambda, tools, wasm};

/// Builds what is measured, installs the packages of bench/ and runs it with these arguments.
pub fn run_benchmarks(env: &Env, arguments: &[&str]) -> Result<()> {
    let folder = env.root.join("bench");
    ensure!(folder.join("run.mjs").is_file(), "bench/run.mjs is missing");
    tools::postgres(env)?;
    run(env.command("cargo").args(["build", "--release", "--package", "tikku-cli"]))?;
    let mut bench = env.command("node");
    bench.arg("bench/run.mjs").args(arguments).env("TIKKU_BIN", env.target.join("release/tikku"));
    // A part of the benchmark needs no artefacts, and building them takes minutes.
    if !arguments.iter().any(|word| word.starts_with("--quick") || word.starts_with("--phases")) {
        bench.env("TIKKU_LAMBDA_DIR", lambda::build(env)?);
        wasm::build_worker(env)?;
    }
    tools::npm_packages(env, &folder)?;
    run(&mut bench)
}
