//! Who made a plugin, as far as a signature tells, and whom an operator trusts.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The public key of a publisher, Ed25519: `key:<64 hex>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublisherKey(pub [u8; 32]);

impl JsonSchema for PublisherKey {
    fn schema_name() -> Cow<'static, str> {
        "PublisherKey".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The public key of a publisher, `key:` and 64 hexadecimal digits.",
            "pattern": "^key:[0-9a-f]{64}$"
        })
    }
}

impl fmt::Display for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("key:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PublisherKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no key of a publisher; hint: `key:` and 64 hexadecimal digits in lower case, as `quarterdeck plugin key show` prints it"
            )
        };
        let hex = text.strip_prefix("key:").filter(|hex| hex.len() == 64).ok_or_else(wrong)?;
        let mut key = [0; 32];
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        for (place, pair) in key.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(wrong()) };
            *place = (digit(*high).ok_or_else(wrong)? << 4) | digit(*low).ok_or_else(wrong)?;
        }
        Ok(PublisherKey(key))
    }
}

impl Serialize for PublisherKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublisherKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whose signature a component carries. It was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Publisher {
    pub key: PublisherKey,
    /// Whether it is one of those that `[plugins] trusted` names.
    pub trusted: bool,
}

/// What may be a plugin on this host. It concerns files of the plugins folder: bundled plugins are part of the binary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Trust {
    /// Keys of publishers that are trusted: `key:<64 hex>`. What they signed is granted to the key, so that their next version has the
    /// grants, too.
    pub trusted: Vec<PublisherKey>,
    /// Whether files may be plugins that nobody has signed who is trusted.
    pub unsigned: Unsigned,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unsigned {
    #[default]
    Allow,
    Refuse,
}

impl Trust {
    pub fn publisher(&self, key: PublisherKey) -> Publisher {
        Publisher { trusted: self.trusted.contains(&key), key }
    }

    /// # Errors
    /// Why a component of that publisher may not be a plugin here.
    pub fn admit(&self, publisher: Option<&Publisher>) -> Result<(), String> {
        match (self.unsigned, publisher) {
            (Unsigned::Allow, _) => Ok(()),
            (Unsigned::Refuse, Some(publisher)) if publisher.trusted => Ok(()),
            (Unsigned::Refuse, Some(publisher)) => Err(format!(
                "it is signed by {}, who is not trusted here; hint: add the key to `trusted` under `[plugins]`",
                publisher.key
            )),
            (Unsigned::Refuse, None) => Err("it is not signed, and this host takes no unsigned plugins; hint: \
                 `quarterdeck plugin sign`, or `unsigned = \"allow\"` under `[plugins]`"
                .to_owned()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_it_is_read() {
        let text = format!("key:{}", "0aff".repeat(16));
        assert_eq!(text.parse::<PublisherKey>().unwrap().to_string(), text);
        for wrong in
            ["", "key:", "0aff", &text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('f', "g")]
        {
            assert!(wrong.parse::<PublisherKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn where_unsigned_ones_are_refused_only_those_of_trusted_publishers_are_admitted() {
        let (one, other) = (PublisherKey([1; 32]), PublisherKey([2; 32]));
        let open = Trust::default();
        let closed = Trust { trusted: vec![one.clone()], unsigned: Unsigned::Refuse };
        assert!(open.admit(None).is_ok() && open.admit(Some(&open.publisher(other.clone()))).is_ok());
        assert!(closed.admit(Some(&closed.publisher(one))).is_ok());
        assert!(closed.admit(Some(&closed.publisher(other))).unwrap_err().contains("not trusted"));
        assert!(closed.admit(None).unwrap_err().contains("not signed"));
    }
}
