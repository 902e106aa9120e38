//! Requests as they are counted: by route, method and status, how long they took, and what was wrong.
//!
//! Invariants
//! * There are as many counters as routes and methods, whatever clients ask for: what is no route counts as `none`.
//! * Each request counts once, also when its client goes before there is an answer.
use crate::log;
use crate::server::Server;
use crate::server::error::{Reason, reason_of};
use crate::server::listen::Held;
use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use logyard_storage::durations::{DurationCounts, Durations};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

/// The route of what is none.
const NO_ROUTE: &str = "none";
/// What is counted where a client goes before there is an answer.
pub(in crate::server) const GONE: u16 = 499;
const STATUSES: usize = 600;

/// Requests since the start.
#[derive(Default)]
pub(crate) struct Requests {
    routes: RwLock<BTreeMap<(String, &'static str), Arc<Route>>>,
    reasons: Mutex<BTreeMap<&'static str, u64>>,
    in_flight: Arc<AtomicU64>,
}

/// Requests of one route and method.
pub(super) struct Route {
    /// By status.
    answers: Vec<AtomicU64>,
    durations: Durations,
    body_bytes: AtomicU64,
}

impl Route {
    fn new() -> Self {
        Self {
            answers: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            durations: Durations::default(),
            body_bytes: AtomicU64::new(0),
        }
    }

    fn count(&self, status: usize) {
        if let Some(count) = self.answers.get(status) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Statuses that were answered, and how often.
    pub(super) fn answers(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.answers.iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0)
    }

    pub(super) fn durations(&self) -> DurationCounts {
        self.durations.read()
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }
}

impl Requests {
    fn counts_of(&self, path: &str, method: &Method) -> Arc<Route> {
        let key = (path.to_owned(), known(method));
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(route);
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(key).or_insert_with(|| Arc::new(Route::new())))
    }

    fn note_reason(&self, reason: &'static str) {
        *self.reasons.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Every route and method that was asked for.
    pub(super) fn routes(&self) -> Vec<((String, &'static str), Arc<Route>)> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.iter().map(|(key, route)| (key.clone(), Arc::clone(route))).collect()
    }

    /// Why requests were refused, and how often.
    pub(super) fn reasons(&self) -> BTreeMap<&'static str, u64> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests whose answers have not been given to the end.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A method that is counted by its name.
fn known(method: &Method) -> &'static str {
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"].into_iter().find(|name| method == name).unwrap_or("other")
}

/// A request until its answer has been given.
struct InFlight(Arc<AtomicU64>);

impl InFlight {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request when it is dropped: as what it was answered with, or as one whose client has gone.
struct Pending {
    route: Arc<Route>,
    began: Instant,
    status: u16,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.route.count(self.status.into());
        self.route.durations.note(self.began.elapsed());
    }
}

/// The middleware of all requests.
pub(in crate::server) async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let requests = &server.requests_seen;
    let path = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = known(request.method());
    let route = requests.counts_of(&path, request.method());
    let in_flight = InFlight::new(&requests.in_flight);
    let mut pending = Pending { route: Arc::clone(&route), began: Instant::now(), status: GONE };
    let response = next.run(request.map(|body| Body::new(Counted { body, route }))).await;
    let status = response.status();
    pending.status = status.as_u16();
    if status.is_client_error() || status.is_server_error() {
        requests
            .note_reason(response.extensions().get::<Reason>().map_or_else(|| reason_of(status), |reason| reason.0));
    }
    if log::is_on(log::Level::Debug) {
        say(&path, method, status, &pending);
    }
    drop(pending);
    response.map(|body| Body::new(Held::new(body, in_flight)))
}

/// Says what was asked and how it ended; nothing that a client could have put a secret into.
fn say(path: &str, method: &'static str, status: StatusCode, pending: &Pending) {
    let fields = vec![
        ("method", method.to_owned()),
        ("route", path.to_owned()),
        ("status", status.as_str().to_owned()),
        ("milliseconds", pending.began.elapsed().as_millis().to_string()),
    ];
    log::say(log::Level::Debug, format_args!("answered a request"), fields);
}

/// A request's body whose bytes are counted.
struct Counted {
    body: Body,
    route: Arc<Route>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    // What is wrong itself: whoever reads the body looks for it behind one error, not behind two.
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.route.body_bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(axum::Error::into_inner)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_before_there_is_an_answer_is_counted_as_gone() {
        let requests = Requests::default();
        let pending = || {
            let route = requests.counts_of("/a", &Method::GET);
            Pending { route, began: Instant::now(), status: GONE }
        };
        drop(pending());
        let mut answered = pending();
        answered.status = 200;
        drop(answered);
        let routes = requests.routes();
        assert_eq!((routes.len(), routes[0].1.durations().count()), (1, 2));
        assert_eq!(routes[0].1.answers().collect::<Vec<_>>(), [(200, 1), (499, 1)]);
        let held = InFlight::new(&requests.in_flight);
        assert_eq!(requests.in_flight(), 1);
        drop(held);
        assert_eq!(requests.in_flight(), 0);
    }

    #[test]
    fn methods_that_nobody_knows_are_one() {
        let made_up = Method::from_bytes(b"FROBNICATE").unwrap();
        assert_eq!((known(&made_up), known(&Method::POST)), ("other", "POST"));
    }
}
