//! What a handler leaves of a body is read on before the answer goes out: a client that sends all before it looks would find its
//! connection closed otherwise, or take it for one that it can use again.
//!
//! Invariants
//! * Nothing of it is kept, and it is bounded in bytes and in time; behind a bound the answer says that the connection ends.
//! * Whoever is read on in holds nothing that others wait for, such as a place among the requests that are answered at once.
//! * Who asks before it sends, or announces more than is read on, is told at once.
use super::body::declared;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use logyard_storage::limits::{KIB, MIB};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

const BYTES_MAX: usize = 64 * MIB;
const TIME_MAX: Duration = Duration::from_secs(10);
/// What an answer may keep in memory meanwhile; those that refuse are far smaller.
const ANSWER_BYTES_MAX: u64 = 64 * KIB as u64;

/// The layer around all that answers.
pub(super) async fn read_on(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let is_http1 = request.version() < Version::HTTP_2;
    let is_large = declared(request.headers()).is_some_and(|len| len > BYTES_MAX as u64);
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (giver, mut left) = oneshot::channel();
    let lend = |body| Body::new(Lent { body, is_asked_for: false, giver: Some(giver) });
    let mut response = next.run(request.map(lend)).await;
    // What still has the body reads it by itself.
    let Ok(Left { body, is_asked_for }) = left.try_recv() else { return response };
    let is_worth_it = !is_large && (is_asked_for || !asks_first);
    if is_worth_it && !body.is_end_stream() {
        response = let_go(response).await;
    }
    let is_at_its_end = body.is_end_stream() || is_worth_it && reaches_its_end(body).await;
    if !is_at_its_end && is_http1 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer without what its body holds, where the body is all there.
async fn let_go(response: Response) -> Response {
    if response.body().size_hint().exact().is_none_or(|bytes| bytes > ANSWER_BYTES_MAX) {
        return response;
    }
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(whole) => Response::from_parts(parts, Body::from(whole.to_bytes())),
        Err(e) => {
            super::complain(format_args!("an answer failed: {e}"));
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Whether its end is within the bounds.
async fn reaches_its_end(mut body: Body) -> bool {
    let read = async {
        let mut left = BYTES_MAX;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
            left = less;
        }
        true
    };
    tokio::time::timeout(TIME_MAX, read).await.unwrap_or(false)
}

/// A body that comes back once its reader has dropped it.
struct Lent {
    body: Body,
    is_asked_for: bool,
    giver: Option<oneshot::Sender<Left>>,
}

/// What came back.
struct Left {
    body: Body,
    /// Whether its reader ever looked at it, which tells a client that waits to send it.
    is_asked_for: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (body, is_asked_for) = (std::mem::take(&mut self.body), self.is_asked_for);
        if let Some(giver) = self.giver.take() {
            // Where nobody takes it, the connection has gone.
            let _is_taken = giver.send(Left { body, is_asked_for });
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.is_asked_for = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
