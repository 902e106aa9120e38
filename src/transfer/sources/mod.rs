//! What logs were kept in before, read as items: files of ours and of others, by what is in them.
//!
//! Invariants
//! * A record at a time is in memory, or a row group's page.
//! * A record that cannot be read is named and counted; a file that cannot be read any further is an error. Nothing is guessed at.
mod cloudflare;
mod dump;
mod files;
mod lines;
mod literal;
mod rows;
mod values;

pub(crate) use files::find;

use super::flat::Field;
use super::item::{self, Digests, Item};
use super::layout::Part;
use super::parquet::ParquetReader;
use super::spool::digest_of;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// What each looks like.
    Auto,
    /// Parquet, of ours or of others.
    Parquet,
    /// Parquet with the columns of the audit pipeline.
    CloudflareParquet,
    /// A log each, packed or not.
    Ndjson,
    /// Statements of SQL, as D1 and SQLite write them.
    D1,
    /// JSON lines.
    Jsonl,
}

/// How records are to be understood.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) format: Format,
    /// The service of those that name none.
    pub(crate) service: Option<String>,
    /// Fields that are the time, the id and the message, where it is not the usual ones.
    pub(crate) time_field: Option<String>,
    pub(crate) id_field: Option<String>,
    pub(crate) message_field: Option<String>,
}

/// Names that are usually those of the time, and of the message.
const TIME_FIELDS: [&str; 8] =
    ["_time", "timestamp", "@timestamp", "time", "ts", "when", "created_at", "ingestion_time"];
const MESSAGE_FIELDS: [&str; 3] = ["_msg", "message", "msg"];
/// And of the id, where it is a field.
pub(crate) const ID_FIELD: &str = "id";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What takes records, and what is said of those that are none. Either ends the reading by an error.
pub(crate) trait Taker {
    /// A record.
    fn item(&mut self, item: Item) -> Result<(), String>;
    /// Something that could not be read as one, and why.
    fn bad(&mut self, what: String) -> Result<(), String>;
    /// Something that was passed over as a whole, and why.
    fn skipped(&mut self, what: String);
    /// Bytes of the file that were read.
    fn at(&mut self, bytes: u64);
}

impl Settings {
    /// Reads a file.
    pub(crate) fn read(&self, path: &Path, taker: &mut dyn Taker) -> Result<(), String> {
        match self.format {
            Format::Auto => self.read_auto(path, taker),
            Format::Parquet | Format::CloudflareParquet => self.read_parquet(path, taker),
            Format::Ndjson => rows::read(self, path, taker),
            Format::D1 => dump::read(self, open(path)?, taker),
            Format::Jsonl => lines::read(self, open(path)?, taker),
        }
    }

    /// The field that records of a file are known by.
    pub(crate) fn id_field(&self) -> &str {
        self.id_field.as_deref().unwrap_or(ID_FIELD)
    }

    fn read_auto(&self, path: &Path, taker: &mut dyn Taker) -> Result<(), String> {
        let mut input = open(path)?;
        let first = input.reader.fill_buf().map_err(|e| e.to_string())?;
        if first.starts_with(b"PAR1") {
            return self.read_parquet(path, taker);
        }
        if first.starts_with(b"SQLite format 3\0") {
            return Err("it is an SQLite database; write its text with `sqlite3 FILE .dump`, and import that".into());
        }
        let text = first.trim_ascii_start();
        if text.is_empty() {
            return Ok(());
        }
        if text.starts_with(b"{") {
            let is_single = path.to_string_lossy().ends_with(".json.gz");
            return if is_single { rows::read(self, path, taker) } else { lines::read(self, input, taker) };
        }
        let is_sql = ["PRAGMA", "BEGIN", "CREATE", "INSERT", "--", "/*", "DROP", "DELETE"];
        if is_sql.iter().any(|word| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word.as_bytes()))) {
            return dump::read(self, input, taker);
        }
        Err("it is none of what can be imported: Parquet, JSON lines, a log as JSON, or SQL of a dump; name it with --format, or \
             send plain text with `logyard ingest`"
            .into())
    }

    fn read_parquet(&self, path: &Path, taker: &mut dyn Taker) -> Result<(), String> {
        let reader = ParquetReader::open(path)?;
        let bytes = path.metadata().map_or(0, |file| file.len());
        let mut meter = Meter { taker, rows: reader.rows().max(1), bytes, done: 0 };
        if super::part::is_ours(&reader) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(part) = Part::parse(&name)
                && digest_of(path).map_err(|e| e.to_string())? != part.digest
            {
                return Err("it is damaged: its contents are not those that its name says".into());
            }
            return values::read_ours(reader, &mut meter);
        }
        if self.format == Format::CloudflareParquet || cloudflare::is_one(&reader.names()) {
            return cloudflare::read(self, reader, &mut meter);
        }
        values::read_any(self, reader, &mut meter)
    }

    /// Makes a record of fields: takes time and message from among them, and gives it a service and something to be known by.
    fn item(&self, mut fields: Vec<Field>, digests: &mut Digests) -> Result<Item, String> {
        let usual = |given: &Option<String>, usual: &[&str]| {
            let usual = usual.iter().map(|name| (*name).to_owned());
            given.as_ref().map_or_else(|| usual.collect(), |name| vec![name.clone()])
        };
        let names: Vec<String> = usual(&self.time_field, &TIME_FIELDS);
        let found = names.iter().find(|name| item::get(&fields, name).is_some_and(|text| !text.is_empty()));
        let Some((_, value)) = found.and_then(|name| item::take(&mut fields, name)) else {
            return Err(match &self.time_field {
                Some(name) => format!("it has no {name}"),
                None => "it has no time; say with --time-field which field that is".into(),
            });
        };
        let time = values::time(&value).ok_or_else(|| {
            let shown: String = value.text.chars().take(40).collect();
            format!("`{shown}` is no time")
        })?;
        for name in usual(&self.message_field, &MESSAGE_FIELDS) {
            if let Some((path, _)) =
                fields.iter_mut().find(|(path, value)| item::is_own(path, &name) && !value.text.is_empty())
            {
                path.name = "_msg".into();
                break;
            }
        }
        let service = item::get(&fields, "service_name").unwrap_or_default().to_owned();
        let service = match (&self.service, service.is_empty()) {
            (Some(service), true) => {
                fields.retain(|(path, _)| !item::is_own(path, "service_name"));
                fields.push(super::flat::text("service_name", service));
                service.clone()
            }
            (None, true) => return Err("it names no service; say with --service which one it is of".into()),
            (_, false) => service,
        };
        let mut item = Item { time, service, stream: Vec::new(), id: None, fields };
        if item.get(self.id_field()).is_none_or(str::is_empty) {
            item.id = Some(digests.id(&item)?);
        }
        Ok(item)
    }
}

/// Tells how far a file is by its rows.
struct Meter<'t> {
    taker: &'t mut dyn Taker,
    rows: u64,
    bytes: u64,
    done: u64,
}

impl Meter<'_> {
    /// Hands a record on, or what is wrong with it.
    fn take(&mut self, item: Result<Item, String>) -> Result<(), String> {
        self.done += 1;
        let done = u128::from(self.bytes) * u128::from(self.done) / u128::from(self.rows);
        self.taker.at(u64::try_from(done).unwrap_or(u64::MAX));
        match item {
            Ok(item) => self.taker.item(item),
            Err(what) => self.taker.bad(format!("row {}: {what}", self.done)),
        }
    }
}

/// A file, unpacked where it is packed.
struct Input {
    reader: Box<dyn BufRead>,
    /// Bytes of the file itself that were read.
    read: Arc<AtomicU64>,
}

struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Input {
    fn at(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

fn open(path: &Path) -> Result<Input, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let read = Arc::new(AtomicU64::new(0));
    let mut plain = BufReader::new(Counted { input: file, read: Arc::clone(&read) });
    let first = plain.fill_buf().map_err(|e| e.to_string())?;
    let mut reader: Box<dyn BufRead> = if first.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(plain)))
    } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::stream::read::Decoder::with_buffer(plain).map_err(|e| e.to_string())?;
        Box::new(BufReader::new(decoder))
    } else {
        Box::new(plain)
    };
    // What some programs of Windows begin texts with.
    if reader.fill_buf().map_err(|e| e.to_string())?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(Input { reader, read })
}
