//! A copy of everything there is at one moment, as objects that a directory can be rebuilt from.
//!
//! What is hot is sealed; then, before anything else is sealed or removed, the state is taken and the segments are taken hold of.
//! A backup in a place that has one of the same directory sends only what is not there.
//!
//! Invariants
//! * The manifest comes last: without it there is no backup.
//! * A place that has something of another directory is left as it is.
use super::manifest::numbers;
use super::pieces::{facts, read_back};
use super::{Shared, locked};
use crate::archive::{Bucket, Head, MANIFEST_BYTES_MAX, Manifest, Put, manifest_object, segment_object};
use crate::catalog::{ArchiveRecord, ArchivedCopy, Change, Table};
use crate::engine::LiveSegment;
use crate::engine::backup::{BackedUp, BackupProgress, BackupStage, Teller};
use crate::env::read_file;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ADMIN_KEY_HASH, FORMAT_VERSION};

/// What a backup's target is called in its manifest.
const TARGET: &str = "backup";

impl Shared {
    /// Copies everything that was appended before into a place.
    pub(in crate::engine) fn back_up_to(&self, bucket: &dyn Bucket, told: &mut Teller<'_>) -> Result<BackedUp> {
        let directory = self.directory_id()?;
        let number = self.next_backup(bucket, &directory)?;
        let (segments, mut manifest) = self.cut_for_backup(directory, number)?;
        let total = segments.iter().map(|live| live.record.bytes).sum();
        let mut report = BackedUp::default();
        let mut done = 0;
        for live in &segments {
            self.is_closing()?;
            told(BackupProgress { stage: BackupStage::Copying, done, total })?;
            done += live.record.bytes;
            match self.copy_to(bucket, live)? {
                Ok(archived) => {
                    manifest.rows.put_segment(&live.record)?.put_archived(&archived)?;
                    manifest.head.segments += 1;
                    manifest.head.bytes += live.record.bytes;
                    manifest.head.covered = manifest.head.covered.max(live.record.last_seq + 1);
                    report.files += 1;
                    report.bytes += live.record.bytes;
                }
                Err(e) => report.damaged.push(format!("a segment is left out: {e}")),
            }
        }
        for record in &self.unread {
            report.damaged.push(format!("segment {:016x} cannot be read and is left out", record.id));
        }
        let bytes = manifest.encode()?;
        let object = manifest_object(number);
        put_whole(bucket, &object, &bytes)?;
        report.files += 1;
        report.bytes += bytes.len() as u64;
        told(BackupProgress { stage: BackupStage::Copying, done: total, total })?;
        Ok(report)
    }

    /// The number of the next backup in a place.
    fn next_backup(&self, bucket: &dyn Bucket, directory: &str) -> Result<u64> {
        let Some(last) = numbers(bucket)?.pop() else { return Ok(1) };
        let found = bucket.small(&manifest_object(last), MANIFEST_BYTES_MAX)?;
        let is_own = found.is_some_and(|(bytes, _)| {
            Manifest::decode(&bytes).is_ok_and(|found| found.head.directory == directory && found.head.is_backup)
        });
        if is_own {
            return Ok(last + 1);
        }
        let message =
            format!("{} has something else in it, and nothing there is touched: name another folder", bucket.place());
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Seals everything, and takes the state and the segments of that moment.
    fn cut_for_backup(&self, directory: String, number: u64) -> Result<(Vec<LiveSegment>, Manifest)> {
        self.seal_all_and(|| {
            let mut change = Change::new();
            self.put_clock(&mut change)?;
            // It also takes back what a commit in doubt may have left.
            self.commit_catalog(&change, &Change::new())?;
            let sealed_seq = locked(&self.meta).sealed_seq;
            let head = Head {
                format: FORMAT_VERSION,
                number,
                target: TARGET.into(),
                is_backup: true,
                directory,
                written: self.env.now(),
                sealed_seq,
                cut: sealed_seq,
                admin_key: self.admin_key_hash(),
                ..Head::default()
            };
            let mut rows = self.catalog.whole()?;
            let is_own = |table| matches!(table, Table::Segments | Table::Archive | Table::Condemned);
            rows.keep_puts(|table, _| !is_own(table));
            Ok((self.segments(), Manifest { head, rows }))
        })
    }

    /// Copies one segment. What is inside is why it cannot be read.
    fn copy_to(&self, bucket: &dyn Bucket, live: &LiveSegment) -> Result<Result<ArchiveRecord>> {
        let (source, segment) = (live.segment.source(), &live.segment);
        let (index_at, footer_at) = segment.index_range();
        let read = facts(segment.bytes, (index_at, footer_at), &mut |at, piece| source.read(at, piece).map(drop));
        let facts = match read {
            Ok(facts) if facts.crc == live.record.crc || live.record.crc == 0 => facts,
            Ok(_) => return Ok(Err(Error::corrupt(format!("{} is not what was written", segment.path().display())))),
            Err(e) => return Ok(Err(e)),
        };
        let object = segment_object(&live.record.day, &facts.digest);
        for _again in 0..3 {
            let put = bucket.put_new(&object, segment.bytes, &|at, buf| source.read(at, buf).map(drop))?;
            if read_back(bucket, &object, segment.bytes)? == Some(facts.digest) {
                return Ok(Ok(ArchiveRecord {
                    id: live.record.id,
                    digest: facts.digest,
                    crc: facts.crc,
                    bytes: segment.bytes,
                    index_at,
                    footer_at,
                    index_crc: facts.index_crc,
                    copies: vec![ArchivedCopy { target: TARGET.into(), object, verified: self.env.now() }],
                    ..ArchiveRecord::default()
                }));
            }
            if put == Put::Made {
                bucket.remove(&object)?;
            }
        }
        let message = format!("{}/{object} does not come back as it was sent", bucket.place());
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// The hash of the admin key, as it is kept beside the catalog; nothing where there is none.
    pub(super) fn admin_key_hash(&self) -> Vec<u8> {
        const BYTES_MAX: u64 = 4_096;
        read_file(&*self.env, &self.layout.root().join(ADMIN_KEY_HASH), BYTES_MAX).unwrap_or_default()
    }
}

/// Makes an object of bytes in memory, and compares what comes back.
fn put_whole(bucket: &dyn Bucket, object: &str, bytes: &[u8]) -> Result<()> {
    let piece = |at: u64, buf: &mut [u8]| {
        let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..at.checked_add(buf.len())?));
        buf.copy_from_slice(from.ok_or_else(|| Error::bug("an object is shorter than it is"))?);
        Ok(())
    };
    bucket.put_new(object, bytes.len() as u64, &piece)?;
    let back = bucket.small(object, MANIFEST_BYTES_MAX)?;
    if back.is_some_and(|(back, _)| back == bytes) {
        return Ok(());
    }
    let message = format!("{}/{object} does not come back as it was sent", bucket.place());
    Err(Error::new(ErrorKind::Unavailable, message))
}
