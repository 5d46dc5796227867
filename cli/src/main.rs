//! The `tikku` binary: the dev server and the commands that need only the database.
//!
//! Out of scope: the message path itself, which is the same code here as on Lambda and Workers.

mod accounts;
mod database;
mod dev;
mod postgres;
mod screen;
mod secret_file;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use tikku_domain::limits::{KEY_NAME_CHARS_MAX, REQUESTS_PER_MINUTE_MAX};

use crate::accounts::Form;

/// Delivers messages by push, from your own Postgres.
#[derive(Parser)]
#[command(name = "tikku", version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything on this machine: API, clock, delivery and, without DATABASE_URL, a private PostgreSQL
    Dev(DevArgs),
    /// Prints the OpenAPI document of the API
    Openapi,
    /// Brings the schema of the database in DATABASE_URL up to date
    Migrate,
    /// Manages accounts
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Manages API keys
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[derive(Args)]
struct DevArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Folder for the database, its log, the API key and dev.json
    #[arg(long, default_value = ".tikku")]
    data: PathBuf,
    /// Start with an empty database and remove it at the end
    #[arg(long)]
    ephemeral: bool,
}

#[derive(Subcommand)]
enum AccountsCommand {
    /// Makes an account and prints its admin key
    Create {
        /// Unique name of 1 to 64 characters
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        print: Print,
    },
    /// Lists all accounts with their settings
    List {
        #[command(flatten)]
        print: Print,
    },
    /// Sets how many API requests the keys of an account may make in a minute, together
    Limit {
        /// Name of the account
        name: String,
        /// From 1 to 100,000,000
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=REQUESTS_PER_MINUTE_MAX))]
        requests_per_minute: i32,
        #[command(flatten)]
        print: Print,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Makes an API key and prints it
    Create {
        /// Name of the account
        #[arg(long)]
        account: String,
        /// A note to recognise the key by, at most 64 characters
        #[arg(long, default_value = "made with tikku keys create", value_parser = name)]
        name: String,
        /// What the key may do
        #[arg(long, default_value = "admin", value_parser = ["admin", "publish", "read"])]
        role: String,
        #[command(flatten)]
        print: Print,
    },
}

#[derive(Args)]
struct Print {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Print {
    fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=KEY_NAME_CHARS_MAX).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {KEY_NAME_CHARS_MAX} characters, none of them a control character"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tikku_platform::log::init();
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Dev(args) => {
            let lifetime = if args.ephemeral { postgres::Lifetime::Ephemeral } else { postgres::Lifetime::Kept };
            dev::run(&dev::Options { host: args.host, port: args.port, data: args.data, lifetime }).await
        }
        Command::Openapi => {
            let document: serde_json::Value = serde_json::from_str(&tikku_publish::openapi_json())?;
            screen::say(&serde_json::to_string_pretty(&document)?);
            Ok(())
        }
        Command::Migrate => accounts::migrate().await,
        Command::Accounts(AccountsCommand::Create { name, print }) => accounts::create(&name, print.form()).await,
        Command::Accounts(AccountsCommand::List { print }) => accounts::list(print.form()).await,
        Command::Accounts(AccountsCommand::Limit { name, requests_per_minute, print }) => {
            accounts::limit(&name, requests_per_minute, print.form()).await
        }
        Command::Keys(KeysCommand::Create { account, name, role, print }) => {
            accounts::create_key(&account, &name, &role, print.form()).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "",
            "dev --port 70000",
            "dev --host nowhere",
            "keys create",
            "keys create --account a --role boss",
            "accounts create",
            "accounts limit a",
            "accounts limit a --requests-per-minute 0",
        ] {
            assert!(Cli::try_parse_from(std::iter::once("tikku").chain(line.split_whitespace())).is_err(), "{line}");
        }
        assert!(Cli::try_parse_from(["tikku", "accounts", "create", ""]).is_err());
        assert!(Cli::try_parse_from(["tikku", "accounts", "create", &"é".repeat(65)]).is_err());
        assert!(Cli::try_parse_from(["tikku", "accounts", "create", &"é".repeat(64)]).is_ok());
    }
}
