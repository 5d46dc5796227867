//! The `tikku` binary: the dev server, commands that need only the database, and a client of the whole API.
//!
//! Out of scope: the message path itself, which is the same code here as on Lambda and Workers.

mod api;
mod bulk;
mod clock;
mod commands;
mod connection;
mod database;
mod delivery;
mod dev;
mod exit;
mod json_text;
mod listing;
mod postgres;
mod print;
mod screen;
mod secret_file;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tikku_platform::log::init();
    let cli = Cli::parse();
    let json = cli.json();
    let Err(error) = Box::pin(cli.run()).await else { return ExitCode::SUCCESS };
    let text = if json { exit::document(&error).to_string() } else { format!("error: {}", print::clean(&format!("{error:#}"))) };
    screen::complain(&text);
    exit::code(&error).into()
}
