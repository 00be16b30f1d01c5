//! Compressed bodies, of which nobody knows how large they are before they are read: bounded.

use crate::Error;
use std::io::Read;

/// One snappy block, as remote write has it. Its length stands at its head, and is checked before any memory is taken.
///
/// # Errors
/// What is no snappy block, or would be larger than `limit`.
pub fn snappy(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let broken = |error: snap::Error| Error::malformed(format!("the body is not a snappy block: {error}"));
    let length = snap::raw::decompress_len(bytes).map_err(broken)?;
    if length > limit {
        return Err(Error::TooLarge(format!("the body has {length} bytes uncompressed, {limit} are the limit")));
    }
    // A byte of a snappy block stands for 64 at most (a copy of three bytes); what says more is a lie.
    if length / 64 > bytes.len() {
        return Err(Error::malformed("the body is not a snappy block: it can't have the length that it says"));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(broken)
}

/// gzip, several members too.
///
/// # Errors
/// What is no gzip, or would be larger than `limit`.
pub fn gzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take((limit as u64).saturating_add(1));
    decoder.read_to_end(&mut out).map_err(|error| Error::malformed(format!("the body is not gzip: {error}")))?;
    if out.len() > limit {
        return Err(Error::TooLarge(format!("the body has more than {limit} bytes uncompressed, which is the limit")));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_was_packed_comes_back() {
        let text = b"up 1\n".repeat(1000);
        let packed = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(snappy(&packed, 5000).unwrap(), text);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        assert_eq!(gzip(&encoder.finish().unwrap(), 5000).unwrap(), text);
    }

    #[test]
    fn a_bomb_is_refused_before_it_takes_memory() {
        let zeros = vec![0; 64 << 20];
        let packed = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        assert!(matches!(snappy(&packed, 32 << 20), Err(Error::TooLarge(_))));
        // A length of 4 GiB in five bytes, and one within the limit with nothing behind it.
        assert!(matches!(snappy(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 32 << 20), Err(Error::TooLarge(_))));
        assert!(matches!(snappy(&[0x80, 0x80, 0x80, 0x08, 0], 32 << 20), Err(Error::Malformed(_))));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&zeros).unwrap();
        assert!(matches!(gzip(&encoder.finish().unwrap(), 1 << 20), Err(Error::TooLarge(_))));
    }

    #[test]
    fn what_is_not_packed_is_said_to_be_so() {
        for bytes in [b"".as_slice(), b"up 1\n", &[0x05, 0x00], &[0xff; 12]] {
            assert!(snappy(bytes, 1 << 20).is_err(), "{bytes:?}");
        }
        assert!(gzip(b"up 1\n", 1 << 20).unwrap_err().to_string().contains("not gzip"));
    }
}
