//! All faults together: calls by chance, each of which says what is true or that the target did not answer.
use super::{Rig, body, names, read};
use crate::chance::{Rng, from_env};
use logyard_s3_rig::{Faults, Kind};
use logyard_storage::archive::{Bucket, Put, Store};
use logyard_storage::error::{Error, ErrorKind};
use std::collections::{BTreeMap, BTreeSet};

/// What an object may have in it by all that is known: nothing where it may not be there.
type Possible = BTreeSet<Option<Vec<u8>>>;

struct Asking {
    store: Store,
    rng: Rng,
    objects: BTreeMap<String, Possible>,
    answered: u64,
    unanswered: u64,
    seed: u64,
}

impl Asking {
    fn new(rig: &Rig, seed: u64) -> Self {
        let objects = (0..6).map(|n| (format!("any/{n}"), Possible::from([None]))).collect();
        Self { store: rig.hasty(), rng: Rng::new(seed), objects, answered: 0, unanswered: 0, seed }
    }

    fn step(&mut self) {
        let name = format!("any/{}", self.rng.below(6));
        let mut possible = self.objects.remove(&name).unwrap();
        match self.rng.below(8) {
            0..=2 => self.put(&name, &mut possible),
            3 | 4 => self.read(&name, &mut possible),
            5 => self.swap(&name, &mut possible),
            6 => self.remove(&name, &mut possible),
            _ => self.look(&name, &mut possible),
        }
        assert!(!possible.is_empty(), "seed {}: what {name} has in it cannot be", self.seed);
        self.objects.insert(name, possible);
    }

    fn new_body(&mut self) -> Vec<u8> {
        let len = [3, 1_000, 200_000][self.rng.below(3) as usize];
        let mut body = body(self.rng.draw() as u8, len);
        body.extend(self.rng.draw().to_le_bytes());
        body
    }

    /// Nothing but that nobody answered is an excuse.
    fn excuse(&mut self, e: &Error) {
        assert_eq!(e.kind(), ErrorKind::Unavailable, "seed {}: {e}", self.seed);
        self.unanswered += 1;
    }

    fn put(&mut self, name: &str, possible: &mut Possible) {
        let new = self.new_body();
        match super::put(&self.store, name, &new) {
            Ok(put) => {
                self.answered += 1;
                let was_free = possible.remove(&None);
                if put == Put::Made {
                    assert!(was_free, "seed {}: {name} was replaced", self.seed);
                    possible.clear();
                }
                // Where it existed it may be its own, of which it never heard.
                if was_free {
                    possible.insert(Some(new));
                }
            }
            Err(e) => {
                self.excuse(&e);
                if possible.contains(&None) {
                    possible.insert(Some(new));
                }
            }
        }
    }

    fn swap(&mut self, name: &str, possible: &mut Possible) {
        let new = self.new_body();
        let seen = match self.store.small(name, 1 << 20) {
            Ok(seen) => seen,
            Err(e) => return self.excuse(&e),
        };
        let before = seen.as_ref().map(|(bytes, _)| bytes.clone());
        assert!(possible.contains(&before), "seed {}: {name} was read wrongly", self.seed);
        *possible = Possible::from([before]);
        match self.store.swap(name, &new, seen.as_ref().map(|(_, tag)| &**tag)) {
            Ok(tag) => {
                assert!(tag.is_some(), "seed {}: nobody else writes {name}", self.seed);
                self.answered += 1;
                possible.clear();
            }
            Err(e) => self.excuse(&e),
        }
        possible.insert(Some(new));
    }

    fn read(&mut self, name: &str, possible: &mut Possible) {
        let len = match self.store.len(name) {
            Ok(len) => len,
            Err(e) => return self.excuse(&e),
        };
        possible.retain(|bytes| bytes.as_ref().map(|bytes| bytes.len() as u64) == len);
        let Some(len) = len else { return };
        match read(&self.store, name, 0, len as usize) {
            Ok(bytes) => {
                self.answered += 1;
                possible.retain(|known| known.as_ref() == Some(&bytes));
            }
            Err(e) => self.excuse(&e),
        }
    }

    fn remove(&mut self, name: &str, possible: &mut Possible) {
        match self.store.remove(name) {
            Ok(()) => {
                self.answered += 1;
                possible.clear();
            }
            Err(e) => self.excuse(&e),
        }
        possible.insert(None);
    }

    fn look(&mut self, name: &str, possible: &mut Possible) {
        match names(&self.store, "any") {
            Ok(found) => {
                self.answered += 1;
                assert!(found.iter().all(|name| name == "any" || name.starts_with("any/")));
            }
            Err(e) => self.excuse(&e),
        }
        match self.store.small(name, 1 << 20) {
            Ok(found) => possible.retain(|known| *known == found.as_ref().map(|(bytes, _)| bytes.clone())),
            Err(e) => self.excuse(&e),
        }
    }
}

/// More than one in ten. Bytes that change on their way are a matter of digests; who waits, waits for a while.
fn faults() -> Faults {
    let faults = Faults::all(150).and(Kind::AnswerGarbled, 0).and(Kind::RequestGarbled, 0);
    faults.and(Kind::Hangs, 4).and(Kind::Stalls, 4)
}

fn ask(seed: u64, steps: u64) {
    let rig = Rig::new(seed);
    rig.server.set_page(2);
    let mut asking = Asking::new(&rig, seed);
    rig.proxy.set(faults());
    (0..steps).for_each(|_| asking.step());
    rig.proxy.set(Faults::none());
    for (name, possible) in &asking.objects {
        let found = rig.object(name);
        assert!(possible.contains(&found), "seed {seed}: {name}");
    }
    let (answered, all) = (asking.answered, rig.proxy.counts().all());
    assert!(answered > asking.unanswered && all > steps / 20, "{answered} answered, {all} faults");
}

#[test]
fn whatever_happens_calls_say_what_is_true() {
    (0..2).for_each(|seed| ask(seed, 120));
}

/// `LOGYARD_ROUNDS` says how many calls, `LOGYARD_SEED` where to begin.
#[test]
#[ignore = "takes as long as it is told to"]
fn whatever_happens_calls_say_what_is_true_at_length() {
    let seed = from_env("LOGYARD_SEED", 1_000);
    (0..from_env("LOGYARD_ROUNDS", 5_000).div_ceil(200)).for_each(|n| ask(seed + n, 200));
}

#[test]
fn of_many_who_make_the_same_object_one_is_heard() {
    let rig = Rig::new(3);
    rig.proxy.set(faults());
    for round in 0..5 {
        let name = format!("race/{round}");
        let made: Vec<Option<u8>> = std::thread::scope(|scope| {
            let one = |n: u8| {
                let (store, name) = (rig.hasty(), &name);
                scope.spawn(move || match super::put(&store, name, &body(n, 50_000)) {
                    Ok(Put::Made) => Some(n),
                    Ok(Put::Existed) => None,
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
                        None
                    }
                })
            };
            let all: Vec<_> = (0..4).map(one).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let made: Vec<u8> = made.into_iter().flatten().collect();
        assert!(made.len() < 2, "{made:?}");
        let Some(there) = rig.object(&name) else { continue };
        assert!((0..4).any(|n| there == body(n, 50_000)) && made.iter().all(|n| there == body(*n, 50_000)));
    }
    assert!(rig.server.made().len() <= 5, "none was made twice");
}
