//! What each record has to pass before it is kept: masks and the number of records that its service may have a day.
//!
//! Invariants
//! * A change of a configuration holds from the next batch on.
//! * Where no service asks for anything, a record costs one comparison.
//! * What was taken of a day's number and is not stored is given back.
use super::counters::Counters;
use super::days::{Days, Taken};
use crate::ingest::{Gate, Refused};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::ServiceConfig;
use logyard_storage::engine::{DEFAULTS, Engine};
use logyard_storage::error::Result;
use logyard_storage::privacy::{Privacy, Redacted, Redaction};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

type Configs = Arc<BTreeMap<String, ServiceConfig>>;

/// What records of all services have to pass.
#[derive(Default)]
pub(crate) struct Admissions {
    policies: RwLock<Arc<Policies>>,
    days: Arc<Days>,
}

/// What a service asks for.
#[derive(Default)]
struct Policy {
    redaction: Option<Redaction>,
    most_a_day: Option<u64>,
}

impl Policy {
    fn new(config: &ServiceConfig, defaults: &ServiceConfig) -> Result<Self> {
        let redaction = Redaction::new(&[&defaults.privacy, &config.privacy])?;
        Ok(Self { redaction, most_a_day: config.max_logs_per_day.or(defaults.max_logs_per_day) })
    }

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
    fn new(configs: Configs) -> Result<Self> {
        let none = ServiceConfig::default();
        let defaults = configs.get(DEFAULTS).unwrap_or(&none);
        let others = Policy::new(defaults, &ServiceConfig { privacy: Privacy::default(), ..none.clone() })?;
        let mut services = HashMap::new();
        for (name, config) in configs.iter().filter(|(name, _)| *name != DEFAULTS) {
            services.insert(name.clone(), Policy::new(config, defaults)?);
        }
        let ask_nothing = others.asks_nothing() && services.values().all(Policy::asks_nothing);
        Ok(Self { configs, others, services, ask_nothing })
    }

    fn of(&self, service: &str) -> &Policy {
        self.services.get(service).unwrap_or(&self.others)
    }
}

impl Admissions {
    /// Lets the records of one batch in.
    pub(super) fn admission(&self, engine: &Arc<Engine>) -> Result<Admission> {
        let policies = self.policies(engine.configs())?;
        Ok(Admission {
            engine: Arc::clone(engine),
            policies,
            days: Arc::clone(&self.days),
            now: None,
            taken: Taken::default(),
            redacted: Redacted::default(),
        })
    }

    /// What holds under these configurations.
    fn policies(&self, configs: Configs) -> Result<Arc<Policies>> {
        let known = Arc::clone(&self.policies.read().unwrap_or_else(PoisonError::into_inner));
        if Arc::ptr_eq(&known.configs, &configs) {
            return Ok(known);
        }
        let policies = Arc::new(Policies::new(configs)?);
        // A day that nobody counted has to be counted anew.
        self.days.keep(|service| policies.of(service).most_a_day.is_some());
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&policies);
        Ok(policies)
    }
}

/// Lets the records of one batch in, and remembers what was done to them.
pub(super) struct Admission {
    engine: Arc<Engine>,
    policies: Arc<Policies>,
    days: Arc<Days>,
    /// The time by which days are told, once it is needed.
    now: Option<i64>,
    taken: Taken,
    redacted: Redacted,
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
        let policy = self.policies.of(rows.row_service());
        if let Some(most) = policy.most_a_day {
            let now = *self.now.get_or_insert_with(|| self.engine.believed_time());
            let service = rows.row_service();
            self.days.take(&self.engine, service, most, now, &mut self.taken)?;
        }
        if let Some(redaction) = &policy.redaction {
            let Redacted { masked, dropped } = rows.redact(redaction);
            self.redacted.masked += masked;
            self.redacted.dropped += dropped;
        }
        Ok(())
    }
}
