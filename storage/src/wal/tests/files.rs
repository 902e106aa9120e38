//! The files of the log: recycled, retired, missing, of other formats.
use super::super::files::wal_path;
use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

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
        put_frame(&mut other, 9, Stamp { kind: Kind::Data, batch_no, durable_batch: batch_no, epoch: Some(5) }, &frame)
            .unwrap();
    }
    std::fs::write(&path, &other).unwrap();
    assert_eq!(log.replay().0.damaged.len(), 1);
}

#[test]
fn a_length_of_two_gibibytes_is_only_a_bad_header() {
    let mut bytes = FileHeader { id: 1, base_seq: 0, base_batch: 0, salt: 7, previous: None }.encode();
    let stamp = Stamp { kind: Kind::Data, batch_no: 0, durable_batch: 0, epoch: Some(5) };
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
    bytes[4] = 3;
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let refused = replay(&log.env, &log.options.dir, 0, &mut |_| Ok(()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NewerFormat);
}

#[test]
fn frames_say_their_epoch_and_those_of_the_first_version_do_not() {
    let frame = Frame { first_seq: 7, rows: 1, arrival: 0, parts: &[b"text"] };
    for (epoch, version) in [(None, 1), (Some(0), 2), (Some(0xFF_FFFF), 2)] {
        let stamp = Stamp { kind: Kind::Data, batch_no: 0, durable_batch: 0, epoch };
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 9, stamp, &frame).unwrap();
        assert_eq!((bytes[2], FrameHeader::decode(&bytes, 9).unwrap().epoch), (version, epoch));
    }
    // An epoch that ids have no room for, or that the first version says, is no frame of ours.
    for (epoch, version) in [(1 << 24, 2), (1, 1)] {
        let stamp = Stamp { kind: Kind::Data, batch_no: 0, durable_batch: 0, epoch: Some(epoch) };
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 0, stamp, &frame).unwrap();
        bytes[2] = version;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&0u64.to_le_bytes());
        hasher.update(&bytes[..52]);
        bytes[52..56].copy_from_slice(&hasher.finalize().to_le_bytes());
        assert_eq!(FrameHeader::decode(&bytes, 0), None);
    }
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

#[test]
fn a_file_with_numbers_of_other_records_is_named_and_left_out() {
    let log = Log::new(FILE_BYTES);
    let (mut writer, _, _) = log.open();
    let batches = tens(3, 200);
    append_each(&mut writer, &batches);
    writer.close().unwrap();
    let (replayed, _) = log.replay();
    let last = replayed.files.last().unwrap().id;
    // As where somebody put a file of another directory beside ours.
    let header = FileHeader { id: last + 1, base_seq: 5, base_batch: 100, salt: 9, previous: None };
    let mut other = header.encode();
    for (batch_no, first_seq) in [(100, 5), (101, 25), (102, 40)] {
        let frame = Frame { first_seq, rows: 10, arrival: 0, parts: &[b"another's"] };
        let stamp = Stamp { kind: Kind::Data, batch_no, durable_batch: batch_no, epoch: Some(5) };
        put_frame(&mut other, 9, stamp, &frame).unwrap();
    }
    std::fs::write(wal_path(&log.options.dir, last + 1), &other).unwrap();
    let (replayed, found) = log.replay();
    assert_eq!(found[..3], batches);
    assert_eq!(found[3..].iter().map(|batch| batch.first_seq).collect::<Vec<_>>(), vec![40]);
    let lost = &replayed.damaged[0].lost;
    assert_eq!((replayed.damaged.len(), lost.first_seq, lost.end_seq), (1, 5, Some(35)));
    assert_eq!(replayed.next_seq, 50);
    let (writer, _, after) = log.open();
    assert_eq!(after, found);
    drop(writer);
    assert_eq!(log.replay().1, found);
}
