//! Prints to the terminal. A reader that went away (`tikku ... | head`) is no reason to fail, which `println!` would.
//!
//! Out of scope: log lines, which go through tracing.

use std::io::Write;

/// Prints a line to standard output.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line to standard error.
pub fn complain(text: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{text}");
}
