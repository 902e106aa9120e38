//! The catalog over the real file system: round trips, atomicity, damage of every kind, migration, rebuilding aids.
mod copies;
mod failing;
mod flips;

use super::migrate::Migration;
use super::tables::seal_row;
use super::*;
use crate::env::RealEnv;
use crate::layout::{CATALOG, Layout};
use crate::privacy::Privacy;
use std::fs;
use tempfile::TempDir;

fn env() -> Arc<dyn Env> {
    Arc::new(RealEnv::new())
}

fn open_at(path: &Path) -> Result<Catalog> {
    Catalog::open(env(), path).map(|opened| opened.catalog)
}

/// A folder with a fresh catalog.
fn fresh() -> (TempDir, PathBuf, Catalog) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(CATALOG);
    let catalog = open_at(&path).unwrap();
    (dir, path, catalog)
}

fn segment(id: u64) -> SegmentRecord {
    SegmentRecord {
        id,
        day: "2026-03-01".into(),
        state: SegmentState::Live,
        class: RetentionClass { ttl_days: Some(30), local_days: None, archive: true },
        rows: 1_000 + id,
        bytes: 77_000,
        first_seq: id * 10,
        last_seq: id * 10 + 9,
        time_min: -5,
        time_max: 1_780_000_000_000_000_000,
        expire_from: 1_780_000_000_000_000_001,
        crc: 0xDEAD_BEEF,
        created: 3,
        services: SegmentServices::new(vec![ServiceCount { name: "web".into(), rows: 9 }]),
    }
}

fn config(days: i32) -> ServiceConfig {
    ServiceConfig {
        ttl_days: days,
        local_days: Some(2),
        retention_policy: Some("quoted \"and\"\n\u{1}\\ päth".into()),
        size_budget: Some(u64::MAX),
        updated_at: i64::MIN,
        privacy: Privacy {
            mask_fields: vec!["a".into(), "b.\"c".into()],
            mask_patterns: vec![r"\d\\".into()],
            ..Privacy::default()
        },
        ..ServiceConfig::default()
    }
}

fn fill(catalog: &Catalog, segments: u64) {
    let mut change = Change::new();
    for id in 0..segments {
        change.put_segment(&segment(id)).unwrap();
    }
    change.put_service("web", &config(7)).unwrap();
    change
        .put_effect(b"dedupe/1", &EffectRow { value: vec![0, 255], seq: 4, expires: Some(9), shadows: false })
        .unwrap();
    change.put(Table::Deletions, b"d1", &b"opaque".to_vec()).unwrap();
    change.put(Table::Keys, b"k1", &("hash".to_string(), 1u8)).unwrap();
    catalog.commit(&change).unwrap();
}

/// Puts stored bytes without telling the digest, as damage would.
fn raw_put(catalog: &Catalog, table: &str, key: &[u8], stored: &[u8]) {
    let database = catalog.database.read().unwrap();
    let txn = database.as_ref().unwrap().begin_write().unwrap();
    txn.open_table(database::table(table)).unwrap().insert(key, stored).unwrap();
    txn.commit().unwrap();
}

fn raw_get(catalog: &Catalog, table: Table, key: &[u8]) -> Vec<u8> {
    let rows = catalog.stored_rows(table).unwrap().rows;
    rows.into_iter().find(|(k, _)| k == key).unwrap().1
}

/// All that a state says, to compare.
fn contents(state: &State) -> String {
    format!("{:?} {:?} {:?} {:?} {:?}", state.meta, state.segments, state.services, state.effects, state.deletions)
}

#[test]
fn what_is_committed_is_there_after_reopening() {
    let (_dir, path, catalog) = fresh();
    fill(&catalog, 3);
    let mut meta = catalog.load().unwrap().meta.unwrap();
    assert!(meta.epoch < 1 << 24 && meta.format == FORMAT_VERSION);
    (meta.seq_reserved, meta.clean_shutdown) = (1 << 40, true);
    let mut change = Change::new();
    change.put_meta(&meta).unwrap().remove_segment(1).remove(Table::Jobs, b"none");
    catalog.commit(&change).unwrap();
    drop(catalog);

    let opened = Catalog::open(env(), &path).unwrap();
    assert!(!opened.created && opened.migrated_from.is_none());
    let state = opened.catalog.load().unwrap();
    assert!(state.damaged.is_empty(), "{:?}", state.damaged);
    assert_eq!(state.meta, Some(meta));
    assert_eq!(state.segments, [segment(0), segment(2)]);
    assert_eq!(state.services, [("web".to_string(), config(7))]);
    assert_eq!(state.effects[0].1.value, [0, 255]);
    assert_eq!(state.deletions, [(b"d1".to_vec(), b"opaque".to_vec())]);
    assert_eq!(opened.catalog.get::<(String, u8)>(Table::Keys, b"k1").unwrap(), Some(("hash".to_string(), 1)));
    assert_eq!(opened.catalog.get::<u8>(Table::Keys, b"k2").unwrap(), None);
}

#[test]
fn a_segment_with_too_many_services_may_hold_any() {
    let counts = |n: usize| (0..n).map(|i| ServiceCount { name: format!("s{i}"), rows: 1 }).collect();
    assert!(!SegmentServices::new(counts(SEGMENT_SERVICES_MAX)).may_hold("other"));
    assert!(SegmentServices::new(counts(SEGMENT_SERVICES_MAX + 1)).may_hold("other"));
}

#[test]
fn a_change_that_cannot_be_made_leaves_nothing_behind() {
    let (_dir, _path, catalog) = fresh();
    fill(&catalog, 1);
    let mut change = Change::new();
    assert_eq!(change.put(Table::Jobs, b"", &1u8).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(change.put(Table::Jobs, b"big", &vec![0u8; 17 * MIB]).is_err());
    assert!(change.is_empty());
    // A digest that cannot be believed stops the change of its table, after the first table was written.
    raw_put(&catalog, CORE, b"services", b"nonsense");
    change.put_segment(&segment(9)).unwrap().put_service("api", &config(1)).unwrap();
    assert_eq!(catalog.commit(&change).unwrap_err().kind(), ErrorKind::Corrupt);
    let state = catalog.load().unwrap();
    assert_eq!((state.segments.len(), state.services.len()), (1, 1));
    assert_eq!(state.damaged.len(), 1);
    // A repair says so.
    catalog.commit(change.accept(Table::Services)).unwrap();
    let state = catalog.load().unwrap();
    assert_eq!((state.segments.len(), state.services.len(), state.damaged.len()), (2, 2, 0));
}

#[test]
fn a_value_under_another_key_or_table_is_damaged() {
    let (_dir, _path, catalog) = fresh();
    fill(&catalog, 2);
    let stored = raw_get(&catalog, Table::Segments, &SegmentRecord::key(0));
    raw_put(&catalog, "segments", &SegmentRecord::key(1), &stored);
    raw_put(&catalog, "jobs", &SegmentRecord::key(0), &stored);
    let scan = catalog.scan::<SegmentRecord>(Table::Segments).unwrap();
    assert_eq!(scan.rows.len(), 1);
    assert_eq!(scan.damaged[0].0, SegmentRecord::key(1));
    assert!(scan.whole.is_some());
    let error = catalog.get::<SegmentRecord>(Table::Jobs, &SegmentRecord::key(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("jobs row"), "{error}");
    // Sealed for its key, but about another segment.
    let mut change = Change::new();
    change.put(Table::Segments, &SegmentRecord::key(1), &segment(0)).unwrap().accept(Table::Segments);
    catalog.commit(&change).unwrap();
    let state = catalog.load().unwrap();
    assert_eq!(state.segments, [segment(0)]);
    assert_eq!(state.damaged.len(), 2, "{:?}", state.damaged);
}

#[test]
fn every_flipped_bit_of_a_stored_value_is_found() {
    let stored = seal_row("services", b"web", &config(3)).unwrap();
    assert_eq!(open_row::<ServiceConfig>("services", b"web", &stored).unwrap(), config(3));
    for at in 0..stored.len() * 8 {
        let mut bad = stored.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert!(open_row::<ServiceConfig>("services", b"web", &bad).is_err(), "bit {at}");
    }
    let (_dir, _path, catalog) = fresh();
    fill(&catalog, 1);
    let mut bad = raw_get(&catalog, Table::Services, b"web");
    bad[20] ^= 1;
    raw_put(&catalog, "services", b"web", &bad);
    let state = catalog.load().unwrap();
    assert!(state.services.is_empty());
    let keys: Vec<_> = state.damaged.iter().map(|damage| (damage.table, damage.key.clone())).collect();
    assert_eq!(keys, [(Table::Services, None), (Table::Services, Some(b"web".to_vec()))]);
}

#[test]
fn missing_and_outdated_rows_show() {
    let (_dir, _path, catalog) = fresh();
    fill(&catalog, 2);
    let old = raw_get(&catalog, Table::Services, b"web");
    let mut change = Change::new();
    change.put_service("web", &config(8)).unwrap();
    catalog.commit(&change).unwrap();
    raw_put(&catalog, "services", b"web", &old);
    assert!(catalog.scan::<ServiceConfig>(Table::Services).unwrap().whole.is_some());
    let database = catalog.database.read().unwrap();
    let txn = database.as_ref().unwrap().begin_write().unwrap();
    txn.open_table(database::table("keys")).unwrap().remove(b"k1".as_slice()).unwrap();
    txn.commit().unwrap();
    drop(database);
    let damaged = catalog.load().unwrap().damaged;
    assert_eq!(damaged.iter().map(|d| d.table).collect::<Vec<_>>(), [Table::Services, Table::Keys]);
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let (_dir, path, catalog) = fresh();
    catalog.apply(&Change::new(), Some(FORMAT_VERSION + 6)).unwrap();
    drop(catalog);
    let before = fs::read(&path).unwrap();
    let error = open_at(&path).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    let message = error.to_string();
    let reader = format!("up to format {FORMAT_VERSION}. Start version {} or later", env!("CARGO_PKG_VERSION"));
    let newer = format!("format {}, written by a newer version", FORMAT_VERSION + 6);
    assert!(message.contains(&newer) && message.contains(&reader), "{message}");
    assert!(fs::read(&path).unwrap() == before, "the file of another version was changed");
}

fn rename_service(catalog: &Catalog, change: &mut Change) -> Result<()> {
    for (key, config) in catalog.scan::<ServiceConfig>(Table::Services)?.rows {
        let name = [b"v2-", key.as_slice()].concat();
        change.remove(Table::Services, &key).put(Table::Services, &name, &config)?;
    }
    Ok(())
}

fn refuse(_: &Catalog, _: &mut Change) -> Result<()> {
    Err(Error::invalid("not today"))
}

#[test]
fn a_migration_copies_first_and_is_atomic() {
    let (_dir, path, catalog) = fresh();
    fill(&catalog, 2);
    drop(catalog);
    let (now, next) = (FORMAT_VERSION, FORMAT_VERSION + 1);
    let open = |steps: &[Migration]| Catalog::open_as(env(), &path, Options::default(), next, steps);
    let backup = path.with_file_name(format!("catalog.redb.v{now}.bak"));

    assert!(open(&[]).err().unwrap().to_string().contains(&format!("no step leads on from format {now}")));
    assert!(!backup.exists());
    assert!(open(&[Migration { from: now, plan: refuse }]).err().unwrap().to_string().contains("not today"));
    assert!(backup.exists());
    assert_eq!(open_at(&path).unwrap().load().unwrap().services[0].0, "web");

    let opened = open(&[Migration { from: now, plan: rename_service }]).unwrap();
    assert_eq!(opened.migrated_from, Some(now));
    assert_eq!(opened.catalog.load().unwrap().services[0].0, "v2-web");
    drop(opened);
    assert_eq!(open_at(&path).err().unwrap().kind(), ErrorKind::NewerFormat);
    let old = open_at(&backup).unwrap().load().unwrap();
    assert!(old.damaged.is_empty() && old.services[0].0 == "web" && old.segments.len() == 2);
}

#[test]
fn an_unusable_catalog_is_set_aside_and_made_anew() {
    let dir = TempDir::new().unwrap();
    let layout = Layout::new(dir.path());
    let env = env();
    assert_eq!(Catalog::set_aside(&*env, &layout).unwrap(), None);
    for junk in [&b""[..], b"not a redb file", &[0; 10_000]] {
        fs::write(layout.catalog(), junk).unwrap();
        assert_eq!(open_at(&layout.catalog()).err().unwrap().kind(), ErrorKind::Corrupt);
        let aside = Catalog::set_aside(&*env, &layout).unwrap().unwrap();
        assert_eq!(fs::read(aside).unwrap(), junk);
        // What a crash in the middle of making one leaves does not matter.
        fs::write(database::beside(&layout.catalog(), "tmp"), b"half").unwrap();
        assert!(Catalog::open(Arc::clone(&env), &layout.catalog()).unwrap().created);
        fs::remove_file(layout.catalog()).unwrap();
    }
    assert_eq!(fs::read_dir(layout.quarantine()).unwrap().count(), 3);
}

#[test]
fn a_copy_of_an_open_catalog_opens() {
    let (dir, path, catalog) = fresh();
    fill(&catalog, 40);
    let want = contents(&catalog.load().unwrap());
    let copy = dir.path().join("copy.redb");
    fs::copy(&path, &copy).unwrap();
    std::mem::forget(catalog);
    for _ in 0..3 {
        let copied = open_at(&copy).unwrap();
        let state = copied.load().unwrap();
        assert!(state.damaged.is_empty());
        assert_eq!(contents(&state), want);
        fs::copy(&copy, &path).unwrap();
        std::mem::forget(copied);
        fs::copy(&path, &copy).unwrap();
    }
}
