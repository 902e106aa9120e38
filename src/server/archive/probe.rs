//! Whether the targets of the archive do what they have to: an object is written, read back and removed.
//!
//! Invariants
//! * What is wrong is said once, by the target's name, and that it is well again too.
//! * A target that is well is left alone, until copying to it fails; one that is not is tried again every [`AGAIN`].
use crate::log::{self, Level};
use crate::server::{Server, blocking};
use logyard_storage::archive::{Bucket, Prefixed, Put, Target};
use logyard_storage::engine::ArchiveStatus;
use logyard_storage::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long after a probe that failed there is another one.
const AGAIN: Duration = Duration::from_secs(15);
/// The folder of what probes write.
const FOLDER: &str = "probe";

/// The targets, and what is wrong with them.
pub(crate) struct Archives {
    targets: Vec<Target>,
    /// By name; those that were not probed yet are not there.
    probed: Mutex<BTreeMap<String, Option<String>>>,
    /// Why copying to one failed, as it was told last.
    heard: Mutex<BTreeMap<String, String>>,
    /// How long an answer waits for the first of them.
    pub(in crate::server) ack_timeout: Duration,
}

impl Archives {
    /// Nothing is known of them yet.
    pub(crate) fn new(targets: Vec<Target>, ack_timeout: Duration) -> Self {
        Self { targets, probed: Mutex::default(), heard: Mutex::default(), ack_timeout }
    }

    /// Whether there are none.
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The target of a name.
    pub(in crate::server) fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }

    /// A folder of a target, as a place of its own.
    pub(in crate::server) fn part(&self, name: &str, folder: &str) -> Result<Arc<dyn Bucket>> {
        let target = self.targets.iter().find(|target| target.name == name);
        let target =
            target.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("the archive has no target {name}")))?;
        Ok(Arc::new(Prefixed::new(Arc::clone(&target.bucket), folder)))
    }

    /// What is wrong with targets, by name: what the last probe found, else why copying failed last.
    pub(in crate::server) fn troubles(&self) -> BTreeMap<String, String> {
        let mut troubles = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let probed = self.probed();
        troubles.extend(probed.iter().filter_map(|(name, trouble)| Some((name.clone(), trouble.clone()?))));
        troubles
    }

    fn probed(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.probed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells why copying to a target failed, where that is new, and has it probed again.
    fn hear(&self, status: &ArchiveStatus) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for target in &status.targets {
            match &target.trouble {
                Some(trouble) if heard.get(&target.name) != Some(trouble) => {
                    log::warn(format_args!("archive target {}: {trouble}; it is tried again", target.name));
                    heard.insert(target.name.clone(), trouble.clone());
                    self.probed().remove(&target.name);
                }
                Some(_) => {}
                None => _ = heard.remove(&target.name),
            }
        }
    }

    /// Probes those that are not known to be well. This blocks.
    fn probe(&self, now: i64) {
        for target in &self.targets {
            let before = self.probed().get(&target.name).cloned();
            if before == Some(None) {
                continue;
            }
            let trouble = probe(target, now).err().map(|e| e.to_string());
            let name = &target.name;
            match (before.flatten(), &trouble) {
                (before, Some(trouble)) if before.as_ref() != Some(trouble) => {
                    log::error(format_args!("archive target {name} is of no use: {trouble}; it is tried again"));
                }
                (Some(_), None) => {
                    log::say(Level::Info, format_args!("archive target {name} is well again"), Vec::new())
                }
                _ => {}
            }
            self.probed().insert(name.clone(), trouble);
        }
    }
}

/// Probes the targets, while the server runs.
pub(crate) async fn watch_archive(server: Arc<Server>) {
    while !server.archives.targets.is_empty() {
        let of = Arc::clone(&server);
        // It fails only by a panic, of which the panic itself has told.
        let look = move || {
            of.archives.hear(&of.engine.archive_status());
            of.archives.probe(of.env.now());
        };
        let _is_probed = blocking(look).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Writes an object, reads it back and removes it.
fn probe(target: &Target, now: i64) -> Result<()> {
    let bucket = &*target.bucket;
    // Of each process and moment another one: what is left of one that ended in between is in nobody's way.
    let name = format!("{FOLDER}/{now:x}-{:x}", std::process::id());
    let sent = name.as_bytes();
    let fill = |at: u64, buf: &mut [u8]| {
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let own = sent.get(from..from.saturating_add(buf.len()));
        buf.copy_from_slice(own.ok_or_else(|| Error::invalid("more is asked for than there is"))?);
        Ok(())
    };
    // One that does not answer at all is found out so within seconds: what is written may take longer.
    bucket.len(&name).map_err(|e| e.context("reading"))?;
    match bucket.put_new(&name, sent.len() as u64, &fill) {
        Ok(Put::Made | Put::Existed) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(e.context("there is no such bucket or directory")),
        Err(e) => return Err(e.context("writing")),
    }
    let read = bucket.small(&name, 1_024).map_err(|e| e.context("reading"))?;
    let removed = bucket.remove(&name).map_err(|e| e.context("removing"));
    if read.is_none_or(|(bytes, _)| bytes != sent) {
        let place = bucket.place();
        return Err(Error::new(ErrorKind::Unavailable, format!("{place} does not give back what was written to it")));
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::archive::{Bucket, Store, StoreLimits, runtime};
    use logyard_storage::engine::TargetStatus;
    use logyard_storage::env::{Env, RealEnv};

    #[test]
    fn a_target_is_found_to_be_well_or_what_is_wrong_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (env, path): (Arc<dyn Env>, _) = (Arc::new(RealEnv::new()), directory.path().join("archive"));
        let limits = StoreLimits { retries: 0, ..StoreLimits::default() };
        let bucket: Arc<dyn Bucket> = Arc::new(Store::directory(&env, &path, limits, &runtime().unwrap()).unwrap());
        let archives = Archives::new(vec![Target::new("main", bucket)], Duration::ZERO);
        archives.probe(1);
        assert!(archives.troubles().is_empty() && archives.probed().contains_key("main"));
        assert_eq!(std::fs::read_dir(path.join(FOLDER)).map_or(0, Iterator::count), 0);
        // A file where the directory was.
        archives.probed().clear();
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        archives.probe(2);
        let told = archives.troubles().remove("main").unwrap();
        assert!(told.contains("archive/probe"), "{told}");
        std::fs::remove_file(&path).unwrap();
        archives.probe(3);
        assert!(archives.troubles().is_empty());
        // What fails to be copied has it probed again, once.
        let of = |trouble: Option<&str>| {
            let trouble = trouble.map(str::to_owned);
            ArchiveStatus {
                targets: vec![TargetStatus { name: "main".into(), trouble, ..TargetStatus::default() }],
                ..ArchiveStatus::default()
            }
        };
        for (trouble, is_known) in [(None, true), (Some("no"), false), (Some("no"), true), (Some("none"), false)] {
            archives.hear(&of(trouble));
            assert_eq!(archives.probed().contains_key("main"), is_known, "{trouble:?}");
            archives.probe(4);
        }
    }
}
