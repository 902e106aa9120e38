//! What the archive needs of object storage, and nothing else of it.
//!
//! Names are paths below the target's prefix, with `/` between their parts.
//!
//! Invariants
//! * An object is there whole or not at all. [`Bucket::put_new`] never touches one that is there.
//! * An error of kind [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) says nothing of what is stored: the same call
//!   can succeed later. After any other the answer stays the same.
//! * No error names a credential.
use crate::error::Result;
use std::fmt;

/// What became of an object that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was made.
    Made,
    /// One of the name was there, and still is.
    Existed,
}

/// An object, as a listing names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was made, nanoseconds since 1970, where the target says so.
    pub made: Option<i64>,
}

/// Where the bytes of an object come from: some at an offset fill a buffer.
pub type Bytes<'a> = dyn Fn(u64, &mut [u8]) -> Result<()> + Sync + 'a;

/// A place for objects.
pub trait Bucket: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;
    /// Makes an object of so many bytes, unless there is one of the name.
    fn put_new(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put>;
    /// Makes or replaces a small object: where `seen` is given, only if that is its tag; otherwise only if there is none. Says
    /// the new tag, or nothing where that was not so. What is there already with these very bytes counts as made: so nobody is
    /// in the way of their own write of which they never heard, provided that no two write the same.
    fn swap(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>>;
    /// Fills a buffer with bytes of an object, by one request.
    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()>;
    /// A small object as a whole, and its tag; nothing where there is none.
    fn small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>>;
    /// The length of an object; nothing where there is none.
    fn len(&self, name: &str) -> Result<Option<u64>>;
    /// Calls `found` with every object whose name begins with a folder's.
    fn list(&self, folder: &str, found: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()>;
    /// Removes an object; one that is not there is removed already.
    fn remove(&self, name: &str) -> Result<()>;
}

impl fmt::Debug for dyn Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}
