//! Saves what is sound of damaged segments, for whoever repairs a directory.
//!
//! A damaged block is lost; the other blocks of its segment are copied into a segment of their own, which takes the place
//! of the damaged one. That file is kept in quarantine. Where only an index or effects are damaged nothing is lost: the
//! copy has sound ones.
//!
//! Invariants
//! * Every row that a search would show before is shown after it.
//! * Nothing is removed: a damaged file is set aside once the catalog names what was saved of it.
use super::compact::Leaving;
use super::rewrite::Blocks;
use super::turn::Turn;
use crate::engine::{LiveSegment, Shared, set_aside};
use crate::error::{ErrorKind, Result};
use std::collections::BTreeMap;

impl Shared {
    /// Verifies every segment and writes those anew that are damaged, without what is lost. Says what it did.
    pub(crate) fn salvage(&self) -> Result<Vec<String>> {
        let turn = self.turn();
        self.scrub_all()?;
        let mut said = Vec::new();
        for live in self.live_segments() {
            let segment = &live.segment;
            let helps = segment.verify_head().and_then(|()| segment.verify_index()).and_then(|()| segment.effects());
            if self.lost.touches(live.record.id) || helps.is_err() {
                self.salvage_segment(&turn, &live, &mut said)?;
            }
        }
        Ok(said)
    }

    /// Takes the rows of a segment that came back, but for those with these numbers, which ascend: they are elsewhere. Its
    /// file is kept in quarantine.
    pub(crate) fn take_rest(&self, live: &LiveSegment, elsewhere: Vec<u64>) -> Result<Vec<String>> {
        let turn = self.turn();
        let leaving = Leaving::of(self, elsewhere);
        let group = std::slice::from_ref(live);
        match self.supersede(&turn, group, &leaving, Blocks::All) {
            // What is damaged in it is known by now.
            Err(e) if e.kind() == ErrorKind::Corrupt => self.supersede(&turn, group, &leaving, Blocks::Sound)?,
            taken => taken?,
        }
        let mut said = Vec::new();
        set_aside(&*self.env, &self.layout, live.segment.path(), &mut said);
        self.forget(live);
        Ok(said)
    }

    fn salvage_segment(&self, turn: &Turn<'_>, live: &LiveSegment, said: &mut Vec<String>) -> Result<()> {
        let path = live.segment.path();
        let is_lost = |block: &usize| self.lost.contains(live.record.id, *block);
        let lost: u64 = (0..live.segment.block_count())
            .filter(is_lost)
            .filter_map(|block| live.segment.footer.blocks.get(block))
            .map(|meta| u64::from(meta.rows))
            .sum();
        // Nothing expires by being repaired.
        let leaving = Leaving::at(self, i64::MIN, BTreeMap::new());
        self.supersede(turn, std::slice::from_ref(live), &leaving, Blocks::Sound)?;
        let kept = live.record.rows - lost;
        said.push(format!("{}: {kept} records were saved, {lost} are lost", path.display()));
        set_aside(&*self.env, &self.layout, path, said);
        self.forget(live);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::batch::BatchBuilder;
    use crate::engine::{Ack, Append, CheckReport, Engine, Options, check};
    use crate::env::Env;
    use crate::env::sim::SimEnv;
    use crate::segment::Segment;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    fn open(env: &SimEnv, copy_rows_min: usize) -> Arc<Engine> {
        let options = Options { background: false, wal_file_bytes: 64 << 10, copy_rows_min, ..Options::new("/data") };
        Engine::open(Arc::new(env.process()), options).unwrap()
    }

    /// A closed directory with one segment of three blocks, sixty rows each.
    fn store() -> SimEnv {
        let env = SimEnv::new(5);
        let engine = open(&env, 1);
        for block in 0..3u64 {
            let mut builder = BatchBuilder::new();
            for number in block * 60..block * 60 + 60 {
                builder.begin_row();
                builder.string("_msg", &format!("row {number} of block{block} was read"));
                builder.string("trace", &format!("{:032x}", u128::from(number) * 0x0123_4567_89AB_CDEF_0011));
                builder.commit_row();
            }
            engine.append(Append::new(builder.finish().unwrap(), Ack::Wal)).unwrap();
            engine.seal().unwrap();
        }
        engine.compact().unwrap();
        engine.close().unwrap();
        env
    }

    fn segment_file(env: &SimEnv) -> PathBuf {
        let is_segment = |path: &PathBuf| path.starts_with("/data/segments");
        env.files().into_iter().map(|(path, _)| path).find(is_segment).unwrap()
    }

    fn rows(env: &SimEnv) -> BTreeMap<u64, String> {
        let engine = open(env, 1);
        let mut rows = BTreeMap::new();
        engine.for_each(|record| drop(rows.insert(record.seq, record.to_json(|_| true)))).unwrap();
        assert_eq!(engine.troubles(), Vec::<String>::new());
        engine.close().unwrap();
        rows
    }

    fn checked(env: &SimEnv, repair: bool) -> CheckReport {
        let env: Arc<dyn Env> = Arc::new(env.process());
        check(&env, Path::new("/data"), repair).unwrap()
    }

    #[test]
    fn a_repair_keeps_every_record_but_those_of_the_damaged_block() {
        let env = store();
        let (all, path) = (rows(&env), segment_file(&env));
        let block = Segment::open(&env, &path, &Arc::default()).unwrap().footer.blocks[1].clone();
        env.flip_bit(&path, block.offset + block.pages_len / 2, 3).unwrap();
        let named = format!("records {} to {}, 60 of them", block.first_seq, block.last_seq);
        let report = checked(&env, false);
        assert!(!report.ok && report.lines.iter().any(|line| line.contains(&named)), "{:?}", report.lines);
        assert_eq!(segment_file(&env), path, "without repair nothing changes");
        let report = checked(&env, true);
        assert!(report.lines.iter().any(|line| line.contains("120 records were saved, 60 are lost")), "{report:?}");
        assert!(env.exists(&Path::new("/data/quarantine").join(path.file_name().unwrap())).unwrap());
        assert!(checked(&env, false).ok);
        let mut kept = all;
        kept.retain(|seq, _| !(block.first_seq..=block.last_seq).contains(seq));
        assert_eq!(rows(&env), kept);
    }

    /// The numbers of `records a to b` in a line.
    fn named(line: &str) -> Option<std::ops::RangeInclusive<u64>> {
        let (first, rest) = line.split_once("records ")?.1.split_once(" to ")?;
        let last: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(first.parse().ok()?..=last.parse().ok()?)
    }

    #[test]
    fn a_bit_flipped_anywhere_costs_what_is_named_and_nothing_else() {
        let whole = store();
        let (all, path, snapshot) = (rows(&whole), segment_file(&whole), whole.snapshot());
        let bytes = whole.read_raw(&path).unwrap().len() as u64;
        let mut lossless = 0;
        for at in (0..bytes).step_by(41) {
            let env = SimEnv::from_snapshot(&snapshot, at);
            env.flip_bit(&path, at, (at % 8) as u8).unwrap();
            let report = checked(&env, true);
            assert!(report.lines.iter().any(|line| line.starts_with("repaired")), "byte {at} is not found: {report:?}");
            assert!(report.ok && checked(&env, false).ok, "byte {at}: {report:?}");
            let named: BTreeSet<u64> = report.lines.iter().filter_map(|line| named(line)).flatten().collect();
            let kept = rows(&env);
            assert!(kept.iter().all(|row| all.get(row.0) == Some(row.1)), "byte {at}");
            let lost: BTreeSet<u64> = all.keys().filter(|seq| !kept.contains_key(seq)).copied().collect();
            assert_eq!(lost, named, "byte {at}: {report:?}");
            lossless += usize::from(kept.len() == all.len());
        }
        assert!(lossless > 0, "damage to an index costs nothing");
    }
}
