//! A bucket in memory that outlives the simulated machine and fails when it is told to.
//!
//! Invariants
//! * An object that was made stays as it was, whatever fails afterwards.
use super::bucket::{Bucket, Bytes, Listed, Put};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct BucketFaults {
    /// Nothing is answered.
    pub is_out: bool,
    /// The call with this number, from now on counted from 0, is carried out and not answered, and all after it are not.
    pub lost_after: Option<u64>,
    /// What is made is other than what was sent, so often.
    pub garbled: u32,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Arc<Vec<u8>>>,
    faults: BucketFaults,
    calls: u64,
    gets: u64,
}

/// Such a bucket; clones are the same one.
#[derive(Clone, Default)]
pub struct SimBucket(Arc<Mutex<State>>);

impl SimBucket {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it fail, or not.
    pub fn fail(&self, faults: BucketFaults) {
        let mut state = self.state();
        state.faults = faults;
        state.calls = 0;
    }

    /// How often it was called since it was told how to fail.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How often parts of objects were read.
    pub fn gets(&self) -> u64 {
        self.state().gets
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Changes a byte of an object.
    pub fn damage(&self, name: &str, at: usize) {
        let mut state = self.state();
        if let Some(object) = state.objects.get_mut(name)
            && let Some(byte) = Arc::make_mut(object).get_mut(at)
        {
            *byte ^= 0x40;
        }
    }

    /// Carries out a call, or does not, and answers, or does not.
    fn call<T>(&self, act: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        let number = state.calls;
        state.calls += 1;
        let unanswered = || Error::new(ErrorKind::Unavailable, "the simulated bucket does not answer");
        if state.faults.is_out || state.faults.lost_after.is_some_and(|last| number > last) {
            return Err(unanswered());
        }
        let answer = act(&mut state);
        if state.faults.lost_after == Some(number) { Err(unanswered()) } else { answer }
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(bytes))
}

impl Bucket for SimBucket {
    fn place(&self) -> String {
        "sim://".into()
    }

    fn put_new(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put> {
        let mut body = vec![0; len as usize];
        bytes(0, &mut body)?;
        self.call(|state| {
            if state.objects.contains_key(name) {
                return Ok(Put::Existed);
            }
            if state.faults.garbled > 0 {
                state.faults.garbled -= 1;
                body.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            }
            state.objects.insert(name.to_owned(), Arc::new(body));
            Ok(Put::Made)
        })
    }

    fn swap(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        self.call(|state| {
            let now = state.objects.get(name).map(|object| tag(object));
            if now.as_deref() != seen {
                return Ok(None);
            }
            state.objects.insert(name.to_owned(), Arc::new(bytes.to_vec()));
            Ok(Some(tag(bytes)))
        })
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.call(|state| {
            state.gets += 1;
            let object = state.objects.get(name);
            let object = object.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no {name}")))?;
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let part = object.get(from..from.saturating_add(buf.len()));
            buf.copy_from_slice(part.ok_or_else(|| Error::corrupt(format!("{name} is shorter than that")))?);
            Ok(())
        })
    }

    fn small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>> {
        self.call(|state| match state.objects.get(name) {
            Some(object) if object.len() as u64 > limit => Err(Error::corrupt(format!("{name} is over the limit"))),
            found => Ok(found.map(|object| (object.to_vec(), tag(object)))),
        })
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.call(|state| Ok(state.objects.get(name).map(|object| object.len() as u64)))
    }

    fn list(&self, folder: &str, found: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let listed = self.call(|state| {
            let inside = state.objects.iter().filter(|(name, _)| name.starts_with(&folder));
            Ok(inside.map(|(name, object)| (name.clone(), object.len() as u64)).collect::<Vec<_>>())
        })?;
        listed.into_iter().try_for_each(|(name, bytes)| found(Listed { name, bytes, made: None }))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.call(|state| {
            state.objects.remove(name);
            Ok(())
        })
    }
}
