//! What an answer is packed in. A secret in gzip is found by nobody who looks for it, so the instances that hold one ask for answers as
//! they are, and an answer that is packed all the same is unpacked before anybody reads it. One that can't be unpacked here is
//! refused: the plugin could, and would find the secret there.
//!
//! Instances without a secret get what the service sends, packed as they have asked for it.

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures::{Stream, StreamExt};
use hyper::body::Frame;
use std::io::Write;
use wasmtime_wasi_http::Error;

/// So much is unpacked in one go: a byte becomes a thousand at most, and what comes of it is counted before there is more.
const STEP: usize = 1 << 10;
/// The low half of the first byte of a zlib stream. A bare one never begins so.
const ZLIB: u8 = 8;

/// Asks for an answer that is not packed.
pub(super) fn ask_for_none(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// What a body is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// `None`: it is not packed.
    ///
    /// # Errors
    /// Nobody here can unpack it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        // Where the connection packs it, the client unpacks the pieces only.
        if let Some(other) = names(headers, &header::TRANSFER_ENCODING).find(|name| name != "chunked") {
            return Err(Error::HttpResponseTransferCoding(Some(other)));
        }
        let mut codings = names(headers, &header::CONTENT_ENCODING);
        let coding = match codings.next().as_deref() {
            None => return Ok(None),
            Some("gzip" | "x-gzip") => Coding::Gzip,
            Some("deflate") => Coding::Deflate,
            Some(other) => return Err(Error::HttpResponseContentCoding(Some(other.to_owned()))),
        };
        match codings.next() {
            None => Ok(Some(coding)),
            Some(second) => Err(Error::HttpResponseContentCoding(Some(second))),
        }
    }
}

/// What stands in a header that is a list of names, in lower case.
fn names<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = String> + use<'a> {
    let values =
        headers.get_all(header).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let names = values.flat_map(|value| value.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>());
    names.filter(|name| !name.is_empty() && name != "identity")
}

/// A body on its way out of its packing. What comes out is taken from the vector after each step.
enum Unpack {
    Gzip(MultiGzDecoder<Vec<u8>>),
    /// With its first byte it is known which of the two it is.
    Deflate,
    Zlib(ZlibDecoder<Vec<u8>>),
    Bare(DeflateDecoder<Vec<u8>>),
}

impl Unpack {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Unpack::Gzip(MultiGzDecoder::new(Vec::new())),
            Coding::Deflate => Unpack::Deflate,
        }
    }

    fn step(&mut self, packed: &[u8]) -> std::io::Result<Vec<u8>> {
        if let (Unpack::Deflate, Some(first)) = (&*self, packed.first()) {
            *self = if first & 0x0f == ZLIB {
                Unpack::Zlib(ZlibDecoder::new(Vec::new()))
            } else {
                Unpack::Bare(DeflateDecoder::new(Vec::new()))
            };
        }
        // Flushed, so that a service that says something from time to time is heard at once.
        Ok(match self {
            Unpack::Deflate => Vec::new(),
            Unpack::Gzip(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut())
            }
            Unpack::Zlib(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut())
            }
            Unpack::Bare(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                std::mem::take(decoder.get_mut())
            }
        })
    }

    fn end(&mut self) -> std::io::Result<Vec<u8>> {
        Ok(match self {
            Unpack::Deflate => Vec::new(),
            Unpack::Gzip(decoder) => {
                decoder.try_finish()?;
                std::mem::take(decoder.get_mut())
            }
            Unpack::Zlib(decoder) => {
                decoder.try_finish()?;
                std::mem::take(decoder.get_mut())
            }
            Unpack::Bare(decoder) => {
                decoder.try_finish()?;
                std::mem::take(decoder.get_mut())
            }
        })
    }
}

type Piece = Result<Frame<Bytes>, Error>;

/// The body as it was before it was packed. `count`: bytes that are more than those that came in, which counted already.
pub(super) fn unpacked(
    body: impl Stream<Item = Piece> + Send + 'static,
    coding: Option<Coding>,
    count: impl Fn(u64) -> Result<(), Error> + Send + 'static,
) -> futures::stream::BoxStream<'static, Piece> {
    let Some(coding) = coding else { return body.boxed() };
    let broken = |_| Error::HttpResponseContentCoding(Some("what is packed is broken".to_owned()));
    let begun = Unpacking { body: body.boxed(), unpack: Unpack::new(coding), waiting: Bytes::new(), is_empty: true };
    futures::stream::unfold(Some((begun, count)), move |state| async move {
        let (mut this, count) = state?;
        loop {
            let (out, taken, is_over) = if this.waiting.is_empty() {
                match this.body.next().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => {
                            this.is_empty &= data.is_empty();
                            this.waiting = data;
                            continue;
                        }
                        // Trailers end a body; they are not told of.
                        Err(_) => continue,
                    },
                    Some(Err(error)) => return Some((Err(error), None)),
                    // An answer without a body may say what it would be packed in.
                    None if this.is_empty => return None,
                    None => (this.unpack.end(), 0, true),
                }
            } else {
                let step = this.waiting.split_to(this.waiting.len().min(STEP));
                (this.unpack.step(&step), step.len(), false)
            };
            let counted = out.map_err(broken).and_then(|out| {
                count(out.len().saturating_sub(taken) as u64)?;
                Ok(out)
            });
            match counted {
                Err(error) => return Some((Err(error), None)),
                Ok(out) if out.is_empty() && is_over => return None,
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Some((Ok(Frame::data(out.into())), (!is_over).then_some((this, count)))),
            }
        }
    })
    .boxed()
}

struct Unpacking {
    body: futures::stream::BoxStream<'static, Piece>,
    unpack: Unpack,
    /// What came in and was not unpacked yet.
    waiting: Bytes,
    /// Nothing came in at all.
    is_empty: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What is unpacked of it, handed over in pieces of that many bytes, with room for so many more than came in.
    async fn unpack(packed: &[u8], pieces: usize, coding: Coding, room: u64) -> Result<Vec<u8>, Error> {
        let pieces: Vec<Piece> =
            packed.chunks(pieces).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let counted = std::sync::atomic::AtomicU64::new(0);
        let count = move |more| {
            let before = counted.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
            if before + more > room { Err(Error::HttpResponseBodySize(Some(room))) } else { Ok(()) }
        };
        let mut body = unpacked(futures::stream::iter(pieces), Some(coding), count);
        let mut whole = Vec::new();
        while let Some(piece) = body.next().await {
            whole.extend_from_slice(&piece?.into_data().unwrap());
        }
        Ok(whole)
    }

    #[tokio::test]
    async fn what_is_packed_comes_out_as_it_was_however_it_is_cut() {
        let text = "a token, and a token again, and a token, ".repeat(40).into_bytes();
        for pieces in [1, 2, 7, 10_000] {
            let room = 1 << 20;
            assert_eq!(unpack(&gzip(&text), pieces, Coding::Gzip, room).await.unwrap(), text);
            assert_eq!(unpack(&zlib(&text), pieces, Coding::Deflate, room).await.unwrap(), text);
            assert_eq!(unpack(&bare(&text), pieces, Coding::Deflate, room).await.unwrap(), text);
            let twice = [gzip(&text), gzip(b"and more")].concat();
            let both = [text.as_slice(), b"and more"].concat();
            assert_eq!(unpack(&twice, pieces, Coding::Gzip, room).await.unwrap(), both);
        }
        assert_eq!(unpack(b"", 1, Coding::Gzip, 0).await.unwrap(), b"", "the answer to HEAD");
    }

    #[tokio::test]
    async fn what_becomes_too_large_ends_before_it_is_held() {
        let bomb = gzip(&vec![0; 50 << 20]);
        let refused = unpack(&bomb, bomb.len(), Coding::Gzip, 4 << 20).await;
        assert!(matches!(refused, Err(Error::HttpResponseBodySize(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn what_is_broken_is_an_error_and_no_end() {
        let whole = gzip(b"a token, and another one");
        for broken in [&whole[..whole.len() - 3], b"not gzip at all, nor anything else".as_slice()] {
            let refused = unpack(broken, 5, Coding::Gzip, 1 << 20).await;
            assert!(matches!(refused, Err(Error::HttpResponseContentCoding(_))), "{refused:?}");
        }
    }

    #[test]
    fn what_can_t_be_unpacked_is_refused_by_name() {
        let of = |given: &[(&str, &str)]| Coding::of(&headers(given));
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("content-encoding", "identity"), ("transfer-encoding", "Chunked")]).unwrap(), None);
        assert_eq!(of(&[("content-encoding", "GZip")]).unwrap(), Some(Coding::Gzip));
        assert_eq!(of(&[("content-encoding", "deflate")]).unwrap(), Some(Coding::Deflate));
        for (given, named) in [("br", "br"), ("gzip, br", "br"), ("zstd", "zstd"), ("gzip,gzip", "gzip")] {
            let refused = of(&[("content-encoding", given)]);
            assert!(
                matches!(&refused, Err(Error::HttpResponseContentCoding(Some(name))) if name == named),
                "{refused:?}"
            );
        }
        let refused = of(&[("transfer-encoding", "gzip, chunked")]);
        assert!(
            matches!(&refused, Err(Error::HttpResponseTransferCoding(Some(name))) if name == "gzip"),
            "{refused:?}"
        );
    }
}
