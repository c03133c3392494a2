//! Reading a body to its end, up to a limit.

use std::pin::pin;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

/// No more than this is set aside on the word of a `content-length` alone.
const MAX_TRUSTED_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) enum ReadError<E> {
    TooLarge,
    Broken(E),
}

/// The whole body. One that comes in a single frame, as small ones do, is not copied.
///
/// An announced length beyond `limit` is refused before anything is read.
pub(super) async fn read<B>(body: B, limit: usize) -> Result<Bytes, ReadError<B::Error>>
where
    B: Body,
{
    let mut body = pin!(body);
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(ReadError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(mut data) = frame.map_err(ReadError::Broken)?.into_data() else {
            continue; // trailers
        };
        let length = data.remaining();
        if first.len() + whole.len() + length > limit {
            return Err(ReadError::TooLarge);
        }
        if first.is_empty() && whole.is_empty() {
            first = data.copy_to_bytes(length);
        } else {
            if whole.is_empty() {
                let expected = announced.min(MAX_TRUSTED_BYTES) as usize;
                whole.reserve(expected.max(first.len() + length));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data.copy_to_bytes(length));
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn frames(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = Infallible> {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(parts))
    }

    #[tokio::test]
    async fn frames_are_joined_in_order() {
        assert_eq!(read(frames(&[]), 10).await.unwrap(), "");
        assert_eq!(
            read(frames(&["ab", "", "cd", "e"]), 5).await.unwrap(),
            "abcde"
        );
    }

    #[tokio::test]
    async fn single_frame_is_not_copied() {
        let sent = Bytes::from(vec![7; 100]);
        let read = read(Full::new(sent.clone()), 100).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn bodies_beyond_the_limit_are_refused() {
        assert!(matches!(
            read(frames(&["ab", "cd", "e"]), 4).await,
            Err(ReadError::TooLarge)
        ));
        assert!(matches!(
            read(Full::new(Bytes::from_static(b"abcde")), 4).await,
            Err(ReadError::TooLarge)
        ));
    }
}
