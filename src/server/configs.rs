//! How each service wants its records kept, over HTTP.
//!
//! Invariants
//! * A change names keys and leaves the others as they are. A key that is not known, or says what cannot be kept, is refused by its
//!   name, and then nothing is changed.
//! * Who changes a configuration sees what was changed before.
use super::access::{Caller, Changed, audit};
use super::body::read_whole;
use super::error::{ApiError, json_response};
use super::services::{Name, named};
use super::{Server, blocking};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::catalog::{ServiceConfig, TTL_FOREVER};
use logyard_storage::engine::{DEFAULTS, Engine};
use logyard_storage::limits::MIB;
use logyard_storage::query::size;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const BODY_BYTES_MAX: usize = MIB;
const MILLI: i64 = 1_000_000;
/// Days of the policies, as the engine has them.
const EXTENDED_DAYS: i32 = 90;
const MINIMAL_DAYS: i32 = 7;

/// Held from reading a configuration until it is changed, not while that is written down.
static CHANGING: Mutex<()> = Mutex::new(());

/// `GET /api/v1/logs/config/:service`
pub(super) async fn get(State(server): State<Arc<Server>>, name: Name) -> Result<Response, ApiError> {
    let name = named(name)?;
    let config = own(&server.engine, &name);
    Ok(json_response(StatusCode::OK, json!({ "config": shown(&server, &name, &config) }).to_string()))
}

/// `GET /api/v1/logs/configs`
pub(super) async fn all(State(server): State<Arc<Server>>, caller: Caller) -> Result<Response, ApiError> {
    let configs = server.engine.configs();
    let defaults = configs.get_key_value(DEFAULTS).into_iter();
    let services = configs.iter().filter(|(name, _)| *name != DEFAULTS);
    let seen = defaults.chain(services).filter(|(name, _)| caller.is_for(name));
    let configs: Vec<Value> = seen.map(|(name, config)| shown(&server, name, config)).collect();
    Ok(json_response(StatusCode::OK, json!({ "configs": configs }).to_string()))
}

/// `PUT /api/v1/logs/config/:service`
pub(super) async fn put(
    State(server): State<Arc<Server>>,
    caller: Caller,
    name: Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let name = named(name)?;
    let body = read_whole(&headers, body, server.whole.of(BODY_BYTES_MAX), server.bodies.room()).await?;
    let change: Map<String, Value> = serde_json::from_slice(&body.bytes)
        .map_err(|e| ApiError::bad(format!("the body must be a JSON object of what to change: {e}")))?;
    let body = blocking(move || {
        let (before, after) = changed(&server, &name, &change)?;
        let body = json!({ "success": true, "config": after }).to_string();
        audit(&server, &caller, &Changed { action: "config.set", target: &name, before, after });
        Ok::<_, ApiError>(body)
    });
    Ok(json_response(StatusCode::OK, body.await??))
}

/// Changes a configuration, and gives what was before and what is.
fn changed(server: &Server, name: &str, change: &Map<String, Value>) -> Result<(Value, Value), ApiError> {
    let _one_at_a_time = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut config = own(&server.engine, name);
    let before = shown(server, name, &config);
    for (key, value) in change {
        set(&mut config, name, key, value)?;
    }
    let kept = server.engine.set_config(name, config)?;
    Ok((before, shown(server, name, &kept)))
}

/// What a service has of its own; one that was never configured begins with what is said for all and is either so or not.
fn own(engine: &Engine, name: &str) -> ServiceConfig {
    let configs = engine.configs();
    let fresh = || ServiceConfig {
        alert_on_errors: configs.get(DEFAULTS).is_some_and(|defaults| defaults.alert_on_errors),
        ..ServiceConfig::default()
    };
    configs.get(name).cloned().unwrap_or_else(fresh)
}

/// Changes what a key says.
fn set(config: &mut ServiceConfig, service: &str, key: &str, value: &Value) -> Result<(), ApiError> {
    let wrong = |wanted: &str| ApiError::bad(format!("{key} must be {wanted}, not {value}"));
    match key {
        "ttl_days" => {
            config.ttl_days =
                days(value).ok_or_else(|| wrong("a number of days, 0 or null for the default, or -1 for ever"))?
        }
        "local_days" => {
            let days = none_or(value, |value| value.as_u64().and_then(|days| u32::try_from(days).ok()));
            config.local_days = days.ok_or_else(|| wrong("a number of days, or null"))?;
        }
        "retention_policy" => {
            let policy = none_or(value, |value| value.as_str().map(str::to_owned));
            config.retention_policy = policy.ok_or_else(|| wrong("standard, extended or minimal"))?;
        }
        "size_budget" => {
            let budget =
                none_or(value, |value| value.as_u64().or_else(|| bytes(value.as_str()?)).filter(|bytes| *bytes > 0));
            config.size_budget = budget.ok_or_else(|| wrong("a number of bytes, a size such as \"10GB\", or null"))?;
        }
        "archive" => config.archive = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        "alert_on_errors" => config.alert_on_errors = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        "max_logs_per_day" => {
            let most = none_or(value, |value| value.as_u64().filter(|most| *most > 0));
            config.max_logs_per_day = most.ok_or_else(|| wrong("a number of logs from 1 on, or null"))?;
        }
        "mask_fields" => config.privacy.mask_fields = texts(value).ok_or_else(|| wrong("a list of names of fields"))?,
        "drop_fields" => config.privacy.drop_fields = texts(value).ok_or_else(|| wrong("a list of names of fields"))?,
        "mask_patterns" => {
            config.privacy.mask_patterns = texts(value).ok_or_else(|| wrong("a list of regular expressions"))?;
        }
        "service_name" if value == service => {}
        "service_name" => return Err(wrong("the service that the path names")),
        // They come back with what was got; when it was changed is for the server to say.
        "created_at" | "updated_at" => {}
        _ => {
            let keys = "ttl_days, local_days, retention_policy, size_budget, archive, alert_on_errors, \
                        max_logs_per_day, mask_fields, drop_fields, mask_patterns";
            let key: String = key.chars().take(40).collect();
            return Err(ApiError::bad(format!("{key} cannot be configured for a service; there are {keys}")));
        }
    }
    Ok(())
}

/// Nothing for null, else what it says.
fn none_or<T>(value: &Value, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

/// A list of texts; null is an empty one.
fn texts(value: &Value) -> Option<Vec<String>> {
    if value.is_null() {
        return Some(Vec::new());
    }
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn days(value: &Value) -> Option<i32> {
    let days = none_or(value, |value| value.as_i64().and_then(|days| i32::try_from(days).ok()))?.unwrap_or(0);
    (days >= TTL_FOREVER).then_some(days)
}

fn bytes(text: &str) -> Option<u64> {
    size(text).and_then(|bytes| u64::try_from(bytes).ok())
}

/// A configuration with what holds where it says nothing.
fn shown(server: &Server, service: &str, config: &ServiceConfig) -> Value {
    let default_days = server.engine.default_days().map_or(TTL_FOREVER, |days| i32::try_from(days).unwrap_or(i32::MAX));
    let configs = server.engine.configs();
    let policy = match config.retention_policy.as_deref() {
        // Its days are those of all, and so is the policy that they come from.
        None | Some("standard") if config.ttl_days == 0 => {
            configs.get(DEFAULTS).and_then(|all| all.retention_policy.as_deref())
        }
        own => own,
    };
    let policy = policy.unwrap_or("standard");
    let most = config.max_logs_per_day.or_else(|| configs.get(DEFAULTS)?.max_logs_per_day);
    let ttl_days = match (config.ttl_days, config.retention_policy.as_deref()) {
        (0, Some("extended")) => EXTENDED_DAYS,
        (0, Some("minimal")) => MINIMAL_DAYS,
        (0, _) => default_days,
        (days, _) => days,
    };
    // What was never configured has no times.
    let millis = |time: i64| (time != 0).then(|| time.div_euclid(MILLI));
    json!({
        "service_name": service,
        "ttl_days": ttl_days,
        "local_days": config.local_days,
        "retention_policy": policy,
        "size_budget": config.size_budget,
        "archive": config.archive,
        "alert_on_errors": config.alert_on_errors,
        "max_logs_per_day": most,
        "mask_fields": config.privacy.mask_fields,
        "drop_fields": config.privacy.drop_fields,
        "mask_patterns": config.privacy.mask_patterns,
        "created_at": millis(config.created_at),
        "updated_at": millis(config.updated_at),
    })
}
