//! What each record has to pass before it is kept: masks and the number of records that its service may have a day.
//!
//! Invariants
//! * A change of a configuration holds from the next batch on.
//! * Where no service asks for anything, a record costs one comparison.
//! * Patterns are compiled where they changed, by one thread; services that have no masks of their own share those of all.
//! * What was taken of a day's number and is not stored is given back.
//! * A name that is masked or dropped holds for a value that was sent under it, whatever it is kept under.
//! * Of a service that the caller's key is not for, nothing is counted and nothing is told.
use super::access::Caller;
use super::counters::Counters;
use super::days::{Days, Taken};
use crate::ingest::{Gate, Kept, Refused};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::ServiceConfig;
use logyard_storage::engine::{DEFAULTS, Engine};
use logyard_storage::error::Result;
use logyard_storage::privacy::{Privacy, Redacted, Redaction};
use logyard_storage::text::words::fold_text;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

type Configs = Arc<BTreeMap<String, ServiceConfig>>;

/// What records of all services have to pass.
#[derive(Default)]
pub(crate) struct Admissions {
    policies: RwLock<Arc<Policies>>,
    /// Held while policies are made.
    making: Mutex<()>,
    days: Arc<Days>,
}

/// What a service asks for.
#[derive(Default)]
struct Policy {
    redaction: Option<Arc<Redaction>>,
    most_a_day: Option<u64>,
}

impl Policy {
    fn asks_nothing(&self) -> bool {
        self.redaction.is_none() && self.most_a_day.is_none()
    }
}

/// What all services ask for, by the configurations that it was made of.
#[derive(Default)]
struct Policies {
    configs: Configs,
    others: Policy,
    services: HashMap<String, Policy>,
    ask_nothing: bool,
}

impl Policies {
    /// What these ask for; what was `known` before is taken from there.
    fn new(configs: Configs, known: &Self) -> Result<Self> {
        let are_defaults_known = privacy(&configs, DEFAULTS) == privacy(&known.configs, DEFAULTS);
        let is_known = |name: &str| are_defaults_known && privacy(&configs, name) == privacy(&known.configs, name);
        let defaults = configs.get(DEFAULTS).cloned().unwrap_or_default();
        let redaction = if are_defaults_known { known.others.redaction.clone() } else { ready(&[&defaults.privacy])? };
        let others = Policy { redaction, most_a_day: defaults.max_logs_per_day };
        let mut services = HashMap::new();
        for (name, config) in configs.iter().filter(|(name, _)| *name != DEFAULTS) {
            let redaction = match known.services.get(name) {
                _ if config.privacy.is_empty() => others.redaction.clone(),
                Some(policy) if is_known(name) => policy.redaction.clone(),
                _ => ready(&[&defaults.privacy, &config.privacy])?,
            };
            let most_a_day = config.max_logs_per_day.or(defaults.max_logs_per_day);
            services.insert(name.clone(), Policy { redaction, most_a_day });
        }
        let ask_nothing = others.asks_nothing() && services.values().all(Policy::asks_nothing);
        Ok(Self { configs, others, services, ask_nothing })
    }

    fn of(&self, service: &str) -> &Policy {
        self.services.get(service).unwrap_or(&self.others)
    }

    /// Whether a name with several parts may be for something within the field that was sent under this one.
    fn look_into(&self, service: &str, sent: &str) -> bool {
        let all = [DEFAULTS, service].into_iter().filter_map(|name| privacy(&self.configs, name));
        let mut names = all.flat_map(|privacy| privacy.mask_fields.iter().chain(&privacy.drop_fields));
        let sent = fold_text(sent);
        names.any(|name| {
            let name = fold_text(name);
            name.split_once('.').is_some_and(|(first, _)| sent.split('.').any(|part| part == first))
        })
    }
}

/// What a configuration says of masks; none where there is no configuration.
fn privacy<'a>(configs: &'a Configs, name: &str) -> Option<&'a Privacy> {
    configs.get(name).map(|config| &config.privacy)
}

/// Compiles what any of these asks for.
fn ready(all: &[&Privacy]) -> Result<Option<Arc<Redaction>>> {
    Ok(Redaction::new(all)?.map(Arc::new))
}

impl Admissions {
    /// Lets the records of one batch in.
    pub(super) fn admission(&self, engine: &Arc<Engine>, caller: &Caller) -> Result<Admission> {
        let policies = self.policies(|| engine.configs())?;
        Ok(Admission {
            caller: caller.clone(),
            engine: Arc::clone(engine),
            policies,
            days: Arc::clone(&self.days),
            now: None,
            taken: Taken::default(),
            redacted: Redacted::default(),
            asked: None,
            hidden: Redacted::default(),
        })
    }

    /// What holds under the configurations that there are now.
    fn policies(&self, configs: impl Fn() -> Configs) -> Result<Arc<Policies>> {
        let known = self.known();
        if Arc::ptr_eq(&known.configs, &configs()) {
            return Ok(known);
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have made them meanwhile, and of newer configurations.
        let (known, configs) = (self.known(), configs());
        if Arc::ptr_eq(&known.configs, &configs) {
            return Ok(known);
        }
        let policies = Arc::new(Policies::new(configs, &known)?);
        // A day that nobody counted has to be counted anew.
        self.days.keep(|service| policies.of(service).most_a_day.is_some());
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&policies);
        Ok(policies)
    }

    fn known(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets the records of one batch in, and remembers what was done to them.
pub(super) struct Admission {
    caller: Caller,
    engine: Arc<Engine>,
    policies: Arc<Policies>,
    days: Arc<Days>,
    /// The time by which days are told, once it is needed.
    now: Option<i64>,
    taken: Taken,
    redacted: Redacted,
    /// What is asked about names that are not those of the row.
    asked: Option<Box<BatchBuilder>>,
    /// What was hidden of the row that is not admitted yet.
    hidden: Redacted,
}

impl Admission {
    /// Ends: gives what of the days has to be kept once the batch is stored, and counts what was done.
    pub(super) fn end(self, counters: &Counters) -> Taken {
        counters.values_masked.add(self.redacted.masked);
        counters.values_dropped.add(self.redacted.dropped);
        self.taken
    }
}

impl Gate for Admission {
    fn admit(&mut self, rows: &mut BatchBuilder) -> std::result::Result<(), Refused> {
        if self.policies.ask_nothing {
            return Ok(());
        }
        let hidden = std::mem::take(&mut self.hidden);
        // A row of a service that the key is not for is none of that service's; whoever appends it refuses all of them.
        if !self.caller.is_for(rows.row_service()) {
            return Ok(());
        }
        let policy = self.policies.of(rows.row_service());
        if let Some(most) = policy.most_a_day {
            let now = *self.now.get_or_insert_with(|| self.engine.believed_time());
            let service = rows.row_service();
            self.days.take(&self.engine, service, most, now, &mut self.taken)?;
        }
        if let Some(redaction) = &policy.redaction {
            let Redacted { masked, dropped } = rows.redact(redaction);
            self.redacted.masked += masked + hidden.masked;
            self.redacted.dropped += dropped + hidden.dropped;
        }
        Ok(())
    }

    fn renamed(&mut self, rows: &BatchBuilder, sent: &str, is_array: bool) -> Kept {
        if self.policies.ask_nothing {
            return Kept::Whole;
        }
        let service = rows.row_service();
        let Some(redaction) = self.policies.of(service).redaction.as_ref().filter(|_| self.caller.is_for(service))
        else {
            return Kept::Whole;
        };
        // A row that has nothing but this field, without a text that a pattern could match, says what its name comes to.
        let asked = self.asked.get_or_insert_with(Box::default);
        asked.begin_row();
        asked.string(sent, "");
        let found = asked.redact(redaction);
        if found.dropped > 0 {
            self.hidden.dropped += 1;
            return Kept::Nothing;
        }
        if found.masked > 0 || (is_array && self.policies.look_into(service, sent)) {
            self.hidden.masked += 1;
            return Kept::Masked;
        }
        Kept::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(services: &[(&str, &[&str], Option<u64>)]) -> Configs {
        let config = |patterns: &[&str], max_logs_per_day| {
            let mask_patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            let privacy = Privacy { mask_patterns, ..Privacy::default() };
            ServiceConfig { privacy, max_logs_per_day, ..ServiceConfig::default() }
        };
        Arc::new(services.iter().map(|(name, patterns, most)| ((*name).into(), config(patterns, *most))).collect())
    }

    /// Whether both have the same patterns, compiled once.
    fn are_same(one: &Policies, other: &Policies, service: &str) -> bool {
        match (&one.of(service).redaction, &other.of(service).redaction) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    #[test]
    fn only_patterns_that_changed_are_compiled() {
        let own: &[&str] = &["own"];
        let first = configs(&[(DEFAULTS, &["all"], None), ("a", own, None), ("b", &[], Some(5)), ("c", own, None)]);
        let first = Policies::new(first, &Policies::default()).unwrap();
        let (others, b) = (first.others.redaction.as_ref(), first.of("b").redaction.as_ref());
        assert!(Arc::ptr_eq(others.unwrap(), b.unwrap()));
        let second = configs(&[(DEFAULTS, &["all"], Some(9)), ("a", own, Some(7)), ("b", &[], None), ("c", &[], None)]);
        let second = Policies::new(second, &first).unwrap();
        assert_eq!(["a", "b", "c", "new"].map(|name| are_same(&first, &second, name)), [true, true, false, true]);
        assert_eq!(["a", "b", "new"].map(|name| second.of(name).most_a_day), [Some(7), Some(9), Some(9)]);
        let third = configs(&[(DEFAULTS, &["other"], None), ("a", own, None)]);
        let third = Policies::new(third, &second).unwrap();
        assert_eq!(["a", "new"].map(|name| are_same(&second, &third, name)), [false, false]);
        let fourth = Policies::new(configs(&[("a", own, None), ("b", &[], None)]), &third).unwrap();
        assert!(fourth.of("b").asks_nothing() && fourth.others.asks_nothing() && !fourth.ask_nothing);
        assert!(!are_same(&third, &fourth, "a"));
    }

    #[test]
    fn policies_are_made_once_however_many_want_them() {
        const THREADS: usize = 8;
        let admissions = Admissions::default();
        let configs = configs(&[(DEFAULTS, &[r"\w{2,5}\d{5}"], None), ("a", &[r"\w{2,5}@x"], None)]);
        let all_come = std::sync::Barrier::new(THREADS);
        let wanted = || {
            all_come.wait();
            admissions.policies(|| Arc::clone(&configs)).unwrap()
        };
        let made: Vec<Arc<Policies>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(wanted)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|policies| Arc::ptr_eq(policies, &made[0])));
    }
}
