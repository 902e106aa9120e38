//! `logyard query --from`: LogsQL over JSON lines, without a server.
//!
//! Invariants
//! * What goes to standard output is rows, one JSON object a line; everything else goes to standard error.
//! * Memory is bounded, whatever comes: a line, the rows in memory, and what the query takes. Rows beyond that go to a disk.
use crate::cli::Failure;
use crate::cli::terminal::Bar;
use crate::config;
use logyard_storage::engine::{Form, Loose, LooseRows};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::limits::MIB;
use logyard_storage::query::{Block, Clock, Context, Flow, Memory, Query, Stop, run as run_query};
use logyard_storage::scan::Cancel;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A line; the server takes records of 2 MiB.
const LINE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Of what a query may take, one part in so many is for rows that were read in; the rest of them is on a disk.
const ROWS_SHARE: usize = 4;
/// Rows in memory, whatever a query may take, so that there are not too many files.
const ROWS_BYTES_MIN: usize = 16 * MIB;
/// Lines after which it is looked how far it is.
const LOOK: u64 = 4_096;

/// Answers a query over a file's rows.
pub(super) fn answer(query: &Query, from: &Path, explain: bool) -> Result<(), Failure> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let bounds = Bounds::given(&env)?;
    let scratch = Scratch::new()?;
    let rows = if from == Path::new("-") {
        let input = Input { lines: io::stdin().lock(), name: "standard input".into(), bytes: None };
        input.read(&env, &bounds, &scratch)?
    } else {
        let file = File::open(from).map_err(|e| Failure::Failed(format!("cannot open {}: {e}", from.display())))?;
        let bytes = file.metadata().ok().filter(fs::Metadata::is_file).map(|meta| meta.len());
        let input = Input { lines: BufReader::new(file), name: from.display().to_string(), bytes };
        input.read(&env, &bounds, &scratch)?
    };
    let rows = if explain { rows.explaining() } else { rows };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = Clock { now: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX), zone: 0 };
    let context = Context::new(&rows, clock, bounds.memory, Stop::with(bounds.cancel));
    let mut out = BufWriter::new(io::stdout().lock());
    let mut closed = false;
    let mut given = 0;
    let mut give = |block: &Block| {
        given += block.rows();
        if explain { Ok(()) } else { write(&mut out, block) }
    };
    let answered = run_query(query, &context, &mut |block: Block| match give(&block) {
        Ok(()) => Ok(Flow::More),
        // Whoever reads has enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
            closed = true;
            Ok(Flow::Enough)
        }
        Err(e) => Err(cannot_write(e)),
    });
    answered?;
    if explain {
        let told = rows.explained().explained(&query.to_string(), given);
        out.write_all(told.as_bytes()).map_err(cannot_write)?;
    }
    match out.flush() {
        Err(e) if !closed && e.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(e).into()),
        _ => Ok(()),
    }
}

fn cannot_write(e: io::Error) -> Error {
    Error::io("write", &PathBuf::from("standard output"), e)
}

fn write(out: &mut impl Write, block: &Block) -> io::Result<()> {
    (0..block.rows()).try_for_each(|row| writeln!(out, "{}", block.row_json(row)))
}

/// What a query may take, reading its rows in included.
struct Bounds {
    form: Form,
    memory: Memory,
    memory_bytes: usize,
    cancel: Cancel,
    until: Option<(Instant, Duration)>,
}

impl Bounds {
    fn given(env: &Arc<dyn Env>) -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name);
        let form = config::form(set).map_err(Failure::Usage)?;
        let memory_bytes = config::query_memory(set).map_err(Failure::Usage)?;
        let most = config::query_duration(set).map_err(Failure::Usage)?;
        let cancel = most.map_or_else(Cancel::default, |most| Cancel::default().within(env, most));
        let until = most.and_then(|most| Some((Instant::now().checked_add(most)?, most)));
        Ok(Self { form, memory: Memory::new(memory_bytes), memory_bytes, cancel, until })
    }

    fn check(&self, name: &str) -> Result<(), Failure> {
        match self.until {
            Some((until, most)) if Instant::now() >= until => Err(Failure::Failed(format!(
                "reading {name} takes longer than the {} ms that the query may; raise query.max_duration \
                 (LOGYARD_QUERY_MAX_DURATION), or leave it unset",
                most.as_millis()
            ))),
            _ => Ok(()),
        }
    }
}

/// A folder for rows that are more than memory may have, for us alone. What is in it has no names while it is used.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let folder =
            std::env::temp_dir().join(format!("logyard-query-{}-{}", std::process::id(), RealEnv::new().random()));
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|e| {
            Failure::Failed(format!("cannot create {}: {e}; name another folder with TMPDIR", folder.display()))
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is empty folders.
        let _as_far_as_it_can = fs::remove_dir_all(&self.0);
    }
}

/// What rows are read from.
struct Input<B> {
    lines: B,
    name: String,
    /// How long it is, where that is known.
    bytes: Option<u64>,
}

impl<B: BufRead> Input<B> {
    fn read(mut self, env: &Arc<dyn Env>, bounds: &Bounds, scratch: &Scratch) -> Result<LooseRows, Failure> {
        let in_memory = (bounds.memory_bytes / ROWS_SHARE).max(ROWS_BYTES_MIN);
        let mut rows = Loose::new(bounds.form).spilling(Arc::clone(env), &scratch.0, in_memory, &bounds.memory)?;
        let bar = Bar::of_bytes("reading", self.bytes);
        let (mut line, mut at) = (Vec::new(), 0);
        for number in 1.. {
            let read = self.line(&mut line, number)?;
            if read == 0 {
                break;
            }
            at += read;
            let name = &self.name;
            let text = std::str::from_utf8(&line)
                .map_err(|e| Failure::Failed(format!("cannot read line {number} of {name}: it is no UTF-8 ({e})")))?;
            let added = text.trim().is_empty() || rows.push_json(text).map_err(|e| out_of_room(e, &scratch.0))?;
            if !added {
                return Err(Failure::Failed(format!(
                    "line {number} of {name} is no JSON object; `logyard ingest` reads other formats into a server"
                )));
            }
            if number % LOOK == 1 || line.len() > MIB {
                bounds.check(name)?;
                bar.at(at);
                bar.say(format!("{number} rows"));
            }
        }
        bounds.check(&self.name)?;
        let rows = rows.ended().map_err(|e| out_of_room(e, &scratch.0))?;
        bar.end();
        Ok(rows.within(bounds.cancel.clone(), bounds.memory.clone()))
    }

    /// Reads the next line, without its end, and gives the bytes that it took.
    fn line(&mut self, line: &mut Vec<u8>, number: u64) -> Result<u64, Failure> {
        let name = &self.name;
        line.clear();
        let read = (&mut self.lines).take(LINE_BYTES_MAX + 1).read_until(b'\n', line);
        let read = read.map_err(|e| Failure::Failed(format!("cannot read line {number} of {name}: {e}")))? as u64;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            let most = LINE_BYTES_MAX / MIB as u64;
            return Err(Failure::Failed(format!(
                "line {number} of {name} is longer than {most} MiB, which a line may have; are its rows on a line each?"
            )));
        }
        Ok(read)
    }
}

/// Says where the room is that a query's rows need.
fn out_of_room(error: Error, folder: &Path) -> Failure {
    match error.kind() {
        ErrorKind::DiskFull => Failure::Failed(format!(
            "{error}; rows beyond a part of query.max_memory (LOGYARD_QUERY_MAX_MEMORY) are kept under {}: raise it, or name \
             another folder with TMPDIR",
            folder.display()
        )),
        _ => error.into(),
    }
}
