//! Query parameters by name, each checked with an answer that names it.
//!
//! Invariants
//! * Of a repeated parameter the last counts. An empty value says nothing.
//! * A number or a time that is none is refused with its name; a count that is too large is the largest that may be.
//! * A form may have spaces and UTF-8 as they are, since shells and people send them so; what cannot be decoded is refused.
use super::access::Caller;
use super::error::ApiError;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use logyard_storage::engine::Partial;
use std::num::IntErrorKind;
use std::sync::Arc;

/// The parameters of a request; of a repeated one the last counts.
pub(crate) struct Params {
    given: Vec<(String, String)>,
    /// The only services that whoever asks may see.
    services: Option<Arc<[String]>>,
}

impl Params {
    fn of(given: Vec<(String, String)>) -> Self {
        Self { given, services: None }
    }

    /// The only services that whoever asks may see; none where it may see all.
    pub(crate) fn services(&self) -> Option<&[String]> {
        self.services.as_deref()
    }

    /// The same, of somebody who may see some services only.
    #[cfg(test)]
    pub(crate) fn limited_to(self, services: Vec<String>) -> Self {
        Self { services: Some(services.into()), ..self }
    }

    /// Those of a form's body.
    pub(crate) fn form(body: &[u8]) -> Result<Self, ApiError> {
        let body = body.trim_ascii();
        // No parameter's name begins so: it is JSON, of which parts could pass for pairs.
        if matches!(body.first(), Some(b'{' | b'[')) {
            return Err(ApiError::bad("the body is no form: send name=value pairs with & between them"));
        }
        let wrong =
            || ApiError::bad("the form cannot be decoded: a % stands before two hex digits (%25 is a %), in UTF-8");
        let parts = body.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let end = memchr::memchr(b'=', part).unwrap_or(part.len());
            let (name, value) = (part.get(..end)?, part.get(end + 1..).unwrap_or_default());
            Some((decoded(name)?, decoded(value)?))
        });
        pairs.collect::<Option<Vec<_>>>().map(Self::of).ok_or_else(wrong)
    }

    /// These, and others that count more.
    #[must_use]
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.given.extend(others.given);
        self
    }

    /// A parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// Every value of a parameter that may be repeated, but for empty ones.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter says yes; what is neither nothing nor no does.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "f" | "false" | "no"))
    }

    /// A count, at most `most`.
    pub(crate) fn count(&self, name: &str, default: usize, most: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let wrong = || ApiError::bad(format!("{name} must be a whole number that is not negative, not `{text}`"));
        match text.parse::<usize>() {
            Ok(number) => Ok(number.min(most)),
            Err(e) if *e.kind() == IntErrorKind::PosOverflow => Ok(most),
            Err(_) => Err(wrong()),
        }
    }

    /// A time in milliseconds since 1970.
    pub(crate) fn millis(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let wrong = |text: &str| ApiError::bad(format!("{name} must be milliseconds since 1970, not `{text}`"));
        self.get(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// Whether an answer may leave out what cannot be fetched from the archive: it may, unless `partial=0` says no.
    pub(crate) fn partial(&self) -> Partial {
        if self.get("partial").is_none() || self.says("partial") { Partial::allowed() } else { Partial::default() }
    }
}

/// A name or a value of a form as it is meant; nothing where that is no text.
fn decoded(part: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((byte, behind)) = rest.split_first() {
        let (next, byte) = match byte {
            b'%' => {
                let (digits, behind) = behind.split_at_checked(2)?;
                let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
                (behind, (digit(0)? * 16 + digit(1)?) as u8)
            }
            b'+' => (behind, b' '),
            plain => (behind, *plain),
        };
        out.push(byte);
        rest = next;
    }
    String::from_utf8(out).ok()
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let services = parts.extensions.get::<Caller>().and_then(|caller| caller.services.clone());
        read.map(|Query(given)| Self { given, services }).map_err(|e| ApiError::bad(e.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_capped() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let params =
            Params::of(vec![pair("limit", "5"), pair("limit", "5000"), pair("offset", "-1"), pair("t", "1.5")]);
        assert_eq!(params.count("limit", 100, 1_000).unwrap(), 1_000);
        assert_eq!(params.count("none", 100, 1_000).unwrap(), 100);
        assert!(params.count("offset", 0, 10).is_err());
        assert!(params.millis("t").is_err());
        assert!(params.millis("none").unwrap().is_none());
        assert!(params.partial().is_allowed());
        let partial = |form: &[u8]| Params::form(form).unwrap().partial().is_allowed();
        assert!(partial(b"partial=1") && !partial(b"partial=0") && !partial(b"partial=false"));
        let form = Params::of(vec![pair("limit", "5")]).and(Params::form(b"limit=7&query=a+b%7C\n").unwrap());
        assert_eq!((form.get("limit"), form.get("query")), (Some("7"), Some("a b|")));
    }

    #[test]
    fn a_count_beyond_every_number_is_the_largest() {
        let long =
            Params::of(vec![("limit".into(), "9".repeat(40)), ("offset".into(), format!("-{}", "9".repeat(40)))]);
        assert_eq!(long.count("limit", 100, 1_000).unwrap(), 1_000);
        assert!(long.count("offset", 0, 10).is_err());
    }

    #[test]
    fn a_form_has_spaces_and_letters_as_they_are_sent() {
        let of = |form: &str| Params::form(form.as_bytes()).map(|params| params.given);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of("query=error | limit 10").unwrap(), [pair("query", "error | limit 10")]);
        assert_eq!(of("query=straße=1&limit=5\n").unwrap(), [pair("query", "straße=1"), pair("limit", "5")]);
        assert_eq!(of("a+b=%E2%82%ac%26&&c&=d").unwrap(), [pair("a b", "€&"), pair("c", ""), pair("", "d")]);
        assert!(of(" ").unwrap().is_empty());
        for wrong in
            ["query=50%", "query=%4", "query=%zz", "query=%+1", "%=1", "query=%ff", "{\"query\":\"a=b\"}", "[1]"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(Params::form(b"query=\xff").is_err() && Params::form(b"\xc3=\xa9").is_err());
    }
}
