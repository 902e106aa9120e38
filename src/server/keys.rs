//! API keys over HTTP: listed, made, revoked.
//!
//! Invariants
//! * The key itself is in the answer to who makes it, and nowhere else.
//! * A key that says something that is not known, or could open nothing, is not made.
use super::access::{Caller, Changed, SCOPES, audit};
use super::body::read_whole;
use super::error::{ApiError, json_response};
use super::{Server, blocking};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::catalog::KeyRecord;
use logyard_storage::limits::MIB;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const MILLI: i64 = 1_000_000;
const NAME_CHARS_MAX: usize = 100;
const SERVICES_MAX: usize = 100;
const SERVICE_BYTES_MAX: usize = 256;

/// `GET /api/v1/keys`
pub(super) async fn list(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let keys = blocking(move || {
        let mut keys: Vec<_> = server.engine.keys().into_iter().collect();
        keys.sort_by(|(a_id, a), (b_id, b)| a.created_at.cmp(&b.created_at).then_with(|| a_id.cmp(b_id)));
        keys.iter().map(|(id, key)| shown(&server, id, key)).collect::<Vec<Value>>()
    });
    Ok(json_response(StatusCode::OK, json!({ "keys": keys.await? }).to_string()))
}

/// `POST /api/v1/keys`
pub(super) async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let wanted: Map<String, Value> = serde_json::from_slice(&body.bytes)
        .map_err(|e| ApiError::bad(format!("the body must be a JSON object with name and scopes: {e}")))?;
    let record = record(&wanted, server.env.now())?;
    let body = blocking(move || {
        let (id, key) = server.gate.keys.make(&server.engine, server.env.random(), record.clone())?;
        let shown = shown(&server, &id, &record);
        let changed = Changed { action: "key.create", target: &id, before: Value::Null, after: shown.clone() };
        audit(&server, &caller, &changed);
        Ok::<_, ApiError>(json!({ "success": true, "secret": key, "key": shown }))
    });
    Ok(json_response(StatusCode::CREATED, body.await??.to_string()))
}

/// `DELETE /api/v1/keys/:key`
pub(super) async fn revoke(
    State(server): State<Arc<Server>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "Key not found");
    let id = id.map(|Path(id)| id).map_err(|_| missing())?;
    let body = blocking(move || {
        let last_used_at = server.gate.keys.last_used_at(&id);
        let key = server.gate.keys.revoke(&server.engine, &id)?.ok_or_else(missing)?;
        let before = shown(&server, &id, &KeyRecord { last_used_at, ..key });
        audit(&server, &caller, &Changed { action: "key.revoke", target: &id, before, after: Value::Null });
        Ok::<_, ApiError>(json!({ "success": true, "id": id }))
    });
    Ok(json_response(StatusCode::OK, body.await??.to_string()))
}

/// What is kept of a key that is wanted.
fn record(wanted: &Map<String, Value>, now: i64) -> Result<KeyRecord, ApiError> {
    let known = ["name", "scopes", "services", "expires_at"];
    if let Some(key) = wanted.keys().find(|key| !known.contains(&key.as_str())) {
        let key: String = key.chars().take(40).collect();
        return Err(ApiError::bad(format!("{key} is nothing that a key has; it has {}", known.join(", "))));
    }
    let name = wanted.get("name").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::bad(format!("name must be a text of 1 to {NAME_CHARS_MAX} characters")));
    }
    let scopes = texts(wanted.get("scopes")).unwrap_or_default();
    let names: Vec<&str> = SCOPES.iter().map(|(name, _)| *name).collect();
    if scopes.is_empty() || !scopes.iter().all(|scope| names.contains(&scope.as_str())) {
        return Err(ApiError::bad(format!("scopes must be a list of some of {}", names.join(", "))));
    }
    let services = match wanted.get("services") {
        None | Some(Value::Null) => Vec::new(),
        given => texts(given).filter(|services| are_services(services)).ok_or_else(|| {
            let error = format!("services must be a list of 1 to {SERVICES_MAX} names of services, or null for all");
            ApiError::bad(error)
        })?,
    };
    if !services.is_empty() && scopes.iter().any(|scope| scope == "admin") {
        return Err(ApiError::bad("a key with the scope admin is for all services; leave services out"));
    }
    let expires_at =
        match wanted.get("expires_at") {
            None | Some(Value::Null) => None,
            Some(at) => {
                let nanos = at.as_i64().and_then(|millis| millis.checked_mul(MILLI)).filter(|nanos| *nanos > now);
                Some(nanos.ok_or_else(|| {
                    ApiError::bad("expires_at must be milliseconds since 1970 that lie ahead, or null")
                })?)
            }
        };
    let hash = Default::default();
    Ok(KeyRecord { name: name.into(), hash, scopes, services, created_at: now, expires_at, last_used_at: None })
}

/// The texts of a list, each once, in their order.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    let mut texts: Vec<String> =
        value?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

fn are_services(names: &[String]) -> bool {
    (1..=SERVICES_MAX).contains(&names.len()) && names.iter().all(|name| (1..=SERVICE_BYTES_MAX).contains(&name.len()))
}

/// A key as it is shown, without what would open anything.
fn shown(server: &Server, id: &str, key: &KeyRecord) -> Value {
    let millis = |at: Option<i64>| at.map(|at| at.div_euclid(MILLI));
    json!({
        "id": id,
        "name": key.name,
        "scopes": key.scopes,
        "services": (!key.services.is_empty()).then_some(&key.services),
        "created_at": key.created_at.div_euclid(MILLI),
        "expires_at": millis(key.expires_at),
        "expired": key.expires_at.is_some_and(|at| at <= server.env.now()),
        "last_used_at": millis(server.gate.keys.last_used_at(id).or(key.last_used_at)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(wanted: Value) -> Result<KeyRecord, String> {
        record(wanted.as_object().unwrap(), 1_000 * MILLI).map_err(|e| e.to_string())
    }

    #[test]
    fn a_key_that_could_open_nothing_is_refused() {
        let right =
            json!({"name": " n ", "scopes": ["read", "ingest", "read"], "services": ["b", "a"], "expires_at": 1001});
        let key = made(right).unwrap();
        assert_eq!((key.name.as_str(), key.expires_at), ("n", Some(1_001 * MILLI)));
        assert_eq!((key.scopes, key.services), (vec!["ingest".into(), "read".into()], vec!["a".into(), "b".into()]));
        for (wrong, said) in [
            (json!({"scopes": ["read"]}), "name"),
            (json!({"name": "a\nb", "scopes": ["read"]}), "name"),
            (json!({"name": "n"}), "scopes"),
            (json!({"name": "n", "scopes": []}), "scopes"),
            (json!({"name": "n", "scopes": ["write"]}), "scopes"),
            (json!({"name": "n", "scopes": "read"}), "scopes"),
            (json!({"name": "n", "scopes": ["read"], "services": []}), "services"),
            (json!({"name": "n", "scopes": ["read"], "services": [""]}), "services"),
            (json!({"name": "n", "scopes": ["read"], "services": ["a", 5]}), "services"),
            (json!({"name": "n", "scopes": ["admin"], "services": ["a"]}), "admin"),
            (json!({"name": "n", "scopes": ["read"], "expires_at": 1000}), "expires_at"),
            (json!({"name": "n", "scopes": ["read"], "expires_at": "tomorrow"}), "expires_at"),
            (json!({"name": "n", "scopes": ["read"], "expires_at": i64::MAX}), "expires_at"),
            (json!({"name": "n", "scopes": ["read"], "service": "a"}), "service is nothing"),
        ] {
            let error = made(wrong.clone()).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
