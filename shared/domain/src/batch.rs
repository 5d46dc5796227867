//! What a batch accepts: `{messages: [...]}`, each judged alone. Out of scope: what a message is (`publish`).

use crate::fields::{FieldError, Fields};
use crate::limits::BATCH_MAX;
use crate::publish::{self, NewMessage, Rules};

/// A message of a batch, or what is wrong with it; pointers begin at the message.
pub type Item = Result<NewMessage, Vec<FieldError>>;

/// Reads a batch. Fails as a whole only when it is no list of 1 to [`BATCH_MAX`] things.
pub fn parse(json: &[u8], rules: &Rules<'_>) -> Result<Vec<Item>, Vec<FieldError>> {
    let mut fields = Fields::parse(json).map_err(|error| vec![error])?;
    let entries = fields.entries::<BATCH_MAX>("messages");
    fields.finish()?;
    Ok(entries.into_iter().map(|entry| publish::parse(entry.get().as_bytes(), rules)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::UrlPolicy;
    use crate::limits;

    fn read(json: &str) -> Result<Vec<Item>, Vec<String>> {
        let policy = UrlPolicy::default();
        let rules = Rules { policy: &policy, timeout_seconds_max: limits::TIMEOUT_SECONDS_MAX };
        parse(json.as_bytes(), &rules).map_err(|errors| errors.into_iter().map(|e| e.pointer).collect())
    }

    #[test]
    fn a_bad_message_does_not_stop_a_good_one() {
        let items =
            read(r#"{"messages": [{"url": "https://e.com"}, {"url": "https://10.0.0.1"}, 7, {"fanout": "f", "nope": 1}]}"#).unwrap();
        let pointers =
            |item: &Item| item.as_ref().map(|_| ()).map_err(|errors| errors.iter().map(|e| e.pointer.clone()).collect::<Vec<_>>());
        let expected = [Ok(()), Err(vec!["/url".to_owned()]), Err(vec![String::new()]), Err(vec!["/nope".to_owned()])];
        assert_eq!(items.iter().map(pointers).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_batch_fails_as_a_whole() {
        let cases = [
            ("[]", ""),
            ("7", ""),
            ("{}", "/messages"),
            (r#"{"messages": null}"#, "/messages"),
            (r#"{"messages": []}"#, "/messages"),
            (r#"{"messages": {}}"#, "/messages"),
            (r#"{"messages": [1], "more": 1}"#, "/more"),
        ];
        for (json, pointer) in cases {
            assert_eq!(read(json), Err(vec![pointer.to_owned()]), "{json}");
        }
    }

    #[test]
    fn a_thousand_are_a_batch() {
        let many = |n: usize| format!(r#"{{"messages": [{}]}}"#, vec!["0"; n].join(","));
        assert_eq!(read(&many(BATCH_MAX)).unwrap().len(), BATCH_MAX);
        assert_eq!(read(&many(BATCH_MAX + 1)), Err(vec!["/messages".to_owned()]));
    }
}
