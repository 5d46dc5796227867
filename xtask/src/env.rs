//! Where things are: the clone, the cache folder, cargo's target folder, and how a child process is started.
//!
//! Stage: the ground the other files of xtask stand on. Out of scope: what gets installed (`tools.rs`).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The folders that every step needs.
pub struct Env {
    /// The clone: the folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// What xtask installs: `~/.cache/tikku`, or TIKKU_CACHE.
    pub cache: PathBuf,
    /// Cargo's target folder: `target`, or CARGO_TARGET_DIR.
    pub target: PathBuf,
}

impl Env {
    /// Reads the environment; fails without a home folder and without TIKKU_CACHE.
    pub fn load() -> Result<Env> {
        // What cargo says now, not what it said when this was compiled: two clones may share a target folder.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("start it through cargo: cargo xtask")?;
        let root = Path::new(&manifest).parent().context("xtask lies in no workspace")?.to_path_buf();
        let here = std::env::current_dir().context("the current folder is gone")?;
        let cache = match (std::env::var_os("TIKKU_CACHE"), std::env::var_os("HOME")) {
            (Some(cache), _) => here.join(cache),
            (None, Some(home)) => Path::new(&home).join(".cache/tikku"),
            (None, None) => bail!("neither TIKKU_CACHE nor HOME is set: say where to install with TIKKU_CACHE=folder"),
        };
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| here.join(dir));
        std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        Ok(Env { root, cache, target })
    }

    /// A program of the Python environment, such as `sam`.
    pub fn python_bin(&self, name: &str) -> PathBuf {
        self.cache.join("venv/bin").join(name)
    }

    /// A program of the Node packages, such as `wrangler`.
    pub fn node_bin(&self, name: &str) -> PathBuf {
        self.cache.join("node/node_modules/.bin").join(name)
    }

    /// A program that `cargo install` made, such as `worker-build`.
    pub fn cargo_bin(&self, name: &str) -> PathBuf {
        self.cache.join("cargo/bin").join(name)
    }

    /// A command that starts in the clone. What `cargo run` added to the environment is taken away again: build scripts
    /// such as ring's watch CARGO_PKG_* and would rebuild, and its LD_LIBRARY_PATH confuses another Rust toolchain.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text == "CARGO" || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        if let Some(paths) = std::env::var_os("LD_LIBRARY_PATH") {
            let own = std::env::split_paths(&paths).filter(|path| !added_by_cargo(&self.target, path));
            match std::env::join_paths(own) {
                Ok(left) if !left.is_empty() => command.env("LD_LIBRARY_PATH", left),
                _ => command.env_remove("LD_LIBRARY_PATH"),
            };
        }
        command
    }
}

fn added_by_cargo(target: &Path, path: &Path) -> bool {
    path.starts_with(target) || path.components().any(|part| part.as_os_str() == "rustlib" || part.as_os_str() == "toolchains")
}

/// PATH with these folders in front of it.
pub fn path_with(first: &[PathBuf]) -> Result<OsString> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = first.iter().cloned().chain(std::env::split_paths(&rest));
    std::env::join_paths(all).context("a folder in PATH has a colon in its name")
}

/// Finds a program in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Runs a command with its output shown; fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start: {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// Runs a command quietly and returns what it printed; fails, with its error output, when it does.
pub fn capture(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start: {line}"))?;
    ensure!(output.status.success(), "{line}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command line as one would type it, for messages.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
