//! How fast the worker goes, what ends its pauses, and seals that fail.
use super::super::sealing::Sealing;
use super::super::worker::Chores;
use super::*;
use crate::env::sim::{Fault, IoKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// So few that a merge of a few rows takes many pauses.
const RATE: u64 = 20_000;

/// Eight segments, which are worth a merge, of 160 rows.
fn store(env: &SimEnv) -> Arc<Engine> {
    let engine = open_with(env, Options { maintenance_bytes_per_second: RATE, seal_rows: 30, ..options() });
    for n in 0..8 {
        put(&engine, env, "web", n * 20..n * 20 + 20);
        engine.seal().unwrap();
    }
    engine
}

fn segments(engine: &Engine) -> usize {
    engine.shared_for_tests().live_segments().len()
}

/// Counts pauses, and does something in each, told its number.
fn in_pauses(env: &SimEnv, act: impl Fn(u32) + Send + Sync + 'static) -> Arc<AtomicU32> {
    let pauses = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&pauses);
    env.on_pause(move || act(counted.fetch_add(1, Ordering::SeqCst) + 1));
    pauses
}

#[test]
fn a_merge_is_paid_by_time_unless_somebody_asked_for_it() {
    let env = SimEnv::new(30);
    let engine = store(&env);
    let shared = engine.shared_for_tests();
    let of_blocks = |live: &crate::engine::LiveSegment| {
        let blocks = &live.segment.footer.blocks;
        blocks.iter().map(|block| block.pages_len + u64::from(block.head_len)).sum::<u64>()
    };
    let read: u64 = shared.live_segments().iter().map(of_blocks).sum();
    let mut chores = Chores::new(shared, Arc::default());
    let began = env.monotonic();
    chores.look(shared);
    let took = env.monotonic() - began;
    assert_eq!(segments(&engine), 1);
    let bytes = read + shared.live_segments()[0].record.bytes;
    assert!(took >= Duration::from_secs_f64(bytes as f64 / RATE as f64), "{took:?} for {bytes} bytes");
    assert!(took <= Duration::from_secs_f64(2.0 * bytes as f64 / RATE as f64), "{took:?} for {bytes} bytes");
    assert_eq!(shown(&engine), span(0..160));

    let env = SimEnv::new(30);
    let engine = store(&env);
    let pauses = in_pauses(&env, |_| ());
    engine.compact().unwrap();
    assert_eq!((segments(&engine), pauses.load(Ordering::SeqCst)), (1, 0));
}

#[test]
fn a_stop_ends_a_merge_at_its_next_pause_and_nothing_of_it_stays() {
    let env = SimEnv::new(31);
    let engine = store(&env);
    let (shared, files) = (engine.shared_for_tests(), segment_files(&env));
    let stop = Arc::new(AtomicBool::new(false));
    let mut chores = Chores::new(shared, Arc::clone(&stop));
    let pauses = in_pauses(&env, move |number| stop.store(number == 3, Ordering::SeqCst));
    chores.look(shared);
    assert_eq!(pauses.load(Ordering::SeqCst), 3);
    assert_eq!((segments(&engine), segment_files(&env)), (8, files));
    assert!(env.files().iter().all(|(path, _)| path.extension().is_none_or(|e| e != crate::layout::TEMPORARY)));
    assert_eq!((shown(&engine), engine.troubles()), (span(0..160), Vec::new()));
}

#[test]
fn seals_do_not_wait_for_a_merge_that_pauses() {
    let env = SimEnv::new(32);
    let engine = store(&env);
    let (machine, weak, held) = (env.clone(), Arc::downgrade(&engine), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&held);
    let pauses = in_pauses(&env, move |number| {
        let engine = weak.upgrade().unwrap();
        match number {
            // Whoever asks seals at once.
            1 => {
                put(&engine, &machine, "web", 160..170);
                engine.seal().unwrap();
            }
            // What is due is sealed before the next pause.
            2 => put(&engine, &machine, "web", 170..210),
            _ => {}
        }
        seen.lock().unwrap().push(engine.stats().unwrap().hot_rows);
    });
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared, Arc::default());
    chores.look(shared);
    assert!(pauses.load(Ordering::SeqCst) > 10);
    assert_eq!(held.lock().unwrap()[..4], [0, 40, 0, 0]);
    assert_eq!(segments(&engine), 3, "one that was merged, and two that came meanwhile");
    assert_eq!(shown(&engine), span(0..210));
    drop(engine);
    env.power_cut();
    env.power_on();
    env.remove_file(std::path::Path::new("/data/catalog.redb")).unwrap();
    assert_eq!(shown(&open(&env)), span(0..210));
}

#[test]
fn whoever_wants_a_turn_does_not_wait_for_pauses() {
    let env = SimEnv::new(33);
    let engine = store(&env);
    let (weak, asked) = (Arc::downgrade(&engine), Arc::new(Mutex::new(None)));
    let asking = Arc::clone(&asked);
    let pauses = in_pauses(&env, move |_| {
        let engine = weak.upgrade().unwrap();
        let waits = Arc::clone(&engine);
        *asking.lock().unwrap() = Some(std::thread::spawn(move || waits.compact()));
        while !engine.shared_for_tests().turns.is_wanted() {
            std::thread::yield_now();
        }
    });
    let shared = engine.shared_for_tests();
    Chores::new(shared, Arc::default()).look(shared);
    assert_eq!(pauses.load(Ordering::SeqCst), 1);
    asked.lock().unwrap().take().unwrap().join().unwrap().unwrap();
    assert_eq!((segments(&engine), shown(&engine)), (1, span(0..160)));
}

#[test]
fn room_for_appends_is_not_waited_for_either() {
    let env = SimEnv::new(34);
    let engine = store(&env);
    let weak = Arc::downgrade(&engine);
    let pauses = in_pauses(&env, move |_| {
        let engine = weak.upgrade().unwrap();
        assert!(engine.shared_for_tests().try_turn().is_none());
    });
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared, Arc::default());
    chores.look(shared);
    assert_eq!((segments(&engine), pauses.load(Ordering::SeqCst)), (1, 1));
    assert!(shared.try_turn().is_some() && !shared.turns.is_wanted());
}

#[test]
fn a_deletion_that_is_overdue_is_not_held_back() {
    for (hours, paused) in [(1, true), (13, false)] {
        let env = SimEnv::new(38);
        let engine = open_with(&env, Options { maintenance_bytes_per_second: RATE, ..options() });
        put(&engine, &env, "web", 0..160);
        engine.seal().unwrap();
        engine.delete(&kind("red"), false).unwrap();
        env.advance(HOUR * hours);
        let pauses = in_pauses(&env, |_| ());
        let shared = engine.shared_for_tests();
        let mut chores = Chores::new(shared, Arc::default());
        chores.look(shared);
        assert_eq!((pauses.load(Ordering::SeqCst) > 0, on_disk(&env)), (paused, 106), "{hours}");
    }
}

#[test]
fn the_scrubber_keeps_to_its_part() {
    let env = SimEnv::new(35);
    let part = 2_000;
    let engine = open_with(&env, Options { scrub_bytes_per_second: part, ..options() });
    put(&engine, &env, "web", 0..600);
    engine.seal().unwrap();
    let shared = engine.shared_for_tests();
    let mut chores = Chores::new(shared, Arc::default());
    let mut read = Vec::new();
    let began = env.monotonic();
    while shared.activity.scrubbed_bytes.get() == 0 || shared.is_scrub_due() {
        env.advance(Duration::from_millis(100));
        chores.look(shared);
        read.push(shared.activity.scrubbed_bytes.get());
    }
    // A block is read at once and paid after it.
    let largest = shared.live_segments()[0].record.bytes;
    for (look, read) in (1..).zip(&read) {
        assert!(*read <= part * look / 10 + largest, "{look} {read}");
    }
    assert!(env.monotonic() - began < Duration::from_secs(3_600));
}

#[test]
fn a_seal_that_fails_is_not_tried_at_every_look() {
    let env = SimEnv::new(36);
    let engine = open_with(&env, Options { seal_rows: 10, ..options() });
    put(&engine, &env, "web", 0..20);
    let shared = engine.shared_for_tests();
    let mut sealing = Sealing::default();
    env.fail(Fault::nth(1).under("/data/segments").of(IoKind::Open).forever());
    let mut look_for = |seconds: u32| {
        let before = env.io_stats().faults;
        for _ in 0..seconds * 10 {
            assert!(!sealing.look(shared));
            env.advance(Duration::from_millis(100));
        }
        env.io_stats().faults - before
    };
    let (first, hour) = (look_for(1), look_for(3_600));
    assert!((1..=4).contains(&first) && (100..=130).contains(&hour), "{first} {hour}");
    // An append that waits for room is worth a try at once, and then one a second.
    shared.hot_wanted.store(1, Ordering::SeqCst);
    let wanted = look_for(10);
    assert!((9..=12).contains(&wanted), "{wanted}");
    shared.hot_wanted.store(0, Ordering::SeqCst);
    assert_eq!(engine.troubles().iter().filter(|trouble| trouble.contains("sealing")).count(), 1);
    env.clear_faults();
    env.advance(Duration::from_secs(30));
    assert!(sealing.look(shared));
    assert_eq!((engine.stats().unwrap().hot_rows, shown(&engine)), (0, span(0..20)));
}

#[test]
fn a_seal_goes_on_as_soon_as_a_full_disk_has_room() {
    let env = SimEnv::new(37);
    let engine = open_with(&env, Options { seal_rows: 10, ..options() });
    put(&engine, &env, "web", 0..20);
    let shared = engine.shared_for_tests();
    let mut sealing = Sealing::default();
    env.set_capacity(Some(1 << 30));
    let room = env.space(std::path::Path::new("/")).unwrap().available;
    env.set_capacity(Some((1 << 30) - room));
    for _ in 0..100 {
        assert!(!sealing.look(shared));
        env.advance(Duration::from_millis(100));
    }
    env.set_capacity(None);
    assert!(sealing.look(shared));
    assert_eq!((engine.stats().unwrap().hot_rows, shown(&engine)), (0, span(0..20)));
}
