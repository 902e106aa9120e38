//! Bits that flip anywhere in the file are harmless or noticed.
use super::*;

/// Opens a damaged file; the result is either what it was or a report.
fn judge(path: &Path, bytes: &[u8], want: &str) -> std::result::Result<&'static str, String> {
    fs::write(path, bytes).unwrap();
    let catalog = match open_at(path) {
        Ok(catalog) => catalog,
        Err(_) => return Ok("refused"),
    };
    match catalog.load() {
        Err(_) => Ok("refused"),
        Ok(state) if !state.damaged.is_empty() => Ok("reported"),
        Ok(state) if contents(&state) != want => Err(contents(&state)),
        Ok(_) => {
            // A change on top of unseen damage must not do harm either.
            let mut change = Change::new();
            change.put(Table::Jobs, b"after", &1u8).unwrap();
            if catalog.commit(&change).is_err() {
                return Ok("refused");
            }
            drop(catalog);
            match open_at(path).and_then(|catalog| catalog.load()) {
                Ok(state) if state.damaged.is_empty() && contents(&state) == want => Ok("whole"),
                other => Err(format!("after a change: {other:?}")),
            }
        }
    }
}

/// A folder in memory where there is one: thousands of syncs are slow, and nothing here depends on them.
fn memory_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// The bytes of a filled catalog, closed or as a crash leaves it, and what it says.
fn filled(crashed: bool) -> (Vec<u8>, String) {
    let (_dir, path, catalog) = fresh();
    fill(&catalog, 30);
    catalog.commit(&Change::new()).unwrap();
    let want = contents(&catalog.load().unwrap());
    if crashed {
        let bytes = fs::read(&path).unwrap();
        std::mem::forget(catalog);
        return (bytes, want);
    }
    drop(catalog);
    (fs::read(&path).unwrap(), want)
}

fn flip_each(bits: impl Iterator<Item = usize>, crashed: bool) {
    let dir = memory_dir();
    let target = dir.path().join("flipped.redb");
    let (mut bytes, want) = filled(crashed);
    let mut counts = std::collections::BTreeMap::new();
    for bit in bits.take_while(|bit| bit / 8 < 1 << 20) {
        let (at, page) = (bit / 8, bit / 8 / 4096 * 4096);
        // Pages that were never written hold nothing that could be lost.
        if bytes[page..bytes.len().min(page + 4096)].iter().all(|b| *b == 0) {
            continue;
        }
        bytes[at] ^= 1 << (bit % 8);
        match judge(&target, &bytes, &want) {
            Ok(outcome) => *counts.entry(outcome).or_insert(0) += 1,
            Err(found) => panic!("a flip at byte {at} bit {} went unnoticed: {found}", bit % 8),
        }
        bytes[at] ^= 1 << (bit % 8);
    }
    println!("crashed {crashed}: {counts:?}");
}

/// One bit in each `step` bytes.
fn every(step: usize, first: usize) -> impl Iterator<Item = usize> {
    (first..).step_by(step).map(|at| at * 8 + at % 8)
}

#[test]
fn a_flip_anywhere_is_harmless_or_noticed() {
    flip_each(every(97, 0), false);
    flip_each(every(97, 48), true);
}

/// The bit that names the commit that counts, judged only after a clean close, is the exception after a crash.
#[test]
#[ignore = "takes minutes"]
fn a_flip_in_each_bit_of_the_header_and_each_byte_of_a_page_is_harmless_or_noticed() {
    flip_each(0..320 * 8, false);
    flip_each((0..320 * 8).filter(|bit| *bit != 9 * 8), true);
    flip_each(every(5, 320), false);
    flip_each(every(5, 320), true);
}

#[test]
fn a_new_file_has_the_geometry_that_is_checked() {
    let (_dir, path, _catalog) = fresh();
    assert_eq!(fs::read(path).unwrap()[10..24], super::backend::GEOMETRY);
}

#[test]
fn a_header_that_names_the_older_commit_is_refused() {
    let (_dir, path, catalog) = fresh();
    fill(&catalog, 1);
    drop(catalog);
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = open_at(&path).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the header names commit"), "{error}");
}
