//! One connection, from its first byte to its end.
//!
//! Invariants
//! * It keeps its place until its stream is dropped, also once it speaks another protocol.
//! * A request is under way until the body of its answer is dropped: its guard goes with that.
//! * What a client of HTTP/2 may send, or leave untaken, is bounded for each stream and for the connection.
use super::life::{Life, Watched};
use super::paced::{LAST_LOOK, Paced};
use super::refusals::Refusals;
use super::taken::Taken;
use crate::config::ServerBounds;
use crate::server::access::Peer;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use logyard_storage::env::Env;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt;

/// Requests that a client of HTTP/2 may have under way on one connection.
const STREAMS_MAX: u32 = 128;
/// What a client of HTTP/2 may send of one body, and of all on its connection, before somebody reads it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// What is kept of an answer for a client of HTTP/2 that does not take it.
const SEND_BYTES_MAX: usize = 128 << 10;
/// How often a client of HTTP/2 is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);

/// What all connections share.
pub(super) struct Host {
    pub(super) router: Router,
    pub(super) bounds: ServerBounds,
    /// Where ids come from.
    pub(super) env: Arc<dyn Env>,
}

impl Host {
    /// Speaks with a client until it goes, is given up, or the server stops.
    pub(super) async fn converse<S>(&self, (stream, peer): (S, Peer), place: OwnedSemaphorePermit, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let life = Arc::new(Life::new(&self.bounds, Instant::now()));
        let (router, begun, pace) = (self.router.clone(), Arc::clone(&life), self.bounds.body_timeout);
        let lines_max = self.bounds.max_headers;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let guard = begun.begin(request.version() == Version::HTTP_2);
            if request.version() == Version::HTTP_2 && request.headers().len() > lines_max {
                request.extensions_mut().insert(super::framing::TooMany(lines_max));
            }
            if guard.is_ambiguous() {
                request.extensions_mut().insert(super::framing::Ambiguous);
            }
            let mut request: Request = request.map(|body| Body::new(Paced::new(body, pace)));
            crate::server::socket::find_at_root(&mut request);
            let answered = router.clone().oneshot(request);
            async move {
                let response = answered.await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    guard.ends_http();
                }
                Ok::<_, Infallible>(response.map(|body| Taken::new(body, guard)))
            }
        });
        let watched = Watched::new(stream, Arc::clone(&life), place);
        let stream = TokioIo::new(Refusals::new(watched, Arc::clone(&life), Arc::clone(&self.env)));
        let connection = self.builder().serve_connection_with_upgrades(stream, service).into_owned();
        let mut connection = pin!(watcher.watch(connection));
        // What goes wrong is the client's leaving. A timeout is seen however much comes, which another branch of a `select!` is not: who
        // sends faster than we read takes all turns of the task.
        loop {
            let look_again = life.look_again(Instant::now());
            if timeout_at(look_again, &mut connection).await.is_ok() {
                return;
            }
            if !life.is_over(Instant::now()) {
                continue;
            }
            // Where this machine held us up, what came in time is still to be looked at.
            if timeout(LAST_LOOK, &mut connection).await.is_ok() || life.is_over(Instant::now()) {
                return;
            }
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let head = self.bounds.max_header_bytes;
        // `Life` keeps the time of heads, since hyper's own timer knows none between requests.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None::<Duration>);
        builder.http1().max_buf_size(head).max_headers(self.bounds.max_headers);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new()).keep_alive_interval(Some(PING));
        http2.max_concurrent_streams(Some(STREAMS_MAX)).max_send_buf_size(SEND_BYTES_MAX);
        http2.initial_stream_window_size(Some(STREAM_WINDOW)).initial_connection_window_size(Some(CONNECTION_WINDOW));
        http2.max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX));
        builder
    }
}
