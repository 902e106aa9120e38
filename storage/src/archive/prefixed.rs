//! A part of a bucket as a bucket of its own.
//!
//! Invariants
//! * Nothing outside of the part is named, read or changed.
use super::bucket::{Bucket, Bytes, Listed, Put};
use crate::error::Result;
use std::sync::Arc;

/// Whatever of a bucket begins with a prefix.
pub struct Prefixed {
    bucket: Arc<dyn Bucket>,
    prefix: String,
}

impl Prefixed {
    /// The part below a folder.
    pub fn new(bucket: Arc<dyn Bucket>, folder: &str) -> Self {
        Self { bucket, prefix: format!("{}/", folder.trim_matches('/')) }
    }

    fn whole(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Bucket for Prefixed {
    fn place(&self) -> String {
        format!("{}/{}", self.bucket.place().trim_end_matches('/'), self.prefix.trim_end_matches('/'))
    }

    fn put_new(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put> {
        self.bucket.put_new(&self.whole(name), len, bytes)
    }

    fn swap(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        self.bucket.swap(&self.whole(name), bytes, seen)
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.bucket.read(&self.whole(name), offset, buf)
    }

    fn small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>> {
        self.bucket.small(&self.whole(name), limit)
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.bucket.len(&self.whole(name))
    }

    fn list(&self, folder: &str, found: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        self.bucket.list(&self.whole(folder), &mut |listed| {
            let name = listed.name.strip_prefix(&self.prefix).map(str::to_owned);
            name.map_or(Ok(()), |name| found(Listed { name, ..listed }))
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.bucket.remove(&self.whole(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::sim::SimBucket;

    #[test]
    fn a_part_sees_nothing_but_itself() {
        let whole: Arc<dyn Bucket> = Arc::new(SimBucket::new());
        let part = Prefixed::new(Arc::clone(&whole), "/backups/one/");
        let put = |bucket: &dyn Bucket, name: &str| {
            bucket
                .put_new(name, 2, &|_, buf| {
                    buf.copy_from_slice(b"ab");
                    Ok(())
                })
                .unwrap()
        };
        assert_eq!(
            (put(&part, "a/x"), put(&*whole, "a/y"), put(&*whole, "backups/one/a/z")),
            (Put::Made, Put::Made, Put::Made)
        );
        assert_eq!(
            (put(&part, "a/x"), part.len("a/y").unwrap(), part.len("a/z").unwrap()),
            (Put::Existed, None, Some(2))
        );
        let mut names = Vec::new();
        part.list("a", &mut |listed| {
            names.push(listed.name);
            Ok(())
        })
        .unwrap();
        assert_eq!(names, ["a/x", "a/z"]);
        let tag = part.swap("owner", b"me", None).unwrap();
        assert_eq!(part.small("owner", 9).unwrap(), Some((b"me".to_vec(), tag.unwrap())));
        let mut byte = [0];
        part.read("a/x", 1, &mut byte).unwrap();
        assert_eq!((byte, part.place()), (*b"b", "sim:/backups/one".to_owned()));
        part.remove("a/x").unwrap();
        assert_eq!((part.len("a/x").unwrap(), whole.len("a/y").unwrap()), (None, Some(2)));
    }
}
