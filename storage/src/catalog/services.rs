//! How each service wants its records kept.
//!
//! Invariants
//! * The key is the service's name. A service without a row has the defaults.
//! * A row may end before the fields that later versions added: these have their defaults.
use super::tables::{Change, Table};
use crate::error::Result;
use crate::privacy::Privacy;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// `ttl_days` of a service whose records are kept for ever.
pub const TTL_FOREVER: i32 = -1;

/// The configuration of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceConfig {
    /// Days that its records live; 0 is the default of the server, [`TTL_FOREVER`] for ever.
    pub ttl_days: i32,
    /// Days on this disk; none is for as long as they live.
    pub local_days: Option<u32>,
    /// A preset of days, which `ttl_days` overrides.
    pub retention_policy: Option<String>,
    /// Bytes on this disk beyond which its oldest records leave.
    pub size_budget: Option<u64>,
    /// Whether its records go to the archive, where there is one.
    pub archive: bool,
    /// Whether errors among its records raise an alert.
    pub alert_on_errors: bool,
    /// Records a day beyond which more are refused.
    pub max_logs_per_day: Option<u64>,
    /// When it was first configured, nanoseconds since 1970.
    pub created_at: i64,
    /// When it was last configured.
    pub updated_at: i64,
    /// What of its records is masked or dropped before they are kept.
    pub privacy: Privacy,
}

/// Fields of a row.
const FIELDS: usize = 10;

impl<'de> Deserialize<'de> for ServiceConfig {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        input.deserialize_tuple(FIELDS, RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = ServiceConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration of a service")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> std::result::Result<ServiceConfig, A::Error> {
        let mut config = ServiceConfig {
            ttl_days: next(&mut row)?,
            local_days: next(&mut row)?,
            retention_policy: next(&mut row)?,
            size_budget: next(&mut row)?,
            archive: next(&mut row)?,
            alert_on_errors: next(&mut row)?,
            max_logs_per_day: next(&mut row)?,
            created_at: next(&mut row)?,
            updated_at: next(&mut row)?,
            privacy: Privacy::default(),
        };
        // The row's checksum has passed: where it ends here, it was written before there was more.
        if let Ok(Some(privacy)) = row.next_element() {
            config.privacy = privacy;
        }
        Ok(config)
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(row: &mut A) -> std::result::Result<T, A::Error> {
    row.next_element()?.ok_or_else(|| A::Error::custom("a configuration that ends too early"))
}

impl Default for ServiceConfig {
    /// The server's time to live, archived where there is an archive, no limits, no alerts.
    fn default() -> Self {
        Self {
            ttl_days: 0,
            local_days: None,
            retention_policy: None,
            size_budget: None,
            archive: true,
            alert_on_errors: false,
            max_logs_per_day: None,
            created_at: 0,
            updated_at: 0,
            privacy: Privacy::default(),
        }
    }
}

impl Change {
    /// Adds or replaces a service's configuration.
    pub fn put_service(&mut self, name: &str, config: &ServiceConfig) -> Result<&mut Self> {
        self.put(Table::Services, name.as_bytes(), config)
    }

    /// Gives a service the defaults again.
    pub fn remove_service(&mut self, name: &str) -> &mut Self {
        self.remove(Table::Services, name.as_bytes())
    }
}
