//! How fast bytes may go: what is taken now is paid by the time that passes after it.
//!
//! Invariants
//! * It knows nothing but what it is told: the clock is its caller's.
//! * Over any span no more is paid than its rate gives, and what [`Bucket`] may save up.
use std::time::Duration;

const NANOS: u128 = 1_000_000_000;

/// So many bytes a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: u64,
    /// For how long what nobody takes is saved up.
    saves: Duration,
    /// When all that was taken is paid.
    paid_at: Duration,
}

impl Bucket {
    /// An empty one; a rate of none is one byte a second.
    pub(super) fn new(rate: u64, saves: Duration, now: Duration) -> Self {
        Self { rate: rate.max(1), saves, paid_at: now }
    }

    /// Takes bytes, whether they are there or not.
    pub(super) fn take(&mut self, bytes: u64, now: Duration) {
        let nanos = (u128::from(bytes) * NANOS).div_ceil(u128::from(self.rate));
        let lasts = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid_at = self.paid_at.max(now.saturating_sub(self.saves)).saturating_add(lasts);
    }

    /// How long it is until what was taken is paid.
    pub(super) fn owes(&self, now: Duration) -> Duration {
        self.paid_at.saturating_sub(now)
    }

    /// What can be taken without owing anything.
    pub(super) fn holds(&self, now: Duration) -> u64 {
        let saved = now.saturating_sub(self.paid_at).min(self.saves);
        u64::try_from(saved.as_nanos().saturating_mul(u128::from(self.rate)) / NANOS).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_taken_is_paid_by_time() {
        let mut bucket = Bucket::new(1_000, Duration::ZERO, ms(5_000));
        assert_eq!(bucket.owes(ms(5_000)), ms(0));
        bucket.take(300, ms(5_000));
        bucket.take(200, ms(5_100));
        assert_eq!((bucket.owes(ms(5_100)), bucket.owes(ms(5_499)), bucket.owes(ms(5_500))), (ms(400), ms(1), ms(0)));
        // A quiet hour saves nothing up.
        bucket.take(100, ms(3_600_000));
        assert_eq!(bucket.owes(ms(3_600_000)), ms(100));
        assert_eq!(bucket.holds(ms(7_200_000)), 0);
    }

    #[test]
    fn no_more_is_saved_up_than_it_may() {
        let mut bucket = Bucket::new(1_000, ms(1_000), ms(0));
        assert_eq!((bucket.holds(ms(0)), bucket.holds(ms(250)), bucket.holds(ms(90_000))), (0, 250, 1_000));
        bucket.take(1_000, ms(90_000));
        assert_eq!((bucket.owes(ms(90_000)), bucket.holds(ms(90_000))), (ms(0), 0));
        // More than was there has to be waited for.
        bucket.take(3_000, ms(90_100));
        assert_eq!((bucket.owes(ms(90_100)), bucket.holds(ms(92_999)), bucket.holds(ms(93_100))), (ms(2_900), 0, 100));
    }

    #[test]
    fn however_it_is_taken_the_rate_holds() {
        for step in [1, 7, 4_096, 1 << 20] {
            let (mut bucket, mut now, mut taken) = (Bucket::new(3_333, Duration::ZERO, ms(0)), ms(0), 0u64);
            while taken < 100_000 {
                bucket.take(step, now);
                taken += step;
                now += bucket.owes(now);
            }
            assert!(now.as_nanos() * 3_333 >= u128::from(taken) * NANOS, "{step}");
            assert!(now.as_nanos() * 3_333 <= u128::from(taken) * NANOS * 1_001 / 1_000, "{step}");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut bucket = Bucket::new(0, Duration::ZERO, Duration::MAX);
        bucket.take(u64::MAX, Duration::MAX);
        assert_eq!(bucket.owes(Duration::MAX), Duration::ZERO);
        let mut bucket = Bucket::new(u64::MAX, Duration::MAX, Duration::ZERO);
        bucket.take(u64::MAX, ms(0));
        assert_eq!((bucket.owes(ms(0)), bucket.holds(Duration::MAX)), (ms(1_000), u64::MAX));
    }
}
