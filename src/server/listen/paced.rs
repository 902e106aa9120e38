//! A request's body that has to come in time. Those that are read as a whole have a bound for all of it beside (`server/body.rs`).
//!
//! Invariants
//! * Only waiting for the client counts, not what is done with what came.
//! * A body never waits longer than the bound and [`LAST_LOOK`] until [`PROGRESS`] more of it came, be it byte by byte.
//! * Nobody is given up for time that this machine took from us: what came by the end of the bound is looked at first.
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// So many bytes have to come within the bound.
const PROGRESS: usize = 1 << 10;

/// How long is waited at the end, for what has come and did not get as far as here.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(250);

/// The client sends too slowly.
#[derive(Debug)]
pub(crate) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body stopped coming")
    }
}

impl Error for TooSlow {}

/// A body with a pace.
pub(super) struct Paced<B = Incoming> {
    body: B,
    most: Duration,
    /// What may still be waited until the next progress.
    left: Duration,
    came: usize,
    /// Whether that is for the last look.
    is_last: bool,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Paced<B> {
    /// A body that is waited for so long at most.
    pub(super) fn new(body: B, most: Duration) -> Self {
        Self { body, most, left: most, came: 0, is_last: false, waiting: None }
    }

    fn arrived(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        self.came += bytes;
        if self.came >= PROGRESS {
            (self.came, self.left, self.is_last) = (0, self.most, false);
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Paced<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
            self.arrived(bytes.unwrap_or(0));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        loop {
            let left = self.left;
            let (_, timer) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
            ready!(timer.as_mut().poll(cx));
            (self.waiting, self.left) = (None, Duration::ZERO);
            if self.is_last {
                break;
            }
            (self.is_last, self.left) = (true, LAST_LOOK);
        }
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;

    const BOUND: Duration = Duration::from_millis(20);

    /// A body of which a byte comes when it is asked so often after the bound.
    struct Late {
        since: Instant,
        asked: usize,
        comes_at: usize,
    }

    impl HttpBody for Late {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            self.asked += usize::from(self.since.elapsed() >= BOUND);
            if self.asked == self.comes_at { Poll::Ready(Some(Ok(Frame::data("x".into())))) } else { Poll::Pending }
        }
    }

    #[tokio::test]
    async fn what_has_come_is_looked_at_before_the_sender_is_given_up() {
        for (comes_at, is_taken) in [(1, true), (2, true), (usize::MAX, false)] {
            let late = Late { since: Instant::now(), asked: 0, comes_at };
            let mut body = Body::new(Paced::new(late, BOUND));
            assert_eq!(body.frame().await.unwrap().is_ok(), is_taken, "{comes_at}");
            // What is read on in after that, is given up again.
            assert!(body.frame().await.unwrap().is_err());
        }
    }
}
