//! Who writes to a target: this process, for as long as the object there that says so is its own.
//!
//! Invariants
//! * Nothing is made or removed in a target unless it was confirmed a moment ago that it is this directory's.
//! * Whoever finds that it is somebody else's changes nothing there any more, until it is free or taken over.
use super::{Shared, locked};
use crate::archive::{Claim, OWNER, OWNER_BYTES_MAX, Owner, Target};
use crate::env::{read_file, write_file_atomic};
use crate::error::{Error, ErrorKind, Result};
use std::time::Duration;

/// How long a confirmation lasts, while anything is copied or removed.
const CONFIRMED: Duration = Duration::from_secs(10);
const ID_BYTES_MAX: u64 = 256;

/// What is known of whose a target is.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    /// The tag of the object that this process wrote, where it did.
    tag: Option<String>,
    /// When that was confirmed; nothing where it is to be confirmed anew.
    at: Option<Duration>,
}

impl Shared {
    /// Makes sure that a target is this directory's.
    pub(super) fn own(&self, target: &Target) -> Result<()> {
        // Of several who want it confirmed at once, one does it.
        let _alone = locked(&self.archive.confirming);
        let hold = locked(&self.archive.holds).get(&target.name).cloned().unwrap_or_default();
        let now = self.env.monotonic();
        if hold.tag.is_some() && hold.at.is_some_and(|at| now.saturating_sub(at) < CONFIRMED) {
            return Ok(());
        }
        let me = self.owner()?;
        if let Some(tag) = &hold.tag
            && let Some(tag) = target.bucket.swap(OWNER, &me.encode(), Some(tag))?
        {
            self.hold(target, tag);
            return Ok(());
        }
        let (found, tag) = match target.bucket.small(OWNER, OWNER_BYTES_MAX)? {
            Some((bytes, tag)) => {
                (Some(Owner::decode(&bytes).map_err(|e| self.advise(target, &e.to_string()))?), Some(tag))
            }
            // Where copies are, it was there: what is there now is something else, such as the folder that another disk was mounted on.
            None if self.archive.all().iter().any(|record| record.copy_in(&target.name).is_some()) => {
                return Err(self.advise(target, "what was copied there is gone, and the object `owner` too"));
            }
            None => (None, None),
        };
        let is_home = self.archive.is_home && hold.tag.is_none();
        match (me.claim(found.as_ref(), is_home, self.env.now()), found) {
            (Claim::Take, _) => match target.bucket.swap(OWNER, &me.encode(), tag.as_deref())? {
                Some(tag) => {
                    self.hold(target, tag);
                    Ok(())
                }
                None => Err(Error::new(ErrorKind::Unavailable, "somebody else takes the place at this moment")),
            },
            (Claim::Wait, _) => {
                let message = "another process with a copy of this data directory was at work there a moment ago: nothing is \
                               copied or removed until it has been silent for ten minutes";
                Err(Error::new(ErrorKind::Conflict, format!("{}: {message}", target.bucket.place())))
            }
            (Claim::Taken, found) => Err(self.advise(target, &format!("it belongs to {}", found.unwrap_or_default()))),
        }
    }

    fn advise(&self, target: &Target, why: &str) -> Error {
        let (place, name) = (target.bucket.place(), &target.name);
        let message = format!(
            "{place}: {why}: nothing is copied or removed there; if that one is gone for good, say so with \
             `logyard archive take-over --target {name}`, else give this one a prefix of its own"
        );
        Error::new(ErrorKind::Conflict, message)
    }

    fn hold(&self, target: &Target, tag: String) {
        let hold = Hold { tag: Some(tag), at: Some(self.env.monotonic()) };
        locked(&self.archive.holds).insert(target.name.clone(), hold);
    }

    /// Has it confirmed anew whose a target is, before something that somebody asks for.
    pub(super) fn doubt_owner(&self, target: &Target) {
        if let Some(hold) = locked(&self.archive.holds).get_mut(&target.name) {
            hold.at = None;
        }
    }

    /// Makes a target this directory's, whosever it was. Says whose.
    pub(crate) fn take_over(&self, name: &str) -> Result<Option<String>> {
        let _alone = locked(&self.archive.moving);
        let target = self.target(name)?;
        let before = take_over(&*target.bucket, &self.owner()?)?;
        self.hold(target, before.1);
        locked(&self.archive.last).remove(name);
        self.archive.praise(target);
        Ok(before.0.map(|owner| owner.to_string()))
    }

    /// Says that this process is done with its targets. Where one does not answer, that shows by its silence.
    pub(super) fn let_go(&self) {
        for target in &self.archive.targets {
            let hold = locked(&self.archive.holds).remove(&target.name).unwrap_or_default();
            let is_in_trouble = locked(&self.archive.troubles).contains_key(&target.name);
            if let (Some(tag), Ok(me), false) = (hold.tag, self.owner(), is_in_trouble) {
                let gone = Owner { released: true, ..me };
                let _released = target.bucket.swap(OWNER, &gone.encode(), Some(&tag));
            }
        }
    }

    fn owner(&self) -> Result<Owner> {
        Ok(Owner {
            directory: self.directory_id()?,
            holder: self.archive.holder.clone(),
            path: self.layout.root().display().to_string(),
            renewed: self.env.now(),
            released: false,
        })
    }

    /// The directory's own number, which is drawn when it is asked for first.
    pub(super) fn directory_id(&self) -> Result<String> {
        let mut known = locked(&self.archive.directory);
        if let Some(id) = &*known {
            return Ok(id.clone());
        }
        let path = self.layout.archive_id();
        let id = match read_file(&*self.env, &path, ID_BYTES_MAX) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let is_whole = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = if is_whole { id } else { self.draw_directory_id()? };
        *known = Some(id.clone());
        Ok(id)
    }

    fn draw_directory_id(&self) -> Result<String> {
        let path = self.layout.archive_id();
        let id = drawn(&*self.env);
        write_file_atomic(&*self.env, &path, format!("{id}\n").as_bytes()).map_err(|e| Error::io("write", &path, e))?;
        Ok(id)
    }
}

/// A number that nobody else has.
pub(super) fn drawn(env: &dyn crate::env::Env) -> String {
    format!("{:016x}{:016x}", env.random(), env.random())
}

/// Writes an owner, whosever the place was. Gives who that was, and the new tag.
pub(super) fn take_over(bucket: &dyn crate::archive::Bucket, me: &Owner) -> Result<(Option<Owner>, String)> {
    for _again in 0..3 {
        let found = bucket.small(OWNER, OWNER_BYTES_MAX)?;
        let tag = found.as_ref().map(|(_, tag)| tag.as_str());
        if let Some(tag) = bucket.swap(OWNER, &me.encode(), tag)? {
            let before = found.and_then(|(bytes, _)| Owner::decode(&bytes).ok());
            return Ok((before.filter(|owner| owner.directory != me.directory), tag));
        }
    }
    Err(Error::new(ErrorKind::Unavailable, format!("{}: somebody else takes the place at this moment", bucket.place())))
}
