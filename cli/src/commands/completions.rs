//! `tikku completions`: a completion script, made from the definition of the command line.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Cli;
use crate::screen;

#[derive(clap::Args)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tikku", &mut script);
    screen::say(String::from_utf8(script)?.trim_end());
    Ok(())
}
