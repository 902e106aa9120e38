//! The simulated file system: names, directories and the files behind them.
//!
//! Invariants
//! * A name is durable when the directory it is in was synced since; a directory that vanishes takes all beneath along.
//! * Operations on names are atomic, a rename too: after a cut it took effect as a whole or not at all.
//! * An operation survives only with every earlier one on the same name, and with the directories that it needs.
//! * Maps are ordered, so that the same seed visits everything in the same order.
use super::content::{Fate, FileNode};
use super::rng::Rng;
use crate::env::DirEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The number of a file or directory; never used twice.
pub(super) type Ino = u64;

const ROOT: Ino = 0;

#[derive(Clone, Debug, Default)]
struct DirNode {
    volatile: BTreeMap<String, Ino>,
    durable: BTreeMap<String, Ino>,
}

/// A name that came to mean something else, or nothing.
#[derive(Clone, Debug)]
struct NameChange {
    dir: Ino,
    name: String,
    to: Option<Ino>,
}

/// Changes that happen together.
type NameOp = Vec<NameChange>;

fn apply_name(names: &mut BTreeMap<String, Ino>, change: &NameChange) {
    match change.to {
        Some(ino) => names.insert(change.name.clone(), ino),
        None => names.remove(&change.name),
    };
}

/// A disk. A clone shares the files until one of the two changes them.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    files: BTreeMap<Ino, Arc<FileNode>>,
    dirs: BTreeMap<Ino, DirNode>,
    /// Operations on names that no sync has covered, in order.
    name_ops: Vec<NameOp>,
    next_ino: Ino,
}

pub(super) fn fail(kind: io::ErrorKind, why: &str, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{why}: {}", path.display()))
}

/// The path from the root, without `.` and `..`; the working directory is the root.
pub(super) fn normalized(path: &Path) -> PathBuf {
    let mut parts = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => {
                parts.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    parts
}

fn names_of(path: &Path) -> Vec<String> {
    normalized(path).iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect()
}

impl Disk {
    /// An empty one.
    pub(super) fn new() -> Self {
        let dirs = BTreeMap::from([(ROOT, DirNode::default())]);
        Self { files: BTreeMap::new(), dirs, name_ops: Vec::new(), next_ino: ROOT + 1 }
    }

    fn lookup(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.dirs.get(&dir)?.volatile.get(name).copied()
    }

    /// What a path names.
    pub(super) fn find(&self, path: &Path) -> Option<Ino> {
        names_of(path).iter().try_fold(ROOT, |dir, name| self.lookup(dir, name))
    }

    /// What a path names, or what is in its way.
    fn walk(&self, path: &Path) -> io::Result<Ino> {
        names_of(path).iter().try_fold(ROOT, |dir, name| {
            if !self.dirs.contains_key(&dir) {
                return Err(fail(io::ErrorKind::NotADirectory, "not a directory", path));
            }
            self.lookup(dir, name).ok_or_else(|| fail(io::ErrorKind::NotFound, "no such file or directory", path))
        })
    }

    fn dir(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.walk(path)?;
        if self.dirs.contains_key(&ino) {
            Ok(ino)
        } else {
            Err(fail(io::ErrorKind::NotADirectory, "not a directory", path))
        }
    }

    /// The directory a path is in, and its last name.
    fn place(&self, path: &Path) -> io::Result<(Ino, String)> {
        let full = normalized(path);
        let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
            return Err(fail(io::ErrorKind::InvalidInput, "not a name", path));
        };
        Ok((self.dir(parent)?, name.to_string_lossy().into_owned()))
    }

    /// The number of an existing file.
    pub(super) fn file_ino(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.walk(path)?;
        if self.files.contains_key(&ino) {
            Ok(ino)
        } else {
            Err(fail(io::ErrorKind::IsADirectory, "a directory", path))
        }
    }

    /// The file of a number.
    pub(super) fn file(&self, ino: Ino, path: &Path) -> io::Result<&FileNode> {
        let file = self.files.get(&ino).map(|file| &**file);
        file.ok_or_else(|| fail(io::ErrorKind::NotFound, "no such file", path))
    }

    /// The file of a number, to change it.
    pub(super) fn file_mut(&mut self, ino: Ino, path: &Path) -> io::Result<&mut FileNode> {
        let file = self.files.get_mut(&ino).ok_or_else(|| fail(io::ErrorKind::NotFound, "no such file", path))?;
        Ok(Arc::make_mut(file))
    }

    fn change_names(&mut self, op: NameOp) {
        for change in &op {
            if let Some(dir) = self.dirs.get_mut(&change.dir) {
                apply_name(&mut dir.volatile, change);
            }
        }
        self.name_ops.push(op);
    }

    fn unlink(&mut self, ino: Ino) {
        if let Some(file) = self.files.get_mut(&ino) {
            Arc::make_mut(file).linked = false;
        }
    }

    /// Makes an empty file where there is nothing.
    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<Ino> {
        let (dir, name) = self.place(path)?;
        let ino = self.next_ino;
        self.next_ino += 1;
        self.files.insert(ino, Arc::new(FileNode::with_bytes(&[])));
        self.change_names(vec![NameChange { dir, name, to: Some(ino) }]);
        Ok(ino)
    }

    /// Makes a directory and those above it.
    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        if self.find(path).is_some_and(|ino| self.files.contains_key(&ino)) {
            return Err(fail(io::ErrorKind::AlreadyExists, "exists already as a file", path));
        }
        let mut dir = ROOT;
        for name in names_of(path) {
            dir = match self.lookup(dir, &name) {
                Some(ino) if self.dirs.contains_key(&ino) => ino,
                Some(_) => return Err(fail(io::ErrorKind::NotADirectory, "not a directory", path)),
                None => {
                    let ino = self.next_ino;
                    self.next_ino += 1;
                    self.dirs.insert(ino, DirNode::default());
                    self.change_names(vec![NameChange { dir, name, to: Some(ino) }]);
                    ino
                }
            };
        }
        Ok(())
    }

    /// Renames a file over what is there.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.file_ino(from)?;
        let (from_dir, from_name) = self.place(from)?;
        let (to_dir, to_name) = self.place(to)?;
        match self.lookup(to_dir, &to_name) {
            Some(same) if same == ino => return Ok(()),
            Some(other) if self.dirs.contains_key(&other) => {
                return Err(fail(io::ErrorKind::IsADirectory, "a directory", to));
            }
            Some(other) => self.unlink(other),
            None => {}
        }
        let leave = NameChange { dir: from_dir, name: from_name, to: None };
        let arrive = NameChange { dir: to_dir, name: to_name, to: Some(ino) };
        self.change_names(vec![leave, arrive]);
        Ok(())
    }

    /// Removes a file's name.
    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.file_ino(path)?;
        let (dir, name) = self.place(path)?;
        self.unlink(ino);
        self.change_names(vec![NameChange { dir, name, to: None }]);
        Ok(())
    }

    /// Removes an empty directory.
    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.dir(path)?;
        let (dir, name) = self.place(path)?;
        if self.dirs.get(&ino).is_some_and(|node| !node.volatile.is_empty()) {
            return Err(fail(io::ErrorKind::DirectoryNotEmpty, "directory not empty", path));
        }
        self.change_names(vec![NameChange { dir, name, to: None }]);
        Ok(())
    }

    /// What is in a directory, by name.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.dir(path)?;
        let names = self.dirs.get(&dir).into_iter().flat_map(|node| &node.volatile);
        let entry = |(name, ino): (&String, &Ino)| match self.files.get(ino) {
            Some(file) => DirEntry { name: name.clone(), is_dir: false, len: file.len() },
            None => DirEntry { name: name.clone(), is_dir: true, len: 0 },
        };
        Ok(names.map(entry).collect())
    }

    /// Makes a directory's names durable.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        let covered = self.covered_by(dir);
        let (mut synced, mut left) = (Vec::new(), Vec::new());
        for (index, op) in std::mem::take(&mut self.name_ops).into_iter().enumerate() {
            if covered.contains(&index) { synced.push(op) } else { left.push(op) }
        }
        self.name_ops = left;
        synced.iter().for_each(|op| self.commit(op));
        Ok(())
    }

    /// The operations that a sync of `dir` makes durable: those in it and those they stand on.
    fn covered_by(&self, dir: Ino) -> BTreeSet<usize> {
        let mut covered = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut dirs = BTreeSet::new();
        for (index, op) in self.name_ops.iter().enumerate().rev() {
            let makes_needed = op.iter().any(|change| change.to.is_some_and(|ino| dirs.contains(&ino)));
            let touches =
                |change: &NameChange| change.dir == dir || names.contains(&(change.dir, change.name.as_str()));
            if !makes_needed && !op.iter().any(touches) {
                continue;
            }
            covered.insert(index);
            names.extend(op.iter().map(|change| (change.dir, change.name.as_str())));
            // A file that moves between directories must not get lost with the one it moves to.
            if makes_needed || op.iter().any(|change| change.dir != dir) {
                dirs.extend(op.iter().map(|change| change.dir));
            }
        }
        covered
    }

    fn commit(&mut self, op: &NameOp) {
        for change in op {
            if let Some(dir) = self.dirs.get_mut(&change.dir) {
                apply_name(&mut dir.durable, change);
            }
        }
    }

    /// Puts a file in place with all that is above it, durable at once.
    pub(super) fn write_raw(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let full = normalized(path);
        let parent = full.parent().unwrap_or(Path::new("/"));
        self.create_dir_all(parent)?;
        let ino = match self.find(&full) {
            Some(_) => self.file_ino(&full)?,
            None => self.create_file(&full)?,
        };
        self.files.insert(ino, Arc::new(FileNode::with_bytes(bytes)));
        parent.ancestors().try_for_each(|dir| self.sync_dir(dir))
    }

    /// Space that all files take; those without a name too while one of `open` is theirs.
    pub(super) fn used(&self, open: &BTreeMap<Ino, usize>) -> u64 {
        let lives = |ino: &Ino, file: &FileNode| file.linked || open.contains_key(ino);
        self.files.iter().filter(|(ino, file)| lives(ino, file)).map(|(_, file)| file.allocated_bytes()).sum()
    }

    /// All files with their lengths, by path.
    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut dirs = vec![(ROOT, PathBuf::from("/"))];
        while let Some((dir, path)) = dirs.pop() {
            for (name, ino) in self.dirs.get(&dir).into_iter().flat_map(|node| &node.volatile) {
                match self.files.get(ino) {
                    Some(file) => found.push((path.join(name), file.len())),
                    None => dirs.push((*ino, path.join(name))),
                }
            }
        }
        found.sort();
        found
    }

    /// Forgets files that no name, handle or power cut can bring back.
    pub(super) fn forget_unreachable(&mut self, open: &BTreeMap<Ino, usize>) {
        if self.files.iter().all(|(ino, file)| file.linked || open.contains_key(ino)) {
            return;
        }
        let durable = self.dirs.values().flat_map(|dir| dir.durable.values().copied());
        let pending = self.name_ops.iter().flatten().filter_map(|change| change.to);
        let named: BTreeSet<Ino> = durable.chain(pending).collect();
        self.files.retain(|ino, file| file.linked || open.contains_key(ino) || named.contains(ino));
    }

    /// Power fails.
    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let fate = Fate::new(rng);
        for file in self.files.values_mut() {
            let file = Arc::make_mut(file);
            file.crash(fate, rng);
            file.linked = true;
        }
        self.crash_names(rng);
        for dir in self.dirs.values_mut() {
            dir.volatile = dir.durable.clone();
        }
        self.forget_orphans();
    }

    fn crash_names(&mut self, rng: &mut Rng) {
        let fate = Fate::new(rng);
        let ops = std::mem::take(&mut self.name_ops);
        let prefix = rng.below_len(ops.len() + 1);
        let mut names_lost = BTreeSet::new();
        let mut dirs_lost = BTreeSet::new();
        for (index, op) in ops.iter().enumerate() {
            let lucky = match fate {
                Fate::Kept => true,
                Fate::Lost => false,
                Fate::Prefix => index < prefix,
                Fate::Scattered => rng.coin(),
            };
            let stands = |change: &NameChange| {
                !names_lost.contains(&(change.dir, change.name.as_str())) && !dirs_lost.contains(&change.dir)
            };
            if lucky && op.iter().all(stands) {
                self.commit(op);
            } else {
                names_lost.extend(op.iter().map(|change| (change.dir, change.name.as_str())));
                dirs_lost.extend(op.iter().filter_map(|change| change.to));
            }
        }
    }

    fn forget_orphans(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut left = vec![ROOT];
        while let Some(dir) = left.pop() {
            for ino in self.dirs.get(&dir).into_iter().flat_map(|node| node.durable.values()) {
                if reached.insert(*ino) {
                    left.push(*ino);
                }
            }
        }
        self.files.retain(|ino, _| reached.contains(ino));
        self.dirs.retain(|ino, _| reached.contains(ino));
    }
}
