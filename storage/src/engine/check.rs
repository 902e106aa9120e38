//! Verifies every checksum of a directory that no process has open, and says what is lost.
//!
//! Invariants
//! * Without `repair` nothing that is stored changes: only the lock file is made, and the catalog notes that it was opened.
use super::recovery::take_lock;
use super::{Engine, is_live};
use crate::catalog::{Catalog, SegmentRecord};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::options::Options;
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

/// Checks a data directory. With `repair` it then starts on it as a server does, which deals with the log and the catalog,
/// saves what is sound of damaged segments, and closes it in order.
pub fn check(env: &Arc<dyn Env>, data: &Path, repair: bool) -> Result<CheckReport> {
    let layout = Layout::new(data);
    let mut report = CheckReport { ok: true, lines: Vec::new() };
    {
        let _lock = take_lock(&**env, &layout)?;
        let sealed_seq = report.check_sealed(env, &layout)?;
        report.check_log(env, &layout, sealed_seq)?;
    }
    if repair && !report.ok {
        report.repair(env, data)?;
    }
    Ok(report)
}

impl CheckReport {
    /// Looks at the catalog and the segments that it names; gives the number below which rows are in them.
    fn check_sealed(&mut self, env: &Arc<dyn Env>, layout: &Layout) -> Result<u64> {
        let path = layout.catalog();
        if !env.exists(&path).map_err(|e| Error::io("look for", &path, e))? {
            self.wrong(format!("there is no {}; the next start makes it from the segments", path.display()));
            return Ok(0);
        }
        let catalog = match Catalog::open(Arc::clone(env), &path) {
            Ok(opened) => opened.catalog,
            Err(e) => {
                self.wrong(format!("catalog: {e}; the next start sets it aside and rebuilds it"));
                return Ok(0);
            }
        };
        let found = catalog.load()?;
        for damage in &found.damaged {
            self.wrong(format!("catalog, table {}: {}", damage.table.name(), damage.error));
        }
        for record in found.segments.iter().filter(|record| is_live(record)) {
            self.check_segment(&**env, layout, record);
        }
        self.lines.push(format!("catalog: {} segments, {} effects", found.segments.len(), found.effects.len()));
        Ok(found.meta.map_or(0, |meta| meta.sealed_seq))
    }

    /// Names every damaged part of a segment with the records that are lost with it.
    fn check_segment(&mut self, env: &dyn Env, layout: &Layout, record: &SegmentRecord) {
        let path = layout.segment(&record.day, record.id);
        let (first, last, rows) = (record.first_seq, record.last_seq, record.rows);
        let segment = match Segment::open(env, &path, &Arc::default()) {
            Ok(segment) => segment,
            Err(e) => return self.wrong(format!("records {first} to {last}, {rows} of them: {e}")),
        };
        if let Err(e) = segment.verify_shapes() {
            return self.wrong(format!("records {first} to {last}, {rows} of them: {e}"));
        }
        for verified in [segment.verify_head(), segment.verify_index(), segment.effects().map(drop)] {
            if let Err(e) = verified {
                self.wrong(format!("no records are lost: {e}"));
            }
        }
        for (index, meta) in segment.footer.blocks.iter().enumerate() {
            if let Err(e) = segment.verify_block(index) {
                self.wrong(format!("records {} to {}, {} of them: {e}", meta.first_seq, meta.last_seq, meta.rows));
            }
        }
    }

    fn check_log(&mut self, env: &Arc<dyn Env>, layout: &Layout, sealed_seq: u64) -> Result<()> {
        let log = layout.wal();
        if !env.exists(&log).map_err(|e| Error::io("look for", &log, e))? {
            self.wrong(format!("there is no {}: this is no data directory, or its log is lost", log.display()));
            return Ok(());
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
        undecodable.into_iter().for_each(|line| self.wrong(line));
        for damage in replayed.damaged.iter().filter(|damage| !damage.sealed) {
            let lost = &damage.lost;
            let end = lost.end_seq.map_or_else(|| "the end".to_string(), |end| end.to_string());
            self.wrong(format!("{}: records {} to {end}: {}", damage.file.display(), lost.first_seq, lost.reason));
        }
        self.lines.push(format!("log: {frames} batches with {rows} records that are not sealed"));
        Ok(())
    }

    fn repair(&mut self, env: &Arc<dyn Env>, data: &Path) -> Result<()> {
        let options = Options { background: false, ..Options::new(data) };
        let engine = Engine::open(Arc::clone(env), options)?;
        let said = engine.shared.salvage()?;
        self.lines.extend(engine.troubles());
        self.lines.extend(said);
        engine.close()?;
        self.lines.push("repaired: everything that is not named as lost is served".into());
        Ok(())
    }

    fn wrong(&mut self, line: String) {
        self.ok = false;
        self.lines.push(line);
    }
}
