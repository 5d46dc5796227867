//! Payloads as pages show them: JSON indented but otherwise as it was written, text as it is, bytes in base64, long ones cut.
//!
//! Out of scope: colours (`tikku.js`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

/// What a page shows of a payload.
const SHOWN_BYTES_MAX: usize = 64 * 1024;
/// Deeper JSON is not indented further.
const DEPTH_MAX: usize = 64;

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What is shown of it.
    pub text: String,
    /// json, text, binary or none.
    pub kind: &'static str,
    /// Whether there is more than is shown.
    pub is_cut: bool,
}

impl Payload {
    /// Of a body as the API answers it: as JSON, or in base64 when it is no JSON, or neither.
    pub fn of(json: Option<&RawValue>, in_base64: Option<&str>) -> Self {
        if let Some(encoded) = in_base64 {
            let text = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return match text.filter(|text| !text.contains('\0')) {
                Some(text) => Self::cut(text, "text"),
                None => Self::cut(encoded.to_owned(), "binary"),
            };
        }
        match json {
            Some(json) => Self::cut(pretty(json.get()), "json"),
            None => Self { text: String::new(), kind: "none", is_cut: false },
        }
    }

    /// Of text that may be JSON.
    pub fn of_text(text: &str) -> Self {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(json) => Self::cut(pretty(json.get()), "json"),
            Err(_) if text.is_empty() => Self::of(None, None),
            Err(_) => Self::cut(text.to_owned(), "text"),
        }
    }

    fn cut(mut text: String, kind: &'static str) -> Self {
        let is_cut = text.len() > SHOWN_BYTES_MAX;
        if is_cut {
            text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
            text.push('…');
        }
        Self { text, kind, is_cut }
    }
}

/// The bytes of a body as the API answers it, and their content type.
pub fn bytes(json: Option<&RawValue>, in_base64: Option<&str>) -> Option<(Vec<u8>, &'static str)> {
    match in_base64 {
        Some(encoded) => STANDARD.decode(encoded).ok().map(|bytes| (bytes, "application/octet-stream")),
        None => json.map(|json| (json.get().as_bytes().to_vec(), "application/json")),
    }
}

/// JSON with a line for each member and element. Order, numbers and escapes stay as they were written.
pub fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let mut characters = json.chars().filter(|c| !c.is_control() || *c == ' ' || *c == '\n' || *c == '\t').peekable();
    while let Some(c) = characters.next() {
        if is_string {
            out.push(c);
            is_string = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            ' ' | '\n' | '\t' => {}
            '"' => {
                is_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while characters.next_if(|next| next.is_whitespace()).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(c),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(DEPTH_MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_not_changed() {
        for (json, expected) in [
            ("1.0", "1.0"),
            (r#""a\"{,}""#, r#""a\"{,}""#),
            (r#"{"b":1.10,"a":[]}"#, "{\n  \"b\": 1.10,\n  \"a\": []\n}"),
            ("[ 1 ,\r\n {\"x\" : \"\\\\\" } , { } ]", "[\n  1,\n  {\n    \"x\": \"\\\\\"\n  },\n  {}\n]"),
        ] {
            assert_eq!(pretty(json), expected);
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&pretty(json)), read(json));
        }
    }

    #[test]
    fn a_payload_is_json_text_or_bytes() {
        let json: Box<RawValue> = serde_json::from_str(r#"{"a":1}"#).unwrap();
        let null: Box<RawValue> = serde_json::from_str("null").unwrap();
        assert_eq!(Payload::of(Some(&json), None).kind, "json");
        assert_eq!(Payload::of(Some(&null), Some("aGk=")), Payload { text: "hi".into(), kind: "text", is_cut: false });
        assert_eq!(Payload::of(Some(&null), Some("/w==")), Payload { text: "/w==".into(), kind: "binary", is_cut: false });
        assert_eq!(Payload::of(None, None).kind, "none");
        assert_eq!((Payload::of_text("{").kind, Payload::of_text("[1]").kind), ("text", "json"));
        let long = Payload::of_text(&"ä".repeat(SHOWN_BYTES_MAX));
        assert!(long.is_cut && long.text.len() <= SHOWN_BYTES_MAX + 3);
        assert_eq!(bytes(Some(&null), Some("aGk=")), Some((b"hi".to_vec(), "application/octet-stream")));
    }
}
