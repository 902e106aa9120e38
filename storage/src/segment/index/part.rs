//! One tantivy index of one segment and one field: laid terms in, numbers of documents out.
//!
//! Invariants
//! * Documents are numbered in the order of adding, from zero, in a single segment.
//! * Nothing is stored, no lengths are kept, and no thread is started.
//! * The same documents give the same bytes: the random id that tantivy names its files by is replaced.
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tantivy::directory::{Directory, RamDirectory};
use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::postings::{SegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::tokenizer::TokenizerManager;
use tantivy::{
    HasLen, Index, IndexSettings, InvertedIndexReader, SegmentReader, SingleSegmentIndexWriter, TantivyDocument,
};

use super::bundle::{Bundle, BundleWriter};
use super::tokenizer::LaidTokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::KIB;

const FIELD: &str = "terms";
const TOKENIZER: &str = "laid";
const META: &str = "meta.json";
/// Sets the first size of the term table, all of which is touched at once; the table grows and there is no upper bound.
const TABLE_BYTES: usize = 400 * KIB;

/// The id that every bundled segment has, as in file names and as in `meta.json`.
const ID: &str = "00000000000000000000000000000000";
const ID_IN_META: &str = "00000000-0000-0000-0000-000000000000";

/// The files that tantivy opens a segment by.
const FILES: [SegmentComponent; 6] = [
    SegmentComponent::Terms,
    SegmentComponent::Postings,
    SegmentComponent::Positions,
    SegmentComponent::FieldNorms,
    SegmentComponent::FastFields,
    SegmentComponent::Store,
];

/// Builds a part in memory.
pub(super) struct PartWriter {
    writer: SingleSegmentIndexWriter,
    directory: RamDirectory,
    field: Field,
    docs: u32,
}

impl PartWriter {
    pub(super) fn new(option: IndexRecordOption) -> Result<Self> {
        let indexing = TextFieldIndexing::default().set_tokenizer(TOKENIZER).set_fieldnorms(false);
        let options = TextOptions::default().set_indexing_options(indexing.set_index_option(option));
        let mut schema = Schema::builder();
        let field = schema.add_text_field(FIELD, options);
        let tokenizers = TokenizerManager::new();
        tokenizers.register(TOKENIZER, LaidTokenizer::default());
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let directory = RamDirectory::create();
        let writer = Index::builder()
            .schema(schema.build())
            .settings(settings)
            .tokenizers(tokenizers)
            .single_segment_index_writer(directory.clone(), TABLE_BYTES)
            .map_err(cannot_build)?;
        Ok(Self { writer, directory, field, docs: 0 })
    }

    /// How many documents there are so far.
    pub(super) fn docs(&self) -> u32 {
        self.docs
    }

    /// Adds the next document.
    pub(super) fn add(&mut self, laid: &str) -> Result<()> {
        let mut document = TantivyDocument::new();
        if !laid.is_empty() {
            document.add_text(self.field, laid);
        }
        self.writer.add_document(document).map_err(cannot_build)?;
        self.docs += 1;
        Ok(())
    }

    /// Puts the part's files into a bundle under `prefix`.
    pub(super) fn finish(self, prefix: &str, bundle: &mut BundleWriter) -> Result<()> {
        let index = self.writer.finalize().map_err(cannot_build)?;
        let segments = index.searchable_segments().map_err(cannot_build)?;
        let segment = segments.first().ok_or_else(|| Error::bug("a built index has no segment"))?;
        for component in FILES {
            let file = self.directory.open_read(&segment.relative_path(component.clone())).map_err(cannot_build)?;
            let bytes = file.read_bytes().map_err(cannot_build)?;
            let mut kept: &[u8] = &bytes;
            if component == SegmentComponent::Store {
                // Of stored documents there are none, and of their file only tantivy's footer is ever read.
                let body = segment.open_read(component.clone()).map_err(cannot_build)?.len();
                kept = kept.get(body..).unwrap_or_default();
            }
            bundle.put(&format!("{prefix}/{ID}.{component}"), kept);
        }
        let meta = self.directory.atomic_read(Path::new(META)).map_err(cannot_build)?;
        let meta = String::from_utf8_lossy(&meta).replace(&id_in_meta(segment.id()), ID_IN_META);
        bundle.put(&format!("{prefix}/{META}"), meta.as_bytes());
        Ok(())
    }
}

/// A segment's id as `meta.json` has it.
fn id_in_meta(id: SegmentId) -> String {
    let mut text = id.uuid_string();
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

fn cannot_build(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, format!("cannot build a shape index: {cause}")).with_source(cause)
}

/// Answers what a part's terms and their documents are.
pub(super) struct PartReader {
    inverted: Arc<InvertedIndexReader>,
    docs: u32,
}

impl PartReader {
    pub(super) fn open(files: Bundle) -> Result<Self> {
        Self::open_inner(files).map_err(|e| Error::corrupt(format!("cannot open a shape index: {e}")).with_source(e))
    }

    /// Goes to the segment at once: a tantivy reader would add generations, warmers and stores that nobody asks for.
    fn open_inner(files: Bundle) -> tantivy::Result<Self> {
        let index = Index::open(files)?;
        let field = index.schema().get_field(FIELD)?;
        let segments = index.searchable_segments()?;
        let [segment] = segments.as_slice() else {
            return Err(tantivy::TantivyError::SystemError(format!("{} segments instead of one", segments.len())));
        };
        let reader = SegmentReader::open(segment)?;
        Ok(Self { inverted: reader.inverted_index(field)?, docs: reader.max_doc() })
    }

    /// How many documents there are.
    pub(super) fn docs(&self) -> u32 {
        self.docs
    }

    /// Where the documents of one term are.
    pub(super) fn term(&self, term: &str) -> Result<Option<TermInfo>> {
        self.inverted.terms().get(term).map_err(cannot_read)
    }

    /// Walks the dictionary from `start` on, in byte order, until told to stop.
    pub(super) fn walk(&self, start: &[u8], mut each: impl FnMut(&[u8], &TermInfo) -> ControlFlow<()>) -> Result<()> {
        let mut stream = self.inverted.terms().range().ge(start).into_stream().map_err(cannot_read)?;
        while let Some((term, info)) = stream.next() {
            if each(term, info).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Adds the documents of a term to a set.
    pub(super) fn collect(&self, term: &TermInfo, docs: &mut Docs) -> Result<()> {
        let option = IndexRecordOption::Basic;
        let mut postings = self.inverted.read_block_postings_from_terminfo(term, option).map_err(cannot_read)?;
        while !postings.docs().is_empty() {
            for doc in postings.docs() {
                docs.insert(*doc);
            }
            postings.advance();
        }
        Ok(())
    }

    /// A cursor over the documents and positions of a term.
    pub(super) fn positions(&self, term: &TermInfo) -> Result<SegmentPostings> {
        let option = IndexRecordOption::WithFreqsAndPositions;
        self.inverted.read_postings_from_terminfo(term, option).map_err(cannot_read)
    }
}

fn cannot_read(cause: io::Error) -> Error {
    Error::corrupt(format!("cannot read a shape index: {cause}")).with_source(cause)
}

/// A set of documents.
#[derive(Clone)]
pub(super) struct Docs {
    bits: Box<[u64]>,
}

impl Docs {
    /// The empty set for a part of this many documents.
    pub(super) fn none(docs: u32) -> Self {
        Self { bits: vec![0; (docs as usize).div_ceil(64)].into() }
    }

    fn insert(&mut self, doc: u32) {
        if let Some(word) = self.bits.get_mut(doc as usize / 64) {
            *word |= 1 << (doc % 64);
        }
    }

    pub(super) fn contains(&self, doc: u32) -> bool {
        self.bits.get(doc as usize / 64).is_some_and(|word| word >> (doc % 64) & 1 == 1)
    }

    /// What is in both.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a &= b);
        self
    }

    /// What is in either.
    #[must_use]
    pub(super) fn or(mut self, other: &Self) -> Self {
        self.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a |= b);
        self
    }

    /// The documents, ascending.
    pub(super) fn to_vec(&self) -> Vec<u32> {
        let mut out = Vec::with_capacity(self.bits.iter().map(|word| word.count_ones() as usize).sum());
        for (word, base) in self.bits.iter().zip((0u32..).step_by(64)) {
            let mut left = *word;
            while left != 0 {
                out.push(base + left.trailing_zeros());
                left &= left - 1;
            }
        }
        out
    }
}
