//! The Cloudflare Worker: a Rust toolchain with the wasm target, and worker-build run with it.
//!
//! Stage: build. The toolchain of the machine is used when it has the target or rustup can add it; otherwise Debian's,
//! with its standard library built once. Out of scope: deploying the Worker, its configuration (`wrangler.toml`).

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::env::{Env, capture, find_program, path_with, run};
use crate::tools;

/// The target that Workers run.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A Rust toolchain that compiles to wasm.
pub enum Toolchain {
    /// The one in PATH.
    Own,
    /// Debian's, through the wrappers in this folder.
    Debian(PathBuf),
}

impl Toolchain {
    /// A command of this toolchain, with a target folder of its own: two standard libraries in one folder do not mix.
    pub fn command(&self, env: &Env, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let mut command = env.command(program);
        match self {
            Toolchain::Own => command.env("CARGO_TARGET_DIR", env.target.join("wasm")),
            Toolchain::Debian(bin) => command
                .env("PATH", path_with(std::slice::from_ref(bin))?)
                .env_remove("RUSTUP_TOOLCHAIN")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld")
                .env("CARGO_TARGET_DIR", env.target.join("wasm-debian")),
        };
        Ok(command)
    }
}

/// Finds a toolchain for wasm, installing what is missing. TIKKU_WASM=debian skips the one in PATH.
pub fn toolchain(env: &Env) -> Result<Toolchain> {
    let debian = std::env::var_os("TIKKU_WASM").is_some_and(|choice| choice == "debian");
    if !debian && (own_target(env) || rustup_target(env)) {
        return Ok(Toolchain::Own);
    }
    let bin = env.cache.join("debian-rust/bin");
    debian_toolchain(env, &bin)
        .with_context(|| format!("no Rust toolchain for the Worker: run `rustup target add {TARGET}` on a machine that can download it"))?;
    Ok(Toolchain::Debian(bin))
}

fn own_target(env: &Env) -> bool {
    let libraries = capture(env.command("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    libraries.is_ok_and(|dir| has_std(Path::new(&dir)))
}

fn rustup_target(env: &Env) -> bool {
    if find_program("rustup").is_none() {
        return false;
    }
    eprintln!("set-up: Rust target {TARGET}, for the Worker");
    run(env.command("rustup").args(["target", "add", TARGET])).is_ok() && own_target(env)
}

/// Lays a sysroot beside Debian's own, which only root could write to, and a `rustc` that looks into it.
fn debian_toolchain(env: &Env, bin: &Path) -> Result<()> {
    let needed = ["/usr/bin/rustc", "/usr/bin/cargo", "/usr/bin/wasm-ld", "/usr/lib/rustlib/src/rust/library/Cargo.lock"];
    if !needed.iter().all(|file| Path::new(file).exists()) {
        let packages = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
        tools::debian_packages(env, &packages, "rustup could not add the wasm target for the Worker")?;
    }
    let version = capture(env.command("/usr/bin/rustc").arg("--version"))?;
    let sysroot = env.cache.join("debian-rust");
    let stamp = sysroot.join(".built-with");
    if std::fs::read_to_string(&stamp).is_ok_and(|built| built == version) {
        return Ok(());
    }
    eprintln!("set-up: standard library of {version} for wasm into {}, about a minute", sysroot.display());
    tools::remove(&sysroot)?;
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::create_dir_all(&libraries)?;
    std::fs::create_dir_all(bin)?;
    build_std(env, &libraries)?;
    let system = capture(env.command("/usr/bin/rustc").args(["--print", "sysroot"]))?;
    for entry in std::fs::read_dir(Path::new(&system).join("lib/rustlib"))?.flatten() {
        if entry.file_name() != TARGET {
            symlink(entry.path(), sysroot.join("lib/rustlib").join(entry.file_name()))?;
        }
    }
    symlink("/usr/bin/cargo", bin.join("cargo"))?;
    let rustc = bin.join("rustc");
    std::fs::write(&rustc, format!("#!/bin/sh\nexec /usr/bin/rustc --sysroot '{}' \"$@\"\n", sysroot.display()))?;
    std::fs::set_permissions(&rustc, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(&stamp, version)?;
    Ok(())
}

/// Compiles std from Debian's sources in an empty crate and keeps its libraries. Without the bitcode LTO would fail.
fn build_std(env: &Env, libraries: &Path) -> Result<()> {
    let scratch = env.cache.join("debian-rust/scratch");
    std::fs::create_dir_all(scratch.join("src"))?;
    std::fs::write(scratch.join("src/lib.rs"), "")?;
    std::fs::write(scratch.join("Cargo.toml"), "[package]\nname = \"scratch\"\nedition = \"2021\"\n[workspace]\n")?;
    run(env
        .command("/usr/bin/cargo")
        .args(["build", "--quiet", "--release", "-Z", "build-std=std,panic_abort", "--target", TARGET])
        .current_dir(&scratch)
        .env("PATH", path_with(&[PathBuf::from("/usr/bin")])?)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("CARGO_TARGET_DIR", scratch.join("target")))?;
    for entry in std::fs::read_dir(scratch.join("target").join(TARGET).join("release/deps"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libscratch") {
            std::fs::copy(entry.path(), libraries.join(name))?;
        }
    }
    ensure!(has_std(libraries), "the standard library was built but is not in {}", libraries.display());
    tools::remove(&scratch)
}

fn has_std(libraries: &Path) -> bool {
    let files = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    files.into_iter().any(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// Builds functions/edge, ready for wrangler, and returns the folder of the built module.
pub fn build_worker(env: &Env) -> Result<PathBuf> {
    tools::wasm_tools(env)?;
    let mut build = toolchain(env)?.command(env, env.cargo_bin("worker-build"))?;
    build.args(["--profile", "worker", "functions/edge"]);
    build.env("WASM_BINDGEN_BIN", env.cargo_bin("wasm-bindgen"));
    build.env("ESBUILD_BIN", env.node_bin("esbuild"));
    build.env("WASM_OPT_BIN", env.node_bin("wasm-opt"));
    run(&mut build)?;
    Ok(env.root.join("functions/edge/build"))
}
