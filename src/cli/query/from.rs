//! `logyard query --from`: LogsQL over JSON lines, without a server.
//!
//! Invariant: what goes to standard output is rows, one JSON object a line; everything else goes to standard error.
use crate::cli::Failure;
use crate::config;
use logyard_storage::engine::{Form, Loose, LooseRows};
use logyard_storage::error::Error;
use logyard_storage::query::{Block, Clock, Context, Flow, Memory, Query, Stop, run as run_query};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Answers a query over a file's rows.
pub(super) fn answer(query: &Query, from: &Path, explain: bool) -> Result<(), Failure> {
    let form = config::form(|name| std::env::var_os(name)).map_err(Failure::Usage)?;
    let memory = config::query_memory(|name| std::env::var_os(name)).map_err(Failure::Usage)?;
    let rows = if from == Path::new("-") {
        read(io::stdin().lock(), "standard input", form)?
    } else {
        let file = File::open(from).map_err(|e| Failure::Failed(format!("cannot open {}: {e}", from.display())))?;
        read(BufReader::new(file), &from.display().to_string(), form)?
    };
    let rows = if explain { rows.explaining() } else { rows };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = Clock { now: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX), zone: 0 };
    let context = Context::new(&rows, clock, Memory::new(memory), Stop::default());
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

fn read(input: impl BufRead, name: &str, form: Form) -> Result<LooseRows, Failure> {
    let mut rows = Loose::new(form);
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.map_err(|e| Failure::Failed(format!("cannot read line {number} of {name}: {e}")))?;
        if !line.trim().is_empty() && !rows.push_json(&line)? {
            return Err(Failure::Failed(format!("line {number} of {name} is no JSON object")));
        }
    }
    Ok(rows.ended()?)
}
