//! Live queries as the server begins them.
//!
//! Invariants
//! * One is made ready in its turn and within the time that a query may take, on a thread that may block.
//! * It ends when what stands for its client is dropped.
use super::Server;
use super::error::ApiError;
use logyard_storage::engine::{LiveOptions, Subscription};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::query::{Memory, Query, Start};
use logyard_storage::scan::{Cancel, Control};
use std::sync::Arc;

/// Begins a live query, whole records or what its pipes make of them; `make` gives it, and what has to be held until it is ready.
pub(super) async fn begin<H>(
    server: &Arc<Server>,
    start: Start,
    whole: bool,
    cancel: Cancel,
    make: impl FnOnce(&Memory) -> Result<(Query, H), ApiError> + Send + 'static,
) -> Result<Subscription, ApiError> {
    let turn = server.queries.turn().await?;
    let (of_engine, asked) = (Arc::clone(server), cancel.clone());
    let work = move || {
        let _until_done = turn;
        let memory = of_engine.engine.query_memory();
        let (query, _held) = make(&memory)?;
        let control = Control { cancel: asked, ..Control::default() };
        let options = LiveOptions { start, control, memory: Some(memory), whole, ..LiveOptions::default() };
        Ok(of_engine.engine.live(&query, &options)?)
    };
    match tokio::time::timeout(server.queries.duration, super::blocking(work)).await {
        Ok(begun) => begun?,
        Err(_) => {
            cancel.cancel();
            let message = "the rows to begin with take longer than a query may; begin with fewer, or raise \
                           query.max_duration (LOGYARD_QUERY_MAX_DURATION)";
            Err(Error::new(ErrorKind::OverTime, message).into())
        }
    }
}
