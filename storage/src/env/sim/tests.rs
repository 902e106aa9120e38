//! What the simulated machine promises, and what it must be able to do to the engine.
use super::*;
use crate::env::{read_file, write_file_atomic};
use std::collections::BTreeSet;

const SEEDS: u64 = 400;
const BLOCK: usize = 512;

fn p(path: &str) -> &Path {
    Path::new(path)
}

/// A machine with a durable, empty directory `/d`.
fn machine(seed: u64) -> SimEnv {
    let env = SimEnv::new(seed);
    env.create_dir_all(p("/d")).unwrap();
    env.sync_dir(p("/")).unwrap();
    env
}

/// A machine with a durable file `/d/f`.
fn machine_with(seed: u64, bytes: &[u8]) -> SimEnv {
    let env = SimEnv::new(seed);
    env.write_raw(p("/d/f"), bytes).unwrap();
    env
}

fn open(env: &SimEnv, path: &str) -> Arc<dyn File> {
    env.open(p(path), OpenMode::ReadWrite).unwrap()
}

fn create(env: &SimEnv, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = env.open(p(path), OpenMode::Create).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn reboot(env: &SimEnv) {
    env.power_cut();
    env.power_on();
}

fn exists(env: &SimEnv, path: &str) -> bool {
    env.exists(p(path)).unwrap()
}

/// Which outcomes occur over many seeds.
fn outcomes<T: Ord>(outcome: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(outcome).collect()
}

#[test]
fn reads_see_writes_across_blocks_and_holes() {
    let env = machine(1);
    let file = env.open(p("/d/f"), OpenMode::OpenOrCreate).unwrap();
    let mut wanted = vec![0u8; 5_000];
    for (index, (offset, len)) in [(3_000, 1_500), (10, 20), (500, 30), (1_024, 512), (4_990, 10)].iter().enumerate() {
        let bytes = vec![index as u8 + 1; *len];
        file.write_all_at(&bytes, *offset as u64).unwrap();
        wanted[*offset..offset + len].copy_from_slice(&bytes);
        let end = file.len().unwrap() as usize;
        assert_eq!(env.read_raw(p("/d/f")).unwrap(), wanted[..end]);
    }
    let mut part = [0; 700];
    file.read_exact_at(&mut part, 400).unwrap();
    assert_eq!(part, wanted[400..1_100]);
    assert_eq!(file.read_at(&mut part, 5_000).unwrap(), 0);
    file.set_len(1_100).unwrap();
    file.set_len(1_200).unwrap();
    wanted[1_100..1_200].fill(0);
    assert_eq!(env.read_raw(p("/d/f")).unwrap(), wanted[..1_200]);
}

#[test]
fn synced_bytes_survive_every_cut() {
    for seed in 0..SEEDS {
        let env = machine(seed);
        let file = create(&env, "/d/f", &[7; 3_000]);
        file.sync_data().unwrap();
        env.sync_dir(p("/d")).unwrap();
        file.write_all_at(&[8; 2_000], 3_072).unwrap();
        reboot(&env);
        let bytes = env.read_raw(p("/d/f")).unwrap();
        assert!(bytes[..3_000] == [7; 3_000], "seed {seed}");
        assert!(bytes[3_000..].iter().all(|byte| [0, 8].contains(byte)), "seed {seed}");
    }
}

#[test]
fn unsynced_bytes_are_kept_lost_and_cut_short() {
    let lens = outcomes(|seed| {
        let env = machine_with(seed, b"");
        open(&env, "/d/f").write_all_at(&[1; 10 * BLOCK], 0).unwrap();
        reboot(&env);
        env.read_raw(p("/d/f")).unwrap().len()
    });
    assert!(lens.contains(&0) && lens.contains(&(10 * BLOCK)) && lens.len() > 5, "{lens:?}");
}

#[test]
fn blocks_tear_at_words_and_arrive_out_of_order() {
    let (mut torn, mut torn_twice, mut reordered, mut zeros) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let env = machine_with(seed, &[1; 4 * BLOCK]);
        let file = open(&env, "/d/f");
        for block in 0..5u8 {
            file.write_all_at(&[2; BLOCK], u64::from(block) * BLOCK as u64).unwrap();
        }
        reboot(&env);
        let bytes = env.read_raw(p("/d/f")).unwrap();
        let new: Vec<usize> = bytes.chunks(BLOCK).map(|block| block.iter().filter(|b| **b == 2).count()).collect();
        for (block, new) in bytes.chunks(BLOCK).zip(&new) {
            assert_eq!(new % 8, 0);
            assert!(block[..*new].iter().all(|byte| *byte == 2), "a torn block keeps a prefix");
        }
        let torn_blocks = new.iter().filter(|new| (1..BLOCK).contains(*new)).count();
        torn += usize::from(torn_blocks > 0);
        torn_twice += usize::from(torn_blocks > 1);
        reordered += usize::from(new[0] == 0 && new.contains(&BLOCK));
        zeros += usize::from(bytes.len() == 5 * BLOCK && bytes[4 * BLOCK..] == [0; BLOCK]);
    }
    assert!(
        torn > 50 && torn_twice > 5 && reordered > 20 && zeros > 10,
        "{torn} torn, {reordered} reordered, {zeros} zeros"
    );
}

#[test]
fn a_truncation_is_lost_or_kept() {
    let found = outcomes(|seed| {
        let env = machine_with(seed, &[1; 600]);
        let file = open(&env, "/d/f");
        file.set_len(0).unwrap();
        file.set_len(600).unwrap();
        reboot(&env);
        let bytes = env.read_raw(p("/d/f")).unwrap();
        (bytes.len(), bytes.first().copied())
    });
    assert_eq!(found, BTreeSet::from([(0, None), (600, Some(0)), (600, Some(1))]));
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let run = |seed| {
        let env = machine(seed);
        env.set_short_writes(0.3);
        env.cut_at_io(30);
        for number in 0..20u8 {
            let Ok(file) = env.open(&p("/d").join(number.to_string()), OpenMode::Create) else { break };
            if file.write_all_at(&[number; 3_000], 0).is_err() {
                break;
            }
        }
        env.power_on();
        let files = env.files();
        let bytes: Vec<_> = files.iter().map(|(path, _)| env.read_raw(path).unwrap()).collect();
        (files, bytes, env.random(), env.io_stats())
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
    }
    assert!((0..50).map(|seed| run(seed).1).collect::<BTreeSet<_>>().len() > 5);
}

#[test]
fn a_name_is_durable_only_with_its_directory() {
    let found = outcomes(|seed| {
        let env = machine(seed);
        create(&env, "/d/f", b"x").sync_all().unwrap();
        reboot(&env);
        exists(&env, "/d/f")
    });
    assert_eq!(found.len(), 2, "a synced file without a synced directory may vanish");
    for seed in 0..SEEDS {
        let env = machine(seed);
        create(&env, "/d/f", b"x").sync_all().unwrap();
        env.sync_dir(p("/d")).unwrap();
        reboot(&env);
        assert_eq!(env.read_raw(p("/d/f")).unwrap(), b"x");
    }
}

#[test]
fn a_vanished_directory_takes_all_beneath_along() {
    let found = outcomes(|seed| {
        let env = machine(seed);
        env.create_dir_all(p("/d/a/b")).unwrap();
        create(&env, "/d/a/b/f", b"x").sync_all().unwrap();
        env.sync_dir(p("/d/a/b")).unwrap();
        env.sync_dir(p("/d/a")).unwrap();
        reboot(&env);
        (exists(&env, "/d/a"), exists(&env, "/d/a/b/f"))
    });
    assert_eq!(found, BTreeSet::from([(false, false), (true, true)]));
}

#[test]
fn a_rename_happens_as_a_whole_or_not_at_all() {
    let old_or_new = |sync: bool| {
        outcomes(|seed| {
            let env = machine_with(seed, b"old");
            let file = create(&env, "/d/f.tmp", b"new");
            file.sync_all().unwrap();
            env.rename(p("/d/f.tmp"), p("/d/f")).unwrap();
            if sync {
                env.sync_dir(p("/d")).unwrap();
            }
            reboot(&env);
            (env.read_raw(p("/d/f")).unwrap(), exists(&env, "/d/f.tmp"))
        })
    };
    let (old, new) = (b"old".to_vec(), b"new".to_vec());
    assert_eq!(old_or_new(false), BTreeSet::from([(old.clone(), false), (old, true), (new.clone(), false)]));
    assert_eq!(old_or_new(true), BTreeSet::from([(new, false)]));
}

#[test]
fn a_file_that_moves_between_directories_is_never_lost() {
    for synced in ["/d", "/d/new"] {
        let found = outcomes(|seed| {
            let env = machine_with(seed, b"x");
            env.create_dir_all(p("/d/new")).unwrap();
            env.rename(p("/d/f"), p("/d/new/f")).unwrap();
            if seed % 2 == 0 {
                env.sync_dir(p(synced)).unwrap();
            }
            reboot(&env);
            let (before, after) = (exists(&env, "/d/f"), exists(&env, "/d/new/f"));
            assert!(before != after, "seed {seed}");
            assert!(after || seed % 2 == 1, "seed {seed}: a sync of either directory covers the move");
            after
        });
        assert_eq!(found.len(), 2);
    }
}

#[test]
fn a_new_file_that_moved_is_in_one_place() {
    for seed in 0..SEEDS {
        let env = machine(seed);
        env.create_dir_all(p("/d/new")).unwrap();
        env.sync_dir(p("/d")).unwrap();
        create(&env, "/d/new/f", b"x").sync_all().unwrap();
        env.rename(p("/d/new/f"), p("/d/f")).unwrap();
        env.sync_dir(p("/d")).unwrap();
        reboot(&env);
        assert!(exists(&env, "/d/f") && !exists(&env, "/d/new/f"), "seed {seed}");
    }
}

#[test]
fn operations_on_one_name_keep_their_order_and_others_do_not() {
    let found = outcomes(|seed| {
        let env = machine_with(seed, b"1");
        env.remove_file(p("/d/f")).unwrap();
        create(&env, "/d/f", b"2").sync_all().unwrap();
        create(&env, "/d/g", b"3").sync_all().unwrap();
        reboot(&env);
        (env.read_raw(p("/d/f")).ok(), exists(&env, "/d/g"))
    });
    let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
    for name in [one, None, two] {
        assert!(found.contains(&(name.clone(), true)) && found.contains(&(name, false)));
    }
}

#[test]
fn a_removal_comes_back_unless_synced() {
    let after = |sync: bool| {
        outcomes(|seed| {
            let env = machine_with(seed, b"x");
            env.remove_file(p("/d/f")).unwrap();
            if sync {
                env.sync_dir(p("/d")).unwrap();
            }
            reboot(&env);
            env.read_raw(p("/d/f")).ok()
        })
    };
    assert_eq!(after(false), BTreeSet::from([None, Some(b"x".to_vec())]));
    assert_eq!(after(true), BTreeSet::from([None]));
}

#[test]
fn an_atomic_write_is_atomic_and_durable() {
    for seed in 0..SEEDS {
        let env = machine_with(seed, b"old");
        env.cut_at_io(1 + seed % 8);
        let written = write_file_atomic(&env, p("/d/f"), &[b'n'; 2_000]);
        env.cancel_cut();
        reboot(&env);
        let bytes = read_file(&env, p("/d/f"), 10_000).unwrap();
        assert!(bytes == b"old" || bytes == [b'n'; 2_000], "seed {seed}");
        assert!(written.is_err() || bytes != b"old", "seed {seed}");
    }
}

#[test]
fn a_failed_sync_is_seen_by_reads_and_lost_by_the_cut() {
    let mut some_made_it = 0;
    for seed in 0..SEEDS {
        let env = machine_with(seed, &[1; 8 * BLOCK]);
        let file = open(&env, "/d/f");
        file.write_all_at(&[2; 8 * BLOCK], 0).unwrap();
        env.fail(Fault::nth(1).of(IoKind::Sync));
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(env.read_raw(p("/d/f")).unwrap(), [2; 8 * BLOCK]);
        reboot(&env);
        let bytes = env.read_raw(p("/d/f")).unwrap();
        assert!(bytes.contains(&1), "seed {seed}: the second sync must not have written it");
        some_made_it += usize::from(bytes.contains(&2));
    }
    assert!(some_made_it > 10, "{some_made_it}");
}

#[test]
fn bytes_written_again_after_a_failed_sync_are_durable() {
    for seed in 0..SEEDS {
        let env = machine_with(seed, b"");
        let file = open(&env, "/d/f");
        file.write_all_at(&[2; 2 * BLOCK], 0).unwrap();
        env.fail(Fault::nth(1).of(IoKind::Sync));
        file.sync_data().unwrap_err();
        file.write_all_at(&[3; BLOCK], BLOCK as u64).unwrap();
        file.sync_data().unwrap();
        reboot(&env);
        let bytes = env.read_raw(p("/d/f")).unwrap();
        assert_eq!(bytes[BLOCK..], [3; BLOCK]);
    }
}

#[test]
fn handles_processes_and_locks_die_with_the_power() {
    let env = machine_with(1, b"x");
    env.write_raw(p("/d/LOCK"), b"").unwrap();
    let process = env.process();
    let file = open(&process, "/d/f");
    let lock = process.lock(p("/d/LOCK")).unwrap();
    assert_eq!(env.lock(p("/d/LOCK")).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    env.power_cut();
    for error in [file.len().unwrap_err(), env.open(p("/d/f"), OpenMode::Read).err().unwrap()] {
        assert!(error.to_string().contains("power is off") && error.to_string().contains("/d/f"), "{error}");
    }
    env.power_on();
    assert!(file.write_at(b"y", 0).is_err() && file.sync_data().is_err() && process.exists(p("/d")).is_err());
    let again = env.lock(p("/d/LOCK")).unwrap();
    drop(lock);
    assert!(env.lock(p("/d/LOCK")).is_err(), "a lock of an earlier life releases nothing");
    drop(again);
    assert!(env.lock(p("/d/LOCK")).is_ok());
    assert_eq!(env.read_raw(p("/d/f")).unwrap(), b"x");
}

#[test]
fn a_killed_process_loses_nothing_but_its_handles() {
    let env = machine_with(1, b"");
    let process = env.process();
    let file = open(&process, "/d/f");
    file.write_all_at(b"unsynced", 0).unwrap();
    env.kill();
    assert!(file.write_at(b"y", 0).is_err() && process.list(p("/d")).is_err());
    assert_eq!(env.read_raw(p("/d/f")).unwrap(), b"unsynced");
}

#[test]
fn a_scheduled_cut_comes_at_its_call() {
    for n in 1..=6 {
        let partial = outcomes(|seed| {
            let env = machine_with(seed, b"");
            env.reset_io_stats();
            env.cut_at_io(n);
            let file = open(&env, "/d/f");
            let done = (0..10).take_while(|i| file.write_all_at(&[1; BLOCK], i * BLOCK as u64).is_ok()).count();
            assert_eq!(done as u64, n - 1);
            assert!(!env.is_powered());
            assert_eq!(env.io_stats().changing, n);
            env.read_raw(p("/d/f")).unwrap().len().div_ceil(BLOCK)
        });
        assert_eq!(partial.last().copied(), Some(n as usize), "the last call did part of its work at times");
    }
}

#[test]
fn the_nth_call_fails_once_or_forever() {
    let env = machine_with(1, b"x");
    let file = open(&env, "/d/f");
    let fails = |calls: usize| -> Vec<bool> { (0..calls).map(|_| file.write_at(b"y", 0).is_err()).collect() };
    env.fail(Fault::nth(2).of(IoKind::Write));
    assert_eq!(fails(4), [false, true, false, false]);
    env.fail(Fault::nth(3).forever());
    assert_eq!(fails(4), [false, false, true, true]);
    assert!(env.list(p("/d")).is_err());
    env.clear_faults();
    env.fail(Fault::nth(1).under("/other").forever());
    assert_eq!(fails(2), [false, false]);
    env.clear_faults();
    env.fail(Fault::nth(1).of(IoKind::SyncDir).no_space());
    let error = env.sync_dir(p("/d")).unwrap_err();
    assert!(error.kind() == io::ErrorKind::StorageFull && error.to_string().contains("/d"), "{error}");
    assert_eq!(env.io_stats().faults, 5);
}

#[test]
fn every_kind_of_call_can_fail_and_changes_nothing_then() {
    use IoKind::{CreateDir, List, Open, Read, Remove, Rename, SetLen, Stat, SyncDir};
    type Attempt<'a> = &'a dyn Fn(&SimEnv, &dyn File) -> io::Result<()>;
    let calls: [(IoKind, Attempt<'_>); 9] = [
        (Open, &|env, _| env.open(p("/d/new"), OpenMode::Create).map(drop)),
        (Read, &|_, file| file.read_at(&mut [0; 4], 0).map(drop)),
        (SetLen, &|_, file| file.set_len(9)),
        (CreateDir, &|env, _| env.create_dir_all(p("/d/e"))),
        (SyncDir, &|env, _| env.sync_dir(p("/d"))),
        (Rename, &|env, _| env.rename(p("/d/f"), p("/d/g"))),
        (Remove, &|env, _| env.remove_file(p("/d/f"))),
        (List, &|env, _| env.list(p("/d")).map(drop)),
        (Stat, &|env, _| env.space(p("/d")).map(drop)),
    ];
    for (kind, call) in calls {
        let env = machine_with(1, b"text");
        let file = open(&env, "/d/f");
        let before = env.files();
        env.fail(Fault::nth(1).of(kind));
        assert!(call(&env, &*file).is_err(), "{kind:?}");
        assert_eq!(env.files(), before, "{kind:?}");
        assert!(call(&env, &*file).is_ok(), "{kind:?}");
    }
}

#[test]
fn the_capacity_refuses_and_a_removal_frees() {
    let env = machine(1);
    env.set_capacity(Some(8 * BLOCK as u64));
    let file = create(&env, "/d/f", &[0; 6 * BLOCK]);
    assert_eq!(env.space(p("/d")).unwrap().available, 2 * BLOCK as u64, "zeros take space too");
    assert_eq!(file.write_at(&[1; 4 * BLOCK], 6 * BLOCK as u64).unwrap(), 2 * BLOCK);
    assert_eq!(file.write_at(&[1], 8 * BLOCK as u64).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_all_at(&[2; 8 * BLOCK], 0).unwrap();
    file.set_len(100 * BLOCK as u64).unwrap();
    assert!(file.write_at(&[1], 50 * BLOCK as u64).is_err(), "a hole takes space once it is written");
    env.remove_file(p("/d/f")).unwrap();
    assert_eq!(env.space(p("/d")).unwrap().available, 0, "an open file keeps its space");
    drop(file);
    assert_eq!(env.space(p("/d")).unwrap().available, 8 * BLOCK as u64);
}

#[test]
fn an_unlinked_file_lives_with_its_handle() {
    let env = machine_with(1, b"text");
    let file = open(&env, "/d/f");
    write_file_atomic(&env, p("/d/f"), b"other").unwrap();
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"text");
}

#[test]
fn a_handle_of_an_earlier_life_closes_nothing_of_a_later_one() {
    let env = machine_with(1, b"text");
    let old = open(&env, "/d/f");
    env.kill();
    let new = open(&env, "/d/f");
    env.remove_file(p("/d/f")).unwrap();
    env.sync_dir(p("/d")).unwrap();
    drop(old);
    assert_eq!(new.len().unwrap(), 4);
}

#[test]
fn a_cut_leaves_nothing_behind_that_grows_back() {
    for seed in 0..SEEDS {
        let env = machine_with(seed, b"");
        open(&env, "/d/f").write_all_at(&[1; 5 * BLOCK], 0).unwrap();
        create(&env, "/d/g", &[1; 5 * BLOCK]).sync_all().unwrap();
        reboot(&env);
        let len = env.read_raw(p("/d/f")).unwrap().len();
        open(&env, "/d/f").set_len(5 * BLOCK as u64).unwrap();
        assert!(env.read_raw(p("/d/f")).unwrap()[len..].iter().all(|byte| *byte == 0), "seed {seed}");
        let space = env.space(p("/d")).unwrap();
        let taken: u64 = env.files().iter().map(|(_, len)| len).sum();
        assert!(space.total - space.available <= taken, "seed {seed}: a lost file takes no space");
    }
}

#[test]
fn short_writes_and_reads_still_complete() {
    let env = machine(5);
    env.set_short_writes(1.0);
    env.set_short_reads(1.0);
    let bytes: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
    create(&env, "/d/f", &bytes);
    assert_eq!(read_file(&env, p("/d/f"), 1 << 20).unwrap(), bytes);
    let stats = env.io_stats();
    assert!(stats.of(IoKind::Write) > 2 && stats.of(IoKind::Read) > 2);
    let file = open(&env, "/d/f");
    for _ in 0..1_000 {
        assert!(file.write_at(b"xy", 0).unwrap() > 0 && file.read_at(&mut [0; 2], 0).unwrap() > 0);
    }
}

#[test]
fn rot_stays_and_a_bad_read_does_not() {
    let env = machine_with(3, &[0; 1_000]);
    env.flip_bit(p("/d/f"), 700, 3).unwrap();
    assert!(env.flip_bit(p("/d/f"), 1_000, 0).is_err());
    reboot(&env);
    let mut wanted = [0; 1_000];
    wanted[700] = 8;
    assert_eq!(env.read_raw(p("/d/f")).unwrap(), wanted);
    env.set_read_corruption(1.0);
    let bad = read_file(&env, p("/d/f"), 1_000).unwrap();
    let bits: u32 = bad.iter().zip(&wanted).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(bits, 1);
    env.set_read_corruption(0.0);
    assert_eq!(read_file(&env, p("/d/f"), 1_000).unwrap(), wanted);
}

#[test]
fn a_snapshot_forks_the_disk() {
    let env = machine_with(1, b"");
    let file = open(&env, "/d/f");
    file.write_all_at(&[1; 20 * BLOCK], 0).unwrap();
    let snapshot = env.snapshot();
    file.write_all_at(&[2; 20 * BLOCK], 0).unwrap();
    let lens = outcomes(|seed| {
        let fork = SimEnv::from_snapshot(&snapshot, seed);
        assert_eq!(fork.read_raw(p("/d/f")).unwrap(), [1; 20 * BLOCK]);
        reboot(&fork);
        fork.read_raw(p("/d/f")).unwrap().len()
    });
    assert!(lens.len() > 10, "each seed cuts otherwise");
    assert_eq!(env.read_raw(p("/d/f")).unwrap(), [2; 20 * BLOCK]);
}

#[test]
fn calls_are_counted_and_traced() {
    let env = machine_with(1, &[1; 100]);
    env.reset_io_stats();
    env.set_trace(true);
    let file = open(&env, "d/../d/f");
    file.read_exact_at(&mut [0; 60], 0).unwrap();
    file.write_all_at(&[0; 7], 0).unwrap();
    env.fail(Fault::nth(1));
    file.sync_data().unwrap_err();
    let stats = env.io_stats();
    assert_eq!((stats.calls, stats.changing, stats.bytes_read, stats.bytes_written), (4, 2, 60, 7));
    assert_eq!(stats.bytes_read_of.get(p("/d/f")), Some(&60));
    let trace = env.trace();
    assert_eq!(trace[0], "#1 Open /d/f 0+0");
    assert_eq!(trace[3], "#4 Sync /d/f 0+0 fails: Device");
    (0..500).for_each(|_| drop(file.len()));
    assert_eq!(env.trace().len(), 200);
}

#[test]
fn the_file_system_refuses_what_a_real_one_does() {
    let env = machine_with(1, b"x");
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let opened = |path: &str, mode| env.open(p(path), mode).map(drop);
    assert_eq!(kind(opened("/d/g", OpenMode::Read)), io::ErrorKind::NotFound);
    assert_eq!(kind(opened("/no/g", OpenMode::Create)), io::ErrorKind::NotFound);
    assert_eq!(kind(opened("/d/f", OpenMode::Create)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(opened("/d", OpenMode::Read)), io::ErrorKind::IsADirectory);
    assert_eq!(kind(env.create_dir_all(p("/d/f/g"))), io::ErrorKind::NotADirectory);
    assert_eq!(kind(env.remove_dir(p("/d"))), io::ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(env.remove_file(p("/d/g"))), io::ErrorKind::NotFound);
    assert_eq!(kind(env.rename(p("/d/g"), p("/d/f"))), io::ErrorKind::NotFound);
    let entries = env.list(p("/d")).unwrap();
    assert_eq!(entries, [DirEntry { name: "f".into(), is_dir: false, len: 1 }]);
    env.remove_file(p("/d/f")).unwrap();
    env.remove_dir(p("/d")).unwrap();
    assert_eq!(env.list(p("/")).unwrap(), []);
}

#[test]
fn the_clock_is_the_tests_own() {
    let env = SimEnv::new(1);
    env.set_now(1_000_000);
    let before = env.monotonic();
    assert!(env.now() > 1_000_000 && env.now() < 1_100_000);
    env.advance(Duration::from_secs(60));
    assert!(env.now() > 60_000_000_000);
    env.set_now(0);
    assert!(env.now() < 1_000_000 && env.monotonic() > before + Duration::from_secs(60));
    assert_ne!(env.random(), env.random());
}

#[test]
fn the_oracle_finds_every_difference() {
    let mut oracle = Oracle::new();
    let content = |key: u64| fingerprint(&key.to_le_bytes());
    (0..6).for_each(|key| oracle.sent(key, content(key)));
    oracle.acked(0);
    oracle.acked(1);
    oracle.refused(2);
    oracle.acked(4);
    oracle.may_be_gone(4);
    oracle.must_be_gone(5);
    assert_eq!(oracle.acked_count(), 2);
    let check = |keys: &[u64]| oracle.expect(keys.iter().map(|key| (*key, content(*key))));
    for fine in [&[0, 1][..], &[1, 0, 3], &[4, 0, 1]] {
        assert_eq!(check(fine), Ok(()));
    }
    for (wrong, word) in [
        (&[0][..], "lost"),
        (&[0, 1, 1], "twice"),
        (&[0, 1, 2], "Refused"),
        (&[0, 1, 5], "MustBeGone"),
        (&[0, 1, 9], "never sent"),
    ] {
        assert!(check(wrong).unwrap_err().contains(word), "{wrong:?}");
    }
    assert!(oracle.expect([(0, content(0)), (1, content(0))]).unwrap_err().contains("other content"));
}

#[test]
fn the_oracle_holds_a_recovery_to_its_outcome() {
    let mut oracle = Oracle::new();
    (0..3).for_each(|key| oracle.sent(key, key));
    oracle.acked(2);
    oracle.may_be_gone(2);
    oracle.settle([(0, 0)]).unwrap();
    oracle.expect([(0, 0)]).unwrap();
    assert!(oracle.expect([]).is_err(), "found once, lost later");
    assert!(oracle.expect([(0, 0), (1, 1)]).is_err(), "dropped once, back later");
    assert!(oracle.expect([(0, 0), (2, 2)]).is_err(), "gone once, back later");
}

/// One random step, and everything that a caller sees of it.
fn step(env: &dyn Env, root: &Path, rng: &mut rng::Rng) -> String {
    const NAMES: [&str; 7] = ["a", "b", "c", "d", "d/a", "d/b", "d/e"];
    let mut name = || root.join(NAMES[rng.below_len(NAMES.len())]);
    let (path, other) = (name(), name());
    let mode = [OpenMode::ReadWrite, OpenMode::Create, OpenMode::OpenOrCreate][rng.below_len(3)];
    let (action, offset, len) = (rng.below(12), rng.below(3_000), rng.below_len(2_000));
    let bytes = vec![rng.draw() as u8; len];
    let act = || -> io::Result<String> {
        let mut seen = String::new();
        match action {
            0 => env.remove_file(&path)?,
            1 => env.remove_dir(&path)?,
            2 => env.create_dir_all(&path)?,
            // Linux has three errors for a directory in the way.
            3 | 4 => env.rename(&path, &other).map_err(|_| io::ErrorKind::Other)?,
            5 => seen = env.exists(&path).unwrap_or(false).to_string(),
            6 => {
                let files = env.list(&path)?.into_iter();
                seen = format!(
                    "{:?}",
                    files.map(|e| (e.name, e.is_dir, e.len * u64::from(!e.is_dir))).collect::<Vec<_>>()
                );
            }
            7 => env.open(&path, mode)?.set_len(offset)?,
            _ => {
                let file = env.open(&path, mode)?;
                file.write_all_at(&bytes, offset)?;
                file.sync_data()?;
                seen = format!("{:?}", fingerprint(&read_file(env, &path, 1 << 20)?));
            }
        }
        Ok(seen)
    };
    let was_file = env.open(&path, OpenMode::ReadWrite).is_ok();
    // What a directory's rename does is not promised.
    if matches!(action, 3 | 4) && !was_file {
        return "skipped".into();
    }
    format!("{action} {:?}", act().map_err(|error| error.kind()))
}

#[test]
fn it_behaves_as_the_real_one() {
    for seed in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let (real, sim) = (crate::env::RealEnv::new(), machine(seed));
        let mut rngs = [rng::Rng::new(seed), rng::Rng::new(seed)];
        for number in 0..300 {
            let [for_real, for_sim] = &mut rngs;
            let (wanted, got) = (step(&real, directory.path(), for_real), step(&sim, p("/d"), for_sim));
            assert_eq!(got, wanted, "seed {seed}, step {number}");
        }
    }
}

#[test]
fn every_name_is_one_it_had_since_its_directory_was_synced() {
    const NAMES: usize = 5;
    for seed in 0..SEEDS {
        let env = machine(seed);
        let mut rng = rng::Rng::new(seed);
        let mut now: Vec<Option<Vec<u8>>> = vec![None; NAMES];
        let mut allowed: Vec<BTreeSet<Option<Vec<u8>>>> = vec![BTreeSet::from([None]); NAMES];
        for number in 0..rng.below(30) {
            let (at, to) = (rng.below_len(NAMES), rng.below_len(NAMES));
            let path = |index: usize| p("/d").join(index.to_string());
            match rng.below(4) {
                0 if now[at].is_none() => {
                    let bytes = format!("content {number}").into_bytes();
                    create(&env, path(at).to_str().unwrap(), &bytes).sync_data().unwrap();
                    now[at] = Some(bytes);
                }
                1 if now[at].is_some() && at != to => {
                    env.rename(&path(at), &path(to)).unwrap();
                    now[to] = now[at].take();
                }
                2 if now[at].is_some() => {
                    env.remove_file(&path(at)).unwrap();
                    now[at] = None;
                }
                3 if rng.below(3) == 0 => {
                    env.sync_dir(p("/d")).unwrap();
                    allowed = now.iter().map(|name| BTreeSet::from([name.clone()])).collect();
                }
                _ => {}
            }
            for (allowed, now) in allowed.iter_mut().zip(&now) {
                allowed.insert(now.clone());
            }
        }
        reboot(&env);
        let mut seen = BTreeSet::new();
        for (index, allowed) in allowed.iter().enumerate() {
            let found = env.read_raw(&p("/d").join(index.to_string())).ok();
            assert!(allowed.contains(&found), "seed {seed}, name {index}: {found:?}");
            assert!(found.is_none() || seen.insert(found), "seed {seed}: one file under two names");
        }
    }
}

/// A log of 16-byte records, key and its complement, as small as one can be.
struct TinyLog {
    file: Arc<dyn File>,
    end: u64,
}

impl TinyLog {
    fn open(env: &dyn Env) -> io::Result<(Self, Vec<u64>)> {
        let file = env.open(p("/d/log"), OpenMode::OpenOrCreate)?;
        env.sync_dir(p("/d"))?;
        let bytes = read_file(env, p("/d/log"), 1 << 20)?;
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let records = bytes.chunks_exact(16).map(|record| (word(&record[..8]), word(&record[8..])));
        let keys: Vec<u64> = records.take_while(|(key, check)| *key == !check).map(|(key, _)| key).collect();
        let end = keys.len() as u64 * 16;
        // What is dropped must not come back once something was appended before it.
        file.set_len(end)?;
        file.sync_data()?;
        Ok((Self { file, end }, keys))
    }

    fn append(&mut self, key: u64, sync: bool) -> io::Result<()> {
        let record = [key.to_le_bytes(), (!key).to_le_bytes()].concat();
        self.file.write_all_at(&record, self.end)?;
        self.end += 16;
        if sync { self.file.sync_data() } else { Ok(()) }
    }
}

/// Lives of a log that end in a power cut each, checked after each.
fn lives_of_a_log(seed: u64, sync: bool) -> Result<(), String> {
    let env = machine(seed);
    let mut oracle = Oracle::new();
    let mut key = 0;
    for life in 0..4 {
        env.cut_at_io(3 + (seed * 7 + life * 13) % 150);
        let process = env.process();
        if let Ok((mut log, _)) = TinyLog::open(&process) {
            loop {
                key += 1;
                oracle.sent(key, key);
                if log.append(key, sync).is_err() {
                    break;
                }
                oracle.acked(key);
            }
        }
        env.power_on();
        let (_, keys) = TinyLog::open(&env).unwrap();
        oracle.settle(keys.into_iter().map(|key| (key, key)))?;
    }
    Ok(())
}

#[test]
fn a_log_that_syncs_passes_and_one_that_does_not_is_caught() {
    for seed in 0..SEEDS {
        assert_eq!(lives_of_a_log(seed, true), Ok(()), "seed {seed}");
    }
    let caught = (0..SEEDS).filter(|seed| lives_of_a_log(*seed, false).is_err()).count();
    assert!(caught > 300, "{caught} of {SEEDS}");
}
