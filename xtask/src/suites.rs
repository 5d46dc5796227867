//! The test command: runs the parts that were asked for, counts, and never calls something passed that did not run.
//!
//! Stage: tests. A part installs and builds what it needs first. The last line, `N passed, N failed`, is for CI. Out of
//! scope: the tests themselves, and what becomes of one that failed (`flaky.rs`).

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::env::{Env, describe, run};
use crate::flaky::{self, Failed};
use crate::{browser, checks, lambda, sdk, tools, wasm};

type Part = (&'static str, fn(&Env) -> Result<Tally>);

const PARTS: [Part; 9] = [
    ("tidy", checks::tidy),
    ("unit", unit),
    ("sdk", sdk::test),
    ("it", it),
    ("browser", browser::test),
    ("scale", scale),
    ("lambda", on_lambda),
    ("workers", on_workers),
    ("deploy", checks::deploy),
];

/// Tests that measure times, which are the promise: never early, at most 1.5 s late. They run beside a few that wait as they do.
const PUNCTUAL: [&str; 8] = [
    "scenarios::timers::",
    "scenarios::throttling::",
    "scenarios::schedules::an_interval_fires_on_time",
    "scenarios::schedules::edits_while_a_tick_is_due",
    "scenarios::flows::a_rate_is_kept",
    "scenarios::flows::a_429_moves",
    "scenarios::outage::a_delivering_host_whose_clock",
    "scenarios::retries::an_endpoint_that_never_answers_ends",
];
const PUNCTUAL_AT_ONCE: u8 = 3;
/// Large ones, which take the machine for minutes: 10,000 messages and ten kills, 200 kills, a year of a minutely schedule, a table of 5,000,000 rows.
const LARGE: [&str; 5] = [
    "scenarios::crash::ten_thousand_messages",
    "scenarios::run_crash::",
    "schedules::eight_ticks_at_once",
    "schedules::one_tick_fires_all_of_thousands",
    "prune::no_bite_holds_a_lock",
];
const LARGE_AT_ONCE: u8 = 2;
/// Scenarios wait for timers and endpoints far more than they compute: cores do not say how many fit.
const CROWD: u8 = 24;
/// On Workers each has a workerd of its own, which computes where the other hosts wait.
const CROWD_OF_WORKERS: u8 = 12;

/// How many tests or checks passed, failed, and said that they do not apply to the host; and which failed beside others and passed alone.
#[derive(Default)]
pub struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
    flaky: Vec<String>,
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
        Tally { passed, failed, skipped, flaky: Vec::new() }
    }

    /// How many failed.
    pub fn failures(&self) -> usize {
        self.failed as usize
    }

    /// Has one that failed count as flaky.
    pub fn passed_alone(&mut self, name: &str) {
        self.failed -= 1;
        self.flaky.push(name.to_owned());
    }

    /// Those that failed beside others and passed alone.
    pub fn flaky(&self) -> &[String] {
        &self.flaky
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
                self.flaky.extend(other.flaky);
            }
            Err(error) => self.add(name, Err(error)),
        }
    }

    /// `3 passed, 0 failed, 1 flaky, 2 skipped`, without those that are none of the last two.
    pub fn line(&self) -> String {
        let some = |count: usize, what: &str| if count > 0 { format!(", {count} {what}") } else { String::new() };
        format!(
            "{} passed, {} failed{}{}",
            self.passed,
            self.failed,
            some(self.flaky.len(), "flaky"),
            some(self.skipped as usize, "skipped")
        )
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
        lines.extend(tally.flaky().iter().map(|test| format!("flaky: {test}: failed beside others, passed alone")));
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
    Suite::new(env, "dev", &[])?.test(&[(CROWD, crowd(&[]))])
}

/// What would disturb others, or be disturbed by them.
fn scale(env: &Env) -> Result<Tally> {
    let suite = Suite::new(env, "dev", &[("TIKKU_TEST_SCALE", "1".into())])?;
    suite.test(&[(PUNCTUAL_AT_ONCE, PUNCTUAL.to_vec()), (LARGE_AT_ONCE, LARGE.to_vec())])
}

fn on_lambda(env: &Env) -> Result<Tally> {
    let folder = lambda::build(env)?;
    let suite = Suite::new(env, "lambda", &[("TIKKU_LAMBDA_DIR", folder.into())])?;
    suite.test(&[(CROWD, crowd(&["scenarios::"])), (PUNCTUAL_AT_ONCE, PUNCTUAL.to_vec())])
}

fn on_workers(env: &Env) -> Result<Tally> {
    let folder = wasm::build_worker(env)?;
    let suite = Suite::new(env, "workers", &[("TIKKU_WORKER_DIR", folder.into())])?;
    suite.test(&[(CROWD_OF_WORKERS, crowd(&["scenarios::"])), (PUNCTUAL_AT_ONCE, PUNCTUAL.to_vec())])
}

/// Arguments of all that these filters take, but for those that are kept apart.
fn crowd(filters: &[&'static str]) -> Vec<&'static str> {
    let apart = PUNCTUAL.iter().chain(&LARGE).flat_map(|name| ["--skip", name]);
    filters.iter().copied().chain(apart).collect()
}

/// The integration tests on one host.
struct Suite<'a> {
    env: &'a Env,
    host: &'static str,
    variables: Vec<(&'static str, OsString)>,
}

impl<'a> Suite<'a> {
    /// Makes sure that all is there that they need.
    fn new(env: &'a Env, host: &'static str, variables: &[(&'static str, OsString)]) -> Result<Suite<'a>> {
        tools::postgres(env)?;
        tools::faketime(env)?;
        tools::python(env)?;
        tools::node(env)?;
        sdk::typescript_built(env)?;
        run(env.command("cargo").args(["build", "--quiet", "--package", "tikku-cli"]))?;
        Ok(Suite { env, host, variables: variables.to_vec() })
    }

    /// Runs one after the other what each line of arguments selects, so many at once; what little failed once more, alone.
    fn test(&self, passes: &[(u8, Vec<&str>)]) -> Result<Tally> {
        let (mut tally, mut failed) = (Tally::default(), Failed::default());
        for (at_once, arguments) in passes {
            tally.join(self.host, Ok(cargo_test_reading(&mut self.command(*at_once, arguments), &mut failed)?));
        }
        Ok(flaky::judge(tally, &failed, |name| cargo_test(&mut self.command(1, &["--exact", name]))))
    }

    fn command(&self, at_once: u8, arguments: &[&str]) -> Command {
        let mut command = self.env.command("cargo");
        command.args(["test", "--package", "tikku-tests", "--test", "it", "--", "--show-output"]).args(arguments);
        command.env("TIKKU_TEST_HOSTS", self.host).env("RUST_TEST_THREADS", at_once.to_string());
        // The full sizes of what is also tried small by a plain `cargo test`: 1,000 timers, 10,000 messages and ten kills.
        command.env("TIKKU_TEST_LONG", "1");
        environment(self.env, &mut command);
        // Without these wrangler looks for servers of its maker at every start.
        command.env("CLOUDFLARE_CF_FETCH_ENABLED", "false").env("WRANGLER_SEND_METRICS", "false");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
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
    cargo_test_reading(command, &mut Failed::default())
}

fn cargo_test_reading(command: &mut Command, failed: &mut Failed) -> Result<Tally> {
    let mut not_run = 0;
    let mut tally = counted(command, |tally, line| {
        count(tally, line);
        failed.read(line);
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
