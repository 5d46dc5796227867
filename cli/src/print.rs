//! How results are printed: JSON as the API wrote it, or text for people, in colours on a terminal.
//!
//! Text that others wrote (bodies, errors, names) loses its control characters first: it must not steer the reader's terminal.
//! Out of scope: tables (`table`), times (`clock`).

use std::io::IsTerminal;

use serde_json::Value;
use serde_json::value::RawValue;
use terminal_size::{Width, terminal_size};

use crate::database::variable;
use crate::screen;

/// Where a command prints, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printer {
    /// JSON instead of text.
    pub json: bool,
    /// ANSI colours.
    pub color: bool,
    /// Columns of the terminal; None where standard output is none.
    pub width: Option<usize>,
}

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Needs a look.
    Bad,
    /// Goes on by itself.
    Busy,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Busy => "33",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }

    /// The colour of a status of a message, run, schedule, breaker or approval.
    pub fn of_status(status: &str) -> Option<Tone> {
        match status {
            "delivered" | "completed" | "ok" | "active" | "closed" | "approved" => Some(Self::Good),
            "failed" | "error" | "open" | "rejected" => Some(Self::Bad),
            "retrying" | "delivering" | "running" | "half_open" | "waiting" | "paused" | "timeout" | "warning" => Some(Self::Busy),
            "cancelled" | "scheduled" | "sleeping" | "expired" => Some(Self::Dim),
            _ => None,
        }
    }
}

impl Printer {
    /// Looks at standard output, NO_COLOR (no-color.org) and TERM.
    pub fn new(json: bool) -> Printer {
        let terminal = std::io::stdout().is_terminal();
        let color = terminal && !json && variable("NO_COLOR").is_none() && variable("TERM").as_deref() != Some("dumb");
        let width = terminal.then(|| terminal_size().map_or(80, |(Width(width), _)| usize::from(width)));
        Printer { json, color, width }
    }

    /// Colours a text that is [`clean`] already.
    pub fn paint(&self, text: &str, tone: Option<Tone>) -> String {
        match tone {
            Some(tone) if self.color => format!("\x1b[{}m{text}\x1b[0m", tone.code()),
            _ => text.to_owned(),
        }
    }

    /// Colours a status by what it means.
    pub fn status(&self, status: &str) -> String {
        self.paint(&clean(status), Tone::of_status(status))
    }

    /// Prints a document: as it is with `--json`, else by `text`.
    pub fn show(&self, raw: &RawValue, text: impl FnOnce()) {
        if self.json { screen::say(raw.get()) } else { text() }
    }

    /// Prints a line for people, unless JSON is asked for.
    pub fn say(&self, line: &str) {
        if !self.json {
            screen::say(line);
        }
    }

    /// Prints a value that this program made: as JSON with `--json`, else as this line.
    pub fn done(&self, document: &Value, line: &str) {
        if self.json { screen::say(&document.to_string()) } else { screen::say(line) }
    }

    /// Prints names and values, the names in one column; what is None is left out.
    pub fn facts(&self, facts: &[(&str, Option<String>)]) {
        let width = facts.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts {
            if let Some(value) = value {
                let name = self.paint(&format!("{name:width$}"), Some(Tone::Dim));
                screen::say(&format!("{name}  {value}"));
            }
        }
    }
}

/// The text without control characters, and without those that turn the direction of writing: each is written as its escape.
/// A line feed and a tab are control characters too.
pub fn clean(text: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    if !text.chars().any(bad) {
        return text.to_owned();
    }
    text.chars().map(|c| if bad(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A string of a document, cleaned; None where it is absent or null.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(clean(text)),
        other => Some(clean(&other.to_string())),
    }
}

/// The same, with a dash where there is none.
pub fn text_or_dash(value: &Value) -> String {
    text(value).unwrap_or_else(|| "-".to_owned())
}

/// A number with commas between thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(clean("ok\u{1b}[2Jé\u{202e}x\r\n\u{9b}"), "ok\\u{1b}[2Jé\\u{202e}x\\r\\n\\u{9b}");
        assert_eq!(text(&json!("\u{7}")), Some("\\u{7}".to_owned()));
        assert_eq!(text(&json!({ "a": "\u{1b}" })), Some(r#"{"a":"\u001b"}"#.to_owned()));
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let plain = Printer { json: false, color: false, width: None };
        assert_eq!(plain.status("failed"), "failed");
        assert_eq!(Printer { color: true, ..plain }.status("failed"), "\u{1b}[31mfailed\u{1b}[0m");
        assert_eq!(Printer { color: true, ..plain }.status("new\u{1b}"), "new\\u{1b}");
    }

    #[test]
    fn thousands_are_set_off() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
