//! Patterns that match and texts that do not; what is refused; what a hostile pattern costs.

use super::*;

fn found(pattern: &str, text: &str) -> bool {
    Pattern::parse(pattern).unwrap_or_else(|e| panic!("{pattern} {e}")).is_found_in(text).unwrap_or_else(|e| panic!("{pattern} {e}"))
}

#[test]
fn patterns_match_as_in_javascript() {
    let zod_email = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$";
    let uuid = r"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000)$";
    for (pattern, yes, no) in [
        ("a", "cat", "dog"),
        ("^a*$", "aaa", "aab"),
        ("^(ab|a)(bc)?$", "abc", "abcb"),
        ("^a{2,3}$", "aaa", "aaaa"),
        ("^a{2}?$", "aa", "a"),
        ("^[^a-c\\d]+$", "xyz", "xy1"),
        ("^\\w+\\s\\S+$", "ab c!", "ab"),
        ("\\bcat\\b", "a cat.", "concat"),
        ("^(a+)+$", "aaaa", "aaab"),
        ("^(?:x|y|)z$", "z", "xyz"),
        ("^(.)\\1$", "aa", "ab"),
        ("^\\u{1F600}\\uD83D\\uDE00.$", "\u{1F600}\u{1F600}\u{1F600}", "\u{1F600}"),
        ("^(?=.*\\d)(?=.*[a-z]).{4,}$", "abc1", "abcd"),
        ("^a.c$", "abc", "a\nc"),
        ("^.*?b$", "aab", "aabc"),
        ("^[\\-.+]+$", "-.+", ","),
        ("^(?<year>\\d{4})-\\d\\d$", "2026-11", "26-11"),
        (zod_email, "ada.l@example.co.uk", "ada..l@example.com"),
        (uuid, "0192f3ab-0000-7000-8000-000000000001", "0192f3ab-0000-9000-8000-000000000001"),
    ] {
        assert!(found(pattern, yes), "{pattern} is in {yes}");
        assert!(!found(pattern, no), "{pattern} is not in {no}");
    }
    assert!(found("^.*$", &"x".repeat(100_000)) && found("^(|a)*$", "aa") && found("", ""));
}

#[test]
fn what_is_no_pattern_or_not_supported_is_refused() {
    for pattern in ["(", ")", "[", "a**", "*", "a{2,1}", "[b-a]", "\\", "\\q", "(?a)", "{", "^*", "\\u12", "[\\d-z]"] {
        assert_eq!(Pattern::parse(pattern).unwrap_err(), PatternError::Syntax, "{pattern}");
    }
    for pattern in ["(?<=a)b", "(?<!a)b", "\\p{L}", "\\k<a>"] {
        assert_eq!(Pattern::parse(pattern).unwrap_err(), PatternError::Unsupported, "{pattern}");
    }
}

#[test]
fn a_hostile_pattern_ends() {
    let hard = |pattern: &str, text: &str| Pattern::parse(pattern).and_then(|p| p.is_found_in(text));
    assert_eq!(hard("^(a|a)*$", &format!("{}b", "a".repeat(40))), Err(PatternError::TooHard));
    assert_eq!(hard("^(a*)*b$", &"a".repeat(2_000)), Err(PatternError::TooHard));
    assert_eq!(hard(&"(".repeat(5_000), ""), Err(PatternError::TooHard));
    assert_eq!(hard("(x+x+)+y", &"x".repeat(5_000)), Err(PatternError::TooHard));
}
