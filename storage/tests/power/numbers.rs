//! A directory that was emptied but for its recycled log files: numbers begin again, and what those files held before
//! must stay noise.
use super::client::everything;
use super::life::options;
use crate::rows;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine};
use logyard_storage::env::Env;
use logyard_storage::env::sim::SimEnv;
use std::path::Path;
use std::sync::Arc;

fn open(env: &SimEnv) -> Result<Arc<Engine>, String> {
    Engine::open(Arc::new(env.process()), options()).map_err(|e| e.to_string())
}

fn append(engine: &Engine, keys: std::ops::Range<u64>) -> Result<(), String> {
    for key in keys {
        let batch = rows::batch(&mut BatchBuilder::new(), &[rows::row(key)]);
        engine.append(Append::new(batch, Ack::Wal)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Fills log files, lets them be recycled, and removes everything else.
fn leave_spares(env: &SimEnv) -> Result<(), String> {
    let engine = open(env)?;
    append(&engine, 0..300)?;
    engine.seal().map_err(|e| e.to_string())?;
    drop(engine);
    for (path, _) in env.files().iter().filter(|(path, _)| path.extension().is_none_or(|suffix| suffix != "spare")) {
        env.remove_file(path).map_err(|e| e.to_string())?;
    }
    for directory in ["/data", "/data/wal", "/data/segments/2026-05-28"] {
        env.sync_dir(Path::new(directory)).ok();
    }
    Ok(())
}

/// New rows stand alone over old files, before and after a cut.
pub(super) fn restarted() -> Result<(), String> {
    for rows in [1, 7, 20, 60] {
        let env = SimEnv::new(rows);
        leave_spares(&env)?;
        let engine = open(&env)?;
        append(&engine, 1_000..1_000 + rows)?;
        drop(engine);
        env.power_cut();
        env.power_on();
        let engine = open(&env)?;
        let found = everything(&engine)?;
        if found.len() as u64 != rows || !engine.troubles().is_empty() {
            return Err(format!("{} rows of {rows}, {:?}", found.len(), engine.troubles()));
        }
    }
    Ok(())
}

#[test]
fn old_frames_are_noise_when_numbers_begin_again() {
    restarted().unwrap_or_else(|e| panic!("{e}"));
}
