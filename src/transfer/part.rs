//! One part: records of an hour, given twice, as a Parquet file.
//!
//! The first time their fields are counted, the second time they are written, so that no more than a few are in memory. What comes
//! the second time and not the first is written as well as it goes: what has no column is JSON text.
//!
//! Invariants
//! * Rows come in the order of their times, and of equal times in that of their numbers; that is for the caller to see to.
//! * What a part does not say of a record is nothing: `rows_of` gives it back as it was, with its time and its old id.
use super::columns::{ARRIVAL, Cell, Census, Columns, ID, Kind, REST, SEQ, STREAM, TIME};
use super::parquet::{Column, ParquetReader, ParquetWriter, Read, ReadRows};
use super::spool::Spool;
use logyard_storage::engine::Streamed;
use logyard_storage::error::{Error, ErrorKind, Result};
use logyard_storage::record::{FieldPath, Record, RecordId};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The note that says which fields the columns are.
const NOTE: &str = "logyard.fields";
/// Columns that stand before those of fields.
const BEFORE: [(&str, Kind); 5] =
    [(TIME, Kind::Time), (ARRIVAL, Kind::Time), (ID, Kind::Text), (SEQ, Kind::Int), (STREAM, Kind::Text)];

/// Gives all records of a part to whoever takes them, as often as it is asked.
pub(super) type Rows<'a> = dyn FnMut(&mut dyn FnMut(Streamed) -> Result<()>) -> Result<()> + 'a;

/// A part that was written.
pub(super) struct Written {
    pub(super) spool: Spool,
    pub(super) rows: u64,
}

/// The field of a column, as the note has it.
#[derive(Serialize, Deserialize)]
struct Noted {
    name: String,
    nesting: Vec<u16>,
    kind: String,
}

/// Writes a part; nothing where there are no rows.
pub(super) fn write(spool: &Path, rows: &mut Rows<'_>) -> Result<Option<Written>> {
    let (mut census, mut count) = (Census::default(), 0u64);
    rows(&mut |row| {
        census.add(&row.record);
        count += 1;
        Ok(())
    })?;
    if count == 0 {
        return Ok(None);
    }
    let columns = census.columns();
    let listed: Vec<Column> = BEFORE
        .iter()
        .map(|(name, kind)| Column::new(name, *kind))
        .chain(columns.fields.iter().map(|(path, kind)| Column::new(&path.name, *kind)))
        .chain([Column::new(REST, Kind::Text)])
        .collect();
    let mut writer = ParquetWriter::new(Spool::new(spool)?, &listed, &[(NOTE, note(&columns))]).map_err(failed)?;
    rows(&mut |row| {
        let Streamed { record, stream } = row;
        let (cells, rest) = columns.split(&record);
        let before = [
            Cell::Int(record.time),
            Cell::Int(record.arrival),
            Cell::Text(record.id().to_string()),
            Cell::Int(record.seq as i64),
            Cell::Text(stream),
        ];
        writer.push(before.into_iter().chain(cells).chain([rest.map_or(Cell::Nothing, Cell::Text)])).map_err(failed)
    })?;
    let (spool, rows) = writer.finish().map_err(failed)?;
    Ok(Some(Written { spool, rows }))
}

pub(super) fn failed(what: String) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write a Parquet file: {what}"))
}

fn note(columns: &Columns) -> String {
    let noted = |(path, kind): &(FieldPath, Kind)| Noted {
        name: path.name.to_string(),
        nesting: path.nesting.to_vec(),
        kind: format!("{kind:?}"),
    };
    let noted: Vec<Noted> = columns.fields.iter().map(noted).collect();
    // Plain data always becomes JSON.
    serde_json::to_string(&noted).unwrap_or_default()
}

/// Whether a file is a part of ours.
pub(super) fn is_ours(reader: &ParquetReader) -> bool {
    reader.note(NOTE).is_some()
}

/// Reads a part back.
pub(super) struct PartRows {
    rows: ReadRows,
    columns: Columns,
}

impl PartRows {
    /// Of a file that is a part of ours.
    pub(super) fn new(reader: ParquetReader) -> std::result::Result<Self, String> {
        let foreign = || "it is no part that Logyard wrote".to_owned();
        let noted: Vec<Noted> = serde_json::from_str(&reader.note(NOTE).ok_or_else(foreign)?).map_err(|_| foreign())?;
        let field = |noted: Noted| {
            let kind = match noted.kind.as_str() {
                "Int" => Kind::Int,
                "Double" => Kind::Double,
                "Bool" => Kind::Bool,
                _ => Kind::Text,
            };
            let path = FieldPath { name: noted.name.into(), nesting: noted.nesting.into(), occurrence: 0 };
            let fits = path.nesting.iter().all(|at| path.name.as_bytes().get(usize::from(*at)) == Some(&b'.'));
            fits.then_some((path, kind))
        };
        let columns = Columns::new(noted.into_iter().map(field).collect::<Option<_>>().ok_or_else(foreign)?);
        let names = reader.names();
        let wanted = BEFORE.iter().map(|(name, _)| *name).chain(columns.fields.iter().map(|(path, _)| &*path.name));
        if !wanted.chain([REST]).eq(names.iter().map(String::as_str)) {
            return Err("its columns are not those that its note names".into());
        }
        Ok(Self { rows: reader.into_rows(), columns })
    }
}

impl Iterator for PartRows {
    type Item = std::result::Result<Streamed, String>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.rows.next()?.and_then(|values| row(&self.columns, values)))
    }
}

fn row(columns: &Columns, values: Vec<Read>) -> std::result::Result<Streamed, String> {
    let mut values = values.into_iter();
    let mut next = || values.next().unwrap_or(Read::Nothing);
    let lacking = |what: &str| format!("a row without {what}");
    let (Read::Time(time), Read::Time(arrival)) = (next(), next()) else { return Err(lacking("its times")) };
    let Read::Text(id) = next() else { return Err(lacking("its id")) };
    let id = RecordId::parse(&id).ok_or_else(|| lacking("an id of ours"))?;
    let Read::Int(seq) = next() else { return Err(lacking("its number")) };
    let stream = if let Read::Text(stream) = next() { stream } else { String::new() };
    let mut cells: Vec<Cell> = values.map(cell).collect();
    let rest = match cells.pop() {
        Some(Cell::Text(rest)) => Some(rest),
        _ => None,
    };
    let fields = columns.join(&cells, rest.as_deref())?;
    let seq = u64::try_from(seq).map_err(|_| lacking("a number that can be"))?;
    Ok(Streamed { record: Record { seq, epoch: id.epoch(), time, arrival, fields }, stream })
}

fn cell(read: Read) -> Cell {
    match read {
        Read::Int(value) => Cell::Int(value),
        Read::Double(value) => Cell::Double(value),
        Read::Bool(value) => Cell::Bool(value),
        Read::Text(text) => Cell::Text(text),
        Read::Nothing | Read::Number(_) | Read::Time(_) | Read::Json(_) => Cell::Nothing,
    }
}
