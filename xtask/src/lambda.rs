//! The Lambda functions: `sam build`, as a deployment runs it.
//!
//! Stage: build. SAM calls `cargo lambda build` once per function; all of them share cargo's target folder, so their
//! dependencies compile once. Out of scope: what the stack holds (`template.yaml`).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::env::{Env, path_with, run};
use crate::tools;

/// Builds the functions for the processor of this machine into .aws-sam/build, and returns the folder in which
/// cargo-lambda left `publish/bootstrap` and its like for each function.
pub fn build(env: &Env) -> Result<PathBuf> {
    ensure!(cfg!(target_os = "linux"), "the Lambda binaries are Linux programs: build and test them on Linux");
    tools::python(env)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let mut build = sam(env)?;
    build.args(["build", "--beta-features", "--parameter-overrides"]);
    run(build.arg(format!("Architecture={architecture}")))?;
    let folder = env.target.join("lambda");
    for function in ["publish", "dashboard", "tick", "deliver", "step-invoke"] {
        let binary = folder.join(function).join("bootstrap");
        ensure!(binary.is_file(), "sam build left no {}", binary.display());
    }
    Ok(folder)
}

/// A SAM command that asks nobody anything and finds cargo-lambda and zig.
pub fn sam(env: &Env) -> Result<Command> {
    let mut command = env.command(env.python_bin("sam"));
    command.env("PATH", path_with(&[env.cache.join("venv/bin")])?);
    command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1");
    Ok(command)
}
