//! Open formats over HTTP: records that were kept elsewhere, taken in once each; and what is here, written out.
mod export;
mod import;
mod known;
mod policy;

pub(super) use export::export;
pub(super) use import::import;
pub(crate) use policy::{Wish, watch_parquet};

use policy::Policies;
use serde_json::Value;

use std::sync::Mutex;

/// What imports and exports share.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Held by an import from the look at what is known until its records are stored.
    importing: Mutex<()>,
    /// Held by whoever exports.
    exporting: Mutex<()>,
    policies: Policies,
}

impl Transfers {
    /// With the targets that want Parquet of each hour.
    pub(crate) fn new(wishes: Vec<Wish>) -> Self {
        Self { policies: Policies::new(wishes), ..Self::default() }
    }

    /// Says of each target of a status what was written there as Parquet.
    pub(super) fn add_to(&self, status: &mut Value) {
        for target in status.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = target.get("name").and_then(Value::as_str).unwrap_or_default();
            let shown = self.policies.shown(name);
            if let (false, Some(target)) = (shown.is_null(), target.as_object_mut()) {
                target.insert("parquet".into(), shown);
            }
        }
    }
}
