//! Conditional writes (RFC 9110, section 13.1.1): which revisions an If-Match header lets a write change. An ETag is the revision in
//! quotes. Out of scope: comparing it with the row, which the writing statement does under its lock.

use crate::limits;

/// What a write asks of the revision that it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing: there was no header.
    Any,
    /// That the thing exists: `*`.
    Exists,
    /// One of these revisions; none when the tags are weak or not ours, which nothing matches.
    Revisions(Vec<i64>),
}

/// The header is not `*` or a list of entity-tags.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("If-Match must be * or a list of at most {} entity-tags, such as \"3\"", limits::ETAGS_MAX)]
pub struct IfMatchError;

impl IfMatch {
    /// Reads the header's text. Weak tags are read and match nothing.
    pub fn parse(text: &str) -> Result<Self, IfMatchError> {
        if text.trim() == "*" {
            return Ok(Self::Exists);
        }
        let (mut revisions, mut rest, mut tags) = (Vec::new(), text, 0);
        loop {
            // A list may have empty entries (RFC 9110, section 5.6.1.2).
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let weak = rest.strip_prefix("W/");
            let (tag, after) = weak.unwrap_or(rest).strip_prefix('"').and_then(|open| open.split_once('"')).ok_or(IfMatchError)?;
            let after = after.trim_start_matches([' ', '\t']);
            tags += 1;
            if tags > limits::ETAGS_MAX || !(after.is_empty() || after.starts_with(',')) || tag.contains(|c: char| c <= ' ' || c == '\x7f')
            {
                return Err(IfMatchError);
            }
            // `"03"` is not our spelling of 3.
            let revision = tag.parse::<i64>().ok().filter(|revision| revision.to_string() == tag);
            revisions.extend(revision.filter(|_| weak.is_none()));
            rest = after;
        }
        if tags == 0 { Err(IfMatchError) } else { Ok(Self::Revisions(revisions)) }
    }

    /// Whether a write must not make what is missing.
    pub fn must_exist(&self) -> bool {
        *self != Self::Any
    }

    /// The revisions that may be changed, for the writing statement; `None` for all.
    pub fn revisions(&self) -> Option<&[i64]> {
        match self {
            Self::Any | Self::Exists => None,
            Self::Revisions(revisions) => Some(revisions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stars_and_weak_tags_are_read() {
        let cases = [
            ("*", IfMatch::Exists),
            (" * ", IfMatch::Exists),
            ("\"3\"", IfMatch::Revisions(vec![3])),
            ("\"3\", \"4\" ,,\"5\"", IfMatch::Revisions(vec![3, 4, 5])),
            ("W/\"3\"", IfMatch::Revisions(vec![])),
            ("W/\"3\", \"4\"", IfMatch::Revisions(vec![4])),
            ("\"a,b\"", IfMatch::Revisions(vec![])),
            ("\"03\", \"+3\", \"\", \"é\"", IfMatch::Revisions(vec![])),
        ];
        for (text, expected) in cases {
            assert_eq!(IfMatch::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for text in ["", " ", ",", "3", "\"3", "3\"", "\"3\" \"4\"", "\"3\";", "w/\"3\"", "*, \"3\"", "\"a b\"", "\"3\"x"] {
            assert_eq!(IfMatch::parse(text), Err(IfMatchError), "{text}");
        }
        let list = |n: usize| vec!["\"1\""; n].join(", ");
        assert!(IfMatch::parse(&list(limits::ETAGS_MAX)).is_ok());
        assert_eq!(IfMatch::parse(&list(limits::ETAGS_MAX + 1)), Err(IfMatchError));
    }
}
