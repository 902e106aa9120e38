//! Who may come in: `Authorization: Bearer <key>`, asked before a body is read.
//!
//! Invariant: a credential that is not understood is none; of two credentials none counts.
use super::keys::{Key, Keys, invalid};
use super::table::Scope;
use crate::server::admin_key::KeyHash;
use crate::server::error::ApiError;
use axum::http::{HeaderMap, StatusCode, header};
use std::sync::Arc;

/// The id of the admin key.
const ADMIN: &str = "admin";
/// The id where no key is asked for.
const NOBODY: &str = "none";

/// The door.
pub(crate) enum Door {
    /// Everybody may come in, and do everything.
    Open,
    /// Who has the admin key, or one that was made.
    Key(KeyHash),
}

/// Who has come in.
pub(super) enum Holder {
    /// With this id, for everything.
    All(Arc<str>),
    /// With a key that was made.
    Made(Arc<Key>),
}

impl Holder {
    pub(super) fn id(&self) -> Arc<str> {
        match self {
            Self::All(id) => Arc::clone(id),
            Self::Made(key) => Arc::clone(&key.id),
        }
    }

    /// The only services that it is for.
    pub(super) fn services(&self) -> Option<Arc<[String]>> {
        match self {
            Self::All(_) => None,
            Self::Made(key) => key.services.clone(),
        }
    }

    /// The key that was made, where it is one.
    pub(super) fn made(&self) -> Option<Arc<Key>> {
        match self {
            Self::All(_) => None,
            Self::Made(key) => Some(Arc::clone(key)),
        }
    }

    pub(super) fn is_good_for(&self, scope: Scope) -> bool {
        match self {
            Self::All(_) => true,
            Self::Made(key) => key.is_good_for(scope),
        }
    }
}

impl Door {
    /// Whether it asks for no key.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Says who comes, or why it may not come in.
    pub(super) fn identify(&self, keys: &Keys, headers: &HeaderMap, now: i64) -> Result<Holder, ApiError> {
        let Self::Key(admin) = self else { return Ok(Holder::All(NOBODY.into())) };
        let key = bearer(headers)?;
        if admin.matches(key) {
            return Ok(Holder::All(ADMIN.into()));
        }
        let made = keys.find(key).ok_or_else(invalid)?;
        made.check(now)?;
        made.note_use(now);
        Ok(Holder::Made(made))
    }
}

/// The key that a request brings.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let unauthorized = |error: &str| ApiError::new(StatusCode::UNAUTHORIZED, error);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| unauthorized("Missing Authorization header"))?;
    let key = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).filter(|key| !key.contains(' '));
    key.filter(|_| values.next().is_none())
        .ok_or_else(|| unauthorized("Invalid Authorization header format. Use: Bearer <token>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    fn answer(values: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        let door = Door::Key(KeyHash::of("secret"));
        let found = door.identify(&Keys::default(), &headers, 0);
        found.map_or_else(|e| e.into_response().status().as_u16(), |_| 200)
    }

    #[test]
    fn only_the_key_opens() {
        assert_eq!(answer(&["Bearer secret"]), 200);
        assert_eq!(answer(&["Bearer Secret"]), 403);
        assert_eq!(answer(&["Bearer "]), 403);
        for wrong in ["secret", "bearer secret", "Basic secret", "Bearer", "Bearer secret x", "Bearer  secret"] {
            assert_eq!(answer(&[wrong]), 401, "{wrong}");
        }
        assert_eq!(answer(&[]), 401);
        assert_eq!(answer(&["Bearer secret", "Bearer secret"]), 401);
        assert!(Door::Open.identify(&Keys::default(), &HeaderMap::new(), 0).is_ok());
    }
}
