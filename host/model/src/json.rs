//! A value as it is kept.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// A value as JSON text; cheap to clone. Whoever has a domain type writes and reads it at once: a tree of values on the way takes an
/// allocation for every name and every text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Json(Arc<[u8]>);

impl Json {
    /// # Errors
    /// What JSON can't hold: keys that are no text.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Json(serde_json::to_vec(value)?.into()))
    }

    /// Text that was kept. What is no JSON shows when it is decoded.
    pub fn kept(text: impl Into<Arc<[u8]>>) -> Self {
        Json(text.into())
    }

    /// # Errors
    /// It has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Json(value.to_string().into_bytes().into())
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_the_same_text_whether_it_came_as_a_tree_or_not() {
        let tree = json!({"a": [1.5, -3, null, "\u{0}\n\u{e4}"], "b": {}});
        assert_eq!(Json::of(&tree).unwrap(), Json::from(tree.clone()));
        assert_eq!(Json::from(tree.clone()).decode::<Value>().unwrap(), tree);
        assert!(Json::kept(&b"{"[..]).decode::<Value>().is_err());
    }
}
