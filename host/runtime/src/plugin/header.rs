//! What a file is, by its first bytes and the lengths of its sections: without parsing what is inside.

/// What the bytes of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Component,
    CoreModule,
    /// It ends inside a section (or inside the header): perhaps it is still being written.
    Incomplete,
    Other,
}

const MAGIC: [u8; 4] = *b"\0asm";
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];

pub(crate) fn header(bytes: &[u8]) -> Header {
    let magic = bytes.get(..4.min(bytes.len())).unwrap_or_default();
    if !MAGIC.starts_with(magic) {
        return Header::Other;
    }
    let Some((header, sections)) = bytes.split_at_checked(8) else { return Header::Incomplete };
    let layer = header.get(4..).unwrap_or_default();
    if layer == CORE_MODULE {
        Header::CoreModule
    } else if layer != COMPONENT {
        Header::Other
    } else if is_whole(sections) {
        Header::Component
    } else {
        Header::Incomplete
    }
}

/// Sections follow each other up to the very end: an id byte, a LEB128 length, that many bytes.
fn is_whole(mut rest: &[u8]) -> bool {
    while let Some((_, after_id)) = rest.split_first() {
        let Some((length, body)) = leb128(after_id) else { return false };
        match body.get(length..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_told_from_a_module_and_from_anything_else() {
        let component = wat::parse_str("(component (core module))").unwrap();
        assert_eq!(header(&component), Header::Component);
        assert_eq!(header(&wat::parse_str("(module)").unwrap()), Header::CoreModule);
        assert_eq!(header(b"#!/bin/sh"), Header::Other);
        assert_eq!(header(b"\0asm\x07\0\0\0"), Header::Other);
    }

    #[test]
    fn every_cut_of_a_component_of_one_section_is_incomplete() {
        let component = wat::parse_str("(component (core module (func)))").unwrap();
        for length in (0..component.len()).filter(|length| *length != 8) {
            assert_eq!(header(&component[..length]), Header::Incomplete, "cut at {length}");
        }
    }
}
