//! Who may have an instance's grants.

use super::Digest;
use super::publisher::PublisherKey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Who may have an instance's grants: a name that a file gives itself inherits none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantedTo {
    /// The component of that content, wherever it comes from.
    Digest(Digest),
    /// Whatever that file of the plugins folder holds.
    File(String),
    /// Whatever that publisher has signed.
    Key(PublisherKey),
}

impl JsonSchema for GrantedTo {
    fn schema_name() -> Cow<'static, str> {
        "GrantedTo".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "`sha256:<64 hex>`, `key:<64 hex>` of a publisher, or `file:<name>.wasm`.",
            "pattern": "^(sha256:[0-9a-f]{64}|key:[0-9a-f]{64}|file:[^/]*\\.wasm)$"
        })
    }
}

impl fmt::Display for GrantedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantedTo::Digest(digest) => digest.fmt(f),
            GrantedTo::File(file) => write!(f, "file:{file}"),
            GrantedTo::Key(key) => key.fmt(f),
        }
    }
}

impl FromStr for GrantedTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |hex: &&str| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.strip_prefix("sha256:").filter(hex).is_some() {
            return Ok(GrantedTo::Digest(Digest(text.to_owned())));
        }
        if text.starts_with("key:") {
            return text.parse().map(GrantedTo::Key);
        }
        match text.strip_prefix("file:") {
            Some(file) if file.ends_with(".wasm") && !file.contains('/') => Ok(GrantedTo::File(file.to_owned())),
            _ => Err(format!(
                "`{text}` is neither `sha256:` nor `key:` and 64 hexadecimal digits in lower case, nor `file:<name>.wasm`"
            )),
        }
    }
}

impl Serialize for GrantedTo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GrantedTo {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
