//! Rows out of a Parquet file, whoever wrote it.
//!
//! Invariants
//! * Types of columns are looked at before anything is read: a file with one that is not known is refused.
//! * Lists, maps and groups become JSON text; times and dates their nanoseconds.
use super::said;
use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use logyard_storage::record::push_json_string;
use std::fs::File;
use std::path::Path;

/// Rows that are decoded at once.
const ROWS_AT_ONCE: usize = 256;
/// Columns of a file.
const COLUMNS_MAX: usize = 10_000;

/// A value as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read {
    Nothing,
    Bool(bool),
    Int(i64),
    /// A number that is no whole one of 64 bits, as it is spelled.
    Number(String),
    /// The same where all of it is known to be in 64 bits.
    Double(f64),
    Text(String),
    /// Nanoseconds since 1970.
    Time(i64),
    /// JSON text.
    Json(String),
}

/// What a column's integers are, where they are times that the crate does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Plain,
    Nanos,
}

/// Reads one file.
pub(crate) struct ParquetReader {
    reader: SerializedFileReader<File>,
    /// The columns, with what their integers are.
    columns: Vec<(String, Unit)>,
    rows: u64,
}

impl ParquetReader {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::of_file(File::open(path).map_err(|e| e.to_string())?)
    }

    /// Of a file that is open.
    pub(crate) fn of_file(file: File) -> Result<Self, String> {
        let reader = SerializedFileReader::new(file).map_err(|e| said(&e))?;
        let metadata = reader.metadata().file_metadata();
        let descriptor = metadata.schema_descr();
        if descriptor.num_columns() > COLUMNS_MAX {
            return Err(format!("it has more than {COLUMNS_MAX} columns"));
        }
        for column in descriptor.columns() {
            if !is_known(column.physical_type(), column.converted_type()) {
                let (name, kind) = (column.path().string(), column.converted_type());
                return Err(format!("its column `{name}` is of a type that is not known here: {kind}"));
            }
        }
        let column = |field: &std::sync::Arc<Type>| {
            let info = field.get_basic_info();
            let is_nanos =
                matches!(info.logical_type_ref(), Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS);
            (field.name().to_owned(), if is_nanos { Unit::Nanos } else { Unit::Plain })
        };
        let columns = descriptor.root_schema().get_fields().iter().map(column).collect();
        let rows = u64::try_from(metadata.num_rows()).map_err(|_| "it has a negative number of rows".to_owned())?;
        Ok(Self { reader, columns, rows })
    }

    /// How many rows it says that it has.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The names of its columns.
    pub(crate) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A note that its writer left.
    pub(crate) fn note(&self, name: &str) -> Option<String> {
        let notes = self.reader.metadata().file_metadata().key_value_metadata()?;
        notes.iter().find(|note| note.key == name)?.value.clone()
    }

    /// The values of each row, in the order of the columns.
    pub(crate) fn into_rows(self) -> ReadRows {
        let units = self.columns.iter().map(|(_, unit)| *unit).collect();
        ReadRows { rows: RowIter::from_file_into(Box::new(self.reader)).with_batch_size(ROWS_AT_ONCE), units }
    }
}

/// Rows of a file, while it is read.
pub(crate) struct ReadRows {
    rows: RowIter<'static>,
    units: Vec<Unit>,
}

impl Iterator for ReadRows {
    type Item = Result<Vec<Read>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.rows.next()? {
            Ok(row) => row,
            Err(e) => return Some(Err(said(&e))),
        };
        let values = row.into_columns().into_iter().zip(&self.units);
        Some(Ok(values.map(|((_, field), unit)| read(field, *unit)).collect()))
    }
}

/// Whether the crate turns values of such a column into something.
fn is_known(physical: Physical, converted: ConvertedType) -> bool {
    use ConvertedType as C;
    match physical {
        Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE => true,
        Physical::INT32 => matches!(
            converted,
            C::NONE
                | C::INT_8
                | C::INT_16
                | C::INT_32
                | C::UINT_8
                | C::UINT_16
                | C::UINT_32
                | C::DATE
                | C::TIME_MILLIS
                | C::DECIMAL
        ),
        Physical::INT64 => matches!(
            converted,
            C::NONE | C::INT_64 | C::UINT_64 | C::TIME_MICROS | C::TIMESTAMP_MILLIS | C::TIMESTAMP_MICROS | C::DECIMAL
        ),
        Physical::BYTE_ARRAY => {
            matches!(converted, C::NONE | C::UTF8 | C::ENUM | C::JSON | C::BSON | C::DECIMAL)
        }
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(converted, C::NONE | C::DECIMAL),
    }
}

fn read(field: Field, unit: Unit) -> Read {
    let nanos = |value: i64, of_unit: i64| {
        value.checked_mul(of_unit).map_or_else(|| Read::Number(value.to_string()), Read::Time)
    };
    match field {
        Field::Null => Read::Nothing,
        Field::Bool(value) => Read::Bool(value),
        Field::Byte(value) => Read::Int(value.into()),
        Field::Short(value) => Read::Int(value.into()),
        Field::Int(value) => Read::Int(value.into()),
        Field::Long(value) if unit == Unit::Nanos => Read::Time(value),
        Field::Long(value) => Read::Int(value),
        Field::UByte(value) => Read::Int(value.into()),
        Field::UShort(value) => Read::Int(value.into()),
        Field::UInt(value) => Read::Int(value.into()),
        Field::ULong(value) => i64::try_from(value).map_or_else(|_| Read::Number(value.to_string()), Read::Int),
        Field::Float16(value) => Read::Double(value.into()),
        Field::Float(value) => Read::Double(value.into()),
        Field::Double(value) => Read::Double(value),
        Field::Str(text) => Read::Text(text),
        Field::Bytes(bytes) => Read::Text(String::from_utf8_lossy(bytes.data()).into_owned()),
        Field::Date(days) => nanos(days.into(), 86_400_000_000_000),
        Field::TimestampMillis(millis) => nanos(millis, 1_000_000),
        Field::TimestampMicros(micros) => nanos(micros, 1_000),
        Field::TimeMillis(millis) => Read::Int(millis.into()),
        Field::TimeMicros(micros) => Read::Int(micros),
        decimal @ Field::Decimal(_) => Read::Number(decimal.to_string()),
        nested @ (Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_)) => {
            let mut out = String::new();
            push_json(&mut out, &nested);
            Read::Json(out)
        }
    }
}

/// Appends a value within a nested one as JSON.
fn push_json(out: &mut String, field: &Field) {
    let separate = |out: &mut String, at: usize| {
        if at > 0 {
            out.push(',');
        }
    };
    match field {
        Field::Group(row) => push_group(out, row),
        Field::ListInternal(list) => {
            out.push('[');
            for (at, item) in list.elements().iter().enumerate() {
                separate(out, at);
                push_json(out, item);
            }
            out.push(']');
        }
        Field::MapInternal(map) => {
            out.push('{');
            for (at, (key, value)) in map.entries().iter().enumerate() {
                separate(out, at);
                let name = if let Field::Str(name) = key { name.clone() } else { key.to_string() };
                push_json_string(out, &name);
                out.push(':');
                push_json(out, value);
            }
            out.push('}');
        }
        plain => match read(plain.clone(), Unit::Plain) {
            Read::Nothing => out.push_str("null"),
            Read::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Read::Int(value) => out.push_str(&value.to_string()),
            Read::Double(value) if value.is_finite() => out.push_str(&value.to_string()),
            Read::Double(value) => push_json_string(out, &value.to_string()),
            Read::Number(spelling) => out.push_str(&spelling),
            Read::Text(text) => push_json_string(out, &text),
            Read::Time(at) => push_json_string(out, &crate::transfer::layout::rfc3339(at)),
            Read::Json(json) => out.push_str(&json),
        },
    }
}

fn push_group(out: &mut String, row: &Row) {
    out.push('{');
    for (at, (name, value)) in row.get_column_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_json_string(out, name);
        out.push(':');
        push_json(out, value);
    }
    out.push('}');
}
