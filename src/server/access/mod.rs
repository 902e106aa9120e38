//! What stands before every route: who comes, from where, how often, and what is written down of it.
//!
//! * [`table`] has every route and what it takes to use it; [`guard`] stands before each, [`turn_away`] where there is none.
//! * [`door`] tells credentials apart, [`keys`] has the keys that were made, [`caller`] is what handlers see of both, [`stay`] what they
//!   see of a body.
//! * [`address`], [`limits`], [`cors`]: where requests come from, how often they may, and which pages may make them.
//! * [`records`] and [`audit`] are what is written down.
//!
//! Invariants
//! * Nothing of a request's body is read before it has passed.
//! * Who has come in stays no longer than its key counts: [`Caller::stays`] says so for everything that takes its time.
//! * No key is looked at that is not counted and, but for ingest, written down.
//! * A route refuses keys that are for some services only, unless the table says who sees to it that they get no others.
mod address;
mod audit;
mod caller;
mod cors;
mod door;
mod keys;
mod limits;
mod records;
mod stay;
pub(super) mod table;

pub(super) use address::Peer;
pub(super) use audit::{Changed, audit};
pub(super) use caller::{Caller, not_for};
pub(super) use cors::allow;
pub(crate) use door::Door;
pub(super) use keys::{KeyEnd, Keys, SCOPES};

use super::error::ApiError;
use super::metrics::requests::GONE;
use super::request_id::RequestId;
use super::{Server, complain};
use crate::config::{AccessSettings, Cidr};
use axum::RequestExt;
use axum::extract::{RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cors::Origins;
use door::Holder;
use limits::{Quota, RateLimits};
use logyard_storage::engine::Engine;
use records::{AccessRecords, Record, STORE_EVERY, told_parameters, told_path};
use std::sync::Arc;
use std::time::Duration;
use table::{Class, Route, Scope, Services};

/// How often it is written down when keys were used last.
const NOTE_USES_EVERY: Duration = Duration::from_secs(600);
const MILLI: i64 = 1_000_000;
/// Methods that are told by their names.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// What stands before every route.
pub(crate) struct Gate {
    door: Door,
    pub(in crate::server) keys: Keys,
    limits: RateLimits,
    origins: Origins,
    proxies: Vec<Cidr>,
    records: AccessRecords,
}

impl Gate {
    /// With the keys that the engine keeps.
    pub(crate) fn new(door: Door, settings: &AccessSettings, engine: &Engine) -> Self {
        Self {
            door,
            keys: Keys::of(engine),
            limits: RateLimits::new(&settings.rate_limit),
            origins: Origins::new(&settings.cors_origins),
            proxies: settings.trusted_proxies.clone(),
            records: AccessRecords::new(settings.log),
        }
    }

    /// Whether a page asks that is neither the server's own nor of an origin that is named.
    pub(super) fn is_strange_page(&self, request: &Request) -> bool {
        self.origins.are_without(request)
    }

    /// Stores what there is to write down. This blocks.
    pub(crate) fn write_down(&self, engine: &Engine) {
        self.records.store(engine);
        if let Err(error) = self.keys.write_uses(engine) {
            complain(format_args!("when keys were used last could not be written down: {error}"));
        }
    }
}

/// Writes down what there is, while the server runs.
pub(crate) async fn keep_written(server: Arc<Server>) {
    let mut noted = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(STORE_EVERY).await;
        let is_due = noted.elapsed() >= NOTE_USES_EVERY;
        if is_due {
            noted = tokio::time::Instant::now();
        }
        let server = Arc::clone(&server);
        let work = move || {
            if is_due { server.gate.write_down(&server.engine) } else { server.gate.records.store(&server.engine) }
        };
        // It fails only by a panic, of which the panic itself has told.
        let _is_done = tokio::task::spawn_blocking(work).await;
    }
}

/// The middleware of a route.
pub(super) async fn guard(
    State((server, route)): State<(Arc<Server>, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    if route.scope == Scope::Open {
        return next.run(request).await;
    }
    let mut told = Told::of(&server, &request, matches!(route.scope, Scope::Read | Scope::Admin));
    let response = match admit(&server.gate, route, &mut request, &mut told).await {
        Ok(caller) => {
            request = request.map(|body| caller.guarded(body, &server.env));
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    told.answered(response)
}

/// Answers where there is no such route, which is told to nobody but who has a right key. Whoever guesses keys here is counted and
/// written down as anywhere else.
pub(super) fn turn_away(server: &Arc<Server>, request: &Request, class: Class, answer: ApiError) -> Response {
    let mut told = Told::of(server, request, true);
    let refusal = identify(&server.gate, class, request, &mut told).err();
    told.answered(refusal.unwrap_or(answer).into_response())
}

/// What is known of a request, whether or not it is let in. It is written down when it is dropped: as what it was answered with, or as
/// one whose client has gone.
struct Told {
    server: Arc<Server>,
    is_written: bool,
    at: i64,
    began: Duration,
    method: &'static str,
    path: String,
    parameters: String,
    address: std::net::IpAddr,
    request_id: Arc<str>,
    key: Option<Arc<str>>,
    quota: Option<Quota>,
    status: u16,
}

impl Told {
    fn of(server: &Arc<Server>, request: &Request, is_written: bool) -> Self {
        let extensions = request.extensions();
        let peer = extensions.get::<Peer>().copied().unwrap_or_default();
        let method = METHODS.into_iter().find(|name| *name == request.method().as_str());
        Self {
            server: Arc::clone(server),
            is_written,
            at: server.env.now(),
            began: server.env.monotonic(),
            method: method.unwrap_or("other"),
            path: told_path(request.uri().path()),
            parameters: request.uri().query().map(told_parameters).unwrap_or_default(),
            address: address::client(&server.gate.proxies, peer, request.headers()),
            request_id: extensions.get::<RequestId>().map_or_else(|| "-".into(), |id| Arc::clone(&id.0)),
            key: None,
            quota: None,
            status: GONE,
        }
    }

    /// The answer, with what is left of the rates.
    fn answered(mut self, mut response: Response) -> Response {
        self.status = response.status().as_u16();
        if let Some(quota) = self.quota {
            quota.tell(response.headers_mut());
        }
        response
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.is_written {
            return;
        }
        let took = self.server.env.monotonic().saturating_sub(self.began);
        self.server.gate.records.tell(self.at, || Record {
            at: self.at,
            method: self.method,
            path: std::mem::take(&mut self.path),
            parameters: std::mem::take(&mut self.parameters),
            status: self.status,
            took,
            key: self.key.take(),
            address: self.address,
            request_id: Arc::clone(&self.request_id),
        });
    }
}

/// Lets a request in, or says why not.
async fn admit(gate: &Gate, route: &Route, request: &mut Request, told: &mut Told) -> Result<Caller, ApiError> {
    let holder = identify(gate, route.class, request, told)?;
    if gate.door.is_open() && route.changes() {
        gate.origins.check_change(request)?;
    }
    if !holder.is_good_for(route.scope) {
        let needed = SCOPES.iter().find(|(_, scope)| *scope == route.scope).map_or("", |(name, _)| name);
        return Err(ApiError::new(StatusCode::FORBIDDEN, format!("This API key does not have the scope {needed}")));
    }
    let caller = Caller::new(&holder, told.address, Arc::clone(&told.request_id));
    if caller.services.is_some() {
        check_services(route, request, &caller).await?;
    }
    Ok(caller)
}

/// Says who comes, where it may come so often.
fn identify(gate: &Gate, class: Class, request: &Request, told: &mut Told) -> Result<Holder, ApiError> {
    let millis = told.at.div_euclid(MILLI);
    let of_address = gate.limits.of_address(class, told.address, millis);
    told.quota = of_address;
    of_address.map_or(Ok(()), |quota| quota.check(millis))?;
    if gate.door.is_open() {
        gate.origins.check_host(request)?;
    }
    let holder = gate.door.identify(&gate.keys, request.headers(), told.at)?;
    let key = holder.id();
    told.key = Some(Arc::clone(&key));
    let of_key = gate.limits.of_key(class, &key, millis);
    told.quota = Quota::tighter(of_key, of_address);
    of_key.map_or(Ok(()), |quota| quota.check(millis))?;
    Ok(holder)
}

/// Refuses a key that is for some services only what it may not have, as far as the path says it.
async fn check_services(route: &Route, request: &mut Request, caller: &Caller) -> Result<(), ApiError> {
    match route.services {
        Services::Narrowed => Ok(()),
        Services::Refused => {
            let error = "This API key is for some services only, and this is for all of them";
            Err(ApiError::new(StatusCode::FORBIDDEN, error))
        }
        Services::Named => {
            let params = request.extract_parts::<RawPathParams>().await;
            let params = params.map_err(|e| ApiError::bad(e.body_text()))?;
            let named = params.iter().find(|(name, _)| *name == "service").map(|(_, service)| service);
            caller.check(named.unwrap_or_default())
        }
    }
}
