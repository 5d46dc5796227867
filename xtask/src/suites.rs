//! The test command: runs the parts that were asked for, counts, and never calls something passed that did not run.
//!
//! Stage: tests. A part installs and builds what it needs first. The last line, `N passed, N failed`, is for CI. Out of
//! scope: the tests themselves.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::env::{Env, describe, run};
use crate::{checks, lambda, sdk, tools, wasm};

type Part = (&'static str, fn(&Env) -> Result<Tally>);

const PARTS: [Part; 8] = [
    ("tidy", checks::tidy),
    ("unit", unit),
    ("sdk", sdk::test),
    ("it", it),
    ("scale", scale),
    ("lambda", on_lambda),
    ("workers", on_workers),
    ("deploy", checks::deploy),
];

/// How many tests or checks passed, failed, and said that they do not apply to the host.
#[derive(Default)]
pub struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// Counts one check and prints why it failed.
    pub fn add(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("FAILED {name}: {error:#}");
                self.failed += 1;
            }
        }
    }

    /// So many.
    pub fn of(passed: u32, failed: u32, skipped: u32) -> Tally {
        Tally { passed, failed, skipped }
    }

    /// Adds what a program counted; one that did not get that far counts as one failure.
    pub fn join(&mut self, name: &str, counted: Result<Tally>) {
        match counted {
            Ok(other) => {
                if other.failed > 0 {
                    eprintln!("FAILED {name}: {}", other.line());
                }
                self.passed += other.passed;
                self.failed += other.failed;
                self.skipped += other.skipped;
            }
            Err(error) => self.add(name, Err(error)),
        }
    }

    /// `3 passed, 0 failed`
    pub fn line(&self) -> String {
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

/// Runs the named parts, or all of them; true when nothing failed. A part that could not run counts as one failure.
pub fn test(env: &Env, names: &[&str]) -> Result<bool> {
    let unknown = names.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name));
    if let Some(name) = unknown {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(anyhow!("unknown part {name}: it is one of {}", known.join(" ")));
    }
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for (name, body) in PARTS.iter().filter(|(part, _)| names.is_empty() || names.contains(part)) {
        eprintln!("\n== {name}");
        let begun = Instant::now();
        let tally = body(env).unwrap_or_else(|error| {
            let mut tally = Tally::default();
            tally.add(name, Err(error));
            tally
        });
        lines.push(format!("{name}: {} ({} s)", tally.line(), begun.elapsed().as_secs()));
        total.join(name, Ok(tally));
    }
    println!("\n{}\n{}", lines.join("\n"), total.line());
    Ok(total.failed == 0)
}

fn unit(env: &Env) -> Result<Tally> {
    // The Worker exists on wasm only; the integration tests and the Rust SDK are parts of their own.
    let others = ["--exclude", "tikku-edge", "--exclude", "tikku-tests", "--exclude", "tikku"];
    let selection = [&["--workspace", "--lib", "--bins"], &others[..]].concat();
    cargo_test(env.command("cargo").args(["test", "--no-fail-fast"]).args(selection))
}

fn it(env: &Env) -> Result<Tally> {
    cargo_test(integration(env, "dev")?.arg("--show-output"))
}

/// What is large, and would disturb tests that measure times: a simulated year of a minutely schedule, pruning a table of 5,000,000 rows.
fn scale(env: &Env) -> Result<Tally> {
    let tests = ["schedules::eight_ticks_at_once", "prune::no_bite_holds_a_lock"];
    cargo_test(integration(env, "dev")?.env("TIKKU_TEST_SCALE", "1").args(tests).arg("--show-output"))
}

fn on_lambda(env: &Env) -> Result<Tally> {
    let folder = lambda::build(env)?;
    cargo_test(integration(env, "lambda")?.env("TIKKU_LAMBDA_DIR", folder).args(["scenarios::", "--show-output"]))
}

fn on_workers(env: &Env) -> Result<Tally> {
    let folder = wasm::build_worker(env)?;
    // Each scenario has a workerd of its own, which computes where the other hosts wait.
    cargo_test(
        integration(env, "workers")?.env("RUST_TEST_THREADS", "12").env("TIKKU_WORKER_DIR", folder).args(["scenarios::", "--show-output"]),
    )
}

/// The integration tests on one host. Arguments that follow go to the test binary.
fn integration(env: &Env, host: &str) -> Result<Command> {
    tools::postgres(env)?;
    tools::faketime(env)?;
    tools::python(env)?;
    tools::node(env)?;
    sdk::typescript_built(env)?;
    run(env.command("cargo").args(["build", "--quiet", "--package", "tikku-cli"]))?;
    let mut command = env.command("cargo");
    command.args(["test", "--package", "tikku-tests", "--test", "it", "--"]);
    command.env("TIKKU_TEST_HOSTS", host);
    // The full sizes of what is also tried small by a plain `cargo test`: 1,000 timers, 10,000 messages and ten kills.
    command.env("TIKKU_TEST_LONG", "1");
    // Scenarios wait for timers and endpoints far more than they compute: cores do not say how many fit.
    command.env("RUST_TEST_THREADS", "24");
    environment(env, &mut command);
    // Without these wrangler looks for servers of its maker at every start.
    command.env("CLOUDFLARE_CF_FETCH_ENABLED", "false").env("WRANGLER_SEND_METRICS", "false");
    Ok(command)
}

/// Where tests find the product and the tools.
pub fn environment<'a>(env: &Env, command: &'a mut Command) -> &'a mut Command {
    command.env("TIKKU_BIN", env.target.join("debug/tikku"));
    command.env("TIKKU_PYTHON", env.python_bin("python"));
    command.env("TIKKU_WRANGLER", env.node_bin("wrangler"));
    command.env("TIKKU_NODE_MODULES", env.cache.join("node/node_modules"))
}

/// Runs a `cargo test`, passes its output on and counts. A run that tested nothing is an error.
pub fn cargo_test(command: &mut Command) -> Result<Tally> {
    let mut not_run = 0;
    let mut tally = counted(command, |tally, line| {
        count(tally, line);
        // What a test prints that does not apply to the host; to cargo it passed.
        not_run += u32::from(line.starts_with("not run: "));
    })?;
    tally.passed = tally.passed.saturating_sub(not_run);
    tally.skipped += not_run;
    ensure!(tally.passed + tally.failed > 0, "{}: no test applies here", describe(command));
    Ok(tally)
}

/// Runs tests, passes their output on and has each line counted. A run that tested nothing is an error.
pub fn counted(command: &mut Command, mut count: impl FnMut(&mut Tally, &str)) -> Result<Tally> {
    let line = describe(command);
    eprintln!("$ {line}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start: {line}"))?;
    let output = child.stdout.take().context("the test run has no output")?;
    let mut tally = Tally::default();
    for text in BufReader::new(output).lines() {
        let text = text?;
        println!("{text}");
        count(&mut tally, &text);
    }
    let status = child.wait()?;
    ensure!(status.success() || tally.failed > 0, "{line}: {status}, without a failed test: it did not build, or it crashed");
    ensure!(tally.passed + tally.failed > 0, "{line}: no test ran");
    Ok(tally)
}

/// Reads `test result: ok. 3 passed; 0 failed; ...`.
fn count(tally: &mut Tally, line: &str) {
    let Some(result) = line.strip_prefix("test result: ") else { return };
    for part in result.split([';', '.']) {
        let mut words = part.split_whitespace();
        let number = words.next().and_then(|word| word.parse::<u32>().ok()).unwrap_or(0);
        match words.next() {
            Some("passed") => tally.passed += number,
            Some("failed") => tally.failed += number,
            Some("ignored") => tally.skipped += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, count};

    #[test]
    fn the_closing_lines_of_cargo_test_are_added_up() {
        let mut tally = Tally::default();
        count(&mut tally, "running 3 tests");
        count(&mut tally, "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        count(&mut tally, "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s");
        assert_eq!(tally.line(), "5 passed, 4 failed, 1 skipped");
    }
}
