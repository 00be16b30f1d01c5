//! The JSON Schema (2020-12) of a configuration. `#[derive(Schema)]`, which [`config!`](crate::config) adds, makes tables
//! of constants; the functions here write them down.
//!
//! Types are written where they are used and not as `$defs`, so a type can't hold itself.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A type that has a JSON Schema.
pub trait Schema {
    /// Writes the members of the type's schema, without the braces around them.
    fn schema(place: &Place<'_>, out: &mut String)
    where
        Self: Sized;

    /// Writes the value as JSON: what a schema shows as a default.
    fn value(&self, out: &mut String);
}

/// Where a schema is written.
#[derive(Default)]
pub struct Place<'a> {
    /// The doc comment of the field in JSON, else empty.
    pub doc: &'a str,
    /// `null` will do as well.
    pub is_nullable: bool,
}

/// A field of a struct. Texts are in JSON already.
#[doc(hidden)]
pub struct Field {
    pub name: &'static str,
    pub doc: &'static str,
    pub schema: fn(&Place<'_>, &mut String),
    pub is_required: bool,
    pub default: Option<fn(&mut String)>,
    /// More members, each with a comma before it.
    pub more: &'static str,
}

/// The whole document of a type.
pub fn document<T: Schema>() -> String {
    let mut out = String::from(r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","#);
    T::schema(&Place::default(), &mut out);
    out.push('}');
    out
}

/// A struct with named fields.
#[doc(hidden)]
pub fn object(place: &Place<'_>, title: &str, doc: &str, fields: &[Field], out: &mut String) {
    out.push_str(r#""title":"#);
    out.push_str(title);
    out.push(',');
    described(place, doc, r#""object""#, out);
    out.push_str(r#","additionalProperties":false,"properties":{"#);
    for (index, field) in fields.iter().enumerate() {
        comma(index, out);
        out.push_str(field.name);
        out.push_str(":{");
        (field.schema)(&Place { doc: field.doc, is_nullable: false }, out);
        if let Some(default) = field.default {
            out.push_str(r#","default":"#);
            default(out);
        }
        out.push_str(field.more);
        out.push('}');
    }
    out.push('}');
    let required = fields.iter().filter(|field| field.is_required);
    for (index, field) in required.clone().enumerate() {
        out.push_str(if index == 0 { r#","required":["# } else { "," });
        out.push_str(field.name);
    }
    if required.count() > 0 {
        out.push(']');
    }
}

/// An enum without fields: name and doc comment of each variant.
#[doc(hidden)]
pub fn one_of(place: &Place<'_>, doc: &str, variants: &[(&str, &str)], out: &mut String) {
    described(place, doc, r#""string""#, out);
    if variants.iter().all(|(_, doc)| doc.is_empty()) {
        out.push_str(r#","enum":["#);
        for (index, (name, _)) in variants.iter().enumerate() {
            comma(index, out);
            out.push_str(name);
        }
        out.push_str(if place.is_nullable { ",null]" } else { "]" });
        return;
    }
    out.push_str(r#","oneOf":["#);
    for (index, (name, doc)) in variants.iter().enumerate() {
        comma(index, out);
        out.push_str(r#"{"const":"#);
        out.push_str(name);
        description(doc, out);
        out.push('}');
    }
    out.push_str(if place.is_nullable { r#",{"const":null}]"# } else { "]" });
}

/// An untagged enum.
#[doc(hidden)]
pub fn any_of(place: &Place<'_>, doc: &str, variants: &[fn(&Place<'_>, &mut String)], out: &mut String) {
    out.push_str(r#""anyOf":["#);
    for (index, variant) in variants.iter().enumerate() {
        comma(index, out);
        out.push('{');
        variant(&Place::default(), out);
        out.push('}');
    }
    out.push_str(if place.is_nullable { r#",{"type":"null"}]"# } else { "]" });
    description(if place.doc.is_empty() { doc } else { place.doc }, out);
}

/// The value of a struct.
#[doc(hidden)]
pub fn members(members: &[(&str, &dyn Schema)], out: &mut String) {
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        comma(index, out);
        out.push_str(name);
        out.push(':');
        value.value(out);
    }
    out.push('}');
}

/// A string in JSON.
fn text(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        match rest.as_bytes().get(at) {
            Some(b'"') => out.push_str("\\\""),
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'\n') => out.push_str("\\n"),
            byte => {
                out.push_str("\\u00");
                for digit in byte.map_or([0, 0], |byte| [byte >> 4, byte & 15]) {
                    out.push(HEX.get(usize::from(digit)).map_or('0', |digit| char::from(*digit)));
                }
            }
        }
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push('"');
}

/// `"type"` and `"description"`.
fn described(place: &Place<'_>, doc: &str, ty: &str, out: &mut String) {
    out.push_str(r#""type":"#);
    if place.is_nullable {
        out.push('[');
    }
    out.push_str(ty);
    if place.is_nullable {
        out.push_str(r#","null"]"#);
    }
    description(if place.doc.is_empty() { doc } else { place.doc }, out);
}

fn description(doc: &str, out: &mut String) {
    if !doc.is_empty() {
        out.push_str(r#","description":"#);
        out.push_str(doc);
    }
}

fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

fn list<'a, T: Schema + 'a>(values: impl Iterator<Item = &'a T>, out: &mut String) {
    out.push('[');
    for (index, value) in values.enumerate() {
        comma(index, out);
        value.value(out);
    }
    out.push(']');
}

macro_rules! integers {
    ($($type:ty => $more:literal;)*) => {$(
        impl Schema for $type {
            fn schema(place: &Place<'_>, out: &mut String) {
                described(place, "", r#""integer""#, out);
                out.push_str($more);
            }

            fn value(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }
        }
    )*};
}

integers! {
    u8 => r#","minimum":0,"maximum":255"#;
    u16 => r#","minimum":0,"maximum":65535"#;
    u32 => r#","minimum":0,"maximum":4294967295"#;
    u64 => r#","minimum":0"#;
    usize => r#","minimum":0"#;
    i32 => r#","minimum":-2147483648,"maximum":2147483647"#;
    i64 => "";
}

impl Schema for bool {
    fn schema(place: &Place<'_>, out: &mut String) {
        described(place, "", r#""boolean""#, out);
    }

    fn value(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Schema for f64 {
    fn schema(place: &Place<'_>, out: &mut String) {
        described(place, "", r#""number""#, out);
    }

    fn value(&self, out: &mut String) {
        // What is no number in JSON is `null` there.
        out.push_str(&serde_json::to_string(self).unwrap_or_default());
    }
}

impl Schema for String {
    fn schema(place: &Place<'_>, out: &mut String) {
        described(place, "", r#""string""#, out);
    }

    fn value(&self, out: &mut String) {
        text(self, out);
    }
}

impl<T: Schema> Schema for Option<T> {
    fn schema(place: &Place<'_>, out: &mut String) {
        T::schema(&Place { is_nullable: true, ..*place }, out);
    }

    fn value(&self, out: &mut String) {
        match self {
            Some(value) => value.value(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn schema(place: &Place<'_>, out: &mut String) {
        described(place, "", r#""array""#, out);
        out.push_str(r#","items":{"#);
        T::schema(&Place::default(), out);
        out.push('}');
    }

    fn value(&self, out: &mut String) {
        list(self.iter(), out);
    }
}

impl<T: Schema> Schema for BTreeMap<String, T> {
    fn schema(place: &Place<'_>, out: &mut String) {
        described(place, "", r#""object""#, out);
        out.push_str(r#","additionalProperties":{"#);
        T::schema(&Place::default(), out);
        out.push('}');
    }

    fn value(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.iter().enumerate() {
            comma(index, out);
            text(name, out);
            out.push(':');
            value.value(out);
        }
        out.push('}');
    }
}

impl Schema for Map<String, Value> {
    fn schema(place: &Place<'_>, out: &mut String) {
        described(place, "", r#""object""#, out);
    }

    fn value(&self, out: &mut String) {
        out.push_str(&serde_json::to_string(self).unwrap_or_default());
    }
}

/// Anything.
impl Schema for Value {
    fn schema(place: &Place<'_>, out: &mut String) {
        let any = r#""type":["null","boolean","object","array","number","string"]"#;
        out.push_str(any);
        description(place.doc, out);
    }

    fn value(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    crate::config! {
        /// Where to, and
        /// how.
        ///
        /// Twice.
        pub(super) struct Config {
            /// An http or https URL.
            pub(super) url: String,
            /// Unless given, 2.5.
            #[serde(default = "two_and_a_half")]
            #[schema("x-finish-only" = true)]
            pub(super) timeout_s: f64,
            #[serde(default)]
            pub(super) mode: Mode,
            pub(super) status: Option<Status>,
            #[serde(default)]
            pub(super) limits: Vec<Limit>,
            #[serde(default)]
            pub(super) labels: BTreeMap<String, String>,
            #[serde(default)]
            pub(super) r#type: Option<u16>,
            #[serde(default)]
            pub(super) body: Option<Value>,
        }

        /// How.
        #[derive(Default)]
        pub(super) enum Mode {
            /// At once.
            #[default]
            RightAway,
            Later,
        }

        /// One or several.
        #[serde(untagged)]
        pub(super) enum Status {
            One(u16),
            Any(Vec<u16>),
        }

        #[derive(Default)]
        pub(super) struct Limit {
            pub(super) upper: i32,
        }
    }

    fn two_and_a_half() -> f64 {
        2.5
    }

    fn parsed() -> Value {
        serde_json::from_str(&document::<Config>()).unwrap()
    }

    #[test]
    fn doc_comments_types_defaults_and_required_fields_are_in_the_schema() {
        let schema = parsed();
        assert_eq!(schema["title"], "Config");
        assert_eq!(schema["description"], "Where to, and how.\n\nTwice.");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["url"]));
        let of = |name: &str| schema["properties"][name].clone();
        assert_eq!(of("url"), json!({"type": "string", "description": "An http or https URL."}));
        assert_eq!(
            of("timeout-s"),
            json!({"type": "number", "description": "Unless given, 2.5.", "default": 2.5, "x-finish-only": true})
        );
        assert_eq!(of("labels"), json!({"type": "object", "additionalProperties": {"type": "string"}, "default": {}}));
        assert_eq!(of("type"), json!({"type": ["integer", "null"], "minimum": 0, "maximum": 65535, "default": null}));
        assert_eq!(of("limits")["items"]["required"], json!(["upper"]));
    }

    #[test]
    fn enums_are_the_names_that_are_taken() {
        let schema = parsed();
        assert_eq!(
            schema["properties"]["mode"],
            json!({
                "type": "string", "description": "How.", "default": "right-away",
                "oneOf": [{"const": "right-away", "description": "At once."}, {"const": "later"}]
            })
        );
        let two = json!([
            {"type": "integer", "minimum": 0, "maximum": 65535},
            {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 65535}},
            {"type": "null"}
        ]);
        assert_eq!(schema["properties"]["status"], json!({"anyOf": two, "description": "One or several."}));
    }

    #[test]
    fn defaults_are_written_as_what_they_are() {
        let config: Config = crate::json::from_str(
            r#"{"url":"a\"\\\n\u0001","status":[1],"limits":[{"upper":-3}],"labels":{"a":"b"},"body":{"x":[1.5]}}"#,
        )
        .unwrap();
        let mut out = String::new();
        config.value(&mut out);
        assert_eq!(
            serde_json::from_str::<Value>(&out).unwrap(),
            json!({
                "url": "a\"\\\n\u{1}", "timeout-s": 2.5, "mode": "right-away", "status": [1], "limits": [{"upper": -3}],
                "labels": {"a": "b"}, "type": null, "body": {"x": [1.5]}
            })
        );
    }
}
