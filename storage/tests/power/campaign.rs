//! Many runs, a seed each, and their summary.
use super::life::{Outcome, Plan, run};
use super::steps::{SEVERAL_UNSYNCED, STEPS};
use crate::chance::from_env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Threads that run plans; the machine has two cores.
const THREADS: usize = 2;
/// Runs that `cargo test` takes the time for, half of them with chains.
pub(super) const RUNS_OF_THE_SLICE: u64 = 11;
/// Cuts of these that have several batches to take.
const SEVERAL_IN_THE_SLICE: u64 = 24;
/// The first seed where none is chosen.
const SEED: u64 = 1;

fn replay(plan: Plan) -> String {
    format!("LOGYARD_SEED={} cargo test -p logyard-storage --test main -- --ignored one_run_of_power_cuts", plan.seed)
}

fn plan(seed: u64) -> Plan {
    Plan { seed, chains: seed.is_multiple_of(2), expires: (seed / 2).is_multiple_of(2) }
}

/// Runs one plan; a panic is a failure too.
fn run_caught(plan: Plan) -> Result<Outcome, String> {
    let ran = std::panic::catch_unwind(|| run(plan));
    let ran = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    });
    ran.map_err(|e| format!("{plan:?}: {e}\nagain: {}", replay(plan)))
}

/// Runs plans from `first` on until `enough` of what they came to, or until one fails.
pub(super) fn campaign(first: u64, enough: impl Fn(&Outcome) -> bool + Sync) -> Result<Outcome, String> {
    let (next, total, failure) = (AtomicU64::new(first), Mutex::new(Outcome::default()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while failure.lock().unwrap().is_none() && !enough(&total.lock().unwrap()) {
                    match run_caught(plan(next.fetch_add(1, Ordering::Relaxed))) {
                        Ok(outcome) => add(&mut total.lock().unwrap(), &outcome),
                        Err(e) => *failure.lock().unwrap() = Some(e),
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    failure.into_inner().unwrap().map_or(Ok(total), Err)
}

fn add(total: &mut Outcome, outcome: &Outcome) {
    total.runs += 1;
    total.cuts += outcome.cuts;
    total.chains += outcome.chains;
    total.unsynced_max = total.unsynced_max.max(outcome.unsynced_max);
    total.hits.merge(&outcome.hits);
}

fn show(outcome: &Outcome) {
    let Outcome { runs, cuts, chains, unsynced_max, hits } = outcome;
    println!("{runs} runs, {cuts} power cuts, {chains} chains; cuts by what they hit:\n{}", hits.summary());
    println!("{unsynced_max} batches acknowledged and not synced at one cut, at most");
}

/// What `cargo test` runs.
pub(super) fn slice() -> Result<Outcome, String> {
    campaign(SEED, |total| total.runs >= RUNS_OF_THE_SLICE)
}

#[test]
fn power_cuts_lose_nothing() {
    let outcome = slice().unwrap_or_else(|e| panic!("{e}"));
    show(&outcome);
    let missed: Vec<_> = STEPS.iter().filter(|step| outcome.hits.of(step) == 0).collect();
    assert!(missed.len() <= 6, "no cut hit {missed:?}");
    let several = outcome.hits.of(SEVERAL_UNSYNCED);
    assert!(several >= SEVERAL_IN_THE_SLICE, "only {several} cuts with several batches unsynced");
}

/// `LOGYARD_CUTS` says how many cuts, `LOGYARD_SEED` where to begin.
#[test]
#[ignore = "an hour: 10,000 cuts and 5,000 chains of cuts"]
fn power_cuts_in_full() {
    let cuts = from_env("LOGYARD_CUTS", 10_000);
    let enough = |total: &Outcome| total.cuts >= cuts && total.chains >= cuts / 2;
    let outcome = campaign(from_env("LOGYARD_SEED", SEED), enough).unwrap_or_else(|e| panic!("{e}"));
    show(&outcome);
    let wanted = 50.min(cuts / 200);
    let missed: Vec<_> = STEPS.iter().filter(|step| outcome.hits.of(step) < wanted).collect();
    assert!(missed.is_empty(), "fewer than {wanted} cuts hit {missed:?}");
}

#[test]
#[ignore = "replays one run of a campaign: LOGYARD_SEED says which"]
fn one_run_of_power_cuts() {
    let outcome = run_caught(plan(from_env("LOGYARD_SEED", SEED))).unwrap_or_else(|e| panic!("{e}"));
    show(&outcome);
}
