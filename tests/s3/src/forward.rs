//! Requests as they are passed on to the server, and bodies that end before their end.
//!
//! Invariants
//! * A request goes on with the head that it came with: its signature is over that.
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::TcpStream;

pub(crate) type Body = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// How a body ends that is not sent to its end.
pub(crate) enum End {
    /// In order, as if that were all.
    Closed,
    /// By an error, which resets the connection.
    Cut,
    /// Never.
    Silent,
}

/// A body as it is.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// The first bytes of a body.
pub(crate) fn partial(bytes: Bytes, end: End) -> Body {
    let first = futures_util::stream::iter([Ok(Frame::data(bytes))]);
    let stream = match end {
        End::Closed => first.boxed(),
        End::Cut => first.chain(futures_util::stream::iter([Err(reset())])).boxed(),
        End::Silent => first.chain(futures_util::stream::pending()).boxed(),
    };
    BodyExt::boxed(StreamBody::new(Shared(std::sync::Mutex::new(stream))))
}

/// A stream that may be shared, as boxed bodies ask for.
struct Shared<T>(std::sync::Mutex<T>);

impl<T: futures_util::Stream + Unpin> futures_util::Stream for Shared<T> {
    type Item = T::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T::Item>> {
        self.get_mut().0.get_mut().unwrap().poll_next_unpin(context)
    }
}

pub(crate) fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "reset as the test asked for")
}

/// Passes a request on, and takes all of the answer.
pub(crate) async fn forward(server: &str, head: Parts, body: Body) -> io::Result<Response<Bytes>> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // How it ended is what the request says.
        let _ended = connection.await;
    });
    let answer = sender.send_request(Request::from_parts(head, body)).await.map_err(io::Error::other)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, body))
}
