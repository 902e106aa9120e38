//! The lanes of a view as columns of a block, in the form that they are stored in wherever that is one.
//!
//! Invariants
//! * A row's value of a field is that of the last lane that has one, as everywhere.
//! * Columns stand in the order of their fields.
use super::faces::made;
use crate::error::Result;
use crate::query::block::{Block, Column, NULL, STRING, Texts};
use crate::query::needed::Needed;
use crate::record::ValueKind;
use crate::scan::columns::{Lane, Values, View};
use rustc_hash::FxHashMap;

/// Different texts of a column that are listed.
const LISTED_MAX: usize = 4_096;
/// Values from which on texts with numbers are told apart by these.
const NUMBERED_MIN: usize = 64;
/// Of the rows of a block, the part up to which each different text is handed on as a block of its own.
const COUNTED_SHARE: usize = 64;

/// The wanted columns of a view.
pub(super) fn block_of(view: &View<'_>, wanted: &Needed, made_fields: &[&str]) -> Result<Block> {
    let mut columns = if made_fields.is_empty() { Vec::new() } else { made(view, wanted)? };
    let mut names: Vec<&str> = Vec::new();
    let mut lanes: FxHashMap<&str, Vec<Lane<'_>>> = FxHashMap::default();
    for lane in view.lanes() {
        let name = &*lane.field().name;
        if !wanted.has(name) || made_fields.contains(&name) {
            continue;
        }
        lanes.entry(name).or_default().push(lane);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        columns.extend(lanes.remove(name).map(|lanes| column(view, name, &lanes)).transpose()?);
    }
    Ok(Block::with_columns(view.len(), columns))
}

/// A whole block of which a single field is wanted, as a block of one text for each that is in it: nothing where it does not
/// say itself how often each comes, or there are too many.
pub(super) fn counted(view: &View<'_>, wanted: &Needed, made_fields: &[&str]) -> Result<Option<Vec<Block>>> {
    let Some([name]) = wanted.names() else { return Ok(None) };
    let lanes = view.lanes_of(name);
    let [only] = lanes.as_slice() else { return Ok(None) };
    if !view.is_whole() || made_fields.contains(&name.as_str()) {
        return Ok(None);
    }
    let Some(mut counts) = view.counts(*only)?.filter(|counts| counts.len() <= view.len() / COUNTED_SHARE) else {
        return Ok(None);
    };
    let with_one: usize = counts.iter().map(|(_, count)| count).sum();
    counts.push((String::new(), view.len().saturating_sub(with_one)));
    if only.kind() == ValueKind::Null {
        return Ok(None);
    }
    let kind = kind(*only);
    let block =
        |(text, count): (String, usize)| Block::with_columns(count, vec![Column::constant(name, &text).of_kind(kind)]);
    Ok(Some(counts.into_iter().filter(|(_, count)| *count > 0).map(block).collect()))
}

/// A column by its name, of empty texts where there is none.
pub(super) fn text_column(view: &View<'_>, name: &str) -> Result<Column> {
    column(view, name, &view.lanes_of(name))
}

/// As what the values of a lane were sent; whole numbers and others have lanes of their own, and are both numbers.
fn kind(lane: Lane<'_>) -> &'static str {
    match lane.kind() {
        ValueKind::String => STRING,
        ValueKind::Number => "number",
        ValueKind::Bool => "bool",
        ValueKind::Null => NULL,
        ValueKind::Json => "json",
    }
}

/// A column with what its values were sent as: of each row where the lanes differ, or a row may have null or nothing.
fn with_kinds(view: &View<'_>, lanes: &[Lane<'_>], column: Column) -> Result<Column> {
    let Some(first) = lanes.first().map(|lane| kind(*lane)) else { return Ok(column) };
    if first != NULL && lanes.iter().all(|lane| kind(*lane) == first) {
        return Ok(column.of_kind(first));
    }
    let mut kinds = vec![""; view.len()];
    for lane in lanes {
        match view.rows_with(*lane)? {
            None => kinds.fill(kind(*lane)),
            Some(rows) => {
                for row in rows {
                    if let Some(slot) = kinds.get_mut(row as usize) {
                        *slot = kind(*lane);
                    }
                }
            }
        }
    }
    Ok(column.of_kinds(kinds))
}

fn column(view: &View<'_>, name: &str, lanes: &[Lane<'_>]) -> Result<Column> {
    let column = match lanes {
        [only] => match stored(view, name, *only)? {
            Some(column) => column,
            None => texts(view, name, lanes)?,
        },
        _ => texts(view, name, lanes)?,
    };
    with_kinds(view, lanes, column)
}

/// A lane in the form that it is stored in; nothing where that is none that a column has.
fn stored(view: &View<'_>, name: &str, lane: Lane<'_>) -> Result<Option<Column>> {
    if !view.has_form(lane)? {
        let numbered = if view.len() < NUMBERED_MIN { None } else { view.numbered(lane, LISTED_MAX)? };
        let Some((texts, places)) = numbered else { return Ok(None) };
        return listed(view, name, lane, &texts.iter().map(String::as_str).collect::<Vec<_>>(), places).map(Some);
    }
    if let Some((texts, places)) = view.literals(lane)? {
        return listed(view, name, lane, &texts, places).map(Some);
    }
    let column = view.column(lane)?;
    let full = |places: Vec<u32>, empty: u32| match &column.rows {
        None => places,
        Some(rows) => spread(view.len(), rows, places, empty),
    };
    Ok(match column.values {
        Values::Listed { texts: listed, places } => {
            let mut texts: Texts = listed.iter().map(String::as_str).collect();
            let empty = texts.len() as u32;
            texts.push("");
            if let ([only], None) = (&*listed, &column.rows) {
                return Ok(Some(Column::constant(name, only)));
            }
            Some(Column::listed(name, texts, full(places, empty)))
        }
        Values::Ints(values) if column.rows.is_none() => Some(Column::ints(name, values)),
        Values::Bools(values) => {
            let texts = ["false", "true", ""].into_iter().collect();
            Some(Column::listed(name, texts, full(values.into_iter().map(u32::from).collect(), 2)))
        }
        Values::Null(_) => Some(Column::constant(name, "")),
        Values::Spelled(values) => Some(spelled(name, lane, &values, &full)),
        Values::Shapes(shapes) => literals(view, name, &shapes, &full),
        Values::Ints(_) | Values::Bytes { .. } => None,
    })
}

/// A column of listed texts, of which each value is one.
fn listed(view: &View<'_>, name: &str, lane: Lane<'_>, texts: &[&str], places: Vec<u32>) -> Result<Column> {
    let rows = view.rows_with(lane)?;
    if let ([only], None) = (texts, &rows) {
        return Ok(Column::constant(name, only));
    }
    let places = match rows {
        None => places,
        Some(rows) => spread(view.len(), &rows, places, texts.len() as u32),
    };
    Ok(Column::listed(name, texts.iter().copied().chain([""]).collect(), places))
}

/// The place of each row's text, where only some rows have one.
fn spread(len: usize, rows: &[u32], places: Vec<u32>, empty: u32) -> Vec<u32> {
    let mut all = vec![empty; len];
    for (row, place) in rows.iter().zip(places) {
        if let Some(slot) = all.get_mut(*row as usize) {
            *slot = place;
        }
    }
    all
}

/// Each different number is written out once.
fn spelled(name: &str, lane: Lane<'_>, values: &[i64], full: &dyn Fn(Vec<u32>, u32) -> Vec<u32>) -> Column {
    let (mut known, mut texts, mut text) = (FxHashMap::default(), Texts::default(), Vec::new());
    let mut place = |value: &i64| {
        *known.entry(*value).or_insert_with(|| {
            text.clear();
            lane.push_spelled(*value, &mut text);
            texts.push(std::str::from_utf8(&text).unwrap_or_default());
            texts.len() as u32 - 1
        })
    };
    let places = values.iter().map(&mut place).collect();
    let empty = texts.len() as u32;
    texts.push("");
    Column::listed(name, texts, full(places, empty))
}

/// Texts without variables, as which shape each is; nothing where some have any.
fn literals(view: &View<'_>, name: &str, shapes: &[u32], full: &dyn Fn(Vec<u32>, u32) -> Vec<u32>) -> Option<Column> {
    let (mut known, mut texts) = (FxHashMap::default(), Texts::default());
    let (mut places, mut last) = (Vec::with_capacity(shapes.len()), None);
    for shape in shapes {
        let place = match last {
            Some((known, place)) if known == *shape => place,
            _ => match known.get(shape) {
                Some(place) => *place,
                None => {
                    texts.push(view.literal(*shape).filter(|_| texts.len() < LISTED_MAX)?);
                    known.insert(*shape, texts.len() as u32 - 1);
                    texts.len() as u32 - 1
                }
            },
        };
        last = Some((*shape, place));
        places.push(place);
    }
    let empty = texts.len() as u32;
    texts.push("");
    Some(Column::listed(name, texts, full(places, empty)))
}

/// The texts of some lanes.
fn texts(view: &View<'_>, name: &str, lanes: &[Lane<'_>]) -> Result<Column> {
    if let [only] = lanes {
        let rows = view.rows_with(*only)?;
        let (mut texts, mut rows) = (Texts::default(), rows.map(Vec::into_iter));
        view.texts(*only, None, &mut |_, text| {
            // Rows without a value come before the one that has this.
            if let Some(row) = rows.as_mut().and_then(Iterator::next) {
                while texts.len() < row as usize {
                    texts.push("");
                }
            }
            texts.push(text);
        })?;
        while texts.len() < view.len() {
            texts.push("");
        }
        return Ok(Column::new(name, texts));
    }
    let mut values: Vec<String> = vec![String::new(); view.len()];
    for lane in lanes {
        let mut rows = view.rows_with(*lane)?.map(Vec::into_iter);
        view.texts(*lane, None, &mut |value, text| {
            let row = rows.as_mut().map_or(Some(value as u32), Iterator::next);
            if let Some(slot) = row.and_then(|row| values.get_mut(row as usize)) {
                slot.clear();
                slot.push_str(text);
            }
        })?;
    }
    Ok(Column::new(name, values.iter().map(String::as_str).collect()))
}
