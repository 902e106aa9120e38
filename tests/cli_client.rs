//! Client commands against a server: what they write, what they say of what is wrong, and their exit codes.
use crate::certificate::Certificate;
use crate::harness::{KEY, Server, client, logyard, run, until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::channel;

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Six records, a second apart, of two services.
fn shop(server: &Server) {
    let line = |n: usize| {
        let (service, level) = (["shop", "mail"][n % 2], ["INFO", "ERROR", "INFO"][n % 3]);
        format!(
            "{{\"_time\":\"2026-05-01T10:00:0{n}Z\",\"service_name\":\"{service}\",\"level\":\"{level}\",\"_msg\":\"order {n}\"}}\n"
        )
    };
    assert_eq!(server.post("/insert/jsonline", (0..6).map(line).collect::<String>()).status, 200);
}

fn rows(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Reads a request to its end: who closes before has his answer lost. Gives it in small letters.
fn take_request(stream: &mut TcpStream) -> String {
    let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.map_or(0, |length| length.parse().unwrap()) <= body.len() {
                return text;
            }
        }
        let read = stream.read(&mut bytes).unwrap();
        request.extend_from_slice(&bytes[..read]);
    }
}

#[test]
fn a_query_is_answered_in_the_form_that_is_asked_for() {
    let (server, home) = (Server::start(), home());
    shop(&server);
    let ask = |args: &[&str]| run(client(&server, home.path()).arg("query").args(args));
    let (code, out, error) = ask(&["level:=ERROR | sort by (_time) | fields _msg, service_name"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let row = |n: usize, service: &str| serde_json::json!({ "_msg": format!("order {n}"), "service_name": service });
    assert_eq!(rows(&out), [row(1, "mail"), row(4, "shop")]);
    let of = |args: &[&str]| rows(&ask(args).1).len();
    assert_eq!(of(&["*", "--since", "2026-05-01T10:00:02Z", "--until", "2026-05-01T10:00:04Z"]), 3);
    assert_eq!(of(&["*", "--since", "1h"]), 0);
    assert_eq!(of(&["*", "--limit", "2"]), 2);
    assert_eq!(of(&["* | stats by (level) count()"]), 2);
    let sorted = "* | sort by (_time) | limit 2 | fields level, _msg";
    assert_eq!(ask(&[sorted, "--output", "csv"]).1, "level,_msg\nINFO,order 0\nERROR,order 1\n");
    let none = "nothing | fields b, _msg";
    assert_eq!(ask(&[none, "--output", "csv"]), (0, "b,_msg\n".into(), String::new()));
    assert_eq!(ask(&["\"order 0\" | fields b, _msg", "--output", "csv"]).1, "b,_msg\n,order 0\n");
    assert_eq!(ask(&["\"order 0\" | fields _m*", "--output", "csv"]).1, "_msg\norder 0\n");
    assert_eq!(ask(&[sorted, "--output", "raw"]).1, "order 0\norder 1\n");
    assert_eq!(ask(&[sorted, "--output", "table"]).1, "level  _msg\nINFO   order 0\nERROR  order 1\n");
    let explained = ask(&["_msg:order", "--explain"]);
    assert!(explained.0 == 0 && explained.1.contains("rows"), "{explained:?}");
}

#[test]
fn lines_around_a_hit_are_those_of_its_stream() {
    let (server, home) = (Server::start(), home());
    shop(&server);
    let (code, out, error) =
        run(client(&server, home.path()).args(["query", "\"order 2\" | fields _msg", "--context", "1"]));
    assert_eq!((code, error.as_str()), (0, ""));
    let messages: Vec<Value> = rows(&out).iter().map(|row| row["_msg"].clone()).collect();
    assert_eq!(messages, ["order 0", "order 2", "order 4"]);
    let around = ["query", "\"order 0\" or \"order 5\"", "--context", "1", "--output", "table"];
    let (code, out, error) = run(client(&server, home.path()).args(around));
    assert_eq!((code, error.as_str()), (0, ""));
    let lines = out.lines().filter(|line| line.ends_with("---")).count();
    assert!(lines == 2 && !out.contains("_stream"), "{out}");
}

#[test]
fn a_wrong_query_is_shown_with_its_fault() {
    let (server, home) = (Server::start(), home());
    for command in ["query", "tail"] {
        let (code, out, error) = run(client(&server, home.path()).args([command, "level:ERROR | stats by (x"]));
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        assert!(
            error.starts_with("logyard: \nlevel:ERROR | stats by (x\n") && error.contains("\n         "),
            "{error}"
        );
        assert!(error.contains('^'), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_in_a_line_with_what_to_do() {
    let (server, home) = (Server::start(), home());
    let said = |command: &mut std::process::Command| {
        let (code, out, error) = run(command);
        assert_eq!((code, out.as_str(), error.lines().count()), (1, "", 1), "{error}");
        error
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = said(client(&server, home.path()).args(["services", "--url", &format!("http://{closed}")]));
    assert_eq!(
        error,
        format!("logyard: cannot reach http://{closed}: connection refused; is `logyard serve` running there?\n")
    );
    let error = said(client(&server, home.path()).env_remove("LOGYARD_API_KEY").arg("services"));
    assert!(error.contains("--key") && error.contains("--data"), "{error}");
    let error = said(client(&server, home.path()).args(["services", "--key", "other"]));
    assert!(error.contains("the key is from --key"), "{error}");
    for usage in [
        &["query"][..],
        &["query", "*", "--limit", "x"],
        &["query", "*", "--context", "1", "--limit", "1"],
        &["query", "*", "--from", "-", "--since", "1h"],
        &["services", "--url", "ftp://x"],
        &["tail", "*", "--output", "csv"],
        &["ingest", "-"],
        &["ingest", "-", "--service", "s", "--multiline-start", "("],
        &["ingest", "-", "--service", "s", "--follow"],
        &["config", "set", "shop", "ttl_days"],
        &["delete", "*"],
        &["man", "nonsense"],
        &["completions", "tcl"],
    ] {
        let (code, _, error) = run(client(&server, home.path()).args(usage));
        assert_eq!(code, 2, "{usage:?}: {error}");
    }
}

#[test]
fn a_wrong_argument_is_wrong_usage_whoever_finds_it_and_is_named_as_it_was_given() {
    let (server, home) = (Server::start(), home());
    for (args, wanted) in [
        (&["query", "*", "--since", "bogus"][..], "--since has to be a time such as 1h, "),
        (&["query", "*", "--until", "bogus"], "--until has to be a time such as 1h, "),
        (&["delete", "x", "--since", "bogus", "--until", "now"], "--since has to be a time"),
        (&["delete", "x", "--since", "1d", "--until", "bogus"], "--until has to be a time"),
        (&["stats", "shop", "--since", "bogus"], "--since has to be a time"),
        (
            &["key", "create", "q", "--scope", "read", "--expires", "2020-01-01"],
            "--expires has to be a time that lies ahead",
        ),
        (&["key", "create", "q", "--scope", "read", "--expires", "zz"], "--expires has to be a time such as 90d"),
        (&["key", "create", "q", "--scope", "admin", "--service", "s"], "a key with --scope admin is for all services"),
        (&["key", "create", "q", "--scope", "read", "--service", ""], "--service must be "),
        (&["key", "create", "", "--scope", "read"], "NAME must be a text"),
        (&["config", "set", "shop", "bogus=1"], "bogus cannot be configured"),
        (&["config", "set", "shop", "ttl_days=many"], "ttl_days must be "),
    ] {
        let (code, out, error) = run(client(&server, home.path()).args(args));
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{args:?}: {error}");
        assert!(error.starts_with(&format!("logyard: {wanted}")), "{args:?}: {error}");
    }
    // Several scopes, in either way that the help names.
    for scopes in [&["--scope", "ingest,read"][..], &["--scope", "ingest", "--scope", "read"]] {
        assert_eq!(run(client(&server, home.path()).args(["key", "create", "both"]).args(scopes)).0, 0);
    }
    let keys = rows(&run(client(&server, home.path()).args(["key", "list"])).1);
    assert!(
        keys.len() == 2 && keys.iter().all(|key| key["scopes"] == serde_json::json!(["ingest", "read"])),
        "{keys:?}"
    );
}

#[test]
fn a_data_directory_without_a_key_is_named() {
    let (server, home) = (Server::start(), home());
    let said = |args: &[&str]| {
        let (code, _, error) = run(client(&server, home.path()).env_remove("LOGYARD_API_KEY").args(args));
        assert_eq!(code, 1);
        error
    };
    // Nothing is said of a directory that nobody named and that is not there.
    assert!(said(&["services"]).contains("name the server's data directory with --data"));
    for args in [&["services", "--data", "other"][..], &["tail", "*", "--data", "other"]] {
        let error = said(args);
        assert!(error.contains("there is no other/admin.key; give a key with --key or LOGYARD_API_KEY"), "{error}");
    }
    std::fs::create_dir(home.path().join("logyard-data")).unwrap();
    let error = said(&["services"]);
    assert!(error.contains("logyard-data/admin.key; give a key with --key"), "{error}");
    std::fs::write(home.path().join("logyard-data/admin.key"), "\n").unwrap();
    let error = said(&["services"]);
    assert!(error.contains("logyard-data/admin.key has no key; give a key with --key"), "{error}");
}

#[test]
fn the_key_of_the_data_directory_opens() {
    let home = home();
    let server = Server::start_with(&home.path().join("data"), |_| {});
    let mut command = client(&server, home.path());
    let (code, _, error) = run(command.env_remove("LOGYARD_API_KEY").args(["services", "--data", "data"]));
    assert_eq!((code, error.as_str()), (0, ""));
}

#[test]
fn a_server_is_known_by_its_certificate() {
    let home = home();
    let path = |name: &str| home.path().join(name);
    let (ours, other) = (Certificate::new(), Certificate::new());
    ours.write(&path("ours.pem"), &path("key.pem"));
    other.write(&path("other.pem"), &path("other.key"));
    let server = Server::start_with(&path("data"), |command| {
        command.arg("--tls-cert").arg(path("ours.pem")).arg("--tls-key").arg(path("key.pem"));
        command.env("LOGYARD_ADMIN_KEY", KEY);
    });
    let ask = |trusted: &str| {
        let url = server.address.replace("127.0.0.1", "localhost");
        let mut command = client(&server, home.path());
        command.args(["services", "--url", &url]).env("SSL_CERT_FILE", path(trusted));
        run(command.env("SSL_CERT_DIR", home.path().join("none")))
    };
    assert_eq!(ask("ours.pem"), (0, String::new(), String::new()));
    let (code, out, error) = ask("other.pem");
    assert_eq!((code, out.as_str(), error.lines().count()), (1, "", 1), "{error}");
    assert!(error.contains("cannot reach https://localhost:"), "{error}");
    assert!(error.contains("does not trust who made the server's certificate; name the file of that CA"), "{error}");
    std::fs::write(path("empty.pem"), "").unwrap();
    let (code, _, error) = ask("empty.pem");
    assert!(code == 1 && error.contains("SSL_CERT_FILE"), "{error}");
}

#[test]
fn what_is_wrong_with_tls_is_said_with_what_to_do() {
    let home = home();
    let path = |name: &str| home.path().join(name);
    Certificate::of_ca().write(&path("ca.pem"), &path("ca.key"));
    let secure = Server::start_with(&path("data"), |command| {
        command.arg("--tls-cert").arg(path("ca.pem")).arg("--tls-key").arg(path("ca.key"));
        command.env("LOGYARD_ADMIN_KEY", KEY);
    });
    let plain = Server::start();
    let address = |server: &Server| server.address.split_once("127.0.0.1").unwrap().1.to_owned();
    let said = |url: String| {
        let mut command = client(&secure, home.path());
        command.args(["services", "--url", &url]).env("SSL_CERT_FILE", path("ca.pem"));
        let (code, out, error) = run(command.env("SSL_CERT_DIR", path("none")));
        assert_eq!((code, out.as_str(), error.lines().count()), (1, "", 1), "{error}");
        error
    };
    let error = said(format!("https://localhost{}", address(&secure)));
    assert!(error.contains("made for a CA, and cannot be a server's own; have that CA make one"), "{error}");
    let error = said(format!("http://localhost{}", address(&secure)));
    assert!(error.contains("use https://"), "{error}");
    let error = said(format!("https://localhost{}", address(&plain)));
    assert!(error.contains("does not speak TLS; use http://"), "{error}");
}

#[test]
fn what_another_server_says_does_not_get_through_raw() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            take_request(&mut stream);
            let body = "{\"error\":\"a\\u001b[2Jb\\nc\"}";
            write!(stream, "HTTP/1.1 400 Bad\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    let (code, _, error) = run(logyard().args(["services", "--url", &address]));
    assert_eq!((code, error.as_str()), (1, "logyard: a\\u{1b}[2Jb\\nc\n"));
    let (_, _, error) = run(logyard().args(["query", "*", "--url", &address]));
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn an_answer_that_breaks_off_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        take_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n{\"a\":\"1\"}\n\r\n").unwrap();
    });
    let (code, out, error) = run(logyard().args(["query", "*", "--url", &address]));
    assert_eq!((code, out.as_str()), (1, "{\"a\":\"1\"}\n"));
    assert!(error.contains("broke off"), "{error}");
}

#[test]
fn a_reader_that_has_enough_ends_a_query_quietly() {
    let (server, home) = (Server::start(), home());
    let line = |n| format!("{{\"service_name\":\"s\",\"_msg\":\"row {n} {}\"}}\n", "x".repeat(200));
    assert_eq!(server.post("/insert/jsonline", (0..5_000).map(line).collect::<String>()).status, 200);
    let mut command = client(&server, home.path());
    let mut child = command.args(["query", "*"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with('{'));
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_reader_that_has_gone_ends_other_commands_quietly_too() {
    let (server, home) = (Server::start(), home());
    shop(&server);
    // A reader that is gone before anything is written.
    let unread = |command: &mut std::process::Command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command.stdout(writer).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let create = ["key", "create", "unread", "--scope", "read"];
    let (code, error) = unread(client(&server, home.path()).args(create));
    assert!(code == Some(1) && error.contains("`logyard key revoke "), "{error}");
    assert_eq!(unread(client(&server, home.path()).args(["key", "list"])), (Some(0), String::new()));
    let data = home.path().join("data");
    drop(Server::start_on(&data));
    assert_eq!(unread(logyard().arg("check").arg("--data").arg(&data)), (Some(0), String::new()));
}

#[test]
fn services_are_listed_counted_and_configured() {
    let (server, home) = (Server::start(), home());
    shop(&server);
    let ask = |args: &[&str]| run(client(&server, home.path()).args(args));
    assert_eq!(ask(&["services"]).1, "{\"service\":\"mail\"}\n{\"service\":\"shop\"}\n");
    let (code, out, _) = ask(&["stats", "shop"]);
    let stats: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &stats["total"], &stats["by_level"]["INFO"]), (0, &3.into(), &2.into()));
    let (_, out, _) = ask(&["stats", "shop", "--since", "2026-05-01T10:00:04Z", "--output", "csv"]);
    assert!(out.starts_with("what,value\ntotal,1\nERROR,1\n"), "{out}");
    let (code, out, error) = ask(&["config", "set", "shop", "ttl_days=90", "size_budget=10GB"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["ttl_days"], 90);
    let (_, out, _) = ask(&["config", "get", "shop"]);
    let config: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&config["ttl_days"], &config["size_budget"]), (&90.into(), &10_000_000_000_u64.into()));
    let (code, out, _) = ask(&["config", "get", "a/../b?x=1"]);
    assert_eq!((code, &serde_json::from_str::<Value>(&out).unwrap()["service_name"]), (0, &"a/../b?x=1".into()));
}

#[test]
fn what_a_query_selects_is_deleted() {
    let (server, home) = (Server::start(), home());
    shop(&server);
    let delete = |more: &[&str]| {
        let args = ["delete", "service_name:=shop level:=INFO", "--since", "2026-05-01", "--until", "2026-05-02"];
        let (code, out, error) = run(client(&server, home.path()).args(args).args(more));
        assert_eq!((code, error.as_str()), (0, ""));
        serde_json::from_str::<Value>(&out).unwrap()["rows"].clone()
    };
    let count = || rows(&run(client(&server, home.path()).args(["query", "_msg:order | count() n"])).1)[0]["n"].clone();
    assert_eq!((delete(&["--dry-run"]), count()), (2.into(), "6".into()));
    assert_eq!((delete(&[]), count()), (2.into(), "4".into()));
    let (code, _, error) =
        run(client(&server, home.path()).args(["delete", "level:=(", "--since", "1h", "--until", "now"]));
    assert!(code == 1 && error.contains("level:=(\n       ^"), "{error}");
}

#[test]
fn rows_are_followed_over_a_restart_and_none_comes_twice() {
    let home = home();
    let data = home.path().join("data");
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut server = start_on(&data, &listen);
    shop(&server);
    let mut command = client(&server, home.path());
    let mut child =
        command.args(["tail", "_msg:order", "-n", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (sender, received) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = || {
        let line = received.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["_msg"].as_str().unwrap().to_owned()
    };
    assert_eq!([next(), next()], ["order 4", "order 5"]);
    let send = |server: &Server, n: usize| {
        let line = format!("{{\"service_name\":\"shop\",\"_msg\":\"order {n}\"}}\n");
        assert_eq!(server.post("/insert/jsonline", line).status, 200);
    };
    send(&server, 6);
    assert_eq!(next(), "order 6");
    server.signal("TERM");
    assert!(server.wait().success());
    let server = start_on(&data, &listen);
    (7..10).for_each(|n| send(&server, n));
    assert_eq!([next(), next(), next()], ["order 7", "order 8", "order 9"]);
    let interrupt = format!("kill -INT {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.lines().all(|line| line.starts_with("logyard: ")), "{said}");
    assert!(received.recv_timeout(std::time::Duration::from_secs(60)).is_err());
}

#[test]
fn who_comes_back_goes_on_behind_what_was_looked_at_in_vain() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut command = logyard();
    command.args(["tail", "*", "--url", &address]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let answer = |events: &str| {
        let (mut stream, _) = listener.accept().unwrap();
        let request = take_request(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}")
            .unwrap();
        request.lines().find_map(|line| line.strip_prefix("last-event-id: ")).map(str::to_owned)
    };
    assert_eq!(answer(": nothing new\nid: aa\n\n"), None);
    assert_eq!(answer("id: bb\ndata: {\"_msg\":\"x\"}\n\n"), Some("aa".into()));
    assert_eq!(answer(": nothing new\nid: cc\n\n: nothing new\n\n"), Some("bb".into()));
    assert_eq!(answer("event: fault\ndata: {\"error\":\"enough\"}\n\n"), Some("cc".into()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// A server at an address that it had before.
fn start_on(data: &std::path::Path, listen: &str) -> Server {
    until("the address is free", || TcpStream::connect(listen).is_err());
    Server::start_at(data, listen)
}

#[test]
fn completions_and_manual_pages_are_of_every_command() {
    for (shell, has) in
        [("bash", "logyard__subcmd__ingest"), ("zsh", "#compdef logyard"), ("fish", "complete -c logyard")]
    {
        let (code, out, _) = run(logyard().args(["completions", shell]));
        assert!(code == 0 && out.contains(has) && out.contains("multiline-start"), "{shell}: {out}");
    }
    assert!(run(logyard().arg("man")).1.contains(".TH"));
    assert!(run(logyard().args(["man", "config", "set"])).1.contains("Settings that are not named"));
    let home = home();
    assert_eq!(run(logyard().args(["man", "--all"]).arg(home.path().join("man1"))).0, 0);
    let pages: Vec<_> =
        std::fs::read_dir(home.path().join("man1")).unwrap().map(|page| page.unwrap().file_name()).collect();
    for page in ["logyard.1", "logyard-ingest.1", "logyard-config-set.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} of {pages:?}");
    }
}

/// The help of a command, and of all commands within it, each with its words.
fn helps(words: &[String]) -> Vec<(String, String)> {
    let (code, help, _) = run(logyard().args(words).arg("--help"));
    assert_eq!(code, 0, "{words:?}");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A line that begins further in goes on with what the one before says.
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_ascii_whitespace().next()).filter(|name| *name != "help");
    let within: Vec<_> = names.flat_map(|name| helps(&[words, &[name.to_owned()]].concat())).collect();
    [vec![(words.join(" "), help)], within].concat()
}

#[test]
fn every_command_has_examples_in_its_help() {
    let helps = helps(&[]);
    for command in ["", "serve", "query", "config", "config set", "key revoke", "bench", "bench engine", "bench kill"] {
        assert!(helps.iter().any(|(words, _)| words == command), "{command}");
    }
    for (words, help) in helps {
        let examples = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{words}: {help}")).1;
        let first = examples.lines().next().unwrap();
        let named = format!("logyard {words}");
        assert!(examples.contains(named.trim_end()), "{words}: {first}");
    }
}
