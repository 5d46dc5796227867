//! Steps in words: what their kinds, states and costs are called. Out of scope: their rows (`run_steps`).

use serde_json::Value;

use crate::parts::{Pair, number};
use crate::run_api::{Ai, Step};

/// An id for scripts and addresses: a key may have any character but control characters.
pub fn dom_id(key: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c.to_string() } else { "-".to_owned() };
    let changed = key.chars().filter(|c| !c.is_alphanumeric()).map(|c| format!("{:x}", u32::from(c))).collect::<String>();
    // Names that differ only in such characters stay apart.
    let tail =
        if key.chars().filter(|c| !c.is_alphanumeric() && !"_-".contains(*c)).count() > 1 { format!("-{changed}") } else { String::new() };
    format!("step-{}{tail}", key.chars().map(plain).collect::<String>())
}

/// What a kind of step is called.
pub fn kind_text(kind: &str) -> &'static str {
    match kind {
        "run" => "Step",
        "ai" => "AI step",
        "sleep" => "Sleep",
        "signal" => "Signal",
        "event" => "Event",
        "child" => "Child",
        "approval" => "Approval",
        "fetch" => "Fetch",
        "publish" => "Publish",
        _ => "Step",
    }
}

/// A finished step's state, and in words.
pub fn state(step: &Step) -> (String, String) {
    let value = step.value.as_ref().map(|value| value.get()).unwrap_or_default();
    let (status, text) = match (step.state.as_str(), step.kind.as_str()) {
        ("error", _) => ("error", "Failed"),
        ("timeout", _) => ("timeout", "Timed out"),
        (_, "sleep") if value == "\"woken\"" => ("ok", "Woken"),
        (_, "sleep") => ("ok", "Slept"),
        (_, "signal" | "event") => ("ok", "Received"),
        (_, "approval") if is_refused(value) => ("rejected", "Rejected"),
        (_, "approval") => ("approved", "Approved"),
        _ => ("ok", "Done"),
    };
    (status.to_owned(), text.to_owned())
}

fn is_refused(value: &str) -> bool {
    serde_json::from_str::<Value>(value).is_ok_and(|value| value.get("approved") == Some(&Value::Bool(false)))
}

/// What an AI step used, in a line.
pub fn note_of(step: &Step) -> String {
    let Some(used) = &step.ai else { return String::new() };
    let tokens = |tokens: Option<f64>, what: &str| tokens.map(|n| format!("{} {what}", number(n as i64)));
    let parts = [used.model.clone(), tokens(used.input_tokens, "tokens in"), tokens(used.output_tokens, "out"), used.cost_usd.map(dollars)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The same as names and values.
pub fn ai(used: &Ai) -> Vec<Pair> {
    let tokens = |name: &str, tokens: Option<f64>| tokens.map(|n| Pair::new(name, number(n as i64)));
    let rows = [
        used.model.as_ref().map(|model| Pair::new("Model", model)),
        tokens("Tokens in", used.input_tokens),
        tokens("Tokens out", used.output_tokens),
        used.cost_usd.map(|cost| Pair::new("Cost", dollars(cost))),
    ];
    rows.into_iter().flatten().collect()
}

/// A price: with as many digits as a call of a model needs.
pub fn dollars(cost: f64) -> String {
    if cost >= 1.0 || cost == 0.0 { format!("${cost:.2}") } else { format!("${cost:.4}") }
}

/// A text of at most so many bytes, and whether something was cut off.
pub fn cut(mut text: String, bytes_max: usize) -> (String, bool) {
    let is_cut = text.len() > bytes_max;
    if is_cut {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    (text, is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_rows_stay_apart() {
        assert_eq!(dom_id("charge#0"), "step-charge-0");
        let ids = ["a b#0", "a-b#0", "a/b#0", "a.b#0"].map(dom_id);
        let apart: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(apart.len(), ids.len(), "{ids:?}");
        assert!(ids.iter().all(|id| !id.contains([' ', '"', '/', '.'])), "{ids:?}");
    }

    #[test]
    fn money_has_the_digits_it_needs() {
        assert_eq!([0.0, 0.00214, 0.5, 12.345].map(dollars), ["$0.00", "$0.0021", "$0.5000", "$12.35"]);
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(cut("ääää".to_owned(), 3), ("ä…".to_owned(), true));
        assert_eq!(cut("ä".to_owned(), 3), ("ä".to_owned(), false));
    }
}
