//! `logyard bench engine`: what storing a file costs, in processor time, memory and bytes.
//!
//! The file is read in chunks of lines by one thread and decoded and appended by others, in no particular order.
//!
//! Invariants
//! * Memory is bounded: there are a few chunks for each thread, used again and again, and one batch in each builder.
//! * A builder is never replaced: it remembers fields and shapes from batch to batch.
use super::process::Process;
use super::{EngineArgs, Failure};
use crate::ingest::{self, Arrival, Open, log};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::layout::Layout;
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// As the server has it where nothing is said.
const MAX_FUTURE: Duration = Duration::from_secs(86_400);
const CHUNK_BYTES: usize = 1 << 16;
const BATCH_ROWS: usize = 4_000;

/// Runs the measurement.
pub(super) fn run(args: &EngineArgs) -> Result<(), Failure> {
    let file = File::open(&args.file).map_err(|e| failed("open", &args.file, &e))?;
    let data = match &args.data {
        Some(data) => data.clone(),
        None => std::env::temp_dir().join(format!("logyard-bench-{}", std::process::id())),
    };
    if fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::Usage(format!("{} is not empty", data.display())));
    }
    let measured = measure(file, &data, args);
    if args.data.is_none() {
        fs::remove_dir_all(&data).map_err(|e| failed("remove", &data, &e))?;
    }
    writeln!(std::io::stdout(), "{}", measured?).map_err(super::cannot_write)
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot {doing} {}: {error}", path.display()))
}

fn measure(file: File, data: &Path, args: &EngineArgs) -> Result<serde_json::Value, Failure> {
    let started = Instant::now();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let engine = Engine::open(Arc::clone(&env), Options::new(data))?;
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, |n| n.get())).max(1);
    let store = Store { engine: &engine, env: &*env, ack: args.ack.into(), has_failed: AtomicBool::new(false) };
    store.file(file, threads)?;
    engine.seal()?;
    let (cpu_sealed, wall_sealed) = (Process::Own.cpu_seconds()?, started.elapsed().as_secs_f64());
    engine.compact()?;
    let stats = engine.stats()?;
    engine.close()?;
    drop(engine);
    let bytes = bytes_under(data, stats.wal_bytes)?;
    Ok(json!({
        "rows": stats.rows,
        "cpu_s": Process::Own.cpu_seconds()?,
        "cpu_sealed_s": cpu_sealed,
        "wall_s": started.elapsed().as_secs_f64(),
        "wall_sealed_s": wall_sealed,
        "rss_mb": Process::Own.peak_memory_mb()?,
        "bytes": bytes,
    }))
}

/// What a closed data directory takes. `wal` is the frames of the log, `wal_files` the files that they lie in, which are
/// filled with zeros ahead; spare files are left out.
fn bytes_under(data: &Path, wal: u64) -> Result<serde_json::Value, Failure> {
    let layout = Layout::new(data);
    let catalog = fs::metadata(layout.catalog())?.len();
    let segments = size_of(&layout.segments(), &|_| true)?;
    let wal_files = size_of(&layout.wal(), &|name| name.ends_with(".wal"))?;
    let all = size_of(data, &|name| !name.ends_with(".spare"))?;
    let other = all - catalog - segments - wal_files;
    Ok(json!({ "segments": segments, "catalog": catalog, "wal": wal, "wal_files": wal_files, "other": other }))
}

/// Length of all files under a directory whose name counts.
fn size_of(directory: &Path, counts: &dyn Fn(&str) -> bool) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            bytes += size_of(&entry.path(), counts)?;
        } else if counts(&entry.file_name().to_string_lossy()) {
            bytes += meta.len();
        }
    }
    Ok(bytes)
}

/// Sends a file on in chunks that end with a line's end, in buffers that come back, until nobody receives any more.
fn send_chunks(mut file: File, chunks: &SyncSender<Vec<u8>>, buffers: &Receiver<Vec<u8>>) -> std::io::Result<()> {
    let Ok(mut chunk) = buffers.recv() else { return Ok(()) };
    loop {
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        let end = match memchr::memrchr(b'\n', &chunk) {
            _ if read == 0 => chunk.len(),
            None => continue,
            Some(at) => at + 1,
        };
        // Where no buffer comes back, a thread has failed and says why.
        let Ok(mut next) = buffers.recv() else { return Ok(()) };
        next.extend_from_slice(chunk.get(end..).unwrap_or_default());
        chunk.truncate(end);
        if chunks.send(std::mem::replace(&mut chunk, next)).is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Where chunks go.
struct Store<'a> {
    engine: &'a Engine,
    env: &'a dyn Env,
    ack: Ack,
    /// Set by a thread that failed, so that the others end too.
    has_failed: AtomicBool,
}

impl Store<'_> {
    /// Stores a whole file.
    fn file(&self, file: File, threads: usize) -> Result<(), Failure> {
        let buffered = 2 * threads + 1;
        let (sender, chunks) = sync_channel::<Vec<u8>>(buffered);
        let (free, buffers) = sync_channel::<Vec<u8>>(buffered);
        for _ in 0..buffered {
            free.send(Vec::with_capacity(2 * CHUNK_BYTES)).map_err(|_| lost_thread())?;
        }
        // Owned by the threads, so that whoever waits for them learns that they are gone.
        let chunks = Arc::new(Mutex::new(chunks));
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let (chunks, free) = (Arc::clone(&chunks), free.clone());
                    scope.spawn(move || {
                        self.chunks(&chunks, &free).inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))
                    })
                })
                .collect();
            drop((chunks, free));
            let read = send_chunks(file, &sender, &buffers);
            drop(sender);
            for worker in workers {
                worker.join().map_err(|_| lost_thread())??;
            }
            read.map_err(|e| Failure::Failed(format!("cannot read: {e}")))
        })
    }

    /// Decodes and appends chunks until there are no more.
    fn chunks(&self, chunks: &Mutex<Receiver<Vec<u8>>>, free: &SyncSender<Vec<u8>>) -> Result<(), Failure> {
        let mut rows = BatchBuilder::new();
        while !self.has_failed.load(Ordering::Relaxed) {
            let chunk = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut chunk) = chunk else { break };
            self.chunk(&chunk, &mut rows)?;
            chunk.clear();
            // Nobody needs it after the last chunk.
            let _was_last = free.try_send(chunk);
        }
        if rows.rows() > 0 {
            self.engine.append(Append::new(rows.finish()?, self.ack))?;
        }
        Ok(())
    }

    fn chunk(&self, chunk: &[u8], rows: &mut BatchBuilder) -> Result<(), Failure> {
        let arrival = Arrival::new(self.env.now(), MAX_FUTURE);
        let ends = memchr::memchr_iter(b'\n', chunk).chain([chunk.len()]);
        let mut start = 0;
        for end in ends {
            let line = chunk.get(start..end).unwrap_or_default();
            start = end + 1;
            if line.is_empty() {
                continue;
            }
            let read = ingest::text(line).and_then(|text| log::read_log(text, arrival, rows, &mut Open));
            read.map_err(|fault| Failure::Failed(format!("{fault}, in `{}`", String::from_utf8_lossy(line))))?;
            if rows.rows() == BATCH_ROWS || rows.is_full() {
                self.engine.append(Append::new(rows.finish()?, self.ack))?;
            }
        }
        Ok(())
    }
}

fn lost_thread() -> Failure {
    Failure::Failed("a thread of the measurement panicked".into())
}
