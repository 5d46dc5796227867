//! Log lines to standard error; bodies and keys never reach one.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging as `RUST_LOG` says, by default warnings and Tikku's own notes. On Lambda each line is a JSON object.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,tikku=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start keeps the first.
    let _already = if cfg!(feature = "aws") {
        builder.json().without_time().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
}
