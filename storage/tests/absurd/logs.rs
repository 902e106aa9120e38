//! The log, its frames' payloads and its headers, with a length that is far too large.
use super::{Places, read_through, with_number, with_varint};
use logyard_storage::env::Env;
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use logyard_storage::wal;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a file's header, and those of it that its checksum is over.
const FILE_HEADER: (usize, Range<usize>) = (64, 0..60);
/// The same of a frame's header.
const FRAME_HEADER: (usize, Range<usize>) = (56, 0..52);
/// Where a file's salt stands.
const SALT: Range<usize> = 32..40;

pub(super) fn in_the_log(disk: &SimSnapshot, places: &Places) -> Result<(), String> {
    let (payload, rows) = a_payload(disk);
    places.some("payload of a frame", payload.len(), |at| read_through(&store_of(&with_varint(&payload, at), rows)))?;
    in_headers(&payload, rows, places)
}

/// In the header of a file and in that of its first frame, with their checksums.
fn in_headers(payload: &[u8], rows: u32, places: &Places) -> Result<(), String> {
    let path = store_of(payload, rows).files().into_iter().map(|(path, _)| path);
    let path = path.into_iter().find(|path| path.extension().is_some_and(|suffix| suffix == "wal")).unwrap();
    let whole = store_of(payload, rows).read_raw(&path).unwrap();
    let read = |file: &[u8]| {
        let env = store_of(payload, rows);
        env.write_raw(&path, file).unwrap();
        read_through(&env);
    };
    let crc = |file: &[u8], from: usize, of: &Range<usize>, salt: &[u8]| {
        let mut crc = crc32fast::Hasher::new();
        crc.update(salt);
        crc.update(&file[from + of.start..from + of.end]);
        crc.finalize().to_le_bytes()
    };
    let salt = &whole[SALT];
    for (what, from, (len, of), salt) in
        [("header of a log file", 0, FILE_HEADER, &[][..]), ("header of a frame", FILE_HEADER.0, FRAME_HEADER, salt)]
    {
        let place = from + of.end..from + of.end + 4;
        assert!(place.end <= from + len && whole[place.clone()] == crc(&whole, from, &of, salt), "{what}");
        places.each(what, of.len() - 7, |at| {
            let mut absurd = with_number(&whole, from + at);
            let right = crc(&absurd, from, &of, salt);
            absurd[place.clone()].copy_from_slice(&right);
            read(&absurd);
        })?;
    }
    places.each("length of a payload", 32, |bit| {
        let mut absurd = whole.clone();
        let at = FILE_HEADER.0 + 4;
        absurd[at..at + 4].copy_from_slice(&(1u32 << bit).to_le_bytes());
        let right = crc(&absurd, FILE_HEADER.0, &FRAME_HEADER.1, salt);
        absurd[FILE_HEADER.0 + 52..FILE_HEADER.0 + 56].copy_from_slice(&right);
        read(&absurd);
    })
}

/// A store whose log is this frame, sound by its checksums.
fn store_of(payload: &[u8], rows: u32) -> SimEnv {
    let env = SimEnv::new(1);
    let dir = Path::new("/data/wal");
    env.create_dir_all(dir).unwrap();
    let shared: Arc<dyn Env> = Arc::new(env.process());
    let options = wal::Options { file_bytes: 64 << 10, ..wal::Options::new(dir, "/data/quarantine") };
    let replayed = wal::replay(&shared, dir, 0, &mut |_| Ok(())).unwrap();
    let files = wal::Files::open(Arc::clone(&shared), options, &replayed).unwrap();
    let mut writer = wal::Writer::create(files, wal::Start::from(&replayed)).unwrap();
    writer.append(&[wal::Frame { first_seq: 0, rows, arrival: 1, parts: &[payload] }], true).unwrap();
    drop(writer);
    env.kill();
    env
}

/// The last frame of a store's log that has rows.
fn a_payload(disk: &SimSnapshot) -> (Vec<u8>, u32) {
    let shared: Arc<dyn Env> = Arc::new(SimEnv::from_snapshot(disk, 1).process());
    let mut last = None;
    wal::replay(&shared, Path::new("/data/wal"), 0, &mut |frame| {
        if frame.rows > 0 {
            last = Some((frame.payload.to_vec(), frame.rows));
        }
        Ok(())
    })
    .unwrap();
    last.unwrap()
}
