//! Names and values, sorted by name, in one piece of memory: there are a few of them, of each series and of each alert, and a tree takes half
//! a kilobyte for a few.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Each name once. In JSON, an object.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.find(name).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// Gives the value that was there before.
    pub fn insert(&mut self, name: String, value: String) -> Option<String> {
        match self.find(&name) {
            Ok(at) => self.0.get_mut(at).map(|(_, known)| std::mem::replace(known, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.find(name).ok()?;
        Some(self.0.remove(at).1)
    }

    pub fn retain(&mut self, mut stays: impl FnMut(&String, &mut String) -> bool) {
        self.0.retain_mut(|(name, value)| stays(name, value));
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&String, &String)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Pairs {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Of several values of a name the last one counts.
impl FromIterator<(String, String)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut all: Vec<_> = pairs.into_iter().collect();
        // Sorting keeps those of a name in their order; of two neighbours the later one takes the place of the other.
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        all.shrink_to_fit();
        Pairs(all)
    }
}

impl Extend<(String, String)> for Pairs {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, pairs: I) {
        *self = std::mem::take(self).into_iter().chain(pairs).collect();
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut all = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    all.push(pair);
                }
                Ok(all.into_iter().collect())
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl JsonSchema for Pairs {
    fn inline_schema() -> bool {
        BTreeMap::<String, String>::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        BTreeMap::<String, String>::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        BTreeMap::<String, String>::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, String>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Pairs {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn they_are_in_order_whatever_order_they_came_in_and_of_a_name_the_last_value_counts() {
        let all = pairs(&[("b", "1"), ("a", "2"), ("c", "3"), ("a", "4")]);
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"{"a":"4","b":"1","c":"3"}"#);
        let read: Pairs = serde_json::from_str(r#"{"c":"3","a":"2","b":"1","a":"4"}"#).unwrap();
        assert_eq!(read, all);
        assert_eq!((all.get("b"), all.get("d")), (Some("1"), None));
        assert_eq!(format!("{all:?}"), r#"{"a": "4", "b": "1", "c": "3"}"#);
    }

    #[test]
    fn a_hundred_thousand_names_in_the_wrong_order_take_no_longer_than_sorting_them() {
        let names = (0..100_000).rev().map(|number| (format!("name-{number:06}"), String::new()));
        let begin = std::time::Instant::now();
        let all: Pairs = names.collect();
        assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{:?}", begin.elapsed());
        assert_eq!((all.len(), all.get("name-000000")), (100_000, Some("")));
    }

    #[test]
    fn what_goes_is_gone_and_what_comes_finds_its_place() {
        let mut all = pairs(&[("a", "1"), ("c", "3")]);
        assert_eq!(all.insert("b".into(), "2".into()), None);
        assert_eq!(all.insert("b".into(), "4".into()).as_deref(), Some("2"));
        assert_eq!((all.remove("a").as_deref(), all.remove("a")), (Some("1"), None));
        all.retain(|_, value| value != "3");
        assert_eq!(all, pairs(&[("b", "4")]));
        assert!(pairs(&[("a", "1"), ("b", "1")]) < pairs(&[("a", "2")]), "as a map is ordered");
    }
}
