//! Batches to a server, again and again where it is away or has too much to do.
//!
//! Invariants
//! * A batch that is sent again is the same bytes under the same key.
//! * What a server refuses for another reason than its load ends the run; nothing is passed over.
use super::super::Failure;
use super::super::client::{Client, Trouble};
use super::super::terminal::printable;
use super::batch::Batch;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use ureq::http::Method;

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A stop is looked for as often as this.
const LOOK: Duration = Duration::from_millis(50);
/// How often a batch is sent before a run that has an end gives up: after about four minutes.
const TRIES: u32 = 13;

/// How often a batch is sent that a server says is in conflict with one before: for about half a minute.
const CONFLICTS: u32 = 7;

/// How long it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// For a while, once the server has been there.
    Bounded,
    /// Until it is told to stop.
    Endless,
}

/// Sends batches.
pub(super) struct Sender {
    client: Client,
    patience: Patience,
    stop: Arc<AtomicBool>,
    /// Whether the server has answered.
    was_there: AtomicBool,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Records that are stored.
    pub(super) stored: u64,
    /// Records that were refused, and why the first were.
    pub(super) refused: u64,
    pub(super) reasons: Vec<String>,
}

impl Sender {
    pub(super) fn new(client: Client, patience: Patience, stop: Arc<AtomicBool>) -> Self {
        Self { client, patience, stop, was_there: AtomicBool::new(false) }
    }

    /// The address of the server.
    pub(super) fn url(&self) -> &str {
        self.client.url()
    }

    /// Sends a batch; nothing comes back where it was told to stop before.
    pub(super) fn send(&self, batch: &Batch, key: &str) -> Result<Option<Sent>, Failure> {
        if batch.body.is_empty() {
            return Ok(Some(Sent::default()));
        }
        let (mut pause, mut is_told) = (PAUSE_FIRST, false);
        for tries in 1.. {
            let trouble = match self.try_once(batch, key) {
                Ok(answer) => {
                    if is_told {
                        eprintln!("logyard: {} is back", self.url());
                    }
                    self.was_there.store(true, Ordering::Relaxed);
                    return Ok(Some(sent(&answer, batch)));
                }
                Err(trouble) => trouble,
            };
            let wait = self.wait(&trouble, tries, pause)?;
            if !is_told {
                eprintln!("logyard: {trouble}; trying again");
                is_told = true;
            }
            if !self.sleep(wait) {
                return Ok(None);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(None)
    }

    fn try_once(&self, batch: &Batch, key: &str) -> Result<Value, Trouble> {
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
        let answer = self.client.send(Method::POST, "/insert/jsonline", &headers, batch.body.as_bytes())?;
        self.client.json(answer)
    }

    /// How long to wait after some trouble, or why not to go on.
    fn wait(&self, trouble: &Trouble, tries: u32, pause: Duration) -> Result<Duration, Failure> {
        let asked = match trouble {
            Trouble::Refused(refusal) if matches!(refusal.status, 408 | 429 | 500 | 502 | 503 | 504 | 507) => {
                refusal.retry_after.unwrap_or_default()
            }
            // A request with this key may still be at work, of a run that was killed; else it will not get better.
            Trouble::Refused(refusal) if refusal.status == 409 && tries <= CONFLICTS => Duration::ZERO,
            Trouble::Refused(_) => return Err(Failure::Failed(trouble.to_string())),
            Trouble::Unreachable(_) | Trouble::BrokeOff(_) => Duration::ZERO,
        };
        let is_first = matches!(trouble, Trouble::Unreachable(_)) && !self.was_there.load(Ordering::Relaxed);
        if self.patience == Patience::Bounded && (is_first || tries >= TRIES) {
            return Err(Failure::Failed(trouble.to_string()));
        }
        Ok(pause.max(asked))
    }

    /// Sleeps, and says whether it goes on.
    pub(super) fn sleep(&self, wait: Duration) -> bool {
        let mut left = wait;
        while !left.is_zero() && !self.stop.load(Ordering::Relaxed) {
            let nap = left.min(LOOK);
            thread::sleep(nap);
            left -= nap;
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

fn sent(answer: &Value, batch: &Batch) -> Sent {
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let reasons = answer.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let reasons = reasons.map(|reason| located(reason, batch)).collect();
    Sent { stored: count("ingested"), refused: count("rejected"), reasons }
}

/// A reason with the line of the input instead of that of the batch.
fn located(reason: &str, batch: &Batch) -> String {
    let reason = printable(reason);
    let Some((before, after)) = reason.split_once("line ") else { return reason.into_owned() };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = after.split_at_checked(digits).unwrap_or(("", after));
    let of_input = number.parse::<usize>().ok().and_then(|number| batch.lines.get(number.checked_sub(1)?));
    of_input.map_or_else(|| reason.clone().into_owned(), |line| format!("{before}line {line}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_line_of_the_input() {
        let batch = Batch { lines: vec![100, 107], ..Batch::default() };
        assert_eq!(located("invalid JSON at line 2, column 5: x", &batch), "invalid JSON at line 107, column 5: x");
        assert_eq!(located("line 1: no time", &batch), "line 100: no time");
        assert_eq!(located("line 9: x", &batch), "line 9: x");
        assert_eq!(located("something\u{7}", &batch), "something\\u{7}");
    }
}
