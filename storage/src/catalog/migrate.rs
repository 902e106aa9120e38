//! Bringing a catalog of an older format up to this one.
//!
//! Invariants
//! * The file as it was found is copied and durable before its first row is touched.
//! * Each step is one transaction that also sets the format it leads to; a crash leaves the format before or after.
use super::Catalog;
use super::database::{Made, beside, parent};
use super::tables::{Change, Table};
use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MIB;
use std::io;
use std::path::Path;

/// A step from one format to the next.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    /// The format it reads; it leaves the next one.
    pub(super) from: u32,
    /// Says what has to change, given the catalog in the old format.
    pub(super) plan: fn(&Catalog, &mut Change) -> Result<()>,
}

/// The steps that this program knows, oldest first.
pub(super) const MIGRATIONS: &[Migration] = &[Migration { from: 1, plan: add_archive }];

/// Format 2 has tables of what is in object storage.
fn add_archive(_: &Catalog, change: &mut Change) -> Result<()> {
    change.accept(Table::Archive).accept(Table::Condemned);
    Ok(())
}

/// Refuses what this program cannot bring up to `target`.
pub(super) fn check_format(path: &Path, made: &Made, target: u32, steps: &[Migration]) -> Result<()> {
    let (path, found) = (path.display(), made.format);
    if found > target {
        let reader =
            made.program.as_ref().map_or("the version that wrote it".into(), |made| format!("version {made} or later"));
        let message = format!(
            "{path} has format {found}, written by a newer version; this program reads up to format {target}. Start {reader}"
        );
        return Err(Error::new(ErrorKind::NewerFormat, message));
    }
    match (found..target).find(|from| !steps.iter().any(|step| step.from == *from)) {
        Some(gap) => Err(Error::corrupt(format!("{path} has format {found}; no step leads on from format {gap}"))),
        None => Ok(()),
    }
}

/// Takes every step from `found` to `target`.
pub(super) fn run(catalog: &Catalog, found: u32, target: u32, steps: &[Migration]) -> Result<()> {
    for from in found..target {
        let step = steps.iter().find(|step| step.from == from);
        let step = step.ok_or_else(|| Error::corrupt(format!("no step leads on from format {from}")))?;
        let mut change = Change::new();
        (step.plan)(catalog, &mut change).map_err(|e| e.context(format!("cannot migrate from format {from}")))?;
        catalog.apply(&change, Some(from + 1))?;
    }
    Ok(())
}

/// Copies the closed file at `path` to `path.v<format>.bak`.
pub(super) fn back_up(env: &dyn Env, path: &Path, format: u32) -> Result<()> {
    let to = beside(path, &format!("v{format}.bak"));
    let temporary = beside(&to, crate::layout::TEMPORARY);
    let copy = || -> io::Result<()> {
        copy_bytes(env, path, &temporary)?;
        env.rename(&temporary, &to)?;
        env.sync_dir(parent(&to))
    };
    copy().map_err(|e| Error::io("copy the catalog to", &to, e))
}

fn copy_bytes(env: &dyn Env, from: &Path, to: &Path) -> io::Result<()> {
    let from = env.open(from, OpenMode::Read)?;
    let to = env.open(to, OpenMode::OpenOrCreate)?;
    to.set_len(0)?;
    let mut buf = vec![0; MIB];
    let mut at = 0;
    loop {
        let read = from.read_at(&mut buf, at)?;
        if read == 0 {
            return to.sync_all();
        }
        to.write_all_at(buf.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
}
