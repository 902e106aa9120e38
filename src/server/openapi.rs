//! `GET /api/v1/openapi.json`: the API, described for programs.
//!
//! The description is a file that is written by hand, `openapi.json` beside this one. Invariant: it names every route and method of the
//! router and no others, and every status that the tests of the program have seen; `tests/openapi.rs` and the harness look.
use super::error::json_response;
use axum::http::StatusCode;
use axum::response::Response;

/// The description.
const DESCRIPTION: &str = include_str!("openapi.json");

/// The handler.
pub(super) async fn description() -> Response {
    json_response(StatusCode::OK, DESCRIPTION.to_owned())
}
