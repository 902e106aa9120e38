//! A data directory made anew from what is in object storage, on a machine that has nothing; and the proof that it can be.
//!
//! The last manifest that is whole says which segments there are and what state belongs to them. Segments that came after it are
//! taken too, by their own footers. Their files are fetched, compared with their digests, synced and named; then the catalog is
//! made; last the mark goes that says the directory is not whole. A rebuild that was cut short is begun again on the same
//! directory, and does not fetch again what is there.
//!
//! Invariants
//! * Nothing is opened on a directory until all of it is durable and was compared.
//! * The place in object storage belongs to the new directory before it is read: nobody removes anything there meanwhile.
//! * Nothing is written where there is something already.
use super::manifest::numbers;
use super::owner::{drawn, take_over};
use super::pieces::{Facts, digest, facts, read_back};
use super::restore::fetch_object;
use crate::archive::{Bucket, Head, MANIFEST_BYTES_MAX, Manifest, Owner, SEGMENTS, manifest_number, manifest_object};
use crate::catalog::{
    ArchiveRecord, ArchivedCopy, Catalog, Change, Meta, Residency, SegmentRecord, Table, read_stored,
};
use crate::engine::backup::{is_rebuilding, mark_rebuilding};
use crate::engine::recovery::{make_directories, take_lock};
use crate::env::{DirLock, Env, OpenMode, write_file_atomic};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ADMIN_KEY_HASH, LOCK, Layout, TEMPORARY, UNFINISHED_BACKUP};
use crate::limits::{FOOTER_BYTES_MAX, KIB};
use crate::planted;
use crate::segment::Footer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Bytes at the end of an object that are read first to find its footer.
const TAIL_BYTES: u64 = 64 * KIB as u64;

/// What a rebuild is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilding {
    /// Leaves the segments in the archive, where they are searched; else they are fetched.
    pub in_place: bool,
    /// Leaves the place to whom it belongs: the new directory will find it taken.
    pub leave_owner: bool,
}

/// What was rebuilt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// The target's name, as the manifest has it.
    pub target: String,
    /// When the manifest was written, nanoseconds since 1970.
    pub written: i64,
    /// Segments, and those among them that came after the manifest.
    pub segments: u64,
    /// Segments that came after the manifest.
    pub newer: u64,
    /// Records.
    pub rows: u64,
    /// Bytes of segments.
    pub bytes: u64,
    /// Whose the place was before, where it was another directory's.
    pub before: Option<String>,
    /// What was passed over, and why.
    pub troubles: Vec<String>,
}

/// How far it is: bytes that are here, and of how many.
type Told<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// A segment that is to be there.
struct Wanted {
    record: SegmentRecord,
    archived: ArchiveRecord,
    object: String,
}

/// What there is in a place.
struct Found {
    manifest: Manifest,
    wanted: Vec<Wanted>,
    newer: u64,
    troubles: Vec<String>,
}

/// Makes a data directory from what is in a place.
pub fn rebuild(
    env: &Arc<dyn Env>,
    bucket: &Arc<dyn Bucket>,
    data: &Path,
    how: Rebuilding,
    told: &mut Told<'_>,
) -> Result<RebuildReport> {
    let layout = Layout::new(data);
    // A backup is nobody's: it stays what it is.
    let is_backup = newest(&**bucket)?.0.head.is_backup;
    let takes_over = !how.leave_owner && !is_backup;
    if how.in_place && is_backup {
        let message = format!("{} is a backup, which is not searched in place: leave out --in-place", bucket.place());
        return Err(Error::invalid(message));
    }
    let _lock = begin(&**env, &layout)?;
    let id = drawn(&**env);
    let mut before = None;
    if takes_over {
        let me = Owner {
            directory: id.clone(),
            holder: drawn(&**env),
            path: data.display().to_string(),
            renewed: env.now(),
            released: true,
        };
        before = take_over(&**bucket, &me)?.0.map(|owner| owner.to_string());
    }
    let Found { manifest, mut wanted, newer, mut troubles } = look(env, &**bucket)?;
    if how.in_place {
        for Wanted { record, object, .. } in &wanted {
            if bucket.len(object)? != Some(record.bytes) {
                troubles.push(format!("{object} is missing, or not what it should be: {} records", record.rows));
            }
        }
    } else {
        fetch_all(&**env, &layout, bucket, &wanted, told)?;
    }
    for wanted in &mut wanted {
        wanted.archived.residency = if how.in_place { Residency::Away } else { Residency::Here };
    }
    let report = RebuildReport {
        target: manifest.head.target.clone(),
        written: manifest.head.written,
        segments: wanted.len() as u64,
        newer,
        rows: wanted.iter().map(|wanted| wanted.record.rows).sum(),
        bytes: wanted.iter().map(|wanted| wanted.record.bytes).sum(),
        before,
        troubles,
    };
    let Head { admin_key, .. } = &manifest.head;
    if !admin_key.is_empty() {
        let path = layout.root().join(ADMIN_KEY_HASH);
        write_file_atomic(&**env, &path, admin_key).map_err(|e| Error::io("write", &path, e))?;
    }
    if takes_over {
        let path = layout.archive_id();
        write_file_atomic(&**env, &path, format!("{id}\n").as_bytes()).map_err(|e| Error::io("write", &path, e))?;
    }
    make_catalog(env, &layout, manifest, &wanted, !is_backup)?;
    let mark = layout.root().join(UNFINISHED_BACKUP);
    let unmarked = env.remove_file(&mark).and_then(|()| env.sync_dir(layout.root()));
    unmarked.map_err(|e| Error::io("remove", &mark, e))?;
    Ok(report)
}

/// Makes the directory, locks it, and marks it as unfinished; one that a rebuild was cut short in is gone on with.
fn begin(env: &dyn Env, layout: &Layout) -> Result<Box<dyn DirLock>> {
    let root = layout.root();
    // Before the lock, so that nothing is left where something was; and behind it, since another rebuild may have begun meanwhile.
    is_begun(env, root)?;
    env.create_dir_all(root).map_err(|e| Error::io("create", root, e))?;
    let lock = take_lock(env, layout)?;
    if !is_begun(env, root)? {
        mark_rebuilding(env, &root.join(UNFINISHED_BACKUP))?;
    }
    make_directories(env, layout)?;
    // What was begun is made anew; fetched segments stay.
    let catalog = layout.catalog();
    if env.exists(&catalog).map_err(|e| Error::io("look for", &catalog, e))? {
        env.remove_file(&catalog).map_err(|e| Error::io("remove", &catalog, e))?;
    }
    Ok(lock)
}

/// Whether a rebuild was begun here and cut short; an error where there is anything else.
fn is_begun(env: &dyn Env, root: &Path) -> Result<bool> {
    let mark = root.join(UNFINISHED_BACKUP);
    let exists = |path: &Path| env.exists(path).map_err(|e| Error::io("look for", path, e));
    if exists(&mark)? && is_rebuilding(env, &mark) {
        return Ok(true);
    }
    if exists(root)? {
        let entries = env.list(root).map_err(|e| Error::io("list", root, e))?;
        // An attempt that was cut short before anything else leaves these.
        let draft = format!("{UNFINISHED_BACKUP}.{TEMPORARY}");
        if entries.iter().any(|entry| entry.name != LOCK && entry.name != draft) {
            let shown = root.display();
            let message =
                format!("{shown} is not empty, and nothing in it is touched: name a directory that is not there yet");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    Ok(false)
}

/// Finds out what is in a place.
fn look(env: &Arc<dyn Env>, bucket: &dyn Bucket) -> Result<Found> {
    let (manifest, mut troubles) = newest(bucket)?;
    let mut wanted = Vec::new();
    let target = &manifest.head.target;
    let mut records: BTreeMap<Vec<u8>, SegmentRecord> = BTreeMap::new();
    for (table, key, stored) in manifest.rows.puts().filter(|(table, ..)| *table == Table::Segments) {
        records.insert(key.to_vec(), read_stored(table, key, stored)?);
    }
    for (table, key, stored) in manifest.rows.puts().filter(|(table, ..)| *table == Table::Archive) {
        let archived: ArchiveRecord = read_stored(table, key, stored)?;
        let record =
            records.remove(key).ok_or_else(|| Error::corrupt("a manifest names a segment and does not describe it"))?;
        let object = archived.copy_in(target).map(|copy| copy.object.clone());
        let object = object.ok_or_else(|| Error::corrupt("a manifest names a segment that is elsewhere"))?;
        wanted.push(Wanted { record, archived, object });
    }
    let named: BTreeSet<String> = wanted.iter().map(|wanted| wanted.object.clone()).collect();
    let newer = newer_segments(env, bucket, &manifest.head, &named, &mut troubles)?;
    let count = newer.len() as u64;
    wanted.extend(newer);
    Ok(Found { manifest, wanted, newer: count, troubles })
}

/// The last manifest that is whole.
fn newest(bucket: &dyn Bucket) -> Result<(Manifest, Vec<String>)> {
    let mut troubles = Vec::new();
    for number in numbers(bucket)?.into_iter().rev() {
        let object = manifest_object(number);
        let read = match bucket.small(&object, MANIFEST_BYTES_MAX)? {
            Some((bytes, _)) => Manifest::decode(&bytes),
            None => continue,
        };
        match read {
            Ok(manifest) if manifest_number(&object) == Some(manifest.head.number) => return Ok((manifest, troubles)),
            Ok(_) => troubles.push(format!("{object} is another manifest")),
            Err(e) if e.kind() == ErrorKind::NewerFormat => return Err(e),
            Err(e) => troubles.push(format!("{object} is passed over: {e}")),
        }
    }
    let why = if troubles.is_empty() { String::new() } else { format!(": {}", troubles.join("; ")) };
    let message = format!("{}: there is no archive of Logyard that could be rebuilt{why}", bucket.place());
    Err(Error::new(ErrorKind::NotFound, message))
}

/// Segments that came after a manifest: it awaited them, or all of their rows were sealed after it, so that none of these is in one
/// that it names.
fn newer_segments(
    env: &Arc<dyn Env>,
    bucket: &dyn Bucket,
    head: &Head,
    named: &BTreeSet<String>,
    troubles: &mut Vec<String>,
) -> Result<Vec<Wanted>> {
    let mut listed = Vec::new();
    bucket.list(SEGMENTS, &mut |found| {
        if !named.contains(&found.name) {
            listed.push(found);
        }
        Ok(())
    })?;
    let mut found = Vec::new();
    for object in listed {
        match footer_of(bucket, &object.name, object.bytes) {
            Ok(found_there) if is_newer(&found_there.0, head) => {
                found.push((object, found_there));
            }
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                troubles.push(format!("{} is passed over: {e}", object.name));
            }
            Err(e) => return Err(e),
        }
    }
    let replaced: BTreeSet<u64> = found.iter().flat_map(|(_, (footer, _))| footer.replaces.iter().copied()).collect();
    found.retain(|(_, (footer, _))| !replaced.contains(&footer.id));
    found
        .into_iter()
        .map(|(object, footer)| described(env, bucket, head, &object.name, object.bytes, &footer))
        .collect()
}

/// Whether none of a segment's rows are in one that a manifest names.
fn is_newer(footer: &Footer, head: &Head) -> bool {
    let is_later = footer.seqs().0 >= head.sealed_seq
        || head.awaited.binary_search(&footer.id).is_ok()
        || planted::on("rebuild-takes-what-was-replaced");
    is_later && footer.rows() > 0
}

/// The footer of an object of so many bytes, and how many of these it takes.
fn footer_of(bucket: &dyn Bucket, object: &str, bytes: u64) -> Result<(Footer, u64)> {
    let mut len = TAIL_BYTES.min(bytes);
    for _again in 0..2 {
        let mut tail = vec![0; len as usize];
        bucket.read(object, bytes - len, &mut tail)?;
        let last = tail.last_chunk().ok_or_else(|| Error::corrupt("not the end of a segment"))?;
        let whole = Footer::len_from_tail(*last)? as u64 + last.len() as u64;
        if whole > bytes || whole > (FOOTER_BYTES_MAX + 64) as u64 {
            return Err(Error::corrupt("not the end of a segment"));
        }
        if whole <= len {
            let from = tail.len() - whole as usize;
            return Ok((Footer::at_end(tail.get(from..).unwrap_or_default(), bytes)?, whole));
        }
        len = whole;
    }
    Err(Error::corrupt("not the end of a segment"))
}

/// What a catalog would have of a segment that only its object tells of.
fn described(
    env: &Arc<dyn Env>,
    bucket: &dyn Bucket,
    head: &Head,
    object: &str,
    bytes: u64,
    (footer, footer_bytes): &(Footer, u64),
) -> Result<Wanted> {
    let footer_at = bytes - footer_bytes;
    let index_at = footer.shapes.offset;
    let facts = facts(bytes, (index_at, footer_at), &mut |at, piece| bucket.read(object, at, piece))?;
    let Facts { digest, crc, index_crc } = facts;
    if crate::archive::segment_object(&footer.day, &digest) != object {
        return Err(Error::corrupt(format!("{object} is not what its name says")));
    }
    let copy = ArchivedCopy { target: head.target.clone(), object: object.to_owned(), verified: env.now() };
    Ok(Wanted {
        record: crate::maintain::record_of(footer, bytes, crc),
        archived: ArchiveRecord {
            id: footer.id,
            digest,
            crc,
            bytes,
            index_at,
            footer_at,
            index_crc,
            residency: Residency::Here,
            copies: vec![copy],
        },
        object: object.to_owned(),
    })
}

fn fetch_all(
    env: &dyn Env,
    layout: &Layout,
    bucket: &Arc<dyn Bucket>,
    wanted: &[Wanted],
    told: &mut Told<'_>,
) -> Result<()> {
    let total = wanted.iter().map(|wanted| wanted.record.bytes).sum();
    let mut done = 0;
    let mut folders = BTreeSet::new();
    for Wanted { record, archived, object } in wanted {
        let path = layout.segment(&record.day, record.id);
        let folder = path.parent().unwrap_or(Path::new("."));
        env.create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        if !is_here(env, &path, archived)? {
            let draft = path.with_extension(TEMPORARY);
            let copy = crate::archive::Copy { bucket: Arc::clone(bucket), object: object.clone() };
            fetch_object(env, &copy, archived, &draft, &mut |bytes| told(done + bytes, total))?;
            env.rename(&draft, &path).map_err(|e| Error::io("name", &path, e))?;
        }
        folders.insert(folder.to_path_buf());
        done += record.bytes;
        told(done, total)?;
    }
    for folder in folders.iter().map(|folder| folder.as_path()).chain([layout.segments().as_path()]) {
        env.sync_dir(folder).map_err(|e| Error::io("sync", folder, e))?;
    }
    Ok(())
}

/// Whether a file is what it should be, as one that an earlier attempt fetched.
pub(super) fn is_here(env: &dyn Env, path: &Path, archived: &ArchiveRecord) -> Result<bool> {
    if !env.exists(path).map_err(|e| Error::io("look for", path, e))? {
        return Ok(false);
    }
    let file = env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
    if file.len().map_err(|e| Error::io("measure", path, e))? != archived.bytes {
        return Ok(false);
    }
    let found =
        digest(archived.bytes, &mut |at, piece| file.read_exact_at(piece, at).map_err(|e| Error::io("read", path, e)))?;
    Ok(found == archived.digest)
}

fn make_catalog(
    env: &Arc<dyn Env>,
    layout: &Layout,
    mut manifest: Manifest,
    wanted: &[Wanted],
    with_copies: bool,
) -> Result<()> {
    let mut change = Change::new();
    let is_segments = |table| matches!(table, Table::Segments | Table::Archive);
    let meta = manifest.rows.puts().find_map(|(table, key, stored)| {
        (table == Table::Meta && key == Meta::KEY).then(|| read_stored::<Meta>(table, key, stored))
    });
    let meta = meta.transpose()?.unwrap_or_else(|| Meta::new(env.random()));
    change.then(manifest.rows.keep_puts(|table, _| !is_segments(table)));
    let above = wanted.iter().map(|wanted| wanted.record.last_seq + 1).max().unwrap_or(0);
    let sealed_seq = meta.sealed_seq.max(above);
    change.put_meta(&Meta {
        sealed_seq,
        seq_reserved: meta.seq_reserved.max(sealed_seq),
        clean_shutdown: false,
        format: crate::layout::FORMAT_VERSION,
        ..meta
    })?;
    for Wanted { record, archived, .. } in wanted {
        change.put_segment(record)?;
        if with_copies {
            change.put_archived(archived)?;
        }
    }
    let catalog = Catalog::open(Arc::clone(env), &layout.catalog())?;
    catalog.catalog.commit(&change)?;
    env.sync_dir(layout.root()).map_err(|e| Error::io("sync", layout.root(), e))
}

/// What was looked at in a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The target's name, as the manifest has it.
    pub target: String,
    /// When the manifest was written, nanoseconds since 1970.
    pub written: i64,
    /// Segments that are whole, and such among them as came after the manifest.
    pub segments: u64,
    /// Records in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Services with a configuration, keys, and effects in the manifest, among them checkpoints and dedupe keys.
    pub state: BTreeMap<String, u64>,
    /// What is missing or damaged.
    pub damaged: Vec<String>,
}

/// Reads everything that is in a place, and says whether a directory could be rebuilt of it. With `data`, an engine's directory
/// that nobody has open, also whether that has all of it.
pub fn verify(
    env: &Arc<dyn Env>,
    bucket: &dyn Bucket,
    data: Option<&Path>,
    told: &mut Told<'_>,
) -> Result<VerifyReport> {
    let Found { manifest, wanted, troubles, .. } = look(env, bucket)?;
    let mut report = VerifyReport {
        target: manifest.head.target.clone(),
        written: manifest.head.written,
        damaged: troubles,
        ..VerifyReport::default()
    };
    for (table, ..) in manifest.rows.puts() {
        *report.state.entry(table.name().to_owned()).or_default() += 1;
    }
    let total = wanted.iter().map(|wanted| wanted.record.bytes).sum();
    let mut done = 0;
    for Wanted { record, archived, object } in &wanted {
        told(done, total)?;
        done += record.bytes;
        if read_back(bucket, object, archived.bytes)? == Some(archived.digest) {
            report.segments += 1;
            report.rows += record.rows;
            report.bytes += record.bytes;
        } else {
            report.damaged.push(format!("{object} is missing, or not what its name says: {} records", record.rows));
        }
    }
    told(total, total)?;
    if let Some(data) = data {
        compare(env, &Layout::new(data), &manifest, &wanted, &mut report)?;
    }
    Ok(report)
}

/// Names what a directory does not have of what is in a place.
fn compare(
    env: &Arc<dyn Env>,
    layout: &Layout,
    manifest: &Manifest,
    wanted: &[Wanted],
    report: &mut VerifyReport,
) -> Result<()> {
    let _lock = take_lock(&**env, layout)?;
    let path = layout.catalog();
    if !env.exists(&path).map_err(|e| Error::io("look for", &path, e))? {
        return Err(Error::invalid(format!("{} is no data directory: there is no catalog", layout.root().display())));
    }
    let catalog = Catalog::open(Arc::clone(env), &path)?.catalog;
    let state = catalog.load()?;
    let live: BTreeMap<u64, &SegmentRecord> = state.segments.iter().map(|record| (record.id, record)).collect();
    let known: BTreeMap<u64, &ArchiveRecord> = state.archived.iter().map(|record| (record.id, record)).collect();
    for Wanted { record, archived, .. } in wanted {
        let is_there = match (live.get(&record.id), known.get(&record.id)) {
            (Some(_), Some(known)) if known.is_away() => known.digest == archived.digest,
            (Some(live), _) => is_here(&**env, &layout.segment(&live.day, live.id), archived)?,
            (None, _) => false,
        };
        if !is_there {
            report
                .damaged
                .push(format!("the directory does not have segment {:016x}: {} records", record.id, record.rows));
        }
    }
    let whole = catalog.whole()?;
    let here: BTreeSet<(&str, &[u8])> = whole.puts().map(|(table, key, _)| (table.name(), key)).collect();
    let is_state = |table| !matches!(table, Table::Segments | Table::Archive | Table::Meta);
    for (table, key, _) in manifest.rows.puts().filter(|(table, ..)| is_state(*table)) {
        if !here.contains(&(table.name(), key)) {
            let key = String::from_utf8_lossy(key);
            report.damaged.push(format!("the directory does not have {} {key:?}", table.name()));
        }
    }
    Ok(())
}
