//! Who may come in: `Authorization: Bearer <key>`, asked before a body is read.
use super::Server;
use super::admin_key::KeyHash;
use super::error::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The door.
pub(crate) enum Door {
    /// Everybody may come in.
    Open,
    /// Who has the key.
    Key(KeyHash),
}

impl Door {
    /// Lets a request in, or says why not.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Self::Key(hash) = self else { return Ok(()) };
        let unauthorized = |error: &str| ApiError::new(StatusCode::UNAUTHORIZED, error);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized("Missing Authorization header"));
        };
        let key = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).filter(|key| !key.contains(' '));
        match key {
            None => Err(unauthorized("Invalid Authorization header format. Use: Bearer <token>")),
            Some(key) if hash.matches(key) => Ok(()),
            Some(_) => Err(ApiError::new(StatusCode::FORBIDDEN, "Invalid API key")),
        }
    }
}

/// The middleware of every route that is not open to all.
pub(super) async fn require(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    match server.door.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(value: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let door = Door::Key(KeyHash::of("secret"));
        door.admit(&headers).map_or_else(|e| e.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn only_the_key_opens() {
        assert_eq!(answer(Some("Bearer secret")), 200);
        assert_eq!(answer(Some("Bearer Secret")), 403);
        assert_eq!(answer(Some("Bearer ")), 403);
        for wrong in ["secret", "bearer secret", "Basic secret", "Bearer", "Bearer secret x", "Bearer  secret"] {
            assert_eq!(answer(Some(wrong)), 401, "{wrong}");
        }
        assert_eq!(answer(None), 401);
        assert!(Door::Open.admit(&HeaderMap::new()).is_ok());
    }
}
