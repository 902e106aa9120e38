//! `logyard ingest`: files and standard input into a server, each record once.
//!
//! A file's records become JSON lines, and go to `/insert/jsonline` in batches, one after the other. Where it was is kept in a file of
//! its own: see `state.rs`.
//!
//! Invariants
//! * A batch is begun when the one before is acknowledged, and where it ends is kept before it is sent. Who comes back after any
//!   end sends the same bytes under the same `Idempotency-Key`, so that they count once.
//! * Memory is bounded: a batch, and a record of at most [`records::RECORD_BYTES_MAX`].
//! * A signal ends it behind what was read; a second one at once.
mod batch;
mod follow;
mod input;
mod once;
mod piped;
mod progress;
mod records;
mod sender;
mod state;
mod watched;

use super::client::{Client, ServerArgs};
use super::{Failure, terminal};
use crate::config;
use crate::ingest::foreign::{Format, Reading};
use clap::{Args, ValueEnum};
use regex::bytes::Regex;
use sender::{Patience, Sender};
use signal_hook::consts::{SIGINT, SIGTERM};
use state::Place;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) const EXAMPLES: &str = "Examples:
  logyard ingest app.log --service shop
  logyard ingest /var/log/syslog.2.gz dump.jsonl.zst --service host7
  kubectl logs web | logyard ingest --service web
  logyard ingest app.log --service shop --multiline-start '^\\d{4}-\\d\\d-\\d\\d '
      a record goes on until the next line that begins with a date
  logyard ingest /var/log/app.log --service shop --follow
      until Ctrl-C; knows rotation and truncation, and goes on where it was

A file is read from where the last time ended; --again sends it from its beginning once more.";

/// An answer may take so long.
const SILENCE: Duration = Duration::from_secs(120);

#[derive(Args)]
pub(super) struct IngestArgs {
    /// Files to read, .gz and .zst too; - is standard input
    #[arg(value_name = "FILE|-", default_value = "-")]
    files: Vec<PathBuf>,
    /// The service of the records; those of JSON that name one keep it
    #[arg(long, value_name = "NAME")]
    service: String,
    /// What the records are
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FormatName::Auto)]
    format: FormatName,
    /// Go on when a file's end is reached, until told to stop
    #[arg(long)]
    follow: bool,
    /// A record begins with a line that matches this regular expression; lines that do not are part of the one before
    #[arg(long, value_name = "REGEX")]
    multiline_start: Option<String>,
    /// Send files from their beginning, whatever was sent before
    #[arg(long)]
    again: bool,
    /// Where it is kept how far files were read [env: LOGYARD_STATE] [default: ~/.local/state/logyard/ingest]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the records of a file are, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// What each line looks like.
    Auto,
    /// JSON lines.
    Json,
    /// key=value pairs.
    Logfmt,
    /// RFC 5424 and RFC 3164.
    Syslog,
    /// Plain text; a time at its beginning and a level are seen.
    Text,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Auto => Self::Auto,
            FormatName::Json => Self::Json,
            FormatName::Logfmt => Self::Logfmt,
            FormatName::Syslog => Self::Syslog,
            FormatName::Text => Self::Text,
        }
    }
}

/// What holds for all files of a run.
struct Job {
    sender: Sender,
    reading: Reading,
    /// What begins a record of several lines.
    start: Option<Regex>,
    /// Where it is kept how far files were read.
    states: PathBuf,
    again: bool,
    /// Set when it is told to stop.
    stop: Arc<AtomicBool>,
}

impl Job {
    /// Where a file is kept note of.
    fn place(&self, path: &Path) -> Result<Place, Failure> {
        let settings = format!("{:?} {}", self.reading.format, self.start.as_ref().map_or("", Regex::as_str));
        Place::open(&self.states, self.sender.url(), &self.reading.service, path, settings)
    }
}

/// Reads and sends everything that is named.
pub(super) fn run(args: &IngestArgs) -> Result<(), Failure> {
    let job = job(args)?;
    if args.follow {
        return follow::run(&job, &args.files);
    }
    let mut refused = 0;
    for file in &args.files {
        if job.stop.load(Ordering::Relaxed) {
            return Err(Failure::Failed(format!("told to stop before {}", shown(file))));
        }
        refused += once::run(&job, file)?;
    }
    match refused {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 record was refused".into())),
        n => Err(Failure::Failed(format!("{n} records were refused"))),
    }
}

fn job(args: &IngestArgs) -> Result<Job, Failure> {
    if args.service.trim().is_empty() {
        return Err(Failure::Usage("--service must not be empty".into()));
    }
    let start = args.multiline_start.as_deref().map(Regex::new).transpose();
    let start = start.map_err(|e| Failure::Usage(format!("--multiline-start is no regular expression: {e}")))?;
    let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
    if args.follow && args.files.iter().any(is_stdin) {
        return Err(Failure::Usage("standard input needs no --follow: it is read until it ends".into()));
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Who asks a second time does not want to wait.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let client = Client::with_patience(&args.server, Some(SILENCE))?;
    let patience = if args.follow { Patience::Endless } else { Patience::Bounded };
    let states = config::ingest_state(args.state.clone(), |name| std::env::var_os(name)).map_err(Failure::Usage)?;
    Ok(Job {
        sender: Sender::new(client, patience, Arc::clone(&stop)),
        reading: Reading { format: args.format.into(), service: args.service.clone() },
        start,
        states,
        again: args.again,
        stop,
    })
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { terminal::printable(&path.to_string_lossy()).into() }
}
