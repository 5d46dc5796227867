//! Decides where the cluster lies and which user runs the server.
//!
//! PostgreSQL refuses to run as root, so under root it runs as `postgres` or `nobody`, in a folder that this user can reach.
//! Out of scope: what is inside the cluster.

use std::fs::{DirBuilder, symlink_metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::secret_file;

/// How long a predecessor's server may take to stop, in polls of 100 ms.
const PREDECESSOR_POLLS_MAX: u32 = 150;

/// Whether the cluster outlives `tikku dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It stays in the data folder.
    Kept,
    /// It is removed at the end.
    Ephemeral,
}

/// The user that the server runs as, where that is not the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Where the cluster lies and who owns it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Folder that holds the cluster's folder.
    pub folder: PathBuf,
    /// Who runs the server; None is the caller.
    pub owner: Option<Owner>,
    /// Whether `folder` is removed at the end.
    pub lifetime: Lifetime,
}

/// Chooses the place for the absolute data folder `data`, and makes the folder that will hold the cluster.
pub fn choose(data: &Path, lifetime: Lifetime) -> Result<Place> {
    let root = id(&["-u"]) == Some(0);
    if !root {
        let folder = match lifetime {
            Lifetime::Kept => data.to_path_buf(),
            Lifetime::Ephemeral => fresh_folder(None)?,
        };
        return Ok(Place { folder, owner: None, lifetime });
    }
    let owner = owner_of(&data.join("postgres")).map_or_else(server_user, Ok)?;
    let folder = match lifetime {
        Lifetime::Ephemeral => fresh_folder(Some(owner))?,
        Lifetime::Kept if reachable(data, owner) => data.to_path_buf(),
        Lifetime::Kept => {
            let folder = Path::new("/var/tmp").join(private_name(data));
            private_folder(&folder, owner)?;
            folder
        }
    };
    Ok(Place { folder, owner: Some(owner), lifetime })
}

impl Place {
    /// The cluster's own folder (PGDATA).
    pub fn cluster(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// The cluster's folder, where the user would not look for it.
    pub fn elsewhere(&self, data: &Path) -> Option<PathBuf> {
        (self.folder != data).then(|| self.cluster())
    }

    /// The major version that made the cluster; None where there is none yet.
    pub fn cluster_major(&self) -> Option<u32> {
        std::fs::read_to_string(self.cluster().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The process that runs a server in the cluster now.
    pub fn postmaster(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?;
        let pid = parse_pid(&text)?;
        (process(pid) == Process::Postgres).then_some(pid)
    }

    /// Removes a postmaster.pid whose number now belongs to another program: the server would refuse to start. Otherwise the
    /// file stays: the server uses it to find processes that a killed predecessor left attached to its memory.
    fn forget_stranger(&self) {
        let file = self.cluster().join("postmaster.pid");
        let pid = std::fs::read_to_string(&file).ok().and_then(|text| parse_pid(&text));
        if pid.is_some_and(|pid| process(pid) == Process::Other) {
            let _ = std::fs::remove_file(file);
        }
    }

    /// Stops and awaits a server that a predecessor left in the cluster; errors after 15 s.
    pub async fn await_predecessor(&self) -> Result<()> {
        for poll in 0..PREDECESSOR_POLLS_MAX {
            let Some(pid) = self.postmaster() else {
                self.forget_stranger();
                return Ok(());
            };
            if poll == 0 {
                tracing::info!(pid, "stopping the server that an earlier run left behind");
                interrupt(pid);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("a PostgreSQL server (see {}) still runs and does not stop: stop it by hand", self.cluster().join("postmaster.pid").display())
    }

    /// Removes everything; only for an ephemeral place.
    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asks a server for a fast shutdown: sessions end, data is flushed.
pub fn interrupt(pid: u32) {
    let _ = Command::new("/bin/sh").args(["-c", "kill -INT \"$1\"", "sh", &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Reads the process id, the first line of a postmaster.pid.
fn parse_pid(text: &str) -> Option<u32> {
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Gone,
    Postgres,
    Other,
}

fn process(pid: u32) -> Process {
    let line = if Path::new("/proc/self").exists() {
        std::fs::read(format!("/proc/{pid}/cmdline")).ok()
    } else {
        let output = Command::new("ps").args(["-p", &pid.to_string(), "-o", "command="]).output().ok();
        output.filter(|output| output.status.success()).map(|output| output.stdout)
    };
    let Some(line) = line.filter(|line| !line.is_empty()) else { return Process::Gone };
    let line = String::from_utf8_lossy(&line);
    if line.contains("postgres") || line.contains("postmaster") { Process::Postgres } else { Process::Other }
}

/// The owner of an existing cluster, so that a user's cluster stays the user's when root starts it once.
fn owner_of(cluster: &Path) -> Option<Owner> {
    let meta = symlink_metadata(cluster.join("PG_VERSION")).ok()?;
    (meta.uid() != 0).then_some(Owner { uid: meta.uid(), gid: meta.gid() })
}

fn server_user() -> Result<Owner> {
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| Some(Owner { uid: id(&["-u", name])?, gid: id(&["-g", name])? }))
        .filter(|owner| owner.uid != 0)
        .context("PostgreSQL does not run as root, and neither the user postgres nor nobody exists: run tikku as another user, or set DATABASE_URL")
}

fn id(args: &[&str]) -> Option<u32> {
    ["id", "/usr/bin/id"].iter().find_map(|program| {
        let output = Command::new(program).args(args).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    })
}

fn reachable(folder: &Path, owner: Owner) -> bool {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "cd \"$1\"", "sh"]).arg(folder).current_dir("/").stderr(Stdio::null());
    command.uid(owner.uid).gid(owner.gid).status().is_ok_and(|status| status.success())
}

/// Makes a folder of its own for an ephemeral cluster.
fn fresh_folder(owner: Option<Owner>) -> Result<PathBuf> {
    let name = format!("tikku-{}", secret_file::random_hex()?);
    let mut parent = std::env::temp_dir();
    if owner.is_some_and(|owner| !reachable(&parent, owner)) {
        parent = PathBuf::from("/var/tmp");
    }
    let folder = parent.join(name);
    make_folder(&folder, owner)?;
    Ok(folder)
}

/// Makes or reuses a folder that only `owner` can enter, below a folder that everybody can write to.
fn private_folder(folder: &Path, owner: Owner) -> Result<()> {
    let Ok(meta) = symlink_metadata(folder) else { return make_folder(folder, Some(owner)) };
    if !meta.is_dir() || meta.uid() != owner.uid || meta.mode() & 0o077 != 0 {
        bail!("{} exists and is not the private folder of user {}: remove it, or use another --data folder", folder.display(), owner.uid);
    }
    Ok(())
}

/// Makes a folder of mode 0700 that belongs to `owner`; it must not exist.
pub fn make_folder(folder: &Path, owner: Option<Owner>) -> Result<()> {
    DirBuilder::new().mode(0o700).create(folder).with_context(|| format!("could not make {}", folder.display()))?;
    if let Some(owner) = owner {
        chown(folder, Some(owner.uid), Some(owner.gid)).with_context(|| format!("could not give away {}", folder.display()))?;
    }
    Ok(())
}

/// Derives a folder name from the data folder's path (FNV-1a, 64 bits), the same in every run.
fn private_name(data: &Path) -> String {
    let hash = data
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("tikku-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_is_the_first_line_and_never_a_process_group() {
        assert_eq!(parse_pid("4711\n/tmp/x\n1700000000\n"), Some(4711));
        assert_eq!(parse_pid("  12 "), Some(12));
        for text in ["", "\n5", "-12\n", "0\n", "1\n", "x"] {
            assert_eq!(parse_pid(text), None, "{text:?}");
        }
    }

    #[test]
    fn private_name_is_stable_and_differs_by_path() {
        assert_eq!(private_name(Path::new("")), "tikku-cbf29ce484222325");
        assert_eq!(private_name(Path::new("a")), "tikku-af63dc4c8601ec8c");
        assert_ne!(private_name(Path::new("/root/a/.tikku")), private_name(Path::new("/root/b/.tikku")));
    }

    #[test]
    fn processes_are_told_apart() {
        let mut child = Command::new("sleep").arg("5").spawn().unwrap();
        // Between fork and exec a process has no command line yet.
        while process(child.id()) == Process::Gone && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(process(child.id()), Process::Other);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process(child.id()), Process::Gone);
    }
}
