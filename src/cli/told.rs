//! Answers that say how far some work is, a JSON object a line, until one that says what came of it.
//!
//! Invariant: an answer without a last line of `success` or `error` broke off, and is a failure.
use super::Failure;
use super::client::Client;
use super::terminal::printable;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use ureq::Body;
use ureq::http::Response;

/// Reads such an answer to its end: gives its last line, and shows those before. `broke_off` says what it means that there is
/// none.
pub(super) fn until_done(
    client: &Client,
    answer: Response<Body>,
    broke_off: &str,
    mut show: impl FnMut(&Value),
) -> Result<Value, Failure> {
    let (mut lines, mut line) = (BufReader::new(answer.into_body().into_reader()), String::new());
    loop {
        line.clear();
        let read = lines.read_line(&mut line).map_err(|e| client.broke_off(&e))?;
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(error) = field(&said, "error").as_str() {
            return Err(Failure::Failed(printable(error).into()));
        }
        if *field(&said, "success") == true {
            return Ok(said);
        }
        if read == 0 {
            return Err(Failure::Failed(broke_off.into()));
        }
        show(&said);
    }
}

/// What an answer says under a name; null where it says nothing.
pub(super) fn field<'a>(said: &'a Value, name: &str) -> &'a Value {
    said.get(name).unwrap_or(&Value::Null)
}

/// A number that an answer says.
pub(super) fn number(said: &Value, name: &str) -> u64 {
    field(said, name).as_u64().unwrap_or(0)
}
