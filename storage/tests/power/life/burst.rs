//! Appends that are acknowledged from memory, several in a row with no sync between them, and power that fails before the
//! next one.
use super::{Ack, Aim, Doing, Engine, Life};
use std::time::Duration;

/// From how many on batches that were acknowledged and not synced are several.
pub(super) const SEVERAL: u64 = 3;
/// The most appends that are made beyond these.
const MORE_MAX: u64 = 8;
/// Rows of each, few so that a file of the log has room for most of them: a new one is begun with a sync.
const ROWS_MAX: u64 = 6;

impl Life {
    /// Several appends from memory, and something that makes them durable. Where power is meant to fail in a burst, it does so
    /// while a later one of them is written, in what follows them, or when all is quiet.
    pub(super) fn burst(&mut self, engine: &Engine) -> Result<(), String> {
        self.doing = Doing::Append;
        let appends = SEVERAL + 1 + self.rng.below(MORE_MAX);
        let aimed = self.aim.take_if(|Aim(doing, _)| *doing == Doing::Append).is_some();
        let quiet = aimed && self.rng.one_in(4);
        if aimed && !quiet {
            // Each is a frame, which one call writes where it is not cut short.
            self.env.cut_at_io(SEVERAL + 1 + self.rng.below(appends - SEVERAL + 2));
        }
        for _ in 0..appends {
            if !self.env.is_powered() || self.poisoned {
                return Ok(());
            }
            let rows = 1 + self.rng.below(ROWS_MAX);
            self.append_with(engine, rows, Ack::Memory)?;
        }
        if quiet {
            self.env.power_cut();
            return Ok(());
        }
        match self.rng.below(3) {
            0 => self.env.advance(Duration::from_millis(2)),
            1 => return self.seal(engine),
            _ => {}
        }
        self.append_with(engine, 1, Ack::Wal)
    }
}
