//! Pipes: what is done with the rows of a query, one after another.
//!
//! Each has a file: its words, how it is shown, the fields it needs, and the stage that runs it.
//!
//! Invariants
//! * What is shown parses to the same pipe.
//! * A stage that keeps rows accounts for them before it keeps more.
mod block_stats;
mod blocks_count;
mod collapse_nums;
mod condition;
mod copy;
mod decolorize;
mod delete;
mod drop_empty_fields;
mod extract;
mod extract_regexp;
mod facets;
mod field_names;
mod field_values;
mod fields;
mod filter;
mod first;
mod format;
mod hash;
mod join;
mod json_array_len;
mod len;
mod limit;
mod math;
mod math_parse;
mod math_run;
mod names;
mod offset;
mod pack;
mod rename;
mod replace;
mod replace_regexp;
mod sample;
mod sort;
mod stats;
mod stats_run;
mod stream_context;
mod tally;
mod top;
mod topk;
mod tuples;
mod union;
mod uniq;
mod unpack;
mod unpack_json;
mod unpack_logfmt;
mod unpack_syslog;
mod unpack_words;
mod unroll;
mod update;

use super::block::Block;
use super::fault::Parsed;
use super::needed::Needed;
use super::parse::Parser;
use super::run::{Context, Flow, Sink, Stage};
use crate::error::{Error, Result};
pub use block_stats::BlockStats;
pub use blocks_count::BlocksCount;
pub use collapse_nums::CollapseNums;
pub use copy::Copy;
pub use decolorize::Decolorize;
pub use delete::Delete;
pub use drop_empty_fields::DropEmptyFields;
pub use extract::Extract;
pub use extract_regexp::ExtractRegexp;
pub use facets::Facets;
pub use field_names::FieldNames;
pub use field_values::FieldValues;
pub use fields::Fields;
pub use filter::Where;
pub use first::First;
pub use format::Format;
pub use hash::Hash;
pub use join::Join;
pub use json_array_len::JsonArrayLen;
pub use len::Len;
pub use limit::Limit;
pub use math::Math;
pub use offset::Offset;
pub use pack::Pack;
pub use rename::Rename;
pub use replace::Replace;
pub use replace_regexp::ReplaceRegexp;
pub use sample::Sample;
pub use sort::Sort;
pub use stats::Stats;
use stats_run::Grouper;
use std::fmt;
pub use stream_context::StreamContext;
pub use top::Top;
use top::TopStage;
use topk::TopRows;
pub use union::Union;
pub use uniq::Uniq;
use uniq::UniqStage;
pub use unpack_json::UnpackJson;
pub use unpack_logfmt::UnpackLogfmt;
pub use unpack_syslog::UnpackSyslog;
pub use unpack_words::UnpackWords;
pub use unroll::Unroll;

/// What every pipe can do.
pub(crate) trait Step: fmt::Display {
    /// Turns the fields that are needed of its results into those that it needs itself.
    fn needed(&self, needed: &mut Needed);

    /// The stage that runs it.
    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>>;

    /// Whether it looks at each row by itself, and asks for no other rows.
    fn is_local(&self) -> bool {
        false
    }

    /// Its stage, where several can each see a part of the rows.
    fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        let _not_in_parts = context;
        Ok(None)
    }
}

/// A stage of which several can each see a part of the rows.
pub(crate) enum Partial {
    /// `stats`
    Groups(Box<Grouper>),
    /// `sort` with a limit
    Sorted(Box<TopRows>),
    /// `top`
    Tallied(Box<TopStage>),
    /// `uniq`
    Uniq(Box<UniqStage>),
}

impl Partial {
    /// One that has seen nothing.
    pub(crate) fn fork(&self, context: &Context<'_>) -> Result<Self> {
        Ok(match self {
            Self::Groups(groups) => Self::Groups(Box::new(groups.fork(context)?)),
            Self::Sorted(top) => Self::Sorted(Box::new(top.fork(context))),
            Self::Tallied(top) => Self::Tallied(Box::new(top.fork(context))),
            Self::Uniq(uniq) => Self::Uniq(Box::new(uniq.fork(context))),
        })
    }

    /// Takes a block.
    pub(crate) fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        match self {
            Self::Groups(groups) => groups.push(block, next),
            Self::Sorted(top) => top.push(block, next),
            Self::Tallied(top) => top.push(block, next),
            Self::Uniq(uniq) => uniq.push(block, next),
        }
    }

    /// Takes what another one has seen.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Groups(groups), Self::Groups(other)) => groups.merge(*other),
            (Self::Sorted(top), Self::Sorted(other)) => {
                top.merge(*other);
                Ok(())
            }
            (Self::Tallied(top), Self::Tallied(other)) => top.merge(*other),
            (Self::Uniq(uniq), Self::Uniq(other)) => uniq.merge(*other),
            _ => Err(Error::bug("parts of different pipes")),
        }
    }

    /// Hands on what came of all of it.
    pub(crate) fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        match self {
            Self::Groups(groups) => groups.finish(next),
            Self::Sorted(top) => top.finish(next),
            Self::Tallied(top) => top.finish(next),
            Self::Uniq(uniq) => uniq.finish(next),
        }
    }
}

/// A pipe.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "a variant is what its type says")]
pub enum Pipe {
    BlockStats(BlockStats),
    BlocksCount(BlocksCount),
    CollapseNums(CollapseNums),
    Copy(Copy),
    Decolorize(Decolorize),
    Delete(Delete),
    DropEmptyFields(DropEmptyFields),
    Extract(Extract),
    ExtractRegexp(ExtractRegexp),
    Facets(Facets),
    FieldNames(FieldNames),
    FieldValues(FieldValues),
    Fields(Fields),
    Where(Where),
    First(First),
    Format(Format),
    Hash(Hash),
    Join(Join),
    JsonArrayLen(JsonArrayLen),
    Len(Len),
    Limit(Limit),
    Math(Math),
    Offset(Offset),
    Pack(Pack),
    Rename(Rename),
    Replace(Replace),
    ReplaceRegexp(ReplaceRegexp),
    Sample(Sample),
    Sort(Sort),
    Stats(Stats),
    StreamContext(StreamContext),
    Top(Top),
    Union(Union),
    Uniq(Uniq),
    UnpackJson(UnpackJson),
    UnpackLogfmt(UnpackLogfmt),
    UnpackSyslog(UnpackSyslog),
    UnpackWords(UnpackWords),
    Unroll(Unroll),
}

impl Pipe {
    pub(crate) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let mark = parser.mark();
        if !parser.token().quoted {
            let word = parser.token().raw.to_ascii_lowercase();
            parser.advance();
            if let Some(pipe) = Self::parse_named(parser, &word) {
                return pipe;
            }
            parser.back(mark);
            if let Some(fault) = names::refused(parser, &word) {
                return Err(fault);
            }
        }
        // Neither 'stats' nor 'filter' has to be said.
        let stats_fault = match Stats::parse(parser) {
            Ok(stats) => return Ok(Self::Stats(stats)),
            Err(fault) => fault,
        };
        parser.back(mark);
        Where::parse(parser).map(Self::Where).map_err(|fault| {
            let further = if stats_fault.at() > fault.at() { stats_fault } else { fault };
            match names::no_pipe(parser, mark, &further) {
                Some(fault) => fault,
                None if further.at() > names::parser_at(parser, mark) => further,
                None => names::unknown(parser, mark),
            }
        })
    }

    fn parse_named(parser: &mut Parser<'_>, word: &str) -> Option<Parsed<Self>> {
        Some(match word {
            "block_stats" => Ok(Self::BlockStats(BlockStats)),
            "blocks_count" => BlocksCount::parse(parser).map(Self::BlocksCount),
            "collapse_nums" => CollapseNums::parse(parser).map(Self::CollapseNums),
            "copy" | "cp" => Copy::parse(parser).map(Self::Copy),
            "decolorize" => Decolorize::parse(parser).map(Self::Decolorize),
            "delete" | "del" | "rm" | "drop" => Delete::parse(parser).map(Self::Delete),
            "drop_empty_fields" => Ok(Self::DropEmptyFields(DropEmptyFields)),
            "extract" => Extract::parse(parser).map(Self::Extract),
            "extract_regexp" => ExtractRegexp::parse(parser).map(Self::ExtractRegexp),
            "facets" => Facets::parse(parser).map(Self::Facets),
            "field_names" => FieldNames::parse(parser).map(Self::FieldNames),
            "field_values" => FieldValues::parse(parser).map(Self::FieldValues),
            "fields" | "keep" => Fields::parse(parser).map(Self::Fields),
            "filter" | "where" => Where::parse(parser).map(Self::Where),
            "first" => First::parse(parser, false).map(Self::First),
            "last" => First::parse(parser, true).map(Self::First),
            "format" => Format::parse(parser).map(Self::Format),
            "hash" => Hash::parse(parser).map(Self::Hash),
            "join" => Join::parse(parser).map(Self::Join),
            "json_array_len" => JsonArrayLen::parse(parser).map(Self::JsonArrayLen),
            "len" => Len::parse(parser).map(Self::Len),
            "limit" | "head" => Limit::parse(parser).map(Self::Limit),
            "math" | "eval" => Math::parse(parser).map(Self::Math),
            "offset" | "skip" => Offset::parse(parser).map(Self::Offset),
            "pack_json" => Pack::parse(parser, false).map(Self::Pack),
            "pack_logfmt" => Pack::parse(parser, true).map(Self::Pack),
            "rename" | "mv" => Rename::parse(parser).map(Self::Rename),
            "replace" => Replace::parse(parser).map(Self::Replace),
            "replace_regexp" => ReplaceRegexp::parse(parser).map(Self::ReplaceRegexp),
            "sample" => Sample::parse(parser).map(Self::Sample),
            "sort" | "order" => Sort::parse(parser).map(Self::Sort),
            // Nodes of a cluster are asked for parts by the latter; a single one has the whole.
            "stats" | "stats_remote" => Stats::parse(parser).map(Self::Stats),
            "stream_context" => StreamContext::parse(parser).map(Self::StreamContext),
            "top" => Top::parse(parser).map(Self::Top),
            "union" => Union::parse(parser).map(Self::Union),
            "uniq" => Uniq::parse(parser).map(Self::Uniq),
            "unpack_json" => UnpackJson::parse(parser).map(Self::UnpackJson),
            "unpack_logfmt" => UnpackLogfmt::parse(parser).map(Self::UnpackLogfmt),
            "unpack_syslog" => UnpackSyslog::parse(parser).map(Self::UnpackSyslog),
            "unpack_words" => UnpackWords::parse(parser).map(Self::UnpackWords),
            "unroll" => Unroll::parse(parser).map(Self::Unroll),
            _ => return None,
        })
    }

    fn step(&self) -> &dyn Step {
        match self {
            Self::BlockStats(pipe) => pipe,
            Self::BlocksCount(pipe) => pipe,
            Self::CollapseNums(pipe) => pipe,
            Self::Copy(pipe) => pipe,
            Self::Decolorize(pipe) => pipe,
            Self::Delete(pipe) => pipe,
            Self::DropEmptyFields(pipe) => pipe,
            Self::Extract(pipe) => pipe,
            Self::ExtractRegexp(pipe) => pipe,
            Self::Facets(pipe) => pipe,
            Self::FieldNames(pipe) => pipe,
            Self::FieldValues(pipe) => pipe,
            Self::Fields(pipe) => pipe,
            Self::Where(pipe) => pipe,
            Self::First(pipe) => pipe,
            Self::Format(pipe) => pipe,
            Self::Hash(pipe) => pipe,
            Self::Join(pipe) => pipe,
            Self::JsonArrayLen(pipe) => pipe,
            Self::Len(pipe) => pipe,
            Self::Limit(pipe) => pipe,
            Self::Math(pipe) => pipe,
            Self::Offset(pipe) => pipe,
            Self::Pack(pipe) => pipe,
            Self::Rename(pipe) => pipe,
            Self::Replace(pipe) => pipe,
            Self::ReplaceRegexp(pipe) => pipe,
            Self::Sample(pipe) => pipe,
            Self::Sort(pipe) => pipe,
            Self::Stats(pipe) => pipe,
            Self::StreamContext(pipe) => pipe,
            Self::Top(pipe) => pipe,
            Self::Union(pipe) => pipe,
            Self::Uniq(pipe) => pipe,
            Self::UnpackJson(pipe) => pipe,
            Self::UnpackLogfmt(pipe) => pipe,
            Self::UnpackSyslog(pipe) => pipe,
            Self::UnpackWords(pipe) => pipe,
            Self::Unroll(pipe) => pipe,
        }
    }

    pub(crate) fn needed(&self, needed: &mut Needed) {
        self.step().needed(needed);
    }

    pub(crate) fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        self.step().stage(context)
    }

    pub(crate) fn is_local(&self) -> bool {
        self.step().is_local()
    }

    pub(crate) fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        self.step().partial(context)
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.step().fmt(f)
    }
}

/// Names and patterns, parted by commas.
fn show_names(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().map(|name| super::parse::quote_pattern(name)).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests;
