//! Rot: a bit flipped at every byte of every kind of file is found or harmless, and a length that is far too large is
//! believed by nobody.
//!
//! A flip may cost rows of the file that it is in, where somebody is told, and no others; copies and the catalog are there
//! twice, so there it costs nothing. What a plain scan shows every search finds, through whichever index.
use crate::chance::{Rng, from_env};
use crate::power::client::everything;
use crate::power::life;
use crate::rows;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::{KeyRecord, ServiceConfig};
use logyard_storage::codec::put_varint;
use logyard_storage::engine::{Ack, Append, Control, Engine, Options, Search};
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use logyard_storage::env::{Env, read_file};
use logyard_storage::record::{FieldPath, Record, Value, ValueKind};
use logyard_storage::scan::filter::{Filter, Test};
use logyard_storage::wal;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const ROWS: u64 = 150;
/// Rows that are sealed, and have a story.
const SEALED: u64 = 100;
const THREADS: usize = 2;
/// What the process that reads absurd lengths may allocate, in KiB.
const MEMORY_KIB: u64 = 512 << 10;
const ABSURD: u64 = 1 << 60;
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
    if key < SEALED || key.is_multiple_of(10) {
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

/// A disk, and what is on it.
struct Store {
    disk: SimSnapshot,
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
        let shown = keys_of(&everything(&engine).unwrap()).unwrap();
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
        Self { disk, shown, config, homes }
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
    let keys = keys_of(&found)?;
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
    if !keys.is_subset(&store.shown) {
        return Err(format!("deleted rows are back, {troubles:?}"));
    }
    if engine.config("web") != store.config || engine.keys() != BTreeMap::from([(KEY.to_owned(), key())]) {
        return Err(format!("a configuration or a key is lost, {troubles:?}"));
    }
    let rng = &mut Rng::new(seed);
    for search in questions(rng) {
        ask(&engine, &search, &found)?;
    }
    match rng.pick(&found) {
        record if engine.get(record.id()).map_err(|e| e.to_string())?.as_ref() == Some(record) => Ok(()),
        record => Err(format!("{} is not found by its id", record.id())),
    }
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
    let told = story(rng.below(SEALED));
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
fn ask(engine: &Engine, search: &Search, found: &[Record]) -> Result<(), String> {
    let answer = engine.search(search).map_err(|e| format!("{search:?}: {e}"))?;
    let counted = engine.count(search).map_err(|e| format!("{search:?}: {e}"))?;
    let agrees = |all: &[Record]| {
        let passing = all.iter().filter(|record| rows::passes(search, record)).count() as u64;
        (&answer, counted) == (&rows::expected(search, all), passing)
    };
    if agrees(found) || !engine.troubles().is_empty() && agrees(&everything(engine)?) {
        return Ok(());
    }
    Err(format!("{search:?} finds {} rows and counts {counted}, a scan finds others", answer.len()))
}

fn judge_caught(env: &SimEnv, store: &Store, path: &Path, seed: u64) -> Result<(), String> {
    let judged = catch_unwind(AssertUnwindSafe(|| judge(env, store, path, seed)));
    judged.unwrap_or_else(|_| Err("it panics".into()))
}

/// A page of the catalog.
const PAGE: usize = 4 << 10;

/// Bytes of a catalog to flip a bit in: every `stride`-th, but one of each page that has nothing in it, as most have not.
fn places_of_catalog(bytes: &[u8], stride: usize) -> Vec<usize> {
    let of_page = |(number, page): (usize, &[u8])| {
        let is_empty = page.iter().all(|byte| *byte == 0);
        let places = number * PAGE..number * PAGE + page.len();
        places.step_by(if is_empty { PAGE } else { stride })
    };
    bytes.chunks(PAGE).enumerate().flat_map(of_page).collect()
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
        let places = match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("redb") => places_of_catalog(&bytes, strides.catalog),
            Some("conf") => (0..bytes.len()).step_by(strides.copies).collect(),
            _ => (0..bytes.len()).step_by(strides.data).collect::<Vec<_>>(),
        };
        println!("{}: {len} bytes, {} flips", path.display(), places.len());
        flips.extend(places.into_iter().enumerate().map(|(number, byte)| (path.clone(), byte, (number % 8) as u8)));
    }
    flips
}

/// Flips a bit at every so many bytes, each with questions of its own.
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
    flip(&Strides { data: 397, catalog: 4_999, copies: 29 });
}

/// `LOGYARD_STRIDE` says at every how many bytes.
#[test]
#[ignore = "hours: every byte"]
fn a_bit_flipped_at_every_byte_is_found_or_harmless() {
    let stride = from_env("LOGYARD_STRIDE", 1) as usize;
    flip(&Strides { data: stride, catalog: stride, copies: stride.min(29) });
}

/// A store whose log is these frames, each sound by its checksums.
fn store_of(payload: &[u8], rows: u32) -> SimEnv {
    let env = SimEnv::new(1);
    let dir = Path::new("/data/wal");
    env.create_dir_all(dir).unwrap();
    let shared: Arc<dyn Env> = Arc::new(env.process());
    let options = wal::Options::new(dir, "/data/quarantine");
    let options = wal::Options { file_bytes: 64 << 10, ..options };
    let replayed = wal::replay(&shared, dir, 0, &mut |_| Ok(())).unwrap();
    let files = wal::Files::open(Arc::clone(&shared), options, &replayed).unwrap();
    let mut writer = wal::Writer::create(files, wal::Start::from(&replayed)).unwrap();
    writer.append(&[wal::Frame { first_seq: 0, rows, arrival: 1, parts: &[payload] }], true).unwrap();
    drop(writer);
    env.kill();
    env
}

fn a_payload() -> (Vec<u8>, u32) {
    let env = SimEnv::from_snapshot(&prepare(), 1);
    let shared: Arc<dyn Env> = Arc::new(env.process());
    let mut first = None;
    wal::replay(&shared, Path::new("/data/wal"), 0, &mut |frame| {
        first.get_or_insert_with(|| (frame.payload.to_vec(), frame.rows));
        Ok(())
    })
    .unwrap();
    first.unwrap()
}

fn absurd_lengths_in_the_log(stride: usize) -> Result<(), String> {
    let (payload, rows) = a_payload();
    for at in (0..payload.len()).step_by(stride) {
        let mut absurd = payload[..at].to_vec();
        put_varint(&mut absurd, ABSURD);
        absurd.extend_from_slice(&payload[at + 1..]);
        read_through(&store_of(&absurd, rows)).map_err(|e| format!("log payload, byte {at}: {e}"))?;
    }
    Ok(())
}

/// Numbers of a footer stand in eight bytes each; its checksum is made right again.
fn absurd_lengths_in_a_footer(stride: usize) -> Result<(), String> {
    let disk = prepare();
    let (path, _) = files(&disk).into_iter().find(|(path, _)| path.extension().is_some_and(|s| s == "seg")).unwrap();
    let whole = SimEnv::from_snapshot(&disk, 1).read_raw(&path).unwrap();
    let tail = whole.len() - 8;
    let footer_len = u32::from_le_bytes(whole[tail..tail + 4].try_into().unwrap()) as usize;
    let footer = tail - footer_len;
    for at in (footer + 16..tail - 8).step_by(stride) {
        let mut absurd = whole.clone();
        absurd[at..at + 8].copy_from_slice(&ABSURD.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&absurd[footer..footer + 12]);
        crc.update(&absurd[footer + 16..tail]);
        absurd[footer + 12..footer + 16].copy_from_slice(&crc.finalize().to_le_bytes());
        let env = SimEnv::from_snapshot(&disk, 1);
        env.write_raw(&path, &absurd).unwrap();
        read_through(&env).map_err(|e| format!("footer, byte {}: {e}", at - footer))?;
    }
    Ok(())
}

/// Whatever it answers, it answers.
fn read_through(env: &SimEnv) -> Result<(), String> {
    let read = || {
        if let Ok(engine) = open(env) {
            everything(&engine).ok();
            engine.seal().ok();
            engine.compact().ok();
        }
    };
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| "it panics".into())
}

#[test]
#[ignore = "started by a_length_of_2_60_allocates_nothing, with little memory"]
fn absurd_lengths_with_little_memory() {
    let stride = from_env("LOGYARD_STRIDE", 7) as usize;
    absurd_lengths_in_the_log(stride)
        .and_then(|()| absurd_lengths_in_a_footer(stride))
        .unwrap_or_else(|e| panic!("{e}"));
}

/// In a process of its own that may not allocate much: one that tried would abort.
#[test]
fn a_length_of_2_60_allocates_nothing() {
    let mut child = Command::new("sh");
    child.args(["-c", &format!("ulimit -d {MEMORY_KIB} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "rot::absurd_lengths_with_little_memory", "--ignored"]);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
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
    for seed in 0..20 {
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
