//! What is wrong with a configuration or with rights is named, and no error has a secret in it.
use super::{MIB, Rig, access, limits, names, put, read, store, threads};
use logyard_s3_rig::{Faults, Key, Kind, Right};
use logyard_storage::archive::{Bucket, S3Access, Store};
use logyard_storage::error::{Error, ErrorKind};

/// What each call says, by its name.
fn asked(bucket: &dyn Bucket) -> Vec<(&'static str, Option<Error>)> {
    vec![
        ("put", put(bucket, "new", b"1").err()),
        ("long", begun(bucket)),
        ("swap", bucket.swap("new", b"2", Some("\"1\"")).err()),
        ("read", read(bucket, "there", 0, 1).err()),
        ("small", bucket.small("there", 10).err()),
        ("len", bucket.len("there").err()),
        ("list", names(bucket, "").err()),
        ("remove", bucket.remove("new").err()),
    ]
}

/// Begins a long object, and gives it up where it may.
fn begun(bucket: &dyn Bucket) -> Option<Error> {
    let enough = || Error::corrupt("that is enough");
    let put = bucket.put_new("long", 65 * MIB, &|at, _| if at < 32 * MIB { Ok(()) } else { Err(enough()) });
    put.err().filter(|e| e.kind() != ErrorKind::Corrupt)
}

/// The words of those calls that were refused, each of which is to be of one kind and without secrets.
fn refused(bucket: &dyn Bucket, key: &Key) -> Vec<(&'static str, String)> {
    let errors = asked(bucket).into_iter().filter_map(|(call, e)| Some((call, e?)));
    errors
        .map(|(call, e)| {
            assert_eq!(e.kind(), ErrorKind::Denied, "{call}: {e}");
            is_silent(&e, key);
            (call, e.to_string())
        })
        .collect()
}

fn is_silent(e: &Error, key: &Key) {
    let told = format!("{e} {e:?}");
    let secrets = [&key.id, &key.secret, "AWS4", "Signature=", "authorization", "x-amz"];
    assert!(secrets.iter().all(|secret| !told.contains(*secret)), "{told}");
}

#[test]
fn a_wrong_key_is_named() {
    let rig = Rig::new(1);
    put(&rig.plainly(), "there", b"1").unwrap();
    let right = rig.server.key().clone();
    for (key, words) in [
        (Key { secret: "not/the+secret=ofthiskey".into(), ..right.clone() }, "check the secret access key"),
        (Key { id: "KEYOFNOBODY".into(), ..right }, "check the access key id"),
    ] {
        let told = refused(&store(&access(rig.proxy.endpoint(), "logs", &key)), &key);
        assert_eq!(told.len(), 8, "{told:?}");
        // Where the server says nothing but no, as it does of what has no body, both is possible.
        let without_body = |call| matches!(call, "small" | "len");
        for (call, told) in told {
            let wanted = if without_body(call) { "the key is wrong, or has no right" } else { words };
            assert!(told.contains(wanted), "{call}: {told}");
        }
    }
    assert_eq!(rig.server.made().len(), 1, "nothing was carried out");
}

#[test]
fn a_missing_right_is_named() {
    for (without, calls) in [
        (Right::Write, &["put", "long", "swap"][..]),
        (Right::Read, &["swap", "read", "small", "len"]),
        (Right::List, &["list"]),
        (Right::Remove, &["remove"]),
    ] {
        let rig = Rig::new(2);
        put(&rig.plainly(), "there", b"1").unwrap();
        let rights: Vec<Right> = Right::ALL.into_iter().filter(|right| *right != without).collect();
        let key = rig.server.new_key(&rights);
        let told = refused(&store(&access(rig.proxy.endpoint(), "logs", &key)), &key);
        assert_eq!(told.iter().map(|(call, _)| *call).collect::<Vec<_>>(), calls, "{told:?}");
        assert!(told.iter().all(|(_, told)| told.contains("no right to do that")), "{told:?}");
        assert!(told.iter().all(|(_, told)| told.contains("s3://logs/logyard/")), "{told:?}");
    }
}

#[test]
fn a_right_that_is_taken_away_and_given_back_counts_from_then_on() {
    let rig = Rig::new(3);
    let store = rig.store();
    put(&store, "there", b"1").unwrap();
    rig.server.allow(&[Right::Read]);
    assert_eq!(put(&store, "new", b"1").unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(read(&store, "there", 0, 1).unwrap(), b"1");
    rig.server.allow(&Right::ALL);
    put(&store, "new", b"1").unwrap();
}

#[test]
fn a_missing_bucket_is_named_and_not_made() {
    let rig = Rig::new(4);
    let key = rig.server.key();
    let told = refused(&store(&access(rig.proxy.endpoint(), "elsewhere", key)), key);
    // What a look at an object alone says of it is that it is not there, and what is not there is removed.
    let calls: Vec<&str> = told.iter().map(|(call, _)| *call).collect();
    assert_eq!(calls, ["put", "long", "swap", "read", "list"]);
    assert!(told.iter().all(|(_, told)| told.contains("there is no such bucket: make it")), "{told:?}");
    rig.server.make_bucket("elsewhere");
    put(&store(&access(rig.proxy.endpoint(), "elsewhere", key)), "there", b"1").unwrap();
    assert_eq!(rig.server.names("elsewhere"), ["logyard/there"]);
}

#[test]
fn a_wrong_storage_class_is_named_and_not_tried_again() {
    let rig = Rig::new(5);
    let access = access(rig.proxy.endpoint(), "logs", rig.server.key());
    let store = Store::s3(&S3Access { storage_class: Some("COLDEST".into()), ..access }, limits(), threads()).unwrap();
    let e = put(&store, "one", b"1").unwrap_err();
    assert!(e.kind() == ErrorKind::Denied && e.to_string().contains("no such storage class"), "{e:?}");
    assert_eq!(rig.proxy.requests(), 1);
}

#[test]
fn a_key_without_its_secret_is_named() {
    let rig = Rig::new(7);
    let access = access(rig.proxy.endpoint(), "logs", rig.server.key());
    let store = Store::s3(&S3Access { secret_access_key: None, ..access }, limits(), threads()).unwrap();
    let e = put(&store, "one", b"1").unwrap_err();
    assert!(e.kind() == ErrorKind::Denied && e.to_string().contains("there is no key: set its id"), "{e:?}");
    assert_eq!(rig.server.made(), []);
}

#[test]
fn nobody_who_repeats_the_request_is_repeated() {
    let rig = Rig::new(6);
    let key = rig.server.key();
    rig.proxy.set(Faults::none().and(Kind::Echoed, 1_000));
    let told = refused(&rig.store(), key);
    assert_eq!(told.len(), 8, "{told:?}");
    rig.proxy.set(Faults::none().and(Kind::Refused, 1_000));
    for (call, e) in asked(&rig.store()) {
        let e = e.unwrap_or_else(|| panic!("{call} succeeds"));
        assert_eq!(e.kind(), ErrorKind::Unavailable, "{call}: {e}");
        is_silent(&e, key);
    }
    let shown = format!("{:?} {}", &rig.store() as &dyn Bucket, rig.store().place());
    assert_eq!(shown, "s3://logs/logyard s3://logs/logyard");
}
