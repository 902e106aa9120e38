//! What a connection is doing, and how long it may do so.
//!
//! Invariants
//! * While a request is under way, only an answer that the client does not take ends it; bodies have their own pace.
//! * Otherwise it ends when a head is not there in time, when nothing was asked for too long, or when bytes wait too long for the
//!   client to take them: at the connection, or over HTTP/2 in any of its answers.
use super::framing::Framing;
use crate::config::ServerBounds;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// What a connection is doing.
pub(super) struct Life {
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    doing: Mutex<Doing>,
}

struct Doing {
    /// Requests under way.
    requests: usize,
    has_asked: bool,
    is_http2: bool,
    /// When it was opened, or the last request ended.
    idle_since: Instant,
    /// When the first byte of a head came.
    head_since: Option<Instant>,
    /// Since when bytes wait to be taken.
    blocked_since: Option<Instant>,
    /// The same of the answers over HTTP/2 of which something is there, by the number of their request.
    given_since: BTreeMap<u64, Instant>,
    /// Requests so far.
    begun: u64,
    /// Whether something of an answer of ours may be still to go out.
    owes: bool,
    framing: Framing,
    /// Whether what comes is none of HTTP any more.
    is_upgraded: bool,
}

impl Life {
    /// It begins.
    pub(super) fn new(bounds: &ServerBounds, now: Instant) -> Self {
        let doing = Doing {
            requests: 0,
            has_asked: false,
            is_http2: false,
            idle_since: now,
            head_since: None,
            blocked_since: None,
            given_since: BTreeMap::new(),
            begun: 0,
            owes: false,
            framing: Framing::default(),
            is_upgraded: false,
        };
        Self {
            header_timeout: bounds.header_timeout,
            idle_timeout: bounds.idle_timeout,
            write_timeout: bounds.write_timeout,
            doing: Mutex::new(doing),
        }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's head is there; the request ends with what is given.
    pub(super) fn begin(self: &Arc<Self>, is_http2: bool) -> Underway {
        let mut doing = self.doing();
        doing.requests += 1;
        doing.begun += 1;
        let number = doing.begun;
        (doing.has_asked, doing.is_http2, doing.head_since, doing.owes) = (true, is_http2, None, true);
        let is_ambiguous = std::mem::take(&mut doing.framing).is_ambiguous() && !is_http2;
        drop(doing);
        Underway { life: Arc::clone(self), number, is_http2, is_ambiguous }
    }

    /// Bytes came.
    fn came(&self, bytes: &[u8], now: Instant) {
        let mut doing = self.doing();
        if doing.requests == 0 && !doing.is_http2 && !doing.is_upgraded && !bytes.is_empty() {
            doing.head_since.get_or_insert(now);
            doing.framing.look(bytes);
        }
    }

    /// Bytes were taken, or have to wait.
    fn went(&self, is_blocked: bool, now: Instant) {
        let blocked_since = &mut self.doing().blocked_since;
        if !is_blocked {
            *blocked_since = None;
        } else if blocked_since.is_none() {
            *blocked_since = Some(now);
        }
    }

    /// All that was written has gone.
    pub(super) fn flushed(&self) {
        let mut doing = self.doing();
        doing.owes &= doing.requests > 0;
    }

    /// Whether what is written next answers no request that was begun.
    pub(super) fn owes_nothing(&self) -> bool {
        let doing = self.doing();
        !doing.owes && !doing.is_http2 && !doing.is_upgraded
    }

    /// When it ends if nothing happens until then.
    fn end(&self) -> Option<Instant> {
        let doing = self.doing();
        let blocked = doing.blocked_since.iter().chain(doing.given_since.values()).min();
        let blocked = blocked.map(|since| *since + self.write_timeout);
        let asked = match doing.head_since {
            _ if doing.requests > 0 => None,
            Some(since) => Some(since + self.header_timeout),
            None if doing.has_asked => Some(doing.idle_since + self.idle_timeout),
            None => Some(doing.idle_since + self.header_timeout),
        };
        [blocked, asked].into_iter().flatten().min()
    }

    /// Whether it has to end now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// When it is worth to look again: nothing that begins after now is over before.
    pub(super) fn look_again(&self, now: Instant) -> Instant {
        let soonest = now + self.header_timeout.min(self.idle_timeout).min(self.write_timeout);
        self.end().map_or(soonest, |end| end.min(soonest)).max(now)
    }
}

/// A request under way; it ends when this is dropped.
pub(super) struct Underway {
    life: Arc<Life>,
    number: u64,
    is_http2: bool,
    is_ambiguous: bool,
}

impl Underway {
    /// Whether its head says in two ways where its body ends.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// What comes after its answer is none of HTTP, so that no head is looked for.
    pub(super) fn ends_http(&self) {
        self.life.doing().is_upgraded = true;
    }

    /// More of its answer is there from now on; over HTTP/1 its connection says how long.
    pub(super) fn gives(&self) {
        if self.is_http2 {
            self.life.doing().given_since.insert(self.number, Instant::now());
        }
    }

    /// Nothing of its answer is there for now.
    pub(super) fn waits(&self) {
        if self.is_http2 {
            self.life.doing().given_since.remove(&self.number);
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut doing = self.life.doing();
        doing.requests -= 1;
        doing.given_since.remove(&self.number);
        doing.idle_since = Instant::now();
    }
}

/// A connection's bytes, with what they mean for its life, and its place among those that may be open.
pub(super) struct Watched<S> {
    stream: S,
    life: Arc<Life>,
    _place: OwnedSemaphorePermit,
}

impl<S: Unpin> Watched<S> {
    /// Watches a stream.
    pub(super) fn new(stream: S, life: Arc<Life>, place: OwnedSemaphorePermit) -> Self {
        Self { stream, life, _place: place }
    }

    fn told<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.life.went(polled.is_pending(), Instant::now());
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.life.came(bytes, Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.told(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.told(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.told(shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
