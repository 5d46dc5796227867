//! Puts the files of `static/` into the binary: as they are, packed with gzip, and with a hash of them for their address.
//!
//! Out of scope: answering requests for them (`src/assets.rs`).

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// The order of the style sheets; others follow.
const SHEETS: [&str; 4] = ["icons", "base", "parts", "pages"];

#[allow(clippy::disallowed_methods, reason = "cargo tells a build script its folders this way")]
fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let (root, out) = (variable("CARGO_MANIFEST_DIR")?, variable("OUT_DIR")?);
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=templates");
    let files = files(&root.join("static"), &out)?;
    // One hash for all of them: files may name each other by relative addresses.
    let mut hash = Sha256::new();
    for path in &files {
        hash.update(fs::read(path)?);
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let mut table = format!("const HASH: &str = {hash:?};\nconst FILES: &[File] = &[\n");
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let packed = out.join(format!("{name}.gz"));
        pack(path, &packed)?;
        let _infallible =
            writeln!(table, "    File {{ name: {name:?}, raw: include_bytes!({path:?}), packed: include_bytes!({packed:?}) }},");
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)
}

/// The files to embed. The style sheets become one, `tikku.css`, in the order of [`SHEETS`]: one request, and rules that come later win.
fn files(folder: &Path, out: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    let is_sheet = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "css");
    let mut sheets: Vec<PathBuf> = files.extract_if(.., |path| is_sheet(path)).collect();
    let place = |path: &PathBuf| SHEETS.iter().position(|name| path.file_stem().is_some_and(|stem| stem == *name)).unwrap_or(SHEETS.len());
    sheets.sort_by_key(place);
    let mut css = Vec::new();
    for sheet in &sheets {
        css.extend(fs::read(sheet)?);
        css.push(b'\n');
    }
    let path = out.join("tikku.css");
    fs::write(&path, css)?;
    files.push(path);
    Ok(files)
}

fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&fs::read(from)?)?;
    fs::write(to, encoder.finish()?)
}
