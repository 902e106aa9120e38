//! Answers of one JSON text, given when all is known.
//!
//! Invariant: what is kept for an answer, and its text, are counted; one answer has [`ANSWER_BYTES_MAX`] at most, and all
//! together have the memory of answers (`turns.rs`).
use super::asked::{Asked, Form};
use crate::server::error::{ApiError, json_response};
use crate::server::params::Params;
use crate::server::partial::noted;
use crate::server::room::Room;
use crate::server::{Server, blocking};
use axum::http::StatusCode;
use axum::response::Response;
use logyard_storage::engine::QueryControl;
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::limits::MIB;
use logyard_storage::query::pipe::Pipe;
use logyard_storage::query::{Block, Flow, Query, parse};
use logyard_storage::scan::Cancel;
use std::sync::Arc;

/// What one answer may take, its text included.
const ANSWER_BYTES_MAX: usize = 32 * MIB;
/// What an entry of an answer takes besides its texts, about.
const ENTRY_BYTES: usize = 96;

/// Answers a request by what `make` makes of it, in its turn.
pub(super) async fn answer(
    server: Arc<Server>,
    form: Form,
    make: fn(&mut Answering<'_>) -> Result<String, ApiError>,
) -> Result<Response, ApiError> {
    let cancel = Cancel::default();
    let _gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let partial = form.params.partial();
    let may_leave_out = partial.clone();
    let body = blocking(move || {
        let _until_done = (turn, form.room);
        let Asked { query, control, moment, held: _held } = Asked::new(&server, &form.params, cancel, &may_leave_out)?;
        let kept = Kept::new(&server);
        make(&mut Answering { server: &server, params: &form.params, query, control: &control, moment, kept })
    });
    Ok(noted(json_response(StatusCode::OK, body.await??), &partial))
}

/// A request that is being answered.
pub(super) struct Answering<'a> {
    server: &'a Server,
    pub(super) params: &'a Params,
    pub(super) query: Query,
    control: &'a QueryControl,
    /// When it is asked for.
    pub(super) moment: i64,
    kept: Kept,
}

impl Answering<'_> {
    /// The rows that the filter of the query selects go through these pipes instead of its own.
    pub(super) fn pipe_all(&mut self, text: &str) -> Result<(), ApiError> {
        self.query.pipes = pipes(text)?;
        Ok(())
    }

    /// Runs the query; each of its rows is looked at, and says how many bytes of it are kept.
    pub(super) fn each_row(
        &mut self,
        mut look: impl FnMut(&Block, usize) -> Result<usize, Error>,
    ) -> Result<(), ApiError> {
        let kept = &mut self.kept;
        self.server.engine.query(&self.query, self.control, &mut |block: Block| {
            for row in 0..block.rows() {
                let bytes = look(&block, row)?;
                kept.add(bytes)?;
            }
            Ok(Flow::More)
        })?;
        Ok(())
    }
}

/// The pipes of a text that is not a client's.
pub(super) fn pipes(text: &str) -> Result<Vec<Pipe>, ApiError> {
    Ok(parse(&format!("* | {text}"))?.pipes)
}

/// The name of a field as a query has it.
pub(in crate::server) fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// What is kept for an answer.
pub(in crate::server) struct Kept {
    room: Room,
    bytes: usize,
}

impl Kept {
    /// Nothing is kept yet.
    pub(in crate::server) fn new(server: &Server) -> Self {
        Self { room: server.queries.room_of_answer(), bytes: 0 }
    }

    /// An entry with so many bytes of texts is kept: once as it is found, and once in the answer's text.
    pub(in crate::server) fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(2 * bytes.saturating_add(ENTRY_BYTES));
        if self.bytes > ANSWER_BYTES_MAX {
            let most = ANSWER_BYTES_MAX / MIB;
            let error =
                format!("the answer takes more than {most} MiB; ask for less of it with limit, or with a longer step");
            return Err(Error::new(ErrorKind::Budget, error));
        }
        let busy = |_| Error::new(ErrorKind::Busy, "too many large answers at once; try again");
        self.room.grow_to(self.bytes).map_err(busy)
    }
}

/// Ends a query when its answer is not waited for any more.
pub(in crate::server) struct Gone(Cancel);

impl Gone {
    /// Ends what this cancels.
    pub(in crate::server) fn of(cancel: Cancel) -> Self {
        Self(cancel)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
