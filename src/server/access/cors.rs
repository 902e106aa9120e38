//! Which pages of other origins may ask. None unless the operator names them.
//!
//! Invariants
//! * An origin that is not named learns nothing from the answer's head, and its preflights are requests like others.
//! * Browsers send simple requests of any page without asking. Where no key keeps these out, a page whose origin is not named changes
//!   nothing; and the server answers by names only that nobody else can give to it, since else a page of another name could be its own.
use crate::server::Server;
use crate::server::error::ApiError;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

const METHODS: HeaderValue = HeaderValue::from_static("GET,POST,PUT,DELETE,OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("Content-Type, Authorization");
/// What pages may read of an answer's head.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, X-Logyard-Ack, X-Logyard-Query, X-Logyard-Rejected, X-RateLimit-Limit, X-RateLimit-Remaining, \
     X-RateLimit-Reset, Retry-After",
);
/// How long a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins that are named.
pub(super) struct Origins(Vec<String>);

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        Self(origins.to_vec())
    }

    /// What the answer says to the origin of a request, if it is one of them.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.0.iter().any(|named| named == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.0.iter().any(|named| named.eq_ignore_ascii_case(text)).then(|| origin.clone())
    }

    /// Whether a page asks that is neither the server's own nor of an origin that is named.
    pub(super) fn are_without(&self, request: &Request) -> bool {
        is_of_other_origin(host(request), request.headers()) && self.allowed(request.headers()).is_none()
    }

    /// Refuses such a page what would change something.
    pub(super) fn check_change(&self, request: &Request) -> Result<(), ApiError> {
        if !self.are_without(request) {
            return Ok(());
        }
        let error = "A page of another origin changes nothing of a server that asks for no key; name its origin in cors.origins \
                     (LOGYARD_CORS_ORIGINS), or use a key";
        Err(ApiError::new(StatusCode::FORBIDDEN, error))
    }

    /// Refuses what was sent to a name that could be anybody's. A request that names nobody is of no browser.
    pub(super) fn check_host(&self, request: &Request) -> Result<(), ApiError> {
        if host(request).is_none_or(|host| is_own_name(host) || self.have_host(host)) {
            return Ok(());
        }
        let error = "A server that asks for no key is called localhost, by a loopback address, or by the name of an origin in \
                     cors.origins (LOGYARD_CORS_ORIGINS)";
        Err(ApiError::new(StatusCode::FORBIDDEN, error))
    }

    fn have_host(&self, host: &str) -> bool {
        let mut hosts = self.0.iter().filter_map(|origin| origin.split_once("://"));
        hosts.any(|(_, named)| named.eq_ignore_ascii_case(host))
    }
}

/// Whom a request was sent to. What is no text is nobody's name.
fn host(request: &Request) -> Option<&str> {
    let named = || Some(request.headers().get(header::HOST)?.to_str().unwrap_or_default());
    request.uri().authority().map(Authority::as_str).or_else(named)
}

fn is_own_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a page asks that did not come from `own`, the host that it asks.
fn is_of_other_origin(own: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let of = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    of.is_none() || of != own
}

/// The middleware of all requests.
pub(in crate::server) async fn allow(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let origins = &server.gate.origins;
    let allowed = origins.allowed(request.headers());
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && allowed.is_some();
    let mut response = if is_preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    if !origins.0.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    if is_preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::access::table::TABLE;
    use axum::body::Body;

    fn request(uri: &str, origin: Option<&str>, host: Option<&str>) -> Request {
        let headers = [(header::ORIGIN, origin), (header::HOST, host)];
        let builder = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let builder = builder.fold(Request::builder().uri(uri), |builder, (name, value)| builder.header(name, value));
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn pages_of_named_origins_may_ask_by_the_methods_of_all_routes() {
        let allowed = METHODS.to_str().unwrap().to_ascii_lowercase();
        for method in TABLE.iter().flat_map(|route| route.methods) {
            let name = format!("{method:?}").to_ascii_lowercase();
            assert!(allowed.split(',').any(|allowed| allowed == name), "{name} of {allowed}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_told_apart() {
        let origins = Origins::new(&["https://logs.example".to_owned()]);
        let is_other = |origin, host| origins.are_without(&request("/", origin, host));
        assert!(!is_other(None, Some("a:1")));
        assert!(!is_other(Some("http://a:1"), Some("a:1")));
        assert!(!is_other(Some("https://logs.example"), Some("a:1")));
        for other in ["http://b:1", "http://a", "null", "https://a:1.evil", "http://logs.example", ""] {
            assert!(is_other(Some(other), Some("a:1")), "{other}");
        }
        assert!(is_other(Some("http://a"), None));
        // As HTTP/2 has it.
        assert!(!origins.are_without(&request("https://a:1/", Some("https://a:1"), None)));
        assert!(!Origins::new(&["*".to_owned()]).are_without(&request("/", Some("null"), Some("a:1"))));
    }

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        let origins = Origins::new(&["https://logs.example".to_owned(), "*".to_owned()]);
        let is_own = |uri: &str, host: Option<&str>| origins.check_host(&request(uri, None, host)).is_ok();
        assert!(is_own("/", Some("Logs.example")) && !is_own("/", Some("logs.example.a")) && !is_own("/", Some("*")));
        for host in ["localhost", "LocalHost:7514", "a.localhost", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:7514"] {
            assert!(is_own("/", Some(host)) && is_own(&format!("http://{host}/"), None), "{host}");
        }
        for host in ["", "a", "localhost.a:1", "xlocalhost", "10.0.0.1", "[::2]", "127.0.0.1.a", "a:x", "localhost, a"]
        {
            assert!(!is_own("/", Some(host)), "{host}");
        }
        assert!(is_own("/", None));
        assert!(!is_own("http://a/", Some("localhost")));
    }
}
