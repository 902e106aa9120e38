//! `logyard bench engine`: what storing a file costs, in processor time, memory and bytes.
//!
//! The file is read in chunks of lines by one thread and decoded and appended by others, in no particular order.
use super::{EngineArgs, Failure};
use crate::ingest::{self, log};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::{Env, RealEnv};
use serde_json::json;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

const CHUNK_BYTES: usize = 1 << 20;
const BATCH_ROWS: usize = 1_000;
/// The kernel's clock ticks per second, the same on every Linux.
const TICKS: f64 = 100.0;

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
    let measured = measure(file, &data, args.threads);
    if args.data.is_none() {
        fs::remove_dir_all(&data).map_err(|e| failed("remove", &data, &e))?;
    }
    println!("{}", measured?);
    Ok(())
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot {doing} {}: {error}", path.display()))
}

fn measure(file: File, data: &Path, threads: Option<usize>) -> Result<serde_json::Value, Failure> {
    let started = Instant::now();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let engine = Engine::open(Arc::clone(&env), Options::new(data))?;
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, |n| n.get())).max(1);
    let (sender, receiver) = sync_channel::<Vec<u8>>(2 * threads);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let store = || store(&receiver, &engine, &*env);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(store)).collect();
        let read = send_chunks(file, &sender);
        drop(sender);
        for worker in workers {
            worker.join().map_err(|_| Failure::Failed("a thread of the measurement panicked".into()))??;
        }
        read.map_err(|e| Failure::Failed(format!("cannot read: {e}")))
    })?;
    engine.seal()?;
    let cpu_sealed = cpu_seconds()?;
    engine.compact()?;
    let stats = engine.stats()?;
    engine.close()?;
    Ok(json!({
        "rows": stats.rows,
        "cpu_s": cpu_seconds()?,
        "cpu_sealed_s": cpu_sealed,
        "wall_s": started.elapsed().as_secs_f64(),
        "rss_mb": peak_memory_mb()?,
        "bytes": { "segments": stats.segment_bytes, "catalog": stats.catalog_bytes, "wal": stats.wal_bytes },
    }))
}

/// Sends a file on in chunks that end with a line's end.
fn send_chunks(mut file: File, chunks: &SyncSender<Vec<u8>>) -> std::io::Result<()> {
    let mut chunk = Vec::with_capacity(2 * CHUNK_BYTES);
    loop {
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        let end = match memchr::memrchr(b'\n', &chunk) {
            _ if read == 0 => chunk.len(),
            None => continue,
            Some(at) => at + 1,
        };
        let mut next = Vec::with_capacity(2 * CHUNK_BYTES);
        next.extend_from_slice(chunk.get(end..).unwrap_or_default());
        chunk.truncate(end);
        // Where nobody receives any more, a worker has failed and says why.
        if chunks.send(std::mem::replace(&mut chunk, next)).is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Decodes and appends chunks until there are no more.
fn store(chunks: &Mutex<Receiver<Vec<u8>>>, engine: &Engine, env: &dyn Env) -> Result<(), Failure> {
    let mut rows = BatchBuilder::new();
    loop {
        let chunk = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = chunk else { break };
        let arrival = env.now();
        for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let read = ingest::text(line).and_then(|text| log::read_log(text, arrival, &mut rows));
            read.map_err(|fault| Failure::Failed(format!("{fault}, in `{}`", String::from_utf8_lossy(line))))?;
            if rows.rows() == BATCH_ROWS {
                engine.append(Append::new(rows.finish()?, Ack::Wal))?;
            }
        }
    }
    if rows.rows() > 0 {
        engine.append(Append::new(rows.finish()?, Ack::Wal))?;
    }
    Ok(())
}

/// Processor time of this process so far, of users and of the kernel.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program's name, in parentheses, may have spaces; the times are fields 14 and 15 of all.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS)
}

/// The most memory that this process ever had.
fn peak_memory_mb() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib = line.split_ascii_whitespace().next().and_then(|n| n.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| Failure::Failed("/proc/self/status has no VmHWM".into()))
}
