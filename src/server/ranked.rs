//! The order of relevance: what is said seldom comes first.
//!
//! Records of a search are told apart by the shape of their message, that is, by its text without what varies. Shapes of
//! which there are few records come first, and of one shape the newest. Texts that are kept whole count as one shape, and
//! so do records without a message.
//!
//! Invariants
//! * Records are read only for the page that is asked for; before that, shapes are counted, and ids of the page found.
//! * Shapes are bounded in number; the page is, with what is passed over before it.
use super::logs::Stored;
use logyard_storage::engine::{Engine, Search};
use logyard_storage::error::{Error, ErrorKind, Result};
use logyard_storage::record::RecordId;
use logyard_storage::scan::Control;
use logyard_storage::scan::columns::{Values, View};
use logyard_storage::text::shape::{Shape, Split};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Different shapes that one search may have.
const SHAPES_MAX: usize = 50_000;
/// Records that may be passed over and given.
pub(super) const REACH_MAX: usize = 10_000;

/// Records of a search in the order of relevance: `limit` of them behind `offset` others.
pub(super) fn search(engine: &Engine, search: &Search, control: &Control) -> Result<Vec<Stored>> {
    let reach = search.offset.saturating_add(search.limit).min(REACH_MAX);
    let all = Search { limit: usize::MAX, offset: 0, ..search.clone() };
    let ranks = ranks(count_shapes(engine, &all, control)?, reach);
    let ids = newest_of(engine, &all, &ranks, (reach, control))?;
    let wanted = ids.into_iter().skip(search.offset).take(search.limit);
    wanted.filter_map(|id| engine.get_stored(id).transpose()).collect()
}

/// The records of a shape: how many, and the time of the newest.
#[derive(Clone, Copy)]
struct Heard {
    count: u64,
    newest: i64,
}

type HeardOf = HashMap<String, Heard>;

fn add(all: &mut HeardOf, name: String, heard: Heard) {
    let known = all.entry(name).or_insert(Heard { count: 0, newest: i64::MIN });
    *known = Heard { count: known.count + heard.count, newest: known.newest.max(heard.newest) };
}

/// What there is of each shape.
fn count_shapes(engine: &Engine, search: &Search, control: &Control) -> Result<HeardOf> {
    let fold = |all: &mut HeardOf, view: &View<'_>| {
        let shapes = Shapes::of(view)?;
        let mut of_view = vec![Heard { count: 0, newest: i64::MIN }; shapes.names.len()];
        for (place, time) in shapes.places.iter().zip(view.times()?) {
            if let Some(heard) = of_view.get_mut(*place) {
                *heard = Heard { count: heard.count + 1, newest: heard.newest.max(time) };
            }
        }
        let found = shapes.names.into_iter().zip(of_view).filter(|(_, heard)| heard.count > 0);
        found.for_each(|(name, heard)| add(all, name, heard));
        within_bounds(all.len())
    };
    let (states, _) = engine.fold(search, control, HashMap::new, fold)?;
    let mut all = HashMap::new();
    states.into_iter().flatten().for_each(|(name, heard)| add(&mut all, name, heard));
    within_bounds(all.len())?;
    Ok(all)
}

fn within_bounds(shapes: usize) -> Result<()> {
    if shapes <= SHAPES_MAX {
        return Ok(());
    }
    let message = format!("more than {SHAPES_MAX} kinds of messages cannot be ordered by relevance; ask for less time");
    Err(Error::new(ErrorKind::Budget, message))
}

/// The rank of each shape up to the one with which there are enough records: fewer first, and of as many the newer.
fn ranks(all: HeardOf, reach: usize) -> HashMap<String, usize> {
    let order = |(name, heard): (String, Heard)| (heard.count, Reverse(heard.newest), name);
    let mut sorted: Vec<_> = all.into_iter().map(order).collect();
    sorted.sort_unstable();
    let mut before = 0;
    let needed = sorted.into_iter().take_while(|(count, ..)| {
        let is_needed = before < reach as u64;
        before += count;
        is_needed
    });
    needed.enumerate().map(|(rank, (.., name))| (name, rank)).collect()
}

/// A record's place in the order: the greatest comes last.
type Place = (usize, Reverse<i64>, Reverse<RecordId>);

/// The ids of the first so many.
fn newest_of(
    engine: &Engine,
    search: &Search,
    ranks: &HashMap<String, usize>,
    (reach, control): (usize, &Control),
) -> Result<Vec<RecordId>> {
    let fold = |first: &mut BinaryHeap<Place>, view: &View<'_>| {
        let shapes = Shapes::of(view)?;
        let of_names: Vec<Option<usize>> = shapes.names.iter().map(|name| ranks.get(name).copied()).collect();
        if of_names.iter().all(Option::is_none) {
            return Ok(());
        }
        let rows = shapes.places.iter().zip(view.times()?).zip(view.ids()?);
        for ((place, time), id) in rows {
            if let Some(rank) = of_names.get(*place).copied().flatten() {
                push(first, (rank, Reverse(time), Reverse(id)), reach);
            }
        }
        Ok(())
    };
    let (states, _) = engine.fold(search, control, BinaryHeap::new, fold)?;
    let mut first = BinaryHeap::new();
    states.into_iter().flatten().for_each(|place| push(&mut first, place, reach));
    Ok(first.into_sorted_vec().into_iter().map(|(_, _, Reverse(id))| id).collect())
}

fn push(first: &mut BinaryHeap<Place>, place: Place, most: usize) {
    if first.len() < most {
        first.push(place);
    } else if let Some(mut last) = first.peek_mut()
        && place < *last
    {
        *last = place;
    }
}

/// The shape of each row's message.
struct Shapes {
    /// Those that there are; the first is of texts that are kept whole, and of no text.
    names: Vec<String>,
    /// For each row the place of its shape's name.
    places: Vec<usize>,
}

impl Shapes {
    fn of(view: &View<'_>) -> Result<Self> {
        let mut shapes = Self { names: vec![String::new()], places: vec![0; view.len()] };
        for lane in view.lanes_of("_msg") {
            let column = view.column(lane)?;
            let rows: Vec<usize> = match column.rows {
                Some(rows) => rows.into_iter().map(|row| row as usize).collect(),
                None => (0..view.len()).collect(),
            };
            match column.values {
                Values::Shapes(numbers) => {
                    shapes.add(&rows, &numbers, |number| view.shape(*number).unwrap_or_default());
                }
                Values::Listed { texts, places } => {
                    shapes
                        .add(&rows, &places, |place| texts.get(*place as usize).map_or_else(String::new, |t| shape(t)));
                }
                _ => {
                    let mut values = Vec::with_capacity(rows.len());
                    view.texts(lane, None, &mut |_, text| values.push(shape(text)))?;
                    shapes.add(&rows, &values, Clone::clone);
                }
            }
        }
        Ok(shapes)
    }

    /// Names the shapes of some rows, each different value once.
    fn add<T: Eq + std::hash::Hash>(&mut self, rows: &[usize], values: &[T], name: impl Fn(&T) -> String) {
        let mut known: HashMap<&T, usize> = HashMap::new();
        for (row, value) in rows.iter().zip(values) {
            let names = &mut self.names;
            let place = *known.entry(value).or_insert_with(|| {
                let name = name(value);
                if name.is_empty() {
                    return 0;
                }
                names.push(name);
                names.len() - 1
            });
            if let Some(of_row) = self.places.get_mut(*row) {
                *of_row = place;
            }
        }
    }
}

/// The shape of a text as people are shown it.
fn shape(text: &str) -> String {
    let mut split = Split::default();
    if !split.split(text) {
        return String::new();
    }
    Shape::parse(&split.key).map(|shape| shape.display()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::batch::BatchBuilder;
    use logyard_storage::engine::{Ack, Append, Options};
    use logyard_storage::env::RealEnv;
    use std::sync::Arc;

    #[test]
    fn what_is_said_seldom_comes_first_in_every_form() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(dir.path().to_path_buf())).unwrap();
        let append = |from: i64| {
            let mut rows = BatchBuilder::new();
            for number in from..from + 50 {
                let message = match number {
                    7 => "disk failed, once".to_owned(),
                    20 | 60 => format!("card {number} declined"),
                    _ => format!("request {number} served"),
                };
                rows.begin_row();
                rows.time(1_700_000_000_000_000_000 + number);
                rows.string("service_name", "shop");
                rows.string("_msg", &message);
                rows.commit_row();
            }
            engine.append(Append::new(rows.finish().unwrap(), Ack::Wal)).unwrap();
        };
        let found = |limit, offset| -> Vec<String> {
            let asked = Search { limit, offset, ..Search::default() };
            search(&engine, &asked, &Control::default())
                .unwrap()
                .iter()
                .map(|(record, _)| record.get("_msg").to_owned())
                .collect()
        };
        append(0);
        engine.seal().unwrap();
        append(50);
        let first =
            ["disk failed, once", "card 60 declined", "card 20 declined", "request 99 served", "request 98 served"];
        assert_eq!(found(5, 0), first);
        assert_eq!(found(2, 2), first[2..4]);
        engine.seal().unwrap();
        assert_eq!(found(5, 0), first);
        assert_eq!(found(1_000, 0).len(), 100);
        engine.close().unwrap();
    }
}
