//! Reading a body to its end, up to a limit.

use std::pin::{Pin, pin};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame};

/// At most this much memory is allocated because of a `content-length` alone.
const MAX_TRUSTED_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) enum ReadError<E, R> {
    TooLarge,
    Broken(E),
    /// The body broke one of the reader's own terms.
    Refused(R),
}

/// A frame, the end of the body, or the error that broke it.
pub(super) type NextFrame<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

/// Conditions on a body other than its size.
pub(super) trait Terms {
    /// Why reading ends.
    type Refusal;

    /// Waits for the next frame.
    async fn frame<B: Body>(&mut self, body: Pin<&mut B>) -> Result<NextFrame<B>, Self::Refusal>;

    /// Reserves another `bytes` of memory.
    async fn hold(&mut self, bytes: usize) -> Result<(), Self::Refusal>;
}

/// Reads the whole body. One that arrives in a single frame, as small ones do, is not copied and reserves no memory.
///
/// An announced length beyond `limit` is refused before anything is read.
pub(super) async fn read<B, T>(
    body: B,
    limit: usize,
    terms: &mut T,
) -> Result<Bytes, ReadError<B::Error, T::Refusal>>
where
    B: Body,
    T: Terms,
{
    let mut body = pin!(body);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(ReadError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while !body.is_end_stream() {
        let frame = terms
            .frame(body.as_mut())
            .await
            .map_err(ReadError::Refused)?;
        let Some(frame) = frame else {
            break;
        };
        let Ok(mut data) = frame.map_err(ReadError::Broken)?.into_data() else {
            continue; // trailers
        };
        let length = data.remaining();
        let needed = first.len() + whole.len() + length;
        if needed > limit {
            return Err(ReadError::TooLarge);
        }
        if first.is_empty() && whole.is_empty() {
            first = data.copy_to_bytes(length);
            continue;
        }
        if needed > whole.capacity() {
            let size = next_size(whole.capacity(), needed, announced, limit);
            let more = size - whole.capacity();
            terms.hold(more).await.map_err(ReadError::Refused)?;
            whole.reserve_exact(size - whole.len());
        }
        if whole.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            whole.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.into()
    })
}

/// The new capacity of a buffer that must hold `needed` bytes: doubled, but no more than can still arrive.
fn next_size(size: usize, needed: usize, announced: usize, limit: usize) -> usize {
    let end = if announced == 0 { limit } else { announced };
    let wanted = match size {
        0 => announced.min(MAX_TRUSTED_BYTES),
        _ => size.saturating_mul(2),
    };
    wanted.min(end).max(needed)
}

/// No conditions other than the size: the caller limits the time.
#[cfg(any(feature = "http-client", test))]
pub(super) struct NoTerms;

#[cfg(any(feature = "http-client", test))]
impl Terms for NoTerms {
    type Refusal = std::convert::Infallible;

    async fn frame<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
    ) -> Result<NextFrame<B>, Self::Refusal> {
        use http_body_util::BodyExt as _;
        Ok(body.frame().await)
    }

    async fn hold(&mut self, _: usize) -> Result<(), Self::Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn frames(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = Infallible> {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(parts))
    }

    async fn read<B: Body>(
        body: B,
        limit: usize,
    ) -> Result<Bytes, ReadError<B::Error, Infallible>> {
        super::read(body, limit, &mut NoTerms).await
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

    #[test]
    fn a_buffer_doubles_within_what_can_still_come() {
        let megabyte = MAX_TRUSTED_BYTES;
        assert_eq!(next_size(0, 100, 3000, 9000), 3000);
        assert_eq!(next_size(0, 100, 8 * megabyte, 9 * megabyte), megabyte);
        assert_eq!(
            next_size(megabyte, megabyte + 1, 8 * megabyte, 9 * megabyte),
            2 * megabyte
        );
        assert_eq!(
            next_size(megabyte, megabyte + 1, megabyte + 5, 9 * megabyte),
            megabyte + 5
        );
        assert_eq!(next_size(0, 100, 0, 9000), 100);
        assert_eq!(next_size(6000, 6001, 0, 9000), 9000);
    }
}
