//! The account, API key and signing secret of `tikku dev`; the same ones after a restart.
//!
//! Out of scope: accounts of a real deployment (`tikku accounts create`).

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tikku_domain::ids::AccountId;
use tikku_store::Store;

use crate::secret_file;

const ACCOUNT: &str = "default";

/// What a client needs.
pub struct Access {
    /// An admin key of the account `default`.
    pub key: String,
    /// The secret that pushes are signed with, `whsec_...`.
    pub signing_secret: String,
}

/// Finds or makes the account and its key. The key is kept in `file`; one that the database does not know is replaced.
pub async fn access(store: &Store, file: &Path) -> Result<Access> {
    let made = store.account_create(ACCOUNT).await?;
    let (account, key) = match made {
        Some(made) => {
            secret_file::write(file, &made.key)?;
            (made.id, made.key)
        }
        None => {
            let account = store.account_find(ACCOUNT).await?.context("the account of the dev server is gone")?;
            (account, kept_key(store, account, file).await?)
        }
    };
    let signing_secret = store.signing_secret_list(account).await?.secret;
    Ok(Access { key, signing_secret })
}

async fn kept_key(store: &Store, account: AccountId, file: &Path) -> Result<String> {
    if let Some(key) = secret_file::read(file)? {
        let caller = store.api_key_use(&Sha256::digest(key.as_bytes())).await?;
        if caller.is_some_and(|caller| caller.account == account && caller.role == "admin") {
            return Ok(key);
        }
    }
    let made = store.api_key_create(account, "tikku dev", "admin").await?;
    secret_file::write(file, &made.key)?;
    Ok(made.key)
}
