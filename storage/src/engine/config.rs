//! How each service wants its rows kept: read, changed, kept twice, and brought back.
//!
//! Invariants
//! * What the catalog has counts. The copies follow it, also after a crash between the two, unless the catalog is new
//!   or damaged; then the copies fill in, and of two the later one wins.
//! * A configuration that cannot mean anything is refused before it is stored.
use super::{Engine, Shared, locked};
use crate::catalog::{Change, ServiceConfig, TTL_FOREVER, config_copy};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::planted;
use crate::retention::{Lives, RetentionClass};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Bytes of a service's name.
const NAME_BYTES_MAX: usize = 4_096;
/// Days of the named policies; the server's default stands for `standard`.
const EXTENDED_DAYS: u32 = 90;
const MINIMAL_DAYS: u32 = 7;

/// The name under which the defaults of all services are kept.
pub const DEFAULTS: &str = "_default";

/// All configurations, by service.
pub(crate) type Configs = BTreeMap<String, ServiceConfig>;

/// Days that rows live under a configuration; for ever where there are none.
fn days_of(config: &ServiceConfig, default_days: Option<u32>) -> Option<u32> {
    match (config.ttl_days, config.retention_policy.as_deref()) {
        (TTL_FOREVER, _) => None,
        (0, Some("extended")) => Some(EXTENDED_DAYS),
        (0, Some("minimal")) => Some(MINIMAL_DAYS),
        (0, _) => default_days,
        (days, _) => u32::try_from(days).ok(),
    }
}

/// How long the rows of each service live.
pub(crate) fn lives(configs: &Configs, default_days: Option<u32>) -> Lives {
    let default_days = configs.get(DEFAULTS).map_or(default_days, |config| days_of(config, default_days));
    let configs = configs.iter().filter(|(name, _)| *name != DEFAULTS);
    let days_of = configs.map(|(name, config)| (name.clone(), days_of(config, default_days))).collect();
    Lives { default_days, days_of }
}

fn check(service: &str, config: &ServiceConfig, has_archive: bool) -> Result<()> {
    if service.is_empty() || service.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!("a service's name has 1 to {NAME_BYTES_MAX} bytes")));
    }
    if config.ttl_days < TTL_FOREVER {
        return Err(Error::invalid(format!("ttl_days is {}: use -1 for ever, 0 for the default", config.ttl_days)));
    }
    if config.local_days.is_some() && !(has_archive && config.archive) {
        let message =
            "local_days needs an archive that records move to, and there is none: name a target under [[archive]]";
        return Err(Error::invalid(message));
    }
    if service == DEFAULTS && (config.size_budget.is_some() || !config.archive) {
        return Err(Error::invalid("size_budget and archive are set for one service, not for all"));
    }
    config.privacy.check()?;
    match config.retention_policy.as_deref() {
        None | Some("standard" | "extended" | "minimal") => Ok(()),
        Some(other) => Err(Error::invalid(format!("retention_policy is {other:?}: use standard, extended or minimal"))),
    }
}

impl Engine {
    /// How a service wants its rows kept; the defaults where it never said.
    pub fn config(&self, service: &str) -> ServiceConfig {
        self.shared.configs().get(service).cloned().unwrap_or_default()
    }

    /// Every configuration that was set, by service; that of [`DEFAULTS`] is among them. Until one changes it is the same.
    pub fn configs(&self) -> Arc<BTreeMap<String, ServiceConfig>> {
        self.shared.configs()
    }

    /// Days that rows live where their service says nothing; for ever where there are none.
    pub fn default_days(&self) -> Option<u32> {
        self.shared.lives().default_days
    }

    /// Sets a service's configuration and gives it as it is kept: with its first `created_at`, and `updated_at` now.
    pub fn set_config(&self, service: &str, config: ServiceConfig) -> Result<ServiceConfig> {
        let shared = &self.shared;
        check(service, &config, !shared.options.archive.is_empty())?;
        let _one_at_a_time = locked(&shared.configuring);
        let mut configs = (*shared.configs()).clone();
        let now = shared.env.now();
        let created_at = configs.get(service).map_or(now, |before| before.created_at);
        let config = ServiceConfig { created_at, updated_at: now, ..config };
        let mut change = Change::new();
        change.put_service(service, &config)?;
        let mut undo = Change::new();
        match configs.get(service) {
            Some(before) => undo.put_service(service, before)?,
            None => undo.remove_service(service),
        };
        if !planted::on("configuration-not-kept") {
            shared.commit_catalog(&change, &undo)?;
        }
        configs.insert(service.into(), config.clone());
        shared.adopt_configs(configs);
        if let Err(e) = config_copy::write_service(&*shared.env, &shared.layout, service, &config) {
            shared.trouble(format!("the configuration of {service} is set, but its copy is not written: {e}"));
        }
        Ok(config)
    }

    /// Gives a service the defaults again. Says whether it had anything else.
    pub fn remove_config(&self, service: &str) -> Result<bool> {
        let shared = &self.shared;
        let _one_at_a_time = locked(&shared.configuring);
        let mut configs = (*shared.configs()).clone();
        let Some(before) = configs.remove(service) else { return Ok(false) };
        let mut change = Change::new();
        change.remove_service(service);
        let mut undo = Change::new();
        undo.put_service(service, &before)?;
        shared.commit_catalog(&change, &undo)?;
        shared.adopt_configs(configs);
        if let Err(e) = config_copy::remove(&*shared.env, &shared.layout, config_copy::CopyKind::Service, service) {
            shared.trouble(format!("the configuration of {service} is removed, but its copy is not: {e}"));
        }
        Ok(true)
    }
}

impl Shared {
    pub(crate) fn configs(&self) -> Arc<Configs> {
        Arc::clone(&self.configs.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn lives(&self) -> Arc<Lives> {
        Arc::clone(&self.lives.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn adopt_configs(&self, configs: Configs) {
        let lives = lives(&configs, self.options.default_ttl_days);
        *self.lives.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lives);
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configs);
    }

    /// Whom the rows of a service are kept with.
    pub(crate) fn class_of(&self, service: &str) -> RetentionClass {
        let class = RetentionClass::of_days(self.lives().days(service));
        match self.configs().get(service) {
            Some(config) => RetentionClass { local_days: config.local_days, archive: config.archive, ..class },
            None => RetentionClass { archive: ServiceConfig::default().archive, ..class },
        }
    }
}

/// Makes catalog and copies say the same at a start. `found` is what the catalog has; in doubt the later one counts.
pub(super) fn reconcile(
    env: &dyn Env,
    layout: &Layout,
    found: Vec<(String, ServiceConfig)>,
    in_doubt: bool,
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<Configs> {
    let copies = match config_copy::read_services(env, layout) {
        Ok(copies) => copies,
        Err(e) => {
            troubles.push(format!("the copies of configurations cannot be read: {e}"));
            return Ok(found.into_iter().collect());
        }
    };
    troubles.extend(copies.damaged.iter().map(|(path, e)| format!("{} is damaged: {e}", path.display())));
    let mut configs: Configs = found.into_iter().collect();
    let mut copied: Configs = copies.rows.into_iter().collect();
    if in_doubt {
        for (name, copy) in &copied {
            if configs.get(name).is_none_or(|config| config.updated_at < copy.updated_at) {
                change.put_service(name, copy)?;
                configs.insert(name.clone(), copy.clone());
                troubles.push(format!("the configuration of {name} is restored from its copy"));
            }
        }
    }
    for (name, config) in &configs {
        if copied.remove(name).as_ref() != Some(config)
            && let Err(e) = config_copy::write_service(env, layout, name, config)
        {
            troubles.push(format!("the copy of the configuration of {name} is not written: {e}"));
        }
    }
    for name in copied.keys() {
        if let Err(e) = config_copy::remove(env, layout, config_copy::CopyKind::Service, name) {
            troubles.push(format!("the copy of a configuration that is gone is not removed: {e}"));
        }
    }
    Ok(configs)
}
