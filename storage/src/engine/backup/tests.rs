//! Copies of engines that are open, and of directories at rest, on a simulated machine.
use super::*;
use crate::batch::BatchBuilder;
use crate::catalog::{KeyRecord, ServiceConfig};
use crate::engine::{Ack, Append, Options, check};
use crate::env::sim::SimEnv;
use crate::payload::Effect;
use crate::record::RecordId;
use crate::scan::Search;
use crate::scan::filter::{Filter, Test};

fn options(data: &str) -> Options {
    Options { background: false, wal_file_bytes: 256 << 10, ..Options::new(data) }
}

fn process(env: &SimEnv) -> Arc<dyn Env> {
    Arc::new(env.process())
}

fn open(env: &SimEnv, data: &str) -> Result<Arc<Engine>> {
    Engine::open(process(env), options(data))
}

fn rows(from: u64, to: u64) -> Append {
    let mut builder = BatchBuilder::new();
    for n in from..to {
        builder.begin_row();
        builder.time(1_780_000_000_000_000_000 + n as i64 * 1_000_000_000);
        builder.string("service_name", ["web", "db"][n as usize % 2]);
        builder.string("_msg", &format!("request {n} took {} ms", n * 7 % 1000));
        builder.commit_row();
    }
    Append::new(builder.finish().unwrap(), Ack::Wal)
}

fn shown(engine: &Engine) -> Vec<String> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(format!("{} {}", record.id(), record.to_json(|_| true)))).unwrap();
    all.sort();
    all
}

fn quiet(_: BackupProgress) -> Result<()> {
    Ok(())
}

#[test]
fn a_copy_has_all_that_was_there_when_it_was_asked_for_whatever_happens_meanwhile() {
    let env = SimEnv::new(5);
    let engine = open(&env, "/data").unwrap();
    engine.append(rows(0, 400)).unwrap();
    engine.seal().unwrap();
    let effect = Effect { key: b"once".to_vec(), value: Some(b"yes".to_vec()), expires: None };
    engine.append(Append { effects: vec![effect], ..rows(400, 600) }).unwrap();
    engine.set_config("web", ServiceConfig { ttl_days: 7, ..ServiceConfig::default() }).unwrap();
    let key = KeyRecord {
        name: "first".into(),
        hash: [1; 32],
        scopes: Vec::new(),
        services: Vec::new(),
        created_at: 1,
        expires_at: None,
        last_used_at: None,
    };
    engine.add_key("a", key.clone()).unwrap();
    let gone = Filter::Field("_msg".into(), Test::phrase("request 17", true));
    engine.delete(&Search { filter: gone, ..Search::default() }, false).unwrap();
    let all = shown(&engine);
    assert_eq!(all.len(), 599);
    let (mut steps, mut stages, mut is_changed) = (Vec::new(), Vec::new(), false);
    let mut told = |progress: BackupProgress| {
        steps.push(progress.done);
        stages.push(progress.stage);
        if !std::mem::replace(&mut is_changed, true) {
            // Every segment that is copied is removed before it is.
            engine.append(rows(600, 700)).unwrap();
            engine.seal().unwrap();
            engine.compact().unwrap();
            let again = engine.backup(Path::new("/other"), &mut quiet).unwrap_err();
            assert_eq!(again.kind(), ErrorKind::Conflict, "{again}");
        }
        Ok(())
    };
    let made = engine.backup(Path::new("/copy"), &mut told).unwrap();
    assert!(made.damaged.is_empty() && made.files >= 4 && made.bytes > 1_000, "{made:?}");
    assert!(steps.len() > 4 && stages.contains(&BackupStage::Copying) && stages.last() == Some(&BackupStage::Checking));
    assert_eq!(shown(&engine).len(), 699);

    assert!(check(&process(&env), Path::new("/copy"), false).unwrap().ok);
    let copy = open(&env, "/copy").unwrap();
    assert_eq!(copy.troubles(), Vec::<String>::new());
    assert_eq!(shown(&copy), all);
    assert_eq!((copy.effect(b"once"), copy.keys()["a"].clone()), (Some(b"yes".to_vec()), key));
    assert_eq!(copy.config("web").ttl_days, 7);
    copy.compact().unwrap();
    assert_eq!((shown(&copy), copy.pending_deletions()), (all.clone(), Vec::new()));
    // An id of a record that came after the copy was made names nothing in it, now and later.
    let ours: Vec<String> = shown(&engine).into_iter().filter(|record| !all.contains(record)).collect();
    copy.append(rows(600, 800)).unwrap();
    for record in &ours {
        let id = RecordId::parse(record.split(' ').next().unwrap()).unwrap();
        assert!(engine.get(id).unwrap().is_some() && copy.get(id).unwrap().is_none());
    }
    copy.close().unwrap();
    assert_eq!(shown(&open_again(&env, copy)).len(), 799);
}

fn open_again(env: &SimEnv, engine: Arc<Engine>) -> Arc<Engine> {
    drop(engine);
    open(env, "/copy").unwrap()
}

#[test]
fn a_backup_that_was_cut_short_says_so_and_is_not_opened() {
    let env = SimEnv::new(6);
    let engine = open(&env, "/data").unwrap();
    engine.append(rows(0, 300)).unwrap();
    let mut until = 0;
    loop {
        let target = format!("/copy-{until}");
        let mut left = until;
        let mut told = |_: BackupProgress| {
            left -= 1;
            if left < 0 { Err(Error::new(ErrorKind::Cancelled, "enough")) } else { Ok(()) }
        };
        match engine.backup(Path::new(&target), &mut told) {
            Ok(_) => break,
            Err(e) => assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}"),
        }
        // Also where power fails at that moment.
        let refused = open(&env, &target).err().unwrap();
        assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("was not finished"), "{refused}");
        let report = check(&process(&env), Path::new(&target), true).unwrap();
        assert!(!report.ok && report.lines.iter().any(|line| line.contains("was not finished")), "{report:?}");
        assert_eq!(engine.backup(Path::new(&target), &mut quiet).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(
            back_up_at_rest(&process(&env), Path::new(&target), Path::new("/x"), &mut quiet).unwrap_err().kind(),
            ErrorKind::Conflict
        );
        until += 1;
    }
    assert!(until > 3, "it was told of {until} steps");
    assert_eq!(shown(&open(&env, &format!("/copy-{until}")).unwrap()), shown(&engine));
}

#[test]
fn a_directory_at_rest_is_copied_as_it_is() {
    let env = SimEnv::new(7);
    let engine = open(&env, "/data").unwrap();
    engine.append(rows(0, 300)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(300, 500)).unwrap();
    let all = shown(&engine);
    let locked = back_up_at_rest(&process(&env), Path::new("/data"), Path::new("/copy"), &mut quiet).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked);
    // As a crash leaves it, with rows in the log.
    drop(engine);
    let made = back_up_at_rest(&process(&env), Path::new("/data"), Path::new("/copy"), &mut quiet).unwrap();
    assert!(made.damaged.is_empty(), "{made:?}");
    assert_eq!(shown(&open(&env, "/copy").unwrap()), all);
    assert_eq!(shown(&open(&env, "/data").unwrap()), all);
}

#[test]
fn what_a_backup_cannot_be_made_in_is_refused_and_not_touched() {
    let env = SimEnv::new(8);
    let engine = open(&env, "/data").unwrap();
    engine.append(rows(0, 10)).unwrap();
    let disk = process(&env);
    disk.create_dir_all(Path::new("/full")).unwrap();
    disk.open(Path::new("/full/mine"), OpenMode::Create).unwrap();
    for (target, kind, said) in [
        ("/full", ErrorKind::Conflict, "not empty"),
        ("/data/backup", ErrorKind::Invalid, "one in the other"),
        ("/", ErrorKind::Invalid, "one in the other"),
        ("/none/backup", ErrorKind::Invalid, "make it first"),
    ] {
        let e = engine.backup(Path::new(target), &mut quiet).unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(said), "{target}: {e}");
    }
    assert_eq!(disk.list(Path::new("/full")).unwrap().len(), 1);
    let e = back_up_at_rest(&disk, Path::new("/full"), Path::new("/copy"), &mut quiet).unwrap_err();
    assert!(e.to_string().contains("is no data directory"), "{e}");
    disk.create_dir_all(Path::new("/empty")).unwrap();
    engine.backup(Path::new("/empty"), &mut quiet).unwrap();
    assert_eq!(shown(&open(&env, "/empty").unwrap()), shown(&engine));
}

#[test]
fn damage_is_copied_and_named() {
    let env = SimEnv::new(9);
    let engine = open(&env, "/data").unwrap();
    engine.append(rows(0, 3_000)).unwrap();
    engine.seal().unwrap();
    engine.append(rows(3_000, 4_000)).unwrap();
    let path = engine.shared.state.read().unwrap().segments[0].segment.path().to_path_buf();
    let file = process(&env).open(&path, OpenMode::ReadWrite).unwrap();
    let mut bytes = [0; 64];
    file.read_exact_at(&mut bytes, 200).unwrap();
    file.write_all_at(&bytes.map(|byte| !byte), 200).unwrap();
    let made = engine.backup(Path::new("/copy"), &mut quiet).unwrap();
    assert!(made.damaged.iter().any(|line| line.contains("records ")), "{made:?}");
    assert!(open(&env, "/copy").is_ok());
}
