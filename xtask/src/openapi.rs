//! The files made of the API's OpenAPI document: `docs/openapi.json` for readers, `sdk/typescript/src/api.ts` for programs.
//!
//! Stage: after a change of the API; the checks say when it was forgotten. Out of scope: whether the service does what the document says
//! (`tests/it/scenarios/openapi.rs`).

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::env::{Env, capture, run};
use crate::tools;

const DOCUMENT: &str = "docs/openapi.json";
const TYPES: &str = "sdk/typescript/src/api.ts";

/// Writes both files anew.
pub fn write(env: &Env) -> Result<()> {
    generate(env, &env.root.join(DOCUMENT), &env.root.join(TYPES))
}

/// Fails unless the committed files are what the code generates.
pub fn check(env: &Env) -> Result<()> {
    let folder = env.target.join("openapi");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (document, types) = (folder.join("openapi.json"), folder.join("api.ts"));
    generate(env, &document, &types)?;
    for (committed, made) in [(DOCUMENT, &document), (TYPES, &types)] {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        ensure!(read(&env.root.join(committed))? == read(made)?, "{committed} is not what the code generates: run `cargo xtask openapi`");
    }
    Ok(())
}

/// Compiles the TypeScript types with the file that uses them.
pub fn check_types(env: &Env) -> Result<()> {
    tools::node(env)?;
    run(env.command(env.node_bin("tsc")).args(["--project", "sdk/typescript"]))
}

fn generate(env: &Env, document: &Path, types: &Path) -> Result<()> {
    tools::node(env)?;
    let text = capture(env.command("cargo").args(["run", "--quiet", "--package", "tikku-cli", "--", "openapi"]))?;
    std::fs::write(document, text + "\n").with_context(|| format!("cannot write {}", document.display()))?;
    let mut command = env.command(env.node_bin("openapi-typescript"));
    // A field with a default may be absent from a request all the same.
    run(command.arg(document).arg("--default-non-nullable=false").arg("--output").arg(types))
}
