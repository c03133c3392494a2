//! `content-encoding`: the supported encodings, and decoding within a limit.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    /// An unsupported encoding, or several on top of each other.
    Other,
}

#[derive(Debug)]
pub(super) enum DecodeError {
    TooLarge,
    Malformed(io::Error),
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Self::Identity;
        };
        if values.next().is_some() {
            return Self::Other;
        }
        match value.as_bytes().trim_ascii() {
            name if name.is_empty() || name.eq_ignore_ascii_case(b"identity") => Self::Identity,
            name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                Self::Gzip
            }
            name if name.eq_ignore_ascii_case(b"deflate") => Self::Deflate,
            _ => Self::Other,
        }
    }

    /// Decodes the bytes; those of [`Encoding::Identity`] and [`Encoding::Other`] stay as they are.
    pub(super) fn decode(self, body: Bytes, limit: usize) -> Result<Bytes, DecodeError> {
        match self {
            Self::Identity | Self::Other => Ok(body),
            Self::Gzip => inflate(MultiGzDecoder::new(body.as_ref()), limit),
            // Some peers call a bare deflate stream "deflate"; RFC 9110 means the zlib format.
            Self::Deflate if starts_as_zlib(&body) => {
                inflate(ZlibDecoder::new(body.as_ref()), limit)
            }
            Self::Deflate => inflate(DeflateDecoder::new(body.as_ref()), limit),
        }
    }
}

/// RFC 1950: method 8 in the low bits, and the first two bytes are a multiple of 31.
fn starts_as_zlib(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn inflate(decoder: impl Read, limit: usize) -> Result<Bytes, DecodeError> {
    let mut plain = Vec::new();
    let one_more = (limit as u64).saturating_add(1);
    decoder
        .take(one_more)
        .read_to_end(&mut plain)
        .map_err(DecodeError::Malformed)?;
    if plain.len() > limit {
        return Err(DecodeError::TooLarge);
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn of(values: &[&'static str]) -> Encoding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Encoding::of(&headers)
    }

    #[test]
    fn header_names_the_encoding() {
        assert_eq!(of(&[]), Encoding::Identity);
        assert_eq!(of(&["identity"]), Encoding::Identity);
        assert_eq!(of(&["GZip"]), Encoding::Gzip);
        assert_eq!(of(&["x-gzip"]), Encoding::Gzip);
        assert_eq!(of(&["deflate"]), Encoding::Deflate);
        assert_eq!(of(&["br"]), Encoding::Other);
        assert_eq!(of(&["gzip, gzip"]), Encoding::Other);
        assert_eq!(of(&["gzip", "gzip"]), Encoding::Other);
    }

    #[test]
    fn gzip_with_several_members_is_read_whole() {
        let body = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(Encoding::Gzip.decode(body.into(), 100).unwrap(), "one two");
    }

    #[test]
    fn both_meanings_of_deflate_are_read() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"plain text").unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(b"plain text").unwrap();
        for body in [zlib.finish().unwrap(), bare.finish().unwrap()] {
            assert_eq!(
                Encoding::Deflate.decode(body.into(), 100).unwrap(),
                "plain text"
            );
        }
    }

    #[test]
    fn plain_size_is_bounded() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(bomb.len() < 4096);
        assert!(matches!(
            Encoding::Gzip.decode(bomb.clone(), (1 << 20) - 1),
            Err(DecodeError::TooLarge)
        ));
        assert_eq!(Encoding::Gzip.decode(bomb, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn cut_and_foreign_bytes_are_malformed() {
        let whole = gzip(b"some text");
        for body in [
            whole.slice(..whole.len() - 1),
            Bytes::from_static(b"not compressed"),
            Bytes::new(),
        ] {
            assert!(matches!(
                Encoding::Gzip.decode(body, 100),
                Err(DecodeError::Malformed(_))
            ));
        }
    }
}
