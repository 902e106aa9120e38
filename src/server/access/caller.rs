//! Who asks, as handlers see it.
//!
//! Invariants
//! * Rows that somebody sent are stored by [`Server::append`] or `append_placed` only. If one of them is of a service that the
//!   key is not for, none is stored.
//! * A handler that asks for a [`Caller`] has none where the door was passed by, and answers with an error.
use super::door::Holder;
use crate::server::Server;
use crate::server::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use logyard_storage::engine::{Append, Appended};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks: let in by the door, for this request.
#[derive(Clone, Debug)]
pub(in crate::server) struct Caller {
    /// The id of its key.
    pub(in crate::server) key: Arc<str>,
    /// Where it asks from.
    pub(in crate::server) address: IpAddr,
    pub(in crate::server) request_id: Arc<str>,
    /// The only services that its key is for.
    pub(in crate::server) services: Option<Arc<[String]>>,
}

impl Caller {
    pub(super) fn new(holder: &Holder, address: IpAddr, request_id: Arc<str>) -> Self {
        Self { key: holder.id(), address, request_id, services: holder.services() }
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
    /// Stores rows that somebody sent; all ways in end here. If one of them is of a service that the key is not for, none is stored.
    pub(in crate::server) fn append(&self, caller: &Caller, append: Append) -> Result<Appended, ApiError> {
        check(caller, &append)?;
        Ok(self.engine.append(append)?)
    }

    /// The same, with effects that know where the rows are.
    pub(in crate::server) fn append_placed(&self, caller: &Caller, append: Append) -> Result<Appended, ApiError> {
        check(caller, &append)?;
        Ok(self.engine.append_placed(append)?)
    }
}

fn check(caller: &Caller, append: &Append) -> Result<(), ApiError> {
    let streams = append.batch.iter().flat_map(|rows| rows.streams());
    streams.map(|stream| &stream.service).try_for_each(|service| caller.check(service))
}
