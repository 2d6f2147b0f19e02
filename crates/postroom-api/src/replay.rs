//! Keeps small bodies while they are read, so that a request can be processed again.
//!
//! If the classes change while a request is processed, nothing of the request is done. It is then
//! processed again with the present classes, and its client does not notice.

use axum::body::Body;
use axum::body::HttpBody;
use axum::http::Request;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// How large a body is kept at most.
const BYTES_MAX: usize = 16 * 1024;

/// What was read of a body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay(Arc<Mutex<ReadSoFar>>);

#[derive(Debug)]
enum ReadSoFar {
    /// Reading has not come to the end.
    Reading(Vec<u8>),
    /// The whole body.
    Whole(Bytes),
    /// It is large, or could not be read.
    Lost,
}

impl Default for ReadSoFar {
    fn default() -> Self {
        Self::Reading(vec![])
    }
}

impl Replay {
    /// Splits a request into its head, its body, and the body that can be read again later.
    pub(crate) fn of(request: Request<Body>) -> (Request<()>, Body, Self) {
        let (head, body) = request.into_parts();
        let (replay, head) = (Self::default(), Request::from_parts(head, ()));
        if body.is_end_stream() {
            replay.set(ReadSoFar::Whole(Bytes::new()));
            return (head, body, replay);
        }
        if body.size_hint().lower() > BYTES_MAX as u64 {
            replay.set(ReadSoFar::Lost);
            return (head, body, replay);
        }
        let (of_pieces, of_end) = (replay.clone(), replay.clone());
        let pieces = body.into_data_stream().inspect(move |piece| match piece {
            Ok(piece) => of_pieces.take(piece),
            Err(_) => of_pieces.set(ReadSoFar::Lost),
        });
        let end = stream::once(async move { of_end.end() }).filter_map(async |()| None);
        (head, Body::from_stream(pieces.chain(end)), replay)
    }

    /// The body once more. `None`: it was not read to its end, or is large.
    pub(crate) fn again(&self) -> Option<Body> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            ReadSoFar::Whole(bytes) => Some(Body::from(bytes.clone())),
            ReadSoFar::Reading(_) | ReadSoFar::Lost => None,
        }
    }

    fn take(&self, piece: &Bytes) {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let ReadSoFar::Reading(bytes) = &mut *read {
            if bytes.len() + piece.len() <= BYTES_MAX {
                bytes.extend_from_slice(piece);
            } else {
                *read = ReadSoFar::Lost;
            }
        }
    }

    fn end(&self) {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let ReadSoFar::Reading(bytes) = &mut *read {
            *read = ReadSoFar::Whole(std::mem::take(bytes).into());
        }
    }

    fn set(&self, read: ReadSoFar) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: Body) -> Vec<u8> {
        axum::body::to_bytes(body, usize::MAX).await.unwrap().into()
    }

    #[tokio::test]
    async fn a_small_body_can_be_read_again_once_it_was_read_to_its_end() {
        let (_, body, replay) = Replay::of(Request::new(Body::from("text")));
        assert!(replay.again().is_none(), "nothing of it was read");
        assert_eq!(read(body).await, b"text");
        assert_eq!(read(replay.again().unwrap()).await, b"text");
        assert_eq!(read(replay.again().unwrap()).await, b"text");

        let (_, _body, replay) = Replay::of(Request::new(Body::empty()));
        assert_eq!(read(replay.again().unwrap()).await, b"");
    }

    #[tokio::test]
    async fn a_large_body_or_one_that_breaks_cannot_be_read_again() {
        let large = vec![b'x'; BYTES_MAX + 1];
        let unsized_body =
            Body::from_stream(stream::iter([Ok::<_, std::io::Error>(large.clone())]));
        for body in [Body::from(large.clone()), unsized_body] {
            let (_, body, replay) = Replay::of(Request::new(body));
            assert_eq!(read(body).await.len(), large.len());
            assert!(replay.again().is_none());
        }
        let broken = [Ok("text".to_owned()), Err(std::io::Error::other("lost"))];
        let (_, body, replay) = Replay::of(Request::new(Body::from_stream(stream::iter(broken))));
        axum::body::to_bytes(body, usize::MAX).await.unwrap_err();
        assert!(replay.again().is_none());
    }
}
