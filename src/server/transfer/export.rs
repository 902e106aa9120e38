//! `POST /api/v1/archive/export`: what is here as Parquet, or as a file for each log, into a directory of the server's machine or a
//! target of the archive.
//!
//! Invariants
//! * One export runs at a time. It ends when its answer is not waited for any more; what it wrote stays, and the next one goes on.
//! * What is asked for wrongly is refused before anything is written.
use super::super::access::{Caller, Changed, audit};
use super::super::archive::of_archive;
use super::super::backup::whole_path;
use super::super::body::read_whole;
use super::super::deletion::time;
use super::super::error::ApiError;
use super::super::progress::{self, Teller};
use super::super::{Server, blocking};
use crate::transfer::export::{self, Export, Form, Found, Wanted};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::archive::{Bucket, Store, StoreLimits, runtime};
use logyard_storage::limits::MIB;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, TryLockError};
use std::time::Duration;

/// How long after an hour is over its parts are written, where nothing else is said.
const LAG: Duration = Duration::from_secs(600);
const KEYS: [&str; 8] = ["to", "target", "since", "before", "service", "format", "layout", "repack"];

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Directory(PathBuf),
    Target(String),
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    place: Place,
    wanted: Wanted,
}

/// The handler.
pub(in crate::server) async fn export(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let form = progress::Form::of(&headers);
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let asked = blocking({
        let server = Arc::clone(&server);
        move || {
            let asked = Asked::new(&body.bytes, server.env.now(), server.engine.data())?;
            match &asked.place {
                Place::Target(name) if server.archives.target(name).is_none() => {
                    let name: String = name.chars().take(40).collect();
                    Err(ApiError::bad(format!("target names no [[archive]] of this server: `{name}`")))
                }
                _ => Ok(asked),
            }
        }
    });
    let asked = asked.await??;
    progress::answer(form, move |teller| do_export(&server, &caller, &asked, teller)).await
}

fn do_export(server: &Server, caller: &Caller, asked: &Asked, mut teller: Teller) {
    let last = make(server, asked, &mut teller).map(|found| done(&found));
    let after = match &last {
        Ok(done) => done.clone(),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let target = match &asked.place {
        Place::Directory(path) => path.display().to_string(),
        Place::Target(name) => name.clone(),
    };
    audit(server, caller, &Changed { action: "archive.export", target: &target, before: Value::Null, after });
    teller.end(last);
}

fn make(server: &Server, asked: &Asked, teller: &mut Teller) -> Result<Found, ApiError> {
    let _one_at_a_time = match server.transfers.exporting.try_lock() {
        Ok(held) => held,
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
        Err(TryLockError::WouldBlock) => {
            let error = "another export is going on; wait for its end, and ask again";
            return Err(ApiError::new(StatusCode::CONFLICT, error));
        }
    };
    let (directory, target);
    let bucket: &dyn Bucket = match &asked.place {
        Place::Directory(path) => {
            directory = Store::directory(&server.env, path, StoreLimits::default(), &runtime()?)?;
            &directory
        }
        Place::Target(name) => {
            let gone = || ApiError::bad("target names no [[archive]] of this server");
            target = Arc::clone(&server.archives.target(name).ok_or_else(gone)?.bucket);
            &*target
        }
    };
    let (engine, spool, cancel) = (&*server.engine, server.engine.data(), teller.cancel());
    let mut tell = |found: Found, until: i64| {
        teller.tell(|| json!({ "rows": found.rows, "parts": found.parts, "until": until.div_euclid(1_000_000) }))
    };
    Ok(Export { engine, bucket, spool, cancel }.run(&asked.wanted, &mut tell).map_err(of_archive)?)
}

/// What came of an export.
fn done(found: &Found) -> Value {
    json!({
        "success": true,
        "parts": found.parts,
        "rows": found.rows,
        "bytes": found.bytes,
        "existed": found.existed,
        "removed": found.removed,
    })
}

impl Asked {
    fn new(body: &[u8], now: i64, data: &Path) -> Result<Self, ApiError> {
        let keys = KEYS.join(", ");
        let object: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|e| ApiError::bad(format!("the body must be a JSON object with some of {keys}: {e}")))?;
        if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let key: String = key.chars().take(40).collect();
            return Err(ApiError::bad(format!("{key} is nothing that an export has; it has {keys}")));
        }
        let text = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(ApiError::bad(format!("{name} must be a text"))),
        };
        let form = match (text("format")?, text("layout")?) {
            (None | Some("parquet"), None | Some("service")) => Form::Parquet,
            (None | Some("parquet"), Some("cloudflare-audit")) => Form::Audit,
            (Some("ndjson"), None) => Form::Ndjson,
            (None | Some("parquet"), Some(_)) => {
                return Err(ApiError::bad("layout must be service or cloudflare-audit"));
            }
            (Some("ndjson"), Some(_)) => return Err(ApiError::bad("layout is one of Parquet; leave it out")),
            (Some(_), _) => return Err(ApiError::bad("format must be parquet or ndjson")),
        };
        let repack = match object.get("repack") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(repack)) => *repack,
            Some(_) => return Err(ApiError::bad("repack must be true or false")),
        };
        if repack && form != Form::Parquet {
            return Err(ApiError::bad("repack is for Parquet by service"));
        }
        let at = |name: &str| text(name)?.map(|text| time(name, text, now)).transpose();
        // What is still to come of an hour would only become further parts.
        let over = if form == Form::Ndjson { now } else { export::over(now, LAG) };
        let (since, before) = (at("since")?, at("before")?);
        if let (Some((since, _)), Some((before, _))) = (since, before)
            && since >= before
        {
            return Err(ApiError::bad("since must be earlier than before"));
        }
        let wanted = Wanted {
            form,
            services: text("service")?.map(str::to_owned).into_iter().collect(),
            since: since.map(|(first, _)| first),
            before: before.map_or(over, |(first, _)| first),
            repack,
        };
        let place = match (text("to")?, text("target")?) {
            (None, Some(name)) => Place::Target(name.to_owned()),
            (Some(to), None) if Path::new(to).is_absolute() && !to.contains('\0') => {
                Place::Directory(whole_path(Path::new(to), data).map_err(ApiError::bad)?)
            }
            (Some(_), Some(_)) => return Err(ApiError::bad("to and target are two places: name one of them")),
            _ => {
                return Err(ApiError::bad(
                    "to must be the whole path of a directory of the server's machine, from / on, or target the name of an [[archive]]",
                ));
            }
        };
        Ok(Self { place, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_780_000_000_000_000_000;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let refused = |body: &str| Asked::new(body.as_bytes(), NOW, data.path()).unwrap_err().to_string();
        for (wrong, said) in [
            ("", "JSON object"),
            ("{}", "to must be"),
            (r#"{"to":"here"}"#, "to must be"),
            (r#"{"to":"/tmp/x","format":"csv"}"#, "parquet or ndjson"),
            (r#"{"to":"/tmp/x","since":"soon"}"#, "since must be"),
            (r#"{"to":"/tmp/x","since":"2026-02-02","before":"2026-01-01"}"#, "earlier than before"),
            (r#"{"to":"/tmp/x","repack":1}"#, "repack"),
            (r#"{"to":"/tmp/x","layout":"x"}"#, "layout must be"),
            (r#"{"to":"/tmp/x","layout":"service","format":"ndjson"}"#, "leave it out"),
            (r#"{"to":"/tmp/x","layout":"cloudflare-audit","repack":true}"#, "repack is for"),
            (r#"{"to":"/tmp/x","until":"1d"}"#, "until is nothing"),
            (r#"{"to":"/tmp/x","target":"main"}"#, "two places"),
        ] {
            let error = refused(wrong);
            assert!(error.starts_with("400") && error.contains(said), "{wrong}: {error}");
        }
        let inside = json!({ "to": data.path().join("x") }).to_string();
        assert!(refused(&inside).contains("data directory"));
    }

    #[test]
    fn only_hours_that_are_over_are_exported_where_nothing_is_said() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let asked = |more: Value| {
            let mut body = json!({ "to": other.path() });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Asked::new(body.to_string().as_bytes(), NOW, data.path()).unwrap().wanted
        };
        let hour = 3_600_000_000_000;
        let before = asked(json!({})).before;
        assert!(before % hour == 0 && before <= NOW - 600_000_000_000 && before > NOW - 600_000_000_000 - hour);
        let wanted = asked(json!({ "since": "2026-05-01", "before": "1h", "service": "a", "format": "ndjson" }));
        assert_eq!((wanted.before, wanted.form, wanted.services), (NOW - hour, Form::Ndjson, vec!["a".to_owned()]));
        assert_eq!(wanted.since, crate::ingest::time::from_text("2026-05-01T00:00:00Z"));
    }
}
