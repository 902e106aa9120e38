//! Which fields of a part's records become columns of which type, and what of a record the columns do not say. Pure.
//!
//! A field is a column where its values have one type over the whole part. A column says what a value is, for whoever computes
//! with it; a value whose spelling cannot be told from its column (`1.50`, 23 digits, `null`), and every field that has no column,
//! stands as it was sent in one column of JSON text beside them, which goes before the columns where a record is read back.
//!
//! Invariants
//! * Columns and text together give back every field as it was sent.
//! * No two columns have names that differ in case only, since many readers take these for one.
//! * What is known of names is bounded; names beyond it have no column.
use super::flat::{self, Field};
use logyard_storage::record::{FieldPath, Record, Value, ValueKind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The columns that every part has.
pub(crate) const TIME: &str = "_time";
pub(crate) const ARRIVAL: &str = "_arrival";
pub(crate) const ID: &str = "_id";
pub(crate) const SEQ: &str = "_seq";
pub(crate) const STREAM: &str = "_stream";
/// And the one that has what the others do not say.
pub(crate) const REST: &str = "fields_json";
/// Fields that are columns of text in every part.
const ALWAYS: [&str; 3] = ["service_name", "level", "_msg"];
/// Names that are taken: by columns of every part, and by folders.
const TAKEN: [&str; 11] = [TIME, ARRIVAL, ID, SEQ, STREAM, REST, "year", "month", "day", "hour", "service"];
/// Columns of a part beside those.
const COLUMNS_MAX: usize = 500;
/// Names that are counted.
const NAMES_MAX: usize = 20_000;

/// A type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nanoseconds since 1970, UTC.
    Time,
    Int,
    Double,
    Bool,
    Text,
}

/// A value in a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Nothing,
    Int(i64),
    Double(f64),
    Bool(bool),
    Text(String),
}

/// Which values a field had.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    ints: u64,
    doubles: u64,
    bools: u64,
    texts: u64,
    is_mixed: bool,
}

impl Seen {
    fn kind(self) -> Option<Kind> {
        let numbers = self.ints + self.doubles;
        match (numbers, self.bools, self.texts) {
            _ if self.is_mixed => None,
            (1.., 0, 0) if self.doubles == 0 => Some(Kind::Int),
            (1.., 0, 0) => Some(Kind::Double),
            (0, 1.., 0) => Some(Kind::Bool),
            (0, 0, 1..) => Some(Kind::Text),
            _ => None,
        }
    }

    fn rows(self) -> u64 {
        self.ints + self.doubles + self.bools + self.texts
    }
}

/// What a part's records have, counted.
#[derive(Default)]
pub(crate) struct Census {
    fields: HashMap<FieldPath, Seen>,
}

impl Census {
    /// Adds a record.
    pub(crate) fn add(&mut self, record: &Record) {
        for (path, value) in record.fields.iter().filter(|(path, _)| path.occurrence == 0) {
            let has_room = self.fields.len() < NAMES_MAX;
            let seen = match self.fields.get_mut(path) {
                Some(seen) => seen,
                None if has_room => self.fields.entry(path.clone()).or_default(),
                None => continue,
            };
            match value.kind {
                ValueKind::String => seen.texts += 1,
                ValueKind::Bool => seen.bools += 1,
                ValueKind::Number if int(&value.text).is_some() => seen.ints += 1,
                ValueKind::Number => seen.doubles += 1,
                ValueKind::Null => {}
                ValueKind::Json => seen.is_mixed = true,
            }
        }
    }

    /// The columns that these become: those that most records have, in the order of their names.
    pub(crate) fn columns(self) -> Columns {
        let mut found: Vec<(FieldPath, Kind, u64)> = self
            .fields
            .into_iter()
            .filter(|(path, _)| !is_taken(&path.name))
            .filter_map(|(path, seen)| Some((path, seen.kind()?, seen.rows())))
            .collect();
        found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        let mut names = HashSet::new();
        found.retain(|(path, ..)| names.insert(path.name.to_lowercase()));
        found.truncate(COLUMNS_MAX);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let always = ALWAYS.iter().map(|name| (FieldPath::flat(name), Kind::Text));
        Columns::new(always.chain(found.into_iter().map(|(path, kind, _)| (path, kind))).collect())
    }
}

fn is_taken(name: &str) -> bool {
    name.is_empty() || TAKEN.iter().chain(&ALWAYS).any(|taken| name.eq_ignore_ascii_case(taken))
}

/// The columns of fields, and where each is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) fields: Vec<(FieldPath, Kind)>,
    places: BTreeMap<FieldPath, usize>,
}

impl Columns {
    pub(crate) fn new(fields: Vec<(FieldPath, Kind)>) -> Self {
        let places = fields.iter().enumerate().map(|(at, (path, _))| (path.clone(), at)).collect();
        Self { fields, places }
    }

    /// A record's values in the columns, and the JSON text of what they do not say, where there is something.
    pub(crate) fn split(&self, record: &Record) -> (Vec<Cell>, Option<String>) {
        let mut cells = vec![Cell::Nothing; self.fields.len()];
        let mut rest: HashSet<(&str, &[u16])> = HashSet::new();
        for (path, value) in &record.fields {
            let field = (&*path.name, &*path.nesting);
            let place = self.places.get(&FieldPath { occurrence: 0, ..path.clone() });
            let Some((cell, (_, kind))) = place.and_then(|at| Some((cells.get_mut(*at)?, self.fields.get(*at)?)))
            else {
                rest.insert(field);
                continue;
            };
            let read = cell_of(*kind, value);
            if path.occurrence > 0 || spelled(&read).as_ref() != Some(value) {
                rest.insert(field);
            }
            // Of a name that comes twice the last counts, as everywhere.
            *cell = read;
        }
        let is_left = |path: &FieldPath| rest.contains(&(&*path.name, &*path.nesting));
        let text = (!rest.is_empty()).then(|| record.to_json(is_left));
        (cells, text)
    }

    /// The fields of a record again.
    pub(crate) fn join(&self, cells: &[Cell], rest: Option<&str>) -> Result<Vec<Field>, String> {
        let left = rest.map(flat::of_json).transpose()?.unwrap_or_default();
        let mut fields: Vec<Field> = Vec::with_capacity(cells.len() + left.len());
        {
            let told: HashSet<(&str, &[u16])> = left.iter().map(|(path, _)| (&*path.name, &*path.nesting)).collect();
            for ((path, _), cell) in self.fields.iter().zip(cells) {
                if let Some(value) = spelled(cell).filter(|_| !told.contains(&(&*path.name, &*path.nesting))) {
                    fields.push((path.clone(), value));
                }
            }
        }
        fields.extend(left);
        Ok(fields)
    }
}

/// A whole number that is spelled as we spell it.
fn int(text: &str) -> Option<i64> {
    text.parse().ok().filter(|value: &i64| value.to_string() == text)
}

/// A value in a column of a type, as far as it can be there.
fn cell_of(kind: Kind, value: &Value) -> Cell {
    match (kind, value.kind) {
        (Kind::Text, ValueKind::String) => Cell::Text(value.text.clone()),
        (Kind::Bool, ValueKind::Bool) => Cell::Bool(value.text == "true"),
        (Kind::Int, ValueKind::Number) => int(&value.text).map_or(Cell::Nothing, Cell::Int),
        (Kind::Double, ValueKind::Number) => {
            let number = value.text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map_or(Cell::Nothing, Cell::Double)
        }
        _ => Cell::Nothing,
    }
}

/// What a value in a column was sent as, where nothing else is said of it.
fn spelled(cell: &Cell) -> Option<Value> {
    let (kind, text) = match cell {
        Cell::Nothing => return None,
        Cell::Int(value) => (ValueKind::Number, value.to_string()),
        Cell::Double(value) => (ValueKind::Number, value.to_string()),
        Cell::Bool(value) => (ValueKind::Bool, value.to_string()),
        Cell::Text(text) => (ValueKind::String, text.clone()),
    };
    Some(Value { kind, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        Record { seq: 1, epoch: 2, time: 3, arrival: 4, fields: flat::of_json(json).unwrap() }
    }

    const RECORDS: [&str; 9] = [
        r#"{"service_name":"a","level":"INFO","_msg":"m","n":1,"d":1.5,"b":true,"s":"x","mixed":1,"deep":{"a":{"b":2}}}"#,
        r#"{"service_name":"a","n":-7,"d":1.50,"b":false,"s":"","mixed":"1","deep":{"a":{"b":3}},"deep.a.b":4}"#,
        r#"{"n":null,"d":1e3,"b":null,"s":null,"list":[1,2],"empty":{},"deep":{"a":{"b":null,"c":"x"}}}"#,
        r#"{"d":12345678901234567890123,"N":5,"_time":"now","year":3,"n":1,"n":2}"#,
        r#"{"d":1e999,"level":30,"_msg":{"a":1},"service_name":null}"#,
        r#"{"d":5,"d":0.1,"n":9223372036854775807,"s":"ü\u0000"}"#,
        r#"{"d":-0.0,"fields_json":"x","_id":"y"}"#,
        r#"{"d":0,"S":"other case"}"#,
        r#"{}"#,
    ];

    #[test]
    fn columns_and_rest_give_back_what_was_sent() {
        let mut census = Census::default();
        let records: Vec<Record> = RECORDS.iter().map(|json| record(json)).collect();
        records.iter().for_each(|record| census.add(record));
        let columns = census.columns();
        for record in &records {
            let (cells, rest) = columns.split(record);
            let fields = columns.join(&cells, rest.as_deref()).unwrap();
            assert!(flat::are_same(&fields, &record.fields), "{fields:?} {:?}", record.fields);
        }
        let shown: Vec<(&str, Kind)> = columns.fields.iter().map(|(path, kind)| (&*path.name, *kind)).collect();
        assert_eq!(
            shown,
            [
                ("service_name", Kind::Text),
                ("level", Kind::Text),
                ("_msg", Kind::Text),
                ("_msg.a", Kind::Int),
                ("b", Kind::Bool),
                ("d", Kind::Double),
                ("deep.a.b", Kind::Int),
                ("deep.a.c", Kind::Text),
                ("n", Kind::Int),
                ("s", Kind::Text),
            ]
        );
    }

    #[test]
    fn a_plain_record_has_no_rest() {
        let mut census = Census::default();
        let plain = record(RECORDS[0]);
        census.add(&plain);
        let (cells, rest) = census.columns().split(&plain);
        assert_eq!(rest, None);
        assert!(
            cells.contains(&Cell::Double(1.5)) && cells.contains(&Cell::Int(1)) && cells.contains(&Cell::Bool(true))
        );
    }
}
