//! The archive as settings have it: where segments go, each target a table `[[archive]]`, and what holds for all of them.
//!
//! The first target is the primary one. What holds for all stands in its table, and its variables are `LOGYARD_ARCHIVE_<KEY>`, so that a
//! container needs no file; further targets come from the file only.
//!
//! Invariants
//! * No error shows a credential, not even one that somebody wrote into an address.
//! * A target has a name and a place of its own, and lies outside of the data directory.
use super::given::Given;
use super::readers::{DURATION, Reader};
use super::settings::{ArchiveTarget, SECTIONS};
use super::table::{Section, dotted, variable};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The section of targets.
pub(super) const SECTION: &str = "archive";
/// Keys that hold for all targets.
const FOR_ALL: [&str; 3] = ["ack_timeout", "local_index_budget", "cold_cache"];
/// Characters of a target's name.
const NAME_CHARS_MAX: usize = 64;

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A bucket that speaks S3, and what all names in it begin with.
    S3 { bucket: String, prefix: String },
    /// A directory.
    Directory(PathBuf),
}

impl Place {
    /// Whether another place is in it.
    fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S3 { bucket, prefix }, Self::S3 { bucket: of_other, prefix: inner }) => {
                bucket == of_other && (prefix.is_empty() || inner == prefix || inner.starts_with(&format!("{prefix}/")))
            }
            (Self::Directory(outer), Self::Directory(inner)) => inner.starts_with(outer),
            _ => false,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let is_bucket = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let prefix = prefix.trim_matches('/');
            let is_name = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(|c| c.is_ascii_graphic());
            let is_right = !bucket.is_empty() && bucket.chars().all(is_bucket);
            let has_names = prefix.is_empty() || prefix.split('/').all(is_name);
            return (is_right && has_names).then(|| Self::S3 { bucket: bucket.into(), prefix: prefix.into() });
        }
        let path = text.strip_prefix("file://").filter(|path| path.starts_with('/') && !path.contains('\0'))?;
        let path = Path::new(path);
        // The root of everything is no place to keep things in.
        path.parent().map(|_| Self::Directory(path.to_path_buf()))
    }
}

/// All that is set of the archive.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveSettings {
    /// The primary one first; none where there is no archive.
    pub(crate) targets: Vec<ArchiveTarget>,
    /// How long an append with `ack=archive` waits for the primary target.
    pub(crate) ack_timeout: Duration,
    /// Bytes of this disk for what finds things in segments that are away.
    pub(crate) local_index_budget: usize,
    /// Memory for parts of such segments.
    pub(crate) cold_cache: usize,
}

impl ArchiveSettings {
    /// What was given; every fault is told.
    pub(super) fn read(given: &mut Given, data: Option<&Path>) -> Option<Self> {
        let faults = given.faults.len();
        let first = ArchiveTarget::read(given);
        let is_missing = !given.has(SECTION, "target") && keys().any(|key| given.has(SECTION, key));
        if is_missing {
            let place = given.line_of(SECTION).unwrap_or_default();
            let variable = variable(SECTION, "target");
            given.faults.push(format!(
                "{place}archive.target is missing: say where segments go with s3://bucket/prefix or file:///directory ({variable})"
            ));
        }
        let (mut targets, mut number) = (vec![(SECTION.to_owned(), first)], 1);
        while given.line_of(&numbered(number)).is_some() {
            let section = numbered(number);
            targets.push((section.clone(), further(given, &section)));
            number += 1;
        }
        let (mut known, mut places) = (BTreeSet::new(), Vec::<(Option<String>, Place, String)>::new());
        for (section, target) in targets.iter().filter_map(|(section, target)| Some((section, target.as_ref()?))) {
            given.faults.extend(faults_of(section, target, data));
            if let Some(place) = &target.target
                && !(known.insert((target.name.clone(), None)) && known.insert((String::new(), Some(place.clone()))))
            {
                given.faults.push(format!("{section}: another target has the name `{}`, or is there", target.name));
            }
            let Some(place) = &target.target else { continue };
            let is_near = |(endpoint, other, _): &&(Option<String>, Place, String)| {
                *endpoint == target.endpoint && other != place && (other.holds(place) || place.holds(other))
            };
            if let Some((.., other)) = places.iter().find(is_near) {
                given.faults.push(format!(
                    "{section}: the targets `{other}` and `{}` lie one in the other: give each a place of its own",
                    target.name
                ));
            }
            places.push((target.endpoint.clone(), place.clone(), target.name.clone()));
        }
        let first = targets.first().and_then(|(_, first)| first.clone())?;
        let ArchiveTarget { ack_timeout, local_index_budget, cold_cache, .. } = first;
        let targets: Option<Vec<_>> = targets.into_iter().map(|(_, target)| target).collect();
        let targets = targets?.into_iter().filter(|target| target.target.is_some()).collect();
        (given.faults.len() == faults).then_some(Self { targets, ack_timeout, local_index_budget, cold_cache })
    }
}

/// The section of a target that is not the first, as it is kept.
pub(super) fn numbered(number: usize) -> String {
    format!("{SECTION}[{number}]")
}

fn keys() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().filter(|section| section.name == SECTION).flat_map(|section| section.rows).map(|row| row.key)
}

/// A target that is not the first: it has a name, a place, and nothing that holds for all.
fn further(given: &mut Given, section: &str) -> Option<ArchiveTarget> {
    let place = given.line_of(section).unwrap_or_default();
    for key in ["name", "target"].into_iter().filter(|key| !given.has(section, key)).collect::<Vec<_>>() {
        given.faults.push(format!("{place}a further [[archive]] has no {key}, and needs one of its own"));
    }
    for key in FOR_ALL.into_iter().filter(|key| given.has(section, key)).collect::<Vec<_>>() {
        let key = dotted(SECTION, key);
        given.faults.push(format!("{place}{key} holds for all targets, and is said in the first [[archive]] only"));
    }
    ArchiveTarget::read_as(given, section)
}

/// What does not go together.
fn faults_of(section: &str, target: &ArchiveTarget, data: Option<&Path>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{section}: {what}"));
    if target.access_key_id.is_some() != target.secret_access_key.is_some() {
        fault("access_key_id and secret_access_key belong together, and only one of them is given");
    }
    match &target.target {
        Some(Place::S3 { .. }) if target.endpoint.is_none() && target.region == "auto" => {
            fault("without an endpoint it is Amazon's S3, which needs the region of the bucket, such as eu-central-1");
        }
        Some(Place::Directory(path)) => {
            for (is_said, key) in [
                (target.endpoint.is_some(), "endpoint"),
                (target.access_key_id.is_some(), "access_key_id"),
                (!target.storage_class.is_empty(), "storage_class"),
                (target.object_lock.is_some(), "object_lock"),
            ] {
                if is_said {
                    fault(&format!("{key} is for s3:// targets, and this one is a directory"));
                }
            }
            let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
            if data.is_some_and(|data| whole(path).starts_with(whole(data)) || whole(data).starts_with(whole(path))) {
                fault("the target and the data directory are one in the other: name a directory beside it");
            }
        }
        _ => {}
    }
    faults
}

/// A bucket or a directory, or none.
pub(super) const PLACE: Reader<Option<Place>> = Reader::new(
    "URL",
    || "s3://bucket/prefix or file:///directory".into(),
    |raw| match raw.text()? {
        "" => Some(None),
        text => Place::parse(text).map(Some),
    },
);

/// The name of a target.
pub(super) const TARGET_NAME: Reader<String> = Reader::new(
    "NAME",
    || format!("a name of 1 to {NAME_CHARS_MAX} letters, digits, `-` and `_`"),
    |raw| {
        let is_name = |text: &&str| {
            (1..=NAME_CHARS_MAX).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        raw.text().filter(is_name).map(str::to_owned)
    },
);

/// The address of a server, or none.
pub(super) const ENDPOINT: Reader<Option<String>> = Reader::new(
    "URL",
    || "an address such as https://ACCOUNT.r2.cloudflarestorage.com".into(),
    |raw| match raw.text()? {
        "" => Some(None),
        text => {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?.trim_end_matches('/');
            let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && !"@?#".contains(c));
            is_host.then(|| Some(text.trim_end_matches('/').to_owned()))
        }
    },
);

/// A word as a protocol has it, or none.
pub(super) const WORD: Reader<String> = Reader::new(
    "WORD",
    || "a word of at most 64 visible ASCII characters".into(),
    |raw| {
        let is_word = |text: &&str| text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic());
        raw.text().filter(is_word).map(str::to_owned)
    },
);

/// A while, or none.
pub(super) const SOME_DURATION: Reader<Option<Duration>> = Reader::new(
    "DURATION",
    || "a duration of at least 1s".into(),
    |raw| match raw.text()? {
        "" => Some(None),
        _ => (DURATION.read)(raw).filter(|least| *least >= Duration::from_secs(1)).map(Some),
    },
);

/// Bytes a second, or as many as go.
pub(super) const BANDWIDTH: Reader<Option<u64>> = Reader::new(
    "BYTES",
    || "a number of bytes a second from 64KiB on, such as 20MB".into(),
    |raw| match raw.text()? {
        "" => Some(None),
        _ => (super::readers::BYTES.read)(raw).map(|bytes| bytes as u64).filter(|bytes| *bytes >= 65_536).map(Some),
    },
);

/// Days of a lock, or none.
pub(super) const LOCK_DAYS: Reader<Option<u32>> = Reader::new(
    "DAYS",
    || "a number of days from 1 to 36500".into(),
    |raw| match raw.text()? {
        "" => Some(None),
        days => days.parse().ok().filter(|days| (1..=36_500).contains(days)).map(Some),
    },
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_buckets_and_directories() {
        let s3 = |bucket: &str, prefix: &str| Some(Place::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!((Place::parse("s3://logs"), Place::parse("s3://logs/a/b/")), (s3("logs", ""), s3("logs", "a/b")));
        assert_eq!(Place::parse("file:///var/archive"), Some(Place::Directory("/var/archive".into())));
        let holds = |outer: &str, inner: &str| Place::parse(outer).unwrap().holds(&Place::parse(inner).unwrap());
        assert!(holds("s3://logs", "s3://logs/a") && holds("s3://logs/a", "s3://logs/a/b"));
        assert!(holds("file:///a", "file:///a/b") && !holds("file:///a/b", "file:///a"));
        assert!(!holds("s3://logs/a", "s3://logs/ab") && !holds("s3://logs", "s3://other/a"));
        assert!(!holds("file:///a", "file:///ab") && !holds("file:///a", "s3://a/b"));
        for wrong in ["logs", "s3://", "s3:///a", "s3://a:b@c", "s3://a/b//c", "s3://a/../b", "file://a", "file:///"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
