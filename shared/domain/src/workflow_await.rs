//! What a run waits for: a tree of step keys. Pure; the database decides the same for itself under the run's lock, and the tests hold the
//! two against each other.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::limits::{AWAIT_LEAVES_MAX, AWAIT_LEVELS_MAX};
use crate::workflow;

/// A tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// True when the key has an entry.
    Key(String),
    /// True when all are; with nothing in it, too.
    All(Vec<Tree>),
    /// True when one is; with nothing in it, never.
    Any(Vec<Tree>),
}

impl Tree {
    /// Reads `"key"`, `{"all": [...]}` or `{"any": [...]}`.
    ///
    /// # Errors
    /// What is wrong, to follow the word `await`.
    pub fn parse(json: &str) -> Result<Self, String> {
        let mut leaves = 0;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let tree = Seed { level: 0, leaves: &mut leaves }.deserialize(&mut deserializer);
        let tree = tree.and_then(|tree| deserializer.end().map(|()| tree));
        tree.map_err(|error| format!("must be a key, {{\"all\": [...]}} or {{\"any\": [...]}} of such: {error}"))
    }

    /// Whether it is true, given the keys that have entries.
    pub fn resolves(&self, has_entry: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Key(key) => has_entry(key),
            Self::All(trees) => trees.iter().all(|tree| tree.resolves(has_entry)),
            Self::Any(trees) => trees.iter().any(|tree| tree.resolves(has_entry)),
        }
    }

    /// All its keys, repeated ones as often as they stand in it.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Key(key) => vec![key],
            Self::All(trees) | Self::Any(trees) => trees.iter().flat_map(Self::keys).collect(),
        }
    }

    /// As compact JSON.
    pub fn to_json(&self) -> String {
        // invariant: strings and lists always are JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, trees) = match self {
            Self::Key(key) => return serializer.serialize_str(key),
            Self::All(trees) => ("all", trees),
            Self::Any(trees) => ("any", trees),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(name, trees)?;
        map.end()
    }
}

struct Seed<'c> {
    level: usize,
    leaves: &'c mut usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key, or an object with the member all or any")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Tree, E> {
        workflow::check_key(key).map_err(|fault| E::custom(format_args!("a key {fault}")))?;
        *self.leaves += 1;
        if *self.leaves > AWAIT_LEAVES_MAX {
            return Err(E::custom(format_args!("it has more than {AWAIT_LEAVES_MAX} leaves")));
        }
        Ok(Tree::Key(key.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        if self.level == AWAIT_LEVELS_MAX {
            return Err(A::Error::custom(format_args!("it has more than {AWAIT_LEVELS_MAX} levels")));
        }
        let mut tree = None;
        while let Some(name) = map.next_key::<String>()? {
            let wrap = match name.as_str() {
                "all" => Tree::All,
                "any" => Tree::Any,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let list = map.next_value_seed(List { level: self.level + 1, leaves: &mut *self.leaves })?;
            if tree.replace(wrap(list)).is_some() {
                return Err(A::Error::custom("all and any exclude each other"));
            }
        }
        tree.ok_or_else(|| A::Error::custom("an object needs the member all or any"))
    }
}

struct List<'c> {
    level: usize,
    leaves: &'c mut usize,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Tree>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Tree>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Tree>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of keys and trees")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Tree>, A::Error> {
        let mut list = Vec::new();
        // Empty ones count as leaves, so that the tree as a whole is bounded.
        while let Some(tree) = seq.next_element_seed(Seed { level: self.level, leaves: &mut *self.leaves })? {
            list.push(tree);
        }
        if list.is_empty() {
            *self.leaves += 1;
        }
        if *self.leaves > AWAIT_LEAVES_MAX {
            return Err(A::Error::custom(format_args!("it has more than {AWAIT_LEAVES_MAX} leaves")));
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}\"a#0\"{}", r#"{"all":["#.repeat(levels), "]}".repeat(levels))
    }

    #[test]
    fn trees_are_read_and_written_alike() {
        for json in [r#""a#0""#, r#"{"all":[]}"#, r#"{"any":[{"all":["a#0","b#0"]},"review#0"]}"#, &nested(AWAIT_LEVELS_MAX)] {
            assert_eq!(Tree::parse(json).unwrap().to_json(), json);
        }
        assert_eq!(Tree::parse(r#" {"new": {"x": [1]}, "any": [ "a#0" ]} "#).unwrap().to_json(), r#"{"any":["a#0"]}"#);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let bad = ["", "7", "[]", "{}", r#"{"all": "a#0"}"#, r#"{"all": [], "any": []}"#, r#""a""#, r#"{"all": [7]}"#, r#""a#0" 1"#];
        for json in bad {
            assert!(Tree::parse(json).is_err(), "{json}");
        }
        assert!(Tree::parse(&nested(AWAIT_LEVELS_MAX + 1)).is_err());
    }

    #[test]
    fn leaves_are_counted() {
        let list = |n: usize| format!(r#"{{"all":[{}]}}"#, vec![r#""a#0""#; n].join(","));
        assert_eq!(Tree::parse(&list(AWAIT_LEAVES_MAX)).unwrap().keys().len(), AWAIT_LEAVES_MAX);
        assert!(Tree::parse(&list(AWAIT_LEAVES_MAX + 1)).is_err());
        let empty = |n: usize| format!(r#"{{"any":[{}]}}"#, vec![r#"{"all":[]}"#; n].join(","));
        assert!(Tree::parse(&empty(AWAIT_LEAVES_MAX)).is_ok() && Tree::parse(&empty(AWAIT_LEAVES_MAX + 1)).is_err());
    }

    #[test]
    fn any_of_nothing_is_false_and_all_of_nothing_true() {
        let resolves = |json: &str, done: &[&str]| Tree::parse(json).unwrap().resolves(&|key| done.contains(&key));
        assert!(!resolves(r#"{"any":[]}"#, &["a#0"]) && resolves(r#"{"all":[]}"#, &[]));
        let race = r#"{"any":[{"all":["a#0","b#0"]},"c#0"]}"#;
        assert!(!resolves(race, &["a#0"]) && resolves(race, &["a#0", "b#0"]) && resolves(race, &["c#0"]));
    }
}
