//! `logyard archive`: what is in the archive of a server, and having it copied there and brought back.
//!
//! Invariants
//! * How far it is is drawn on standard error, where that is a terminal; standard output has what came of it.
//! * What could not be done ends it with 1; what was done until then stays done, and the same command goes on.
use super::client::{Client, ServerArgs, Trouble};
use super::rebuild;
use super::terminal::{Bar, is_shown, printable};
use super::times::moment;
use super::told::{field, number, until_done};
use super::{Failure, cannot_write, transfer};
use clap::{Args, Subcommand};
use logyard_storage::query::{duration, time_text};
use serde_json::{Value, json};
use std::io::Write;
use ureq::http::Method;

pub(super) const EXAMPLES: &str = "Examples:
  logyard archive status
  logyard archive offload --evict
  logyard archive restore --since 2026-05-01 --before 2026-05-08 --service shop --ttl 2d
  logyard archive export --to /srv/lake
  logyard archive import /srv/lake";

const STATUS_EXAMPLES: &str = "Examples:
  logyard archive status
  logyard archive status | jq '.targets[] | {name, waiting, trouble}'";

const OFFLOAD_EXAMPLES: &str = "Examples:
  logyard archive offload
      copies what is not there yet, now instead of after archive.offload_after
  logyard archive offload --evict
      and lets the files go from the server's disk; they are searched in the archive from then on";

const RESTORE_EXAMPLES: &str = "Examples:
  logyard archive restore --since 2026-05-01 --before 2026-05-08
      everything that has records of the first week of May
  logyard archive restore --since 30d --before 23d --service shop --ttl 12h";

const COLLECT_EXAMPLES: &str = "Examples:
  logyard archive collect --dry-run
      says what would go: objects of segments that expired or were merged, and such that nobody knows of
  logyard archive collect";

const TAKE_OVER_EXAMPLES: &str = "Examples:
  logyard archive take-over --target main
      when the status says that it belongs to another data directory, and that one is gone for good";

const MILLI: i64 = 1_000_000;

#[derive(Subcommand)]
pub(super) enum ArchiveCommand {
    /// Say what is in the archive, and what is not there yet.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Copy all that is sealed to the archive, now.
    #[command(after_help = OFFLOAD_EXAMPLES)]
    Offload(OffloadArgs),
    /// Bring records back to the server's disk for a while.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Remove from the archive what nothing needs any more, now.
    #[command(after_help = COLLECT_EXAMPLES)]
    Collect(CollectArgs),
    /// Make a target this server's that belongs to another data directory.
    #[command(after_help = TAKE_OVER_EXAMPLES)]
    TakeOver(TakeOverArgs),
    /// Make a data directory anew from what is in an archive, on a machine that has nothing.
    #[command(after_help = rebuild::EXAMPLES)]
    Rebuild(rebuild::RebuildArgs),
    /// Read all that is in an archive, and say whether a data directory could be rebuilt of it.
    #[command(after_help = rebuild::VERIFY_EXAMPLES)]
    Verify(rebuild::VerifyArgs),
    /// Write what a server has as Parquet, or as a file for each log.
    #[command(after_help = transfer::export::EXAMPLES)]
    Export(transfer::export::ExportArgs),
    /// Bring records that were kept elsewhere into a server, each once.
    #[command(after_help = transfer::import::EXAMPLES)]
    Import(transfer::import::ImportArgs),
}

#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct OffloadArgs {
    /// Let the files go from the server's disk that are in the archive
    #[arg(long)]
    evict: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct CollectArgs {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct TakeOverArgs {
    /// The target, by its name
    #[arg(long, value_name = "NAME")]
    target: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct RestoreArgs {
    /// Records from this time on: 7d (so long ago), 2026-05-28, 2026-05-28T10:00:00Z
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Records before this time, as in --since
    #[arg(long, value_name = "TIME")]
    before: String,
    /// Only what may have records of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// How long it stays
    #[arg(long, value_name = "DURATION", default_value = "2d")]
    ttl: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Does what is asked for.
pub(super) fn run(command: &ArchiveCommand) -> Result<(), Failure> {
    match command {
        ArchiveCommand::Status(args) => status(args),
        ArchiveCommand::Offload(args) => {
            let done = work(&args.server, "offload", "copying", &json!({ "evict": args.evict }))?;
            say(&done, || {
                let (segments, bytes, evicted) =
                    (number(&done, "segments"), number(&done, "bytes"), number(&done, "evicted"));
                format!("{segments} segments copied, {bytes} bytes; the files of {evicted} left this disk")
            })
        }
        ArchiveCommand::Restore(args) => restore(args),
        ArchiveCommand::Collect(args) => {
            let done = work(&args.server, "collect", "removing", &json!({ "dry_run": args.dry_run }))?;
            say(&done, || {
                let verb = if args.dry_run { "would be removed" } else { "removed" };
                format!(
                    "{} objects {verb} that had no use, and {} that nobody knew of, {} bytes; {} wait for their time",
                    number(&done, "condemned"),
                    number(&done, "orphans"),
                    number(&done, "orphan_bytes"),
                    number(&done, "waiting")
                )
            })
        }
        ArchiveCommand::TakeOver(args) => {
            let done = work(&args.server, "take-over", "", &json!({ "target": args.target }))?;
            say(&done, || match field(&done, "before").as_str() {
                Some(before) => {
                    format!("{} is this server's now; it was that of {}", printable(&args.target), printable(before))
                }
                None => format!("{} is this server's", printable(&args.target)),
            })
        }
        ArchiveCommand::Rebuild(args) => rebuild::run(args),
        ArchiveCommand::Verify(args) => rebuild::verify(args),
        ArchiveCommand::Export(args) => transfer::export::run(args),
        ArchiveCommand::Import(args) => transfer::import::run(args),
    }
}

fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    if duration(&args.ttl).is_none_or(|ttl| ttl <= 0) {
        let ttl = printable(&args.ttl);
        return Err(Failure::Usage(format!("--ttl has to be a duration such as 2d, not `{ttl}`")));
    }
    let (since, before) = (moment("--since", &args.since)?, moment("--before", &args.before)?);
    let body = json!({ "since": since, "before": before, "service": args.service, "ttl": args.ttl });
    let done = work(&args.server, "restore", "fetching", &body)?;
    say(&done, || {
        let until = field(&done, "until").as_i64().unwrap_or_default();
        format!(
            "{} segments with {} records are back, {} bytes; {} were here already; all stay until {}",
            number(&done, "segments"),
            number(&done, "rows"),
            number(&done, "bytes"),
            number(&done, "here"),
            time_text(until.saturating_mul(MILLI))
        )
    })
}

/// Has a server do something, shows how far it is, and gives what came of it.
fn work(server: &ServerArgs, what: &str, doing: &str, body: &Value) -> Result<Value, Failure> {
    let client = Client::new(server)?;
    let headers = [("content-type", "application/json"), ("accept", "application/x-ndjson")];
    let path = format!("/api/v1/archive/{what}");
    let answer = client.send(Method::POST, &path, &headers, body.to_string()).map_err(Trouble::of_arguments)?;
    let mut bar: Option<Bar> = None;
    let broke_off =
        "the answer broke off before it was done: see the server's log, and ask again; what is done stays done";
    let done = until_done(&client, answer, broke_off, |said| {
        let bar = bar.get_or_insert_with(|| Bar::of_bytes(doing, Some(number(said, "total"))));
        bar.at(number(said, "done"));
    });
    bar.into_iter().for_each(Bar::end);
    done
}

/// What came of it: for people in words, into a pipe as it was answered.
pub(super) fn say(done: &Value, words: impl FnOnce() -> String) -> Result<(), Failure> {
    let line = if is_shown() { words() } else { done.to_string() };
    writeln!(std::io::stdout().lock(), "{line}").map_err(cannot_write)
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    let status = Client::new(&args.server)?.get("/api/v1/archive/status")?;
    let mut out = std::io::stdout().lock();
    if !is_shown() {
        return writeln!(out, "{status}").map_err(cannot_write);
    }
    lines(&status).iter().try_for_each(|line| writeln!(out, "{}", printable(line))).map_err(cannot_write)
}

/// A status in words.
fn lines(status: &Value) -> Vec<String> {
    let targets = field(status, "targets").as_array().map(Vec::as_slice).unwrap_or_default();
    if targets.is_empty() {
        return vec!["there is no archive: name a target under [[archive]] in logyard.toml".into()];
    }
    let mut lines = Vec::new();
    for target in targets {
        let text = |name: &str| field(target, name).as_str().unwrap_or_default().to_owned();
        let count = |name: &str| number(target, name);
        let oldest = match field(target, "oldest_waiting_seconds").as_u64() {
            Some(seconds) => format!(", the oldest for {seconds} s"),
            None => String::new(),
        };
        lines.push(format!(
            "{} in {}: {} segments, {} bytes; {} wait{oldest}",
            text("name"),
            text("place"),
            count("segments"),
            count("bytes"),
            count("waiting")
        ));
        if let Some(trouble) = field(target, "trouble").as_str() {
            lines.push(format!("    trouble: {trouble}"));
        }
    }
    for (name, what) in
        [("here", "on this disk"), ("away", "in the archive alone"), ("restored", "back on this disk for a while")]
    {
        let sum = field(status, name);
        lines.push(format!("{what}: {} segments, {} bytes", number(sum, "segments"), number(sum, "bytes")));
    }
    let fetched = field(status, "fetched");
    lines.push(format!(
        "what finds things in it: {} bytes on this disk; fetched for searches: {} requests, {} bytes",
        number(status, "index_bytes"),
        number(fetched, "requests"),
        number(fetched, "bytes")
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        assert!(lines(&json!({ "targets": [] }))[0].contains("there is no archive"));
        let target = json!({
            "name": "main", "place": "s3://b/p", "segments": 3, "bytes": 9, "waiting": 1,
            "oldest_waiting_seconds": 70, "trouble": "no",
        });
        let status = json!({ "targets": [target], "away": { "segments": 2, "bytes": 5 }, "index_bytes": 4 });
        let told = lines(&status);
        assert_eq!(told[0], "main in s3://b/p: 3 segments, 9 bytes; 1 wait, the oldest for 70 s");
        assert_eq!(
            (told[1].as_str(), told[3].as_str()),
            ("    trouble: no", "in the archive alone: 2 segments, 5 bytes")
        );
    }
}
