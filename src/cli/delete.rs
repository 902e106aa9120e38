//! `logyard delete`: has a server delete what a query selects.
//!
//! Invariants
//! * Nothing is deleted unless both ends of the time are said on the command line.
//! * Standard output has the server's answer, without control characters on a terminal.
use super::Failure;
use super::client::{Client, ServerArgs};
use super::query::refused;
use super::terminal::{is_shown, printable};
use super::times::moment;
use clap::Args;
use serde_json::{Map, Value};
use std::io::Write;
use ureq::http::Method;

pub(super) const EXAMPLES: &str = "Examples:
  logyard delete 'service_name:=shop user.email:=\"ann@example.com\"' --since 2026-01-01 --until now --dry-run
      says how many records that would be
  logyard delete 'service_name:=test' --since 30d --until 1d";

#[derive(Args)]
pub(super) struct DeleteArgs {
    /// What to delete: a LogsQL filter, without pipes
    #[arg(value_name = "LOGSQL", allow_hyphen_values = true)]
    query: String,
    /// Records from this time on: 1h (so long ago), 2026-05-28, 2026-05-28T10:00:00Z
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Records up to this time, as in --since
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Deletes, or says what would be deleted.
pub(super) fn run(args: &DeleteArgs) -> Result<(), Failure> {
    let body = serde_json::json!({
        "query": args.query,
        "since": moment("--since", &args.since)?,
        "until": moment("--until", &args.until)?,
        "dry_run": args.dry_run,
    });
    let client = Client::new(&args.server)?;
    let answer = client.send_json(Method::POST, "/api/v1/admin/delete", &body);
    let answer = answer.map_err(|trouble| refused(trouble, &args.query))?;
    let mut out = std::io::stdout().lock();
    let none = Map::new();
    let text = match answer.as_object().unwrap_or(&none) {
        fields if is_shown() => {
            let line =
                |(name, value): (&String, &Value)| format!("{}: {}", printable(name), printable(&value.to_string()));
            fields.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        _ => answer.to_string(),
    };
    writeln!(out, "{text}").map_err(super::cannot_write)
}
