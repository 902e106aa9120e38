//! Which rows of a part pass a filter.
//!
//! Invariants
//! * A row without a field has the empty text there; of a name that comes twice the last counts.
//! * Nothing of a row is read where shapes, and how often each occurs, say enough.
use super::answer::{Answer, Verdicts};
use super::filter::{Filter, Question, Test, Verdict};
use super::hot_look::Looker;
use super::ids::rows_of;
use super::look::{self, Says};
use super::part::{FEW, HotPart, Part, PartLane, SealedPart};
use super::records::values_of;
use super::rows::RowSet;
use super::streams::{count_streams, of_streams};
use crate::batch::{LaneKind, LaneView, hex_or_uuid, push_int};
use crate::error::Result;
use crate::segment::{BlockLane, Kind, Spelling, add};
use crate::text::shape::WHOLE;

/// The rows of a part that pass a filter; of these alone, ascending, where some are given.
pub(crate) fn evaluate(
    part: &Part<'_>,
    filter: &Filter,
    verdicts: &Verdicts<'_>,
    among: Option<&[usize]>,
) -> Result<RowSet> {
    let (lanes, mut number) = (part.lanes(), 0);
    match among {
        Some(rows) if rows.len() < FEW => few(part, &lanes, filter, rows),
        Some(rows) => {
            let mut set = walk(part, &lanes, filter, verdicts, &mut number)?;
            set.and(&RowSet::of(part.rows(), rows));
            Ok(set)
        }
        None => walk(part, &lanes, filter, verdicts, &mut number),
    }
}

/// Which of a few rows pass: their texts are looked at.
fn few(part: &Part<'_>, lanes: &[PartLane<'_>], filter: &Filter, rows: &[usize]) -> Result<RowSet> {
    let mut set = RowSet::of(part.rows(), rows);
    part.counters().budget.go_on()?;
    match filter {
        Filter::All => {}
        Filter::Ids(ids) => set.and(&rows_of(part, ids)?),
        Filter::Numbers(numbers) => set.and(&numbers.rows_of(part)?),
        Filter::Streams(asked) => set.and(&of_streams(part, asked)?),
        Filter::And(parts) => {
            for filter in parts {
                let left: Vec<usize> = set.iter().collect();
                if left.is_empty() {
                    break;
                }
                set = few(part, lanes, filter, &left)?;
            }
        }
        Filter::Or(parts) => {
            set = RowSet::none(part.rows());
            for filter in parts {
                set.or(&few(part, lanes, filter, rows)?);
            }
        }
        Filter::Not(inner) => {
            let mut passing = few(part, lanes, inner, rows)?;
            passing.not();
            set.and(&passing);
        }
        Filter::Field(name, test) => {
            if !test.matches("") {
                set = RowSet::none(part.rows());
            }
            for lane in lanes.iter().filter(|lane| &*lane.field().name == name.as_str()) {
                let presence = part.presence(*lane)?;
                let (values, places) = values_of(rows, presence.as_deref(), lane.count());
                let mut places = places.into_iter();
                add(&part.counters().texts_rebuilt, if lane.kind().is_text() { values.len() as u64 } else { 0 });
                let mut settle = |_: usize, text: &[u8]| {
                    let Some(row) = places.next().and_then(|place| rows.get(place)) else { return };
                    if test.matches(std::str::from_utf8(text).unwrap_or_default()) {
                        set.insert(*row);
                    } else {
                        set.remove(*row);
                    }
                };
                part.passing(|| part.texts(*lane, Some(&values), &mut settle))?;
            }
        }
    }
    Ok(set)
}

/// How many rows of a part pass, where that can be said without saying which.
pub(crate) fn count(part: &Part<'_>, filter: &Filter, verdicts: &Verdicts<'_>) -> Result<Option<u64>> {
    match filter {
        Filter::All => Ok(Some(part.rows() as u64)),
        Filter::Ids(_) | Filter::Numbers(_) => Ok(None),
        Filter::Streams(asked) => Ok(count_streams(part, asked, &|_| true)),
        Filter::Not(inner) => Ok(count(part, inner, verdicts)?.map(|n| part.rows() as u64 - n)),
        Filter::And(parts) | Filter::Or(parts) => match parts.as_slice() {
            [one] => count(part, one, verdicts),
            _ => Ok(None),
        },
        Filter::Field(name, test) => {
            let lanes: Vec<PartLane<'_>> =
                part.lanes().into_iter().filter(|lane| &*lane.field().name == name.as_str()).collect();
            // Two fields of one name may both have a value in a row; two types of one field do not.
            if lanes.windows(2).any(|pair| matches!(pair, [a, b] if a.field() != b.field())) {
                return Ok(None);
            }
            let (mut passing, mut with) = (0, 0);
            for lane in lanes {
                with += lane.count() as u64;
                passing += settle(part, lane, test, 0, verdicts)?.count(lane.count());
            }
            let without = (part.rows() as u64).saturating_sub(with);
            Ok(Some(passing + if test.matches("") { without } else { 0 }))
        }
    }
}

fn walk(
    part: &Part<'_>,
    lanes: &[PartLane<'_>],
    filter: &Filter,
    verdicts: &Verdicts<'_>,
    number: &mut usize,
) -> Result<RowSet> {
    Ok(match filter {
        Filter::All => RowSet::all(part.rows()),
        Filter::Ids(ids) => rows_of(part, ids)?,
        Filter::Numbers(numbers) => numbers.rows_of(part)?,
        Filter::Streams(asked) => of_streams(part, asked)?,
        Filter::And(parts) => {
            let mut set = RowSet::all(part.rows());
            for filter in parts {
                let left: Vec<usize> = set.iter().take(FEW).collect();
                if left.len() < FEW {
                    *number += filter.tests();
                    set = few(part, lanes, filter, &left)?;
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
            part.counters().budget.go_on()?;
            *number += 1;
            let number = *number - 1;
            part.passing(|| field(part, lanes, name, test, number, verdicts))?
        }
    })
}

/// Which rows hold so far.
enum Known {
    None,
    All,
    Set(RowSet),
}

impl Known {
    fn set(self, rows: usize) -> RowSet {
        match self {
            Self::None => RowSet::none(rows),
            Self::All => RowSet::all(rows),
            Self::Set(set) => set,
        }
    }
}

fn field(
    part: &Part<'_>,
    lanes: &[PartLane<'_>],
    name: &str,
    test: &Test,
    number: usize,
    verdicts: &Verdicts<'_>,
) -> Result<RowSet> {
    let mut known = if test.matches("") { Known::All } else { Known::None };
    for lane in lanes.iter().filter(|lane| &*lane.field().name == name) {
        let passing = settle(part, *lane, test, number, verdicts)?;
        let is_full = part.is_full(*lane);
        known = match (known, passing) {
            (Known::None, Passing::None) => Known::None,
            (Known::All, Passing::All) => Known::All,
            (_, Passing::None) if is_full => Known::None,
            (_, Passing::All) if is_full => Known::All,
            (_, passing) if is_full => Known::Set(passing.values(part, *lane)?),
            (known, passing) => {
                let mut set = known.set(part.rows());
                let values = passing.values(part, *lane)?;
                let presence = part.presence(*lane)?;
                for value in 0..lane.count() {
                    let row = match &presence {
                        Some(rows) => rows.get(value).map_or(usize::MAX, |row| *row as usize),
                        None => value,
                    };
                    if values.contains(value) { set.insert(row) } else { set.remove(row) }
                }
                Known::Set(set)
            }
        };
    }
    Ok(known.set(part.rows()))
}

/// Which values of a lane pass.
enum Passing {
    None,
    All,
    /// These.
    Values(RowSet),
    /// By shape or listed text, in the order of the lane's own numbers, with how many values each has.
    Shapes(Vec<Says>, Vec<u32>),
    /// Those of a batch whose local shapes are these, and how many that are.
    Locals(Vec<bool>, u64),
}

impl Passing {
    fn of(values: RowSet, count: usize) -> Self {
        match values.len() {
            0 => Self::None,
            n if n == count => Self::All,
            _ => Self::Values(values),
        }
    }

    fn of_shapes(says: Vec<Says>, counts: Vec<u32>) -> Self {
        if says.iter().all(|says| *says == Says::No) {
            Self::None
        } else if says.iter().all(|says| *says == Says::Yes) {
            Self::All
        } else {
            Self::Shapes(says, counts)
        }
    }

    fn count(&self, values: usize) -> u64 {
        match self {
            Self::None => 0,
            Self::All => values as u64,
            Self::Values(set) => set.len() as u64,
            Self::Shapes(says, counts) => says.iter().zip(counts).map(|(says, count)| says.passing(*count)).sum(),
            Self::Locals(_, count) => *count,
        }
    }

    /// The values that pass.
    fn values(self, part: &Part<'_>, lane: PartLane<'_>) -> Result<RowSet> {
        Ok(match self {
            Self::None => RowSet::none(lane.count()),
            Self::All => RowSet::all(lane.count()),
            Self::Values(set) => set,
            Self::Locals(passing, _) => {
                let PartLane::Hot { lane, .. } = lane else { return Ok(RowSet::none(lane.count())) };
                let mut locals = lane.shapes();
                let passes = |local: u16| passing.get(usize::from(local)).copied().unwrap_or(false);
                RowSet::where_true(lane.count, |_| locals.next().is_some_and(passes))
            }
            Self::Shapes(says, _) => {
                let codes = part.codes(lane)?;
                if let Some(set) = of_few_shapes(&says, &codes, lane.count()) {
                    return Ok(set);
                }
                // What most shapes say fits into few cache lines, their ranks do not.
                let verdict = |says: &Says| match says {
                    Says::No => Verdict::No,
                    Says::Yes => Verdict::Yes,
                    Says::Some(_) => Verdict::Look,
                };
                let verdicts: Vec<Verdict> = says.iter().map(verdict).collect();
                // For each shape how many of its values were passed, and how many of those that pass.
                let mut seen = vec![(0u32, 0usize); says.len()];
                RowSet::where_true(lane.count(), |value| {
                    let Some(code) = codes.get(value).map(|code| *code as usize) else { return false };
                    match verdicts.get(code) {
                        Some(Verdict::Yes) => return true,
                        Some(Verdict::Look) => {}
                        _ => return false,
                    }
                    match (says.get(code), seen.get_mut(code)) {
                        (Some(Says::Some(ranks)), Some((rank, at))) => {
                            let passes = ranks.get(*at) == Some(rank);
                            *at += usize::from(passes);
                            *rank += 1;
                            passes
                        }
                        _ => false,
                    }
                })
            }
        })
    }
}

/// Shapes up to which their values are looked for one shape after another.
const FEW_SHAPES: usize = 4;
/// Values whose shapes are counted at once: most of them have none that passes.
const CHUNK: usize = 64;

/// The values that pass, where only some of a few shapes do.
fn of_few_shapes(says: &[Says], codes: &[u32], count: usize) -> Option<RowSet> {
    let passing = (0u32..).zip(says).filter(|(_, says)| **says != Says::No);
    let some: Option<Vec<(u32, &[u32])>> = passing
        .take(FEW_SHAPES + 1)
        .map(|(shape, says)| match says {
            Says::Some(ranks) => Some((shape, ranks.as_slice())),
            _ => None,
        })
        .collect();
    let some = some.filter(|some| some.len() <= FEW_SHAPES)?;
    let mut set = RowSet::none(count);
    for (shape, ranks) in some {
        let (mut left, mut rank) = (ranks.iter().copied().peekable(), 0);
        for (chunk, codes) in codes.chunks(CHUNK).enumerate() {
            let end = rank + codes.iter().map(|code| u32::from(*code == shape)).sum::<u32>();
            if left.peek().is_some_and(|next| *next < end) {
                for (at, _) in codes.iter().enumerate().filter(|(_, code)| **code == shape) {
                    if left.next_if_eq(&rank).is_some() {
                        set.insert(chunk * CHUNK + at);
                    }
                    rank += 1;
                }
            }
            rank = end;
        }
    }
    Some(set)
}

fn settle(part: &Part<'_>, lane: PartLane<'_>, test: &Test, number: usize, verdicts: &Verdicts<'_>) -> Result<Passing> {
    if lane.count() == 0 {
        return Ok(Passing::None);
    }
    if !lane.is_text() {
        return fixed(part, lane, test);
    }
    let answer = verdicts.of(number, test, part)?;
    match (part, lane) {
        (Part::Sealed(sealed), PartLane::Sealed { number, lane, .. }) => {
            let (says, counts) = look::settle(sealed, number, lane, test, answer)?;
            Ok(Passing::of_shapes(says, counts))
        }
        (Part::Hot(hot), PartLane::Hot { number, lane, .. }) => Ok(hot_text(hot, (number, lane), test, answer)),
        _ => Ok(Passing::None),
    }
}

fn hot_text(hot: &HotPart<'_>, (number, view): (usize, LaneView<'_>), test: &Test, answer: &Answer) -> Passing {
    let mut looker = Looker::new(view, test, answer);
    let mut says = vec![Verdict::No; hot.batch.shape_map.len()];
    let (mut passing, mut looks) = (0, 0);
    for (local, count) in hot.batch.counted.tally.shapes(number) {
        let local = usize::from(*local);
        let shape = hot.batch.shape_map.get(local).copied().unwrap_or(WHOLE);
        let verdict = match answer.verdict(shape) {
            Verdict::Look if !looker.may_pass(shape) => Verdict::No,
            verdict => verdict,
        };
        match verdict {
            Verdict::No => continue,
            Verdict::Yes => passing += u64::from(*count),
            Verdict::Look => looks += *count as usize,
        }
        if let Some(says) = says.get_mut(local) {
            *says = verdict;
        }
    }
    if looks == 0 {
        return match passing {
            0 => Passing::None,
            n if n == view.count as u64 => Passing::All,
            n => Passing::Locals(says.iter().map(|says| *says == Verdict::Yes).collect(), n),
        };
    }
    let verdict = |local: u16| says.get(usize::from(local)).copied().unwrap_or(Verdict::Look);
    let (mut looked, mut locals) = (Vec::with_capacity(looks), view.shapes());
    let mut set = RowSet::where_true(view.count, |value| match locals.next().map(verdict) {
        Some(Verdict::Look) => {
            looked.push(value);
            false
        }
        says => says == Some(Verdict::Yes),
    });
    looker.settle(hot, &looked, &mut |value| set.insert(value));
    Passing::of(set, view.count)
}

/// Lanes whose values are no shaped text.
fn fixed(part: &Part<'_>, lane: PartLane<'_>, test: &Test) -> Result<Passing> {
    let (kind, count) = (lane.kind(), lane.count());
    if let (Part::Sealed(sealed), PartLane::Sealed { lane, .. }) = (part, lane) {
        if lane.is_listed() {
            return listed(sealed, lane, test);
        }
        if let Some(spelling) = lane.spelling()
            && let Some(passing) = spelled(sealed, lane, spelling, test)?
        {
            return Ok(passing);
        }
    }
    if let (Test::Exact(exact), Part::Sealed(sealed), PartLane::Sealed { lane, .. }) = (test, part, lane) {
        let source = sealed.source(Kind::Values);
        match kind {
            LaneKind::Int => {
                let Some(wanted) = integer(exact.text()) else { return Ok(Passing::None) };
                let mut set = RowSet::none(count);
                sealed.block.find_int(lane, wanted, &source, &mut |value| set.insert(value))?;
                return Ok(Passing::of(set, count));
            }
            LaneKind::Hex { .. } | LaneKind::Uuid { .. } => return bytes(sealed, lane, exact.text()),
            _ => {}
        }
    }
    if let (Test::Asked(asked), LaneKind::Int) = (test, kind) {
        return ints(part, lane, asked.question());
    }
    if let (Test::Exact(exact), Part::Hot(hot), PartLane::Hot { number, lane, .. }) = (test, part, lane)
        && let Some(passing) = same(hot, number, lane, exact.text())
    {
        return Ok(passing);
    }
    let mut set = RowSet::none(count);
    part.texts(lane, None, &mut |value, text| {
        if test.matches(std::str::from_utf8(text).unwrap_or_default()) {
            set.insert(value);
        }
    })?;
    Ok(Passing::of(set, count))
}

/// Values of a batch that are this text, where they are compared as numbers or bytes.
fn same(hot: &HotPart<'_>, number: usize, lane: LaneView<'_>, text: &str) -> Option<Passing> {
    let set = match lane.kind {
        LaneKind::Int => match integer(text) {
            Some(wanted) => RowSet::where_true(lane.count, |value| lane.int(value) == wanted),
            None => return Some(Passing::None),
        },
        LaneKind::Hex { .. } | LaneKind::Uuid { .. } => match packed(text, lane.kind) {
            Some(wanted) => equal(hot, number, lane, &wanted),
            None => return Some(Passing::None),
        },
        _ => return None,
    };
    Some(Passing::of(set, lane.count))
}

/// Values that are these bytes.
fn equal(hot: &HotPart<'_>, number: usize, lane: LaneView<'_>, wanted: &[u8]) -> RowSet {
    let mut set = RowSet::none(lane.count);
    let mut look = |value| {
        if lane.fixed(value) == wanted {
            set.insert(value);
        }
    };
    if hot.batch.counted.tails.find(number, wanted, &mut look).is_none() {
        (0..lane.count).for_each(look);
    }
    set
}

/// Lanes of integers, where neighbours are often the same.
fn ints(part: &Part<'_>, lane: PartLane<'_>, question: &dyn Question) -> Result<Passing> {
    let values = match (part, lane) {
        (Part::Sealed(sealed), PartLane::Sealed { lane, .. }) => {
            sealed.block.ints(lane, &sealed.source(Kind::Values))?
        }
        (_, PartLane::Hot { lane: view, .. }) => (0..view.count).map(|value| view.int(value)).collect(),
        _ => Vec::new(),
    };
    let mut last = None;
    let set = RowSet::where_true(lane.count(), |at| {
        let Some(value) = values.get(at).copied() else { return false };
        match last {
            Some((known, passes)) if known == value => passes,
            _ => {
                let passes = question.matches_int(value);
                last = Some((value, passes));
                passes
            }
        }
    });
    Ok(Passing::of(set, lane.count()))
}

/// Lanes of a few texts: each is asked once.
fn listed(sealed: &SealedPart<'_>, lane: &BlockLane, test: &Test) -> Result<Passing> {
    let listed = sealed.block.listed(lane, &sealed.source(Kind::Values))?;
    let passes = |text: &[u8]| std::str::from_utf8(text).is_ok_and(|text| test.matches(text));
    let says = listed.texts.iter().map(|text| if passes(text) { Says::Yes } else { Says::No }).collect();
    Ok(Passing::of_shapes(says, listed.counts))
}

/// Lanes of integers with a spelling, where no value has to be looked at as text.
fn spelled(sealed: &SealedPart<'_>, lane: &BlockLane, spelling: &Spelling, test: &Test) -> Result<Option<Passing>> {
    if let Test::Exact(exact) = test {
        let Some(wanted) = spelling.parse(exact.text()) else { return Ok(Some(Passing::None)) };
        let mut set = RowSet::none(lane.count);
        sealed.block.find_int(lane, wanted, &sealed.source(Kind::Values), &mut |value| set.insert(value))?;
        return Ok(Some(Passing::of(set, lane.count)));
    }
    let is_foreign = test.needle().is_some_and(|needle| needle.text().chars().any(|c| !spelling.may_have(c)));
    Ok(is_foreign.then_some(Passing::None))
}

/// The integer that is spelled like this and in no other way.
fn integer(text: &str) -> Option<i64> {
    let value = text.parse().ok()?;
    let mut spelled = Vec::new();
    push_int(value, &mut spelled);
    (spelled == text.as_bytes()).then_some(value)
}

/// Values that are compared as bytes.
fn bytes(sealed: &SealedPart<'_>, lane: &BlockLane, wanted: &str) -> Result<Passing> {
    let width = lane.kind.width().unwrap_or(0);
    let Some(wanted) = packed(wanted, lane.kind) else { return Ok(Passing::None) };
    let values = sealed.block.fixed(lane, &sealed.source(Kind::Values))?;
    let set = RowSet::where_true(lane.count, |i| values.get(i * width..(i + 1) * width) == Some(wanted.as_slice()));
    Ok(Passing::of(set, lane.count))
}

/// The bytes of a text in a lane of hex digits or UUIDs; nothing where no value of the lane is that text.
fn packed(text: &str, kind: LaneKind) -> Option<Vec<u8>> {
    let mut packed = [0; 32];
    // Digits alone are both cases, and were put with those of lower case.
    let is_of_lane = hex_or_uuid(text.as_bytes(), &mut packed) == Some(kind);
    packed.get(..kind.width()?).filter(|_| is_of_lane).map(<[u8]>::to_vec)
}
