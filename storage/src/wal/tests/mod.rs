//! The log against a real directory whose bytes are cut, flipped, copied back and refused.
mod files;
mod refusals;
mod tears;

use super::frame::{
    FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameHeader, Kind, Stamp, frame_bytes, put_frame,
};
use super::*;
use crate::env::{Env, RealEnv};
use crate::error::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE_BYTES: usize = 64 << 10;

struct Log {
    env: Arc<dyn Env>,
    options: Options,
    _dir: tempfile::TempDir,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Batch {
    first_seq: u64,
    rows: u32,
    arrival: i64,
    payload: Vec<u8>,
}

impl Log {
    fn new(file_bytes: usize) -> Self {
        Self::with_env(file_bytes, Arc::new(RealEnv::new()))
    }

    fn with_env(file_bytes: usize, env: Arc<dyn Env>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { file_bytes, ..Options::new(dir.path().join("wal"), dir.path().join("quarantine")) };
        env.create_dir_all(&options.dir).unwrap();
        Self { env, options, _dir: dir }
    }

    fn replay_from(&self, from_seq: u64) -> (Replayed, Vec<Batch>) {
        let mut batches = Vec::new();
        let replayed = replay(&self.env, &self.options.dir, from_seq, &mut |frame| {
            let payload = frame.payload.to_vec();
            batches.push(Batch { first_seq: frame.first_seq, rows: frame.rows, arrival: frame.arrival, payload });
            Ok(())
        });
        (replayed.unwrap(), batches)
    }

    fn replay(&self) -> (Replayed, Vec<Batch>) {
        self.replay_from(0)
    }

    /// The whole start-up.
    fn open(&self) -> (Writer, Arc<Files>, Vec<Batch>) {
        let (mut replayed, batches) = self.replay();
        rewrite_tail(&self.env, &self.options, &mut replayed).unwrap();
        let files = Files::open(self.env.clone(), self.options.clone(), &replayed).unwrap();
        (Writer::create(files.clone(), Start::from(&replayed)).unwrap(), files, batches)
    }

    fn names(&self, suffix: &str) -> Vec<PathBuf> {
        let entries = self.env.list(&self.options.dir).unwrap();
        let paths = entries.into_iter().map(|entry| self.options.dir.join(entry.name));
        paths.filter(|path| path.extension().is_some_and(|found| found == suffix)).collect()
    }

    fn only_file(&self) -> PathBuf {
        let files = self.names("wal");
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

fn batch(first_seq: u64, rows: u32, bytes: usize) -> Batch {
    let payload = (0..bytes).map(|i| (first_seq as usize * 31 + i * 7 + 1) as u8).collect();
    Batch { first_seq, rows, arrival: 1_700_000_000_000_000_000 + first_seq as i64, payload }
}

fn append(writer: &mut Writer, batches: &[Batch], sync: bool) -> Result<()> {
    let halves: Vec<[&[u8]; 2]> = batches
        .iter()
        .map(|batch| {
            let (a, b) = batch.payload.split_at(batch.payload.len() / 2);
            [a, b]
        })
        .collect();
    let frames: Vec<Frame<'_>> = batches
        .iter()
        .zip(&halves)
        .map(|(batch, parts)| Frame { first_seq: batch.first_seq, rows: batch.rows, arrival: batch.arrival, parts })
        .collect();
    writer.append(&frames, sync)
}

fn append_each(writer: &mut Writer, batches: &[Batch]) {
    for batch in batches {
        append(writer, std::slice::from_ref(batch), true).unwrap();
    }
}

/// Batches of ten rows each.
fn tens(count: u64, bytes: usize) -> Vec<Batch> {
    (0..count).map(|n| batch(n * 10, 10, bytes + n as usize)).collect()
}

/// Where each frame of a file with these batches starts, and where the last ends.
fn offsets(batches: &[Batch]) -> Vec<usize> {
    let mut at = FILE_HEADER_BYTES;
    let mut out = vec![at];
    for batch in batches {
        at += frame_bytes(batch.payload.len());
        out.push(at);
    }
    out
}

#[test]
fn batches_come_back_over_several_files_and_starts() {
    let log = Log::new(FILE_BYTES);
    let mut all = Vec::new();
    let mut next = 0;
    for start in 0..4 {
        let (mut writer, _, found) = log.open();
        assert_eq!(found, all, "start {start}");
        for n in 0..40u64 {
            // Groups of one to three batches, effects alone, a skip at the start of a group.
            let mut group = Vec::new();
            next += n % 2;
            for k in 0..=(n % 3) {
                let made = batch(next, (k % 3) as u32, 1000 + n as usize * 13);
                next += u64::from(made.rows);
                group.push(made);
            }
            append(&mut writer, &group, n % 4 == 0).unwrap();
            all.extend(group);
        }
        writer.sync().unwrap();
        assert_eq!(writer.durable_seq(), next);
        if start % 2 == 0 {
            writer.close().unwrap();
            assert!(log.replay().0.clean_shutdown);
        } else {
            drop(writer);
            assert!(!log.replay().0.clean_shutdown);
        }
    }
    let (replayed, found) = log.replay();
    assert_eq!(found, all);
    assert!(replayed.files.len() > 4 && replayed.damaged.is_empty() && replayed.torn.is_none());
    assert_eq!(replayed.next_seq, next);
    let (_, later) = log.replay_from(100);
    let expected: Vec<_> = all.into_iter().filter(|b| b.first_seq + u64::from(b.rows.max(1)) > 100).collect();
    assert_eq!(later, expected);
}
