//! Which deployment a command talks to: options, environment, or the dev server that runs in this folder.
//!
//! Out of scope: talking to it (`api`).

use std::fmt;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use url::Url;

use crate::database::variable;
use crate::exit::{Exit, Fault};
use crate::screen;
use crate::secret_file;

/// Where `tikku dev` says how to reach it, when it is started in the same folder with no `--data`.
const DEV_JSON: &str = ".tikku/dev.json";

/// Options of every command.
#[derive(Args, Clone)]
pub struct Globals {
    /// Where the API is, such as https://tikku.example.com [env: TIKKU_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "For every command")]
    pub url: Option<String>,
    /// The API key; better in the environment, where the list of processes does not show it [env: TIKKU_API_KEY]
    #[arg(long, global = true, value_name = "KEY", help_heading = "For every command")]
    pub api_key: Option<String>,
    /// Print one JSON document, or one line of JSON for each thing that is followed
    #[arg(long, global = true, help_heading = "For every command")]
    pub json: bool,
}

/// A deployment and the key for it.
#[derive(Clone)]
pub struct Connection {
    /// Without a slash at its end.
    pub url: String,
    /// The API key.
    pub key: String,
    /// The database, where dev.json names it.
    pub database_url: Option<String>,
    /// Whether dev.json was read.
    pub from_dev: bool,
}

// A key must not slip into a log line.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DevJson {
    url: String,
    api_key: String,
    database_url: Option<String>,
}

/// Finds the deployment that is meant.
pub fn find(globals: &Globals) -> Result<Connection> {
    let url = globals.url.clone().or_else(|| variable("TIKKU_URL"));
    let key = globals.api_key.clone().or_else(|| variable("TIKKU_API_KEY"));
    match (url, key) {
        (Some(url), Some(key)) => Ok(Connection { url: checked(&url)?, key: header_text(key)?, database_url: None, from_dev: false }),
        (Some(_), None) => Err(Fault::error(Exit::Usage, "TIKKU_API_KEY is not set, nor is --api-key: `tikku keys create` makes a key")),
        (None, Some(_)) => Err(Fault::error(Exit::Usage, "TIKKU_URL is not set, nor is --url: expected where the API is, https://...")),
        (None, None) => from_dev_json(Path::new(DEV_JSON)),
    }
}

fn from_dev_json(path: &Path) -> Result<Connection> {
    let Some(text) = secret_file::read(path)? else {
        let text = "TIKKU_URL and TIKKU_API_KEY are not set, and no `tikku dev` runs in this folder";
        return Err(Fault::error(Exit::Usage, text));
    };
    // The parser's own message could hold the key.
    let dev: DevJson =
        serde_json::from_str(&text).map_err(|_| Fault::new(Exit::Usage, format!("{} is not what `tikku dev` writes", path.display())))?;
    screen::complain(&format!("using the `tikku dev` of this folder, {} (from {})", dev.url, path.display()));
    Ok(Connection { url: checked(&dev.url)?, key: header_text(dev.api_key)?, database_url: dev.database_url, from_dev: true })
}

fn checked(text: &str) -> Result<String> {
    let refuse = |why: &str| Err(Fault::error(Exit::Usage, format!("the URL of the API {why}: expected https://host or http://host:port")));
    let Ok(url) = Url::parse(text) else { return refuse("is not a URL") };
    if !["http", "https"].contains(&url.scheme()) {
        return refuse("is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not hold a user name or password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must not have a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn header_text(key: String) -> Result<String> {
    let fine = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fine { Ok(key) } else { Err(Fault::error(Exit::Usage, "the API key is no key: expected tk_live_...")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_last_slash_and_what_is_none_is_refused_without_its_text() {
        assert_eq!(checked("https://a.example/").unwrap(), "https://a.example");
        assert_eq!(checked("http://127.0.0.1:8787/sub/").unwrap(), "http://127.0.0.1:8787/sub");
        for wrong in ["a.example", "ftp://a", "https://u:secret@a", "https://a?key=secret", "https://a/#secret"] {
            let error = checked(wrong).unwrap_err();
            assert_eq!(crate::exit::code(&error), Exit::Usage, "{wrong}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_key_is_text_that_a_header_can_hold_and_no_message_repeats_it() {
        assert!(header_text("tk_live_abc".into()).is_ok());
        for wrong in ["", "tk live", "tk\nlive", "tk_é"] {
            let error = header_text(wrong.into()).unwrap_err().to_string();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
        let connection = Connection { url: "u".into(), key: "tk_live_x".into(), database_url: None, from_dev: false };
        assert!(!format!("{connection:?}").contains("tk_live"));
    }
}
