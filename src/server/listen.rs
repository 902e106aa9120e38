//! The accept loop: our own, so that slow and idle connections are given up, and a stop waits for requests under way.
//!
//! Invariants
//! * No more connections are open than may; one more is told so and closed, and costs nothing else.
//! * On a stop no connection is accepted, requests under way are answered, and after `drain_timeout` the rest is cut.
mod connection;
mod framing;
mod held;
mod life;
mod paced;
mod refusals;
mod taken;

pub(super) use framing::{refuse_ambiguous, refuse_too_many};
pub(super) use held::Held;
pub(super) use paced::TooSlow;

use super::access::Peer;
use super::request_id::fresh;
use super::tls::Tls;
use crate::config::ServerBounds;
use axum::Router;
use connection::Host;
use hyper_util::server::graceful::GracefulShutdown;
use logyard_storage::env::Env;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long to wait when there is no file descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What one too many is told, where it does not speak TLS.
const FULL: &str =
    "{\"error\":\"as many connections are open as may (server.max_connections); come back in a second\"}";

/// Opens the first of the addresses that can be.
pub(crate) async fn listen(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    TcpListener::bind(addresses).await
}

/// Serves until SIGINT or SIGTERM, and then until the requests under way are answered; `stopping` ends those that have no end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: ServerBounds,
    tls: Option<Arc<Tls>>,
    env: Arc<dyn Env>,
    stopping: impl FnOnce(),
) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(bounds.max_connections));
    let drain_timeout = bounds.drain_timeout;
    let host = Arc::new(Host { router, bounds, env });
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let Some((stream, peer)) = accepted else { continue };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => converse(&host, (stream, peer), place, tls.as_deref(), connections.watcher()),
            Err(_) => refuse(stream, tls.is_some(), &fresh(&*host.env)),
        }
    }
    drop(listener);
    stopping();
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(drain_timeout) => super::complain(format_args!("stopping with requests still under way")),
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The next connection.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, Peer)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Without it answers wait for more bytes that never come; where it cannot be set they are only slower.
            let _is_set = stream.set_nodelay(true);
            Some((stream, Peer(peer.ip())))
        }
        Err(e) if e.kind() == io::ErrorKind::ConnectionAborted || e.kind() == io::ErrorKind::ConnectionReset => None,
        Err(e) => {
            super::complain(format_args!("cannot accept a connection: {e}"));
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Speaks with a client on a task of its own.
fn converse(
    host: &Arc<Host>,
    (stream, peer): (TcpStream, Peer),
    place: OwnedSemaphorePermit,
    tls: Option<&Tls>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let host = Arc::clone(host);
    match tls.map(Tls::acceptor) {
        None => drop(tokio::spawn(async move { host.converse((stream, peer), place, watcher).await })),
        Some(acceptor) => drop(tokio::spawn(async move {
            let handshake = tokio::time::timeout(host.bounds.header_timeout, acceptor.accept(stream)).await;
            // Who does not get through it is told so by TLS itself, or has gone.
            if let Ok(Ok(stream)) = handshake {
                host.converse((stream, peer), place, watcher).await;
            }
        })),
    }
}

/// Tells one too many, as far as that costs no waiting.
fn refuse(stream: TcpStream, is_tls: bool, id: &str) {
    if is_tls {
        return;
    }
    // Past the runtime, which does not know yet that a new connection takes bytes; it stays one that never waits.
    if let Ok(mut stream) = stream.into_std() {
        // There is room for so little; where there is not, it is closed without a word.
        let _is_told = stream.write(full(id).as_bytes());
        // What has come already is read, since closing over it would take the answer back.
        let _is_read = stream.read(&mut [0; 4_096]);
    }
}

/// The answer to one too many.
fn full(id: &str) -> String {
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nx-request-id: {id}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{FULL}",
        FULL.len()
    )
}
