//! Makes the cluster with `initdb` and keeps its password.
//!
//! Out of scope: running the server.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;

use super::binaries::Binaries;
use super::command;
use super::place::{Lifetime, Place, make_folder};
use crate::secret_file;

/// Settings for a developer's machine; the user may edit them in the cluster's postgresql.conf.
const SETTINGS: &str = "
# tikku dev: small, but as safe as a server: a commit that returned is on disk.
max_connections = 60
shared_buffers = 64MB
fsync = on
synchronous_commit = on
timezone = 'UTC'
log_timezone = 'UTC'
";

/// Makes the cluster where there is none, and answers the password of its user `tikku`.
pub async fn prepare(data: &Path, place: &Place, binaries: &Binaries) -> Result<String> {
    let file = data.join("postgres.password");
    if place.lifetime == Lifetime::Ephemeral {
        return initialise(place, binaries, secret_file::random_hex()?).await;
    }
    let known = secret_file::read(&file)?;
    let exists = place.cluster_major().is_some();
    if exists && let Some(password) = known {
        return Ok(password);
    }
    let password = secret_file::random_hex()?;
    if exists && place.folder == data {
        tracing::warn!("postgres.password is gone: setting a new one");
        set_password(place, binaries, &password).await?;
    } else {
        // A cluster elsewhere belongs to a data folder that was deleted: the user asked for a fresh start.
        if exists {
            tracing::warn!(cluster = %place.cluster().display(), "removing the cluster of a data folder that was deleted");
            std::fs::remove_dir_all(place.cluster()).context("could not remove the old cluster")?;
        }
        initialise(place, binaries, password.clone()).await?;
    }
    secret_file::write(&file, &password)?;
    Ok(password)
}

/// Runs initdb beside the final folder and renames, so that an interrupted run leaves no half cluster.
async fn initialise(place: &Place, binaries: &Binaries, password: String) -> Result<String> {
    tracing::debug!(cluster = %place.cluster().display(), "making a PostgreSQL cluster");
    let half = place.folder.join("postgres.part");
    let pwfile = place.folder.join("postgres.pwfile");
    let _ = std::fs::remove_dir_all(&half);
    let _ = std::fs::remove_file(&pwfile);
    make_folder(&half, place.owner)?;
    write_pwfile(&pwfile, place, &password).context("could not write the password for initdb")?;
    let ran = run_initdb(place, binaries, &half, &pwfile).await;
    let _ = std::fs::remove_file(&pwfile);
    if ran.is_err() {
        let _ = std::fs::remove_dir_all(&half);
    }
    ran?;
    let mut settings = OpenOptions::new().append(true).open(half.join("postgresql.conf")).context("could not open postgresql.conf")?;
    settings.write_all(SETTINGS.as_bytes()).context("could not write postgresql.conf")?;
    std::fs::rename(&half, place.cluster()).with_context(|| format!("could not make {}", place.cluster().display()))?;
    Ok(password)
}

fn write_pwfile(path: &Path, place: &Place, password: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(password.as_bytes())?;
    match place.owner {
        Some(owner) => fchown(&file, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

async fn run_initdb(place: &Place, binaries: &Binaries, half: &Path, pwfile: &Path) -> Result<()> {
    let output = command(&binaries.initdb, place.owner, &place.folder)
        .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username=tikku", "--no-instructions"])
        .arg("--pwfile")
        .arg(pwfile)
        .arg("--pgdata")
        .arg(half)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("could not run {}", binaries.initdb.display()))?;
    if !output.status.success() {
        bail!("initdb failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Sets the password through PostgreSQL's single-user mode, which asks for none.
async fn set_password(place: &Place, binaries: &Binaries, password: &str) -> Result<()> {
    let mut child = command(&binaries.postgres, place.owner, &place.folder)
        .arg("--single")
        .arg("-D")
        .arg(place.cluster())
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("could not run postgres --single")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(format!("alter user tikku password '{password}'\n").as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("could not set a new database password: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
