//! The same against a server that somebody else wrote, where one is named by the environment: `LOGYARD_S3_ENDPOINT`, with
//! `LOGYARD_S3_KEY`, `LOGYARD_S3_SECRET` and `LOGYARD_S3_BUCKET`. `tests/run` names Moto; R2 and others can be named as well.
//!
//! All of it goes below a prefix of its own, and is removed at its end.
use super::rounds::Moving;
use super::word::{keeps_its_word, long_one};
use super::{MIB, names, threads};
use logyard_storage::archive::{Bucket, Put, S3Access, Store, StoreLimits};
use std::sync::Arc;

/// The server that is named; nothing where none is, which is said.
fn named() -> Option<Store> {
    let var = |name: &str| std::env::var(format!("LOGYARD_S3_{name}")).ok().filter(|value| !value.is_empty());
    let Some(endpoint) = var("ENDPOINT") else {
        eprintln!("skipped: LOGYARD_S3_ENDPOINT names no server");
        return None;
    };
    let moment = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let access = S3Access {
        bucket: var("BUCKET").expect("LOGYARD_S3_BUCKET names the bucket"),
        prefix: format!("logyard-tests-{moment}"),
        endpoint: Some(endpoint),
        region: var("REGION").unwrap_or_else(|| "auto".into()),
        access_key_id: var("KEY"),
        secret_access_key: var("SECRET"),
        storage_class: None,
    };
    Some(Store::s3(&access, StoreLimits::default(), threads()).unwrap())
}

fn tidy(store: &dyn Bucket) {
    names(store, "").unwrap().iter().for_each(|name| store.remove(name).unwrap());
}

#[test]
fn a_named_server_keeps_its_word() {
    let Some(store) = named() else { return };
    keeps_its_word(&store);
    assert_eq!(names(&store, "").unwrap(), Vec::<String>::new());
}

#[test]
fn a_named_server_takes_long_objects_in_parts() {
    let Some(store) = named() else { return };
    assert_eq!(long_one(&store, "long/one", 67 * MIB + 5), Put::Made);
    assert_eq!(long_one(&store, "long/one", 67 * MIB + 5), Put::Existed);
    tidy(&store);
}

#[test]
fn a_named_server_gives_segments_back() {
    let Some(store) = named() else { return };
    let store = Arc::new(store);
    let mut moving = Moving::new(1, Arc::clone(&store) as Arc<dyn Bucket>);
    moving.once_through();
    tidy(&*store);
}
