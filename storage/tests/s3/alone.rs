//! Each fault alone, once, at each call that can meet it: the call still does what it should.
use super::word::{long_one, paged};
use super::{MIB, Rig, body, limits, names, put, read, threads};
use logyard_s3_rig::{Faults, Kind};
use logyard_storage::archive::{Bucket, Put, Store};
use logyard_storage::error::ErrorKind;

/// What a request with a body meets, and is told of.
const WRITING: [Kind; 5] = [Kind::Refused, Kind::Lost, Kind::Raced, Kind::RequestCut, Kind::Hangs];
/// And what one that has a body as its answer.
const READING: [Kind; 6] = [Kind::Refused, Kind::Lost, Kind::Hangs, Kind::AnswerCut, Kind::Stalls, Kind::Truncated];

#[test]
fn an_object_is_made_whole_whatever_happens_once() {
    for (seed, kind) in WRITING.into_iter().enumerate() {
        let rig = Rig::new(seed as u64);
        rig.proxy.next(kind);
        let wanted = body(seed as u8, 300_000);
        let put_there = put(&rig.store_for(kind), "a/one", &wanted).unwrap();
        assert_eq!(rig.happened(kind), 1, "{kind:?}");
        // Its own write was in the way of the repetition.
        let is_late = matches!(kind, Kind::Lost | Kind::Raced);
        assert_eq!(put_there, if is_late { Put::Existed } else { Put::Made }, "{kind:?}");
        assert_eq!(rig.object("a/one").unwrap(), wanted, "{kind:?}");
        assert_eq!(rig.server.made().len(), 1, "{kind:?}");
    }
}

#[test]
fn what_is_there_stays_whatever_happens_once() {
    for (seed, kind) in WRITING.into_iter().enumerate() {
        let rig = Rig::new(seed as u64);
        let wanted = body(7, 1_000);
        put(&rig.plainly(), "a/one", &wanted).unwrap();
        rig.proxy.next(kind);
        assert_eq!(put(&rig.store_for(kind), "a/one", &body(8, 1_000)).unwrap(), Put::Existed, "{kind:?}");
        assert_eq!((rig.happened(kind), rig.object("a/one").unwrap()), (1, wanted), "{kind:?}");
    }
}

#[test]
fn a_read_is_right_whatever_happens_once() {
    for (seed, kind) in READING.into_iter().chain([Kind::Short]).enumerate() {
        let rig = Rig::new(seed as u64);
        let (store, wanted) = (rig.store_for(kind), body(seed as u8, 200_000));
        put(&store, "a/one", &wanted).unwrap();
        rig.proxy.next(kind);
        assert_eq!(read(&store, "a/one", 1_000, 150_000).unwrap(), wanted[1_000..151_000], "{kind:?}");
        assert_eq!(rig.happened(kind), 1, "{kind:?}");
        // A small one is asked for by a request that has no body in its answer, and then read.
        if matches!(kind, Kind::AnswerCut | Kind::Stalls | Kind::Truncated | Kind::Short) {
            rig.proxy.next(kind);
        }
        assert_eq!(store.small("a/one", 1 << 20).unwrap().unwrap().0, wanted, "{kind:?}");
        assert!(rig.happened(kind) <= 2);
    }
}

#[test]
fn a_listing_is_whole_whatever_happens_to_one_of_its_pages() {
    for (seed, kind) in READING.into_iter().enumerate() {
        let rig = Rig::new(seed as u64);
        rig.server.set_page(7);
        let store = rig.store_for(kind);
        let wanted: Vec<String> = (0..20).map(|n| format!("list/{n:02}")).collect();
        wanted.iter().for_each(|name| assert_eq!(put(&store, name, b"1").unwrap(), Put::Made));
        rig.proxy.next(kind);
        assert_eq!(names(&store, "list").unwrap(), wanted, "{kind:?}");
        assert_eq!(rig.happened(kind), 1, "{kind:?}");
    }
}

#[test]
fn a_listing_may_be_old_and_is_right_a_moment_later() {
    let rig = Rig::new(1);
    let store = rig.store();
    for name in ["list/1", "list/2"] {
        put(&store, name, b"1").unwrap();
    }
    store.remove("list/1").unwrap();
    put(&store, "list/3", b"1").unwrap();
    rig.proxy.next(Kind::Stale);
    assert_eq!(names(&store, "list").unwrap(), ["list/1", "list/2"]);
    assert_eq!(names(&store, "list").unwrap(), ["list/2", "list/3"]);
    assert_eq!((store.len("list/1").unwrap(), store.len("list/3").unwrap()), (None, Some(1)));
}

#[test]
fn a_swap_that_was_carried_out_says_so_whatever_happens_once() {
    for (seed, kind) in WRITING.into_iter().enumerate() {
        let rig = Rig::new(seed as u64);
        let store = rig.store_for(kind);
        rig.proxy.next(kind);
        let first = store.swap("owner", b"first", None).unwrap().unwrap_or_else(|| panic!("{kind:?}"));
        rig.proxy.next(kind);
        let second = store.swap("owner", b"second", Some(&first)).unwrap().unwrap_or_else(|| panic!("{kind:?}"));
        assert_eq!(rig.happened(kind), 2, "{kind:?}");
        assert_eq!(store.small("owner", 100).unwrap(), Some((b"second".to_vec(), second)), "{kind:?}");
        rig.proxy.next(kind);
        assert_eq!(store.swap("owner", b"third", Some(&first)).unwrap(), None, "{kind:?}");
    }
}

#[test]
fn a_swap_that_arrives_as_something_else_is_made_again() {
    let rig = Rig::new(11);
    let store = rig.store();
    let mut tag: Option<String> = None;
    for text in [b"first", b"other"] {
        rig.proxy.next(Kind::RequestGarbled);
        tag = store.swap("owner", text, tag.as_deref()).unwrap();
        assert_eq!(store.small("owner", 100).unwrap(), Some((text.to_vec(), tag.clone().unwrap())));
    }
    // Or only comes back so.
    rig.proxy.next(Kind::AnswerGarbled);
    tag = store.swap("owner", b"third", tag.as_deref()).unwrap();
    assert_eq!(store.small("owner", 100).unwrap(), Some((b"third".to_vec(), tag.unwrap())));
    assert_eq!((rig.happened(Kind::RequestGarbled), rig.happened(Kind::AnswerGarbled)), (2, 1));
    rig.proxy.set(Faults::none().and(Kind::RequestGarbled, 1_000));
    assert_eq!(store.swap("owner", b"never", None).unwrap(), None);
    let e = store.swap("fresh", b"never", None).unwrap_err();
    assert_eq!((e.kind(), rig.object("fresh")), (ErrorKind::Unavailable, None), "{e}");
}

#[test]
fn what_is_removed_is_gone_whatever_happens_once() {
    for (seed, kind) in [Kind::Refused, Kind::Lost, Kind::Hangs, Kind::Out].into_iter().enumerate() {
        let rig = Rig::new(seed as u64);
        let store = rig.store_for(kind);
        put(&store, "a/one", b"1").unwrap();
        rig.proxy.next(kind);
        store.remove("a/one").unwrap();
        assert_eq!((rig.happened(kind), rig.object("a/one")), (1, None), "{kind:?}");
        rig.proxy.next(kind);
        assert_eq!(store.len("a/one").unwrap(), None, "{kind:?}");
    }
}

#[test]
fn a_long_object_is_made_whole_whatever_happens_to_its_completion() {
    // Whether an error in a 200 comes before or after it was carried out is up to the seed.
    for (seed, kind) in [Kind::Raced, Kind::ErrorInOk, Kind::ErrorInOk, Kind::ErrorInOk].into_iter().enumerate() {
        let rig = Rig::new(seed as u64);
        rig.proxy.next(kind);
        long_one(&rig.store(), "long", 65 * MIB);
        assert_eq!((rig.happened(kind), rig.server.made().len()), (1, 1), "{kind:?} {seed}");
        assert_eq!(rig.server.unfinished(), 0, "{kind:?} {seed}");
    }
}

#[test]
fn a_long_object_is_made_whole_whatever_happens_to_its_parts() {
    let rig = Rig::new(5);
    rig.proxy.set(Faults::none().and(Kind::Refused, 100).and(Kind::RequestCut, 100));
    let store = rig.store();
    let put = store.put_new("long", 66 * MIB, &|at, buf| {
        paged(at, buf);
        Ok(())
    });
    rig.proxy.set(Faults::none());
    assert!(put.is_ok(), "{put:?}");
    assert!(rig.happened(Kind::Refused) + rig.happened(Kind::RequestCut) > 0);
    assert_eq!(long_one(&store, "long", 66 * MIB), Put::Existed);
    assert_eq!(rig.server.made().len(), 1);
}

#[test]
fn somebody_who_is_sooner_with_a_long_object_stays() {
    let rig = Rig::new(6);
    let (store, other) = (rig.store(), rig.plainly());
    let put_there = store.put_new("long", 65 * MIB, &|at, buf| {
        if at == 64 * MIB {
            put(&other, "long", b"sooner").unwrap();
        }
        paged(at, buf);
        Ok(())
    });
    assert_eq!(put_there.unwrap(), Put::Existed);
    assert_eq!(rig.object("long").unwrap(), b"sooner");
    assert_eq!(rig.server.unfinished(), 0, "what was sent of it is gone");
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    let rig = Rig::new(7);
    for len in [1_000, 66 * MIB] {
        let put = rig.store().put_new("one", len, &|at, _| {
            if at < 16 * MIB && len > MIB { Ok(()) } else { Err(logyard_storage::error::Error::corrupt("rotten")) }
        });
        assert_eq!(put.unwrap_err().to_string(), "rotten");
    }
    assert_eq!((rig.server.names(rig.server.bucket()), rig.server.unfinished()), (Vec::new(), 0));
}

#[test]
fn a_byte_that_changed_on_its_way_is_there_to_be_noticed_by_a_digest() {
    let rig = Rig::new(8);
    let (store, wanted) = (rig.store(), body(9, 10_000));
    rig.proxy.next(Kind::RequestGarbled);
    put(&store, "there", &wanted).unwrap();
    let found = read(&store, "there", 0, 10_000).unwrap();
    assert!(found != wanted && found == rig.object("there").unwrap());
    put(&store, "back", &wanted).unwrap();
    rig.proxy.next(Kind::AnswerGarbled);
    assert_ne!(read(&store, "back", 0, 10_000).unwrap(), wanted);
    assert_eq!(read(&store, "back", 0, 10_000).unwrap(), wanted);
}

#[test]
fn a_long_outage_is_said_and_then_over() {
    let rig = Rig::new(9);
    let store = rig.store();
    put(&store, "there", b"1").unwrap();
    rig.proxy.set(Faults::none().and(Kind::Out, 1_000));
    let mut errors = vec![
        put(&store, "one", b"1").unwrap_err(),
        read(&store, "there", 0, 1).unwrap_err(),
        store.small("there", 10).unwrap_err(),
        store.swap("there", b"1", None).unwrap_err(),
        store.len("there").unwrap_err(),
        names(&store, "").unwrap_err(),
        store.remove("there").unwrap_err(),
    ];
    // And one where nobody listens at all.
    let nobody = super::access("http://127.0.0.1:1", "logs", rig.server.key());
    let nobody = Store::s3(&nobody, limits(), threads()).unwrap();
    errors.push(put(&nobody, "one", b"1").unwrap_err());
    for e in errors {
        assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
        assert!(e.to_string().contains("the target did not answer as it should"), "{e}");
    }
    rig.proxy.set(Faults::none());
    assert_eq!(put(&store, "one", b"1").unwrap(), Put::Made);
    assert_eq!(read(&store, "there", 0, 1).unwrap(), b"1");
}
