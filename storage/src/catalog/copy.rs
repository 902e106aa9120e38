//! The catalog as it is at one commit, as another file or as the change that makes it.
//!
//! Invariants
//! * All tables are read in one transaction: what the copy says of one fits what it says of another.
//! * Rows go over as they are stored. A table that is not what its last change left is not copied, but an error.
use super::tables::Step;
use super::{Catalog, Change, META_KEY, Meta, StoredRows, Table};
use crate::error::{Error, ErrorKind, Result};
use redb::ReadableDatabase;
use std::path::Path;
use std::sync::Arc;

impl Catalog {
    /// Makes a catalog at `path`, where there is none, with all that this one has, this `meta`, and what is changed of it.
    pub(crate) fn copy_to(
        &self,
        path: &Path,
        meta: &Meta,
        change_it: impl FnOnce(&mut Change) -> Result<()>,
    ) -> Result<()> {
        if self.env.exists(path).map_err(|e| Error::io("look for", path, e))? {
            return Err(Error::new(ErrorKind::Conflict, format!("there is a {} already", path.display())));
        }
        let mut change = self.whole()?;
        change.remove(Table::Meta, META_KEY);
        change.put_meta(meta)?;
        change_it(&mut change)?;
        Self::open_with(Arc::clone(&self.env), path, self.options)?.catalog.commit(&change)
    }

    /// Everything there is, as the change that makes it.
    pub(crate) fn whole(&self) -> Result<Change> {
        self.with(|database| {
            let txn = database.begin_read().map_err(|e| self.refused("read", e))?;
            let mut change = Change::new();
            for table in Table::ALL {
                let StoredRows { rows, whole } = self.stored_rows_in(&txn, table)?;
                if let Some(damage) = whole {
                    return Err(damage);
                }
                change.steps.extend(rows.into_iter().map(|(key, stored)| Step::Put(table, key, stored)));
            }
            Ok(change)
        })
    }
}
