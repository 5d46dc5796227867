//! Paths into starts and events, and matches: which values stand at such paths. Out of scope: looking them up, which the database does.

use crate::limits::{MATCH_BYTES_MAX, MATCH_PATHS_MAX, PATH_CHARS_MAX};
use crate::workflow::ProtocolError;
use crate::workflow_json::{Object, Path, Writer, check_shallow};

/// Reads a match, `{"data.country": "DE"}`, and writes it again with its values as they were; nothing is left of one without paths.
///
/// # Errors
/// What is wrong, with a pointer below the match.
pub fn normalise(json: &str) -> Result<Option<String>, ProtocolError> {
    read(Object::parse(json.as_bytes(), Path::Root)?)
}

pub(crate) fn read(object: Object<'_, '_>) -> Result<Option<String>, ProtocolError> {
    let members = object.members();
    if members.len() > MATCH_PATHS_MAX {
        return Err(object.path.broken(format!("must have at most {MATCH_PATHS_MAX} paths")));
    }
    let mut written = Writer::default();
    written.raw("{");
    for (path, value) in members {
        if !is_path(path, "data") {
            return Err(object.broken(path, "must be a path such as data or data.customer.id, of at most 200 characters"));
        }
        check_shallow(value.get(), MATCH_BYTES_MAX).map_err(|fault| object.broken(path, fault))?;
        written.name(path).raw(value.get());
    }
    written.raw("}");
    let text = written.into_string();
    if text.len() > MATCH_BYTES_MAX {
        return Err(object.path.broken(format!("must have at most {MATCH_BYTES_MAX} bytes")));
    }
    Ok((!members.is_empty()).then_some(text))
}

/// Whether it is `root` or `root.a.b`, of at most [`PATH_CHARS_MAX`] characters.
pub(crate) fn is_path(text: &str, root: &str) -> bool {
    let mut parts = text.split('.');
    let plain = text.chars().count() <= PATH_CHARS_MAX && !text.chars().any(char::is_control);
    plain && parts.next() == Some(root) && parts.all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were() {
        let read = normalise(r#"{ "data.a" : 1.0, "data": {"b":  [1e2]}, "data.ü": null }"#);
        assert_eq!(read, Ok(Some(r#"{"data.a":1.0,"data":{"b":  [1e2]},"data.ü":null}"#.to_owned())));
        assert_eq!(normalise("{}"), Ok(None));
    }

    #[test]
    fn what_is_no_match_is_refused() {
        let many = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"data.m{i}\":0")).collect::<Vec<_>>().join(","));
        assert!(normalise(&many(MATCH_PATHS_MAX)).is_ok());
        for bad in ["[]", r#"{"a": 1}"#, r#"{"data.": 1}"#, r#"{"data..a": 1}"#, r#"{"dataa": 1}"#, &many(MATCH_PATHS_MAX + 1)] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
        let large = |n: usize| format!(r#"{{"data":"{}"}}"#, "x".repeat(n - 11));
        assert!(normalise(&large(MATCH_BYTES_MAX)).is_ok() && normalise(&large(MATCH_BYTES_MAX + 1)).is_err());
    }
}
