//! The commands: one file per noun. This one says which there are and hands each what it needs.
//!
//! Out of scope: where they talk to (`connection`), how they print (`print`), how they end (`exit`).

mod account;
mod accounts;
mod approvals;
mod apps;
mod breakers;
mod completions;
mod dlq;
mod doctor;
mod events;
mod fanouts;
mod flows;
mod keys;
mod messages;
mod migrate;
mod overview;
mod publish;
mod runs;
mod schedules;
mod secrets;
mod workflows;

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::api::Api;
use crate::connection::{Globals, find};
use crate::print::Printer;
use crate::{dev, exit, postgres, screen};

/// Delivers messages by push and runs durable workflows, from your own Postgres.
#[derive(Parser)]
#[command(name = "tikku", version, after_help = exit::HELP)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything on this machine: API, clock, delivery and, without DATABASE_URL, a private PostgreSQL
    Dev(DevArgs),
    /// Finds out what is wrong: database, schema, tick, clock, key, queue, and an endpoint and its signing secret
    Doctor(doctor::Args),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Accounts of the database in DATABASE_URL
    #[command(subcommand)]
    Accounts(accounts::Command),
    /// Brings the schema of the database in DATABASE_URL up to date
    Migrate,
    /// Prints the OpenAPI document of the API
    Openapi,
    /// Prints a completion script for a shell
    Completions(completions::Args),
}

/// What only calls the API.
#[derive(Subcommand)]
enum ClientCommand {
    /// How messages and runs have fared lately
    Overview(overview::Args),
    /// Publishes a message
    Publish(Box<publish::Args>),
    /// Looks at messages, follows them, cancels, retries and resends them
    #[command(subcommand)]
    Messages(messages::Command),
    /// The dead-letter queue: messages that have failed
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Names for several endpoints
    #[command(subcommand)]
    Fanouts(fanouts::Command),
    /// Messages and runs at certain times
    #[command(subcommand)]
    Schedules(schedules::Command),
    /// Limits that messages of one key share
    #[command(subcommand)]
    Flows(flows::Command),
    /// Circuit breakers, one for each destination
    #[command(subcommand)]
    Breakers(breakers::Command),
    /// Endpoints that serve workflows
    #[command(subcommand)]
    Apps(apps::Command),
    /// What apps serve
    #[command(subcommand)]
    Workflows(workflows::Command),
    /// Executions of workflows
    #[command(subcommand)]
    Runs(runs::Command),
    /// What waits for a person
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// Events, which start and wake runs
    #[command(subcommand)]
    Events(events::Command),
    /// The account of your key, and its settings
    #[command(subcommand)]
    Account(account::Command),
    /// The signing secret, which endpoints verify with
    #[command(subcommand)]
    Secrets(secrets::Command),
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

/// Asks before what cannot be undone.
#[derive(Args)]
struct Yes {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Cli {
    /// Whether errors are to be JSON too.
    pub fn json(&self) -> bool {
        self.globals.json
    }

    /// Runs the command.
    pub async fn run(self) -> Result<()> {
        let Cli { globals, command } = self;
        let out = &Printer::new(globals.json);
        match command {
            Command::Dev(args) => run_dev(args, out).await,
            Command::Doctor(args) => doctor::run(&globals, out, &args).await,
            Command::Accounts(command) => accounts::run(command, out).await,
            Command::Keys(command) => keys::run(command, &globals, out).await,
            Command::Migrate => migrate::run(out).await,
            Command::Openapi => print_openapi(),
            Command::Completions(args) => completions::run(&args),
            Command::Client(command) => command.run(&Api::new(find(&globals)?)?, out).await,
        }
    }
}

impl ClientCommand {
    async fn run(self, api: &Api, out: &Printer) -> Result<()> {
        match self {
            Self::Overview(args) => overview::run(&args, api, out).await,
            Self::Account(command) => account::run(command, api, out).await,
            Self::Publish(args) => publish::run(&args, api, out).await,
            Self::Messages(command) => messages::run(command, api, out).await,
            Self::Dlq(command) => dlq::run(command, api, out).await,
            Self::Fanouts(command) => fanouts::run(command, api, out).await,
            Self::Schedules(command) => schedules::run(command, api, out).await,
            Self::Flows(command) => flows::run(command, api, out).await,
            Self::Breakers(command) => breakers::run(command, api, out).await,
            Self::Apps(command) => apps::run(command, api, out).await,
            Self::Workflows(command) => workflows::run(command, api, out).await,
            Self::Runs(command) => runs::run(command, api, out).await,
            Self::Approvals(command) => approvals::run(command, api, out).await,
            Self::Events(command) => events::run(command, api, out).await,
            Self::Secrets(command) => secrets::run(command, api, out).await,
        }
    }
}

async fn run_dev(args: DevArgs, out: &Printer) -> Result<()> {
    let lifetime = if args.ephemeral { postgres::Lifetime::Ephemeral } else { postgres::Lifetime::Kept };
    dev::run(&dev::Options { host: args.host, port: args.port, data: args.data, lifetime, out: *out }).await
}

fn print_openapi() -> Result<()> {
    let document: serde_json::Value = serde_json::from_str(&tikku_publish::openapi_json())?;
    screen::say(&serde_json::to_string_pretty(&document)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("tikku").chain(line.split_whitespace()))
    }

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
            "keys create --account a --role boss",
            "accounts create",
            "accounts limit a",
            "accounts limit a --requests-per-minute 0",
            "messages list --status lost",
            "messages list --from yesterday",
            "messages cancel",
            "messages cancel msg_1 --all",
            "dlq retry",
            "dlq retry msg_1 --label a",
            "publish https://a --fanout b",
            "publish https://a --rate 5",
            "publish https://a --delay 5 --not-before 2027-01-31T09:00:00Z",
            "publish https://a --header nocolon",
            "runs start",
            "runs list --status lost",
            "completions cmd",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(Cli::try_parse_from(["tikku", "accounts", "create", ""]).is_err());
        assert!(Cli::try_parse_from(["tikku", "accounts", "create", &"é".repeat(65)]).is_err());
        assert!(Cli::try_parse_from(["tikku", "accounts", "create", &"é".repeat(64)]).is_ok());
    }

    #[test]
    fn options_of_every_command_stand_before_and_after_it() {
        for line in ["--json messages list", "messages --json list", "messages list --json"] {
            assert!(parse(line).unwrap().json(), "{line}");
        }
    }
}
