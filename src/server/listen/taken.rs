//! An answer's body, and whether its client takes it.
//!
//! A client of HTTP/2 says how much it takes of each answer. One that takes nothing leaves no bytes waiting at its connection, only a
//! body that nobody asks for more; so that is looked at here, and [`Life`](super::life::Life) ends the connection.
//!
//! Invariant: over HTTP/2 a body is given in pieces of at most [`PIECE_BYTES`], so that whoever takes a long one slowly is seen to take it,
//! and what lies at a connection for an answer whose place is free is no more than such a piece.
use super::life::Underway;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

const PIECE_BYTES: usize = 16 << 10;

/// A body, with the request that it answers.
pub(super) struct Taken<B> {
    body: B,
    /// What of the body is not given yet.
    left: Bytes,
    request: Underway,
}

impl<B> Taken<B> {
    /// A body that waits to be taken.
    pub(super) fn new(body: B, request: Underway) -> Self {
        request.gives();
        Self { body, left: Bytes::new(), request }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let len = if self.request.is_http2() { self.left.len().min(PIECE_BYTES) } else { self.left.len() };
        self.request.gives();
        Frame::data(self.left.split_to(len))
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Taken<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.left.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            // The client waits for us.
            Poll::Pending => {
                self.request.waits();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(bytes) => {
                    self.left = bytes;
                    self.piece()
                }
                Err(other) => other,
            }))),
            Poll::Ready(end) => Poll::Ready(end),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, left) = (self.body.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + left);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::super::life::Life;
    use super::*;
    use crate::config::{Flags, ServerBounds, load};
    use axum::body::Body;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;
    use tokio::time::Instant;

    /// A body that has nothing yet.
    struct Waiting;

    impl HttpBody for Waiting {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Pending
        }
    }

    fn bounds() -> ServerBounds {
        load(Flags::default(), []).config.unwrap().server
    }

    fn poll<B: HttpBody<Data = Bytes> + Unpin>(taken: &mut Taken<B>) -> Option<usize> {
        match Pin::new(taken).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map(Bytes::len),
            _ => None,
        }
    }

    #[test]
    fn a_body_goes_in_pieces_over_http2_and_as_it_is_over_http1() {
        for (is_http2, pieces) in [(true, &[16_384, 16_384, 7_232][..]), (false, &[40_000])] {
            let life = Arc::new(Life::new(&bounds(), Instant::now()));
            let mut taken = Taken::new(Body::from(vec![b'x'; 40_000]), life.begin(is_http2));
            let mut left = 40_000;
            for piece in pieces {
                assert_eq!((taken.size_hint().exact(), taken.is_end_stream()), (Some(left as u64), false));
                assert_eq!(poll(&mut taken), Some(*piece));
                left -= piece;
            }
            assert!(taken.is_end_stream() && left == 0);
        }
    }

    #[test]
    fn a_connection_ends_where_an_answer_is_not_taken_and_not_where_it_waits_for_us() {
        let bounds = bounds();
        let (before, after) = (bounds.write_timeout / 2, bounds.write_timeout * 2);
        let life = Arc::new(Life::new(&bounds, Instant::now()));
        let is_over = |time: Duration| life.is_over(Instant::now() + time);
        let mut waiting = Taken::new(Waiting, life.begin(true));
        assert_eq!((is_over(before), is_over(after)), (false, true));
        poll(&mut waiting);
        assert!(!is_over(after));
        let mut given = Taken::new(Body::from("x"), life.begin(true));
        assert!(is_over(after));
        poll(&mut given);
        assert!(is_over(after), "what was given first is not taken yet");
        drop(given);
        assert!(!is_over(after));
        // Over HTTP/1 it is seen at the connection.
        let _given = Taken::new(Body::from("x"), life.begin(false));
        assert!(!is_over(after));
    }
}
