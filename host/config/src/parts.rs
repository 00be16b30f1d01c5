//! A configuration's values as text, cut into parts, so that versions can share those that are the same in them.
//!
//! Where it is cut follows from the names of the objects, not from where they stand: one that is added, changed or taken away
//! changes the part that it is in, however many there are.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// About so many objects are in a part.
const OBJECTS: u32 = 32;
/// A part is no longer, whatever it holds; as a document it may take twice as many bytes.
const BYTES: usize = 128 << 10;

/// The text of `value`, compact, in parts.
pub fn cut(value: &Value) -> Vec<String> {
    let mut parts = Parts::default();
    let Value::Object(sections) = value else {
        parts.add(&value.to_string());
        return parts.done();
    };
    parts.add("{");
    for (index, (section, value)) in sections.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        parts.add(&format!("{comma}{}:", Value::from(section.as_str())));
        let Value::Object(objects) = value else {
            parts.add(&value.to_string());
            continue;
        };
        parts.add("{");
        for (index, (name, object)) in objects.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            parts.add(&format!("{comma}{}:{object}", Value::from(name.as_str())));
            if is_last(name) {
                parts.end();
            }
        }
        parts.add("}");
    }
    parts.add("}");
    parts.done()
}

/// The value that was cut into these parts.
///
/// # Errors
/// They are not the parts of one, in words.
pub fn join<'a>(parts: impl IntoIterator<Item = Cow<'a, str>>) -> Result<Value, String> {
    let text: String = parts.into_iter().collect();
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// A name for a part that follows from its text alone: the same text is kept once.
pub fn id(part: &str) -> String {
    Sha256::digest(part.as_bytes()).iter().take(16).fold(String::new(), |id, byte| format!("{id}{byte:02x}"))
}

/// Whether a part ends behind the object of that name (FNV-1a: it has to be the same for ever, and no more than that).
fn is_last(name: &str) -> bool {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16).is_multiple_of(OBJECTS)
}

#[derive(Default)]
struct Parts {
    ended: Vec<String>,
    open: String,
}

impl Parts {
    fn add(&mut self, text: &str) {
        let mut rest = text;
        while self.open.len() + rest.len() > BYTES {
            // At the last character that fits whole.
            let room = BYTES - self.open.len();
            let at = (0..=room).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or_default();
            let (fits, more) = rest.split_at(at);
            self.open.push_str(fits);
            rest = more;
            self.end();
        }
        self.open.push_str(rest);
    }

    fn end(&mut self) {
        if !self.open.is_empty() {
            self.ended.push(std::mem::take(&mut self.open));
        }
    }

    fn done(mut self) -> Vec<String> {
        self.end();
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn joined(parts: &[String]) -> Value {
        join(parts.iter().map(|part| Cow::Borrowed(part.as_str()))).unwrap()
    }

    fn with_instances(count: usize) -> Value {
        let instances =
            (0..count).map(|n| (format!("http-probe/site-{n}"), json!({"plugin": "http-probe", "every": "15s"})));
        json!({"listen": "127.0.0.1:7700", "instances": instances.collect::<serde_json::Map<_, _>>(), "rules": {}, "slos": {"a\"b": {"c": "ä"}}})
    }

    #[test]
    fn what_was_cut_is_joined_again() {
        for value in
            [json!({}), json!([1]), json!({"a": {}}), with_instances(0), with_instances(1), with_instances(3_000)]
        {
            assert_eq!(joined(&cut(&value)), value);
        }
        assert!(join([Cow::Borrowed("{\"a\":")]).is_err());
    }

    #[test]
    fn one_object_changes_one_part_of_many() {
        let mut value = with_instances(10_000);
        let before = cut(&value);
        assert!(before.len() > 100, "{} parts", before.len());
        let old: BTreeSet<&String> = before.iter().collect();
        value["instances"]["http-probe/site-5000"]["every"] = json!("20s");
        value["instances"]["http-probe/site-5000b"] = json!({"plugin": "http-probe"});
        value["instances"].as_object_mut().unwrap().remove("http-probe/site-7000");
        let fresh = cut(&value).iter().filter(|part| !old.contains(part)).count();
        assert!(fresh <= 4, "{fresh} parts are new");
    }

    #[test]
    fn a_large_object_is_cut_between_characters() {
        let value = json!({"runbooks": {"long": {"title": "ä€".repeat(100_000)}}});
        let parts = cut(&value);
        assert!(parts.len() > 3 && parts.iter().all(|part| part.len() <= BYTES));
        assert_eq!(joined(&parts), value);
    }
}
