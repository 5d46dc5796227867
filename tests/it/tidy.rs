//! What this code base does not do, checked: long files, SQL outside the store, host switches outside the platform, clocks outside
//! the database, dependencies of the domain, folders nobody explains.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below the root that end in `.{extension}`, with their path and text.
fn files(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "build"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(&format!(".{extension}")) {
                let short = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((short, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no .{extension} files below {}", root().display());
    found
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut bad = Vec::new();
    for (path, text) in files("rs") {
        if text.lines().count() > 500 {
            bad.push(format!("{path}: more than 500 lines"));
        }
        if !text.starts_with("//!") {
            bad.push(format!("{path}: does not open with //!"));
        }
        let stem = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        if ["mod", "util", "utils", "common", "helper", "helpers", "manager", "service", "types"].contains(&stem.as_str()) {
            bad.push(format!("{path}: this name says nothing"));
        }
    }
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn sql_lives_in_the_store_and_in_migrations() {
    let rooms = ["shared/store/", "tests/", "xtask/"];
    let words = ["insert into ", "update tikku", "delete from ", "tikku."];
    let mut bad = Vec::new();
    for (path, text) in files("rs").into_iter().filter(|(path, _)| !rooms.iter().any(|room| path.starts_with(room))) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let Some((_, literal)) = line.split_once('"') else { continue };
            let literal = literal.to_lowercase();
            // `select 1` asks whether a server answers, nothing of the schema; people are told to select a row; and the dashboard has files of our name.
            let reads = literal.starts_with("select ") && literal.contains(" from ");
            let is_file = literal.starts_with("tikku.css") || literal.starts_with("tikku.js");
            if (reads || words.iter().any(|word| literal.starts_with(word))) && !is_file {
                bad.push(format!("{path}: {}", line.trim()));
            }
        }
    }
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn hosts_are_told_apart_in_platform_and_edge_only() {
    let bad: Vec<String> = files("rs")
        .into_iter()
        .filter(|(path, text)| {
            let allowed = path.starts_with("shared/platform/src/lib.rs")
                || path.starts_with("functions/edge/")
                || path.starts_with("sdk/rust/examples/worker.rs")
                || path.starts_with("tests/")
                || path.starts_with("xtask/");
            !allowed && text.contains("target_arch")
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn the_clock_migration_alone_reads_the_machines_time() {
    let clocks = ["now()", "statement_timestamp", "clock_timestamp", "current_timestamp", "localtimestamp", "transaction_timestamp"];
    let mut bad = Vec::new();
    for (path, text) in files("sql").into_iter().chain(files("rs")) {
        if !(path.starts_with("migrations/") || path.starts_with("shared/store/")) || path.ends_with("0001_clock.sql") {
            continue;
        }
        for line in text.lines() {
            let plain = line.replace("clock_now()", "");
            if clocks.iter().any(|clock| plain.contains(clock)) {
                bad.push(format!("{path}: {}", line.trim()));
            }
        }
    }
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn domain_depends_on_pure_crates_only() {
    let text = fs::read_to_string(root().join("shared/domain/Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let names: Vec<&str> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
    let pure =
        ["base64", "croner", "hmac", "httpdate", "ipnet", "jiff", "serde", "serde_json", "sha2", "thiserror", "url", "utoipa", "uuid"];
    assert_eq!(names, pure);
    let edges = [
        ("sdk/rust", vec!["tikku-domain"]),
        ("shared/store", vec!["tikku-domain"]),
        ("shared/platform", vec!["tikku-domain", "tikku-store"]),
    ];
    for (folder, allowed) in edges {
        let manifest: toml::Table = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap();
        let own: Vec<String> =
            manifest["dependencies"].as_table().unwrap().keys().filter(|name| name.starts_with("tikku-")).cloned().collect();
        assert_eq!(own, allowed, "{folder}");
    }
}

#[test]
fn every_folder_is_named_in_architecture() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut bad = Vec::new();
    for parent in ["", "shared", "functions"] {
        for entry in fs::read_dir(root().join(parent)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let ignored = name.starts_with('.') || ["target", "node_modules", "build"].contains(&name.as_str());
            if path.is_dir() && !ignored && !text.contains(&format!("{name}/")) {
                bad.push(format!("{parent}/{name}"));
            }
        }
    }
    assert_eq!(bad, Vec::<String>::new());
}
