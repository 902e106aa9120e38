//! Removes from targets what nothing needs any more: objects that the catalog has condemned, and such that nobody knows of.
//!
//! An object that is condemned goes once a manifest was written without it and its time of grace is over. One that nobody knows
//! of is what a crash left between its upload and the catalog, or what another directory left: it goes when it is a day old.
//!
//! Invariants
//! * What the last manifest names stays, and so does what the catalog names, and what manifests of other directories name that
//!   had the place before.
//! * Where an object is locked it stays, and is tried again.
use super::manifest::named_by_others;
use super::{Shared, locked, no_archive};
use crate::archive::{SEGMENTS, Target};
use crate::catalog::{Change, CondemnedObject, Table};
use crate::error::{ErrorKind, Result};
use crate::planted;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How old what nobody knows of has to be.
const ORPHAN_AGE: Duration = Duration::from_secs(86_400);

/// What was removed from targets, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Objects that the catalog had condemned.
    pub condemned: u64,
    /// Objects that nobody knew of.
    pub orphans: u64,
    /// Bytes of these.
    pub orphan_bytes: u64,
    /// Condemned objects, and such that nobody knows of, whose time has not come.
    pub waiting: u64,
    /// The names of what goes.
    pub objects: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<String>,
}

/// Names that a report has at most.
const NAMES_MAX: usize = 1_000;

impl CollectReport {
    fn name(&mut self, target: &Target, object: &str) {
        if self.objects.len() < NAMES_MAX {
            self.objects.push(format!("{}/{object}", target.bucket.place()));
        }
    }

    fn fail(&mut self, why: String) {
        if self.failed.len() < NAMES_MAX {
            self.failed.push(why);
        }
    }
}

impl Shared {
    /// Removes from all targets what has no use, now.
    pub(crate) fn collect(&self, dry_run: bool) -> Result<CollectReport> {
        if self.archive.targets.is_empty() {
            return Err(no_archive());
        }
        let _alone = locked(&self.archive.moving);
        let mut report = CollectReport { dry_run, ..CollectReport::default() };
        for target in &self.archive.targets {
            let collected = self.collect_in(target, true, &mut report);
            if let Err(e) = self.noting(target, collected) {
                report.fail(e.to_string());
            }
        }
        Ok(report)
    }

    /// Removes from a target what has no use; with `orphans` also what nobody knows of, for which all of it is listed.
    pub(super) fn collect_in(&self, target: &Target, orphans: bool, report: &mut CollectReport) -> Result<()> {
        self.own(target)?;
        self.collect_condemned(target, report)?;
        if orphans {
            self.collect_orphans(target, report)?;
        }
        self.archive.praise(target);
        Ok(())
    }

    pub(super) fn condemned(&self, target: &Target) -> Result<Vec<CondemnedObject>> {
        let scan = self.catalog.scan::<CondemnedObject>(Table::Condemned)?;
        Ok(scan.rows.into_iter().map(|(_, object)| object).filter(|object| object.target == target.name).collect())
    }

    fn collect_condemned(&self, target: &Target, report: &mut CollectReport) -> Result<()> {
        let last = self.last_manifest(target)?;
        let now = self.env.now();
        let known = self.known_objects(target);
        let grace = i64::try_from(target.grace.as_nanos()).unwrap_or(i64::MAX);
        for condemned in self.condemned(target)? {
            self.is_closing()?;
            let CondemnedObject { object, since, .. } = &condemned;
            // The same content may have been sealed again since.
            let is_known = known.contains(object);
            let is_named = last.objects.contains(object) && !planted::on("object-gone-while-named");
            let is_over = now.saturating_sub(*since) >= grace
                && (last.head.written >= *since || planted::on("object-gone-while-named"));
            if !is_known && (!is_over || is_named) {
                report.waiting += 1;
                continue;
            }
            if !is_known {
                report.condemned += 1;
                report.name(target, object);
            }
            if report.dry_run {
                continue;
            }
            if !is_known && let Err(e) = target.bucket.remove(object) {
                report.condemned -= 1;
                if e.kind() != ErrorKind::Denied {
                    return Err(e);
                }
                report.fail(e.to_string());
                continue;
            }
            self.is_closing()?;
            let (mut change, mut undo) = (Change::new(), Change::new());
            change.spare(&target.name, object);
            undo.condemn(&condemned)?;
            self.commit_catalog(&change, &undo)?;
        }
        Ok(())
    }

    /// The objects that segments have in a target.
    fn known_objects(&self, target: &Target) -> BTreeSet<String> {
        let records = self.archive.all();
        records.iter().filter_map(|record| record.copy_in(&target.name)).map(|copy| copy.object.clone()).collect()
    }

    fn collect_orphans(&self, target: &Target, report: &mut CollectReport) -> Result<()> {
        let mut known = self.known_objects(target);
        known.extend(self.condemned(target)?.into_iter().map(|condemned| condemned.object));
        let last = self.last_manifest(target)?;
        known.extend(last.objects.iter().cloned());
        known.extend(named_by_others(&*target.bucket, &last.head)?);
        let (now, mut found) = (self.env.now(), BTreeMap::new());
        target.bucket.list(SEGMENTS, &mut |listed| {
            self.is_closing()?;
            if !known.contains(&listed.name) {
                found.insert(listed.name.clone(), listed);
            }
            Ok(())
        })?;
        let age = i64::try_from(ORPHAN_AGE.max(target.grace).as_nanos()).unwrap_or(i64::MAX);
        let mut seen = locked(&self.archive.strangers).remove(&target.name).unwrap_or_default();
        seen.retain(|name, _| found.contains_key(name));
        for (name, listed) in found {
            let first = *seen.entry(name.clone()).or_insert(now);
            // Where the target does not say when it was made, it is as old as it is known.
            if now.saturating_sub(listed.made.unwrap_or(first)) < age {
                report.waiting += 1;
                continue;
            }
            report.orphans += 1;
            report.orphan_bytes += listed.bytes;
            report.name(target, &name);
            if !report.dry_run {
                target.bucket.remove(&name)?;
                seen.remove(&name);
            }
        }
        locked(&self.archive.strangers).insert(target.name.clone(), seen);
        Ok(())
    }
}
