//! What is cut, flipped or lost in the log: what comes back, and what is reported.
use super::*;

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

proptest::proptest! {
    #[test]
    fn any_bytes_are_scanned_without_panic(
        mut tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
        edits in proptest::collection::vec((0usize..900, proptest::prelude::any::<u8>()), 0..6),
        salt in 0u64..2,
    ) {
        let mut bytes = FileHeader { id: 1, base_seq: 0, base_batch: 0, salt, previous: None }.encode();
        for n in 0..5 {
            let stamp = Stamp { kind: Kind::Data, batch_no: n, durable_batch: n, epoch: Some(5) };
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
