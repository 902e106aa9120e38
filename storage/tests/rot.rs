//! Rot: a bit flipped at every byte of every kind of file is found or harmless.
//!
//! A flip may cost rows of the file that it is in, where somebody is told, and no others; copies and the catalog are there
//! twice, so there it costs nothing. What a plain scan shows every search finds, through whichever index.
use crate::chance::{Rng, from_env};
use crate::power::client::everything;
use crate::power::life;
use crate::rows;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::{KeyRecord, ServiceConfig};
use logyard_storage::engine::{Ack, Append, Control, Engine, Options, Search};
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use logyard_storage::env::{Env, read_file};
use logyard_storage::record::{FieldPath, Record, Value, ValueKind};
use logyard_storage::scan::filter::{Filter, Test};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ROWS: u64 = 150;
/// Rows that have a story, all of one block, which thereby has groups of whole texts.
const TOLD: u64 = 50;
const THREADS: usize = 2;
/// Rounds of questions.
const ROUNDS: u64 = 32;
/// At how many flips that can reach no index all of a round are asked, some at each.
const SHARES: usize = 4;
const WORDS: [&str; 12] = [
    "walnut", "harbour", "köln", "Lantern", "meadow", "copper", "violet", "timber", "saddle", "winter", "pebble",
    "NEEDLE",
];
const KEY: &str = "k-rot";

/// Whatever there is of indexes is asked.
fn options() -> Options {
    Options { straight_scan_bytes: 0, ..life::options() }
}

fn open(env: &SimEnv) -> Result<Arc<Engine>, String> {
    Engine::open(Arc::new(env.process()), options()).map_err(|e| e.to_string())
}

/// One row, by its key: what all tests have, and a text that is kept whole, enough of them for groups of their own.
fn row(key: u64) -> Record {
    let mut record = rows::row(key);
    if key < TOLD || key.is_multiple_of(10) {
        let path = FieldPath { name: "story".into(), nesting: [].into(), occurrence: 0 };
        record.fields.push((path, Value { kind: ValueKind::String, text: story(key) }));
    }
    record
}

/// More variables than a shape can have.
fn story(key: u64) -> String {
    let rng = &mut Rng::new(key + 1_000);
    (0..70).map(|_| format!("{} {} ", rng.pick(&WORDS), rng.below(5))).collect()
}

fn key() -> KeyRecord {
    KeyRecord {
        name: "of a store that rots".into(),
        hash: [7; 32],
        scopes: vec!["read".into()],
        services: vec!["web".into()],
        created_at: rows::STARTED,
        expires_at: None,
        last_used_at: None,
    }
}

/// What is deleted, and not yet carried out.
fn deletion() -> Search {
    Search { filter: Filter::Field("level".into(), Test::exact("ERROR")), limit: usize::MAX, ..Search::default() }
}

/// A question, and what a plain scan of all that is shown answers.
struct Asked {
    search: Search,
    found: Vec<Record>,
    count: u64,
}

impl Asked {
    fn of(search: Search, all: &[Record]) -> Self {
        let count = all.iter().filter(|record| rows::passes(&search, record)).count() as u64;
        Self { found: rows::expected(&search, all), count, search }
    }
}

/// A disk, and what is on it.
struct Store {
    disk: SimSnapshot,
    /// The rows that are shown.
    all: Vec<Record>,
    /// Questions, of which each flip is asked one round.
    rounds: Vec<Vec<Asked>>,
    /// Keys of the rows that are shown.
    shown: BTreeSet<u64>,
    config: ServiceConfig,
    /// Keys of the rows that go with each file.
    homes: BTreeMap<PathBuf, BTreeSet<u64>>,
}

/// A store of two segments, a log with rows, a catalog, and copies of a configuration, a key and a deletion; its log ends
/// with a mark, so that none of it can pass for torn.
fn prepare() -> SimSnapshot {
    let env = SimEnv::new(11);
    let engine = open(&env).unwrap();
    engine.set_config("web", ServiceConfig { ttl_days: 3_650, ..ServiceConfig::default() }).unwrap();
    engine.add_key(KEY, key()).unwrap();
    for (number, keys) in (0..ROWS).collect::<Vec<_>>().chunks(25).enumerate() {
        let rows: Vec<_> = keys.iter().map(|key| row(*key)).collect();
        let batch = rows::batch(&mut BatchBuilder::new(), &rows);
        engine.append(Append::new(batch, Ack::Wal)).unwrap();
        if number == 1 || number == 3 {
            engine.seal().unwrap();
        }
    }
    assert!(engine.delete(&deletion(), false).unwrap().rows > 5);
    drop(engine);
    env.kill();
    drop(open(&env).unwrap());
    env.power_cut();
    env.snapshot()
}

impl Store {
    fn new() -> Self {
        let disk = prepare();
        let engine = open(&SimEnv::from_snapshot(&disk, 0)).unwrap();
        let all = everything(&engine).unwrap();
        let shown = keys_of(&all).unwrap();
        let wanted = (0..ROWS).filter(|key| !rows::passes(&deletion(), &row(*key)));
        assert!(shown.iter().copied().eq(wanted));
        let config = engine.config("web");
        let mut homes = BTreeMap::new();
        for (path, _) in files(&disk) {
            let is_home = path.extension().is_some_and(|suffix| suffix == "seg" || suffix == "wal");
            let env = SimEnv::from_snapshot(&disk, 0);
            if is_home {
                env.remove_file(&path).unwrap();
                env.sync_dir(path.parent().unwrap()).unwrap();
            }
            let left = keys_of(&everything(&open(&env).unwrap()).unwrap()).unwrap();
            homes.insert(path, shown.difference(&left).copied().collect());
        }
        let round = |seed| questions(&mut Rng::new(seed)).into_iter().map(|search| Asked::of(search, &all)).collect();
        let rounds = (0..ROUNDS).map(round).collect();
        Self { disk, all, rounds, shown, config, homes }
    }
}

impl Store {
    /// What is asked after a flip: a round of questions, or a share of it, with the others at the bytes beside it. That is where
    /// the flip is in no segment and nothing came of it: then what answers was read from files that are as they were, and
    /// from rows that were just found to be so.
    fn asked(&self, path: &Path, seed: u64, is_harmless: bool) -> impl Iterator<Item = &Asked> {
        let has_index = path.extension().is_some_and(|suffix| suffix == "seg");
        let (first, every) = if has_index || !is_harmless { (0, 1) } else { (seed as usize % SHARES, SHARES) };
        let round = (seed / SHARES as u64 % ROUNDS) as usize;
        self.rounds[round].iter().skip(first).step_by(every)
    }
}

/// The files that hold something.
fn files(disk: &SimSnapshot) -> Vec<(PathBuf, u64)> {
    let kinds = ["wal", "seg", "redb", "conf"];
    let counts = |path: &Path| path.extension().and_then(|s| s.to_str()).is_some_and(|s| kinds.contains(&s));
    SimEnv::from_snapshot(disk, 0).files().into_iter().filter(|(path, _)| counts(path)).collect()
}

/// The keys of rows, each as it was sent, and once.
fn keys_of(found: &[Record]) -> Result<BTreeSet<u64>, String> {
    let mut keys = BTreeSet::new();
    for record in found {
        let key = rows::key_of(record).filter(|key| *key < ROWS);
        let key = key.ok_or_else(|| format!("a row that nobody sent: {record:?}"))?;
        if rows::content(record) != rows::content(&row(key)) {
            return Err(format!("a wrong row: {record:?}"));
        }
        if !keys.insert(key) {
            return Err(format!("row {key} twice"));
        }
    }
    Ok(keys)
}

/// Opens, which always works, and reads everything: says what is wrong that nobody was told of, or that a flip in this file
/// does not excuse.
fn judge(env: &SimEnv, store: &Store, path: &Path, seed: u64) -> Result<(), String> {
    let engine = open(env).map_err(|e| format!("it does not start: {e}"))?;
    let found = everything(&engine)?;
    let is_whole = found == store.all;
    if !is_whole {
        judge_loss(&engine, &found, store, path)?;
    }
    if engine.config("web") != store.config || engine.keys() != BTreeMap::from([(KEY.to_owned(), key())]) {
        return Err(format!("a configuration or a key is lost, {:?}", engine.troubles()));
    }
    for asked in store.asked(path, seed, is_whole && engine.troubles().is_empty()) {
        // What all is there answers is known; what some of it answers is worked out.
        let of_these = if is_whole { None } else { Some(Asked::of(asked.search.clone(), &found)) };
        ask(&engine, of_these.as_ref().unwrap_or(asked))?;
    }
    match Rng::new(seed).pick(&found) {
        record if engine.get(record.id()).map_err(|e| e.to_string())?.as_ref() == Some(record) => Ok(()),
        record => Err(format!("{} is not found by its id", record.id())),
    }
}

/// What is found is not what there was: rows may be lost of this file, and people are told.
fn judge_loss(engine: &Engine, found: &[Record], store: &Store, path: &Path) -> Result<(), String> {
    let keys = keys_of(found)?;
    let troubles = engine.troubles();
    let lost: BTreeSet<u64> = store.shown.difference(&keys).copied().collect();
    if !lost.is_subset(&store.homes[path]) {
        return Err(format!("rows of other files are lost: {lost:?}, {troubles:?}"));
    }
    let name = path.file_name().unwrap().to_string_lossy();
    let is_told = |key: &u64| troubles.iter().any(|trouble| trouble.contains(&*name) || names_row(trouble, *key));
    if !lost.iter().all(is_told) {
        return Err(format!("rows are lost, and nobody was told: {lost:?}, {troubles:?}"));
    }
    if keys.is_subset(&store.shown) { Ok(()) } else { Err(format!("deleted rows are back, {troubles:?}")) }
}

/// Whether it says `records A to B` of a range that a row is in: here a key is its row's number.
fn names_row(trouble: &str, key: u64) -> bool {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok();
    let range = trouble.split_once("records ").and_then(|(_, range)| range.split_once(" to "));
    range.is_some_and(|(from, to)| (number(from)..=number(to)).contains(&Some(key)))
}

/// One of each kind that there is a way of its own to answer, and some of any kind.
fn questions(rng: &mut Rng) -> Vec<Search> {
    let about = |field: &str, test: Test| Search {
        filter: Filter::Field(field.into(), test),
        limit: usize::MAX,
        ..Search::default()
    };
    let traced = |record: &Record| !record.get("metadata.trace_id").is_empty();
    let first = rng.below(ROWS);
    let trace = (first..).map(row).find(traced).map(|record| record.get("metadata.trace_id").to_owned()).unwrap();
    let told = story(rng.below(TOLD));
    let words: Vec<&str> = told.split(' ').collect();
    let at = rng.below(100) as usize;
    let part: String = told.chars().skip(at).take(2 + at % 9).collect();
    let (number, word) = (rng.below(ROWS), rng.pick(&["request", "u13", "took", "Broken", "köln", "ms", "absent"]));
    let mut questions = vec![
        about("metadata.trace_id", Test::exact(&trace)),
        about("story", Test::phrase(WORDS[at % WORDS.len()], rng.one_in(2))),
        about("story", Test::phrase(&words[at..at + 3].join(" "), rng.one_in(2))),
        about("story", Test::Substring(part)),
        about("_msg", Test::phrase(word, rng.one_in(2))),
        about("_msg", Test::Substring(word[1..].into())),
        about("key", Test::exact(&number.to_string())),
        Search { services: vec![(*rng.pick(&rows::SERVICES)).into()], limit: usize::MAX, ..Search::default() },
    ];
    questions.extend((0..3).map(|_| rows::question(rng, ROWS)));
    questions
}

/// A search gives what a plain scan gives. Where it is the first to read what is damaged, it may give what a scan gives
/// from then on, and somebody is told.
fn ask(engine: &Engine, asked: &Asked) -> Result<(), String> {
    let search = &asked.search;
    let found = engine.search(search).map_err(|e| format!("{search:?}: {e}"))?;
    let count = engine.count(search).map_err(|e| format!("{search:?}: {e}"))?;
    let agrees = |asked: &Asked| (&found, count) == (&asked.found, asked.count);
    let is_told = || !engine.troubles().is_empty();
    if agrees(asked) || is_told() && agrees(&Asked::of(search.clone(), &everything(engine)?)) {
        return Ok(());
    }
    Err(format!("{search:?} finds {} rows and counts {count}, a scan finds others", found.len()))
}

fn judge_caught(env: &SimEnv, store: &Store, path: &Path, seed: u64) -> Result<(), String> {
    let judged = catch_unwind(AssertUnwindSafe(|| judge(env, store, path, seed)));
    judged.unwrap_or_else(|_| Err("it panics".into()))
}

/// So many zeros in a row are one place, as most of the catalog's pages and of a log's last file are.
const ALIKE: usize = 256;

/// Bytes to flip a bit in: every `stride`-th, but one of each run that has nothing in it.
fn places_of(bytes: &[u8], stride: usize) -> Vec<usize> {
    let of_run = |(number, run): (usize, &[u8])| {
        let (start, end) = (number * ALIKE, number * ALIKE + run.len());
        let is_empty = run.iter().all(|byte| *byte == 0);
        let first = if is_empty { start + number % run.len() } else { start };
        (first..end).step_by(if is_empty { ALIKE } else { 1 })
    };
    let places: Vec<usize> = bytes.chunks(ALIKE).enumerate().flat_map(of_run).collect();
    places.into_iter().step_by(stride).collect()
}

/// At every how many bytes a bit is flipped.
struct Strides {
    /// In segments and the log.
    data: usize,
    /// In the catalog, whose pages are all much alike.
    catalog: usize,
    /// In copies, which are small.
    copies: usize,
}

/// Every flip: a file, a byte and a bit.
fn flips(disk: &SimSnapshot, strides: &Strides) -> Vec<(PathBuf, usize, u8)> {
    let mut flips = Vec::new();
    for (path, len) in files(disk) {
        let bytes = read_file(&SimEnv::from_snapshot(disk, 0), &path, len).unwrap();
        let stride = match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("redb") => strides.catalog,
            Some("conf") => strides.copies,
            _ => strides.data,
        };
        let places = places_of(&bytes, stride);
        println!("{}: {len} bytes, {} flips", path.display(), places.len());
        flips.extend(places.into_iter().enumerate().map(|(number, byte)| (path.clone(), byte, (number % 8) as u8)));
    }
    flips
}

/// Flips a bit at every so many bytes, and asks a round of questions after each.
fn flip(strides: &Strides) {
    let store = Store::new();
    let flips = flips(&store.disk, strides);
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((path, byte, bit)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let env = SimEnv::from_snapshot(&store.disk, *byte as u64);
                    env.flip_bit(path, *byte as u64, *bit).unwrap();
                    if let Err(e) = judge_caught(&env, &store, path, *byte as u64) {
                        wrong.lock().unwrap().push(format!("{} byte {byte} bit {bit}: {e}", path.display()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), flips.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    flip(&Strides { data: 397, catalog: 1_499, copies: 29 });
}

/// `LOGYARD_STRIDE` says at every how many bytes.
#[test]
#[ignore = "half an hour: every byte"]
fn a_bit_flipped_at_every_byte_is_found_or_harmless() {
    let stride = from_env("LOGYARD_STRIDE", 1) as usize;
    flip(&Strides { data: stride, catalog: stride, copies: stride.min(29) });
}

/// Each kind of file is there, and each index is asked by some question.
#[test]
fn a_store_without_rot_is_whole() {
    let store = Store::new();
    let kinds: BTreeSet<_> = store.homes.keys().map(|path| path.extension().unwrap().to_str().unwrap()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["conf", "redb", "seg", "wal"]);
    for name in ["service-web", "key-", "deletion-"] {
        assert!(store.homes.keys().any(|path| path.to_string_lossy().contains(name)), "no copy {name}");
    }
    let rows_of = |kind: &str| {
        let of_kind = store.homes.iter().filter(|(path, _)| path.extension().is_some_and(|suffix| suffix == kind));
        of_kind.map(|(_, keys)| keys.len()).sum::<usize>()
    };
    assert!(rows_of("seg") > 80 && rows_of("wal") > 40 && rows_of("redb") + rows_of("conf") == 0);
    let env = SimEnv::from_snapshot(&store.disk, 3);
    for seed in 0..ROUNDS * SHARES as u64 {
        judge(&env, &store, Path::new("/data/catalog.redb"), seed).unwrap();
    }
    let engine = open(&env).unwrap();
    let asked = |field: &str, test: Test| {
        let search = Search { filter: Filter::Field(field.into(), test), limit: usize::MAX, ..Search::default() };
        engine.search_with(&search, &Control::default()).unwrap().1
    };
    assert!(asked("_msg", Test::phrase("request", true)).index_lookups > 0);
    assert!(asked("story", Test::phrase("absent", true)).groups_skipped > 0);
}
