//! Work that takes long, and says how far it is: as JSON lines while it goes on, or as one answer at its end.
//!
//! Invariants
//! * What fails before it has said anything is an answer with a status; what fails later is a last line with `error`.
//! * An answer of lines without a last one of `success` or `error` broke off.
//! * Where nobody waits for the answer any more, whoever tells how far it is gets an error, which ends the work; so does whoever
//!   looks at [`Teller::cancel`] meanwhile.
use super::error::{ApiError, json_response};
use super::select::broke_off;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::scan::Cancel;
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_millis(500);
/// Lines that wait to be taken; one more is left out.
const LINES: usize = 4;
/// The type of JSON lines.
const TYPE: &str = "application/x-ndjson";

type Line = Result<Bytes, ApiError>;

/// In which form somebody hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line now and then, and a last one.
    Lines,
    /// The last one alone, with a status.
    Whole,
}

impl Form {
    /// The form that is asked for.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let wants_lines =
            |value: &str| value.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == TYPE));
        if accepted.into_iter().any(wants_lines) { Self::Lines } else { Self::Whole }
    }
}

/// Says how far some work is.
pub(super) struct Teller {
    form: Form,
    sender: Sender<Line>,
    said: Option<Instant>,
    cancel: Cancel,
}

impl Teller {
    /// What ends the work once nobody waits for the answer any more.
    pub(super) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Says how far it is, if that was not said just now.
    pub(super) fn tell(&mut self, progress: impl FnOnce() -> Value) -> Result<(), Error> {
        if self.sender.is_closed() {
            return Err(Error::new(ErrorKind::Cancelled, "whoever asked for it does not wait for it any more"));
        }
        if self.said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            if self.form == Form::Lines {
                // Where those before are not taken yet, this one is not missed.
                let _or_left_out = self.sender.try_send(Ok(line(&progress())));
            }
        }
        Ok(())
    }

    /// Whether anything was said.
    pub(super) fn has_begun(&self) -> bool {
        self.said.is_some()
    }

    /// Says what came of it. This blocks.
    pub(super) fn end(self, last: Result<Value, ApiError>) {
        let last = match last {
            Ok(done) => Ok(line(&done)),
            Err(error) if self.form == Form::Lines && self.has_begun() => Ok(line(&error.into_body())),
            Err(error) => Err(error),
        };
        // Where nobody waits for it, nobody misses it.
        let _is_taken = self.sender.blocking_send(last);
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

/// Does the work on a thread that may block, and answers.
pub(super) async fn answer(form: Form, work: impl FnOnce(Teller) + Send + 'static) -> Result<Response, ApiError> {
    let (sender, receiver) = channel(LINES);
    let cancel = Cancel::default();
    let mut rest = Rest { receiver, cancel: cancel.clone() };
    tokio::task::spawn_blocking(move || work(Teller { form, sender, said: None, cancel }));
    let first = rest.receiver.recv().await.ok_or_else(broke_off)??;
    if form == Form::Whole {
        let text = String::from_utf8_lossy(&first);
        return Ok(json_response(StatusCode::OK, text.trim_end().to_owned()));
    }
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(TYPE))];
    Ok((StatusCode::OK, kind, Body::new(Lines { first: Some(first), rest })).into_response())
}

/// What is still to be said, to somebody who waits for it.
struct Rest {
    receiver: Receiver<Line>,
    cancel: Cancel,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// The body of an answer of lines.
struct Lines {
    first: Option<Bytes>,
    rest: Rest,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.rest.receiver.poll_recv(cx).map(|line| line.map(|line| line.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_where_nobody_waits_for_its_answer() {
        for form in [Form::Whole, Form::Lines] {
            let (said, mut hear) = channel::<Cancel>(1);
            let answering = answer(form, move |mut teller| {
                let _is_heard = said.blocking_send(teller.cancel());
                teller.tell(|| Value::from(1)).unwrap();
                while teller.cancel().check().is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            // Who waits for the whole goes before it has come; who reads lines, in their middle.
            let cancel = match form {
                Form::Whole => tokio::select! {
                    _ = answering => panic!("there is no end of it"),
                    cancel = hear.recv() => cancel.unwrap(),
                },
                Form::Lines => {
                    let response = answering.await.unwrap();
                    let cancel = hear.recv().await.unwrap();
                    assert!(cancel.check().is_ok());
                    drop(response);
                    cancel
                }
            };
            assert!(cancel.check().is_err(), "{form:?}");
        }
    }

    #[test]
    fn lines_are_asked_for_by_their_type() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            Form::of(&headers)
        };
        assert_eq!((of("application/x-ndjson"), of("text/html, application/x-ndjson;q=1")), (Form::Lines, Form::Lines));
        assert_eq!(
            (of("*/*"), of("application/json"), Form::of(&HeaderMap::new())),
            (Form::Whole, Form::Whole, Form::Whole)
        );
    }
}
