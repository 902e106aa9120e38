//! `logyard query`: LogsQL over a server or over JSON lines, and its check.
//!
//! Invariants
//! * Rows are written as they come; an answer that broke off fails, and says so.
//! * A wrong query is shown with a caret under the fault, whoever found it.
mod from;

use super::Failure;
use super::client::{Client, ServerArgs, Trouble};
use super::rows::{Output, Printer};
use super::terminal::{is_shown, printable, printable_lines};
use super::times::moment;
use clap::Args;
use logyard_storage::query::parse;
use logyard_storage::query::pipe::Pipe;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  logyard query --since 1h 'level:ERROR'
  logyard query --limit 20 'service_name:=shop \"payment failed\"'
  logyard query --since 7d '* | stats by (service_name, level) count() n' --output csv
  logyard query 'panic' --context 5
      with five lines before and after each, of the same stream
  logyard query --from app.jsonl 'level:ERROR | stats by (service) count() errors'
  kubectl logs web | logyard query --from - '\"connection reset\" | sort by (_time) desc | limit 10'
  logyard query --check 'level:ERROR | stats by (service'
      exit 0 where the query is right, or the fault with a caret under it";

#[derive(Args)]
pub(super) struct QueryArgs {
    /// The query, in LogsQL
    #[arg(value_name = "LOGSQL", allow_hyphen_values = true)]
    query: String,
    /// Records from this time on: 1h (so long ago), 2026-05-28, 2026-05-28T10:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Records up to this time, as in --since
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The newest so many rows only
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How rows are written [default: table on a terminal, ndjson into a pipe]
    #[arg(long, value_enum, value_name = "FORM", hide_default_value = true)]
    output: Option<Output>,
    /// So many lines before and after each that is found, of the same stream
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    context: Option<u32>,
    /// Fail where something cannot be fetched from the archive, instead of answering without it
    #[arg(long)]
    all: bool,
    /// Say how it was answered and what was read, instead of the answer
    #[arg(long)]
    explain: bool,
    /// JSON lines to ask instead of a server; - is standard input
    #[arg(
        long,
        value_name = "FILE|-",
        allow_hyphen_values = true,
        conflicts_with_all = ["since", "until", "limit", "output", "context", "all", "url", "key", "data"]
    )]
    from: Option<PathBuf>,
    /// Only say whether the query is right
    #[arg(long, conflicts_with_all = ["from", "since", "until", "limit", "output", "context", "all", "explain"])]
    check: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs or checks a query.
pub(super) fn run(args: &QueryArgs) -> Result<(), Failure> {
    match &args.from {
        Some(from) => from::answer(&right(&args.query)?, from, args.explain),
        None if args.check => right(&args.query).map(drop),
        None => ask(args),
    }
}

/// The query, or its fault drawn.
fn right(query: &str) -> Result<logyard_storage::query::Query, Failure> {
    parse(query).map_err(|fault| Failure::Failed(format!("\n{}", fault.drawn(query))))
}

/// What a server says of a query that it does not answer.
pub(super) fn refused(trouble: Trouble, query: &str) -> Failure {
    if let Trouble::Refused(refusal) = &trouble
        && let Some((at, _)) = refusal.position
        && let Err(fault) = parse(query)
        && fault.at() == at
    {
        return Failure::Failed(format!("\n{}", fault.drawn(query)));
    }
    trouble.into()
}

/// Asks a server, and writes the rows.
fn ask(args: &QueryArgs) -> Result<(), Failure> {
    let mut params = vec![("query", asked(args)?)];
    for (name, flag, time) in [("start", "--since", &args.since), ("end", "--until", &args.until)] {
        if let Some(time) = time {
            params.push((name, moment(flag, time)?));
        }
    }
    params.extend(args.limit.map(|limit| ("limit", limit.to_string())));
    if args.explain {
        params.push(("explain", "1".into()));
    }
    if args.all {
        params.push(("partial", "0".into()));
    }
    let client = Client::new(&args.server)?;
    let answer = client.post_form("/select/logsql/query", &params, &[]);
    let answer = answer.map_err(|trouble| refused(trouble, &args.query))?;
    let note = answer.headers().get("x-logyard-partial").and_then(|note| note.to_str().ok());
    note.into_iter().for_each(|note| eprintln!("logyard: the answer is {}", printable(note)));
    let mut lines = BufReader::with_capacity(1 << 16, answer.into_body().into_reader());
    let named = if args.explain { Vec::new() } else { columns(&args.query) };
    let mut printer = Printer::new(args.output).with_columns(named);
    let mut line = String::new();
    loop {
        line.clear();
        let read = lines.read_line(&mut line);
        let has_more = read.map_err(|e| {
            // What came is shown; that there is no more of it is said.
            let _told_below = printer.end();
            client.broke_off(&e)
        })?;
        if has_more == 0 {
            return printer.end();
        }
        let text = line.trim_end_matches('\n');
        if args.explain {
            let text = if is_shown() { printable_lines(text) } else { text.into() };
            writeln!(std::io::stdout().lock(), "{text}").map_err(super::cannot_write)?;
        } else if !text.is_empty() {
            printer.line(text)?;
            // Rows that come slowly are seen as they come.
            if lines.buffer().is_empty() {
                printer.flush()?;
            }
        }
    }
}

/// The columns that a query names at its end, each by its whole name.
fn columns(query: &str) -> Vec<String> {
    match parse(query).ok().and_then(|query| query.pipes.last().cloned()) {
        Some(Pipe::Fields(fields)) if !fields.patterns.iter().any(|name| name.contains('*')) => fields.patterns,
        _ => Vec::new(),
    }
}

/// The query as the server is asked: with the lines around each row where they are wanted.
fn asked(args: &QueryArgs) -> Result<String, Failure> {
    let Some(lines) = args.context else { return Ok(args.query.clone()) };
    let mut query = right(&args.query)?;
    let around = right(&format!("* | stream_context before {lines} after {lines}"))?;
    query.pipes.splice(0..0, around.pipes);
    Ok(query.to_string())
}
