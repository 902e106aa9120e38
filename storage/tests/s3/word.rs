//! What a bucket promises, asked of one that is as it should be: the rig's own server, and any other.
use super::{MIB, Rig, body, names, put, read};
use logyard_storage::archive::{Bucket, Put};
use logyard_storage::error::ErrorKind;

/// Asks for everything that small objects are promised. All of it is removed again.
pub(crate) fn keeps_its_word(bucket: &dyn Bucket) {
    objects_are_made_once(bucket);
    parts_are_read(bucket);
    names_are_listed(bucket);
    small_ones_are_swapped(bucket);
}

fn objects_are_made_once(bucket: &dyn Bucket) {
    let first = body(1, 100_000);
    assert_eq!(put(bucket, "once/one", &first).unwrap(), Put::Made);
    assert_eq!(put(bucket, "once/one", &first).unwrap(), Put::Existed);
    assert_eq!(put(bucket, "once/one", &body(2, 70_000)).unwrap(), Put::Existed);
    assert_eq!(bucket.len("once/one").unwrap(), Some(100_000));
    assert_eq!(read(bucket, "once/one", 0, 100_000).unwrap(), first);
    assert_eq!(put(bucket, "once/empty", &[]).unwrap(), Put::Made);
    assert_eq!(bucket.len("once/empty").unwrap(), Some(0));
    assert_eq!(bucket.small("once/empty", 10).unwrap().unwrap().0, Vec::<u8>::new());
    for name in ["once/one", "once/empty"] {
        bucket.remove(name).unwrap();
        assert_eq!(bucket.len(name).unwrap(), None);
        bucket.remove(name).unwrap();
    }
    assert_eq!(put(bucket, "once/one", &body(2, 70_000)).unwrap(), Put::Made);
    assert_eq!(bucket.len("once/one").unwrap(), Some(70_000));
    bucket.remove("once/one").unwrap();
}

fn parts_are_read(bucket: &dyn Bucket) {
    let whole = body(3, 5_000);
    put(bucket, "parts/one", &whole).unwrap();
    for (at, len) in [(0, 1), (0, 5_000), (4_999, 1), (1_234, 777), (5_000, 0)] {
        assert_eq!(read(bucket, "parts/one", at, len).unwrap(), whole[at as usize..at as usize + len]);
    }
    for (at, len) in [(4_999, 2), (0, 5_001), (5_000, 1), (9_999, 5)] {
        let e = read(bucket, "parts/one", at, len).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
    }
    let e = read(bucket, "parts/none", 0, 1).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e}");
    let (found, tag) = bucket.small("parts/one", 5_000).unwrap().unwrap();
    assert!(found == whole && !tag.is_empty());
    let e = bucket.small("parts/one", 4_999).unwrap_err();
    assert!(e.kind() == ErrorKind::Corrupt && e.to_string().contains("over the limit of 4999"), "{e}");
    assert_eq!(bucket.small("parts/none", 10).unwrap(), None);
    assert_eq!(bucket.len("parts").unwrap(), None, "a folder is no object");
    bucket.remove("parts/one").unwrap();
}

fn names_are_listed(bucket: &dyn Bucket) {
    let inside = ["list/a/1", "list/a/2", "list/a/deep/er/3", "list/a/ä and ü"];
    for name in inside.iter().chain(&["list/ab/4", "list/b/5"]) {
        put(bucket, name, name.as_bytes()).unwrap();
    }
    let mut found = Vec::new();
    bucket
        .list("list/a", &mut |listed| {
            assert_eq!(listed.bytes, listed.name.len() as u64);
            assert!(listed.made.is_some_and(|made| made > 1_700_000_000_000_000_000), "{listed:?}");
            found.push(listed.name);
            Ok(())
        })
        .unwrap();
    found.sort();
    assert_eq!(found, inside);
    assert_eq!(names(bucket, "list/").unwrap().len(), 6);
    assert_eq!(names(bucket, "list/none").unwrap(), Vec::<String>::new());
    names(bucket, "list").unwrap().iter().for_each(|name| bucket.remove(name).unwrap());
    assert_eq!(names(bucket, "list").unwrap(), Vec::<String>::new());
}

fn small_ones_are_swapped(bucket: &dyn Bucket) {
    assert_eq!(bucket.swap("swap/one", b"zero", Some("\"none\"")).unwrap(), None, "what is not there has no tag");
    let first = bucket.swap("swap/one", b"first", None).unwrap().unwrap();
    assert_eq!(bucket.swap("swap/one", b"other", None).unwrap(), None);
    assert_eq!(bucket.small("swap/one", 100).unwrap(), Some((b"first".to_vec(), first.clone())));
    let second = bucket.swap("swap/one", b"second", Some(&first)).unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(bucket.swap("swap/one", b"third", Some(&first)).unwrap(), None);
    assert_eq!(bucket.small("swap/one", 100).unwrap(), Some((b"second".to_vec(), second.clone())));
    // Whoever never heard of their own write asks again, and is not in their own way.
    assert_eq!(bucket.swap("swap/one", b"second", Some(&first)).unwrap(), Some(second));
    bucket.remove("swap/one").unwrap();
}

/// Fills a buffer with bytes that are told apart by where they are, in pages.
pub(crate) fn paged(at: u64, buf: &mut [u8]) {
    for (page, bytes) in buf.chunks_mut(4_096).enumerate() {
        let number = (at / 4_096 + page as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.fill((number >> 40) as u8);
    }
}

/// Makes a long object and reads it back in pieces.
pub(crate) fn long_one(bucket: &dyn Bucket, name: &str, len: u64) -> Put {
    let put = bucket.put_new(name, len, &|at, buf| {
        paged(at, buf);
        Ok(())
    });
    assert_eq!(bucket.len(name).unwrap(), Some(len));
    let (mut wanted, mut at) = (Vec::new(), 0);
    while at < len {
        wanted.resize((len - at).min(8 * MIB) as usize, 0);
        paged(at, &mut wanted);
        assert!(read(bucket, name, at, wanted.len()).unwrap() == wanted, "{name} at {at}");
        at += wanted.len() as u64;
    }
    put.unwrap()
}

#[test]
fn the_server_keeps_its_word_also_in_short_pages() {
    let rig = Rig::new(1);
    rig.server.set_page(2);
    keeps_its_word(&rig.store());
    assert_eq!(rig.server.names(rig.server.bucket()), Vec::<String>::new());
    assert_eq!(rig.proxy.counts().all(), 0);
}

#[test]
fn up_to_64_mib_are_one_request_and_more_are_equal_parts() {
    let rig = Rig::new(2);
    let store = rig.store();
    assert_eq!(long_one(&store, "single", 64 * MIB), Put::Made);
    assert_eq!(rig.server.made()[0].parts, Vec::<u64>::new());
    let before = rig.proxy.requests();
    assert_eq!(long_one(&store, "parts", 67 * MIB + 5), Put::Made);
    let made = rig.server.made();
    assert_eq!(made.len(), 2, "each is made once");
    assert_eq!(made[1].parts, [&[8 * MIB; 8][..], &[3 * MIB + 5]].concat());
    // It is looked for, begun, sent in nine parts and completed; and read back.
    assert_eq!(rig.proxy.requests() - before, 12 + 10);
    let before = rig.proxy.requests();
    let put = store.put_new("parts", 67 * MIB, &|_, _| panic!("nothing of it is sent again")).unwrap();
    assert_eq!((put, rig.proxy.requests() - before), (Put::Existed, 1));
    assert_eq!(rig.server.unfinished(), 0);
}
