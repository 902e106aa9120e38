//! The index of a segment: which shapes, and which groups of whole texts, could have some words.
//!
//! It has a document for each shape, numbered as the shapes are, and in a part of its own one for each group of
//! texts that are kept whole. Only this folder knows tantivy.
//!
//! A bundle holds both parts, `shapes/` and `groups/`, as `bundle.rs` lays them.
//!
//! Invariants
//! * The index proposes and never misses; a check of boundaries and case on the text itself decides.
//! * Shape [`WHOLE`] has an empty document and is never proposed: its texts are in groups.
//! * A damaged bundle is an error at opening, and the caller builds it again from the shape table.
mod bundle;
mod part;
mod query;
mod tokenizer;

use std::sync::Arc;

use tantivy::schema::IndexRecordOption;

use self::bundle::{Bundle, BundleWriter};
use self::part::{PartReader, PartWriter};
pub(crate) use self::query::{Ends, WordQuery, WordTest};
use self::tokenizer::GroupTerms;
use crate::error::{Error, Result};
use crate::text::shape::{Shape, WHOLE};
use crate::text::table::ShapeTable;

const SHAPES: &str = "shapes";
const GROUPS: &str = "groups";

/// Shapes that could have the wanted words. One may be in both lists, and one in neither has no row to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// Shapes whose literal text alone could have them: a check of it says yes or no for all of their rows. Ascending.
    pub(crate) check: Vec<u32>,
    /// Shapes where a slot could have some of them, so that it depends on the row. Ascending.
    pub(crate) look: Vec<u32>,
}

/// Builds the index of a segment.
pub(crate) struct IndexBuilder {
    shapes: PartWriter,
    /// From the first group on: most segments have none.
    groups: Option<PartWriter>,
    group: GroupTerms,
    laid: String,
}

impl IndexBuilder {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            shapes: PartWriter::new(IndexRecordOption::WithFreqsAndPositions)?,
            groups: None,
            group: GroupTerms::default(),
            laid: String::new(),
        })
    }

    /// Adds the next shape, the first of which is [`WHOLE`].
    pub(crate) fn add_shape(&mut self, shape: Shape<'_>) -> Result<()> {
        self.laid.clear();
        if self.shapes.docs() != WHOLE {
            tokenizer::put_shape(shape, &mut self.laid);
        } else if shape.slots() != 1 || !shape.literal().is_empty() {
            return Err(Error::invalid("cannot index shapes: the first is not that of whole texts"));
        }
        self.shapes.add(&self.laid)
    }

    /// Adds all shapes of a table.
    pub(crate) fn add_shapes(&mut self, shapes: &ShapeTable) -> Result<()> {
        for number in 0..shapes.len() as u32 {
            self.add_shape(shapes.shape(number))?;
        }
        Ok(())
    }

    /// Adds the next group of texts that are kept whole; groups and shapes may come in any order.
    pub(crate) fn add_group<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> Result<()> {
        self.group.clear();
        texts.for_each(|text| self.group.put_text(text));
        let groups = match &mut self.groups {
            Some(groups) => groups,
            none => none.insert(PartWriter::new(IndexRecordOption::Basic)?),
        };
        groups.add(self.group.laid())
    }

    /// The index as one bundle.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        let mut bundle = BundleWriter::default();
        self.shapes.finish(SHAPES, &mut bundle)?;
        if let Some(groups) = self.groups {
            groups.finish(GROUPS, &mut bundle)?;
        }
        bundle.finish()
    }
}

/// The opened index of a segment.
pub(crate) struct ShapeIndex {
    shapes: PartReader,
    groups: Option<PartReader>,
    bytes: usize,
}

impl ShapeIndex {
    /// Opens a bundle, once all of its checksums have passed.
    pub(crate) fn open(bytes: Arc<[u8]>) -> Result<Self> {
        let len = bytes.len();
        let files = Bundle::open(bytes)?;
        let shapes = files.part(SHAPES).ok_or_else(|| Error::corrupt("a shape index has no shapes"))?;
        Ok(Self {
            shapes: PartReader::open(shapes)?,
            groups: files.part(GROUPS).map(PartReader::open).transpose()?,
            bytes: len,
        })
    }

    /// The shapes whose texts could have the wanted one. Without any word to go by, all but [`WHOLE`] are to be checked.
    pub(crate) fn shapes(&self, wanted: &WordQuery) -> Result<Candidates> {
        query::in_shapes(&self.shapes, wanted)
    }

    /// The groups whose texts could have the wanted one, ascending.
    pub(crate) fn groups(&self, wanted: &WordQuery) -> Result<Vec<u32>> {
        self.groups.as_ref().map_or_else(|| Ok(Vec::new()), |groups| query::in_groups(groups, wanted))
    }

    /// How many shapes it has, [`WHOLE`] among them.
    pub(crate) fn shape_count(&self) -> u32 {
        self.shapes.docs()
    }

    /// How many groups it has.
    pub(crate) fn group_count(&self) -> u32 {
        self.groups.as_ref().map_or(0, PartReader::docs)
    }

    /// The bytes that it keeps in memory, for the budget of opened indexes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
