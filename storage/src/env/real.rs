//! The machine itself.
//!
//! Invariants
//! * Errors are given as the system gives them; only a lock is tried again, for [`LOCK_PATIENCE`].
//! * A list is in the order of names, and has none that is not UTF-8.
use super::{DirEntry, DirLock, Env, File, OpenMode, Space};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a lock is tried for. One who was just killed may hold it until the system has cleared up behind him, and a
/// process that another thread is starting, until it is another program.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How far what nobody waits for stands back; the system's own bounds are -20 and 19.
const NICENESS: i32 = 10;

/// Lets this thread stand back behind those that somebody waits for.
pub fn give_way() {
    // Where the system does not want it, it goes on as the others do.
    let _stands_back = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

/// The operating system's files, clock and randomness.
pub struct RealEnv {
    started: Instant,
}

impl RealEnv {
    /// The machine this process runs on.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for RealEnv {
    fn default() -> Self {
        Self::new()
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.write_zeros(len),
            done => Ok(done?),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

struct RealLock {
    _file: fs::File,
}

impl DirLock for RealLock {}

impl Env for RealEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create_new(true);
            }
            OpenMode::OpenOrCreate => {
                options.write(true).create(true).truncate(false);
            }
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir: metadata.is_dir(), len: metadata.len() });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(RealLock { _file: file })),
                Err(fs::TryLockError::Error(e)) => return Err(e),
                Err(fs::TryLockError::WouldBlock) if started.elapsed() >= LOCK_PATIENCE => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PATIENCE / 50),
            }
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space { available: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
    }

    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn identity(&self, path: &Path) -> Option<String> {
        // Of the running kernel: no other machine has it, nor one that was made from an image of this one's disks.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let metadata = fs::metadata(path).ok()?;
        // The number of a file that was removed may be given to the next one.
        let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Some(format!("{} {}:{} {}", boot.trim(), metadata.dev(), metadata.ino(), born.as_nanos()))
    }

    fn random(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        // The standard library seeds each `RandomState` from the operating system's randomness.
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_i64(self.now());
        hasher.finish()
    }
}
