//! The catalog, its rows and the copies of them, with a length that is far too large.
use super::{ABSURD, ENVELOPE_BYTES, Places, config, key, read_through, with_number};
use logyard_storage::catalog::{Catalog, Change, Table};
use logyard_storage::codec;
use logyard_storage::env::Env;
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CATALOG: &str = "/data/catalog.redb";
/// redb's own header, tried byte by byte; of its pages every so many bytes.
const HEADER_BYTES: usize = 320;
const PAGES_STRIDE: usize = 61;

/// A value that is these bytes.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut tuple = out.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

fn stored(value: &impl Serialize) -> Vec<u8> {
    codec::seal(*b"TEST", 1, value).unwrap().split_off(ENVELOPE_BYTES)
}

fn catalog_of(env: &SimEnv) -> Catalog {
    let shared: Arc<dyn Env> = Arc::new(env.process());
    Catalog::open(shared, &PathBuf::from(CATALOG)).unwrap().catalog
}

/// In a row of each table that is read at a start, with its checksums.
pub(super) fn in_rows(disk: &SimSnapshot, places: &Places) -> Result<(), String> {
    let state = catalog_of(&SimEnv::from_snapshot(disk, 1)).load().unwrap();
    let segment = state.segments.first().unwrap();
    let (deletion, value) = state.deletions.first().unwrap();
    let (effect, of_effect) = state.effects.first().unwrap();
    let rows: [(Table, &[u8], Vec<u8>); 6] = [
        (Table::Meta, b"meta", stored(&state.meta.unwrap())),
        (Table::Services, b"web", stored(&config())),
        (Table::Keys, b"k-absurd", stored(&key())),
        (Table::Segments, &segment.id.to_be_bytes(), stored(segment)),
        (Table::Deletions, deletion, stored(value)),
        (Table::Effects, effect, stored(of_effect)),
    ];
    for (table, key, value) in rows {
        places.some(table.name(), value.len() - 7, |at| {
            let env = SimEnv::from_snapshot(disk, 1);
            let mut change = Change::new();
            change.put(table, key, &Raw(&with_number(&value, at))).unwrap();
            catalog_of(&env).commit(&change).unwrap();
            env.kill();
            read_through(&env);
        })?;
    }
    Ok(())
}

/// In the file itself, whose checksums are redb's own.
pub(super) fn in_the_file(disk: &SimSnapshot, places: &Places) -> Result<(), String> {
    let whole = SimEnv::from_snapshot(disk, 1).read_raw(Path::new(CATALOG)).unwrap();
    let read = |at: usize| {
        let env = SimEnv::from_snapshot(disk, 1);
        env.write_raw(Path::new(CATALOG), &with_number(&whole, at)).unwrap();
        read_through(&env);
    };
    places.some("header of the catalog", HEADER_BYTES, read)?;
    let pages: Vec<usize> = (HEADER_BYTES..whole.len() - 7)
        .step_by(PAGES_STRIDE)
        .filter(|at| whole[*at..*at + 8].iter().any(|byte| *byte != 0))
        .collect();
    places.some("pages of the catalog", pages.len(), |number| read(pages[number]))
}

/// In copies, which count where there is no catalog: each number in their text, and each place of a deletion's value.
pub(super) fn in_copies(disk: &SimSnapshot, places: &Places) -> Result<(), String> {
    let files = SimEnv::from_snapshot(disk, 1).files();
    let copies: Vec<PathBuf> =
        files.into_iter().map(|(path, _)| path).filter(|path| path.extension().is_some_and(|s| s == "conf")).collect();
    assert_eq!(copies.len(), 3, "{copies:?}");
    for path in copies {
        let whole = SimEnv::from_snapshot(disk, 1).read_raw(&path).unwrap();
        let whole = String::from_utf8(whole).unwrap();
        let (text, crc) = whole.split_once("# crc32 ").unwrap();
        assert_eq!(crc.trim_end(), crc_of(text), "{}", path.display());
        let absurd = absurd_copies(text);
        places.some(&path.display().to_string(), absurd.len(), |number| {
            let env = SimEnv::from_snapshot(disk, 1);
            env.remove_file(Path::new(CATALOG)).unwrap();
            let text = &absurd[number];
            env.write_raw(&path, format!("{text}# crc32 {}\n", crc_of(text)).as_bytes()).unwrap();
            read_through(&env);
        })?;
    }
    Ok(())
}

fn crc_of(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

/// The text with the length in place of each of its numbers, and over each eight bytes of what is in hex.
fn absurd_copies(text: &str) -> Vec<String> {
    let mut absurd = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(" = ") else { continue };
        let with = |value: String| text.replace(line, &format!("{name} = {value}"));
        absurd.push(with(ABSURD.to_string()));
        let Some(bytes) = unhex(value.trim_matches('"')) else { continue };
        for at in ENVELOPE_BYTES..bytes.len().saturating_sub(7) {
            let mut bytes = with_number(&bytes, at);
            let crc = envelope_crc(&bytes);
            bytes[ENVELOPE_BYTES - 4..ENVELOPE_BYTES].copy_from_slice(&crc);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            absurd.push(with(if value.starts_with('"') { format!("\"{hex}\"") } else { hex }));
        }
    }
    absurd
}

fn envelope_crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..ENVELOPE_BYTES - 4]);
    crc.update(&bytes[ENVELOPE_BYTES..]);
    crc.finalize().to_le_bytes()
}

/// The bytes of an envelope in hex.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.filter(|bytes| bytes.starts_with(b"LY") && bytes.len() > ENVELOPE_BYTES)
}
