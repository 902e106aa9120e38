//! Answers that hyper gives by itself, to heads that it cannot read or finds too large: they become answers like ours, with a text
//! and an id.
//!
//! hyper writes such an answer when no request has begun that it would be the answer to; so it is told from ours by when it comes, and
//! by its being a head of HTTP/1 without a body. Behind other requests whose answers have not gone out it is left as it is, and so it is
//! over HTTP/2.
//!
//! Invariants
//! * Nothing that answers a request is changed.
//! * What the client is told instead is small, and goes out before hyper hears that its own went.
use super::life::Life;
use crate::server::request_id::fresh;
use logyard_storage::env::Env;
use serde_json::json;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is said to heads that are refused, by their status.
const SAID: [(&str, &str); 3] = [
    (
        "400",
        "the request's head is none of HTTP/1.1, or does not say how long its body is: one Content-Length, or Transfer-Encoding: chunked",
    ),
    ("414", "the request's path is too long (server.max_header_bytes)"),
    (
        "431",
        "the request's head has more lines or more bytes than may be (server.max_headers, server.max_header_bytes)",
    ),
];

/// A connection's bytes, with our words for hyper's.
pub(super) struct Refusals<S> {
    stream: S,
    life: Arc<Life>,
    env: Arc<dyn Env>,
    own: Option<Own>,
}

/// What goes out instead.
struct Own {
    bytes: Vec<u8>,
    gone: usize,
    /// Bytes of hyper's that it stands for.
    stands_for: usize,
}

impl<S> Refusals<S> {
    /// Looks at what is written to a stream.
    pub(super) fn new(stream: S, life: Arc<Life>, env: Arc<dyn Env>) -> Self {
        Self { stream, life, env, own: None }
    }
}

impl<S: AsyncWrite + Unpin> Refusals<S> {
    /// Writes what stands for these bytes, where something does; says of how many they are then.
    fn poll_own(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<Option<usize>>> {
        if self.own.is_none() && self.life.owes_nothing() {
            let told = told(bytes, || fresh(&*self.env));
            self.own = told.map(|told| Own { bytes: told.into_bytes(), gone: 0, stands_for: bytes.len() });
        }
        let Some(own) = &mut self.own else { return Poll::Ready(Ok(None)) };
        while let Some(left) = own.bytes.get(own.gone..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                gone => own.gone += gone,
            }
        }
        let stands_for = own.stands_for;
        self.own = None;
        Poll::Ready(Ok(Some(stands_for)))
    }
}

/// What is said instead of an answer that is hyper's; nothing where it is none.
fn told(head: &[u8], id: impl FnOnce() -> String) -> Option<String> {
    const EMPTY: &str = "content-length: 0";
    let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let (first, lines) = head.split_once("\r\n")?;
    let status = first.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let (_, error) = SAID.iter().find(|(of, _)| *of == status)?;
    let (empty, others): (Vec<&str>, Vec<&str>) = lines.split("\r\n").partition(|line| *line == EMPTY);
    if empty.len() != 1 {
        return None;
    }
    let body = json!({ "error": error }).to_string();
    let (others, id, len) = (others.join("\r\n"), id(), body.len());
    Some(format!(
        "{first}\r\ncontent-type: application/json\r\nx-request-id: {id}\r\ncontent-length: {len}\r\n{others}\r\n\r\n{body}"
    ))
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusals<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Refusals<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(self.poll_own(cx, buf))? {
            Some(gone) => Poll::Ready(Ok(gone)),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.life.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head is one piece, and such an answer is nothing but its head.
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        match ready!(self.poll_own(cx, first))? {
            Some(gone) => Poll::Ready(Ok(gone)),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_answer_to_a_wrong_head_gets_words() {
        let told = |head: &str| told(head.as_bytes(), || "7".into());
        let own = told("HTTP/1.1 431 X\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n").unwrap();
        let (head, body) = own.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = head.split("\r\n").collect();
        let len = format!("content-length: {}", body.len());
        assert_eq!(
            lines,
            [
                "HTTP/1.1 431 X",
                "content-type: application/json",
                "x-request-id: 7",
                len.as_str(),
                "connection: close",
                "date: now"
            ]
        );
        assert!(body.starts_with("{\"error\":\"") && body.contains("server.max_headers"), "{body}");
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 X\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 400 X\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 X\r\ncontent-length: 0\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
