//! Random queries, asked of an engine and answered from nothing but the language's text.
//!
//! Everything between a query and its answer is made here a second time: queries are trees of their own, which are written as
//! LogsQL for the engine and evaluated as they are, row by row, over texts in memory. Of the engine's crate this uses nothing
//! but what puts rows in and asks.
//!
//! Invariants
//! * No parser, tokenizer, number, matcher or order of the product is called.
//! * Needles are cut from the rows; at least half of the answers are neither no row nor all.
mod expressions;
mod making;
mod numbers;
mod pipes;
mod rows;
mod spelling;
mod texts;
mod times;
mod tree;

use crate::chance::{Rng, from_env};
use logyard_storage::engine::{Engine, QueryControl};
use logyard_storage::env::sim::SimEnv;
use logyard_storage::query::{Block, Flow, parse};
use making::Maker;
use pipes::{Line, Pipe};
use rows::{NOW, World};
use std::collections::BTreeMap;

/// Queries that are put to one set of rows.
const QUERIES: usize = 40;
/// Rows that a failure shows.
const SHOWN: usize = 4;

/// What the engine answers.
fn asked(engine: &Engine, query: &str) -> Result<Vec<Line>, String> {
    let parsed = parse(query).map_err(|fault| fault.to_string())?;
    let mut lines = Vec::new();
    let run = engine.query(&parsed, &QueryControl::default(), &mut |block: Block| {
        for row in 0..block.rows() {
            let fields = block.row(row).filter(|(_, value)| !value.is_empty());
            let line: Line = fields.map(|(name, value)| (name.to_string(), value.to_string())).collect();
            lines.extend((!line.is_empty()).then_some(line));
        }
        Ok(Flow::More)
    });
    run.map_err(|error| error.to_string())?;
    Ok(lines)
}

/// The lines that one answer has more often than the other.
fn missing<'a>(of: &'a [Line], from: &[Line]) -> Vec<&'a Line> {
    let mut counts: BTreeMap<Line, usize> = BTreeMap::new();
    from.iter().for_each(|line| *counts.entry(line.clone()).or_default() += 1);
    let is_missing = |line: &&Line| match counts.get_mut(*line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    of.iter().filter(is_missing).collect()
}

/// What is wrong with an answer, if anything is.
fn difference(pipe: &Pipe, wanted: &[Line], found: &[Line], world: &World) -> Option<String> {
    let (unfound, unwanted) = (missing(wanted, found), missing(found, wanted));
    let is_right = match pipe.any_of() {
        Some(limit) => unwanted.is_empty() && found.len() == limit.min(wanted.len()),
        None if pipe.orders() => wanted == found,
        None => unfound.is_empty() && unwanted.is_empty(),
    };
    if is_right {
        return None;
    }
    let shown = |lines: &[&Line]| {
        let whole = |line: &&Line| {
            let at = line.get("rowno").and_then(|at| at.parse::<usize>().ok());
            format!("    {line:?}\n      of {:?}\n", at.map(|at| world.rows[at].texts()))
        };
        lines.iter().take(SHOWN).map(whole).collect::<String>()
    };
    Some(format!(
        "  {} lines wanted, {} found\n  wanted and not found: {}\n{}  found and not wanted: {}\n{}",
        wanted.len(),
        found.len(),
        unfound.len(),
        shown(&unfound),
        unwanted.len(),
        shown(&unwanted)
    ))
}

fn campaign(queries: usize, first_seed: u64) {
    let (mut put, mut telling) = (0, 0);
    let mut differences = Vec::new();
    let mut seed = first_seed;
    while put < queries && differences.len() < SHOWN {
        let mut rng = Rng::new(seed);
        let world = World::new(&mut rng);
        let env = SimEnv::new(seed);
        let engine = world.engine(&mut rng, &env);
        for _ in 0..QUERIES.min(queries - put) {
            let filter = Maker { rng: &mut rng, world: &world }.filter(2);
            let pipe = Pipe::any(&mut rng, &mut |rng| Maker { rng, world: &world }.filter(1));
            let query = format!("{} {}", spelling::filter(&mut rng, &filter), pipe.text(&mut rng));
            let passing: Vec<&rows::Row> = world.rows.iter().filter(|row| filter.passes(row, &world)).collect();
            telling += usize::from(!passing.is_empty() && passing.len() < world.rows.len());
            put += 1;
            let wanted = pipe.answer(passing, &world);
            // The clock goes on at each look.
            env.set_now(NOW);
            let wrong = match asked(&engine, &query) {
                Ok(found) => difference(&pipe, &wanted, &found, &world),
                Err(told) => Some(format!("  {told}\n")),
            };
            let streams = world.stream_fields;
            differences.extend(wrong.map(|wrong| format!("seed {seed}, streams by {streams:?}: {query}\n{wrong}")));
        }
        seed += 1;
    }
    println!("{put} queries, {telling} of them neither of no row nor of all");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(put < 200 || telling * 2 >= put, "{telling} of {put} queries tell rows apart");
}

#[test]
fn queries_mean_what_the_language_says() {
    campaign(1_000, 1);
}

#[test]
#[ignore = "takes as long as it is told to"]
fn queries_mean_what_the_language_says_at_length() {
    campaign(from_env("LOGYARD_QUERIES", 10_000) as usize, from_env("LOGYARD_SEED", 1_000_000));
}
