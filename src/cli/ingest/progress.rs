//! How far it is: a bar with the rate and the remaining time, where somebody looks; and what was done, at the end.
//!
//! Invariants
//! * All of it goes to standard error.
//! * However many records are refused, the reasons of the first [`REASONS_MAX`] are kept and told.
use super::batch::Surplus;
use super::sender::Sent;
use crate::cli::terminal::Bar;
use std::path::Path;

const REASONS_MAX: usize = 10;

/// The progress of one input.
pub(super) struct Progress {
    bar: Bar,
    name: String,
    sent: u64,
    refused: u64,
    reasons: Vec<String>,
    surplus: Surplus,
}

impl Progress {
    /// Of an input of this length, which stands at a byte already. The bar is drawn on standard error if that is a terminal.
    pub(super) fn new(path: &Path, length: Option<u64>, at: u64) -> Self {
        let bar = Bar::of_bytes("", length).from(at);
        Self { bar, name: super::shown(path), sent: 0, refused: 0, reasons: Vec::new(), surplus: Surplus::default() }
    }

    /// A batch was acknowledged; the input stands at a byte now.
    pub(super) fn advance(&mut self, sent: Sent, surplus: Surplus, at: u64) {
        self.sent += sent.stored;
        self.refused += sent.refused;
        self.surplus.add(surplus);
        let room = REASONS_MAX.saturating_sub(self.reasons.len());
        self.reasons.extend(sent.reasons.into_iter().take(room));
        self.bar.at(at);
        self.bar.say(format!("{} records", self.sent));
    }

    /// Says what was done, and gives how many records were refused.
    pub(super) fn end(self, note: &str) -> u64 {
        self.bar.end();
        eprintln!("{}{note}", done(&self.name, self.sent, self.refused, self.surplus));
        self.reasons.iter().for_each(|reason| eprintln!("  {reason}"));
        self.refused
    }
}

/// What was done with an input, in a line.
pub(super) fn done(name: &str, sent: u64, refused: u64, surplus: Surplus) -> String {
    let mut line = format!("{name}: {sent} records sent");
    if refused > 0 {
        line.push_str(&format!(", {refused} refused"));
    }
    if surplus.wrong_text > 0 {
        line.push_str(&format!(", {} with bytes that are no UTF-8", surplus.wrong_text));
    }
    if surplus.left_out > 0 {
        line.push_str(&format!(", {} bytes of overlong ones left out", surplus.left_out));
    }
    line
}
