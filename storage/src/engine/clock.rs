//! The time by which rows are deleted, and by which they arrive: a clock that jumps deletes nothing.
//!
//! Queries hide what is expired by the wall clock as it is: that can be taken back. Deletion goes by *believed* time:
//! from an anchor on it runs with the clock that never goes back. A wall clock that is further than an hour from it, in
//! either direction, is not believed until it has been so for 24 hours by that other clock. Then the anchor moves
//! there. The directory was not watched while no process had it open, so a start may find the wall clock up to a day
//! ahead of what was believed last; when it is further ahead, it has to prove itself like any other jump. How long it
//! has done so outlives a restart, so that a machine that never runs for 24 hours in a row gets there too.
//!
//! While the wall clock lies behind what is believed, rows arrive at believed time: a clock that is set back and put
//! right again does not leave rows behind that look old.
//!
//! Invariants
//! * Deletion never goes by a time later than the wall clock, nor later than what is believed.
//! * One look at the clock moves neither by more than the time that passed, but after 24 hours of the same story.
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How far the wall clock may stray without anyone wondering.
const TOLERANCE: i64 = 3_600_000_000_000;
/// How far ahead it may be at a start.
const OFFLINE: i64 = crate::retention::DAY_NANOS;
/// How long a jump has to last.
const PROOF: Duration = Duration::from_secs(86_400);

/// A wall clock that is not believed yet.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// What it said when the claim was first seen in this process, and when that was.
    wall: i64,
    since: Duration,
    /// For how long it had been made before.
    credit: Duration,
}

/// What outlives the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockRow {
    /// Believed time when this was written.
    pub(crate) believed: i64,
    /// What the wall clock claimed instead.
    pub(crate) claimed: Option<i64>,
    /// For how many nanoseconds it had done so.
    pub(crate) credit: u64,
    /// The day of the last retention pass that ran by itself, counted from 1970.
    pub(crate) retained_day: i64,
}

/// Believed time. It has no clock of its own: every call says what the two clocks show.
#[derive(Debug)]
pub(crate) struct Clock {
    anchor: i64,
    anchored: Duration,
    claim: Option<Claim>,
}

fn line(wall: i64, since: Duration, mono: Duration) -> i64 {
    let passed = mono.saturating_sub(since).as_nanos();
    wall.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
}

impl Clock {
    /// Starts from what was last written, if anything was.
    pub(crate) fn new(last: Option<ClockRow>, wall: i64, mono: Duration) -> Self {
        let Some(last) = last else { return Self { anchor: wall, anchored: mono, claim: None } };
        let ahead = wall.saturating_sub(last.believed);
        if (-TOLERANCE..=OFFLINE).contains(&ahead) {
            return Self { anchor: wall, anchored: mono, claim: None };
        }
        // A claim goes on where the clock did not go back to before it.
        let goes_on = last.claimed.is_some_and(|claimed| {
            (claimed > last.believed) == (ahead > 0) && wall >= claimed.saturating_sub(TOLERANCE)
        });
        let credit = if goes_on { Duration::from_nanos(last.credit) } else { Duration::ZERO };
        Self { anchor: last.believed, anchored: mono, claim: Some(Claim { wall, since: mono, credit }) }
    }

    /// Takes note of what the clocks show and gives believed time.
    pub(crate) fn look(&mut self, wall: i64, mono: Duration) -> i64 {
        let believed = line(self.anchor, self.anchored, mono);
        let off = wall.saturating_sub(believed);
        if off.saturating_abs() <= TOLERANCE {
            self.claim = None;
            return believed;
        }
        let fresh = Claim { wall, since: mono, credit: Duration::ZERO };
        let claim = self.claim.filter(|claim| {
            let claimed = line(claim.wall, claim.since, mono);
            // Further ahead than claimed is no contradiction: a machine that slept passes time that nobody counted.
            (claimed > believed) == (off > 0) && wall >= claimed.saturating_sub(TOLERANCE)
        });
        let claim = claim.unwrap_or(fresh);
        if claim.credit + mono.saturating_sub(claim.since) < PROOF {
            self.claim = Some(claim);
            return believed;
        }
        (self.anchor, self.anchored, self.claim) = (line(claim.wall, claim.since, mono), mono, None);
        if wall.saturating_sub(self.anchor) > TOLERANCE {
            self.claim = Some(fresh);
        }
        self.anchor
    }

    /// The time that deletion goes by.
    pub(crate) fn delete_by(&mut self, wall: i64, mono: Duration) -> i64 {
        self.look(wall, mono).min(wall)
    }

    /// The time at which a row arrives now.
    pub(crate) fn arrival(&mut self, wall: i64, mono: Duration) -> i64 {
        let believed = self.look(wall, mono);
        if wall < believed.saturating_sub(TOLERANCE) { believed } else { wall }
    }

    /// What to write down now.
    pub(crate) fn row(&mut self, wall: i64, mono: Duration, retained_day: i64) -> ClockRow {
        let believed = self.look(wall, mono);
        let credit = self.claim.map_or(Duration::ZERO, |claim| claim.credit + mono.saturating_sub(claim.since));
        ClockRow {
            believed,
            claimed: self.claim.map(|claim| line(claim.wall, claim.since, mono)),
            credit: u64::try_from(credit.as_nanos()).unwrap_or(u64::MAX),
            retained_day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const HOUR: i64 = 3_600_000_000_000;
    const YEAR: i64 = 365 * 24 * HOUR;

    fn hours(n: u64) -> Duration {
        Duration::from_secs(n * 3_600)
    }

    #[test]
    fn a_jump_is_believed_after_a_day_of_it() {
        for jump in [YEAR, -YEAR] {
            let mut clock = Clock::new(None, YEAR * 50, hours(0));
            assert_eq!(clock.delete_by(YEAR * 50 + HOUR, hours(1)), YEAR * 50 + HOUR);
            for hour in 2..26 {
                let wall = YEAR * 50 + jump + hour * HOUR;
                let believed = YEAR * 50 + hour * HOUR;
                assert_eq!(clock.look(wall, hours(hour as u64)), believed, "{jump} {hour}");
                assert_eq!(clock.delete_by(wall, hours(hour as u64)), believed.min(wall));
                assert_eq!(clock.arrival(wall, hours(hour as u64)), believed.max(wall));
            }
            let wall = YEAR * 50 + jump + 26 * HOUR;
            assert_eq!(clock.delete_by(wall, hours(26)), wall);
            assert_eq!(clock.arrival(wall, hours(26)), wall);
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_nothing() {
        let mut clock = Clock::new(None, 0, hours(0));
        for hour in 1..200 {
            let wall = if hour % 20 < 19 { YEAR } else { 0 } + hour * HOUR;
            assert_eq!(clock.look(wall, hours(hour as u64)), hour * HOUR);
        }
    }

    #[test]
    fn sleep_moves_a_claim_ahead_and_does_not_end_it() {
        let mut clock = Clock::new(None, 0, hours(0));
        // Awake for eight hours and asleep for sixteen, which only the wall clock counts.
        for day in 0..10 {
            for hour in 0..8u64 {
                let by = clock.delete_by((day * 24 + hour as i64) * HOUR, hours(day as u64 * 8 + hour));
                assert!(by <= (day * 24 + hour as i64) * HOUR);
            }
        }
        assert!(clock.look(9 * 24 * HOUR, hours(80)) > 5 * 24 * HOUR);
    }

    #[test]
    fn a_start_goes_on_from_what_was_written() {
        let row = ClockRow { believed: YEAR, ..ClockRow::default() };
        assert_eq!(
            Clock::new(Some(row), YEAR + 20 * HOUR, hours(0)).look(YEAR + 20 * HOUR, hours(0)),
            YEAR + 20 * HOUR
        );
        // Months ahead: three runs of nine hours together prove it.
        let mut row = row;
        for run in 0..3 {
            let wall = YEAR + YEAR / 4 + run * 24 * HOUR;
            let mut clock = Clock::new(Some(row), wall, hours(0));
            assert!(clock.look(wall, hours(0)) < YEAR + 60 * HOUR);
            row = clock.row(wall + 9 * HOUR, hours(9), 0);
        }
        assert!(row.believed > YEAR + YEAR / 4, "{row:?}");
        // Set back: not believed either, and rows arrive at the time that is.
        let mut clock = Clock::new(Some(row), 0, hours(0));
        assert_eq!(clock.arrival(0, hours(0)), row.believed);
        assert_eq!(clock.delete_by(0, hours(0)), 0);
    }
}
