//! What the engine was doing when power failed, by the call that it failed in.
use logyard_storage::env::sim::IoKind;
use std::collections::BTreeMap;
use std::path::Path;

/// What the test was asking of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Open,
    Append,
    Seal,
    Compact,
    Retain,
    Delete,
    Configure,
    Close,
}

/// A cut that took or could have taken several batches which had been acknowledged from memory; counted beside its step.
pub(crate) const SEVERAL_UNSYNCED: &str = "several batches unsynced";

/// Every step that a cut is counted under.
pub(crate) const STEPS: [&str; 31] = [
    "directories",
    "catalog: made",
    "catalog: opened or repaired",
    "catalog: numbers reserved",
    "catalog: seal committed",
    "catalog: merge committed",
    "catalog: retention committed",
    "catalog: deletion committed",
    "catalog: configured",
    "catalog: closed",
    "configuration: copied",
    "deletion: copied",
    "wal: append",
    "wal: sync",
    "wal: file made",
    "wal: rotate",
    "wal: retire",
    "wal: tail rewritten",
    "wal: swept at a start",
    "wal: closed",
    "seal: file written",
    "seal: file synced",
    "seal: file named",
    "merge: file written",
    "merge: file synced",
    "merge: file named",
    "merge: inputs removed",
    "retention: rewritten",
    "retention: files removed",
    "segments: swept at a start",
    SEVERAL_UNSYNCED,
];

/// How often each step was hit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hits(BTreeMap<&'static str, u64>);

impl Hits {
    pub(crate) fn add(&mut self, step: &'static str) {
        *self.0.entry(step).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(step, hits)| *self.0.entry(step).or_default() += hits);
    }

    pub(crate) fn of(&self, step: &str) -> u64 {
        self.0.get(step).copied().unwrap_or(0)
    }

    pub(crate) fn summary(&self) -> String {
        STEPS.iter().chain([&"elsewhere"]).map(|step| format!("{:>8}  {step}\n", self.of(step))).collect()
    }
}

/// The step of a call, given what was asked for and the last calls before it.
pub(crate) fn step(doing: Doing, kind: IoKind, path: &Path, offset: u64, trace: &[String]) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let path = path.to_string_lossy();
    if name.starts_with("catalog") {
        return of_catalog(doing, name);
    }
    if path.starts_with("/data/wal") {
        return of_log(doing, kind, name, offset, trace);
    }
    if path.starts_with("/data/segments/") {
        return of_segment(doing, kind);
    }
    match doing {
        Doing::Configure if path.starts_with("/data/config-copy") => "configuration: copied",
        Doing::Delete if path.starts_with("/data/config-copy") => "deletion: copied",
        _ => "directories",
    }
}

fn of_catalog(doing: Doing, name: &str) -> &'static str {
    match doing {
        Doing::Open if name != "catalog.redb" => "catalog: made",
        Doing::Open => "catalog: opened or repaired",
        Doing::Append => "catalog: numbers reserved",
        Doing::Seal => "catalog: seal committed",
        Doing::Compact => "catalog: merge committed",
        Doing::Retain => "catalog: retention committed",
        Doing::Delete => "catalog: deletion committed",
        Doing::Configure => "catalog: configured",
        Doing::Close => "catalog: closed",
    }
}

/// The handle of a log file is known by the name under which it was opened, that of a spare.
fn of_log(doing: Doing, kind: IoKind, name: &str, offset: u64, trace: &[String]) -> &'static str {
    let (is_log, is_new) = (name.ends_with(".wal"), name.ends_with(".tmp"));
    match (doing, kind) {
        (Doing::Open, _) if is_new && is_copy(name, trace) => "wal: tail rewritten",
        (_, _) if is_new => "wal: file made",
        (_, IoKind::Rename) if is_log => "wal: retire",
        (_, IoKind::Rename) => "wal: rotate",
        (Doing::Open, IoKind::Remove | IoKind::SyncDir) => "wal: swept at a start",
        (Doing::Close, IoKind::Write | IoKind::Sync) => "wal: closed",
        (_, IoKind::Write) if offset == 0 => "wal: rotate",
        (_, IoKind::Write) => "wal: append",
        (_, IoKind::Sync) if header_was_written(trace) => "wal: rotate",
        (_, IoKind::Sync) => "wal: sync",
        (_, IoKind::Remove) | (Doing::Seal | Doing::Close, IoKind::SyncDir) => "wal: retire",
        (_, IoKind::SyncDir) => "wal: rotate",
        _ => "elsewhere",
    }
}

fn header_was_written(trace: &[String]) -> bool {
    trace.iter().rev().find(|line| line.contains(" Write ")).is_some_and(|line| line.contains(".spare 0+"))
}

/// Whether a temporary file is the copy of the last one: then it was emptied when it was begun.
fn is_copy(name: &str, trace: &[String]) -> bool {
    let begun =
        trace.iter().rev().find(|line| line.contains(name) && (line.contains("SetLen") || line.contains("Open")));
    begun.is_some_and(|line| line.contains("SetLen"))
}

fn of_segment(doing: Doing, kind: IoKind) -> &'static str {
    match (doing, kind) {
        (Doing::Open, _) => "segments: swept at a start",
        (Doing::Compact, IoKind::Remove) => "merge: inputs removed",
        (Doing::Compact, IoKind::Sync) => "merge: file synced",
        (Doing::Compact, IoKind::Rename | IoKind::SyncDir) => "merge: file named",
        (Doing::Compact, _) => "merge: file written",
        (Doing::Retain, IoKind::Remove) => "retention: files removed",
        (Doing::Retain, _) => "retention: rewritten",
        (_, IoKind::Sync) => "seal: file synced",
        (_, IoKind::Rename | IoKind::SyncDir | IoKind::CreateDir) => "seal: file named",
        _ => "seal: file written",
    }
}
