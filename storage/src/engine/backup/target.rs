//! The directory that a backup is made in: marked, filled, checked, and then no longer marked.
//!
//! Invariants
//! * The mark is durable before anything else is there, and goes when all else is durable and was checked.
//! * What was written is what was read: each file is read again.
use super::{BackedUp, BackupProgress, BackupStage, Teller, files_in, single};
use crate::engine::check::{Told, look};
use crate::engine::recovery::make_directories;
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ADMIN_KEY_HASH, Layout, UNFINISHED_BACKUP};
use crate::limits::MIB;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are copied at once.
const PIECE_BYTES: usize = MIB;

type Read<'a> = dyn Fn(u64, &mut [u8]) -> Result<()> + 'a;

/// A file that is copied.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) len: u64,
    pub(super) read: &'a Read<'a>,
}

impl<'a> Source<'a> {
    pub(super) fn of(path: &'a Path, len: u64, read: &'a Read<'a>) -> Self {
        Self { path, len, read }
    }
}

pub(super) fn reading<'a>(file: &'a Arc<dyn File>, path: &'a Path) -> impl Fn(u64, &mut [u8]) -> Result<()> + 'a {
    move |at, buf| file.read_exact_at(buf, at).map_err(|e| Error::io("read", path, e))
}

/// Which side of a copy failed.
pub(super) enum Failed {
    Reading(Error),
    Writing(Error),
}

impl Failed {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Reading(e) | Self::Writing(e) => e,
        }
    }
}

/// Where a backup goes.
pub(super) struct Target<'a, 'b> {
    env: &'a Arc<dyn Env>,
    pub(super) layout: Layout,
    told: &'a mut Teller<'b>,
    /// Folders whose names are not durable yet.
    folders: BTreeSet<PathBuf>,
    files: u64,
    bytes: u64,
    total: u64,
    damaged: Vec<String>,
}

impl<'a, 'b> Target<'a, 'b> {
    /// Makes the directory, and marks it as unfinished.
    pub(super) fn begin(env: &'a Arc<dyn Env>, root: &Path, source: &Layout, told: &'a mut Teller<'b>) -> Result<Self> {
        let shown = root.display();
        if root.starts_with(source.root()) || source.root().starts_with(root) {
            let message = format!("{shown} and the data directory are one in the other: name a directory beside it");
            return Err(Error::invalid(message));
        }
        // Whoever asks can name another one; a full disk is none of his.
        let refused = |doing: &str, path: &Path, e: io::Error| match Error::io(doing, path, e) {
            e if e.kind() == ErrorKind::DiskFull => e,
            e => Error::invalid(format!("{e}; name a directory that can be written to")),
        };
        let parent = root.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !env.exists(parent).map_err(|e| refused("look for", parent, e))? {
            return Err(Error::invalid(format!("there is no directory {}: make it first", parent.display())));
        }
        if env.exists(root).map_err(|e| refused("look for", root, e))? {
            if !env.list(root).map_err(|e| refused("list", root, e))?.is_empty() {
                let message = format!(
                    "{shown} is not empty, and nothing in it is touched: name a directory that is not there yet"
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        } else {
            env.create_dir_all(root).map_err(|e| refused("create", root, e))?;
        }
        let mark = root.join(UNFINISHED_BACKUP);
        let marked = env.open(&mark, OpenMode::Create).and_then(|file| {
            file.write_all_at(b"This backup is not finished. Remove it, and make another one.\n", 0)?;
            file.sync_all()
        });
        marked.and_then(|()| env.sync_dir(root)).map_err(|e| refused("create", &mark, e))?;
        env.sync_dir(parent).map_err(|e| Error::io("sync", parent, e))?;
        let layout = Layout::new(root);
        make_directories(&**env, &layout)?;
        let folders = BTreeSet::from([layout.wal(), layout.segments(), layout.config_copy(), root.to_path_buf()]);
        Ok(Self { env, layout, told, folders, files: 0, bytes: 0, total: 0, damaged: Vec::new() })
    }

    /// Says how much there will be, and looks whether there is room for it.
    pub(super) fn expect(&mut self, bytes: u64) -> Result<()> {
        let root = self.layout.root();
        let space = self.env.space(root).map_err(|e| Error::io("measure the space of", root, e))?;
        if space.available < bytes {
            let (root, free) = (root.display(), space.available);
            let message = format!(
                "the backup takes {bytes} bytes, and {root} has room for {free}: make room, or name another one"
            );
            return Err(Error::new(ErrorKind::DiskFull, message));
        }
        self.total = bytes;
        self.tell()
    }

    fn tell(&mut self) -> Result<()> {
        let (done, total) = (self.bytes.min(self.total), self.total);
        (self.told)(BackupProgress { stage: BackupStage::Copying, done, total })
    }

    /// Copies a segment; one that cannot be read is left out and named.
    pub(super) fn copy_segment(&mut self, from: &Source<'_>, day: &str) -> Result<()> {
        let folder = self.layout.segments().join(day);
        if self.folders.insert(folder.clone()) {
            self.env.create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        }
        let to = folder.join(name_of(from.path));
        match self.copy(from, &to) {
            Err(Failed::Reading(e)) => {
                self.damaged.push(format!("a segment is left out: {e}"));
                self.env.remove_file(&to).map_err(|e| Error::io("remove", &to, e))
            }
            copied => copied.map_err(Failed::into_error),
        }
    }

    /// Copies the hash of the admin key, and what is kept as text beside the catalog.
    pub(super) fn copy_readable(&mut self, source: &Layout) -> Result<()> {
        let env = Arc::clone(self.env);
        let key = single(&*env, &source.root().join(ADMIN_KEY_HASH))?;
        let key = key.into_iter().map(|(path, _)| (path, self.layout.root().join(ADMIN_KEY_HASH)));
        let copies = files_in(&*env, &source.config_copy(), "conf")?;
        let copies = copies.into_iter().map(|(path, _)| (path.clone(), self.layout.config_copy().join(name_of(&path))));
        for (path, to) in key.chain(copies).collect::<Vec<_>>() {
            let file = match env.open(&path, OpenMode::Read) {
                // Of what is not there any more there is nothing to be kept.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|e| Error::io("open", &path, e))?,
            };
            let len = file.len().map_err(|e| Error::io("measure", &path, e))?;
            self.copy(&Source::of(&path, len, &reading(&file, &path)), &to).map_err(Failed::into_error)?;
        }
        Ok(())
    }

    /// Copies a file, durably but for its name, and reads it again.
    pub(super) fn copy(&mut self, from: &Source<'_>, to: &Path) -> std::result::Result<(), Failed> {
        let failed = |doing: &str, e| Failed::Writing(Error::io(doing, to, e));
        let file = self.env.open(to, OpenMode::Create).map_err(|e| failed("create", e))?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut written = crc32fast::Hasher::new();
        let mut at = 0;
        while let Some(piece) = piece_at(&mut buffer, from.len, at) {
            (from.read)(at, piece).map_err(Failed::Reading)?;
            file.write_all_at(piece, at).map_err(|e| failed("write", e))?;
            written.update(piece);
            at += piece.len() as u64;
            self.bytes += piece.len() as u64;
            self.tell().map_err(Failed::Writing)?;
        }
        file.sync_all().map_err(|e| failed("sync", e))?;
        drop(file);
        let file = self.env.open(to, OpenMode::Read).map_err(|e| failed("open", e))?;
        let (mut read, mut at) = (crc32fast::Hasher::new(), 0);
        while let Some(piece) = piece_at(&mut buffer, from.len, at) {
            file.read_exact_at(piece, at).map_err(|e| failed("read", e))?;
            read.update(piece);
            at += piece.len() as u64;
        }
        if read.finalize() != written.finalize() {
            let message =
                format!("{} does not have what was written to it: look at the disk that it is on", to.display());
            return Err(Failed::Writing(Error::new(ErrorKind::Io, message)));
        }
        self.files += 1;
        Ok(())
    }

    /// Makes the names durable, checks everything, and takes the mark away.
    pub(super) fn finish(self) -> Result<BackedUp> {
        let Self { env, layout, told, folders, files, bytes, mut damaged, .. } = self;
        for folder in &folders {
            env.sync_dir(folder).map_err(|e| Error::io("sync", folder, e))?;
        }
        let checking: &mut Told<'_> =
            &mut |done, total| told(BackupProgress { stage: BackupStage::Checking, done, total });
        let report = look(env, &layout, checking)?;
        if !report.ok {
            damaged.extend(report.lines);
        }
        let mark = layout.root().join(UNFINISHED_BACKUP);
        let unmarked = env.remove_file(&mark).and_then(|()| env.sync_dir(layout.root()));
        unmarked.map_err(|e| Error::io("remove", &mark, e))?;
        Ok(BackedUp { files, bytes, damaged })
    }
}

/// What of a buffer the next piece of a file takes; nothing at its end.
fn piece_at(buffer: &mut [u8], len: u64, at: u64) -> Option<&mut [u8]> {
    let left = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX);
    let take = left.min(buffer.len());
    buffer.get_mut(..take).filter(|piece| !piece.is_empty())
}

pub(super) fn name_of(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}
