//! `logyard bench kill`, killed again and again over one data directory, and what the engine finds in it afterwards.
//!
//! The full run: `LOGYARD_KILLS=1000 LOGYARD_SEED=7 cargo test --test main -- --ignored kills_in_full`.
use crate::harness::logyard;
use crate::kill_rows::KillBatch;
use logyard_storage::engine::{Engine, Options, Search};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::filter::{Filter, Test};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Kills of one directory; then a new one begins, or a check of everything would take ever longer.
const KILLS_PER_DIRECTORY: u64 = 50;
/// Every so many rounds everything is checked; in the others, all rows of the last two rounds and the number of all.
const FULL_EVERY: u64 = 25;

#[test]
fn what_was_acknowledged_outlives_50_kills() {
    kill(50, setting("LOGYARD_SEED").unwrap_or_else(|| RealEnv::new().random()));
}

#[test]
#[ignore = "takes minutes; LOGYARD_KILLS and LOGYARD_SEED choose how many and which"]
fn kills_in_full() {
    let seed = setting("LOGYARD_SEED").unwrap_or_else(|| RealEnv::new().random());
    kill(setting("LOGYARD_KILLS").unwrap_or(1_000), seed);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

fn kill(kills: u64, seed: u64) {
    println!("LOGYARD_SEED={seed}");
    let mut chance = Chance(seed);
    let mut hits = Hits::default();
    let mut left = kills;
    while left > 0 {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::new(directory.path());
        let rounds = left.min(KILLS_PER_DIRECTORY);
        for round in 0..rounds {
            println!("round {round} of {rounds}");
            store.run_until_killed(round, &mut chance, &mut hits);
            store.check(round, round + 1 == rounds || round % FULL_EVERY == FULL_EVERY - 1);
        }
        let check = logyard().args(["check", "--data"]).arg(directory.path()).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        left -= rounds;
    }
    println!("{hits:?}");
    assert!(hits.acknowledged > 0 && hits.maintenance_done > 0, "{hits:?}");
}

/// Splitmix64: what happens when is chosen by the seed, though threads and disks have their own mind.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// In the midst of what the kills came.
#[derive(Debug, Default)]
struct Hits {
    opening: u64,
    sealing: u64,
    compacting: u64,
    maintenance_done: u64,
    acknowledged: u64,
    /// Batches that nobody had been told were there.
    unanswered: u64,
}

/// A batch that a process has sent.
struct Sent {
    batch: KillBatch,
    /// Whether it may not be lost any more.
    is_safe: bool,
    /// Whether it was there at the last check, so that it has to stay.
    is_there: bool,
    is_acknowledged: bool,
}

/// A data directory and all that is known of it.
struct Store<'a> {
    data: &'a Path,
    /// By first key.
    sent: BTreeMap<u64, Sent>,
    next_key: u64,
}

impl<'a> Store<'a> {
    fn new(data: &'a Path) -> Self {
        Self { data, sent: BTreeMap::new(), next_key: 0 }
    }

    fn run_until_killed(&mut self, round: u64, chance: &mut Chance, hits: &mut Hits) {
        let mut command = logyard();
        command.args(["bench", "kill", "--wal-file-bytes", "1048576", "--data"]).arg(self.data);
        let seal_rows = 2_000 + chance.below(6_000);
        let seal_every = 10 + chance.below(60);
        let chosen = [
            ("--round", round),
            ("--start", self.next_key),
            ("--seal-rows", seal_rows),
            ("--seal-every-ms", seal_every),
            ("--threads", 1 + chance.below(6)),
        ];
        for (flag, value) in chosen {
            command.arg(flag).arg(value.to_string());
        }
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let (ready, lines) = read_lines(child.stdout.take().unwrap());
        // Some are killed while they open the directory; the others once they work.
        if chance.below(5) == 0 {
            std::thread::sleep(Duration::from_millis(chance.below(60)));
        } else {
            ready.recv().expect("the process ended before it was ready");
            std::thread::sleep(Duration::from_millis(20 + chance.below(280)));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "the process ended by itself: {status}");
        self.take_lines(round, &lines.recv().unwrap(), hits);
    }

    /// Learns from the lines of a process that was killed in the midst of them.
    fn take_lines(&mut self, round: u64, lines: &[String], hits: &mut Hits) {
        let (mut doing, mut unanswered) = (if lines.is_empty() { "opening" } else { "" }, 0);
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            match words[0] {
                "ready" => {}
                "sent" => {
                    let batch = KillBatch { round, thread: number(1), first_key: number(2), rows: number(3) };
                    self.next_key = self.next_key.max(batch.keys().end);
                    let is_safe = words[4] == "wal";
                    let sent = Sent { batch, is_safe, is_there: false, is_acknowledged: false };
                    assert!(self.sent.insert(batch.first_key, sent).is_none());
                    unanswered += 1;
                }
                "acked" => {
                    hits.acknowledged += 1;
                    unanswered -= 1;
                    self.sent.get_mut(&number(1)).unwrap().is_acknowledged = true;
                }
                "sealing" | "compacting" => doing = if words[0] == "sealing" { "sealing" } else { "compacting" },
                "done" => {
                    hits.maintenance_done += 1;
                    doing = "";
                }
                _ => panic!("{line}"),
            }
        }
        hits.unanswered += unanswered;
        match doing {
            "opening" => hits.opening += 1,
            "sealing" => hits.sealing += 1,
            "compacting" => hits.compacting += 1,
            _ => {}
        }
    }

    /// Opens the directory and compares it with what was sent.
    fn check(&mut self, round: u64, everything: bool) {
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        let options = Options { wal_file_bytes: 1 << 20, default_ttl_days: None, ..Options::new(self.data) };
        let engine = Engine::open(env, options).unwrap();
        assert_eq!(engine.troubles(), Vec::<String>::new());
        let from_round = if everything { 0 } else { round.saturating_sub(1) };
        let mut found = Found { sent: &self.sent, rows: BTreeMap::new(), samples: Vec::new() };
        if everything {
            engine.for_each(|record| found.take(&record)).unwrap();
        } else {
            let rounds = (from_round..=round).map(|n| Filter::Field("round".into(), Test::exact(&n.to_string())));
            let search = Search { filter: Filter::Or(rounds.collect()), limit: usize::MAX, ..Search::default() };
            engine.search(&search).unwrap().iter().for_each(|record| found.take(record));
        }
        let Found { rows, samples, .. } = found;
        self.compare(&engine, from_round, &rows);
        for (id, key) in samples {
            let record = engine.get(id).unwrap().unwrap_or_else(|| panic!("key {key} is not found by its id {id}"));
            assert_eq!(record.get("key"), key, "id {id}");
        }
        if everything {
            // So that the next process finds large segments too.
            engine.compact().unwrap();
            assert_eq!(engine.count(&Search::default()).unwrap(), self.rows_there());
        }
        // Left in order or as a crash leaves it, in turn.
        if round.is_multiple_of(3) {
            engine.close().unwrap();
        }
    }

    fn rows_there(&self) -> u64 {
        self.sent.values().filter(|sent| sent.is_there).map(|sent| sent.batch.rows).sum()
    }

    /// Compares the keys that were found with what was sent from a round on.
    fn compare(&mut self, engine: &Engine, from_round: u64, found: &BTreeMap<u64, BTreeSet<u64>>) {
        // Threads with a batch that is lost: none that they sent after it may be there.
        let mut ended = BTreeSet::new();
        let mut positions: BTreeMap<String, u64> = BTreeMap::new();
        for sent in self.sent.values_mut() {
            let batch = sent.batch;
            if batch.round >= from_round {
                let rows = found.get(&batch.first_key).map_or(0, |keys| keys.len() as u64);
                assert!(rows == 0 || rows == batch.rows, "{rows} rows are there of {batch:?}");
                assert!(rows > 0 || !sent.is_there, "lost later: {batch:?}");
                assert!(rows > 0 || !sent.is_safe || !sent.is_acknowledged, "lost: {batch:?}");
                sent.is_there = rows > 0;
                let effect = engine.effect(batch.effect().as_bytes());
                let wanted = sent.is_there.then(|| batch.rows.to_string().into_bytes());
                assert_eq!(effect, wanted, "effect of {batch:?}");
            }
            if sent.is_there {
                assert!(!ended.contains(&(batch.round, batch.thread)), "after a lost batch: {batch:?}");
                positions.insert(batch.position(), batch.first_key);
            } else {
                ended.insert((batch.round, batch.thread));
            }
        }
        for (key, position) in positions {
            assert_eq!(engine.effect(key.as_bytes()), Some(position.to_string().into_bytes()), "{key}");
        }
        assert_eq!(engine.count(&Search::default()).unwrap(), self.rows_there(), "rows in all");
    }
}

/// What a directory holds: the keys of each batch by its first.
struct Found<'a> {
    sent: &'a BTreeMap<u64, Sent>,
    rows: BTreeMap<u64, BTreeSet<u64>>,
    /// Ids with their keys, to be looked up.
    samples: Vec<(RecordId, String)>,
}

impl Found<'_> {
    /// Takes a record that was sent, as it was sent, and never before.
    fn take(&mut self, record: &Record) {
        let key: u64 = record.get("key").parse().unwrap();
        let sent = self.sent.range(..=key).next_back().filter(|(_, sent)| sent.batch.keys().contains(&key));
        let Some((first_key, sent)) = sent else { panic!("invented: {}", record.to_json(|_| true)) };
        let mut fields: Vec<_> = record.fields.iter().map(|(f, v)| (&*f.name, v.kind, v.text.as_str())).collect();
        fields.sort_by_key(|field| field.0);
        let wanted = sent.batch.fields(key);
        let mut wanted: Vec<_> = wanted.iter().map(|field| (field.name, field.kind, field.text.as_str())).collect();
        wanted.sort_by_key(|field| field.0);
        assert_eq!(fields, wanted);
        assert_eq!(record.time, sent.batch.time(key), "time of key {key}");
        assert!(self.rows.entry(*first_key).or_default().insert(key), "key {key} is there twice");
        if key.is_multiple_of(1_009) {
            self.samples.push((record.id(), record.get("key").into()));
        }
    }
}

/// Reads whole lines in a thread: says when the first came, and gives all of them at the end.
fn read_lines(out: impl std::io::Read + Send + 'static) -> (Receiver<()>, Receiver<Vec<String>>) {
    let ((ready, is_ready), (done, all)) = (channel(), channel());
    std::thread::spawn(move || {
        let (mut out, mut lines, mut line) = (BufReader::new(out), Vec::new(), String::new());
        // The last line may be cut.
        while out.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
            line.clear();
            // Nobody may be waiting.
            let _waits = ready.send(());
        }
        let _waits = done.send(lines);
    });
    (is_ready, all)
}
