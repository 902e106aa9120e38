//! A body, of a request or of an answer, as long as the key counts with which the request came in: one that goes on for long may outlast it.
//!
//! Invariants
//! * Once the key does not count any more nothing of the body is given, whatever of it has come, and nobody waits for it.
//! * A body that is there costs no more than a look at the clock for each piece.
use super::keys::{Key, KeyEnd};
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use logyard_storage::env::Env;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Waits for the end of a key.
type End = Pin<Box<dyn Future<Output = KeyEnd> + Send>>;

/// Such a body.
pub(super) struct Staying {
    body: Body,
    key: Arc<Key>,
    env: Arc<dyn Env>,
    /// Once the body had to be waited for.
    end: Option<End>,
}

impl Staying {
    pub(super) fn new(body: Body, key: Arc<Key>, env: Arc<dyn Env>) -> Self {
        Self { body, key, env, end: None }
    }
}

impl HttpBody for Staying {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Err(end) = self.key.check(self.env.now()) {
            return Poll::Ready(Some(Err(axum::Error::new(end))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let (key, env) = (Arc::clone(&self.key), Arc::clone(&self.env));
        let end = self.end.get_or_insert_with(|| Box::pin(async move { key.end(&*env).await }));
        let end = ready!(end.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(end))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
