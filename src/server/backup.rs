//! A backup over HTTP: everything that there is, copied into a directory of the server's own machine or a target of the archive; how far it is comes as JSON
//! lines, and what came of it as the last one.
//!
//! Invariants
//! * What is asked for wrongly is an answer with a status; only what fails later is a line with `error`.
//! * Where nobody waits for the answer any more, the backup ends.
use super::access::{Caller, Changed, audit};
use super::body::read_whole;
use super::error::ApiError;
use super::progress::{self, Teller};
use super::{Server, blocking};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::archive::Bucket;
use logyard_storage::engine::{BackedUp, BackupProgress, BackupStage};
use logyard_storage::limits::MIB;
use serde_json::{Map, Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `POST /api/v1/admin/backup`
pub(super) async fn backup(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let target = blocking({
        let server = Arc::clone(&server);
        move || match folder_of_archive(&body.bytes)? {
            Some((archive, folder)) => Ok(Target::Archive(server.archives.part(&archive, &folder)?)),
            None => asked(&body.bytes, server.engine.data()).map(Target::Directory),
        }
    });
    let target: Target = target.await?.map_err(|e: ApiError| e)?;
    progress::answer(progress::Form::Lines, move |teller| make(&server, &caller, &target, teller)).await
}

/// Where a backup goes.
enum Target {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A folder of a target of the archive.
    Archive(Arc<dyn Bucket>),
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Archive(part) => part.place(),
        }
    }
}

/// The target of the archive that it is to go to, and the folder there; nothing where none is named.
fn folder_of_archive(body: &[u8]) -> Result<Option<(String, String)>, ApiError> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return Ok(None) };
    let Some(archive) = object.get("archive") else { return Ok(None) };
    if let Some(key) = object.keys().find(|key| !["archive", "target"].contains(&key.as_str())) {
        let key: String = key.chars().take(40).collect();
        return Err(ApiError::bad(format!(
            "{key} is nothing that a backup in the archive has; it has archive and target"
        )));
    }
    let wrong = || ApiError::bad("target must be a folder of the archive's target, such as backups/2026-05-28");
    let archive =
        archive.as_str().ok_or_else(|| ApiError::bad("archive must be the name of a target of the archive"))?;
    let folder = object.get("target").and_then(Value::as_str).ok_or_else(wrong)?;
    let is_plain = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | ':');
        !matches!(part, "" | "." | "..") && part.len() <= 200 && part.chars().all(is_plain)
    };
    let is_ours = ["segments", "manifest", "parquet", "logs", "probe", "owner"]
        .contains(&folder.split('/').next().unwrap_or_default());
    if folder.len() > 500 || is_ours || !folder.split('/').all(is_plain) {
        return Err(wrong());
    }
    Ok(Some((archive.to_owned(), folder.to_owned())))
}

/// Where it is to go.
fn asked(body: &[u8], data: &Path) -> Result<PathBuf, ApiError> {
    let object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad(format!("the body must be a JSON object with target, and may have data: {e}")))?;
    if let Some(key) = object.keys().find(|key| !["target", "data"].contains(&key.as_str())) {
        let key: String = key.chars().take(40).collect();
        return Err(ApiError::bad(format!("{key} is nothing that a backup has; it has target and data")));
    }
    let path = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(path)) if Path::new(path).is_absolute() && !path.contains('\0') => Ok(Some(Path::new(path))),
        Some(_) => Err(ApiError::bad(format!("{name} must be the whole path of a directory, from / on"))),
    };
    let target = path("target")?.ok_or_else(|| {
        ApiError::bad("target is missing: say in which directory of the server's machine the backup is made")
    })?;
    if let Some(meant) = path("data")?
        && !is_same(meant, data)
    {
        let error = format!("this server's data is in {}, not in {}", data.display(), meant.display());
        return Err(ApiError::new(StatusCode::CONFLICT, error));
    }
    whole_path(target, data).map_err(ApiError::bad)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let both = std::fs::canonicalize(one).and_then(|one| Ok((one, std::fs::canonicalize(other)?)));
    both.is_ok_and(|(one, other)| one == other)
}

/// The directory of a backup, by its path without links, so that it is seen where it is; not in the data, nor the data in it.
pub(crate) fn whole_path(target: &Path, data: &Path) -> Result<PathBuf, String> {
    let no_directory = |path: &Path, e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => format!("there is no directory {}: make it first", path.display()),
        _ => format!("cannot look at {}: {e}; name another directory", path.display()),
    };
    let target = match std::fs::canonicalize(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let (parent, name) = target.parent().zip(target.file_name()).ok_or("target must name a directory")?;
            std::fs::canonicalize(parent).map_err(|e| no_directory(parent, e))?.join(name)
        }
        found => found.map_err(|e| no_directory(target, e))?,
    };
    if std::fs::canonicalize(data).is_ok_and(|data| target.starts_with(&data) || data.starts_with(&target)) {
        return Err(format!(
            "{} and the data directory are one in the other: name a directory beside it",
            target.display()
        ));
    }
    Ok(target)
}

/// Makes it, and says how far it is and what came of it. This blocks.
fn make(server: &Server, caller: &Caller, target: &Target, mut teller: Teller) {
    let mut told = |progress| teller.tell(|| shown(progress));
    let made = match target {
        Target::Directory(path) => server.engine.backup(path, &mut told),
        Target::Archive(part) => server.engine.back_up_to(&**part, &mut told),
    };
    let name = target.name();
    let (after, last) = match made {
        Ok(made) => {
            let done = done(&name, &made);
            (done.clone(), Ok(done))
        }
        // It did not begin.
        Err(e) if !teller.has_begun() => (Value::Null, Err(ApiError::from(e))),
        Err(e) => {
            let error = match target {
                Target::Directory(_) => format!("{e}; {name} is not finished: remove it, and make another one"),
                Target::Archive(_) => format!("{e}; the same backup again goes on with it"),
            };
            crate::log::error(format_args!("a backup failed: {error}"));
            let failed = json!({ "error": error });
            (failed.clone(), Ok(failed))
        }
    };
    if !after.is_null() {
        audit(server, caller, &Changed { action: "backup.create", target: &name, before: Value::Null, after });
    }
    teller.end(last);
}

fn shown(progress: BackupProgress) -> Value {
    let stage = match progress.stage {
        BackupStage::Copying => "copying",
        BackupStage::Checking => "checking",
    };
    json!({ "stage": stage, "done": progress.done, "total": progress.total })
}

/// What came of it, as it is said.
pub(crate) fn done(target: &str, made: &BackedUp) -> Value {
    json!({
        "success": true,
        "target": target,
        "files": made.files,
        "bytes": made.bytes,
        "damaged": made.damaged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_wholly_and_beside_the_data() {
        let root = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(root.path()).unwrap();
        let data = root.join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, root.join("link")).unwrap();
        let ask = |body: Value| asked(body.to_string().as_bytes(), &data);
        let at = |name: &str| root.join(name).display().to_string();
        assert_eq!(ask(json!({"target": at("copy")})).unwrap(), root.join("copy"));
        assert_eq!(ask(json!({"target": at("data/../copy"), "data": at("link")})).unwrap(), root.join("copy"));
        for (wrong, said) in [
            (json!([]), "JSON object"),
            (json!({}), "target is missing"),
            (json!({"target": "copy"}), "whole path"),
            (json!({"target": 5}), "whole path"),
            (json!({"target": "/a\u{0}b"}), "whole path"),
            (json!({"target": "/"}), "one in the other"),
            (json!({"target": at("copy"), "to": 1}), "to is nothing"),
            (json!({"target": at("none/copy")}), "make it first"),
            (json!({"target": at("data")}), "one in the other"),
            (json!({"target": at("link/copy")}), "one in the other"),
            (json!({"target": root.display().to_string()}), "one in the other"),
            (json!({"target": at("copy"), "data": at("copy")}), "data is in"),
        ] {
            let error = ask(wrong.clone()).unwrap_err().to_string();
            assert!(error.starts_with('4') && error.contains(said), "{wrong}: {error}");
        }
    }
}
