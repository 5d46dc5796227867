//! What is checked without running the product: formatting, lints, generated files, and that the deploy files are valid and build.
//!
//! Stage: tests. Nothing here talks to AWS or Cloudflare. Out of scope: running what was built (`suites.rs`).

use anyhow::Result;

use crate::env::{Env, run};
use crate::suites::Tally;
use crate::wasm::Toolchain;
use crate::{lambda, openapi, tools, wasm};

/// The features that the shells of the Lambda functions hide behind.
const LAMBDA_FEATURES: &str = "tikku-publish/lambda,tikku-tick/lambda,tikku-deliver/lambda,tikku-step-invoke/lambda";

/// rustfmt and clippy, for the host and for wasm; what is generated and committed.
pub fn tidy(env: &Env) -> Result<Tally> {
    tools::wasm_tools(env)?;
    let toolchain = wasm::toolchain(env)?;
    let mut edge = toolchain.command(env, "cargo")?;
    let selection = ["--quiet", "--package", "tikku-edge", "--target", wasm::TARGET];
    match toolchain {
        Toolchain::Own => edge.arg("clippy").args(selection).args(["--", "-D", "warnings"]),
        // Debian's toolchain for wasm has no clippy.
        Toolchain::Debian(_) => edge.arg("check").args(selection),
    };
    let mut host = env.command("cargo");
    host.args(["clippy", "--quiet", "--workspace", "--exclude", "tikku-edge", "--all-targets", "--features", LAMBDA_FEATURES]);
    let mut tally = Tally::default();
    tally.add("formatting", run(env.command("cargo").args(["fmt", "--all", "--check"])));
    tally.add("lints", run(host.args(["--", "-D", "warnings"])));
    tally.add("lints of the Worker", run(&mut edge));
    tally.add("files made of the OpenAPI document", openapi::check(env));
    tally.add("TypeScript types", openapi::check_types(env));
    Ok(tally)
}

/// The SAM template and the wrangler configuration.
pub fn deploy(env: &Env) -> Result<Tally> {
    tools::python(env)?;
    tools::wasm_tools(env)?;
    let mut wrangler = env.command(env.node_bin("wrangler"));
    wrangler.args(["deploy", "--dry-run", "--outdir"]).arg(env.target.join("wrangler-dry-run"));
    wrangler.env("WRANGLER_SEND_METRICS", "false").env("CI", "true");
    let mut tally = Tally::default();
    tally.add("sam validate", run(lambda::sam(env)?.args(["validate", "--lint"])));
    tally.add("cfn-lint", run(env.command(env.python_bin("cfn-lint")).arg("template.yaml")));
    tally.add("sam build", lambda::build(env).map(drop));
    tally.add("wrangler deploy --dry-run", run(&mut wrangler));
    Ok(tally)
}
