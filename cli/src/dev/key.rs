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

/// Finds or makes the account and its key. The key is kept in `file`, if there is one; a key that the database does not know
/// is replaced.
pub async fn access(store: &Store, file: Option<&Path>) -> Result<Access> {
    let (account, key) = match store.account_create(ACCOUNT).await? {
        Some(made) => (made.id, made.key),
        None => {
            let account = store.account_find(ACCOUNT).await?.context("the account of the dev server is gone")?;
            let key = match kept_key(store, account, file).await? {
                Some(key) => key,
                None => store.api_key_create(account, "tikku dev", "admin").await?.key,
            };
            (account, key)
        }
    };
    if let Some(file) = file {
        secret_file::write(file, &key)?;
    }
    let signing_secret = store.signing_secret_list(account).await?.secret;
    Ok(Access { key, signing_secret })
}

/// The key in the file, if it still is an admin key of the account.
async fn kept_key(store: &Store, account: AccountId, file: Option<&Path>) -> Result<Option<String>> {
    let Some(key) = file.map(secret_file::read).transpose()?.flatten() else { return Ok(None) };
    let caller = store.api_key_use(&Sha256::digest(key.as_bytes())).await?;
    Ok(caller.is_some_and(|caller| caller.account == account && caller.role == "admin").then_some(key))
}
