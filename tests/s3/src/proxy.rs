//! The proxy: every request is passed on to the server, unless a fault comes between.
//!
//! Invariants
//! * What no fault changes goes through byte by byte.
use crate::faults::{Asked, Counts, Faults, Kind, Plan};
use crate::forward::{Body, End, forward, full, partial, reset};
use crate::listing::Seen;
use crate::server::threads;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What refuses: status, code of the error, and how often such an answer has no body in four.
const REFUSALS: [(StatusCode, &str); 4] = [
    (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
    (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
    (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
];

/// A proxy; it ends when it is dropped.
pub struct Proxy {
    endpoint: String,
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

struct Inner {
    /// Where the server is, as `host:port`.
    server: String,
    plan: Plan,
    requests: AtomicU64,
    seen: Mutex<Seen>,
}

impl Proxy {
    /// Starts one before a server that listens at an endpoint; the seed says which requests meet what.
    pub fn start(endpoint: &str, seed: u64) -> Self {
        let server = endpoint.trim_start_matches("http://").to_owned();
        let inner = Inner { server, plan: Plan::new(seed), requests: AtomicU64::new(0), seen: Mutex::default() };
        let (inner, runtime) = (Arc::new(inner), threads("s3-proxy"));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let accepting = Arc::clone(&inner);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&accepting), stream));
            }
        });
        Self { endpoint, inner, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets it fail so often from now on.
    pub fn set(&self, faults: Faults) {
        self.inner.plan.set(faults);
    }

    /// Lets the next request that can meet a fault meet it, after those that were said before.
    pub fn next(&self, kind: Kind) {
        self.inner.plan.push(kind);
    }

    /// How often what happened.
    pub fn counts(&self) -> &Counts {
        &self.inner.plan.counts
    }

    /// How many requests came.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(inner: Arc<Inner>, stream: TcpStream) {
    let Ok(stream) = stream.into_std() else { return };
    // A second handle on the same connection, by which it is told to end with a reset.
    let (Ok(Ok(handle)), Ok(stream)) = (stream.try_clone().map(TcpStream::from_std), TcpStream::from_std(stream))
    else {
        return;
    };
    let handle = Arc::new(handle);
    let answering = service_fn(move |request| {
        let (inner, handle) = (Arc::clone(&inner), Arc::clone(&handle));
        async move {
            inner.requests.fetch_add(1, Ordering::Relaxed);
            inner.answer(request, &handle).await
        }
    });
    // A client that goes is no fault of the proxy's.
    let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
}

fn asked(head: &Parts) -> Asked {
    let query = head.uri.query().unwrap_or_default();
    let lists = head.method == Method::GET && query.contains("list-type=2");
    let writes = matches!(head.method, Method::PUT | Method::POST);
    let says = |name| head.headers.contains_key(name);
    let has_body = head.headers.get(header::CONTENT_LENGTH).is_some_and(|len| len != "0");
    Asked {
        is_conditional: writes && (says(header::IF_MATCH) || says(header::IF_NONE_MATCH)),
        has_body: writes && has_body,
        carries_object: head.method == Method::PUT && has_body,
        reads_object: head.method == Method::GET && !lists,
        completes: head.method == Method::POST && query.contains("uploadId="),
        lists,
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>, connection: &TcpStream) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let (kind, detail) = self.plan.draw(&asked(&head));
        let cut = || {
            // Where that fails the connection is closed in order, which is an end as well.
            let _reset = connection.set_zero_linger();
            reset()
        };
        let note = |kind| self.plan.counts.note(kind);
        match kind {
            Some(kind @ (Kind::Refused | Kind::Out | Kind::Hangs | Kind::Echoed)) => {
                note(kind);
                match kind {
                    Kind::Out => Err(cut()),
                    Kind::Hangs => std::future::pending().await,
                    Kind::Echoed => Ok(echo(&head)),
                    // What is still to come is read, or it would be cut off in the middle of sending.
                    _ => body.collect().await.map_err(io::Error::other).map(|_| refusal(detail)),
                }
            }
            Some(Kind::RequestCut) => {
                note(Kind::RequestCut);
                let half = first_half(&head, body).await?;
                // The server answers what it does not understand, or not at all.
                let _answer = forward(&self.server, head, partial(half, End::Cut)).await;
                Err(cut())
            }
            _ => self.carry_out(head, body, kind, detail, &cut).await,
        }
    }

    /// Passes a request on, and gives the answer, or another one.
    async fn carry_out(
        &self,
        head: Parts,
        body: Incoming,
        kind: Option<Kind>,
        detail: usize,
        cut: &(dyn Fn() -> io::Error + Sync),
    ) -> io::Result<Response<Body>> {
        let mut bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let note = |kind| self.plan.counts.note(kind);
        if kind == Some(Kind::RequestGarbled) {
            note(Kind::RequestGarbled);
            bytes = garbled(&bytes, detail);
        }
        if kind == Some(Kind::ErrorInOk) && detail & 1 == 0 {
            note(Kind::ErrorInOk);
            return Ok(error(StatusCode::OK, "InternalError"));
        }
        let (method, uri, sent) = (head.method.clone(), head.uri.clone(), bytes.len());
        let mut answer = forward(&self.server, head, full(bytes)).await?;
        let is_done = answer.status().is_success();
        self.remember(&method, &uri, sent, is_done);
        let len = answer.body().len();
        let half = || answer.body().slice(..len / 2);
        let body = match kind {
            Some(kind @ (Kind::Lost | Kind::Raced | Kind::ErrorInOk)) => {
                note(kind);
                return match kind {
                    Kind::Lost => Ok(refusal(detail)),
                    Kind::Raced => Err(cut()),
                    _ => Ok(error(StatusCode::OK, "InternalError")),
                };
            }
            Some(kind @ (Kind::AnswerCut | Kind::Stalls | Kind::Truncated)) if len > 0 => {
                note(kind);
                match kind {
                    Kind::Truncated => partial(half(), End::Closed),
                    Kind::Stalls => partial(half(), End::Silent),
                    _ => {
                        let _told = cut();
                        partial(half(), End::Cut)
                    }
                }
            }
            Some(Kind::Short) if is_done && len > 0 => {
                note(Kind::Short);
                let short = answer.body().slice(..len - 1 - detail % len);
                answer.headers_mut().insert(header::CONTENT_LENGTH, short.len().into());
                full(short)
            }
            Some(Kind::AnswerGarbled) if is_done && len > 0 => {
                note(Kind::AnswerGarbled);
                full(garbled(answer.body(), detail))
            }
            Some(Kind::Stale) if is_done => {
                note(Kind::Stale);
                let aged = self.aged(&uri, answer.body());
                answer.headers_mut().remove(header::CONTENT_LENGTH);
                full(aged)
            }
            _ => full(answer.body().clone()),
        };
        let (mut head, whole) = answer.into_parts();
        if matches!(kind, Some(Kind::AnswerCut | Kind::Stalls | Kind::Truncated)) {
            head.headers.insert(header::CONTENT_LENGTH, whole.len().into());
            head.headers.remove(header::TRANSFER_ENCODING);
        }
        Ok(Response::from_parts(head, body))
    }

    fn remember(&self, method: &Method, uri: &hyper::Uri, sent: usize, is_done: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match *method {
            Method::PUT if is_done && uri.query().is_none_or(|query| !query.contains("uploadId=")) => {
                seen.make(uri.path(), sent);
            }
            Method::DELETE if is_done => seen.remove(uri.path()),
            _ => {}
        }
    }

    fn aged(&self, uri: &hyper::Uri, listing: &Bytes) -> Bytes {
        let bucket = uri.path().trim_matches('/');
        let prefix = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("prefix="));
        let prefix = prefix.unwrap_or_default().replace("%2F", "/");
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.age(bucket, &prefix, &String::from_utf8_lossy(listing)).into()
    }
}

/// As much of a body as is half of what was said to come.
async fn first_half(head: &Parts, mut body: Incoming) -> io::Result<Bytes> {
    let said = head.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
    let half = said.unwrap_or(0) / 2;
    let mut bytes = Vec::new();
    while bytes.len() < half
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(io::Error::other)?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
    }
    bytes.truncate(half);
    Ok(bytes.into())
}

fn garbled(bytes: &Bytes, detail: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    let len = bytes.len();
    if let Some(byte) = bytes.get_mut(detail % len.max(1)) {
        *byte ^= 0x10;
    }
    bytes.into()
}

fn refusal(detail: usize) -> Response<Body> {
    let (status, code) = REFUSALS[detail % REFUSALS.len()];
    match detail / REFUSALS.len() % 4 {
        0 => answer(status, ""),
        1 => answer(status, "<html><body>try again</body></html>"),
        _ => error(status, code),
    }
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>as the test asked for</Message></Error>"
    );
    answer(status, text)
}

/// An answer by somebody who knows nothing of what is secret.
fn echo(head: &Parts) -> Response<Body> {
    let signed = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    answer(StatusCode::FORBIDDEN, format!("authorization: {signed}\n{:?}", head.headers))
}

fn answer(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(full(text));
    *answer.status_mut() = status;
    answer
}
