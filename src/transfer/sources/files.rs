//! Which files a path means: itself, or those below it.
//!
//! Invariant: they come in the order of their names, so that hours and days come one after another.
use super::Format;
use std::path::{Path, PathBuf};

/// Folders within folders.
const DEPTH_MAX: usize = 32;

/// A file that is to be read, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Calls `take` with the files that a path means, and `passed` with those that lie there and are not meant by their names.
pub(crate) fn find(
    path: &Path,
    format: Format,
    passed: &mut dyn FnMut(&Path),
    take: &mut dyn FnMut(Found) -> Result<(), String>,
) -> Result<(), String> {
    let about = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
    let metadata = path.metadata().map_err(about)?;
    if metadata.is_dir() {
        walk(path, format, 0, passed, take)
    } else {
        take(Found { path: path.to_owned(), bytes: metadata.len() })
    }
}

fn walk(
    folder: &Path,
    format: Format,
    depth: usize,
    passed: &mut dyn FnMut(&Path),
    take: &mut dyn FnMut(Found) -> Result<(), String>,
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("{} lies deeper than {DEPTH_MAX} folders", folder.display()));
    }
    let about = |e: std::io::Error| format!("cannot read {}: {e}", folder.display());
    let mut names = std::fs::read_dir(folder)
        .map_err(about)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(about)?;
    names.sort();
    for path in names {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let metadata = path.metadata().map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        if name.starts_with('.') {
            continue;
        }
        if metadata.is_dir() {
            walk(&path, format, depth + 1, passed, take)?;
        } else if is_meant(&name, format) {
            take(Found { path: path.clone(), bytes: metadata.len() })?;
        } else {
            passed(&path);
        }
    }
    Ok(())
}

/// Whether a file in a folder is one of what is imported, by its name.
fn is_meant(name: &str, format: Format) -> bool {
    let is = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match format {
        Format::Parquet | Format::CloudflareParquet => is(&[".parquet"]),
        Format::Ndjson => is(&[".json", ".json.gz"]),
        Format::D1 => is(&[".sql", ".sql.gz", ".sql.zst"]),
        Format::Jsonl => {
            is(&[".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".json", ".json.gz"])
        }
        Format::Auto => is(&[
            ".parquet",
            ".json.gz",
            ".jsonl",
            ".jsonl.gz",
            ".jsonl.zst",
            ".ndjson",
            ".ndjson.gz",
            ".ndjson.zst",
            ".sql",
            ".sql.gz",
            ".sql.zst",
        ]),
    }
}
