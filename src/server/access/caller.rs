//! Who asks, as handlers see it.
//!
//! Invariants
//! * Rows that somebody sent are stored by [`Server::append`] or `append_placed` only. If one of them is of a service that the
//!   key is not for, none is stored.
//! * Nothing is stored for a key that was revoked or has expired meanwhile, and nothing more of a body is read then.
//! * A handler that asks for a [`Caller`] has none where the door was passed by, and answers with an error.
use super::door::Holder;
use super::keys::{Key, KeyEnd};
use super::stay::Staying;
use crate::server::Server;
use crate::server::error::ApiError;
use axum::body::{Body, HttpBody};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use logyard_storage::catalog::ServiceConfig;
use logyard_storage::engine::{Append, Appended};
use logyard_storage::env::Env;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who asks: let in by the door, for this request.
#[derive(Clone)]
pub(in crate::server) struct Caller {
    /// The id of its key.
    pub(in crate::server) key: Arc<str>,
    /// Where it asks from.
    pub(in crate::server) address: IpAddr,
    pub(in crate::server) request_id: Arc<str>,
    /// The only services that its key is for.
    pub(in crate::server) services: Option<Arc<[String]>>,
    /// Its key, where that can end.
    made: Option<Arc<Key>>,
    /// Where what it stored goes.
    fate: Arc<Fate>,
}

impl Caller {
    pub(super) fn new(holder: &Holder, address: IpAddr, request_id: Arc<str>) -> Self {
        Self {
            key: holder.id(),
            address,
            request_id,
            services: holder.services(),
            made: holder.made(),
            fate: Arc::default(),
        }
    }

    /// Whether all that its request stored goes to the archive. Of one that was repeated, and stored nothing, that is known where
    /// all services do.
    pub(in crate::server) fn goes_to_archive(&self, configs: &BTreeMap<String, ServiceConfig>) -> bool {
        match self.fate.is_known.load(Ordering::Relaxed) {
            true => !self.fate.is_kept_out.load(Ordering::Relaxed),
            false => configs.values().all(|config| config.archive),
        }
    }

    /// Whether its key still counts.
    pub(in crate::server) fn stays(&self, now: i64) -> Result<(), KeyEnd> {
        self.made.as_ref().map_or(Ok(()), |key| key.check(now))
    }

    /// Waits until its key does not count any more; for ever where it is none that ends.
    pub(in crate::server) async fn end(&self, env: &dyn Env) -> KeyEnd {
        match &self.made {
            Some(key) => key.end(env).await,
            None => std::future::pending().await,
        }
    }

    /// A body that it sends or is given, which breaks off once its key does not count any more.
    pub(in crate::server) fn guarded(&self, body: Body, env: &Arc<dyn Env>) -> Body {
        match &self.made {
            Some(key) if !body.is_end_stream() => Body::new(Staying::new(body, Arc::clone(key), Arc::clone(env))),
            _ => body,
        }
    }

    /// Whether its key is for a service.
    pub(in crate::server) fn is_for(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.iter().any(|own| own == service))
    }

    /// Refuses services that its key is not for.
    pub(in crate::server) fn check(&self, service: &str) -> Result<(), ApiError> {
        if self.is_for(service) { Ok(()) } else { Err(not_for(service)) }
    }
}

/// The answer to whom a service is kept from.
pub(in crate::server) fn not_for(service: &str) -> ApiError {
    let shown: String = service.chars().take(100).collect();
    let error = match shown.as_str() {
        "" => "This API key is for some services only, and the record names none".into(),
        shown => format!("This API key is not for the service {shown}"),
    };
    ApiError::new(StatusCode::FORBIDDEN, error)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    /// There is none where the door was passed by, which only a bug could do.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let nobody = || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "BUG: a request that nobody let in");
        parts.extensions.get().cloned().ok_or_else(nobody)
    }
}

impl Server {
    /// Stores rows that somebody sent; all ways in end here. If one of them is of a service that the key is not for, or the key does not
    /// count any more, none is stored.
    pub(in crate::server) fn append(&self, caller: &Caller, append: Append) -> Result<Appended, ApiError> {
        self.let_in(caller, &append)?;
        Ok(self.engine.append(append)?)
    }

    /// The same, with effects that know where the rows are.
    pub(in crate::server) fn append_placed(&self, caller: &Caller, append: Append) -> Result<Appended, ApiError> {
        self.let_in(caller, &append)?;
        Ok(self.engine.append_placed(append)?)
    }

    fn let_in(&self, caller: &Caller, append: &Append) -> Result<(), ApiError> {
        check(caller, append, self.env.now())?;
        if !self.archives.is_empty() {
            caller.fate.note(append, &self.engine.configs());
        }
        Ok(())
    }
}

fn check(caller: &Caller, append: &Append, now: i64) -> Result<(), ApiError> {
    caller.stays(now)?;
    let streams = append.batch.iter().flat_map(|rows| rows.streams());
    streams.map(|stream| &stream.service).try_for_each(|service| caller.check(service))
}

/// Whether what a request stored goes to the archive.
#[derive(Default)]
struct Fate {
    is_known: AtomicBool,
    is_kept_out: AtomicBool,
}

impl Fate {
    fn note(&self, append: &Append, configs: &BTreeMap<String, ServiceConfig>) {
        self.is_known.store(true, Ordering::Relaxed);
        let mut streams = append.batch.iter().flat_map(|rows| rows.streams());
        if streams.any(|stream| configs.get(&*stream.service).is_some_and(|config| !config.archive)) {
            self.is_kept_out.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use logyard_storage::batch::BatchBuilder;
    use logyard_storage::catalog::KeyRecord;
    use logyard_storage::engine::{Ack, Engine, Options};
    use logyard_storage::env::RealEnv;
    use std::net::Ipv4Addr;

    #[test]
    fn nothing_is_stored_for_a_key_that_ended_after_it_was_let_in() {
        let data = tempfile::tempdir().unwrap();
        let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(data.path())).unwrap();
        let keys = Keys::default();
        let let_in = |expires_at| {
            let record = KeyRecord {
                name: "n".into(),
                hash: Default::default(),
                scopes: vec!["ingest".into()],
                services: Vec::new(),
                created_at: 1,
                expires_at,
                last_used_at: None,
            };
            let (id, key) = keys.make(&engine, 7 << 16 | expires_at.unwrap_or(0).unsigned_abs() << 20, record).unwrap();
            let holder = Holder::Made(keys.find(&key).unwrap());
            (id, Caller::new(&holder, Ipv4Addr::LOCALHOST.into(), "r".into()))
        };
        let ((id, revoked), (_, ending)) = (let_in(None), let_in(Some(100)));
        let mut rows = BatchBuilder::new();
        rows.begin_row();
        rows.string("_msg", "m");
        rows.commit_row();
        let append = Append::new(rows.finish().unwrap(), Ack::Memory);
        let said = |caller: &Caller, now| check(caller, &append, now).map_err(|e| e.to_string());
        assert_eq!((said(&revoked, i64::MAX), said(&ending, 99)), (Ok(()), Ok(())));
        assert!(said(&ending, 100).unwrap_err().contains("403") && said(&ending, 100).unwrap_err().contains("expired"));
        keys.revoke(&engine, &id).unwrap();
        assert!(said(&revoked, 0).unwrap_err().contains("has been revoked"));
        let admin = Caller::new(&Holder::All("admin".into()), Ipv4Addr::LOCALHOST.into(), "r".into());
        assert_eq!(said(&admin, i64::MAX), Ok(()));
        engine.close().unwrap();
    }
}
