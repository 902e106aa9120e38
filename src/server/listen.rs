//! The accept loop: our own, so that slow and idle connections are given up and a stop waits for requests under way.
//!
//! Invariants
//! * A connection whose request head is not there within `HEAD_MAX` is closed. hyper's own timer starts once it knows
//!   the protocol's version, so the first request has another one here.
//! * On a stop no connection is accepted, requests under way are answered, and after `DRAIN_MAX` the rest is cut.
use axum::Router;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

const HEAD_MAX: Duration = Duration::from_secs(10);
const DRAIN_MAX: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 8_192;
/// How long to wait when there is no file descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the first of the addresses that can be.
pub(crate) async fn listen(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    TcpListener::bind(addresses).await
}

/// Serves until SIGINT or SIGTERM, and then until the requests under way are answered; `stopping` ends those that have no end.
pub(crate) async fn serve(listener: TcpListener, router: Router, stopping: impl FnOnce()) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = tokio::select! {
            stream = accept(&listener, &places) => stream,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let Some((stream, place)) = stream else { continue };
        tokio::spawn(converse(stream, place, router.clone(), connections.watcher()));
    }
    drop(listener);
    stopping();
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(DRAIN_MAX) => super::complain(format_args!("stopping with requests still under way")),
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The next connection, and its place among those that may be open.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it answers wait for more bytes that never come; where it cannot be set they are only slower.
            let _is_set = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(e) if e.kind() == io::ErrorKind::ConnectionAborted || e.kind() == io::ErrorKind::ConnectionReset => None,
        Err(e) => {
            super::complain(format_args!("cannot accept a connection: {e}"));
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// One connection, from its first byte to its end.
async fn converse(
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&has_begun);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        begun.store(true, Ordering::Relaxed);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEAD_MAX * 3));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let mut connection = pin!(watcher.watch(connection));
    tokio::select! {
        _closed = &mut connection => return,
        () = tokio::time::sleep(HEAD_MAX) => {}
    }
    if has_begun.load(Ordering::Relaxed) {
        // What goes wrong from here on is the client's leaving.
        let _closed = connection.await;
    }
}
