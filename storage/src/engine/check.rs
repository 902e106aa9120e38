//! Verifies every checksum of a directory that no process has open, and says what is lost.
//!
//! Invariants
//! * Without `repair` nothing that is stored changes: only the lock file is made, and the catalog notes that it was opened.
use super::adopt::{drop_replaced, drop_unfinished};
use super::backup::unfinished;
use super::recovery::{knows_nothing, records_of_frame, take_lock};
use super::returned::unread_record;
use super::segments::{may_be_sound, named, open_segment, segment_files, set_aside};
use super::{Engine, is_live};
use crate::catalog::config_copy::{self, CopyKind};
use crate::catalog::{ArchiveRecord, Catalog, SegmentState, Table};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::options::Options;
use crate::payload;
use crate::segment::Segment;
use crate::wal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Whether everything is as it was written, or is in order after a repair.
    pub ok: bool,
    /// What was looked at and what is wrong, for people.
    pub lines: Vec<String>,
}

/// Checks a data directory. With `repair` it then starts on it as a server does, which deals with the log and the catalog,
/// saves what is sound of damaged segments, closes it in order, and checks again.
pub fn check(env: &Arc<dyn Env>, data: &Path, repair: bool) -> Result<CheckReport> {
    check_telling(env, data, repair, &mut |_, _| Ok(()))
}

/// The same, which tells how far it is: how many bytes of segments were looked at, and of how many. An error ends it.
pub fn check_telling(env: &Arc<dyn Env>, data: &Path, repair: bool, told: &mut Told<'_>) -> Result<CheckReport> {
    let layout = Layout::new(data);
    let unfinished = unfinished(&**env, &layout)?;
    let mut report = look(env, &layout, told)?;
    unfinished.into_iter().for_each(|why| report.wrong(why));
    if repair && !report.ok {
        report.repair(env, &layout, told)?;
    }
    Ok(report)
}

/// Looks at a directory, a backup that is not finished yet too.
pub(super) fn look(env: &Arc<dyn Env>, layout: &Layout, told: &mut Told<'_>) -> Result<CheckReport> {
    let mut report = CheckReport { ok: true, lines: Vec::new() };
    let _lock = take_lock(&**env, layout)?;
    let sealed_seq = report.check_sealed(env, layout, told)?;
    report.check_log(env, layout, sealed_seq)?;
    report.check_copies(&**env, layout);
    Ok(report)
}

/// Is told how many bytes are done, and of how many; what it does not want to go on ends with its error.
pub type Told<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// How far a check of segments is.
struct Way<'a, 'b> {
    told: &'a mut Told<'b>,
    done: u64,
    total: u64,
}

impl Way<'_, '_> {
    fn pass(&mut self, bytes: u64) -> Result<()> {
        self.done = self.total.min(self.done.saturating_add(bytes));
        (self.told)(self.done, self.total)
    }
}

impl CheckReport {
    /// Looks at the catalog and the segments that count; gives the number below which rows are in them.
    fn check_sealed(&mut self, env: &Arc<dyn Env>, layout: &Layout, told: &mut Told<'_>) -> Result<u64> {
        let path = layout.catalog();
        if !env.exists(&path).map_err(|e| Error::io("look for", &path, e))? {
            self.wrong(format!("there is no {}; the next start makes it from the segments", path.display()));
            return self.check_every_segment(env, layout, told);
        }
        let opened = Catalog::open(Arc::clone(env), &path).map(|opened| opened.catalog);
        let (catalog, found) = match opened.and_then(|catalog| catalog.load().map(|found| (catalog, found))) {
            Ok(found) => found,
            Err(e) => {
                let next = match e.kind() {
                    ErrorKind::Corrupt => "the next start sets it aside and rebuilds it",
                    ErrorKind::NewerFormat => "nothing is changed",
                    _ => "there is no start until it can be read",
                };
                self.wrong(format!("catalog: {e}; {next}"));
                return self.check_every_segment(env, layout, told);
            }
        };
        for damage in &found.damaged {
            self.wrong(format!("catalog, table {}: {}", damage.table.name(), damage.error));
        }
        self.lines.push(format!("catalog: {} segments, {} effects", found.segments.len(), found.effects.len()));
        let is_whole = !found.damaged.iter().any(|damage| damage.table == Table::Segments) && !knows_nothing(&catalog);
        let Some(meta) = found.meta.filter(|_| is_whole) else { return self.check_every_segment(env, layout, told) };
        let away: BTreeMap<u64, &ArchiveRecord> =
            found.archived.iter().filter(|record| record.is_away()).map(|record| (record.id, record)).collect();
        let live = || found.segments.iter().filter(|record| is_live(record) && !away.contains_key(&record.id));
        let elsewhere = found.segments.iter().filter(|record| is_live(record) && away.contains_key(&record.id));
        let (count, rows) = elsewhere.fold((0, 0), |(count, rows), record| (count + 1, rows + record.rows));
        if count > 0 {
            self.lines.push(format!(
                "segments: {count} with {rows} records are in the archive alone; `logyard archive verify` reads them there"
            ));
        }
        let mut way = Way { told, done: 0, total: live().map(|record| record.bytes).sum() };
        for record in live() {
            match open_segment(&**env, &layout.segment(&record.day, record.id), &Arc::default()) {
                Ok(segment) => self.check_segment(&segment, &mut way)?,
                Err(e) => self.wrong(format!("{}: {e}", records(record.first_seq, record.last_seq, record.rows))),
            }
        }
        for record in found.segments.iter().filter(|record| record.state == SegmentState::Unread) {
            match open_segment(&**env, &layout.segment(&record.day, record.id), &Arc::default()) {
                Ok(segment) => {
                    self.wrong(format!("{} can be read again; the next start takes what counts of it", named(record)));
                    // Its bytes are not known before, so they are not among those that are to be done.
                    self.check_segment(&segment, &mut way)?;
                }
                Err(e) => self.wrong(format!("{} cannot be read: {e}", named(record))),
            }
        }
        Ok(meta.sealed_seq)
    }

    /// Looks at all segment files that there are, as a start does that makes the catalog again.
    fn check_every_segment(&mut self, env: &Arc<dyn Env>, layout: &Layout, told: &mut Told<'_>) -> Result<u64> {
        let folder = layout.segments();
        if !env.exists(&folder).map_err(|e| Error::io("look for", &folder, e))? {
            return Ok(0);
        }
        let (mut footers, mut unread) = (Vec::new(), Vec::new());
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "seg");
        for path in segment_files(&**env, layout)?.into_iter().filter(is_segment) {
            match open_segment(&**env, &path, &Arc::default()) {
                Ok(segment) => footers.push((path, segment)),
                Err(e) => {
                    self.wrong(format!("a segment, and nothing else says which records are in it: {e}"));
                    unread.extend(unread_record(&path).filter(|_| may_be_sound(&e)).map(|record| record.id));
                }
            }
        }
        drop_unfinished(&mut footers, &unread, layout, env);
        drop_replaced(&mut footers);
        let mut way = Way { told, done: 0, total: footers.iter().map(|(_, segment)| segment.bytes).sum() };
        for (_, segment) in &footers {
            self.check_segment(segment, &mut way)?;
        }
        let rows: u64 = footers.iter().map(|(_, segment)| segment.footer.rows()).sum();
        self.lines.push(format!("segments: {} files with {rows} records, by their footers", footers.len()));
        Ok(footers.iter().map(|(_, segment)| segment.footer.sealed_seq).max().unwrap_or(0))
    }

    /// Names every damaged part of a segment with the records that are lost with it.
    fn check_segment(&mut self, segment: &Segment, way: &mut Way<'_, '_>) -> Result<()> {
        if let Err(e) = segment.verify_shapes() {
            let (first, last) = segment.footer.seqs();
            self.wrong(format!("{}: {e}", records(first, last, segment.footer.rows())));
            return way.pass(segment.bytes);
        }
        for verified in [segment.verify_head(), segment.verify_index(), segment.effects().map(drop)] {
            if let Err(e) = verified {
                self.wrong(format!("no records are lost: {e}"));
            }
        }
        for (index, meta) in segment.footer.blocks.iter().enumerate() {
            if let Err(e) = segment.verify_block(index) {
                self.wrong(format!("{}: {e}", records(meta.first_seq, meta.last_seq, u64::from(meta.rows))));
            }
            way.pass(meta.pages_len)?;
        }
        let in_blocks: u64 = segment.footer.blocks.iter().map(|meta| meta.pages_len).sum();
        way.pass(segment.bytes.saturating_sub(in_blocks))
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
                undecodable.push(format!("log, {}: {e}", records_of_frame(frame.first_seq, frame.rows)));
            }
            Ok(())
        });
        let replayed = match replayed {
            Ok(replayed) => replayed,
            Err(e) => {
                self.wrong(format!("log: {e}; there is no start until it can be read"));
                return Ok(());
            }
        };
        undecodable.into_iter().for_each(|line| self.wrong(line));
        for damage in replayed.damaged.iter().filter(|damage| !damage.sealed) {
            self.wrong(format!("{}: {}: {}", damage.file.display(), damage.lost.records(), damage.lost.reason));
        }
        self.lines.push(format!("log: {frames} batches with {rows} records that are not sealed"));
        Ok(())
    }

    /// Looks at the copies of configurations, keys and deletions.
    fn check_copies(&mut self, env: &dyn Env, layout: &Layout) {
        for damaged in damaged_copies(env, layout) {
            match damaged {
                Ok((path, e)) => self.wrong(format!(
                    "{} is no copy to go by: {e}; where the catalog has the same, the next start writes it again",
                    path.display()
                )),
                Err(e) => self.wrong(format!("copies: {e}")),
            }
        }
    }

    /// Mends what can be mended, and says whether anything is wrong then.
    fn repair(&mut self, env: &Arc<dyn Env>, layout: &Layout, told: &mut Told<'_>) -> Result<()> {
        if let Err(e) = self.mend(env, layout) {
            self.lines.push(format!("not repaired: {e}"));
            return Ok(());
        }
        let again = look(env, layout, told)?;
        self.ok = again.ok;
        if again.ok {
            self.lines.push("repaired: everything that is not named as lost is served".into());
        } else {
            self.lines.push("after the repair, this is still wrong:".into());
            self.lines.extend(again.lines);
        }
        Ok(())
    }

    fn mend(&mut self, env: &Arc<dyn Env>, layout: &Layout) -> Result<()> {
        let options = Options { background: false, ..Options::new(layout.root()) };
        let engine = Engine::open(Arc::clone(env), options)?;
        let said = engine.shared.salvage()?;
        self.lines.extend(engine.troubles());
        self.lines.extend(said);
        // Those that nothing was left to be written again from.
        for (path, e) in damaged_copies(&**env, layout).into_iter().flatten() {
            if e.kind() == ErrorKind::Corrupt {
                set_aside(&**env, layout, &path, &mut self.lines);
            }
        }
        engine.close()
    }

    fn wrong(&mut self, line: String) {
        self.ok = false;
        self.lines.push(line);
    }
}

/// Records, for people: the first one, the last, and how many of those between there are.
fn records(first: u64, last: u64, rows: u64) -> String {
    format!("records {first} to {last}, {rows} of them")
}

/// Copies that cannot be used, and why. An error is that nobody can tell.
fn damaged_copies(env: &dyn Env, layout: &Layout) -> Vec<Result<(PathBuf, Error)>> {
    let others = [CopyKind::Key, CopyKind::Deletion].map(|kind| config_copy::read(env, layout, kind));
    let damaged = others.into_iter().map(|copies| copies.map(|copies| copies.damaged));
    let damaged = damaged.chain([config_copy::read_services(env, layout).map(|copies| copies.damaged)]);
    damaged
        .flat_map(|of_kind| of_kind.map_or_else(|e| vec![Err(e)], |some| some.into_iter().map(Ok).collect()))
        .collect()
}
