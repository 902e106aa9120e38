//! Rows to a Parquet file.
//!
//! Invariants
//! * Rows are kept until a row group is full, by number or by bytes, and then leave as columns.
//! * Each column of each row group has its least and greatest value, where one can be said.
use super::said;
use crate::transfer::columns::{Cell, Kind};
use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};
use std::io::Write;
use std::sync::Arc;

/// Rows of a row group, and bytes of their texts.
const GROUP_ROWS_MAX: usize = 65_536;
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Bytes of a text that stand for it in statistics.
const STATISTICS_BYTES_MAX: usize = 64;

/// A column: its name and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

impl Column {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind }
    }

    fn to_schema(&self) -> Result<TypePtr, ParquetError> {
        let (physical, logical) = match self.kind {
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
            Kind::Int => (Physical::INT64, None),
            Kind::Double => (Physical::DOUBLE, None),
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let built = Type::primitive_type_builder(&self.name, physical).with_repetition(Repetition::OPTIONAL);
        Ok(Arc::new(built.with_logical_type(logical).build()?))
    }
}

/// Values of a column, of those rows that have one.
enum Values {
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Texts(Vec<ByteArray>),
}

impl Values {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Time | Kind::Int => Self::Ints(Vec::new()),
            Kind::Double => Self::Doubles(Vec::new()),
            Kind::Bool => Self::Bools(Vec::new()),
            Kind::Text => Self::Texts(Vec::new()),
        }
    }

    /// Adds a value and says whether it is one of the column's type.
    fn push(&mut self, cell: Cell) -> bool {
        match (self, cell) {
            (Self::Ints(values), Cell::Int(value)) => values.push(value),
            (Self::Doubles(values), Cell::Double(value)) => values.push(value),
            (Self::Bools(values), Cell::Bool(value)) => values.push(value),
            (Self::Texts(values), Cell::Text(text)) => values.push(ByteArray::from(text.into_bytes())),
            _ => return false,
        }
        true
    }
}

/// A column of the row group that grows.
struct Growing {
    kind: Kind,
    values: Values,
    /// For each row 1 where it has a value.
    levels: Vec<i16>,
}

/// Writes one file.
pub(crate) struct ParquetWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Growing>,
    rows: usize,
    bytes: usize,
    all_rows: u64,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file of these columns, with notes for who reads it.
    pub(crate) fn new(out: W, columns: &[Column], notes: &[(&str, String)]) -> Result<Self, String> {
        Self::begin(out, columns, notes).map_err(|e| said(&e))
    }

    fn begin(out: W, columns: &[Column], notes: &[(&str, String)]) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(Column::to_schema).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("logs").with_fields(fields).build()?);
        let note = |(name, text): &(&str, String)| KeyValue::new((*name).to_owned(), text.clone());
        let properties = WriterProperties::builder()
            .set_created_by(concat!("logyard version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
            .set_key_value_metadata(Some(notes.iter().map(note).collect()))
            .build();
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        let growing =
            |column: &Column| Growing { kind: column.kind, values: Values::new(column.kind), levels: Vec::new() };
        Ok(Self { writer, columns: columns.iter().map(growing).collect(), rows: 0, bytes: 0, all_rows: 0 })
    }

    /// Adds a row: a value for each column.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<(), String> {
        let mut cells = cells.into_iter();
        for column in &mut self.columns {
            let cell = cells.next().unwrap_or(Cell::Nothing);
            self.bytes += if let Cell::Text(text) = &cell { text.len() + 32 } else { 8 };
            column.levels.push(column.values.push(cell).into());
        }
        (self.rows, self.all_rows) = (self.rows + 1, self.all_rows + 1);
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.flush().map_err(|e| said(&e))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let values = std::mem::replace(&mut column.values, Values::new(column.kind));
            let levels = std::mem::take(&mut column.levels);
            let Some(mut writer) = group.next_column()? else { break };
            match (writer.untyped(), &values) {
                (ColumnWriter::Int64ColumnWriter(writer), Values::Ints(values)) => {
                    writer.write_batch(values, Some(&levels), None)?;
                }
                (ColumnWriter::DoubleColumnWriter(writer), Values::Doubles(values)) => {
                    writer.write_batch(values, Some(&levels), None)?;
                }
                (ColumnWriter::BoolColumnWriter(writer), Values::Bools(values)) => {
                    writer.write_batch(values, Some(&levels), None)?;
                }
                (ColumnWriter::ByteArrayColumnWriter(writer), Values::Texts(values)) => {
                    writer.write_batch(values, Some(&levels), None)?;
                }
                _ => return Err(ParquetError::General("BUG: a column has values of another type".into())),
            }
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Ends the file, and gives back where it went and how many rows it has.
    pub(crate) fn finish(mut self) -> Result<(W, u64), String> {
        let rows = self.all_rows;
        self.flush().and_then(|()| self.writer.into_inner()).map(|out| (out, rows)).map_err(|e| said(&e))
    }
}
