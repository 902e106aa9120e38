//! Which rows of a part pass a filter.
//!
//! Invariants
//! * A row without a field has the empty text there; of a name that comes twice the last counts.
//! * A text is rebuilt only where its shape says look.
use super::filter::{Filter, Test, Verdict};
use super::part::{Part, PartLane};
use super::rows::RowSet;
use crate::error::Result;
use crate::text::table::ShapeTable;

/// What the shapes of one table say about each test of a filter, worked out once.
pub(crate) struct Verdicts {
    of_tests: Vec<Option<Vec<Verdict>>>,
}

impl Verdicts {
    pub(crate) fn new(filter: &Filter) -> Self {
        Self { of_tests: vec![None; filter.tests()] }
    }

    fn of(&mut self, number: usize, test: &Test, shapes: &ShapeTable) -> &[Verdict] {
        let Some(slot) = self.of_tests.get_mut(number) else { return &[] };
        slot.get_or_insert_with(|| {
            (0..shapes.len() as u32).map(|shape| test.verdict(shapes.key(shape), shapes.shape(shape))).collect()
        })
    }
}

/// The rows of a part that pass a filter.
pub(crate) fn evaluate(part: &Part<'_>, filter: &Filter, verdicts: &mut Verdicts) -> Result<RowSet> {
    let mut number = 0;
    walk(part, &part.lanes(), filter, verdicts, &mut number)
}

fn walk(
    part: &Part<'_>,
    lanes: &[PartLane<'_>],
    filter: &Filter,
    verdicts: &mut Verdicts,
    number: &mut usize,
) -> Result<RowSet> {
    Ok(match filter {
        Filter::All => RowSet::all(part.rows()),
        Filter::And(parts) => {
            let mut set = RowSet::all(part.rows());
            for filter in parts {
                if set.is_empty() {
                    *number += filter.tests();
                } else {
                    set.and(&walk(part, lanes, filter, verdicts, number)?);
                }
            }
            set
        }
        Filter::Or(parts) => {
            let mut set = RowSet::none(part.rows());
            for filter in parts {
                set.or(&walk(part, lanes, filter, verdicts, number)?);
            }
            set
        }
        Filter::Not(inner) => {
            let mut set = walk(part, lanes, inner, verdicts, number)?;
            set.not();
            set
        }
        Filter::Field(name, test) => {
            *number += 1;
            field(part, lanes, name, test, *number - 1, verdicts)?
        }
    })
}

fn field(
    part: &Part<'_>,
    lanes: &[PartLane<'_>],
    name: &str,
    test: &Test,
    number: usize,
    verdicts: &mut Verdicts,
) -> Result<RowSet> {
    let mut set = if test.matches("") { RowSet::all(part.rows()) } else { RowSet::none(part.rows()) };
    for lane in lanes.iter().filter(|lane| &*lane.field().name == name) {
        let presence = part.presence(*lane)?;
        let row_of = |value: usize| match &presence {
            Some(rows) => rows.get(value).map_or(usize::MAX, |row| *row as usize),
            None => value,
        };
        let mut settle =
            |value: usize, passes: bool| if passes { set.insert(row_of(value)) } else { set.remove(row_of(value)) };
        if !lane.kind().is_text() {
            part.texts(*lane, &|_| true, &mut |value, text| {
                settle(value, test.matches(std::str::from_utf8(text).unwrap_or_default()))
            })?;
            continue;
        }
        let says = verdicts.of(number, test, part.shapes());
        let shapes = part.value_shapes(*lane)?;
        let verdict = |value: usize| {
            let shape = shapes.get(value).copied().unwrap_or(0);
            says.get(shape as usize).copied().unwrap_or(Verdict::Look)
        };
        let mut looks = false;
        for value in 0..shapes.len() {
            match verdict(value) {
                Verdict::Look => looks = true,
                says => settle(value, says == Verdict::Yes),
            }
        }
        if looks {
            part.texts(*lane, &|value| verdict(value) == Verdict::Look, &mut |value, text| {
                settle(value, test.matches(std::str::from_utf8(text).unwrap_or_default()));
            })?;
        }
    }
    Ok(set)
}
