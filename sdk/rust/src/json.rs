//! Reads what the host hands over as JSON (RFC 8259). It becomes part of every component, so it is small: the general reader
//! of `serde_json`, with its messages about any number, adds some seventy kilobytes to one.

use serde::de::{self, DeserializeOwned, Expected, IntoDeserializer as _, Unexpected, Visitor};
use std::fmt;

/// Lists and objects within each other, at most.
const MAX_DEPTH: u32 = 128;

/// Reads a whole text.
///
/// # Errors
///
/// What was expected instead, and at which byte.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader).map_err(|error| error.at(reader.at))?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Error::new("expected nothing more").at(reader.at)),
    }
}

/// Why a text could not be read.
#[derive(Debug)]
pub struct Error {
    message: String,
    /// Byte of the text.
    at: Option<usize>,
}

impl Error {
    fn new(message: &str) -> Self {
        Error { message: message.to_owned(), at: None }
    }

    /// What is wrong with a name, and the ones that would do.
    fn named(what: &str, name: &str, expected: &[&str]) -> Self {
        let mut message = format!("{what} `{name}`");
        let mut between = ", expected `";
        for expected in expected {
            message.push_str(between);
            message.push_str(expected);
            message.push('`');
            between = ", `";
        }
        Error { message, at: None }
    }

    fn at(self, at: usize) -> Self {
        Error { at: self.at.or(Some(at)), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.at {
            Some(at) => write!(f, " at byte {at}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// serde's own messages write any number down, which alone is twenty kilobytes of code.
impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error { message: message.to_string(), at: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
            Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "a string",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "a list",
            Unexpected::Map => "an object",
            _ => "something else",
        };
        Error { message: format!("expected {expected}, found {found}"), at: None }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Str(text) => Error { message: format!("expected {expected}, found `{text}`"), at: None },
            found => Self::invalid_type(found, expected),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::named("unknown field", field, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::named("unknown value", variant, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::named("missing field", field, &[])
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::named("duplicate field", field, &[])
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u32,
}

enum Number<'de> {
    Unsigned(u64),
    Signed(i64),
    /// With a fraction or an exponent, or too large for an integer.
    Other(&'de str),
}

impl<'de> Reader<'de> {
    /// The next byte that is no white space, which stays the next one.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, name: &str) -> Result<(), Error> {
        if self.takes(byte) { Ok(()) } else { Err(self.wrong(name)) }
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        self.peek();
        match self.text.get(self.at..) {
            Some(rest) if rest.starts_with(word) => {
                self.at += word.len();
                Ok(())
            }
            _ => Err(self.wrong(word)),
        }
    }

    /// Where something else was expected.
    fn wrong(&mut self, expected: &str) -> Error {
        // One ASCII character; no other one begins anything.
        let found = match self.peek() {
            None => "the end",
            Some(_) => self.text.get(self.at..=self.at).unwrap_or("something else"),
        };
        Error { message: format!("expected {expected}, found {found}"), at: Some(self.at) }
    }

    /// Into a list or an object.
    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(Error::new("lists and objects are too deep within each other"))
        } else {
            Ok(())
        }
    }

    /// Any number, an integer as one where it is.
    fn number(&mut self) -> Result<Number<'de>, Error> {
        let start = self.at;
        let mut is_well_formed = self.whole();
        let mut is_integer = true;
        if self.is_next(b'.') {
            self.at += 1;
            is_integer = false;
            is_well_formed &= self.digits() > 0;
        }
        if self.is_next(b'e') || self.is_next(b'E') {
            self.at += 1;
            self.at += usize::from(self.is_next(b'+') || self.is_next(b'-'));
            is_integer = false;
            is_well_formed &= self.digits() > 0;
        }
        if !is_well_formed {
            return Err(Error::new("expected a number"));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        // Minus zero is none of the integers.
        if is_integer && text != "-0" {
            if let Ok(number) = text.parse() {
                return Ok(Number::Unsigned(number));
            }
            if let Ok(number) = text.parse() {
                return Ok(Number::Signed(number));
            }
        }
        Ok(Number::Other(text))
    }

    /// Not by way of [`number`](Self::number): plugins without a float in their configuration do without its code.
    fn integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.wrong("an integer"));
        }
        let start = self.at;
        let is_well_formed = self.whole();
        let text = self.text.get(start..self.at).unwrap_or_default();
        if is_well_formed && !(self.is_next(b'.') || self.is_next(b'e') || self.is_next(b'E')) {
            if let Ok(number) = text.parse() {
                return visitor.visit_u64(number);
            }
            if let Ok(number) = text.parse() {
                return visitor.visit_i64(number);
            }
        }
        Err(Error::new("expected an integer of at most 64 bits"))
    }

    /// Passes over a sign and digits: false, if that is no integer.
    fn whole(&mut self) -> bool {
        self.at += usize::from(self.is_next(b'-'));
        let has_zero = self.is_next(b'0');
        match self.digits() {
            0 => false,
            1 => true,
            _ => !has_zero,
        }
    }

    fn is_next(&self, byte: u8) -> bool {
        self.text.as_bytes().get(self.at) == Some(&byte)
    }

    /// Passes over digits, and says how many there were.
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    /// Reads the string after its opening quote.
    fn string(&mut self) -> Result<String, Error> {
        self.expect(b'"', "a string")?;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.bytes().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=31)).count();
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain + 1;
            match rest.as_bytes().get(plain) {
                Some(b'"') => return Ok(out),
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(Error::new("a control character in a string is written as \\u and four digits")),
                None => return Err(Error::new("the string has no end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match byte {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.unicode(),
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            _ => return Err(Error::new("an unknown escape in a string")),
        })
    }

    /// After `\u`: four digits, and for a surrogate another four (RFC 8259, section 7).
    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex()?;
        let code = match first {
            0xd800..=0xdbff => {
                let is_pair = self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u"));
                self.at += 2;
                match if is_pair { self.hex()? } else { 0 } {
                    second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => 0xd800,
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| Error::new("half of a surrogate pair in a string"))
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.text.as_bytes().get(self.at).and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else { return Err(Error::new("\\u is followed by four hexadecimal digits")) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.integer(visitor)
        }
    )*};
}

macro_rules! floats {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
                return Err(self.wrong("a number"));
            }
            match self.number()? {
                Number::Unsigned(number) => visitor.visit_u64(number),
                Number::Signed(number) => visitor.visit_i64(number),
                Number::Other(text) => visitor.visit_f64(float(text)?),
            }
        }
    )*};
}

macro_rules! strings {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_string(self.string()?)
        }
    )*};
}

fn float(text: &str) -> Result<f64, Error> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Error { message: format!("the number `{text}` is too large"), at: None }),
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.deserialize_string(visitor),
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            Some(b'-' | b'0'..=b'9') => self.deserialize_f64(visitor),
            _ => Err(self.wrong("a value")),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    floats! { deserialize_f32 deserialize_f64 }

    strings! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b't') => self.word("true").and_then(|()| visitor.visit_bool(true)),
            Some(b'f') => self.word("false").and_then(|()| visitor.visit_bool(false)),
            _ => Err(self.wrong("a boolean")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'n') => self.word("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.word("null")?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.expect(b'[', "a list")?;
        self.enter()?;
        let value = visitor.visit_seq(Items { reader: self, is_first: true })?;
        self.depth -= 1;
        self.expect(b']', "the end of the list")?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.expect(b'{', "an object")?;
        self.enter()?;
        let value = visitor.visit_map(Items { reader: self, is_first: true })?;
        self.depth -= 1;
        self.expect(b'}', "the end of the object")?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    /// A variant without content is its name, one with content an object of that name alone.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(self.string()?.into_deserializer()),
            Some(b'{') => {
                self.at += 1;
                self.enter()?;
                let value = visitor.visit_enum(Content { reader: &mut *self })?;
                self.depth -= 1;
                self.expect(b'}', "the end of the object")?;
                Ok(value)
            }
            _ => Err(self.wrong("a string or an object")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.string().map(drop)?,
            Some(b'{') => return self.deserialize_map(visitor),
            Some(b'[') => return self.deserialize_seq(visitor),
            Some(b't' | b'f') => return self.deserialize_bool(visitor),
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number().map(drop)?,
            _ => return Err(self.wrong("a value")),
        }
        visitor.visit_unit()
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }
}

/// What a list or an object holds.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    is_first: bool,
}

impl Items<'_, '_> {
    /// Goes to the next one, unless there is none.
    fn has_next(&mut self, end: u8) -> Result<bool, Error> {
        if self.reader.peek() == Some(end) {
            return Ok(false);
        }
        if !self.is_first {
            self.reader.expect(b',', "a comma or the end")?;
        }
        self.is_first = false;
        Ok(true)
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.has_next(b']')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.has_next(b'}')? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.reader.expect(b':', "a colon")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// The content of a variant.
struct Content<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> de::EnumAccess<'de> for Content<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = seed.deserialize(&mut *self.reader)?;
        self.reader.expect(b':', "a colon")?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Content<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        de::Deserialize::deserialize(self.reader)
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_seq(self.reader, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_map(self.reader, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::from_str;
    use serde_json::{Value, json};

    crate::config! {
        pub(super) struct Config {
            pub(super) url: String,
            #[serde(default)]
            pub(super) limit: u8,
            #[serde(default)]
            pub(super) ratio: Option<f64>,
            #[serde(default)]
            pub(super) mode: Option<Mode>,
        }

        #[derive(Copy)]
        pub(super) enum Mode {
            Above,
            Below,
        }
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Content {
        Nothing,
        One(u32),
        Two(u32, bool),
        Named { text: String },
    }

    const SEEDS: [&str; 14] = [
        r#" { "a" : [ 1 , -2, 3.25, 1e3, 1.5E-7, -0, 0, -0.0 ] , "b" : { } , "c" : [ ] } "#,
        r#"["\"\\\/\b\f\n\r\t", "\u00e4\u20ac\ud83d\ude00", "ä€😀"]"#,
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "[true, false, null]",
        r#"{"a": {"a": {"a": [[[{}]]]}}, "a": 1}"#,
        "\"\\ud800\"",
        "1e400",
        "[1.5e308, 5e-324, 0.1, 123456789012345678901234567890.5]",
        "\"tab\there\"",
        "01",
        "[1,]",
    ];

    /// The same text as serde_json reads it: the same value, or an error as well.
    fn compare(text: &str) {
        match (from_str::<Value>(text), serde_json::from_str::<Value>(text)) {
            (Ok(ours), Ok(theirs)) => assert!(is_same(&ours, &theirs), "{text}: {ours} instead of {theirs}"),
            (Err(_), Err(_)) => {}
            (ours, theirs) => assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}: {ours:?} instead of {theirs:?}"),
        }
        // What is passed over is looked at as closely, but for the size of its numbers and the halves of its characters.
        if from_str::<Value>(text).is_ok() {
            from_str::<serde::de::IgnoredAny>(text).unwrap();
        }
    }

    /// Floats to one in their last place: serde_json is that far off for some.
    fn is_same(ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Array(ours), Value::Array(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
            }
            (Value::Object(ours), Value::Object(theirs)) => {
                ours.keys().eq(theirs.keys())
                    && ours.values().zip(theirs.values()).all(|(ours, theirs)| is_same(ours, theirs))
            }
            (Value::Number(ours), Value::Number(theirs)) if ours.is_f64() && theirs.is_f64() => {
                let bits = |number: &serde_json::Number| number.as_f64().unwrap().to_bits();
                bits(ours).abs_diff(bits(theirs)) <= 1
            }
            (ours, theirs) => ours == theirs,
        }
    }

    #[test]
    fn texts_are_read_as_by_serde_json() {
        SEEDS.iter().for_each(|text| compare(text));
        for text in [
            "", " ", "nul", "truee", "[", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "\"", "\"\\", "\"\\u12", "-", "1.",
            ".5", "1e", "+1", "1 2", "[1 2]", "{1:2}",
        ] {
            compare(text);
        }
    }

    #[test]
    fn texts_with_wrong_bytes_are_refused_where_serde_json_refuses_them() {
        // xorshift64, Marsaglia 2003.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        let alphabet: Vec<char> = "{}[],:\"\\u0123456789abcdef.-+eE tfnrul\u{1}ä".chars().collect();
        for _ in 0..50_000 {
            let mut text: Vec<char> = SEEDS[next(SEEDS.len())].chars().collect();
            for _ in 0..=next(3) {
                let at = next(text.len().max(1));
                match next(3) {
                    0 if at < text.len() => drop(text.remove(at)),
                    1 => text.insert(at, alphabet[next(alphabet.len())]),
                    _ if at < text.len() => text[at] = alphabet[next(alphabet.len())],
                    _ => {}
                }
            }
            compare(&text.into_iter().collect::<String>());
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let said = |text: &str| from_str::<Config>(text).unwrap_err().to_string();
        for (text, expected) in [
            (r#"{"url":"a","urll":"b"}"#, "unknown field `urll`, expected `url`, `limit`, `ratio`, `mode` at byte 17"),
            ("{}", "missing field `url` at byte 1"),
            (r#"{"url":5}"#, "expected a string, found 5 at byte 7"),
            (r#"{"url":"a","limit":256}"#, "expected u8, found an integer at byte 22"),
            (r#"{"url":"a","limit":1.5}"#, "expected an integer of at most 64 bits at byte 20"),
            (r#"{"url":"a","limit":"1"}"#, "expected an integer, found \" at byte 19"),
            (r#"{"url":"a","ratio":"x"}"#, "expected a number, found \" at byte 19"),
            (r#"{"url":"a","mode":"x"}"#, "unknown value `x`, expected `above`, `below` at byte 21"),
            (r#"{"url":"a"} x"#, "expected nothing more at byte 12"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
        assert!(from_str::<Value>(&"[".repeat(200)).unwrap_err().to_string().contains("too deep"));
    }

    #[test]
    fn a_whole_number_is_a_float_too() {
        let config: Config = from_str(r#"{"url":"","ratio":2,"mode":"below"}"#).unwrap();
        assert_eq!((config.ratio, config.mode), (Some(2.0), Some(Mode::Below)));
    }

    #[test]
    fn variants_with_content_are_objects_of_one_name() {
        let read = |value: Value| from_str::<Content>(&value.to_string()).unwrap();
        assert_eq!(read(json!("Nothing")), Content::Nothing);
        assert_eq!(read(json!({"Nothing": null})), Content::Nothing);
        assert_eq!(read(json!({"One": 1})), Content::One(1));
        assert_eq!(read(json!({"Two": [1, true]})), Content::Two(1, true));
        assert_eq!(read(json!({"Named": {"text": "a"}})), Content::Named { text: "a".to_owned() });
        assert!(from_str::<Content>(r#"{"One": 1, "Two": 2}"#).is_err());
    }
}
