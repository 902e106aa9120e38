//! The engine against a plain vector of records: random operations, the same answers.
use crate::chance::{Rng, from_env};
use crate::power::client::everything;
use crate::power::life::options;
use crate::rows;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Search};
use logyard_storage::env::sim::SimEnv;
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::filter::{Filter, Test};
use std::sync::Arc;

/// Operations of one store; then another is begun, so that none grows without end.
const OPERATIONS_OF_A_STORE: u64 = 1_000;

struct Model {
    env: SimEnv,
    engine: Option<Arc<Engine>>,
    rng: Rng,
    builder: BatchBuilder,
    all: Vec<Record>,
    next_key: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let env = SimEnv::new(seed);
        let engine = Some(open(&env));
        Self { env, engine, rng: Rng::new(seed), builder: BatchBuilder::new(), all: Vec::new(), next_key: 0 }
    }

    fn engine(&self) -> Arc<Engine> {
        Arc::clone(self.engine.as_ref().unwrap())
    }

    fn operate(&mut self) {
        match self.rng.below(200) {
            0..=69 => self.append(),
            70 | 71 => self.engine().seal().unwrap(),
            72 => self.engine().compact().unwrap(),
            73 => self.reopen(),
            74..=110 => self.get(),
            111 => self.compare_everything(),
            _ => self.search(),
        }
    }

    fn append(&mut self) {
        let n = [1, 1, 1, 2, 5, 40][self.rng.below(6) as usize];
        let mut new: Vec<Record> = (self.next_key..self.next_key + n).map(rows::row).collect();
        self.next_key += n;
        let batch = rows::batch(&mut self.builder, &new);
        let ack = *self.rng.pick(&[Ack::Memory, Ack::Wal]);
        let appended = self.engine().append(Append::new(batch, ack)).unwrap();
        for (row, seq) in new.iter_mut().zip(appended.first_seq..) {
            (row.seq, row.epoch) = (seq, appended.epoch);
        }
        assert!(new.iter().map(|row| row.time).eq(appended.times.iter().copied()));
        self.all.extend(new);
    }

    fn reopen(&mut self) {
        let engine = self.engine.take().unwrap();
        if self.rng.one_in(2) {
            engine.close().unwrap();
        }
        drop(engine);
        let engine = open(&self.env);
        assert_eq!(engine.troubles(), Vec::<String>::new());
        self.engine = Some(engine);
    }

    fn get(&mut self) {
        let Some(at) = self.rng.below(self.all.len() as u64 + 1).checked_sub(1) else {
            return assert_eq!(self.engine().get(RecordId::new(1, 2, 3)).unwrap(), None);
        };
        let wanted = &self.all[at as usize];
        let found = self.engine().get(wanted.id()).unwrap();
        assert_eq!(found.as_ref().map(shown), Some(shown(wanted)));
    }

    fn search(&mut self) {
        let search = rows::question(&mut self.rng, self.next_key + 5);
        if self.rng.one_in(3) {
            let wanted = self.all.iter().filter(|record| rows::passes(&search, record)).count() as u64;
            assert_eq!(self.engine().count(&search).unwrap(), wanted, "{search:?}");
            return;
        }
        let search = Search { limit: search.limit.min(50), ..search };
        let wanted: Vec<String> = rows::expected(&search, &self.all).iter().map(shown).collect();
        let found: Vec<String> = self.engine().search(&search).unwrap().iter().map(shown).collect();
        assert_eq!(found, wanted, "{search:?}");
    }

    fn compare_everything(&mut self) {
        let mut found: Vec<String> = everything(&self.engine()).unwrap().iter().map(shown).collect();
        let mut wanted: Vec<String> = self.all.iter().map(shown).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }
}

fn open(env: &SimEnv) -> Arc<Engine> {
    Engine::open(Arc::new(env.process()), options()).unwrap()
}

/// A record without what only the engine knows.
fn shown(record: &Record) -> String {
    let mut record = record.clone();
    record.fields.sort_by(|a, b| a.0.cmp(&b.0));
    format!("{} {} {}", record.id(), record.time, record.to_json(|_| true))
}

fn operations(seed: u64, count: u64) {
    for store in 0..count.div_ceil(OPERATIONS_OF_A_STORE) {
        let seed = seed + store;
        let again = format!(
            "LOGYARD_SEED={seed} LOGYARD_OPERATIONS=1000 cargo test -p logyard-storage --test main -- --ignored model::a_million"
        );
        let ran = std::panic::catch_unwind(|| {
            let mut model = Model::new(seed);
            (0..OPERATIONS_OF_A_STORE.min(count)).for_each(|_| model.operate());
            model.compare_everything();
        });
        assert!(ran.is_ok(), "seed {seed}, again: {again}");
    }
}

#[test]
fn random_operations_agree_with_a_vector() {
    operations(1, 4_000);
}

/// `LOGYARD_OPERATIONS` says how many, `LOGYARD_SEED` where to begin.
#[test]
#[ignore = "hours: a million operations"]
fn a_million_operations_agree_with_a_vector() {
    operations(from_env("LOGYARD_SEED", 1), from_env("LOGYARD_OPERATIONS", 1_000_000));
}

#[test]
fn a_test_of_an_absent_field_is_one_of_the_empty_text() {
    let mut model = Model::new(1);
    (0..20).for_each(|_| model.append());
    let empty = Filter::Field("no.such".into(), Test::exact(""));
    let search = Search { filter: empty, ..Search::default() };
    assert_eq!(model.engine().count(&search).unwrap(), model.all.len() as u64);
}
