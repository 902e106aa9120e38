//! `logyard archive export`: has a server write what it has as Parquet, or as a file for each log.
//!
//! Invariant: the server writes, on its own machine; what it has written is not written again.
use super::super::client::{Client, ServerArgs, Trouble};
use super::super::terminal::is_shown;
use super::super::times::moment;
use super::super::told::{field, number, until_done};
use super::super::{Failure, cannot_write};
use clap::{Args, ValueEnum};
use logyard_storage::query::time_text;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use ureq::http::Method;

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  logyard archive export --to /srv/lake
      every hour that is over, as Parquet: year=/month=/day=/hour=/service=
  logyard archive export --to /srv/lake --since 2026-05-01 --before 2026-05-08 --service shop
  logyard archive export --to /srv/lake --since 7d --repack
      and the parts that late records became are merged into one an hour
  logyard archive export --target main
      parquet/ in a target of the archive
  logyard archive export --to /srv/logs --format ndjson
      logs/SERVICE/DATE/ID.json.gz

Asked again, it writes what came since.";

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(in crate::cli) struct ExportArgs {
    /// Directory of the server's machine to write to
    #[arg(long, value_name = "DIR", required_unless_present = "target", conflicts_with = "target")]
    to: Option<PathBuf>,
    /// Target of the archive to write to, by its name
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Records from this time on: 7d (so long ago), 2026-05-28, 2026-05-28T10:00:00Z [default: the oldest]; whole hours of Parquet
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Records before this time, as in --since [default: the last hour that is over for ten minutes]
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Only the records of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// What is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FormatName::Parquet)]
    format: FormatName,
    /// Folders and columns of Parquet: by service, or the 13 columns of audit events by account
    #[arg(long, value_enum, value_name = "LAYOUT")]
    layout: Option<LayoutName>,
    /// Merge the parts of each hour into one
    #[arg(long)]
    repack: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is written, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// A file for each hour and service.
    Parquet,
    /// A file for each log.
    Ndjson,
}

/// Which folders and columns, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LayoutName {
    /// Every field, by hour and service.
    Service,
    /// The 13 columns of the audit pipeline, by hour and account.
    CloudflareAudit,
}

/// Has it written, and says what that is.
pub(in crate::cli) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let to = args.to.as_ref().map(std::path::absolute).transpose();
    let to = to.map_err(|e| Failure::Usage(format!("--to is no directory: {e}")))?;
    let times = [("--since", &args.since), ("--before", &args.before)];
    let [since, before] = times.map(|(flag, text)| text.as_ref().map(|text| moment(flag, text)).transpose());
    let body = json!({
        "to": to,
        "target": args.target,
        "since": since?,
        "before": before?,
        "service": args.service,
        "format": if args.format == FormatName::Parquet { "parquet" } else { "ndjson" },
        "layout": args.layout.map(|layout| if layout == LayoutName::Service { "service" } else { "cloudflare-audit" }),
        "repack": args.repack,
    });
    let client = Client::new(&args.server)?;
    let headers = [("content-type", "application/json"), ("accept", "application/x-ndjson")];
    let answer = client.send(Method::POST, "/api/v1/archive/export", &headers, body.to_string());
    let broke_off = "the answer broke off before it was done: see the server's log; the same command goes on";
    let mut said: Option<Instant> = None;
    let answer = until_done(&client, answer.map_err(Trouble::of_arguments)?, broke_off, |progress| {
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            let until = field(progress, "until").as_i64().unwrap_or_default();
            eprintln!(
                "{} records written, to before {}",
                number(progress, "rows"),
                time_text(until.saturating_mul(1_000_000))
            );
        }
    })?;
    let number = |name: &str| number(&answer, name);
    let line = if is_shown() {
        let (parts, rows, bytes) = (number("parts"), number("rows"), number("bytes"));
        let (existed, removed) = (number("existed"), number("removed"));
        format!(
            "{parts} files with {rows} records written, {bytes} bytes; {existed} were there; {removed} merged ones removed"
        )
    } else {
        answer.to_string()
    };
    writeln!(std::io::stdout().lock(), "{line}").map_err(cannot_write)
}
