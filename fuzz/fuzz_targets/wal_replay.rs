//! Log files from any bytes, with and without sound checksums: a scan ends, replay gives the same twice, and what a tail's
//! rewrite leaves is what was there.
//!
//! Invariants
//! * Replay changes nothing: what it gives, it gives again, also behind a rewrite of the tail.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::env::Env;
use logyard_storage::env::sim::SimEnv;
use logyard_storage::wal::{self, Options, Replayed};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/wal";
const HEADER: usize = 64;
const FRAME: usize = 56;

fuzz_target!(|data: &[u8]| {
    drop(wal::scan_bytes(data));
    let Some((mode, rest)) = data.split_first() else { return };
    // One file, or two that follow each other.
    let split = if mode & 1 == 0 { rest.len() } else { rest.len() / 2 };
    let (first, second) = rest.split_at(split);
    let env = SimEnv::new(3);
    let says_epochs = mode & 2 != 0;
    let mut files = vec![mended(first, 1, says_epochs)];
    if !second.is_empty() {
        files.push(mended(second, 2, says_epochs));
    }
    for (id, bytes) in (1..).zip(&files) {
        drop(wal::scan_bytes(bytes));
        env.write_raw(&Path::new(DIR).join(format!("{id:016x}.wal")), bytes).expect("the simulated disk has room");
    }
    replay_and_rewrite(&env);
});

/// Replays, rewrites the tail and replays again, as a start and the next one do.
fn replay_and_rewrite(env: &SimEnv) {
    let env: Arc<dyn Env> = Arc::new(env.clone());
    let options = Options { file_bytes: 64 << 10, ..Options::new(DIR, "/quarantine") };
    let Some((first, mut replayed)) = replay(&env) else { return };
    let Some((again, _)) = replay(&env) else { panic!("what could be read once cannot be read again") };
    assert_eq!(first, again, "replay changed something");
    wal::rewrite_tail(&env, &options, &mut replayed).expect("nothing on this disk fails");
    let (after, _) = replay(&env).expect("what was rewritten can be read");
    assert_eq!(first, after, "the rewrite lost, doubled or changed a batch");
    let files = wal::Files::open(Arc::clone(&env), options, &replayed).expect("nothing on this disk fails");
    let writer = wal::Writer::create(files, wal::Start::from(&replayed)).expect("nothing on this disk fails");
    assert!(writer.next_seq() >= first.last().map_or(0, |batch| batch.0 + u64::from(batch.1)));
    drop(writer);
    let (end, _) = replay(&env).expect("what was written can be read");
    assert_eq!(first, end, "a new file changed what was there");
}

type Batch = (u64, u32, i64, Option<u32>, Vec<u8>);

fn replay(env: &Arc<dyn Env>) -> Option<(Vec<Batch>, Replayed)> {
    let mut batches: Vec<Batch> = Vec::new();
    let replayed = wal::replay(env, Path::new(DIR), 0, &mut |frame| {
        batches.push((frame.first_seq, frame.rows, frame.arrival, frame.epoch, frame.payload.to_vec()));
        Ok(())
    })
    .ok()?;
    let mut end = 0;
    for (first_seq, rows, ..) in &batches {
        assert!(*first_seq >= end, "sequence numbers go back");
        end = first_seq + u64::from(*rows);
    }
    assert!(replayed.next_seq >= end);
    Some((batches, replayed))
}

/// Makes a file header and frames of the bytes: magic numbers, versions and checksums are put right, but for frames
/// of which one byte asks for damage. Files of the second version have frames of both, some of which say their epoch.
fn mended(data: &[u8], id: u64, says_epochs: bool) -> Vec<u8> {
    let mut out = data.to_vec();
    out.resize(out.len().max(HEADER).next_multiple_of(8), 0);
    out[..8].copy_from_slice(b"LYW1\x01\0\0\0");
    out[4] += u8::from(says_epochs);
    out[8..16].copy_from_slice(&id.to_le_bytes());
    // Small numbers, so that files and frames follow each other often.
    for at in [16, 24, 40, 48] {
        out[at + 1..at + 8].fill(0);
    }
    let crc = crc32fast::hash(&out[..HEADER - 4]);
    out[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    let salt: [u8; 8] = out[32..40].try_into().expect("eight bytes");
    let mut at = HEADER;
    while at + FRAME <= out.len() {
        let room = out.len() - at - FRAME;
        let frame = &mut out[at..];
        let (damage, epoch) = (frame[28], frame[29]);
        let version = 1 + u8::from(says_epochs && frame[2] & 1 == 0);
        frame[..3].copy_from_slice(&[0xF7, 0x4C, version]);
        frame[3] = 1 + frame[3] % 3;
        let len = usize::from(frame[4]).min(room);
        frame[4..8].copy_from_slice(&(len as u32).to_le_bytes());
        for at in [8, 16, 40] {
            frame[at + 1..at + 8].fill(0);
        }
        frame[25..28].fill(0);
        frame[28..32].fill(0);
        frame[28] = if version == 1 { 0 } else { epoch };
        let padded = len.next_multiple_of(8).min(room);
        let payload_crc = salted(&salt, &frame[FRAME..FRAME + padded]);
        frame[48..52].copy_from_slice(&payload_crc.to_le_bytes());
        let header_crc = salted(&salt, &frame[..FRAME - 4]);
        frame[52..56].copy_from_slice(&header_crc.to_le_bytes());
        match damage {
            1 => frame[52] ^= 1,
            2 if len > 0 => frame[FRAME] ^= 1,
            3 => frame[..FRAME].fill(0),
            _ => {}
        }
        at += FRAME + padded;
    }
    out
}

fn salted(salt: &[u8; 8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(salt);
    crc.update(bytes);
    crc.finalize()
}
