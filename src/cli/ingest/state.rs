//! How far a file was read: kept beside nothing else in a file of its own, for one file, service and server.
//!
//! Invariants
//! * `done` is behind records that were acknowledged. `sending` is where a batch ends that was begun there; it is kept before it is sent.
//! * A file is the one that is meant if its device, its number and its first bytes are.
//! * One process at a time reads a file for a service and server.
use super::super::Failure;
use super::shown;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The first bytes of a file, by which it is known.
pub(super) const HEAD_BYTES: u64 = 1_024;

/// How far a file was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The file, for who looks at this.
    pub(super) file: String,
    device: u64,
    number: u64,
    head_bytes: u64,
    head: String,
    /// What tells this reading of the file from others: part of the keys of its batches.
    run: String,
    /// Up to where everything is acknowledged; of a packed file, in its unpacked bytes.
    pub(super) done: u64,
    /// Where the batch ends that was on its way, and the time that it was made at.
    pub(super) sending: Option<(u64, i64)>,
    /// How records of that batch were read.
    settings: String,
}

/// Where a file's state is kept.
pub(super) struct Place {
    path: PathBuf,
    file: PathBuf,
    settings: String,
    _lock: File,
}

impl Place {
    /// The place for a file; nobody else may have it.
    pub(super) fn open(
        states: &Path,
        url: &str,
        service: &str,
        file: &Path,
        settings: String,
    ) -> Result<Self, Failure> {
        let file = std::path::absolute(file)?;
        let mut name = Sha256::new();
        for part in [url.as_bytes(), service.as_bytes(), file.as_os_str().as_encoded_bytes()] {
            name.update((part.len() as u64).to_le_bytes());
            name.update(part);
        }
        let name: String = name.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let failed = |e: io::Error| {
            let place = states.display();
            Failure::Failed(format!(
                "cannot keep in {place} how far files were read: {e}; name another directory with --state"
            ))
        };
        fs::create_dir_all(states).map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(states.join(format!("{name}.lock")));
        let lock = lock.map_err(failed)?;
        if lock.try_lock().is_err() {
            let what = format!("{} is being read for this service by another `logyard ingest`", shown(&file));
            return Err(Failure::Failed(what));
        }
        Ok(Self { path: states.join(format!("{name}.json")), file, settings, _lock: lock })
    }

    /// The file that it is for.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What was kept.
    pub(super) fn load(&self) -> Result<Option<State>, Failure> {
        let wrong = |e: &dyn std::fmt::Display| {
            let (file, path) = (shown(&self.file), self.path.display());
            Failure::Failed(format!(
                "cannot read how far {file} was read: {path}: {e}; without that file it is read from its beginning"
            ))
        };
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(wrong(&e)),
        };
        let state: State = serde_json::from_slice(&text).map_err(|e| wrong(&e))?;
        if state.sending.is_some() && state.settings != self.settings {
            return Err(Failure::Failed(format!(
                "a batch of {} was on its way when the last run ended, and was read with other settings; run it once as before, or with --again",
                shown(&self.file)
            )));
        }
        Ok(Some(state))
    }

    /// Keeps a state; with `durably`, also over a loss of power.
    pub(super) fn save(&self, state: &State, durably: bool) -> Result<(), Failure> {
        let saved = (|| {
            let temporary = self.path.with_extension("tmp");
            let mut file = File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            if durably {
                file.sync_data()?;
            }
            fs::rename(&temporary, &self.path)
        })();
        saved.map_err(|e: io::Error| Failure::Failed(format!("cannot write {}: {e}", self.path.display())))
    }

    /// The state of a file that is read from its beginning.
    pub(super) fn begun(&self, file: &File) -> io::Result<State> {
        let meta = file.metadata()?;
        let first = first_bytes(file, HEAD_BYTES)?;
        let (head, head_bytes) = (hashed(&first), first.len() as u64);
        let shown = self.file.to_string_lossy().into_owned();
        let (device, number, run) = (meta.dev(), meta.ino(), random()?);
        let settings = self.settings.clone();
        Ok(State { file: shown, device, number, head_bytes, head, run, done: 0, sending: None, settings })
    }
}

impl State {
    /// Whether it is of this file, and the file still has what was read.
    pub(super) fn is_of(&self, file: &File, is_packed: bool) -> io::Result<bool> {
        let meta = file.metadata()?;
        let has_length = is_packed || meta.len() >= self.sending.map_or(self.done, |(end, _)| end);
        Ok(self.is_named(&meta) && has_length && self.is_known_by(&first_bytes(file, self.head_bytes())?))
    }

    /// Whether a file has the number that it is known by.
    pub(super) fn is_named(&self, meta: &Metadata) -> bool {
        (meta.dev(), meta.ino()) == (self.device, self.number)
    }

    /// How many of the first bytes the file is known by.
    pub(super) fn head_bytes(&self) -> u64 {
        self.head_bytes.min(HEAD_BYTES)
    }

    /// Whether these are the first bytes that the file is known by.
    pub(super) fn is_known_by(&self, first: &[u8]) -> bool {
        hashed(first) == self.head
    }

    /// How many of the first bytes the file may be known by once it was read up to `end`: no more than was read, or was known
    /// before, for that much is known to belong together.
    pub(super) fn head_bytes_at(&self, end: u64) -> u64 {
        HEAD_BYTES.min(end.max(self.head_bytes))
    }

    /// Knows the file by more of its first bytes, once it has them; before it is kept that these are sent.
    pub(super) fn know_better(&mut self, first: &[u8]) {
        let bytes = first.len() as u64;
        if bytes > self.head_bytes {
            (self.head, self.head_bytes) = (hashed(first), bytes);
        }
    }

    /// The key of the batch that begins where everything before is done.
    pub(super) fn key(&self) -> String {
        format!("ingest-{}-{}", self.run, self.done)
    }

    /// How records are read from now on.
    pub(super) fn set(&mut self, place: &Place) {
        self.settings.clone_from(&place.settings);
    }
}

/// The first bytes of a file, as many as there are.
pub(super) fn first_bytes(file: &File, bytes: u64) -> io::Result<Vec<u8>> {
    let mut first = vec![0; bytes.min(HEAD_BYTES) as usize];
    let mut have = 0;
    while let Some(into) = first.get_mut(have..).filter(|into| !into.is_empty()) {
        match file.read_at(into, have as u64)? {
            0 => break,
            read => have += read,
        }
    }
    first.truncate(have);
    Ok(first)
}

fn hashed(first: &[u8]) -> String {
    Sha256::digest(first).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Something that never comes again.
pub(super) fn random() -> io::Result<String> {
    let mut bytes = [0; 12];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
