//! The configuration: where settings come from, and what is said about wrong ones.
use crate::harness::{KEY, Server, logyard};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn check(directory: &Path, args: &[&str]) -> Output {
    logyard().current_dir(directory).args(["serve", "--check-config"]).args(args).output().unwrap()
}

#[test]
fn a_check_tells_all_faults_and_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let right = check(here, &[]);
    assert_eq!((right.status.code(), fs::read_dir(here).unwrap().count()), (Some(0), 0), "{right:?}");

    written(here, "logyard.toml", "[query]\nmax_memroy = \"1GiB\"\nmax_wait = \"soon\"\n\n[[job]]\nname = \"main\"\n");
    let wrong = check(here, &["--listen", "nowhere"]);
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    for fault in [
        "logyard: logyard.toml, line 2: unknown key `query.max_memroy`",
        "logyard: logyard.toml, line 3: query.max_wait is `soon`",
        "logyard: logyard.toml, line 5: [[job]] is not there yet",
        "logyard: --listen is `nowhere`",
    ] {
        assert!(told.lines().any(|line| line.starts_with(fault)), "{fault}: {told}");
    }
    assert_eq!(told.lines().count(), 4, "{told}");
    // A start says the same and does not happen.
    let start = logyard().current_dir(here).args(["serve", "--listen", "nowhere"]).output().unwrap();
    assert_eq!((start.status.code(), String::from_utf8(start.stderr).unwrap()), (Some(2), told));
    assert_eq!(fs::read_dir(here).unwrap().count(), 1);

    let args = ["--no-auth", "--listen", "0.0.0.0:1", "--trusted-proxies", "x", "--tls-cert", "logyard.toml"];
    let more = check(here, &[&args[..], &["--tls-key", "no.pem", "--tls-reload-interval", "soon"]].concat());
    let told = String::from_utf8(more.stderr).unwrap();
    for fault in [
        "logyard: logyard.toml, line 3: query.max_wait is `soon`",
        "logyard: --trusted-proxies is `x`",
        "logyard: --tls-reload-interval is `soon`",
        "logyard: --no-auth works on a loopback address only, and `0.0.0.0:1` is none",
        "logyard: cannot use logyard.toml: it has no certificate",
        "logyard: cannot use no.pem: ",
    ] {
        assert!(told.lines().any(|line| line.starts_with(fault)), "{fault}: {told}");
    }
    assert_eq!((more.status.code(), told.lines().count()), (Some(2), 8), "{told}");
    let alone = String::from_utf8(check(here, &["--tls-key", "no.pem"]).stderr).unwrap();
    for fault in ["tls.cert and tls.key belong together", "cannot use no.pem: "] {
        assert!(alone.contains(fault), "{alone}");
    }

    let missing = check(here, &["--config", "nothing.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("nothing.toml"));
}

#[test]
fn an_unknown_flag_is_named_and_an_unknown_variable_ignored_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let flag = check(directory.path(), &["--query-max-wiat", "1s"]);
    assert_eq!(flag.status.code(), Some(2));
    assert!(String::from_utf8(flag.stderr).unwrap().contains("--query-max-wiat"));
    let variable = logyard().args(["serve", "--check-config"]).env("LOGYARD_QUERY_MAX_WIAT", "1s").output().unwrap();
    let told = String::from_utf8(variable.stderr).unwrap();
    assert!(variable.status.success() && told.starts_with("warning: LOGYARD_QUERY_MAX_WIAT "), "{told}");
}

#[test]
fn a_server_starts_with_what_its_file_says_and_commands_find_its_data() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let key = written(directory.path(), "key", "from-the-file\n");
    let text = format!("data = \"/nowhere\"\nadmin_key_file = {key:?}\n[retention]\ndefault_ttl_days = 12\n");
    let config = written(directory.path(), "logyard.toml", &text);
    // The flag `--data` of the harness goes before the file.
    let mut server = Server::start_with(&data, |command| {
        command.env("LOGYARD_CONFIG", &config);
    });
    let bearer = [("authorization", "Bearer from-the-file")];
    let answer = server.get_with("/api/v1/logs/config/web", &bearer).unwrap();
    assert_eq!((answer.status, &answer.json()["config"]["ttl_days"]), (200, &12.into()), "{}", answer.text);
    server.kill();

    written(directory.path(), "logyard.toml", &format!("data = {data:?}\n"));
    let check = logyard().args(["check", "--config"]).arg(&config).output().unwrap();
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn a_file_of_variables_is_taken_with_the_names_of_old() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("# as before\nLOG_SERVICE_API_KEY=\"{KEY}\"\nS3_BUCKET=logs\n");
    let file = written(directory.path(), ".env", &text);
    let server = Server::start_with(&directory.path().join("data"), |command| {
        command.arg("--env-file").arg(&file);
    });
    assert_eq!(server.get("/api/v1/logs/services").status, 200);
}
