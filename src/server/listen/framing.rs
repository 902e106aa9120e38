//! Heads that are refused: those that say in two ways where their body ends, by `Content-Length` and by `Transfer-Encoding`, and those of
//! HTTP/2 that have too many lines.
//!
//! A proxy in front may believe the one, and we the other; then the end of one body is the next request to one of us. hyper
//! believes `Transfer-Encoding`, hides the other, and closes after its answer; such a request is refused here all the same, since no
//! honest client sends it. It is looked for in the bytes, as hyper does not tell.
//!
//! Only heads are looked at that come while no request is under way, and of what comes at once the first. A head that is pipelined behind
//! another request is left to hyper: its body ends as `Transfer-Encoding` says, and the connection with its answer.
//!
//! Invariant: a head is looked at up to its end, in pieces of any size, and nothing of it is kept but where in which name it is.
use crate::server::error::ApiError;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";

/// Marks a request with a head that ends its body in two ways.
#[derive(Clone)]
pub(super) struct Ambiguous;

/// Refuses requests that are marked.
pub(crate) async fn refuse_ambiguous(request: Request, next: Next) -> Response {
    if request.extensions().get::<Ambiguous>().is_none() {
        return next.run(request).await;
    }
    let error = "the request has Content-Length and Transfer-Encoding; send one of them";
    let mut response = ApiError::new(StatusCode::BAD_REQUEST, error).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Marks a request of HTTP/2 with more header lines than the number; over HTTP/1 hyper counts them.
#[derive(Clone)]
pub(super) struct TooMany(pub(super) usize);

/// Refuses requests that are so marked.
pub(crate) async fn refuse_too_many(request: Request, next: Next) -> Response {
    let Some(TooMany(most)) = request.extensions().get() else { return next.run(request).await };
    let error = format!("the request has more than {most} header lines (server.max_headers)");
    ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error).into_response()
}

/// How far a head was looked at.
#[derive(Default)]
pub(super) struct Framing {
    /// Bytes of the current line, line ends left out.
    column: usize,
    /// Whether the line could still begin with the name.
    may_be_length: bool,
    may_be_encoding: bool,
    has_length: bool,
    has_encoding: bool,
    has_begun: bool,
    is_over: bool,
}

impl Framing {
    /// Looks at the next bytes of a head.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.is_over {
                return;
            }
            self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                // Empty lines before a request are let through, the one behind it ends the head.
                self.is_over = self.has_begun && self.column == 0;
                self.column = 0;
                (self.may_be_length, self.may_be_encoding) = (true, true);
                return;
            }
            b'\r' => return,
            b':' => {
                self.has_length |= self.may_be_length && self.column == LENGTH.len();
                self.has_encoding |= self.may_be_encoding && self.column == ENCODING.len();
            }
            _ => {}
        }
        let is_at = |name: &[u8]| name.get(self.column).is_some_and(|&at| at == byte.to_ascii_lowercase());
        let (is_length, is_encoding) = (is_at(LENGTH), is_at(ENCODING));
        self.may_be_length &= is_length;
        self.may_be_encoding &= is_encoding;
        self.column += 1;
        self.has_begun = true;
    }

    /// Whether both were there.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.has_length && self.has_encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(head: &str, piece: usize) -> bool {
        let mut framing = Framing::default();
        head.as_bytes().chunks(piece).for_each(|bytes| framing.look(bytes));
        framing.is_ambiguous()
    }

    #[test]
    fn both_are_found_in_any_order_case_and_pieces() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTRANSFER-ENCODING:chunked\r\nhost: x\r\ncontent-length:3\r\n\r\n",
            "\r\nPOST / HTTP/1.1\ncontent-length: 3\ntransfer-encoding: x\n\n",
        ] {
            assert!([1, 2, 7, 1_000].iter().all(|&piece| is_ambiguous(head, piece)), "{head}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nX: Transfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encodings: chunked\r\nTransfer-Encodin: x\r\n\r\n",
            "content-length: 3\r\ntransfer-encoding: x\r\n\r\n",
        ] {
            assert!([1, 5, 1_000].iter().all(|&piece| !is_ambiguous(head, piece)), "{head}");
        }
    }
}
