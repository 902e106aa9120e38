//! `logyard services` and `logyard stats`: which services there are, and how many logs one has.
//!
//! Invariants
//! * A terminal gets names without control characters; a pipe gets a line of JSON for each.
//! * A service's name is one piece of a path, whatever characters it has.
use super::Failure;
use super::client::{Client, ServerArgs, Trouble};
use super::rows::{Output, Printer};
use super::terminal::is_shown;
use super::times::span;
use clap::Args;
use logyard_storage::query::time_text;
use serde_json::{Value, json};
use std::io::Write;

pub(super) const SERVICES_EXAMPLES: &str = "Examples:
  logyard services
  logyard services | head -3";

pub(super) const STATS_EXAMPLES: &str = "Examples:
  logyard stats shop
  logyard stats shop --since 24h
  logyard stats shop --output ndjson | jq .total";

const MILLI: i64 = 1_000_000;

#[derive(Args)]
pub(super) struct ServicesArgs {
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct StatsArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Records from this time on: 1h (so long ago), 2026-05-28, 2026-05-28T10:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Records up to this time, as in --since
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How they are written [default: table on a terminal, ndjson into a pipe]
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<Output>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Writes the names of the services, one a line.
pub(super) fn services(args: &ServicesArgs) -> Result<(), Failure> {
    let answer = Client::new(&args.server)?.get("/api/v1/logs/services")?;
    let names = answer.get("services").and_then(Value::as_array);
    let names = names.ok_or_else(|| Trouble::BrokeOff("the server's answer has no services".into()))?;
    let mut out = std::io::stdout().lock();
    for name in names {
        // Into a pipe as JSON, so that a name may have any characters.
        let line = match name.as_str() {
            Some(name) if is_shown() => super::terminal::printable(name).into_owned(),
            _ => json!({ "service": name }).to_string(),
        };
        writeln!(out, "{line}").map_err(super::cannot_write)?;
    }
    Ok(())
}

/// Writes how many logs a service has.
pub(super) fn stats(args: &StatsArgs) -> Result<(), Failure> {
    let mut params = Vec::new();
    if let Some(text) = &args.since {
        params.push(format!("start_time={}", span("--since", text)?.0.div_euclid(MILLI)));
    }
    if let Some(text) = &args.until {
        params.push(format!("end_time={}", span("--until", text)?.1.div_euclid(MILLI)));
    }
    let query = if params.is_empty() { String::new() } else { format!("?{}", params.join("&")) };
    let path = format!("/api/v1/logs/stats/{}{query}", in_path(&args.service));
    let answer = Client::new(&args.server)?.get(&path).map_err(Trouble::of_arguments)?;
    let stats = answer.get("stats").ok_or_else(|| Trouble::BrokeOff("the server's answer has no stats".into()))?;
    let mut printer = Printer::new(args.output);
    match Output::or_suited(args.output) {
        Output::Ndjson => printer.line(&stats.to_string())?,
        _ => lines(stats).iter().try_for_each(|line| printer.line(line))?,
    }
    printer.end()
}

/// What is counted, a row each.
fn lines(stats: &Value) -> Vec<String> {
    let number = |name: &str| stats.get(name).and_then(Value::as_i64);
    // In this order, which a map would not keep.
    let row = |name: &str, value: String| format!("{{\"what\":{},\"value\":{}}}", json!(name), json!(value));
    let mut lines = vec![row("total", number("total").unwrap_or(0).to_string())];
    for (level, count) in stats.get("by_level").and_then(Value::as_object).into_iter().flatten() {
        lines.push(row(if level.is_empty() { "without a level" } else { level }, count.to_string()));
    }
    for (name, shown) in [("oldest_timestamp", "oldest"), ("newest_timestamp", "newest")] {
        if let Some(time) = number(name) {
            lines.push(row(shown, time_text(time.saturating_mul(MILLI))));
        }
    }
    lines.extend(number("bytes").map(|bytes| row("bytes", bytes.to_string())));
    lines
}

/// A name as part of a path.
pub(super) fn in_path(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // A dot too: a name of dots would be another path.
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
