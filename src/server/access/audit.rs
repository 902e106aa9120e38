//! Audit records: of each change one, with what was before and after, among the records of the service `logyard`.
//!
//! Invariants
//! * It is durable before the change is answered. Where it cannot be stored the operator is told, since the change has been made.
//! * There is no secret in it.
use super::caller::Caller;
use crate::server::{Server, complain, own};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append};
use logyard_storage::error::Result;
use serde_json::Value;

/// A change.
pub(in crate::server) struct Changed<'a> {
    /// What was done, as `key.create`.
    pub(in crate::server) action: &'a str,
    /// To what.
    pub(in crate::server) target: &'a str,
    /// Null where there was nothing.
    pub(in crate::server) before: Value,
    /// Null where there is nothing any more.
    pub(in crate::server) after: Value,
}

/// Writes down who changed what. This blocks.
pub(in crate::server) fn audit(server: &Server, caller: &Caller, changed: &Changed<'_>) {
    if let Err(error) = store(server, caller, changed) {
        let Changed { action, target, .. } = changed;
        complain(format_args!("{action} of {target} by the key {} could not be logged: {error}", caller.key));
    }
}

fn store(server: &Server, caller: &Caller, changed: &Changed<'_>) -> Result<()> {
    let Changed { action, target, before, after } = changed;
    let mut rows = BatchBuilder::new();
    let message = format!("{action} of {target} by the key {}", caller.key);
    own::push(&mut rows, server.env.now(), &message, |rows| {
        rows.string("event", "audit");
        rows.string("action", action);
        rows.string("target", target);
        own::put_value(rows, "before", before);
        own::put_value(rows, "after", after);
        rows.string("key", &caller.key);
        rows.string("address", &caller.address.to_string());
        rows.string("request_id", &caller.request_id);
    });
    server.engine.append(Append::new(rows.finish()?, Ack::Wal)).map(drop)
}
