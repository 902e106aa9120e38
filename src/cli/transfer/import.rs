//! `logyard archive import`: records that were kept elsewhere into a server, each once, with their times and ids.
//!
//! Files are read here and become JSON lines; the server leaves out what it has. So an import that was cut short is begun anew, and
//! what is there already is passed over.
//!
//! Invariants
//! * Memory is bounded by [`CHUNK_BYTES`] of records, and one record.
//! * Records that lie near each other in time are sent together, since that is how the server looks for them.
//! * A record that cannot be read is named and counted, and keeps no other from being imported; nor does a file that is damaged.
use super::super::client::{Client, ServerArgs, Trouble};
use super::super::terminal::{Bar, is_shown, printable};
use super::super::{Failure, cannot_write};
use crate::transfer::item::Item;
use crate::transfer::sources::{Format, Settings, Taker, find};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::http::Method;

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  logyard archive import /srv/lake/parquet
      what `logyard archive export` wrote, or the audit pipeline's Parquet files
  logyard archive import /backups/logs --format ndjson
      logs/SERVICE/DATE/ID.json.gz, as a bucket of the logging service has them
  logyard archive import d1-export.sql
      the table logs of a `wrangler d1 export`, or of `sqlite3 FILE .dump`
  psql -Atc 'select row_to_json(t) from audit_logs t' | gzip > audit.jsonl.gz
  logyard archive import audit.jsonl.gz --service audit --id-field event_id

Asked again, it adds what is not there yet.";

/// Records that are put in order together, and bytes of them.
const CHUNK_RECORDS: usize = 20_000;
const CHUNK_BYTES: usize = 16 << 20;
/// Of a request.
const REQUEST_RECORDS: usize = 2_000;
const REQUEST_BYTES: usize = 4 << 20;
/// How often a request is sent that a server is too busy for, and the pauses between.
const TRIES: u32 = 10;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Reasons that are told.
const REASONS_MAX: usize = 20;
/// How often it is said how far it is, where no bar shows it.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// An answer may take so long.
const SILENCE: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(in crate::cli) struct ImportArgs {
    /// Files, or directories whose files are read, .gz and .zst too
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// What the files are
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FormatName::Auto)]
    format: FormatName,
    /// The service of records that name none
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The field that is the time [default: _time, timestamp, time, when, created_at or the like]
    #[arg(long, value_name = "FIELD")]
    time_field: Option<String>,
    /// The field that tells records of a service from one another [default: id]
    #[arg(long, value_name = "FIELD")]
    id_field: Option<String>,
    /// The field that is the message [default: _msg, message or msg]
    #[arg(long, value_name = "FIELD")]
    message_field: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What files are, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// What each looks like.
    Auto,
    /// Parquet.
    Parquet,
    /// A JSON file for each log, in the logging service's form.
    Ndjson,
    /// SQL text of a D1 or SQLite database with a table logs.
    D1,
    /// JSON lines.
    Jsonl,
    /// Parquet with the 13 columns of the audit pipeline.
    CloudflareParquet,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Auto => Self::Auto,
            FormatName::Parquet => Self::Parquet,
            FormatName::Ndjson => Self::Ndjson,
            FormatName::D1 => Self::D1,
            FormatName::Jsonl => Self::Jsonl,
            FormatName::CloudflareParquet => Self::CloudflareParquet,
        }
    }
}

/// Imports everything that is named.
pub(in crate::cli) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let settings = Settings {
        format: args.format.into(),
        service: args.service.clone(),
        time_field: args.time_field.clone(),
        id_field: args.id_field.clone(),
        message_field: args.message_field.clone(),
    };
    let (mut total, mut files, mut passed) = (0, 0, Vec::new());
    for path in &args.paths {
        let passed_over = &mut |path: &Path| passed.push(path.to_owned());
        find(path, settings.format, passed_over, &mut |found| {
            (total, files) = (total + found.bytes, files + 1);
            Ok(())
        })
        .map_err(|what| Failure::Failed(printable(&what).into()))?;
    }
    if let Some(first) = passed.first() {
        let first = first.display().to_string();
        eprintln!(
            "{} files are passed over for their names, such as {}: name them one by one where they are to be imported",
            passed.len(),
            printable(&first)
        );
    }
    if files == 0 {
        return Err(Failure::Failed("there is nothing to import there: no file of a kind that --format names".into()));
    }
    let client = Client::with_patience(&args.server, Some(SILENCE))?;
    let mut importer = Importer::new(client, settings.id_field(), total);
    let mut done = Ok(());
    for path in &args.paths {
        done = find(path, settings.format, &mut |_| (), &mut |found| importer.file(&settings, &found.path));
        if done.is_err() {
            break;
        }
    }
    let done = done.and_then(|()| importer.flush());
    importer.end(done)
}

/// Sends records.
struct Importer {
    client: Client,
    /// Where requests go.
    path: String,
    chunk: Vec<Item>,
    chunk_bytes: usize,
    sums: Sums,
    /// The file that is read.
    file: String,
    bar: Bar,
    is_drawn: bool,
    /// Bytes of the files before it, and of it.
    before: u64,
    at: u64,
    said: Instant,
    /// Why nothing can be sent any more.
    stuck: Option<String>,
}

/// What came of it.
#[derive(Default)]
struct Sums {
    read: u64,
    imported: u64,
    known: u64,
    bad: u64,
    reasons: Vec<String>,
    files: u64,
    /// Files that could not be read to their end.
    broken: u64,
}

impl Sums {
    fn blame(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }
}

impl Importer {
    fn new(client: Client, id_field: &str, total: u64) -> Self {
        let id_field = serde_urlencoded::to_string([("id_field", id_field)]).unwrap_or_default();
        Self {
            client,
            path: format!("/api/v1/archive/import?{id_field}"),
            chunk: Vec::new(),
            chunk_bytes: 0,
            sums: Sums::default(),
            file: String::new(),
            bar: Bar::of_bytes("", Some(total)),
            is_drawn: std::io::IsTerminal::is_terminal(&std::io::stderr()),
            before: 0,
            at: 0,
            said: Instant::now(),
            stuck: None,
        }
    }

    /// Reads a file. One that is damaged is named; it is an error where nothing can be sent.
    fn file(&mut self, settings: &Settings, path: &Path) -> Result<(), String> {
        self.file = path.display().to_string();
        let read = settings.read(path, self);
        self.before += path.metadata().map_or(0, |file| file.len());
        self.at = 0;
        self.sums.files += 1;
        self.show();
        match (read, self.stuck.take()) {
            (_, Some(stuck)) => Err(format!("{}: {stuck}", self.file)),
            (Err(what), None) => {
                self.sums.broken += 1;
                // However much else is wrong.
                eprintln!("{}", printable(&format!("{}: {what}", self.file)));
                Ok(())
            }
            (Ok(()), None) => Ok(()),
        }
    }

    fn show(&mut self) {
        self.bar.at(self.before + self.at);
        let sums = &self.sums;
        if self.is_drawn {
            self.bar.say(format!("{} imported, {} known", sums.imported, sums.known));
        } else if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            let (read, imported, known, bad) = (sums.read, sums.imported, sums.known, sums.bad);
            eprintln!(
                "{read} records read: {imported} imported, {known} were there, {bad} bad; at {}",
                printable(&self.file)
            );
        }
    }

    /// Sends what is kept, in the order of services and times.
    fn flush(&mut self) -> Result<(), String> {
        let mut chunk = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        chunk.sort_by(|a, b| (&a.stream, &a.service, a.time).cmp(&(&b.stream, &b.service, b.time)));
        let (mut body, mut records, mut stream) = (String::new(), 0, Vec::new());
        for item in chunk {
            let is_full = records >= REQUEST_RECORDS || body.len() >= REQUEST_BYTES;
            if records > 0 && (is_full || item.stream != stream) {
                self.send(&body, &stream)?;
                body.clear();
                records = 0;
            }
            stream.clone_from(&item.stream);
            body.push_str(&item.line());
            body.push('\n');
            records += 1;
        }
        if records > 0 { self.send(&body, &stream) } else { Ok(()) }
    }

    fn send(&mut self, body: &str, stream: &[String]) -> Result<(), String> {
        let streams = serde_urlencoded::to_string([("_stream_fields", stream.join(","))]).unwrap_or_default();
        let path = if stream.is_empty() { self.path.clone() } else { format!("{}&{streams}", self.path) };
        let headers = [("content-type", "application/x-ndjson")];
        let (mut pause, mut tries) = (PAUSE_FIRST, 1);
        let answer = loop {
            let sent = self.client.send(Method::POST, &path, &headers, body.as_bytes());
            let trouble = match sent.and_then(|answer| self.client.json(answer)) {
                Ok(answer) => break answer,
                Err(trouble) => trouble,
            };
            let wait = match &trouble {
                Trouble::Refused(refusal) if matches!(refusal.status, 408 | 429 | 503 | 504 | 507) => {
                    refusal.retry_after.unwrap_or_default()
                }
                Trouble::Refused(_) => return Err(trouble.to_string()),
                Trouble::Unreachable(_) if self.sums.imported + self.sums.known == 0 => return Err(trouble.to_string()),
                // Sent again, it is left out where it was stored.
                Trouble::Unreachable(_) | Trouble::BrokeOff(_) => Duration::ZERO,
            };
            if tries >= TRIES {
                return Err(format!("{trouble}; the same command goes on"));
            }
            std::thread::sleep(pause.max(wait));
            (pause, tries) = ((pause * 2).min(PAUSE_MAX), tries + 1);
        };
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        self.sums.imported += number("ingested");
        self.sums.known += number("known");
        self.sums.bad += number("failed");
        let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let room = REASONS_MAX.saturating_sub(self.sums.reasons.len());
        self.sums.reasons.extend(errors.take(room).map(|reason| format!("refused by the server: {reason}")));
        self.show();
        Ok(())
    }

    /// Says what was done.
    fn end(self, done: Result<(), String>) -> Result<(), Failure> {
        let Self { sums, bar, .. } = self;
        bar.end();
        sums.reasons.iter().for_each(|reason| eprintln!("  {}", printable(reason)));
        let Sums { read, imported, known, bad, files, broken, .. } = sums;
        let line = if is_shown() {
            format!(
                "{read} records in {files} files: {imported} imported, {known} were there already, {bad} could not be read"
            )
        } else {
            let sums = json!({ "files": files, "broken": broken, "read": read, "imported": imported, "known": known, "bad": bad });
            sums.to_string()
        };
        writeln!(std::io::stdout().lock(), "{line}").map_err(cannot_write)?;
        match done {
            Err(what) => Err(Failure::Failed(printable(&what).into())),
            Ok(()) if broken > 0 => Err(Failure::Failed(format!(
                "{broken} of {files} files could not be read to their end, and {bad} records not at all; what could be read is imported"
            ))),
            Ok(()) if bad > 0 => Err(Failure::Failed(format!("{bad} records were not imported, the others were"))),
            Ok(()) => Ok(()),
        }
    }
}

impl Taker for Importer {
    fn item(&mut self, item: Item) -> Result<(), String> {
        self.sums.read += 1;
        self.chunk_bytes +=
            item.fields.iter().map(|(path, value)| path.name.len() + value.text.len() + 64).sum::<usize>();
        self.chunk.push(item);
        if self.chunk.len() >= CHUNK_RECORDS || self.chunk_bytes >= CHUNK_BYTES {
            return self.flush().inspect_err(|stuck| self.stuck = Some(stuck.clone()));
        }
        Ok(())
    }

    fn bad(&mut self, what: String) -> Result<(), String> {
        self.sums.bad += 1;
        self.sums.blame(format!("{}: {what}", self.file));
        Ok(())
    }

    fn skipped(&mut self, what: String) {
        let line = format!("{}: {what}", self.file);
        eprintln!("{}", printable(&line));
    }

    fn at(&mut self, bytes: u64) {
        self.at = bytes;
    }
}
