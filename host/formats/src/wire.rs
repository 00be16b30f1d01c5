//! Protobuf's encoding, read where it stands: fields of a message one after another, without making anything of them.

use crate::Error;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a>(&'a [u8]);

/// A field's value, as it is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Message(bytes)
    }

    /// The next field's number and value. `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(usize::try_from(length).ok().and_then(|length| self.take(length)).ok_or_else(cut)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => {
                return Err(Error::malformed(format!("the protobuf message has a field of the unknown type {other}")));
            }
        };
        match tag >> 3 {
            0 => Err(Error::malformed("the protobuf message has a field of number 0")),
            number => Ok(Some((number, value))),
        }
    }

    /// A packed field's next number.
    pub(crate) fn fixed64(&mut self) -> Result<Option<u64>, Error> {
        if self.0.is_empty() { Ok(None) } else { self.array().map(|bytes| Some(u64::from_le_bytes(bytes))) }
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(cut())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N).and_then(|bytes| bytes.try_into().ok()).ok_or_else(cut)
    }
}

fn cut() -> Error {
    Error::malformed("the protobuf message is cut off, or is none")
}

impl<'a> Value<'a> {
    pub(crate) fn message(self) -> Result<Message<'a>, Error> {
        self.bytes().map(Message::new)
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Error> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(mistyped()) }
    }

    /// `what`: for the message where it is not UTF-8.
    pub(crate) fn text(self, what: &str) -> Result<&'a str, Error> {
        self.utf8(what)?.map_err(Error::Malformed)
    }

    /// The same for whoever can go on where it is not UTF-8: why it is not is inside.
    pub(crate) fn utf8(self, what: &str) -> Result<Result<&'a str, String>, Error> {
        Ok(std::str::from_utf8(self.bytes()?).map_err(|error| {
            let at = error.valid_up_to();
            format!("{what} is not UTF-8 from its byte {at} on; hint: names and values are text")
        }))
    }

    pub(crate) fn double(self) -> Result<f64, Error> {
        if let Value::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(mistyped()) }
    }

    pub(crate) fn fixed(self) -> Result<u64, Error> {
        if let Value::Fixed64(bits) = self { Ok(bits) } else { Err(mistyped()) }
    }

    pub(crate) fn varint(self) -> Result<u64, Error> {
        if let Value::Varint(value) = self { Ok(value) } else { Err(mistyped()) }
    }

    /// Of two's complement, as `int64` has it.
    pub(crate) fn signed(self) -> Result<i64, Error> {
        self.varint().map(u64::cast_signed)
    }
}

fn mistyped() -> Error {
    Error::malformed("a field of the protobuf message has another type than it should")
}

/// Writing: for answers, and for tests.
pub(crate) mod write {
    pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or_default();
            value >>= 7;
            if value == 0 {
                out.push(low);
                return;
            }
            out.push(low | 0x80);
        }
    }

    pub(crate) fn bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
        varint(out, number << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }

    pub(crate) fn number(out: &mut Vec<u8>, number: u64, value: u64) {
        varint(out, number << 3);
        varint(out, value);
    }

    #[cfg(test)]
    pub(crate) fn fixed(out: &mut Vec<u8>, number: u64, value: u64) {
        varint(out, number << 3 | 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_their_order() {
        let mut bytes = Vec::new();
        write::number(&mut bytes, 1, 300);
        write::bytes(&mut bytes, 2, b"text");
        write::fixed(&mut bytes, 3, 1.5_f64.to_bits());
        bytes.extend([4 << 3 | 5, 1, 0, 0, 0]);
        let mut message = Message::new(&bytes);
        assert_eq!(message.field().unwrap(), Some((1, Value::Varint(300))));
        assert_eq!(message.field().unwrap().unwrap().1.text("it").unwrap(), "text");
        assert_eq!(message.field().unwrap().unwrap().1.double().unwrap(), 1.5);
        assert_eq!(message.field().unwrap(), Some((4, Value::Fixed32(1))));
        assert_eq!(message.field().unwrap(), None);
        for length in [1, 2, 4, 7, 11, 20] {
            let mut cut = Message::new(&bytes[..length]);
            while let Ok(Some(_)) = cut.field() {}
        }
    }

    #[test]
    fn what_is_cut_off_or_of_another_type_is_an_error() {
        for bytes in [[0x80].as_slice(), &[0x0a, 0x05, 0x01], &[0x09, 0, 0], &[0x0b], &[0x00, 0x01], &[0xff; 11]] {
            assert!(Message::new(bytes).field().is_err(), "{bytes:?}");
        }
        assert!(Value::Varint(1).text("it").is_err());
        let refused = Value::Bytes(b"ok\xff").text("a label's name").unwrap_err().to_string();
        assert!(refused.starts_with("a label's name is not UTF-8 from its byte 2 on"), "{refused}");
    }
}
