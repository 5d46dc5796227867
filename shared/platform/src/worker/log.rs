//! Log lines of a Worker: `tracing` events written to the console, which `wrangler tail` and Workers Logs show.
//! Out of scope: spans and filters. A panic is reported by the worker crate's own hook.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};
use worker::{console_error, console_log};

/// Sends events of level INFO and above to the console. Later calls change nothing.
pub fn init() {
    // Err: an earlier event in this isolate has installed it.
    let _installed = subscriber::set_global_default(Console);
}

struct Console;

impl Subscriber for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        if *event.metadata().level() <= Level::WARN {
            console_error!("{}", line.0);
        } else {
            console_log!("{}", line.0);
        }
    }

    // Spans are never enabled: what follows is only what the trait asks for.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// One log line in the making: level, target, message, then `name=value`.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, ": {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
