//! Addresses: path segments and queries, written so that what they hold cannot change their meaning.
//!
//! Out of scope: which addresses there are.

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

/// What stays as it is in a segment: RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What a cookie's value may not hold (RFC 6265, section 4.1.1).
const COOKIE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// Text as one segment of a path, whatever is in it.
pub fn segment(text: &str) -> String {
    match text {
        // These two would be taken for steps up or nowhere.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// Text as the value of a cookie.
pub fn cookie_value(text: &str) -> String {
    utf8_percent_encode(text, COOKIE).to_string()
}

/// A cookie's value as text.
pub fn cookie_text(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// Query parameters in order. Empty ones are left out: a form that was not filled in asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Those of a request.
    pub fn of(uri: &Uri) -> Self {
        Self::parse(uri.query().unwrap_or_default().as_bytes())
    }

    /// Those of a form or a query.
    pub fn parse(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes).filter(|(_, value)| !value.is_empty());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of this name, or nothing.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every value of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Only those of these names.
    pub fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect())
    }

    /// The same with this one in the place of those of its name; without it when it is empty.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs: Vec<_> = self.0.iter().filter(|(n, _)| n != name).cloned().collect();
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Self(pairs)
    }

    /// The same without those of this name.
    pub fn without(&self, name: &str) -> Self {
        self.with(name, "")
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All of them, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A path with this query.
    pub fn on(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let text: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        format!("{path}?{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one() {
        for (text, expected) in [("msg_1", "msg_1"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("..", "%2E%2E"), ("ä%", "%C3%A4%25")] {
            assert_eq!(segment(text), expected);
        }
    }

    #[test]
    fn a_query_is_changed_one_name_at_a_time() {
        let query = Query::parse(b"status=failed&url=&label=a+b&cursor=x");
        assert_eq!(query.without("cursor").with("status", "queued").on("/m"), "/m?label=a+b&status=queued");
        assert_eq!(query.only(&["label"]).on("/m"), "/m?label=a+b");
        assert_eq!(Query::default().on("/m"), "/m");
    }
}
