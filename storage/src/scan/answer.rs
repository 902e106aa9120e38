//! What the shapes of one table say about the tests of a filter, worked out once and kept for the next search.
//!
//! Invariants
//! * An answer is kept with its test, and given to no other. What a question holds, and whose query it is of, is not kept:
//!   new shapes are asked by the test of whoever wants to know.
//! * Counters say which way an answer was found, also where it was found for an earlier search.
use super::align::{Hold, Ways, ways};
use super::filter::{Filter, Test, Verdict};
use super::needle::Needle;
use super::part::{HotPart, Part, SealedPart};
use crate::error::{Error, Result};
use crate::segment::{Counters, Held, Kind, add};
use crate::text::shape::WHOLE;
use crate::text::table::ShapeTable;
use rustc_hash::FxHashMap;
use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// Shapes that are asked between two looks whether to go on.
const PATIENCE: u32 = 64;

/// What the shapes of one table, and its groups of whole texts, say about a test.
pub(crate) struct Answer {
    /// To be compared, not to be asked.
    test: Test,
    verdicts: Vec<Verdict>,
    /// For shapes where it depends on slots, and the test on several words, how it does.
    ways: FxHashMap<u32, Vec<Vec<Hold>>>,
    groups: Option<Vec<u32>>,
    index_lookups: u64,
    straight_scans: u64,
}

impl Answer {
    fn new(test: &Test, shapes: usize) -> Self {
        Self {
            test: test.kept(),
            verdicts: vec![Verdict::No; shapes],
            ways: FxHashMap::default(),
            groups: None,
            index_lookups: 0,
            straight_scans: 0,
        }
    }

    /// What a shape says.
    pub(crate) fn verdict(&self, shape: u32) -> Verdict {
        self.verdicts.get(shape as usize).copied().unwrap_or(Verdict::Look)
    }

    /// The ways in which what is looked for can lie in the slots of a shape that said *look*, where it has several words.
    pub(crate) fn ways(&self, shape: u32) -> Option<&[Vec<Hold>]> {
        self.ways.get(&shape).map(Vec::as_slice)
    }

    /// The groups of whole texts that can have some that pass, ascending; nothing where no index knows.
    pub(crate) fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    fn ask(&mut self, test: &Test, shape: u32, shapes: &ShapeTable) {
        let needle = test.needle().filter(|needle| shape != WHOLE && is_of_several_words(needle));
        let verdict = match needle.map(|needle| ways(&needle, shapes.shape(shape))) {
            None => test.verdict(shapes.key(shape), shapes.shape(shape)),
            Some(Ways::All) => Verdict::Yes,
            Some(Ways::Some(ways)) if ways.is_empty() => Verdict::No,
            Some(Ways::Some(ways)) => {
                self.ways.insert(shape, ways);
                Verdict::Look
            }
        };
        if let Some(slot) = self.verdicts.get_mut(shape as usize) {
            *slot = verdict;
        }
    }

    fn ask_all(&mut self, test: &Test, shapes: &ShapeTable, counters: &Counters) -> Result<()> {
        self.straight_scans += 1;
        self.ask_from(test, 0, shapes, counters)
    }

    fn ask_from(&mut self, test: &Test, first: u32, shapes: &ShapeTable, counters: &Counters) -> Result<()> {
        for shape in first..shapes.len() as u32 {
            if shape.is_multiple_of(PATIENCE) {
                counters.budget.go_on()?;
            }
            self.ask(test, shape, shapes);
        }
        // What was asked of somebody who has lost patience is not kept.
        counters.budget.go_on()
    }

    /// The same about a table that has grown since, of which the new shapes are asked.
    fn grown(&self, test: &Test, shapes: &ShapeTable, counters: &Counters) -> Result<Self> {
        let first = self.verdicts.len();
        let (mut verdicts, ways) = (self.verdicts.clone(), self.ways.clone());
        verdicts.resize(shapes.len(), Verdict::No);
        let mut grown = Self { test: self.test.clone(), verdicts, ways, groups: None, ..*self };
        grown.ask_from(test, first as u32, shapes, counters)?;
        Ok(grown)
    }

    /// About the bytes that it takes in memory.
    fn memory(&self) -> usize {
        let ways = self.ways.values().flatten().map(|way| way.len() * size_of::<Hold>() + 48).sum::<usize>();
        size_of::<Self>()
            + self.test.text_bytes()
            + self.verdicts.len()
            + ways
            + self.groups.as_ref().map_or(0, |groups| groups.len() * 4)
    }
}

fn is_of_several_words(needle: &Needle<'_>) -> bool {
    !needle.text().is_empty() && !needle.is_in_one_word()
}

/// What one table answers to each test of a filter, worked out once.
pub(crate) struct Verdicts<'c> {
    of_tests: Vec<OnceLock<Arc<Answer>>>,
    held: Held<'c>,
}

impl<'c> Verdicts<'c> {
    pub(crate) fn new(filter: &Filter, counters: &'c Counters) -> Self {
        Self { of_tests: (0..filter.tests()).map(|_| OnceLock::new()).collect(), held: counters.held() }
    }

    /// The answer to the test of a number.
    pub(crate) fn of(&self, number: usize, test: &Test, part: &Part<'_>) -> Result<&Answer> {
        let known = self.of_tests.get(number).ok_or_else(|| Error::bug("a test without a number"))?;
        if let Some(answer) = known.get() {
            return Ok(answer);
        }
        let found = match part {
            Part::Hot(hot) => growing(hot, test)?,
            Part::Sealed(sealed) => kept(sealed, test)?,
        };
        let counters = part.counters();
        self.held.add(found.memory())?;
        Ok(known.get_or_init(|| {
            add(&counters.index_lookups, found.index_lookups);
            add(&counters.straight_scans, found.straight_scans);
            found
        }))
    }
}

fn key(test: &Test) -> u64 {
    let mut hasher = DefaultHasher::new();
    test.hash(&mut hasher);
    hasher.finish()
}

/// The answer of a generation, which may know it from an earlier search, if perhaps of fewer shapes.
fn growing(hot: &HotPart<'_>, test: &Test) -> Result<Arc<Answer>> {
    let key = key(test);
    let known = hot.known.find::<Answer>(key).filter(|known| known.test == *test);
    let answer = match known {
        Some(known) if known.verdicts.len() >= hot.shapes.len() => return Ok(known),
        Some(known) => known.grown(test, hot.shapes, hot.counters)?,
        None => {
            let mut answer = Answer::new(test, hot.shapes.len());
            answer.ask_all(test, hot.shapes, hot.counters)?;
            answer
        }
    };
    let answer = Arc::new(answer);
    hot.known.put(key, Arc::clone(&answer) as Arc<dyn Any + Send + Sync>, answer.memory());
    Ok(answer)
}

/// The answer of a segment, which may know it from an earlier search.
fn kept(sealed: &SealedPart<'_>, test: &Test) -> Result<Arc<Answer>> {
    let load = || {
        let answer = answer(sealed, test)?;
        let bytes = answer.memory();
        Ok((answer, bytes))
    };
    let known: Arc<Answer> = sealed.segment.known(key(test), load)?;
    if known.test == *test { Ok(known) } else { answer(sealed, test).map(Arc::new) }
}

/// Asks the index where it is worth it, and all shapes one by one where it is not.
fn answer(sealed: &SealedPart<'_>, test: &Test) -> Result<Answer> {
    let shapes = sealed.shapes;
    let mut answer = Answer::new(test, shapes.len());
    let query = test.index_query();
    let has_groups = sealed.segment.footer.blocks.iter().any(|block| !block.groups.is_empty());
    let asks_shapes = test.is_indexed() && sealed.segment.asks_index();
    let index = match &query {
        Some(_) if has_groups || asks_shapes => Some(sealed.segment.index(&sealed.source(Kind::Heads))?),
        _ => None,
    };
    let (Some(index), Some(query)) = (index, query) else {
        answer.ask_all(test, shapes, sealed.counters)?;
        return Ok(answer);
    };
    if asks_shapes {
        answer.index_lookups += 1;
        let found = index.shapes(&query)?;
        for shape in [WHOLE].iter().chain(&found.check).chain(&found.look) {
            answer.ask(test, *shape, shapes);
        }
        sealed.counters.budget.go_on()?;
    } else {
        answer.ask_all(test, shapes, sealed.counters)?;
    }
    // An index that had to be built again has none.
    if index.group_count() == sealed.segment.group_count() && has_groups {
        answer.index_lookups += 1;
        answer.groups = Some(index.groups(&query)?);
    }
    Ok(answer)
}
