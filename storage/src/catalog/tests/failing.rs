//! A machine whose files fail writes and syncs after a number of them.
use super::*;
use crate::env::{DirEntry, DirLock, File, OpenMode, Space};
use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The real machine, whose files fail writes and syncs after a number of them.
struct Failing {
    real: RealEnv,
    left: Arc<AtomicU64>,
}

struct FailingFile(Arc<dyn File>, Arc<AtomicU64>);

impl FailingFile {
    fn spend(&self) -> io::Result<()> {
        let spent = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(|_| ()).map_err(|_| io::ErrorKind::StorageFull.into())
    }
}

impl File for FailingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.spend()?;
        self.0.write_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.spend()?;
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.spend()?;
        self.0.sync_all()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.spend()?;
        self.0.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

impl Env for Failing {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FailingFile(self.real.open(path, mode)?, Arc::clone(&self.left))))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.real.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
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

#[test]
fn a_failed_commit_is_all_or_nothing_and_reopening_helps() {
    for left in 0..60 {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(CATALOG);
        let budget = Arc::new(AtomicU64::new(u64::MAX));
        let failing = Arc::new(Failing { real: RealEnv::new(), left: Arc::clone(&budget) });
        let catalog = Catalog::open(failing, &path).unwrap().catalog;
        fill(&catalog, 2);
        let mut change = Change::new();
        change.put_segment(&segment(50)).unwrap().put_service("new", &config(50)).unwrap().remove_segment(0);
        budget.store(left, Ordering::SeqCst);
        let result = catalog.commit(&change);
        assert_eq!(result.is_err(), catalog.needs_reopen());
        if let Err(error) = &result {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            assert_eq!(catalog.commit(&change).unwrap_err().kind(), ErrorKind::Io);
            assert!(catalog.reopen().is_err());
            assert_eq!(catalog.load().unwrap_err().kind(), ErrorKind::Closed);
        }
        // What a crash at this point leaves can be opened, closed and opened again.
        let crashed = dir.path().join("crashed.redb");
        fs::copy(&path, &crashed).unwrap();
        for _ in 0..2 {
            let state = open_at(&crashed).unwrap().load().unwrap();
            assert!(state.damaged.is_empty() && (result.is_err() || state.segments.len() == 2), "{left}");
            assert_eq!(state.segments.iter().any(|s| s.id == 50), !state.segments.iter().any(|s| s.id == 0), "{left}");
        }
        budget.store(u64::MAX, Ordering::SeqCst);
        catalog.reopen().unwrap();
        let state = catalog.load().unwrap();
        assert!(state.damaged.is_empty());
        let ids: Vec<u64> = state.segments.iter().map(|s| s.id).collect();
        let after = ids == [1, 50] && state.services.len() == 2;
        let before = ids == [0, 1] && state.services.len() == 1;
        assert!(after || (before && result.is_err()), "{left}: {ids:?}");
        catalog.commit(&change).unwrap();
        assert_eq!(catalog.load().unwrap().segments, [segment(1), segment(50)]);
        if result.is_ok() {
            return;
        }
    }
    panic!("the commit never succeeded");
}

#[test]
fn making_a_catalog_can_fail_anywhere_and_be_tried_again() {
    for left in (0..200).step_by(3) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(CATALOG);
        let budget = Arc::new(AtomicU64::new(left));
        let failing = Arc::new(Failing { real: RealEnv::new(), left: Arc::clone(&budget) });
        let done = Catalog::open(Arc::clone(&failing) as Arc<dyn Env>, &path).is_ok();
        budget.store(u64::MAX, Ordering::SeqCst);
        let state = Catalog::open(failing, &path).unwrap().catalog.load().unwrap();
        assert!(state.damaged.is_empty() && state.meta.is_some(), "after {left}");
        if done {
            return;
        }
    }
    panic!("it was never made");
}
