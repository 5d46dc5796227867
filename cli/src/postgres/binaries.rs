//! Finds the programs `postgres` and `initdb` on this machine.
//!
//! Out of scope: installing them. Where there are none, the error says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::database::variable;

/// Oldest major version that Tikku's schema works on.
const MAJOR_MIN: u32 = 14;

const INSTALL: &str = "install it (Debian, Ubuntu: `apt-get install postgresql`; macOS: `brew install postgresql@17`; \
    Fedora: `dnf install postgresql-server`) or set DATABASE_URL to a database that you run";

/// The programs of one installation.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The server.
    pub postgres: PathBuf,
    /// The program that makes a cluster.
    pub initdb: PathBuf,
}

/// Finds the first installation that is new enough and can open a cluster made by version `cluster_major`.
pub fn find(cluster_major: Option<u32>) -> Result<Binaries> {
    let mut unfit = Vec::new();
    for folder in folders() {
        let Some(binaries) = in_folder(&folder) else { continue };
        let program = binaries.postgres.display().to_string();
        let found = match major(&binaries.postgres) {
            Some(found) if fits(found, cluster_major) => return Ok(binaries),
            Some(found) => format!("version {found} ({program})"),
            None => format!("an unknown version ({program})"),
        };
        if !unfit.contains(&found) {
            unfit.push(found);
        }
    }
    match (cluster_major, unfit.is_empty()) {
        (_, true) => bail!("PostgreSQL {MAJOR_MIN} or newer was not found: {INSTALL}"),
        (Some(wanted), false) => bail!(
            "the data folder was made by PostgreSQL {wanted}, but only {} was found: install version {wanted}, use another --data folder, or set DATABASE_URL",
            unfit.join(", ")
        ),
        (None, false) => bail!("PostgreSQL {MAJOR_MIN} or newer is needed, but only {} was found: {INSTALL}", unfit.join(", ")),
    }
}

fn fits(found: u32, cluster_major: Option<u32>) -> bool {
    match cluster_major {
        Some(wanted) => found == wanted,
        None => found >= MAJOR_MIN,
    }
}

/// Lists where to look, best first: PATH, pg_config's answer, the packagers' usual folders.
fn folders() -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.extend(pg_config());
    for (parent, prefix) in
        [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql"), ("/usr/local/opt", "postgresql"), ("/usr", "pgsql-")]
    {
        folders.extend(versioned(Path::new(parent), prefix));
    }
    folders
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (output.status.success() && folder.is_absolute()).then_some(folder)
}

/// Lists `parent/prefix*/bin`, newest version first.
fn versioned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| name.starts_with(prefix)).collect();
    names.sort_by_key(|name| std::cmp::Reverse(number_in(name)));
    names.iter().map(|name| parent.join(name).join("bin")).collect()
}

fn in_folder(folder: &Path) -> Option<Binaries> {
    // Symbolic links are resolved: the server finds its libraries relative to its real place.
    let program = |name: &str| folder.join(name).canonicalize().ok().filter(|path| path.is_file());
    Some(Binaries { postgres: program("postgres")?, initdb: program("initdb")? })
}

fn major(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_major(&String::from_utf8(output.stdout).ok()?)
}

/// Reads the major version out of `postgres --version`, such as `postgres (PostgreSQL) 15.18 (Debian ...)` or `... 18beta1`.
fn parse_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL)")?;
    number_in(version)
}

fn number_in(text: &str) -> Option<u32> {
    let digits: String = text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read_from_every_packagers_form() {
        for (text, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 17.2 (Homebrew)", Some(17)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres 15", None),
            ("postgres (PostgreSQL) devel", None),
            ("", None),
        ] {
            assert_eq!(parse_major(text), expected, "{text}");
        }
    }

    #[test]
    fn an_existing_cluster_needs_its_own_version() {
        assert!(fits(14, None) && fits(18, None) && !fits(13, None));
        assert!(fits(15, Some(15)) && !fits(16, Some(15)));
    }

    #[test]
    fn versioned_folders_come_newest_first() {
        let parent = std::env::temp_dir().join(format!("tikku-binaries-{}", std::process::id()));
        for name in ["postgresql@9", "postgresql@17", "other"] {
            std::fs::create_dir_all(parent.join(name)).unwrap();
        }
        let found = versioned(&parent, "postgresql");
        std::fs::remove_dir_all(&parent).unwrap();
        assert_eq!(found, [parent.join("postgresql@17/bin"), parent.join("postgresql@9/bin")]);
    }
}
