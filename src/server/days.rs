//! How many records services had today, where a configuration says how many they may have.
//!
//! A day is one of UTC by believed time. What has come of it is counted in the store when a service is first asked for, and
//! with each record from then on.
//!
//! Invariants
//! * Of two records that come at once, only as many get in as there is room for.
//! * What was taken and is not kept is given back.
use crate::ingest::Refused;
use logyard_storage::engine::Engine;
use logyard_storage::retention::DAY_NANOS;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Services that are counted at once.
const SERVICES_MAX: usize = 100_000;
const SECOND: i64 = 1_000_000_000;

/// A service's number.
#[derive(Debug, Default)]
struct Today {
    /// The day, counted from 1970; none where nothing was counted yet.
    day: Option<i64>,
    used: u64,
}

type Slot = Arc<Mutex<Today>>;

/// The numbers of all services.
#[derive(Debug, Default)]
pub(super) struct Days(Mutex<HashMap<String, Slot>>);

/// What a batch has taken of days, until it is kept.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<(Slot, i64, u64)>);

impl Taken {
    /// The batch is stored.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }

    fn add(&mut self, slot: &Slot, day: i64) {
        match self.0.iter_mut().find(|(of, at, _)| Arc::ptr_eq(of, slot) && *at == day) {
            Some((_, _, count)) => *count += 1,
            None => self.0.push((Arc::clone(slot), day, 1)),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (slot, day, count) in self.0.drain(..) {
            let mut today = locked(&slot);
            if today.day == Some(day) {
                today.used = today.used.saturating_sub(count);
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Days {
    /// Forgets the numbers of services that need none.
    pub(super) fn keep(&self, is_needed: impl Fn(&str) -> bool) {
        locked(&self.0).retain(|service, _| is_needed(service));
    }

    /// Takes one of the `most` records that a service may have on the day of `now`.
    pub(super) fn take(
        &self,
        engine: &Engine,
        service: &str,
        most: u64,
        now: i64,
        taken: &mut Taken,
    ) -> Result<(), Refused> {
        let day = now.div_euclid(DAY_NANOS);
        let slot = self.slot(service, day)?;
        let mut today = locked(&slot);
        if today.day != Some(day) {
            let counted = engine.arrived_since(service, day * DAY_NANOS).map_err(|e| Refused::Later {
                what: format!("the logs that {} had today cannot be counted: {e}", named(service)),
                seconds: 1,
            })?;
            *today = Today { day: Some(day), used: counted };
        }
        if today.used >= most {
            return Err(over(service, most, now, day));
        }
        today.used += 1;
        drop(today);
        taken.add(&slot, day);
        Ok(())
    }

    fn slot(&self, service: &str, day: i64) -> Result<Slot, Refused> {
        let mut slots = locked(&self.0);
        if let Some(slot) = slots.get(service) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= SERVICES_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || locked(slot).day == Some(day));
        }
        if slots.len() >= SERVICES_MAX {
            let what = format!("more than {SERVICES_MAX} services have a number of logs a day");
            return Err(Refused::Later { what, seconds: 1 });
        }
        Ok(Arc::clone(slots.entry(service.to_owned()).or_default()))
    }
}

fn over(service: &str, most: u64, now: i64, day: i64) -> Refused {
    let end = (day + 1).saturating_mul(DAY_NANOS);
    let seconds = u64::try_from(end.saturating_sub(now) / SECOND + 1).unwrap_or(1);
    let minutes = seconds.div_ceil(60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let ends = format!("the day ends at 00:00 UTC, in {hours} h {minutes} min");
    Refused::Later {
        what: format!("{} has had the {most} logs that it may have today; {ends}", named(service)),
        seconds,
    }
}

/// A service as people call it: one that has no name, too.
fn named(service: &str) -> &str {
    if service.is_empty() { "the service without a name" } else { service }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::batch::BatchBuilder;
    use logyard_storage::engine::{Ack, Append, Options};
    use logyard_storage::env::{Env, RealEnv};

    #[test]
    fn a_day_has_so_many_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let env = Arc::new(RealEnv::new());
        let engine = Engine::open(Arc::<RealEnv>::clone(&env), Options::new(dir.path())).unwrap();
        let mut rows = BatchBuilder::new();
        for service in ["a", "a", "b"] {
            rows.begin_row();
            // An old log that arrives today is one of today's.
            rows.time(5);
            rows.string("service_name", service);
            rows.commit_row();
        }
        engine.append(Append::new(rows.finish().unwrap(), Ack::Memory)).unwrap();
        let (days, now) = (Days::default(), env.now());
        let take = |now: i64, taken: &mut Taken| days.take(&engine, "a", 4, now, taken);
        let mut kept = Taken::default();
        take(now, &mut kept).unwrap();
        let mut given_back = Taken::default();
        take(now, &mut given_back).unwrap();
        let Err(Refused::Later { what, seconds }) = take(now, &mut given_back) else { panic!("a fifth got in") };
        assert!(what.starts_with("a has had the 4 logs") && what.contains("00:00 UTC") && seconds <= 86_400, "{what}");
        drop(given_back);
        take(now, &mut kept).unwrap();
        kept.keep();
        assert!(take(now, &mut Taken::default()).is_err());
        // What is forgotten is counted again: two are stored.
        days.keep(|_| false);
        take(now, &mut Taken::default()).unwrap();
        // Another day begins with nothing.
        let mut tomorrow = Taken::default();
        (0..4).for_each(|_| take(now + DAY_NANOS, &mut tomorrow).unwrap());
        assert!(take(now + DAY_NANOS, &mut tomorrow).is_err());
        engine.close().unwrap();
    }

    #[test]
    fn the_end_of_the_day_is_said() {
        let Refused::Later { what, seconds } = over("s", 5, DAY_NANOS - 90 * SECOND, 0) else { panic!("another kind") };
        assert_eq!(seconds, 91);
        assert_eq!(what, "s has had the 5 logs that it may have today; the day ends at 00:00 UTC, in 0 h 2 min");
        let Refused::Later { what, .. } = over("", 5, 0, 0) else { panic!("another kind") };
        assert!(what.starts_with("the service without a name has had the 5 logs"), "{what}");
    }
}
