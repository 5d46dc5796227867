//! What the templates of several pages share: `templates/` says what each field is. Out of scope: what only one page has.

use askama::Template;

use crate::page::Page;
use crate::refusal::Refusal;

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What it is.
    pub name: String,
    /// What it says.
    pub value: String,
}

impl Pair {
    /// Of two texts.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// Something related.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it is to this.
    pub name: String,
    /// What it is called.
    pub text: String,
    /// Where it is.
    pub href: String,
}

impl Link {
    /// Of three texts.
    pub fn new(name: impl Into<String>, text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), href: href.into() }
    }
}

/// A filter by status, with how many there are.
#[derive(Clone, Debug)]
pub struct Chip {
    /// In words.
    pub label: String,
    /// As the API names it; "" for all.
    pub status: String,
    /// How many; "" where that is not counted.
    pub count: String,
    /// The list with this filter.
    pub href: String,
    /// Whether the list has it.
    pub current: bool,
}

/// What is asked before something is done that cannot be taken back.
#[derive(Clone, Debug, Default)]
pub struct Confirm {
    /// What is asked.
    pub title: String,
    /// What will happen.
    pub text: String,
    /// Up to ten things it is about.
    pub items: Vec<String>,
    /// "and 42 more", or "".
    pub more: String,
    /// Where the form posts.
    pub action: String,
    /// What the button says.
    pub button: String,
    /// Whether something is lost.
    pub danger: bool,
    /// Hidden fields.
    pub fields: Vec<Pair>,
    /// What must be typed first; "" for nothing.
    pub type_to_confirm: String,
    /// Where to go instead.
    pub back_href: String,
}

/// The page of a [`Confirm`].
#[derive(Template)]
#[template(path = "confirm.html")]
pub struct ConfirmPage {
    /// The frame.
    pub page: Page,
    /// The question.
    pub confirm: Confirm,
}

/// What is wrong with one field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Which field; "" where the text says it.
    pub field: String,
    /// What is wrong with it.
    pub text: String,
}

/// What a form says above its fields when the API refused it, and what is wrong with each.
pub fn form_errors(refusal: &Refusal) -> (String, Vec<FieldError>) {
    let error = |pointer: &str, detail: &str| {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let says_it = detail.starts_with(field.split('.').next().unwrap_or_default());
        FieldError { field: if says_it { String::new() } else { field }, text: detail.to_owned() }
    };
    let errors: Vec<_> = refusal.errors.iter().map(|e| error(&e.pointer, &e.detail)).collect();
    let detail = if errors.is_empty() { refusal.sentence() } else { "This was not accepted.".to_owned() };
    (detail, errors)
}

/// A large batch, chunk by chunk.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// What is done.
    pub title: String,
    /// 0 to 100.
    pub percent: String,
    /// "3,000 of 12,400 retried".
    pub text: String,
    /// Whether nothing is left.
    pub over: bool,
    /// Where the next chunk is posted.
    pub action: String,
    /// Its hidden fields.
    pub fields: Vec<Pair>,
    /// Where to go then.
    pub back_href: String,
    /// The text of that link.
    pub back_text: String,
}

/// The page of a [`Progress`].
#[derive(Template)]
#[template(path = "progress.html")]
pub struct ProgressPage {
    /// The frame.
    pub page: Page,
    /// How far it is.
    pub progress: Progress,
}

/// A status in words.
pub fn status_text(status: &str) -> String {
    let text = status.replace('_', " ");
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A number with its thousands apart.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}", if n < 0 { "-" } else { "" }, groups.join(","))
}

/// A size in words.
pub fn size(bytes: i64) -> String {
    match bytes {
        ..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => tenths(bytes, 1_024, "KiB"),
        _ => tenths(bytes, 1_048_576, "MiB"),
    }
}

/// A length of time in words.
pub fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => tenths(ms, 1_000, "s"),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

fn tenths(n: i64, unit: i64, name: &str) -> String {
    format!("{}.{} {name}", n / unit, n % unit * 10 / unit)
}

/// Seconds as a length of time: "30 s", "5 min", "2 h", "1 d", whatever is exact.
pub fn seconds(s: i64) -> String {
    match s {
        _ if s > 0 && s % 86_400 == 0 => format!("{} d", s / 86_400),
        _ if s > 0 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        _ if s > 0 && s % 60 == 0 => format!("{} min", s / 60),
        _ => format!("{s} s"),
    }
}

/// A word of a shell, quoted where it must be.
pub fn shell(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_words() {
        assert_eq!(
            (number(0), number(999), number(1_000), number(-1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "-1,234,567".into())
        );
        assert_eq!((size(1_023), size(1_536), size(4 * 1_048_576)), ("1023 B".into(), "1.5 KiB".into(), "4.0 MiB".into()));
        assert_eq!(
            (duration(7), duration(1_550), duration(61_000), duration(3_660_000)),
            ("7 ms".into(), "1.5 s".into(), "1 min 1 s".into(), "1 h 1 min".into())
        );
        assert_eq!(
            (seconds(30), seconds(90), seconds(300), seconds(7_200), seconds(86_400)),
            ("30 s".into(), "90 s".into(), "5 min".into(), "2 h".into(), "1 d".into())
        );
        assert_eq!((status_text("half_open"), status_text("")), ("Half open".into(), String::new()));
    }

    #[test]
    fn a_shell_takes_a_word_as_it_is() {
        assert_eq!((shell("a-b:c"), shell("it's"), shell("")), ("a-b:c".into(), r"'it'\''s'".into(), "''".into()));
    }
}
