//! The log against a real directory whose bytes are cut, flipped, copied back and refused.
use super::frame::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, Kind, Stamp, frame_bytes, put_frame};
use super::*;
use crate::env::{DirEntry, DirLock, Env, File, OpenMode, RealEnv, Space};
use crate::error::{ErrorKind, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

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

#[test]
fn a_tail_torn_anywhere_opens_without_it() {
    let batches = tens(4, 100);
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &batches);
    let path = log.only_file();
    let whole = std::fs::read(&path).unwrap();
    let ends = offsets(&batches);
    for cut in ends[3]..ends[4] {
        for zeros in [false, true] {
            let mut torn = whole[..cut].to_vec();
            if zeros {
                torn.resize(whole.len(), 0);
            }
            std::fs::write(&path, &torn).unwrap();
            let (replayed, found) = log.replay();
            // What is cut off may be padding or end in zeros itself.
            let complete = zeros && torn == whole;
            assert_eq!(found, batches[..if complete { 4 } else { 3 }], "cut {cut}");
            assert!(replayed.damaged.is_empty() && !replayed.clean_shutdown, "cut {cut}");
        }
    }
}

#[test]
fn recovery_from_a_torn_tail_goes_on_where_it_ended() {
    let batches = tens(4, 100);
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &batches);
    let path = log.only_file();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[offsets(&batches)[4] - 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (replayed, _) = log.replay();
    assert_eq!(replayed.torn.unwrap().first_seq, 30);
    for _ in 0..3 {
        let (_, _, found) = log.open();
        assert_eq!(found, batches[..3]);
    }
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &[batch(30, 5, 50)]);
    drop(writer);
    let (replayed, found) = log.replay();
    assert_eq!(found[3..], [batch(30, 5, 50)]);
    assert!(replayed.damaged.is_empty());
}

#[test]
fn no_flipped_byte_gives_a_wrong_batch_and_acknowledged_loss_is_reported() {
    let batches = tens(4, 90);
    let log = Log::new(1024);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &batches);
    writer.close().unwrap();
    let path = log.only_file();
    let whole = std::fs::read(&path).unwrap();
    let ends = offsets(&batches);
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bad = whole.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(&path, &bad).unwrap();
            let (replayed, found) = log.replay();
            let place = format!("byte {at} bit {bit}");
            if at < FILE_HEADER_BYTES {
                assert!(found.is_empty() && replayed.damaged.len() == 1, "{place}");
                continue;
            }
            let hit = ends.windows(2).position(|frame| (frame[0]..frame[1]).contains(&at));
            let expected: Vec<_> =
                batches.iter().enumerate().filter(|(n, _)| Some(*n) != hit).map(|(_, b)| b.clone()).collect();
            assert_eq!(found, expected, "{place}");
            match hit {
                Some(n) => {
                    let lost = &replayed.damaged[0].lost;
                    let range = (lost.first_seq, lost.end_seq);
                    assert_eq!(range, (n as u64 * 10, Some(n as u64 * 10 + 10)), "{place}");
                    assert_eq!((lost.offset, replayed.damaged.len()), (ends[n] as u64, 1), "{place}");
                }
                None => assert!(replayed.damaged.is_empty(), "{place}"),
            }
            assert_eq!(replayed.next_seq, 40, "{place}");
        }
    }
}

#[test]
fn damage_stays_reported_after_the_tail_was_rewritten() {
    let batches = tens(6, 100);
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &batches);
    let path = log.only_file();
    let mut bytes = std::fs::read(&path).unwrap();
    let ends = offsets(&batches);
    bytes[ends[1] + 3] ^= 1;
    bytes[ends[2] + 3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let kept: Vec<_> = [0, 3, 4, 5].map(|n: usize| batches[n].clone()).to_vec();
    for start in 0..3 {
        let (replayed, found) = log.replay();
        assert_eq!(found, kept, "start {start}");
        let lost = &replayed.damaged[0].lost;
        assert_eq!((lost.first_seq, lost.end_seq, replayed.damaged.len()), (10, Some(30), 1), "start {start}");
        let sealed = log.replay_from(30).0;
        assert!(sealed.damaged[0].sealed && !replayed.damaged[0].sealed);
        drop(log.open());
    }
    assert_eq!(log.env.list(&log.options.quarantine).unwrap().len(), 1);
}

#[test]
fn a_mark_makes_the_last_batch_damage_instead_of_a_torn_tail() {
    let batches = tens(2, 100);
    for marked in [false, true] {
        let log = Log::new(4096);
        let (mut writer, _, _) = log.open();
        append_each(&mut writer, &batches);
        if marked {
            writer.mark().unwrap();
            writer.mark().unwrap();
        }
        let path = log.only_file();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[offsets(&batches)[1] + FRAME_HEADER_BYTES] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (replayed, found) = log.replay();
        assert_eq!(found, batches[..1]);
        assert_eq!((replayed.damaged.len(), replayed.torn.is_some()), if marked { (1, false) } else { (0, true) });
    }
}

#[test]
fn a_batch_written_without_sync_can_tear_even_with_frames_after_it() {
    let batches = tens(4, 100);
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &batches[..1]);
    append(&mut writer, &batches[1..], false).unwrap();
    assert_eq!(writer.durable_seq(), 10);
    let path = log.only_file();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[offsets(&batches)[1] + 9] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (replayed, found) = log.replay();
    assert_eq!(found, batches[..1]);
    assert!(replayed.damaged.is_empty() && replayed.torn.is_some());
    assert_eq!(log.open().2, batches[..1]);
    assert_eq!(log.replay().1, batches[..1]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Of what was not synced, any sectors can be on the disk. What was synced is there, nothing wrong is, and nobody
    /// is alarmed.
    #[test]
    fn sectors_lost_before_their_sync_are_never_damage(
        sizes in proptest::collection::vec((0usize..1500, 0u8..4), 1..25),
        kept in proptest::collection::vec(proptest::prelude::any::<bool>(), 128),
        recycled: bool,
    ) {
        let log = Log::new(32 << 10);
        let (mut writer, files, _) = log.open();
        let mut from_seq = 0;
        if recycled {
            // Until a file that is full of old frames has become the current one.
            let mut retired = 0;
            while retired < 2 || log.names("spare").len() == 2 {
                append(&mut writer, &[batch(from_seq, 1, 100)], false).unwrap();
                from_seq += 1;
                retired += files.retire(from_seq).unwrap();
            }
            writer.sync().unwrap();
        }
        let path = log.names("wal").pop().unwrap();
        let mut synced = std::fs::read(&path).unwrap();
        let (mut all, mut acknowledged) = (Vec::new(), 0);
        for (next, (bytes, mode)) in (from_seq..).zip(sizes) {
            let made = batch(next, 1, bytes);
            append(&mut writer, std::slice::from_ref(&made), mode == 0).unwrap();
            all.push(made);
            if mode == 0 {
                acknowledged = all.len();
                synced = std::fs::read(&path).unwrap();
            }
        }
        drop(writer);
        if log.names("wal").pop().unwrap() != path {
            return Ok(());
        }
        let written = std::fs::read(&path).unwrap();
        for (n, sector) in synced.chunks_mut(512).enumerate().filter(|(n, _)| kept[n % kept.len()]) {
            sector.copy_from_slice(&written[n * 512..n * 512 + sector.len()]);
        }
        std::fs::write(&path, &synced).unwrap();
        for _ in 0..2 {
            let (replayed, found) = log.replay_from(from_seq);
            proptest::prop_assert!(found.len() >= acknowledged && replayed.damaged.is_empty());
            proptest::prop_assert_eq!(&found[..], &all[..found.len()]);
            drop(log.open());
        }
    }
}

#[test]
fn what_a_recycled_file_held_never_comes_back() {
    let log = Log::new(4096);
    let (mut writer, files, _) = log.open();
    let old: Vec<_> = (0..60).map(|n| batch(n * 10, 10, 100)).collect();
    append_each(&mut writer, &old);
    let before = files.live_bytes();
    let retired = files.retire(550).unwrap();
    assert!(retired >= 2 && files.live_bytes() < before);
    assert_eq!(log.names("spare").len(), 2);
    assert!(log.replay_from(550).0.damaged.is_empty());
    // Frames of the same size as before, so that old frames lie exactly where the new ones end.
    let mut next = 600;
    while !log.names("spare").is_empty() {
        append_each(&mut writer, &[batch(next, 10, 100)]);
        next += 10;
        let (replayed, found) = log.replay_from(550);
        assert!(replayed.damaged.is_empty() && replayed.torn.is_none(), "{replayed:?}");
        assert_eq!(found.last().unwrap().first_seq, next - 10);
        assert!(found.windows(2).all(|pair| pair[0].first_seq + 10 == pair[1].first_seq));
    }
    drop(writer);
    let (_, files, _) = log.open();
    assert!(files.prepare_spare().unwrap());
    assert!(!files.prepare_spare().unwrap());
}

#[test]
fn spares_outlive_the_numbers_of_their_frames() {
    let log = Log::new(4096);
    let (mut writer, files, _) = log.open();
    append_each(&mut writer, &tens(40, 100));
    files.retire(390).unwrap();
    drop(writer);
    // All files are lost, so batch numbers start again, and the spares hold frames with the very next numbers.
    for path in log.names("wal") {
        std::fs::remove_file(path).unwrap();
    }
    let spares = log.names("spare");
    let first = spares.iter().map(|path| std::fs::read(path).unwrap()).find(|bytes| bytes[FILE_HEADER_BYTES + 8] == 0);
    let batches = tens(2, 100);
    for path in &spares {
        std::fs::write(path, first.as_ref().unwrap()).unwrap();
    }
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &batches);
    let (replayed, found) = log.replay();
    assert_eq!(found, batches);
    assert!(replayed.damaged.is_empty());
}

#[test]
fn files_retire_in_order_and_never_the_current_one() {
    let log = Log::new(4096);
    let (mut writer, files, _) = log.open();
    append_each(&mut writer, &tens(3, 100));
    assert_eq!(files.retire(1_000_000).unwrap(), 0);
    // Effects alone stay until the row after them is sealed.
    append_each(&mut writer, &[batch(30, 0, 100)]);
    append_each(&mut writer, &[batch(30, 10, 3800)]);
    assert_eq!(log.names("wal").len(), 2);
    assert_eq!(files.retire(30).unwrap(), 0);
    assert_eq!(log.replay_from(30).1, [batch(30, 0, 100), batch(30, 10, 3800)]);
    assert_eq!(files.retire(31).unwrap(), 1);
    assert_eq!(log.replay_from(31).1, [batch(30, 10, 3800)]);
}

#[test]
fn a_frame_larger_than_a_file_gets_its_own() {
    let log = Log::new(4096);
    let (mut writer, files, _) = log.open();
    let all = [batch(0, 1, 10), batch(1, 1, 50_000), batch(2, 1, 10)];
    append_each(&mut writer, &all);
    assert_eq!(log.replay().1, all);
    assert_eq!(files.retire(2).unwrap(), 2);
    assert_eq!(log.names("spare").len(), 1, "a file of another size is not recycled");
    let part = vec![0; FRAME_PAYLOAD_BYTES_MAX + 1];
    let too_large = Frame { first_seq: 3, rows: 1, arrival: 0, parts: &[&part] };
    assert_eq!(writer.append(&[too_large], true).unwrap_err().kind(), ErrorKind::Invalid);
    let backwards = Frame { first_seq: 2, rows: 1, arrival: 0, parts: &[] };
    assert_eq!(writer.append(&[backwards], true).unwrap_err().kind(), ErrorKind::Invalid);
    append_each(&mut writer, &[batch(3, 1, 10)]);
}

#[test]
fn a_crash_after_the_rewrite_leaves_no_batch_twice() {
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    let batches = tens(5, 100);
    append_each(&mut writer, &batches);
    drop(writer);
    let old = log.only_file();
    let bytes = std::fs::read(&old).unwrap();
    let (mut replayed, _) = log.replay();
    rewrite_tail(&log.env, &log.options, &mut replayed).unwrap();
    assert!(!old.exists());
    // The removal of the old file was lost, and a copy that had not got its name is left.
    std::fs::write(&old, &bytes).unwrap();
    std::fs::write(log.options.dir.join("00000000000000aa.tmp"), &bytes).unwrap();
    let (replayed, found) = log.replay();
    assert_eq!(found, batches);
    assert_eq!(replayed.superseded, [old.as_path()]);
    let (mut writer, _, found) = log.open();
    assert_eq!(found, batches);
    assert!(!old.exists() && log.names("tmp").is_empty());
    append_each(&mut writer, &[batch(50, 10, 10)]);
    assert_eq!(log.replay().1.len(), 6);
}

#[test]
fn starting_again_and_again_without_appends_leaves_two_files() {
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    writer.close().unwrap();
    for n in 0..6 {
        let (writer, _, found) = log.open();
        assert_eq!(found.len(), 2);
        let empty = log.names("wal").len() - 1;
        assert!(empty <= 2, "the new one, and the one that it takes the place of");
        if n % 2 == 0 {
            writer.close().unwrap();
        }
    }
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &[batch(20, 10, 10)]);
    drop(writer);
    let held = || log.replay().0.files.iter().map(|file| file.bytes - FILE_HEADER_BYTES as u64).sum::<u64>();
    drop(log.open());
    let first = held();
    drop(log.open());
    assert_eq!(held(), first, "copies of copies do not grow");
    assert_eq!(log.replay().1.len(), 3);
}

#[test]
fn a_missing_a_short_and_an_exchanged_file_are_noticed() {
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    let batches = tens(60, 200);
    append_each(&mut writer, &batches);
    writer.close().unwrap();
    let (replayed, _) = log.replay();
    let file = &replayed.files[2];
    let (first, end, path) = (file.first_seq, file.end_seq, file.path.clone());
    let whole = std::fs::read(&path).unwrap();

    std::fs::remove_file(&path).unwrap();
    let (replayed, found) = log.replay();
    let lost = &replayed.damaged[0].lost;
    assert_eq!((replayed.damaged.len(), lost.first_seq, lost.end_seq), (1, first, Some(end)));
    let expected: Vec<_> = batches.iter().filter(|b| !(first..end).contains(&b.first_seq)).cloned().collect();
    assert_eq!(found, expected);
    assert!(log.replay_from(end).0.damaged.is_empty(), "sealed and retired");

    let mut short = whole.clone();
    short.truncate(offsets(&batches[(first / 10) as usize..])[2] + 4);
    std::fs::write(&path, &short).unwrap();
    let lost = log.replay().0.damaged.remove(0).lost;
    assert_eq!((lost.first_seq, lost.end_seq), (first + 20, Some(end)));

    std::fs::write(&path, &whole[..10]).unwrap();
    let lost = log.replay().0.damaged.remove(0).lost;
    assert_eq!((lost.first_seq, lost.end_seq), (first, Some(end)));

    let header = FileHeader::decode(&whole).unwrap();
    let mut other = FileHeader { salt: 9, ..header }.encode();
    let within = batches.iter().filter(|b| (first..end).contains(&b.first_seq));
    for (batch_no, batch) in (header.base_batch..).zip(within) {
        let parts = [&batch.payload[1..]];
        let frame = Frame { first_seq: batch.first_seq, rows: 10, arrival: 0, parts: &parts };
        put_frame(&mut other, 9, Stamp { kind: Kind::Data, batch_no, durable_batch: batch_no }, &frame).unwrap();
    }
    std::fs::write(&path, &other).unwrap();
    assert_eq!(log.replay().0.damaged.len(), 1);
}

#[test]
fn a_length_of_two_gibibytes_is_only_a_bad_header() {
    let mut bytes = FileHeader { id: 1, base_seq: 0, base_batch: 0, salt: 7, previous: None }.encode();
    let stamp = Stamp { kind: Kind::Data, batch_no: 0, durable_batch: 0 };
    put_frame(&mut bytes, 7, stamp, &Frame { first_seq: 0, rows: 1, arrival: 0, parts: &[b"text"] }).unwrap();
    assert_eq!(scan_bytes(&bytes).unwrap().batches, 1);
    bytes[FILE_HEADER_BYTES + 4..FILE_HEADER_BYTES + 8].copy_from_slice(&(1u32 << 31).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&7u64.to_le_bytes());
    crc.update(&bytes[FILE_HEADER_BYTES..FILE_HEADER_BYTES + FRAME_HEADER_BYTES - 4]);
    let at = FILE_HEADER_BYTES + FRAME_HEADER_BYTES - 4;
    bytes[at..at + 4].copy_from_slice(&crc.finalize().to_le_bytes());
    let scanned = scan_bytes(&bytes).unwrap();
    assert_eq!((scanned.batches, scanned.torn_at), (0, Some(FILE_HEADER_BYTES as u64)));
}

#[test]
fn a_newer_format_is_refused_and_not_damaged() {
    let log = Log::new(4096);
    drop(log.open());
    let path = log.only_file();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4] = 2;
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let refused = replay(&log.env, &log.options.dir, 0, &mut |_| Ok(()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NewerFormat);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_scanned_without_panic(
        mut tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
        edits in proptest::collection::vec((0usize..900, proptest::prelude::any::<u8>()), 0..6),
        salt in 0u64..2,
    ) {
        let mut bytes = FileHeader { id: 1, base_seq: 0, base_batch: 0, salt, previous: None }.encode();
        for n in 0..5 {
            let stamp = Stamp { kind: Kind::Data, batch_no: n, durable_batch: n };
            let frame = Frame { first_seq: n, rows: 1, arrival: 0, parts: &[&tail[..tail.len().min(40)]] };
            put_frame(&mut bytes, salt, stamp, &frame).unwrap();
        }
        bytes.append(&mut tail);
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(FILE_HEADER_BYTES + at) {
                *byte = value;
            }
        }
        let scanned = scan_bytes(&bytes).unwrap();
        proptest::prop_assert!(scanned.batch_no <= 5 && scanned.end_seq <= 5);
        scan_bytes(&bytes[FILE_HEADER_BYTES..]).ok();
    }
}

/// The machine, until it is told to refuse.
#[derive(Default)]
struct Refusals {
    syncs: AtomicBool,
    writes: AtomicBool,
    disk_full: AtomicBool,
    dir_syncs: AtomicBool,
    /// Syncs that were tried.
    tried: AtomicUsize,
}

struct RefusingEnv {
    real: RealEnv,
    refusals: Arc<Refusals>,
}

struct RefusingFile {
    real: Arc<dyn File>,
    refusals: Arc<Refusals>,
}

fn refused(flag: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
    if flag.load(Ordering::Relaxed) { Err(kind.into()) } else { Ok(()) }
}

impl File for RefusingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let failure = refused(&self.refusals.disk_full, io::ErrorKind::StorageFull)
            .and_then(|()| refused(&self.refusals.writes, io::ErrorKind::Other));
        if let Err(e) = failure {
            // As a real disk may: some of it is written before it fails.
            self.real.write_all_at(&buf[..buf.len() / 2], offset)?;
            return Err(e);
        }
        self.real.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.refusals.tried.fetch_add(1, Ordering::Relaxed);
        refused(&self.refusals.syncs, io::ErrorKind::Other)?;
        self.real.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.real.sync_all()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.real.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }
}

impl Env for RefusingEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RefusingFile { real: self.real.open(path, mode)?, refusals: self.refusals.clone() }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.real.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        refused(&self.refusals.dir_syncs, io::ErrorKind::Other)?;
        self.real.sync_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.real.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.real.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.real.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.real.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.real.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.real.space(path)
    }
    fn now(&self) -> i64 {
        self.real.now()
    }
    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }
    fn random(&self) -> u64 {
        self.real.random()
    }
}

fn refusing_log(file_bytes: usize) -> (Log, Arc<Refusals>) {
    let refusals = Arc::new(Refusals::default());
    let env = RefusingEnv { real: RealEnv::new(), refusals: refusals.clone() };
    (Log::with_env(file_bytes, Arc::new(env)), refusals)
}

#[test]
fn a_failed_sync_or_write_poisons_for_good() {
    for fail_sync in [true, false] {
        let (log, refusals) = refusing_log(4096);
        let (mut writer, _, _) = log.open();
        append_each(&mut writer, &tens(2, 100));
        let flag = if fail_sync { &refusals.syncs } else { &refusals.writes };
        flag.store(true, Ordering::Relaxed);
        let e = append(&mut writer, &[batch(20, 10, 100)], true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Poisoned);
        assert!(e.to_string().contains(".wal"), "{e}");
        flag.store(false, Ordering::Relaxed);
        let tried = refusals.tried.load(Ordering::Relaxed);
        let again = append(&mut writer, &[batch(20, 10, 100)], true).unwrap_err();
        assert_eq!((again.kind(), again.to_string()), (ErrorKind::Poisoned, e.to_string()));
        assert_eq!(writer.sync().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(writer.mark().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(writer.durable_seq(), 20);
        assert_eq!(writer.close().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(refusals.tried.load(Ordering::Relaxed), tried, "never synced again");
        let (replayed, found) = log.replay();
        assert!(replayed.damaged.is_empty());
        assert_eq!(found[..2], tens(2, 100));
        let (mut writer, _, _) = log.open();
        append_each(&mut writer, &[batch(40, 10, 100)]);
        assert_eq!(log.replay().1.last(), Some(&batch(40, 10, 100)));
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, files, _) = log.open();
    append_each(&mut writer, &tens(2, 1500));
    refusals.disk_full.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let e = append(&mut writer, &[batch(20, 10, 1500)], true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DiskFull);
        assert!(files.prepare_spare().is_err());
    }
    assert!(log.names("tmp").is_empty() && log.names("spare").is_empty());
    refusals.disk_full.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(20, 10, 1500)]);
    let (replayed, found) = log.replay();
    assert_eq!((found.len(), replayed.damaged.len()), (3, 0));
}

#[test]
fn what_a_write_on_a_full_disk_left_behind_is_void() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    append(&mut writer, &[batch(20, 10, 100)], false).unwrap();
    refusals.disk_full.store(true, Ordering::Relaxed);
    // Half of this is written: the first of its batches whole.
    let group = [batch(30, 10, 8), batch(40, 10, 200)];
    assert_eq!(append(&mut writer, &group, true).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(log.replay().1.len(), 3, "what was refused is not there, whatever comes next");
    assert_eq!(append(&mut writer, &group, true).unwrap_err().kind(), ErrorKind::DiskFull);
    refusals.disk_full.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(30, 10, 77)]);
    assert_eq!(writer.durable_seq(), 40);
    let (replayed, found) = log.replay();
    assert_eq!(found[2..], [batch(20, 10, 100), batch(30, 10, 77)]);
    assert!(replayed.damaged.is_empty() && replayed.torn.is_none());
}

#[test]
fn an_empty_file_that_voids_a_frame_of_the_one_before_stays_until_it_is_followed() {
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    drop(writer);
    drop(log.open());
    let (written, empty) = (log.names("wal")[0].clone(), log.names("wal")[1].clone());
    // A frame that was refused and is whole on the disk all the same.
    let mut bytes = std::fs::read(&written).unwrap();
    let salt = FileHeader::decode(&bytes).unwrap().salt;
    let batch_no = FileHeader::decode(&std::fs::read(&empty).unwrap()).unwrap().base_batch;
    bytes.truncate(log.replay().0.files[0].bytes as usize);
    let refused = Frame { first_seq: 20, rows: 10, arrival: 5, parts: &[b"refused"] };
    let stamp = Stamp { kind: Kind::Data, batch_no, durable_batch: batch_no };
    put_frame(&mut bytes, salt, stamp, &refused).unwrap();
    std::fs::write(&written, &bytes).unwrap();
    for _ in 0..3 {
        let (mut replayed, found) = log.replay();
        assert_eq!(found.len(), 2);
        rewrite_tail(&log.env, &log.options, &mut replayed).unwrap();
    }
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &[batch(20, 10, 10)]);
    drop(writer);
    assert_eq!(log.open().2.len(), 3);
    assert!(!empty.exists(), "it is given up once it is followed");
    std::fs::remove_file(log.names("wal").pop().unwrap()).unwrap();
    assert_eq!(log.replay().1[2], batch(20, 10, 10));
}

#[test]
fn a_start_on_a_full_disk_reads_and_resumes() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    writer.close().unwrap();
    refusals.disk_full.store(true, Ordering::Relaxed);
    let (mut writer, _, found) = log.open();
    assert_eq!(found.len(), 2);
    assert_eq!(append(&mut writer, &[batch(20, 1, 9)], true).unwrap_err().kind(), ErrorKind::DiskFull);
    refusals.disk_full.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(20, 1, 9)]);
    assert_eq!(log.replay().1.len(), 3);
}

#[test]
fn a_file_whose_name_is_not_durable_takes_no_frame() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, files, _) = log.open();
    files.prepare_spare().unwrap();
    append_each(&mut writer, &tens(2, 1500));
    refusals.dir_syncs.store(true, Ordering::Relaxed);
    assert!(append(&mut writer, &[batch(20, 10, 1500)], true).is_err());
    // It would fit into the file before, which has been followed.
    assert!(append(&mut writer, &[batch(20, 10, 10)], true).is_err());
    refusals.dir_syncs.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(20, 10, 10)]);
    let (replayed, found) = log.replay();
    assert_eq!((found.len(), replayed.damaged.len()), (3, 0));
}

#[test]
fn a_rewrite_on_a_full_disk_loses_nothing_and_can_be_repeated() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    drop(writer);
    let (mut replayed, _) = log.replay();
    refusals.disk_full.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let e = rewrite_tail(&log.env, &log.options, &mut replayed).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DiskFull);
        assert!(log.names("tmp").is_empty());
        assert_eq!(log.replay().1, tens(2, 100));
    }
    refusals.disk_full.store(false, Ordering::Relaxed);
    rewrite_tail(&log.env, &log.options, &mut replayed).unwrap();
    let files = Files::open(log.env.clone(), log.options.clone(), &replayed).unwrap();
    let mut writer = Writer::create(files, Start::from(&replayed)).unwrap();
    append_each(&mut writer, &[batch(20, 1, 9)]);
    let (replayed, found) = log.replay();
    assert_eq!((found.len(), replayed.damaged.len()), (3, 0));
}

#[test]
fn spares_are_made_beside_a_running_writer() {
    let log = Log::new(4096);
    let (mut writer, files, _) = log.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                files.prepare_spare().unwrap();
                files.retire(100).unwrap();
            }
        });
        append_each(&mut writer, &tens(100, 300));
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(log.replay_from(100).1, tens(100, 300)[10..]);
    assert!(log.names("spare").len() <= 3);
}
