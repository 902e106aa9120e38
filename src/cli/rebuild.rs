//! `logyard archive rebuild` and `verify`: what is in an archive, without a server.
//!
//! Invariants
//! * Nothing is written where there is something already; what was begun and cut short is gone on with.
//! * A credential comes from the environment or the configuration file, never from the command line.
use super::Failure;
use super::archive::say;
use super::terminal::{Bar, printable};
use crate::config::{self, Flags};
use crate::server::open_targets;
use clap::Args;
use logyard_storage::archive::Bucket;
use logyard_storage::engine::{
    RebuildReport, Rebuilding, VerifyReport, back_up_at_rest, rebuild, verify as verify_all,
};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::layout::CATALOG;
use logyard_storage::query::time_text;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const EXAMPLES: &str = "Examples:
  logyard archive rebuild --from s3://logs/prod --endpoint https://<account>.r2.cloudflarestorage.com --data /var/lib/logyard
      with the credentials in LOGYARD_ARCHIVE_ACCESS_KEY_ID and LOGYARD_ARCHIVE_SECRET_ACCESS_KEY
  logyard archive rebuild --config /etc/logyard/logyard.toml --data /var/lib/logyard
      from the first target of the configuration
  logyard archive rebuild --from /mnt/archive --data ./rebuilt --leave-owner
      to look at it: the archive stays the other directory's";

pub(super) const VERIFY_EXAMPLES: &str = "Examples:
  logyard archive verify --from /mnt/archive
  logyard archive verify --config /etc/logyard/logyard.toml --data ./rebuilt
      and whether a data directory that no server has open has all of it";

/// Where an archive is.
#[derive(Args)]
pub(super) struct PlaceArgs {
    /// The archive: s3://bucket/prefix, or a directory [default: the first target of the configuration]
    #[arg(long, value_name = "URL|DIR")]
    from: Option<String>,
    /// Server of an s3:// archive, where it is not Amazon's [env: LOGYARD_ARCHIVE_ENDPOINT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Its region [env: LOGYARD_ARCHIVE_REGION] [default: auto]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Configuration file with the archive's targets [env: LOGYARD_CONFIG] [default: ./logyard.toml, where it is]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The data directory to make; where there is one, it has to be empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Leave the segments in the archive, where they are searched, instead of fetching them
    #[arg(long)]
    in_place: bool,
    /// Leave the archive to whom it belongs: the new directory copies nothing there
    #[arg(long)]
    leave_owner: bool,
}

#[derive(Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// A data directory that no server has open, to be compared with it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Makes a data directory.
pub(super) fn run(args: &RebuildArgs) -> Result<(), Failure> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    if let Some(backup) = args.place.backup() {
        return copy_back(&env, backup, &args.data);
    }
    let bucket = args.place.open(&env)?;
    let how = Rebuilding { in_place: args.in_place, leave_owner: args.leave_owner };
    let mut bar: Option<Bar> = None;
    let rebuilt = rebuild(&env, &bucket, &args.data, how, &mut |done, total| {
        bar.get_or_insert_with(|| Bar::of_bytes("fetching", Some(total))).at(done);
        Ok(())
    });
    bar.into_iter().for_each(Bar::end);
    let report = rebuilt?;
    for trouble in &report.troubles {
        eprintln!("{}", printable(trouble));
    }
    say(&rebuilt_as(&report), || rebuilt_words(&report, &args.data))
}

/// A backup in a directory is a data directory: it is copied.
fn copy_back(env: &Arc<dyn Env>, backup: &Path, data: &Path) -> Result<(), Failure> {
    let mut bar: Option<Bar> = None;
    let made = back_up_at_rest(env, backup, data, &mut |progress| {
        bar.get_or_insert_with(|| Bar::of_bytes("copying", Some(progress.total))).at(progress.done);
        Ok(())
    });
    bar.into_iter().for_each(Bar::end);
    let made = made?;
    let answer = json!({ "success": made.damaged.is_empty(), "files": made.files, "bytes": made.bytes, "damaged": made.damaged });
    say(&answer, || format!("{} is made of a backup: {} files, {} bytes", data.display(), made.files, made.bytes))
}

fn rebuilt_as(report: &RebuildReport) -> Value {
    json!({
        "success": true,
        "target": report.target,
        "written": report.written.div_euclid(1_000_000),
        "segments": report.segments,
        "newer": report.newer,
        "rows": report.rows,
        "bytes": report.bytes,
        "before": report.before,
        "troubles": report.troubles,
    })
}

fn rebuilt_words(report: &RebuildReport, data: &Path) -> String {
    let whose = match &report.before {
        Some(before) => format!("; the archive was that of {}, which copies nothing there any more", printable(before)),
        None => String::new(),
    };
    format!(
        "{} has {} segments with {} records, {} bytes, and the state of {}{whose}. The target is called {}: start with \
         `logyard serve --data {}` and the same [[archive]]",
        data.display(),
        report.segments,
        report.rows,
        report.bytes,
        time_text(report.written),
        printable(&report.target),
        data.display()
    )
}

/// Reads everything that is in an archive.
pub(super) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    if let Some(backup) = args.place.backup() {
        return Err(Failure::Usage(format!(
            "{0} is a data directory, or a backup in one, and no archive: `logyard check --data {0}` reads all of it",
            printable(&backup.display().to_string())
        )));
    }
    let bucket = args.place.open(&env)?;
    let mut bar: Option<Bar> = None;
    let verified = verify_all(&env, &*bucket, args.data.as_deref(), &mut |done, total| {
        bar.get_or_insert_with(|| Bar::of_bytes("reading", Some(total))).at(done);
        Ok(())
    });
    bar.into_iter().for_each(Bar::end);
    let report = verified?;
    say(&verified_as(&report), || verified_words(&report))?;
    match report.damaged.first() {
        None => Ok(()),
        Some(first) => Err(Failure::Failed(format!(
            "{} things are missing or damaged, such as: {}",
            report.damaged.len(),
            printable(first)
        ))),
    }
}

fn verified_as(report: &VerifyReport) -> Value {
    json!({
        "success": report.damaged.is_empty(),
        "target": report.target,
        "written": report.written.div_euclid(1_000_000),
        "segments": report.segments,
        "rows": report.rows,
        "bytes": report.bytes,
        "state": report.state,
        "damaged": report.damaged,
    })
}

fn verified_words(report: &VerifyReport) -> String {
    let state = |name: &str| report.state.get(name).copied().unwrap_or(0);
    format!(
        "{} segments with {} records are whole, {} bytes; the manifest of {} has {} configurations, {} keys, {} jobs and {} \
         checkpoints and other effects",
        report.segments,
        report.rows,
        report.bytes,
        time_text(report.written),
        state("services"),
        state("keys"),
        state("jobs"),
        state("effects")
    )
}

impl PlaceArgs {
    /// A backup in a directory, where it is one.
    fn backup(&self) -> Option<&Path> {
        self.from.as_deref().map(Path::new).filter(|from| from.join(CATALOG).exists())
    }

    /// The archive, opened.
    fn open(&self, env: &Arc<dyn Env>) -> Result<Arc<dyn Bucket>, Failure> {
        let place = self.from.as_deref().map(place_of).transpose()?;
        let given = [("archive-endpoint", &self.endpoint), ("archive-region", &self.region)];
        let settings: BTreeMap<String, String> =
            given.into_iter().filter_map(|(flag, value)| Some((flag.to_owned(), value.clone()?))).collect();
        let flags = Flags { settings, config: self.config.clone(), ..Flags::default() };
        let variables: Vec<_> = std::env::vars_os().collect();
        let settings =
            config::archive(place.as_deref(), flags, variables).map_err(|faults| Failure::configuration(&faults))?;
        let targets = open_targets(&settings, env)?;
        let target = targets.into_iter().next();
        let target = target.ok_or_else(|| {
            Failure::Usage("say with --from where the archive is, or name it under [[archive]]".into())
        })?;
        Ok(target.bucket)
    }
}

/// A place as the configuration has it.
fn place_of(from: &str) -> Result<String, Failure> {
    if from.contains("://") {
        return Ok(from.to_owned());
    }
    let path = std::fs::canonicalize(from)
        .map_err(|e| Failure::Failed(format!("there is no directory {}: {e}", printable(from))))?;
    Ok(format!("file://{}", path.display()))
}
