//! A plain vector beside the engine, through everything that maintenance does.
use super::{DAY, kind, open, rows, shown, ttl};
use crate::catalog::TTL_FOREVER;
use crate::engine::Search;
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::record::Record;
use crate::retention::DAY_NANOS;
use std::collections::BTreeMap;

/// A row as the model has it.
#[derive(Clone)]
struct Row {
    service: &'static str,
    number: u32,
    time: i64,
    arrival: i64,
}

#[test]
fn a_plain_vector_with_the_same_life_has_the_same_rows() {
    for seed in 0..6u64 {
        let env = SimEnv::new(100 + seed);
        let mut engine = open(&env);
        let mut model: Vec<Row> = Vec::new();
        let mut days: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        let mut luck = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut roll = |n: u64| {
            luck ^= luck << 13;
            luck ^= luck >> 7;
            luck ^= luck << 17;
            luck % n
        };
        let services = ["a", "b", "c"];
        let mut next = 0;
        for step in 0..120 {
            let service = services[roll(3) as usize];
            match roll(12) {
                0..=3 => {
                    let n = 1 + roll(20) as u32;
                    let late = roll(4) as i64 * DAY_NANOS;
                    let now = env.now();
                    let appended = engine.append(rows(service, next..next + n, |i| now - late + i64::from(i))).unwrap();
                    let found =
                        engine.get(crate::record::RecordId::new(appended.times[0], appended.epoch, appended.first_seq));
                    let arrival = found.unwrap().map_or(now, |record: Record| record.arrival);
                    model.extend((next..next + n).map(|i| Row {
                        service,
                        number: i,
                        time: now - late + i64::from(i),
                        arrival,
                    }));
                    next += n;
                }
                4 | 5 => engine.seal().unwrap(),
                6 => engine.compact().unwrap(),
                7 => drop(engine.retain(false).unwrap()),
                8 => {
                    let ttl_days = [1, 2, 5, TTL_FOREVER][roll(4) as usize];
                    // A longer life brings back only what was not deleted, so the model never lengthens one.
                    let life = (ttl_days > 0).then_some(i64::from(ttl_days));
                    let before = days.get(service).copied().unwrap_or(Some(30));
                    if life.is_some_and(|life| before.is_none_or(|before| life <= before)) {
                        engine.set_config(service, ttl(ttl_days)).unwrap();
                        days.insert(service, life);
                    }
                }
                9 => {
                    let color = roll(3) as usize;
                    let name = ["red", "green", "blue"][color];
                    let until = env.now() - roll(3) as i64 * DAY_NANOS;
                    let search = Search { services: vec![service.into()], until: Some(until), ..kind(name) };
                    let receipt = engine.delete(&search, false).unwrap();
                    let now = env.now();
                    let is_alive = |row: &Row| alive(row, &days, now);
                    let goes =
                        |row: &Row| row.service == service && row.number as usize % 3 == color && row.time <= until;
                    assert_eq!(receipt.rows, model.iter().filter(|row| goes(row) && is_alive(row)).count() as u64);
                    model.retain(|row| !goes(row));
                }
                10 => env.advance(DAY / (1 + roll(4) as u32)),
                _ => {
                    drop(engine);
                    if roll(2) == 0 {
                        env.power_cut();
                        env.power_on();
                    }
                    engine = open(&env);
                }
            }
            let now = env.now();
            model.retain(|row| alive(row, &days, now));
            let mut expected: Vec<u32> = model.iter().map(|row| row.number).collect();
            expected.sort_unstable();
            assert_eq!(shown(&engine), expected, "seed {seed} step {step}");
        }
        engine.seal().unwrap();
        engine.retain(false).unwrap();
        engine.compact().unwrap();
        assert!(engine.pending_deletions().is_empty());
        assert_eq!(engine.troubles(), Vec::<String>::new());
    }
}

fn alive(row: &Row, days: &BTreeMap<&str, Option<i64>>, now: i64) -> bool {
    let life = days.get(row.service).copied().unwrap_or(Some(30));
    life.is_none_or(|days| row.time.max(row.arrival) >= now - days * DAY_NANOS)
}
