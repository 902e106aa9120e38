//! A machine that refuses: failed syncs and writes, full disks, names that are not durable.
use super::*;
use crate::env::{DirEntry, DirLock, File, OpenMode, Space};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The machine, until it is told to refuse.
#[derive(Default)]
struct Refusals {
    syncs: AtomicBool,
    writes: AtomicBool,
    disk_full: AtomicBool,
    dir_syncs: AtomicBool,
    /// Syncs that were tried.
    tried: AtomicUsize,
}

struct RefusingEnv {
    real: RealEnv,
    refusals: Arc<Refusals>,
}

struct RefusingFile {
    real: Arc<dyn File>,
    refusals: Arc<Refusals>,
}

fn refused(flag: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
    if flag.load(Ordering::Relaxed) { Err(kind.into()) } else { Ok(()) }
}

impl File for RefusingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let failure = refused(&self.refusals.disk_full, io::ErrorKind::StorageFull)
            .and_then(|()| refused(&self.refusals.writes, io::ErrorKind::Other));
        if let Err(e) = failure {
            // As a real disk may: some of it is written before it fails.
            self.real.write_all_at(&buf[..buf.len() / 2], offset)?;
            return Err(e);
        }
        self.real.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.refusals.tried.fetch_add(1, Ordering::Relaxed);
        refused(&self.refusals.syncs, io::ErrorKind::Other)?;
        self.real.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.real.sync_all()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.real.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }
}

impl Env for RefusingEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RefusingFile { real: self.real.open(path, mode)?, refusals: self.refusals.clone() }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.real.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        refused(&self.refusals.dir_syncs, io::ErrorKind::Other)?;
        self.real.sync_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.real.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.real.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.real.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.real.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.real.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.real.space(path)
    }
    fn now(&self) -> i64 {
        self.real.now()
    }
    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }
    fn identity(&self, path: &Path) -> Option<String> {
        self.real.identity(path)
    }
    fn random(&self) -> u64 {
        self.real.random()
    }
}

fn refusing_log(file_bytes: usize) -> (Log, Arc<Refusals>) {
    let refusals = Arc::new(Refusals::default());
    let env = RefusingEnv { real: RealEnv::new(), refusals: refusals.clone() };
    (Log::with_env(file_bytes, Arc::new(env)), refusals)
}

#[test]
fn a_failed_sync_or_write_poisons_for_good() {
    for fail_sync in [true, false] {
        let (log, refusals) = refusing_log(4096);
        let (mut writer, files, _) = log.open();
        append_each(&mut writer, &tens(2, 100));
        assert_eq!(files.failure(), None);
        let flag = if fail_sync { &refusals.syncs } else { &refusals.writes };
        flag.store(true, Ordering::Relaxed);
        let e = append(&mut writer, &[batch(20, 10, 100)], true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Poisoned);
        assert!(e.to_string().contains(".wal"), "{e}");
        assert_eq!(files.failure(), Some(e.to_string().as_str()));
        flag.store(false, Ordering::Relaxed);
        let tried = refusals.tried.load(Ordering::Relaxed);
        let again = append(&mut writer, &[batch(20, 10, 100)], true).unwrap_err();
        assert_eq!((again.kind(), again.to_string()), (ErrorKind::Poisoned, e.to_string()));
        assert_eq!(writer.sync().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(writer.mark().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(writer.durable_seq(), 20);
        assert_eq!(writer.close().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(refusals.tried.load(Ordering::Relaxed), tried, "never synced again");
        let (replayed, found) = log.replay();
        assert!(replayed.damaged.is_empty());
        assert_eq!(found[..2], tens(2, 100));
        let (mut writer, _, _) = log.open();
        append_each(&mut writer, &[batch(40, 10, 100)]);
        assert_eq!(log.replay().1.last(), Some(&batch(40, 10, 100)));
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, files, _) = log.open();
    append_each(&mut writer, &tens(2, 1500));
    refusals.disk_full.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let e = append(&mut writer, &[batch(20, 10, 1500)], true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DiskFull);
        assert!(files.prepare_spare().is_err());
    }
    assert!(log.names("tmp").is_empty() && log.names("spare").is_empty());
    refusals.disk_full.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(20, 10, 1500)]);
    let (replayed, found) = log.replay();
    assert_eq!((found.len(), replayed.damaged.len()), (3, 0));
}

#[test]
fn what_a_write_on_a_full_disk_left_behind_is_void() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    append(&mut writer, &[batch(20, 10, 100)], false).unwrap();
    refusals.disk_full.store(true, Ordering::Relaxed);
    // Half of this is written: the first of its batches whole.
    let group = [batch(30, 10, 8), batch(40, 10, 200)];
    assert_eq!(append(&mut writer, &group, true).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(log.replay().1.len(), 3, "what was refused is not there, whatever comes next");
    assert_eq!(append(&mut writer, &group, true).unwrap_err().kind(), ErrorKind::DiskFull);
    refusals.disk_full.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(30, 10, 77)]);
    assert_eq!(writer.durable_seq(), 40);
    let (replayed, found) = log.replay();
    assert_eq!(found[2..], [batch(20, 10, 100), batch(30, 10, 77)]);
    assert!(replayed.damaged.is_empty() && replayed.torn.is_none());
}

#[test]
fn an_empty_file_that_voids_a_frame_of_the_one_before_stays_until_it_is_followed() {
    let log = Log::new(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    drop(writer);
    drop(log.open());
    let (written, empty) = (log.names("wal")[0].clone(), log.names("wal")[1].clone());
    // A frame that was refused and is whole on the disk all the same.
    let mut bytes = std::fs::read(&written).unwrap();
    let salt = FileHeader::decode(&bytes).unwrap().salt;
    let batch_no = FileHeader::decode(&std::fs::read(&empty).unwrap()).unwrap().base_batch;
    bytes.truncate(log.replay().0.files[0].bytes as usize);
    let refused = Frame { first_seq: 20, rows: 10, arrival: 5, parts: &[b"refused"] };
    let stamp = Stamp { kind: Kind::Data, batch_no, durable_batch: batch_no, epoch: Some(5) };
    put_frame(&mut bytes, salt, stamp, &refused).unwrap();
    std::fs::write(&written, &bytes).unwrap();
    for _ in 0..3 {
        let (mut replayed, found) = log.replay();
        assert_eq!(found.len(), 2);
        rewrite_tail(&log.env, &log.options, &mut replayed).unwrap();
    }
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &[batch(20, 10, 10)]);
    drop(writer);
    assert_eq!(log.open().2.len(), 3);
    assert!(!empty.exists(), "it is given up once it is followed");
    std::fs::remove_file(log.names("wal").pop().unwrap()).unwrap();
    assert_eq!(log.replay().1[2], batch(20, 10, 10));
}

#[test]
fn a_start_on_a_full_disk_reads_and_resumes() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    writer.close().unwrap();
    refusals.disk_full.store(true, Ordering::Relaxed);
    let (mut writer, _, found) = log.open();
    assert_eq!(found.len(), 2);
    assert_eq!(append(&mut writer, &[batch(20, 1, 9)], true).unwrap_err().kind(), ErrorKind::DiskFull);
    refusals.disk_full.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(20, 1, 9)]);
    assert_eq!(log.replay().1.len(), 3);
}

#[test]
fn a_file_whose_name_is_not_durable_takes_no_frame() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, files, _) = log.open();
    files.prepare_spare().unwrap();
    append_each(&mut writer, &tens(2, 1500));
    refusals.dir_syncs.store(true, Ordering::Relaxed);
    assert!(append(&mut writer, &[batch(20, 10, 1500)], true).is_err());
    // It would fit into the file before, which has been followed.
    assert!(append(&mut writer, &[batch(20, 10, 10)], true).is_err());
    refusals.dir_syncs.store(false, Ordering::Relaxed);
    append_each(&mut writer, &[batch(20, 10, 10)]);
    let (replayed, found) = log.replay();
    assert_eq!((found.len(), replayed.damaged.len()), (3, 0));
}

#[test]
fn a_rewrite_on_a_full_disk_loses_nothing_and_can_be_repeated() {
    let (log, refusals) = refusing_log(4096);
    let (mut writer, _, _) = log.open();
    append_each(&mut writer, &tens(2, 100));
    drop(writer);
    let (mut replayed, _) = log.replay();
    refusals.disk_full.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let e = rewrite_tail(&log.env, &log.options, &mut replayed).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DiskFull);
        assert!(log.names("tmp").is_empty());
        assert_eq!(log.replay().1, tens(2, 100));
    }
    refusals.disk_full.store(false, Ordering::Relaxed);
    rewrite_tail(&log.env, &log.options, &mut replayed).unwrap();
    let files = Files::open(log.env.clone(), log.options.clone(), &replayed).unwrap();
    let mut writer = Writer::create(files, Start::from(&replayed)).unwrap();
    append_each(&mut writer, &[batch(20, 1, 9)]);
    let (replayed, found) = log.replay();
    assert_eq!((found.len(), replayed.damaged.len()), (3, 0));
}
