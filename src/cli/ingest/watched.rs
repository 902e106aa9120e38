//! A file that is read on while others write to it, and may cut it and write it anew.
//!
//! Invariants
//! * Its first bytes are compared behind each reading, before what was read counts: so nothing is taken of a file that was cut and
//!   written anew, however far it has grown meanwhile. What was read as it was cut counts as cut away.
//! * Once it was cut, nothing more is read.
use super::once::Source;
use super::state::{HEAD_BYTES, State, first_bytes};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Reads a file while it is what it was.
pub(super) struct Watched {
    file: Arc<File>,
    /// Up to where it was read.
    offset: u64,
    /// The first bytes that it is known by.
    first: Vec<u8>,
    is_cut: bool,
}

impl Watched {
    /// A file behind what is done of it.
    pub(super) fn new(file: Arc<File>, state: &State) -> io::Result<Self> {
        let first = first_bytes(&file, state.head_bytes())?;
        let is_cut = !state.is_known_by(&first);
        Ok(Self { file, offset: state.done, first, is_cut })
    }

    /// Whether it was cut, as it is now.
    pub(super) fn is_cut(&mut self) -> io::Result<bool> {
        let is_cut = self.is_shorter_than_read(self.file.metadata()?.len()) || !self.begins_as_known(&self.first)?;
        self.is_cut |= is_cut;
        Ok(self.is_cut)
    }

    /// Whether it was cut, going by a length that it had.
    pub(super) fn is_shorter_than_read(&mut self, length: u64) -> bool {
        self.is_cut |= length < self.offset;
        self.is_cut
    }

    fn begins_as_known(&self, known: &[u8]) -> io::Result<bool> {
        Ok(first_bytes(&self.file, known.len() as u64)? == known)
    }

    /// Those of the first bytes that are new with what was read.
    fn new_first<'a>(&self, read: &'a [u8]) -> &'a [u8] {
        let known = self.first.len() as u64;
        let bytes = known.checked_sub(self.offset).zip(HEAD_BYTES.checked_sub(self.offset));
        let [begin, end] = bytes.map_or([0, 0], |(begin, end)| [begin, end].map(|at| read.len().min(at as usize)));
        read.get(begin..end).unwrap_or_default()
    }
}

impl Read for Watched {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_cut {
            return Ok(0);
        }
        let read = self.file.read_at(into, self.offset)?;
        let known = self.first.len();
        let new = self.new_first(into.get(..read).unwrap_or_default()).to_vec();
        self.first.extend(new);
        if !self.begins_as_known(&self.first)? {
            self.first.truncate(known);
            self.is_cut = true;
            return Ok(0);
        }
        self.offset += read as u64;
        Ok(read)
    }
}

impl Source for Watched {
    /// As they were read: the file may be another by now.
    fn first_bytes(&self, _file: &File, bytes: u64) -> io::Result<Vec<u8>> {
        Ok(self.first.get(..bytes as usize).unwrap_or(&self.first).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of so many lines that begin so, once it is known by its first `known` bytes.
    fn watched(path: &std::path::Path, known: u64) -> Watched {
        let file = Arc::new(File::open(path).unwrap());
        let first = first_bytes(&file, known).unwrap();
        Watched { file, offset: 0, first, is_cut: false }
    }

    fn lines(begin: &str) -> String {
        (0..1_000).map(|n| format!("{begin} {n}\n")).collect()
    }

    #[test]
    fn nothing_is_read_of_a_file_that_was_written_anew_and_is_longer_than_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        for (known, read) in
            [(0, 0), (0, 1), (0, 700), (0, 2_000), (10, 0), (10, 4), (10, 700), (1_024, 0), (1_024, 2_000)]
        {
            std::fs::write(&path, lines("line")).unwrap();
            let mut watched = watched(&path, known);
            let mut have = vec![0; read];
            watched.read_exact(&mut have).unwrap();
            assert_eq!(have, lines("line").as_bytes()[..read]);
            assert!(watched.first.len() <= HEAD_BYTES as usize && watched.first.len() >= read.min(HEAD_BYTES as usize));
            std::fs::write(&path, lines("another line")).unwrap();
            let mut rest = String::new();
            watched.read_to_string(&mut rest).unwrap();
            // What nothing was known of is not another than it was.
            let is_new = known == 0 && read == 0;
            assert!(rest == if is_new { lines("another line") } else { String::new() }, "{known} {read}");
            assert_eq!(watched.is_cut().unwrap(), !is_new, "{known} {read}");
        }
    }

    #[test]
    fn a_file_that_grows_is_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        std::fs::write(&path, "").unwrap();
        let (mut watched, mut written, mut read) = (watched(&path, 0), String::new(), String::new());
        for n in 0..300 {
            written.push_str(&format!("line {n}\n"));
            std::fs::write(&path, &written).unwrap();
            watched.read_to_string(&mut read).unwrap();
            assert!(read == written && !watched.is_cut().unwrap(), "{n}");
        }
        assert_eq!(watched.first, written.as_bytes()[..HEAD_BYTES as usize]);
    }
}
