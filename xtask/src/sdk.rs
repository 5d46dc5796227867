//! The SDKs and the protocol between them and the engine: their own tests, their packages, and the conformance kit against each endpoint
//! in each mode and against `tikku dev`, under Node, in workerd and under Bun.
//!
//! Stage: tests. Out of scope: what the kit checks (`conformance/README.md`); the engine's own tests (`tests/`).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::env::{Env, capture, describe, run};
use crate::suites::{self, Tally};
use crate::{tools, wasm};

const TYPESCRIPT: &str = "sdk/typescript";
const MODES: [&str; 3] = ["each", "batched", "return"];
/// Both programs of a pair sign with it; it guards nothing.
const SECRET: &str = "whsec_dGlra3UtY29uZm9ybWFuY2Uta2l0LXNlY3JldC0wMQ==";
/// How long a program may take until it says where it listens.
const START_MAX: Duration = Duration::from_secs(60);

/// Everything about the SDKs.
pub fn test(env: &Env) -> Result<Tally> {
    tools::postgres(env)?;
    tools::node(env)?;
    tools::npm_packages(env, &env.root.join(TYPESCRIPT))?;
    tools::npm_packages(env, &env.root.join("conformance"))?;
    run(env.command("cargo").args(["build", "--quiet", "--package", "tikku-cli"]))?;
    let mut tally = Tally::default();
    tally.add("schema of the protocol", run(npm(env, "conformance").args(["run", "schema"])));
    tally.add("build of the TypeScript SDK", run(npm(env, TYPESCRIPT).args(["run", "build"])));
    tally.join("tests of the TypeScript SDK", suites::counted(suites::environment(env, npm(env, TYPESCRIPT).arg("test")), vitest));
    tally.add("package of the TypeScript SDK", run(npm(env, TYPESCRIPT).args(["run", "check"])));
    tally.join("tests of the Rust SDK", rust(env, &["--lib", "--tests"]));
    tally.join("examples in the docs of the Rust SDK", rust(env, &["--doc"]));
    tally.add(
        "endpoint of the Rust SDK",
        run(env.command("cargo").args(["build", "--quiet", "--package", "tikku", "--example", "conformance"])),
    );
    tally.add("endpoint of the Rust SDK in workers-rs", worker(env));
    conformance(env, &mut tally);
    tally.join("examples", examples(env));
    Ok(tally)
}

fn rust(env: &Env, selection: &[&str]) -> Result<Tally> {
    let mut command = env.command("cargo");
    command.args(["test", "--no-fail-fast", "--package", "tikku"]).args(selection);
    suites::cargo_test(suites::environment(env, &mut command))
}

/// Compiles the Rust SDK for Workers, with its `Serve` in a fetch handler.
fn worker(env: &Env) -> Result<()> {
    let mut check = wasm::toolchain(env)?.command(env, "cargo")?;
    run(check.args(["check", "--quiet", "--package", "tikku", "--example", "worker", "--target", wasm::TARGET]))
}

/// The TypeScript SDK, built: what examples and integration tests serve their workflows with.
pub fn typescript_built(env: &Env) -> Result<()> {
    tools::npm_packages(env, &env.root.join(TYPESCRIPT))?;
    run(npm(env, TYPESCRIPT).args(["run", "build"]))
}

/// The examples against `tikku dev`, with a scripted provider.
fn examples(env: &Env) -> Result<Tally> {
    tools::npm_packages(env, &env.root.join("examples"))?;
    suites::counted(suites::environment(env, npm(env, "examples").arg("test")), vitest)
}

/// Each SDK alone, `tikku dev` alone, and each SDK with `tikku dev`; SDKs in each mode.
fn conformance(env: &Env, tally: &mut Tally) {
    let sdks = [("TypeScript", typescript_endpoint as fn(&Env) -> Command), ("Rust", rust_endpoint)];
    let each = || sdks.into_iter().flat_map(|(language, program)| MODES.map(|mode| (language, program, mode)));
    for (language, program, mode) in each() {
        let done = endpoint(&mut program(env), SECRET, mode).and_then(|endpoint| {
            let url = endpoint.listening()?;
            kit(env, &["engine.mjs", "--endpoint", &url, "--secret", SECRET, "--mode", mode])
        });
        tally.join(&format!("conformance of the {language} SDK, mode {mode}"), done);
    }
    let dev = match Dev::start(env) {
        Ok(dev) => dev,
        Err(error) => return tally.add("conformance of `tikku dev`", Err(error)),
    };
    let engine = ["--engine", &dev.url, "--key", &dev.key];
    tally.join("conformance of `tikku dev`", kit(env, &[&["endpoint.mjs", "--secret", &dev.secret], &engine[..]].concat()));
    let both = |program: fn(&Env) -> Command, mode| {
        let endpoint = endpoint(suites::environment(env, &mut program(env)), &dev.secret, mode)?;
        let url = endpoint.listening()?;
        kit(env, &[&["both.mjs", "--endpoint", &url], &engine[..]].concat())
    };
    for (language, program, mode) in each() {
        tally.join(&format!("the {language} SDK with `tikku dev`, mode {mode}"), both(program, mode));
    }
    tally.join("the TypeScript SDK in workerd with `tikku dev`", both(workers_endpoint, "each"));
    tally.join("the TypeScript SDK under Bun with `tikku dev`", both(bun_endpoint, "each"));
}

fn typescript_endpoint(env: &Env) -> Command {
    let mut command = env.command("node");
    command.arg(format!("{TYPESCRIPT}/conformance-endpoint.mjs"));
    command
}

fn workers_endpoint(env: &Env) -> Command {
    let mut command = env.command("node");
    command.arg(format!("{TYPESCRIPT}/conformance/workers.mjs"));
    command
}

fn bun_endpoint(env: &Env) -> Command {
    let mut command = env.command(env.root.join("conformance/node_modules/.bin/bun"));
    command.arg(format!("{TYPESCRIPT}/conformance/bun.mjs"));
    command
}

fn rust_endpoint(env: &Env) -> Command {
    env.command(env.target.join("debug/examples/conformance"))
}

fn endpoint(program: &mut Command, secret: &str, mode: &str) -> Result<Program> {
    Program::start(program.envs([("PORT", "0"), ("TIKKU_SIGNING_SECRET", secret), ("TIKKU_CHECKPOINT", mode)]))
}

/// Runs a program of the kit and counts its checks.
fn kit(env: &Env, arguments: &[&str]) -> Result<Tally> {
    let [program, rest @ ..] = arguments else { bail!("which program of the kit?") };
    suites::counted(env.command("node").arg(format!("conformance/{program}")).args(rest), checks)
}

/// `tikku dev` on a database of its own.
struct Dev {
    url: String,
    key: String,
    secret: String,
    _program: Program,
}

impl Dev {
    fn start(env: &Env) -> Result<Dev> {
        let folder = env.target.join("sdk-dev");
        tools::remove(&folder)?;
        let mut command = env.command(env.target.join("debug/tikku"));
        command.args(["dev", "--ephemeral", "--port", "0", "--data"]).arg(&folder).env_remove("DATABASE_URL");
        let program = Program::start(&mut command)?;
        let facts = dev_json(&folder.join("dev.json"))?;
        let fact = |name: &str| text_of(&facts, name).with_context(|| format!("no {name} in dev.json"));
        Ok(Dev { url: fact("url")?, key: fact("apiKey")?, secret: fact("signingSecret")?, _program: program })
    }
}

/// Waits for the file that `tikku dev` writes last.
fn dev_json(file: &Path) -> Result<String> {
    for _ in 0..START_MAX.as_millis() / 100 {
        if let Ok(text) = std::fs::read_to_string(file) {
            return Ok(text);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("`tikku dev` did not start within {} s", START_MAX.as_secs())
}

/// A text member of a JSON object that was written with one member a line.
fn text_of(json: &str, name: &str) -> Option<String> {
    let line = json.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{name}\": \"")))?;
    Some(line.trim_end_matches(',').strip_suffix('"')?.to_owned())
}

fn npm(env: &Env, folder: &str) -> Command {
    let mut command = env.command("npm");
    // Colours would hide the numbers that are read out of what it prints.
    command.current_dir(env.root.join(folder)).env("NO_COLOR", "1").env_remove("FORCE_COLOR");
    command
}

/// Reads `25 ok, 0 failed, 3 skipped`, the last line of a program of the kit.
fn checks(tally: &mut Tally, line: &str) {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    if let [ok, "ok", failed, "failed", skipped, "skipped"] = words[..]
        && let (Ok(ok), Ok(failed), Ok(skipped)) = (ok.parse(), failed.parse(), skipped.parse())
    {
        *tally = Tally::of(ok, failed, skipped);
    }
}

/// Reads `Tests  2 failed | 30 passed | 1 skipped (33)`, vitest's summary.
fn vitest(tally: &mut Tally, line: &str) {
    let Some(numbers) = line.trim().strip_prefix("Tests ") else { return };
    let number = |what: &str| {
        let part = numbers.split(['|', '(']).find_map(|part| part.trim().strip_suffix(what));
        part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    *tally = Tally::of(number("passed"), number("failed"), number("skipped") + number("todo"));
}

/// A program that runs beside another; dropping it asks it to stop, and ends it when it does not within 10 s.
struct Program {
    line: String,
    child: Child,
    first: mpsc::Receiver<String>,
}

impl Program {
    fn start(command: &mut Command) -> Result<Program> {
        let line = describe(command);
        eprintln!("$ {line} &");
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start: {line}"))?;
        let output = child.stdout.take().context("the program has no output")?;
        let (sender, first) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                // Only the first is waited for; the others are read so that the program can write them.
                let _unheard = sender.send(text);
            }
        });
        Ok(Program { line, child, first })
    }

    /// The address in its first line, `listening on http://127.0.0.1:4000`.
    fn listening(&self) -> Result<String> {
        let first = self.first.recv_timeout(START_MAX).with_context(|| format!("{}: it does not say where it listens", self.line))?;
        let url = first.strip_prefix("listening on ").with_context(|| format!("{}: it says {first:?}", self.line))?;
        Ok(url.trim().to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = capture(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()));
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, checks, text_of, vitest};

    #[test]
    fn summaries_of_other_programs_are_read() {
        let read = |reader: fn(&mut Tally, &str), lines: &[&str]| {
            let mut tally = Tally::default();
            lines.iter().for_each(|line| reader(&mut tally, line));
            tally.line()
        };
        assert_eq!(read(checks, &["ok   a step (3 ms)", "FAIL b (1 ms)", "25 ok, 1 failed, 3 skipped"]), "25 passed, 1 failed, 3 skipped");
        assert_eq!(
            read(vitest, &[" Test Files  1 passed (1)", "      Tests  2 failed | 30 passed | 1 skipped (33)"]),
            "30 passed, 2 failed, 1 skipped"
        );
        assert_eq!(read(vitest, &["      Tests  7 passed (7)"]), "7 passed, 0 failed");
    }

    #[test]
    fn facts_are_read_from_dev_json() {
        let json = "{\n  \"apiKey\": \"tk_live_a\",\n  \"url\": \"http://127.0.0.1:1\"\n}";
        assert_eq!(text_of(json, "url").as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(text_of(json, "apiKey").as_deref(), Some("tk_live_a"));
        assert_eq!(text_of(json, "none"), None);
    }
}
