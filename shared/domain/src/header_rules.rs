//! Which request headers a publisher may set.
//!
//! Stage: publish. Out of scope: the headers Tikku adds itself, and response headers.

use std::collections::HashSet;

/// Most headers of one message.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of all header names and values of one message together.
pub const HEADERS_BYTES_MAX: usize = 32_768;

/// Names HTTP or the connection owns: framing, routing and hop-by-hop fields (RFC 9110 section 7.6.1).
const REFUSED_NAMES: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Beginnings of names that Tikku (`tikku-`), the signature (`webhook-`) or proxies own.
const REFUSED_PREFIXES: [&str; 3] = ["webhook-", "tikku-", "proxy-"];

/// One header that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header {name:?}: {fault}")]
pub struct HeaderError {
    /// Position in the checked list.
    pub index: usize,
    /// The name as given.
    pub name: String,
    /// The rule it breaks.
    pub fault: HeaderFault,
}

/// The rules for headers; each message says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The name is not a token (RFC 9110 section 5.6.2).
    #[error("a name is letters, digits and !#$%&'*+-.^_`|~, at least one")]
    Name,
    /// The name belongs to HTTP or to Tikku.
    #[error(
        "this name is set by HTTP or by Tikku: webhook-*, tikku-*, proxy-*, host, content-length, \
         transfer-encoding, connection, keep-alive, te, trailer, upgrade and expect are not allowed"
    )]
    Refused,
    /// The name appeared before, in whatever case.
    #[error("names are case-insensitive and may appear once: join the values with a comma")]
    Duplicate,
    /// The value is not a field value (RFC 9110 section 5.5).
    #[error("a value is text without control characters, and without whitespace at either end")]
    Value,
    /// The first header beyond [`HEADERS_MAX`].
    #[error("at most 64 headers are allowed")]
    TooMany,
    /// The first header with which names and values exceed [`HEADERS_BYTES_MAX`].
    #[error("all names and values together may have at most 32768 bytes")]
    TooLarge,
}

/// Checks the headers of a message, given as (name, value).
///
/// # Errors
/// Every header that breaks a rule with the first rule it breaks, in order; of the headers beyond a
/// limit only the first.
pub fn check(headers: &[(String, String)]) -> Result<(), Vec<HeaderError>> {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    let mut bytes = 0_usize;
    for (index, (name, value)) in headers.iter().enumerate() {
        let fits_before = bytes <= HEADERS_BYTES_MAX;
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        let fault = if index >= HEADERS_MAX {
            Some(HeaderFault::TooMany)
        } else if fits_before && bytes > HEADERS_BYTES_MAX {
            Some(HeaderFault::TooLarge)
        } else {
            let first = seen.insert(name.to_ascii_lowercase());
            fault_of(name, value).or((!first).then_some(HeaderFault::Duplicate))
        };
        errors.extend(fault.map(|fault| HeaderError { index, name: name.clone(), fault }));
        if index >= HEADERS_MAX {
            break;
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn fault_of(name: &str, value: &str) -> Option<HeaderFault> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        Some(HeaderFault::Name)
    } else if REFUSED_NAMES.contains(&lower.as_str()) || REFUSED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        Some(HeaderFault::Refused)
    } else {
        (!is_field_value(value)).then_some(HeaderFault::Value)
    }
}

/// RFC 9110 section 5.6.2, `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 section 5.5: visible ASCII and obs-text (here UTF-8), blanks only in between.
fn is_field_value(value: &str) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let bytes = value.as_bytes();
    bytes.iter().all(|byte| blank(byte) || byte.is_ascii_graphic() || !byte.is_ascii())
        && !bytes.first().is_some_and(blank)
        && !bytes.last().is_some_and(blank)
}

#[cfg(test)]
mod tests {
    use super::HeaderFault::{Duplicate, Name, Refused, TooLarge, TooMany, Value};
    use super::*;

    fn list(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn faults(headers: &[(String, String)]) -> Vec<(usize, HeaderFault)> {
        let errors = check(headers).err().unwrap_or_default();
        errors.into_iter().map(|error| (error.index, error.fault)).collect()
    }

    #[test]
    fn ordinary_headers_pass() {
        let headers = list(&[
            ("content-type", "application/json; charset=utf-8"),
            ("Authorization", "Bearer a.b-c=="),
            ("X-Empty", ""),
            ("x-tab", "a\tb"),
            ("x-name", "Zoë"),
            ("!#$%&'*+-.^_`|~09azAZ", "~!"),
            ("webhook", "1"),
            ("tikku", "1"),
            ("proxy", "1"),
            ("hosts", "1"),
            ("te2", "1"),
            ("x-webhook-id", "1"),
            ("content-length-hint", "1"),
            ("user-agent", "mine/1"),
        ]);
        assert_eq!(check(&headers), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn names_that_are_no_token_are_refused() {
        for name in [
            "",
            " ",
            "a b",
            "a:",
            ":authority",
            "a\r\nb",
            "a\0",
            "é",
            "a(b)",
            "a/b",
            "a=b",
            "a\"",
            "[a]",
            "{a}",
            "a,b",
            "a;b",
            "a@b",
            "a?b",
            "a<b",
            "a\\b",
            " a",
            "a ",
            "a\t",
            "a\u{7f}",
        ] {
            assert_eq!(faults(&list(&[(name, "v")])), [(0, Name)], "{name:?}");
        }
    }

    #[test]
    fn names_owned_by_http_or_tikku_are_refused_in_any_case() {
        for name in [
            "webhook-id",
            "Webhook-Signature",
            "WEBHOOK-",
            "tikku-delay",
            "Tikku-No-Retry",
            "Host",
            "HOST",
            "content-length",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "proxy-connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
        ] {
            assert_eq!(faults(&list(&[(name, "v")])), [(0, Refused)], "{name:?}");
        }
    }

    #[test]
    fn values_that_could_break_out_are_refused() {
        for value in ["a\r\nx: y", "a\nb", "a\rb", "\n", "a\0b", "\u{1}", "\u{1b}[0m", "\u{7f}", " a", "a ", "\ta", "a\t", " "] {
            assert_eq!(faults(&list(&[("x-a", value)])), [(0, Value)], "{value:?}");
        }
    }

    #[test]
    fn each_broken_header_is_reported_once_in_order() {
        let headers = list(&[("ok", "1"), ("Host", "\n"), ("OK", "2"), ("ok", "3"), ("bad name", "v"), ("x", "\n")]);
        let expected = [(1, Refused), (2, Duplicate), (3, Duplicate), (4, Name), (5, Value)];
        assert_eq!(faults(&headers), expected);
        let text = check(&headers).unwrap_err()[1].to_string();
        assert!(text.starts_with("header \"OK\": names are case-insensitive"), "{text}");
    }

    #[test]
    fn the_limits_hold_to_the_header_and_to_the_byte() {
        let many = |n: usize| -> Vec<_> { (0..n).map(|i| (format!("x-{i}"), "v".into())).collect() };
        assert_eq!(check(&many(HEADERS_MAX)), Ok(()));
        assert_eq!(faults(&many(HEADERS_MAX + 1)), [(64, TooMany)]);
        assert_eq!(faults(&many(HEADERS_MAX + 9)), [(64, TooMany)]);

        let large = |bytes: usize| {
            let half = "v".repeat(HEADERS_BYTES_MAX / 2 - 1);
            let rest = "v".repeat(bytes - half.len() - 2);
            list(&[("a", &half), ("b", &rest)])
        };
        assert_eq!(check(&large(HEADERS_BYTES_MAX)), Ok(()));
        assert_eq!(faults(&large(HEADERS_BYTES_MAX + 1)), [(1, TooLarge)]);
        let mut more = large(HEADERS_BYTES_MAX + 1);
        more.push(("c".into(), "v".into()));
        assert_eq!(faults(&more), [(1, TooLarge)]);
    }
}
