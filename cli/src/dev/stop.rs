//! Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends the process at once.
//!
//! Out of scope: SIGHUP, so that `nohup tikku dev` works.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::screen::complain;

/// What a shell reports for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// The wish to stop, seen by everyone who holds a copy.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for the signals from now on; an immediate end still removes `dev_json`.
    pub fn listen(dev_json: PathBuf) -> Result<Stop> {
        let install = |kind| signal(kind).context("could not listen for signals");
        let (interrupt, terminate) = (install(SignalKind::interrupt())?, install(SignalKind::terminate())?);
        let (send, receive) = watch::channel(false);
        tokio::spawn(relay(interrupt, terminate, send, dev_json));
        Ok(Stop(receive))
    }

    /// Returns once a stop is wished.
    pub async fn wait(&mut self) {
        // An error means that nobody listens any more: stop as well.
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}

async fn relay(mut interrupt: Signal, mut terminate: Signal, send: watch::Sender<bool>, dev_json: PathBuf) {
    either(&mut interrupt, &mut terminate).await;
    complain("\nStopping; Ctrl-C again ends at once.");
    let _nobody = send.send(true);
    either(&mut interrupt, &mut terminate).await;
    let _missing = std::fs::remove_file(dev_json);
    // PostgreSQL stops by itself when the pipe to it closes.
    std::process::exit(EXIT_INTERRUPTED);
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
