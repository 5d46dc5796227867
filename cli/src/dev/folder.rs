//! The data folder of `tikku dev`: one process at a time, and dev.json, which says how to reach it.
//!
//! Out of scope: the cluster inside it (`postgres`).

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::key::Access;
use crate::secret_file;

/// The data folder, held by this process.
pub struct Folder {
    /// Its absolute path.
    pub path: PathBuf,
    /// The kernel frees the lock when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing and takes it for this process.
    pub fn open(path: &Path) -> Result<Folder> {
        let shown = path.display();
        std::fs::create_dir_all(path).with_context(|| format!("could not make {shown}"))?;
        let path = path.canonicalize().with_context(|| format!("could not open {shown}"))?;
        let lock = File::create(path.join("dev.lock")).with_context(|| format!("could not write to {shown}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another `tikku dev` uses {shown}: stop it, or choose another folder with --data"),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("could not lock {shown}")),
        }
        let folder = Folder { path, _lock: lock };
        // Left by a run that was killed; from here on its presence means that the server answers.
        folder.forget();
        // The folder holds keys and passwords: git must not pick it up.
        std::fs::write(folder.path.join(".gitignore"), "*\n").with_context(|| format!("could not write to {shown}"))?;
        Ok(folder)
    }

    /// Where the API key is kept between runs.
    pub fn key_file(&self) -> PathBuf {
        self.path.join("dev-key")
    }

    /// Writes dev.json, in one piece.
    pub fn announce(&self, url: &str, access: &Access, database_url: &str) -> Result<()> {
        let text = json!({
            "url": url,
            "apiKey": access.key,
            "signingSecret": access.signing_secret,
            "databaseUrl": database_url,
            "pid": std::process::id(),
        });
        secret_file::write(&self.dev_json(), &format!("{text:#}"))
    }

    /// Removes dev.json.
    pub fn forget(&self) {
        let _missing = std::fs::remove_file(self.dev_json());
    }

    /// The file that says how to reach the running server.
    pub fn dev_json(&self) -> PathBuf {
        self.path.join("dev.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let path = std::env::temp_dir().join(format!("tikku-folder-{}", secret_file::random_hex().unwrap()));
        let first = Folder::open(&path.join("deep")).unwrap();
        assert!(Folder::open(&path.join("deep")).is_err());
        std::fs::write(first.dev_json(), "{}").unwrap();
        drop(first);
        let second = Folder::open(&path.join("deep")).unwrap();
        assert!(!second.dev_json().exists());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
