//! The sources put together.
use super::*;
use logyard_storage::options::{DiskBudget, WhenFull};
use std::time::Duration;

fn of(settings: &[(&str, &str)]) -> Flags {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Flags { settings, ..Flags::default() }
}

fn loaded(flags: Flags, env: &[(&str, &str)]) -> Loaded {
    load(flags, env.iter().map(|(name, value)| (name.into(), value.into())))
}

fn config(flags: Flags, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    loaded(flags, env).config
}

fn faults(flags: Flags, env: &[(&str, &str)]) -> Vec<String> {
    config(flags, env).err().expect("a fault")
}

/// A file in a directory of its own.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let none = config(Flags::default(), &[]).unwrap();
    assert_eq!((none.data, none.listen), ("logyard-data".into(), vec!["127.0.0.1:7514".parse().unwrap()]));
    assert!(none.access == Access::KeyOfData && none.tls.cert.is_none());
    assert_eq!((none.retention.disk_budget, none.retention.when_full), (DiskBudget::Percent(90), WhenFull::Refuse));
    assert_eq!((none.retention.default_ttl_days, none.query.max_concurrent), (Some(30), 16));

    let (_directory, path) = file(
        "logyard.toml",
        "data = \"f\"\nlisten = \"[::1]:2\"\n[query]\nmax_concurrent = 3\nmax_wait = \"7s\"\n[retention]\nwhen_full = \"drop_oldest\"\n",
    );
    let mut flags = Flags { config: Some(path), ..of(&[("query-max-concurrent", "5")]) };
    let env = [("LOGYARD_LISTEN", "127.0.0.1:1"), ("LOGYARD_QUERY_MAX_CONCURRENT", "4"), ("LOGYARD_DATA", "")];
    let all = config(flags.clone(), &env).unwrap();
    assert_eq!((all.data, all.listen), ("f".into(), vec!["127.0.0.1:1".parse().unwrap()]));
    assert_eq!((all.query.max_concurrent, all.query.max_wait), (5, Duration::from_secs(7)));
    assert_eq!(all.retention.when_full, WhenFull::DropOldest);
    flags.settings.clear();
    assert_eq!(config(flags.clone(), &env).unwrap().query.max_concurrent, 4);
    assert_eq!(config(flags, &[]).unwrap().query.max_concurrent, 3);
}

#[test]
fn the_environment_names_a_file_and_one_that_is_named_has_to_be_there() {
    let (directory, path) = file("other.toml", "data = \"f\"");
    let env = [("LOGYARD_CONFIG", path.to_str().unwrap())];
    assert_eq!(config(Flags::default(), &env).unwrap().data, Path::new("f"));
    assert_eq!(data(None, Some(path.clone()), []).unwrap(), Path::new("f"));
    assert_eq!(data(Some("g".into()), Some(path.clone()), []).unwrap(), Path::new("g"));
    drop(directory);
    assert!(faults(Flags::default(), &env)[0].contains("other.toml"));
    assert!(data(None, Some(path), []).is_err());
}

#[test]
fn every_fault_is_told_at_once() {
    let (_directory, path) =
        file("logyard.toml", "nothing = 1\n[query]\nmax_wait = \"long\"\n[wal]\nflush_interval = 5\n");
    let flags = Flags { config: Some(path), ..of(&[("query-max-tails", "0")]) };
    let faults = faults(flags, &[("LOGYARD_LISTEN", "7514"), ("LOGYARD_RETENTION_DISK_BUDGET", "101%")]);
    for told in [
        "line 1: unknown key `nothing`",
        "line 3: query.max_wait is `long`, and has to be a duration",
        "line 5: wal.flush_interval is `5`, and has to be a duration",
        "--query-max-tails is `0`, and has to be a number from 1 to 8000",
        "LOGYARD_LISTEN is `7514`, and has to be an address",
        "LOGYARD_RETENTION_DISK_BUDGET is `101%`, and has to be a part",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:#?}");
    }
    assert_eq!(faults.len(), 6, "{faults:#?}");
}

#[test]
fn a_secret_comes_by_itself_by_another_variable_or_from_a_file() {
    let (_directory, path) = file("key", "from-a-file\n");
    let path = path.to_str().unwrap();
    let key = |config: Result<Config, Vec<String>>| match config.map(|config| config.access) {
        Ok(Access::Key(key)) => key,
        Ok(_) => "none".into(),
        Err(faults) => faults.join("; "),
    };
    let env = |env: &[(&str, &str)]| key(config(Flags::default(), env));
    assert_eq!(env(&[("LOGYARD_ADMIN_KEY", "k")]), "k");
    assert_eq!(env(&[("LOGYARD_ADMIN_KEY", "")]), "none");
    assert_eq!(env(&[("LOGYARD_ADMIN_KEY_ENV", "MINE"), ("MINE", "m")]), "m");
    assert_eq!(env(&[("LOGYARD_ADMIN_KEY_FILE", path)]), "from-a-file");
    assert!(env(&[("LOGYARD_ADMIN_KEY_ENV", "MINE")]).contains("and MINE is not set"));
    let itself = env(&[("LOGYARD_ADMIN_KEY_ENV", "ly_abc")]);
    assert!(itself.contains("is not set") && !itself.contains("ly_abc"), "{itself}");
    assert!(env(&[("LOGYARD_ADMIN_KEY_FILE", "/nowhere")]).contains("/nowhere"));
    // Whoever names a file wants no other key than the one in it.
    for nothing in ["", " \n"] {
        let (_directory, empty) = file("empty-key", nothing);
        let told = env(&[("LOGYARD_ADMIN_KEY_FILE", empty.to_str().unwrap())]);
        assert!(told.contains("LOGYARD_ADMIN_KEY_FILE names the file") && told.contains("empty-key"), "{told}");
    }
    assert!(env(&[("LOGYARD_ADMIN_KEY_FILE", path), ("LOGYARD_ADMIN_KEY", "k")]).contains("say one of them"));
    let wrong = env(&[("LOGYARD_ADMIN_KEY", "a secret")]);
    assert!(wrong.contains("LOGYARD_ADMIN_KEY is wrong") && !wrong.contains("a secret"), "{wrong}");

    let (_directory, toml) = file("logyard.toml", &format!("admin_key_file = {path:?}"));
    let flags = Flags { config: Some(toml), ..Flags::default() };
    assert_eq!(key(config(flags.clone(), &[])), "from-a-file");
    assert_eq!(key(config(flags, &[("LOGYARD_ADMIN_KEY", "k")])), "k");
}

#[test]
fn unknown_variables_are_warned_about() {
    let env = [("LOGYARD_QUERY_MAX_WIAT", "1s"), ("LOGYARD_URL", "u"), ("LOGYARD_ADMIN_KEY_FILE", ""), ("HOME", "h")];
    let loaded = loaded(Flags::default(), &env);
    assert!(loaded.config.is_ok());
    assert_eq!(loaded.warnings, ["LOGYARD_QUERY_MAX_WIAT is no setting, and ignored"]);
}

#[test]
fn a_file_of_variables_lies_beneath_the_environment() {
    let (_directory, path) =
        file(".env", "LOGYARD_DATA=d\nLOGYARD_QUERY_MAX_TAILS=7\nLOGYARD_WHAT=1\nSLACK_WEBHOOK_URL=b\n");
    let flags = Flags { env_file: Some(path), ..Flags::default() };
    let loaded = loaded(flags, &[("LOGYARD_DATA", "e")]);
    let config = loaded.config.unwrap();
    assert_eq!((config.data, config.query.max_tails), ("e".into(), 7));
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    let nowhere = Flags { env_file: Some("/nowhere/.env".into()), ..Flags::default() };
    assert!(faults(nowhere, &[])[0].contains("/nowhere/.env"));
}

#[test]
fn a_variable_that_is_empty_hides_nothing_beneath_it() {
    let text = "LOGYARD_DATA=d\nLOGYARD_DATA=\nLOG_SERVICE_API_KEY=k\nLOGYARD_ADMIN_KEY=''\nS3_BUCKET=\n";
    let (_directory, path) = file(".env", text);
    let flags = Flags { env_file: Some(path), ..Flags::default() };
    let loaded = loaded(flags, &[("LOGYARD_DATA", ""), ("LOGYARD_ADMIN_KEY", "")]);
    let config = loaded.config.unwrap();
    assert!(config.data == Path::new("d") && config.access == Access::Key("k".into()), "{:?}", config.data);
    assert_eq!(loaded.warnings, [] as [&str; 0]);
}

#[test]
fn an_archive_has_targets_of_which_the_first_is_that_of_the_environment() {
    let none = config(Flags::default(), &[]).unwrap().archive;
    assert!(none.targets.is_empty() && none.ack_timeout == Duration::from_secs(10));
    let text = "[[archive]]\ntarget = 's3://logs/a'\nendpoint = 'http://127.0.0.1:9'\naccess_key_id = 'k'\n\
                secret_access_key_env = 'MINE'\noffload_after = '1m'\nmax_loss = '60s'\nack_timeout = '3s'\n\
                [[archive]]\nname = 'second'\ntarget = 'file:///mnt/second'\nrequests = 2\n";
    let (_directory, path) = file("logyard.toml", text);
    let flags = Flags { config: Some(path), ..Flags::default() };
    let both = config(flags, &[("MINE", "hidden"), ("LOGYARD_ARCHIVE_BANDWIDTH", "20MB")]).unwrap().archive;
    let [first, second] = both.targets.as_slice() else { panic!("{both:?}") };
    assert_eq!(first.target, Some(Place::S3 { bucket: "logs".into(), prefix: "a".into() }));
    assert_eq!((first.name.as_str(), first.max_loss), ("main", Some(Duration::from_secs(60))));
    assert_eq!((first.bandwidth, second.bandwidth), (Some(20_000_000), None));
    assert_eq!(first.secret_access_key.as_ref().map(|key| key.reveal()), Some("hidden"));
    assert_eq!((second.name.as_str(), second.requests, second.offload_after.as_secs()), ("second", 2, 600));
    assert_eq!(both.ack_timeout, Duration::from_secs(3));
    assert!(!format!("{both:?}").contains("hidden"));
    let env = [("LOGYARD_ARCHIVE_TARGET", "file:///mnt/a"), ("LOGYARD_ARCHIVE_LOCAL_INDEX_BUDGET", "1GiB")];
    let alone = config(Flags::default(), &env).unwrap().archive;
    assert_eq!((alone.targets.len(), alone.local_index_budget), (1, 1 << 30));
}

#[test]
fn what_is_wrong_with_an_archive_is_told_at_once_and_shows_no_secret() {
    let text = "[[archive]]\naccess_key_id = 'hidden'\n[[archive]]\nname = 'main'\ntarget = 's3://hidden:hidden@b'\ncold_cache = '1GiB'\n\
                [[archive]]\ntarget = 's3://b'\nobject_lock = 0\n";
    let (_directory, path) = file("logyard.toml", text);
    let told = faults(Flags { config: Some(path), ..Flags::default() }, &[]);
    for fault in [
        "logyard.toml, line 1: archive.target is missing",
        "line 5: archive[1].target is `s3://...@b`, and has to be s3://bucket/prefix",
        "line 3: archive.cold_cache holds for all targets",
        "line 7: a further [[archive]] has no name",
        "line 9: archive[2].object_lock is `0`",
        "archive: access_key_id and secret_access_key belong together",
    ] {
        assert!(told.iter().any(|line| line.contains(fault)), "{fault}: {told:#?}");
    }
    assert!(told.len() == 6 && !told.join(" ").contains("hidden"), "{told:#?}");
    let of = |env: &[(&str, &str)]| faults(Flags::default(), env).join("; ");
    assert!(of(&[("LOGYARD_ARCHIVE_TARGET", "s3://b")]).contains("needs the region"));
    assert!(of(&[("LOGYARD_ARCHIVE_TARGET", "file:///d/a"), ("LOGYARD_DATA", "/d")]).contains("one in the other"));
    let both = [("LOGYARD_ARCHIVE_TARGET", "file:///d/a"), ("LOGYARD_ARCHIVE_ENDPOINT", "http://user:hidden@h")];
    assert!(of(&both).contains("http://...@h") && !of(&both).contains("hidden"));
    assert!(of(&[("LOGYARD_ARCHIVE_NAME", "a")]).contains("archive.target is missing"));
    let (_directory, path) =
        file("logyard.toml", "[[archive]]\ntarget='file:///a'\n[[archive]]\nname='main'\ntarget='file:///b'\n");
    assert!(
        faults(Flags { config: Some(path), ..Flags::default() }, &[])[0].contains("another target has the name `main`")
    );
}

#[test]
fn rows_have_a_form_and_who_has_a_process_for_itself_may_take_more() {
    let form = |value: &str| form(|_| Some(value.into()));
    assert_eq!((form(""), form("sealed"), form("plain")), (Ok(Form::Hot), Ok(Form::Sealed), Ok(Form::Plain)));
    assert!(form("cold").is_err_and(|e| e.contains("LOGYARD_FROM") && e.contains("`cold`")));
    assert_eq!(query_memory(|_| None), Ok(PIPED_MEMORY));
    assert_eq!(query_memory(|name| (name == "LOGYARD_QUERY_MAX_MEMORY").then(|| "5MiB".into())), Ok(5 * MIB));
    assert!(query_memory(|_| Some("5 apples".into())).is_err_and(|e| e.contains("LOGYARD_QUERY_MAX_MEMORY")));
    let duration = |value: &str| query_duration(|name| (name == "LOGYARD_QUERY_MAX_DURATION").then(|| value.into()));
    assert_eq!((duration(""), duration("2m")), (Ok(None), Ok(Some(Duration::from_secs(120)))));
    assert!(duration("soon").is_err_and(|e| e.contains("LOGYARD_QUERY_MAX_DURATION")));
}

#[test]
fn an_open_server_stays_at_home() {
    let open = |listen: &str| config(Flags { no_auth: true, ..of(&[("listen", listen)]) }, &[]);
    assert!(open("127.0.0.1:0").is_ok_and(|c| c.access == Access::Open));
    assert!(open("[::1]:0").is_ok());
    assert!(open("0.0.0.0:0").is_err_and(|e| e[0].contains("loopback")));
    assert!(config(Flags { no_auth: true, ..Flags::default() }, &[("LOGYARD_LISTEN", "10.0.0.1:1")]).is_err());
}

#[test]
fn a_certificate_needs_its_key() {
    assert!(faults(of(&[("tls-cert", "c")]), &[])[0].contains("belong together"));
    assert!(config(of(&[("tls-cert", "c")]), &[("LOGYARD_TLS_KEY", "k")]).is_ok());
}
