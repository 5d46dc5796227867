//! Installs what a fresh machine lacks, and only that: Debian packages, a Python environment, Node packages and two
//! programs of crates.io.
//!
//! Stage: before builds and tests. All of it but the Debian packages goes into the cache folder. A stamp or a look at the
//! installed version makes a second run free. Out of scope: the wasm target itself (`wasm.rs`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::env::{Env, capture, find_program, run};
use crate::wasm;

const WORKER_BUILD_VERSION: &str = "0.8.7";

/// Installs the named tools, or everything the tests need.
pub fn setup(env: &Env, tools: &[&str]) -> Result<()> {
    let all = ["postgres", "faketime", "python", "node", "wasm"];
    for tool in if tools.is_empty() { &all[..] } else { tools } {
        match *tool {
            "postgres" => postgres(env)?,
            "faketime" => faketime(env)?,
            "python" => python(env)?,
            "node" => node(env)?,
            "wasm" => wasm_tools(env)?,
            "browser" => drop(browser(env)?),
            unknown => bail!("unknown tool {unknown}: it is one of {} browser", all.join(" ")),
        }
    }
    eprintln!("set-up: {} ready, installed in {}", if tools.is_empty() { all.join(" ") } else { tools.join(" ") }, env.cache.display());
    Ok(())
}

/// A PostgreSQL server, which the tests start on their own data folders.
pub fn postgres(env: &Env) -> Result<()> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    if find_program("initdb").is_some() || debian.into_iter().any(|version| version.path().join("bin/initdb").is_file()) {
        return Ok(());
    }
    debian_packages(env, &["postgresql"], "the tests run on a real PostgreSQL")
}

/// faketime, which lets a test give one process a wrong clock.
pub fn faketime(env: &Env) -> Result<()> {
    if find_program("faketime").is_some() {
        return Ok(());
    }
    debian_packages(env, &["faketime"], "a test gives one host a wrong clock")
}

/// Chromium, which the dashboard is tested in.
pub fn browser(env: &Env) -> Result<PathBuf> {
    let found = || ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| find_program(name));
    if let Some(program) = found() {
        return Ok(program);
    }
    debian_packages(env, &["chromium"], "the dashboard is tested in a browser")?;
    found().context("chromium was installed and is not in PATH")
}

/// The Python environment: SAM, cfn-lint, cargo-lambda with zig, moto, schemathesis, a client generator, a second implementation of
/// Standard Webhooks.
pub fn python(env: &Env) -> Result<()> {
    let wanted = env.root.join("xtask/tools/requirements.txt");
    let folder = env.cache.join("venv");
    if stamped(&folder, &wanted)? {
        return Ok(());
    }
    eprintln!("set-up: Python tools (SAM, cfn-lint, cargo-lambda, zig, moto, schemathesis) into {}", folder.display());
    ensure!(find_program("python3").is_some(), "python3 is missing: install Python 3.10 or newer");
    remove(&folder)?;
    if run(env.command("python3").args(["-m", "venv"]).arg(&folder)).is_err() {
        // Debian ships venv apart from Python itself.
        debian_packages(env, &["python3-venv"], "Python tools live in a virtual environment")?;
        remove(&folder)?;
        run(env.command("/usr/bin/python3").args(["-m", "venv"]).arg(&folder))?;
    }
    run(env.command(env.python_bin("pip")).args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
    stamp(&folder, &wanted)
}

/// The Node packages: wrangler with workerd, esbuild, binaryen, TypeScript with its generator, a third implementation of Standard
/// Webhooks, playwright and axe for the browser.
pub fn node(env: &Env) -> Result<()> {
    let wanted = env.root.join("xtask/tools/package-lock.json");
    let folder = env.cache.join("node");
    if stamped(&folder, &wanted)? {
        return Ok(());
    }
    eprintln!("set-up: Node tools (wrangler, esbuild, binaryen, TypeScript) into {}", folder.display());
    let version = capture(env.command("node").arg("--version")).context("node is missing: install Node.js 20 or newer, with npm")?;
    let major: u32 = version.trim_start_matches('v').split('.').next().unwrap_or_default().parse().unwrap_or(0);
    ensure!(major >= 20, "Node.js {version} is too old: install version 20 or newer");
    remove(&folder)?;
    std::fs::create_dir_all(&folder)?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(env.root.join("xtask/tools").join(file), folder.join(file))?;
    }
    run(env.command("npm").args(["ci", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(&folder))?;
    // Some npm settings skip install scripts; these packages must work all the same.
    for program in ["workerd", "esbuild", "wrangler"] {
        capture(env.command(env.node_bin(program)).arg("--version"))
            .with_context(|| format!("{program} was installed but does not start"))?;
    }
    stamp(&folder, &wanted)
}

/// The packages of a folder of the clone, from its lock file; nothing to do while they are those.
pub fn npm_packages(env: &Env, folder: &Path) -> Result<()> {
    let (wanted, packages) = (folder.join("package-lock.json"), folder.join("node_modules"));
    if stamped(&packages, &wanted)? {
        return Ok(());
    }
    eprintln!("set-up: Node packages of {}", folder.display());
    run(env.command("npm").args(["ci", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(folder))?;
    std::fs::create_dir_all(&packages)?;
    stamp(&packages, &wanted)
}

/// All that a Worker is built with: the wasm target, worker-build, wasm-bindgen and the Node packages.
pub fn wasm_tools(env: &Env) -> Result<()> {
    node(env)?;
    wasm::toolchain(env)?;
    cargo_program(env, "worker-build", WORKER_BUILD_VERSION, &["--locked"])?;
    if let Some(version) = locked_version(&env.root.join("Cargo.lock"), "wasm-bindgen")? {
        // Without --locked: the lock file of this crate does not install.
        cargo_program(env, "wasm-bindgen-cli", &version, &[])?;
    }
    Ok(())
}

/// Installs one program of crates.io. Cargo's own record says which version is there.
fn cargo_program(env: &Env, name: &str, version: &str, flags: &[&str]) -> Result<()> {
    let folder = env.cache.join("cargo");
    let record = std::fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    if record.contains(&format!("\"{name} {version} ")) {
        return Ok(());
    }
    eprintln!("set-up: {name} {version} into {}, which takes some minutes", folder.display());
    let build = env.cache.join("install-target");
    run(env
        .command("cargo")
        .args(["install", "--quiet", name, "--version", version])
        .args(flags)
        .arg("--root")
        .arg(&folder)
        .env("CARGO_TARGET_DIR", &build))?;
    remove(&build)
}

/// The version of a package in a Cargo.lock.
fn locked_version(lock: &Path, name: &str) -> Result<Option<String>> {
    let text = std::fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let mut lines = text.lines();
    let found = lines.any(|line| line == format!("name = \"{name}\""));
    let version = if found { lines.next() } else { None };
    Ok(version.and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).map(str::to_owned))
}

/// Installs Debian packages, as root or through sudo without a password.
pub fn debian_packages(env: &Env, packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    let by_hand = format!("install by hand: {names} ({why})");
    ensure!(find_program("apt-get").is_some(), "this machine has no apt-get; {by_hand}");
    eprintln!("set-up: Debian packages {names}: {why}");
    let root = capture(env.command("id").arg("-u"))? == "0";
    let apt = |arguments: &[&str]| {
        let mut command = env.command(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        run(command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments))
    };
    apt(&["update", "-qq"]).with_context(|| format!("needs root or sudo without a password; {by_hand}"))?;
    let install = [&["install", "-y", "-qq", "--no-install-recommends"], packages].concat();
    apt(&install).with_context(|| format!("apt-get could not install them; {by_hand}"))
}

/// Whether the folder was filled from a file with exactly this content.
fn stamped(folder: &Path, wanted: &Path) -> Result<bool> {
    let text = std::fs::read(wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
    Ok(std::fs::read(stamp_of(folder)).is_ok_and(|stamp| stamp == text))
}

fn stamp(folder: &Path, wanted: &Path) -> Result<()> {
    std::fs::copy(wanted, stamp_of(folder))?;
    Ok(())
}

fn stamp_of(folder: &Path) -> PathBuf {
    folder.join(".installed-from")
}

/// Removes a folder if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
