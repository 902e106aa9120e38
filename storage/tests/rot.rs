//! Rot: a bit flipped at every byte of every kind of file is found or harmless, and a length that is far too large is
//! believed by nobody.
use crate::chance::from_env;
use crate::power::client::everything;
use crate::power::life::options;
use crate::rows;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::codec::put_varint;
use logyard_storage::engine::{Ack, Append, Engine, Search};
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use logyard_storage::env::{Env, read_file};
use logyard_storage::wal;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const ROWS: u64 = 150;
/// What the process that reads absurd lengths may allocate, in KiB.
const MEMORY_KIB: u64 = 512 << 10;
const ABSURD: u64 = 1 << 60;

fn open(env: &SimEnv) -> Result<Arc<Engine>, String> {
    Engine::open(Arc::new(env.process()), options()).map_err(|e| e.to_string())
}

/// A store of two segments, a log with rows and a catalog; its log ends with a mark, so that none of it can pass for
/// torn.
fn prepare() -> SimSnapshot {
    let env = SimEnv::new(11);
    let engine = open(&env).unwrap();
    for (number, keys) in (0..ROWS).collect::<Vec<_>>().chunks(25).enumerate() {
        let rows: Vec<_> = keys.iter().map(|key| rows::row(*key)).collect();
        let batch = rows::batch(&mut BatchBuilder::new(), &rows);
        engine.append(Append::new(batch, Ack::Wal)).unwrap();
        if number == 1 || number == 3 {
            engine.seal().unwrap();
        }
    }
    drop(engine);
    env.kill();
    drop(open(&env).unwrap());
    env.power_cut();
    env.snapshot()
}

/// The files that hold something.
fn files(disk: &SimSnapshot) -> Vec<(PathBuf, u64)> {
    let kinds = ["wal", "seg", "redb"];
    let counts = |path: &Path| path.extension().and_then(|s| s.to_str()).is_some_and(|s| kinds.contains(&s));
    SimEnv::from_snapshot(disk, 0).files().into_iter().filter(|(path, _)| counts(path)).collect()
}

/// Opens, which always works, and reads everything: says what is wrong that nobody was told of.
fn judge(env: &SimEnv) -> Result<(), String> {
    let engine = open(env).map_err(|e| format!("it does not start: {e}"))?;
    let Ok(found) = everything(&engine) else { return Ok(()) };
    let mut keys = BTreeSet::new();
    for record in &found {
        let key = rows::key_of(record).filter(|key| *key < ROWS);
        let key = key.ok_or_else(|| format!("a row that nobody sent: {record:?}"))?;
        if rows::content(record) != rows::content(&rows::row(key)) {
            return Err(format!("a wrong row: {record:?}"));
        }
        if !keys.insert(key) {
            return Err(format!("row {key} twice"));
        }
    }
    if keys.len() as u64 != ROWS && engine.troubles().is_empty() {
        return Err(format!("{} of {ROWS} rows, and nobody was told", keys.len()));
    }
    let mut rng = crate::chance::Rng::new(1);
    let search = Search { limit: 50, ..rows::question(&mut rng, ROWS) };
    match engine.search(&search) {
        Ok(answer) if answer != rows::expected(&search, &found) => Err("a search gives other rows than a scan".into()),
        _ => Ok(()),
    }
}

fn judge_caught(env: &SimEnv) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| judge(env))).unwrap_or_else(|_| Err("it panics".into()))
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

/// Flips a bit in every `stride`-th byte; a larger stride for the catalog, whose pages are all much alike.
fn flip(stride: usize, catalog_stride: usize) {
    let disk = prepare();
    let mut wrong = Vec::new();
    let mut flips = 0;
    for (path, len) in files(&disk) {
        let bytes = read_file(&SimEnv::from_snapshot(&disk, 0), &path, len).unwrap();
        let places = match path.extension().is_some_and(|s| s == "redb") {
            true => places_of_catalog(&bytes, catalog_stride),
            false => (0..bytes.len()).step_by(stride).collect(),
        };
        for (number, byte) in places.into_iter().enumerate() {
            let env = SimEnv::from_snapshot(&disk, byte as u64);
            let bit = (number % 8) as u8;
            env.flip_bit(&path, byte as u64, bit).unwrap();
            flips += 1;
            if let Err(e) = judge_caught(&env) {
                wrong.push(format!("{} byte {byte} bit {bit}: {e}", path.display()));
            }
        }
        println!("{}: {len} bytes, {flips} flips so far", path.display());
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    flip(41, 997);
}

/// `LOGYARD_STRIDE` says at every how many bytes.
#[test]
#[ignore = "half an hour: every byte"]
fn a_bit_flipped_at_every_byte_is_found_or_harmless() {
    let stride = from_env("LOGYARD_STRIDE", 1) as usize;
    flip(stride, stride);
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

#[test]
fn a_store_without_rot_is_whole() {
    judge(&SimEnv::from_snapshot(&prepare(), 3)).unwrap();
}
