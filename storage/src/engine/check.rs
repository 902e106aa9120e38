//! Verifies every checksum of a directory that no process has open, and says what is lost.
//!
//! Invariants
//! * Without `repair` nothing that is stored changes: only the lock file is made, and the catalog notes that it was opened.
use super::is_live;
use super::recovery::{set_aside, take_lock};
use crate::catalog::{Catalog, Change};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::payload;
use crate::segment::Segment;
use crate::wal;
use std::path::Path;
use std::sync::Arc;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Whether everything is as it was written.
    pub ok: bool,
    /// What was looked at and what is wrong, for people.
    pub lines: Vec<String>,
}

/// Checks a data directory; with `repair`, sets damaged files aside so that everything else is served.
pub fn check(env: &Arc<dyn Env>, data: &Path, repair: bool) -> Result<CheckReport> {
    let layout = Layout::new(data);
    let _lock = take_lock(&**env, &layout)?;
    let mut report = CheckReport { ok: true, lines: Vec::new() };
    let path = layout.catalog();
    let is_there = env.exists(&path).map_err(|e| Error::io("look for", &path, e))?;
    let catalog = match is_there.then(|| Catalog::open(Arc::clone(env), &path)) {
        Some(Ok(opened)) => Some(opened.catalog),
        None => {
            report.wrong(format!("there is no {}; the next start makes it from the segments", path.display()));
            None
        }
        Some(Err(e)) => {
            report.wrong(format!("catalog: {e}; the next start sets it aside and rebuilds it"));
            None
        }
    };
    let mut sealed_seq = 0;
    if let Some(catalog) = &catalog {
        let found = catalog.load()?;
        for damage in &found.damaged {
            report.wrong(format!("catalog, table {}: {}", damage.table.name(), damage.error));
        }
        sealed_seq = found.meta.map_or(0, |meta| meta.sealed_seq);
        let mut change = Change::new();
        for record in found.segments.iter().filter(|record| is_live(record)) {
            let path = layout.segment(&record.day, record.id);
            let checked = Segment::open(&**env, &path, &Arc::default()).and_then(|segment| segment.verify());
            if let Err(e) = checked {
                report.wrong(format!("records {} to {}: {e}", record.first_seq, record.last_seq));
                if repair {
                    set_aside(&**env, &layout, &path, &mut report.lines);
                    change.remove_segment(record.id);
                }
            }
        }
        if repair && !change.is_empty() {
            catalog.commit(&change)?;
        }
        report.lines.push(format!("catalog: {} segments, {} effects", found.segments.len(), found.effects.len()));
    }
    let log = layout.wal();
    if !env.exists(&log).map_err(|e| Error::io("look for", &log, e))? {
        report.wrong(format!("there is no {}: this is no data directory, or its log is lost", log.display()));
        return Ok(report);
    }
    let (mut frames, mut rows) = (0u64, 0u64);
    let mut undecodable = Vec::new();
    let replayed = wal::replay(env, &log, sealed_seq, &mut |frame| {
        frames += 1;
        rows += u64::from(frame.rows);
        if let Err(e) = payload::decode(frame.payload) {
            undecodable.push(format!("log, records from {}: {e}", frame.first_seq));
        }
        Ok(())
    })?;
    undecodable.into_iter().for_each(|line| report.wrong(line));
    for damage in replayed.damaged.iter().filter(|damage| !damage.sealed) {
        let lost = &damage.lost;
        let end = lost.end_seq.map_or_else(|| "the end".to_string(), |end| end.to_string());
        report.wrong(format!("{}: records {} to {end}: {}", damage.file.display(), lost.first_seq, lost.reason));
    }
    report.lines.push(format!("log: {frames} batches with {rows} records that are not sealed"));
    Ok(report)
}

impl CheckReport {
    fn wrong(&mut self, line: String) {
        self.ok = false;
        self.lines.push(line);
    }
}
