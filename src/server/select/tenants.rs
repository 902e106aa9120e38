//! `/select/tenant_ids`: whose logs there are. There is one tenant, by the number that clients send where they name none.
use crate::server::error::json_response;
use axum::http::StatusCode;
use axum::response::Response;

/// `GET` or `POST /select/tenant_ids`
pub(in crate::server) async fn tenant_ids() -> Response {
    json_response(StatusCode::OK, r#"[{"account_id":0,"project_id":0}]"#.into())
}
