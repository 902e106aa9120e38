//! `logyard ingest` against a server: formats, packed files, files that grow and are rotated, and runs that are killed.
use crate::harness::{KEY, Server, client, logyard, run, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server, and a directory of the client's.
struct Yard {
    server: Server,
    home: tempfile::TempDir,
}

/// A client that follows; dropping it kills it.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

impl Follower {
    /// Stops it as Ctrl-C does.
    fn stop(mut self) {
        let interrupt = format!("kill -INT {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Yard {
    fn new() -> Self {
        Self { server: Server::start(), home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn ingest(&self, args: &[&str]) -> Command {
        let mut command = client(&self.server, self.home.path());
        command.arg("ingest").args(args).args(["--service", "shop"]);
        command
    }

    fn follow(&self, args: &[&str]) -> Follower {
        Follower(self.ingest(args).arg("--follow").spawn().unwrap())
    }

    fn rows(&self, query: &str) -> Vec<Value> {
        let (code, out, error) = run(client(&self.server, self.home.path()).args(["query", query]));
        assert_eq!(code, 0, "{error}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How often each message is there.
    fn messages(&self) -> BTreeMap<String, usize> {
        let mut messages = BTreeMap::new();
        for row in self.rows("* | fields _msg") {
            *messages.entry(row["_msg"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        messages
    }

    fn has(&self, wanted: &BTreeMap<String, usize>) {
        let count: usize = wanted.values().sum();
        until("all rows are there", || self.messages().values().sum::<usize>() >= count);
        assert_eq!(&self.messages(), wanted);
    }
}

fn once(messages: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    messages.into_iter().map(|message| (message, 1)).collect()
}

fn line(n: usize) -> String {
    format!("line {n} of many")
}

fn lines(of: std::ops::Range<usize>) -> String {
    of.map(|n| line(n) + "\n").collect()
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn each_line_is_read_as_what_it_looks_like() {
    let yard = Yard::new();
    let text = "{\"time\":\"2026-05-01T10:00:00Z\",\"msg\":\"as json\",\"n\":1.50,\"service_name\":\"mail\"}
ts=2026-05-01T10:00:01Z level=warn msg=\"as logfmt\" n=2
<165>1 2026-05-01T10:00:02Z host app 7 - - as syslog
2026-05-01 10:00:03,000 ERROR as text

{broken
";
    fs::write(yard.path("mixed.log"), text).unwrap();
    let (code, out, error) = run(&mut yard.ingest(&["mixed.log"]));
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", "mixed.log: 5 records sent\n"));
    let rows = yard.rows("_time:2026-05-01 | sort by (_time) | fields _time, _msg, service_name, level, n, app_name");
    let shown: Vec<String> = rows.iter().map(Value::to_string).collect();
    assert_eq!(
        shown,
        [
            r#"{"_msg":"as json","_time":"2026-05-01T10:00:00Z","n":"1.50","service_name":"mail"}"#,
            r#"{"_msg":"as logfmt","_time":"2026-05-01T10:00:01Z","level":"warn","n":"2","service_name":"shop"}"#,
            r#"{"_msg":"as syslog","_time":"2026-05-01T10:00:02Z","app_name":"app","level":"notice","service_name":"shop"}"#,
            r#"{"_msg":"2026-05-01 10:00:03,000 ERROR as text","_time":"2026-05-01T10:00:03Z","level":"ERROR","service_name":"shop"}"#,
        ]
    );
    assert_eq!(yard.rows("_msg:=\"{broken\"").len(), 1);
}

#[test]
fn packed_files_are_known_by_what_they_hold() {
    let yard = Yard::new();
    let mut gz = flate2::write::GzEncoder::new(File::create(yard.path("a")).unwrap(), flate2::Compression::fast());
    gz.write_all(lines(0..20_000).as_bytes()).unwrap();
    gz.finish().unwrap();
    fs::write(yard.path("b"), zstd::encode_all(lines(20_000..30_000).as_bytes(), 1).unwrap()).unwrap();
    let (code, _, error) = run(&mut yard.ingest(&["a", "b"]));
    assert_eq!((code, error.as_str()), (0, "a: 20000 records sent\nb: 10000 records sent\n"));
    let mut command = yard.ingest(&["-"]);
    let (code, _, error) = run(command.stdin(File::open(yard.path("b")).unwrap()));
    assert_eq!((code, error.as_str()), (0, "standard input: 10000 records sent\n"));
    assert_eq!(yard.rows("* | stats count() n, count_uniq(_msg) u")[0].to_string(), r#"{"n":"40000","u":"30000"}"#);
    let (code, _, error) = run(&mut yard.ingest(&["a", "--follow"]));
    assert_eq!(code, 2, "{error}");
}

#[test]
fn a_file_is_sent_once_and_then_what_was_added() {
    let yard = Yard::new();
    append(&yard.path("app.log"), &lines(0..100));
    assert_eq!(run(&mut yard.ingest(&["app.log"])).2, "app.log: 100 records sent\n");
    append(&yard.path("app.log"), &lines(100..130));
    let (code, _, error) = run(&mut yard.ingest(&["app.log"]));
    assert!(code == 0 && error.starts_with("app.log: 30 records sent; its first "), "{error}");
    yard.has(&once((0..130).map(line)));
    assert_eq!(run(&mut yard.ingest(&["app.log", "--again"])).2, "app.log: 130 records sent\n");
    assert!(yard.messages().values().all(|count| *count == 2));
    fs::write(yard.path("app.log"), "another file\n").unwrap();
    assert_eq!(run(&mut yard.ingest(&["app.log"])).2, "app.log: 1 records sent\n");
}

#[test]
fn what_comes_over_a_pipe_does_not_wait_for_its_end() {
    let yard = Yard::new();
    let mut child = yard.ingest(&["-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(lines(0..3).as_bytes()).unwrap();
    yard.has(&once((0..3).map(line)));
    pipe.write_all(lines(3..5).as_bytes()).unwrap();
    pipe.write_all(b"line 5 of many").unwrap();
    Follower(child).stop();
    yard.has(&once((0..6).map(line)));
}

#[test]
fn a_file_is_known_by_all_of_its_beginning_that_was_read() {
    let yard = Yard::new();
    let path = yard.path("app.log");
    append(&path, "first\n");
    assert_eq!(run(&mut yard.ingest(&["app.log"])).0, 0);
    append(&path, "second\n");
    assert_eq!(run(&mut yard.ingest(&["app.log"])).0, 0);
    // The same number on the disk and the same first line, and longer than what was read.
    fs::write(&path, "first\nanother file from here\nand on\n").unwrap();
    assert_eq!(run(&mut yard.ingest(&["app.log"])).2, "app.log: 3 records sent\n");
}

#[test]
fn what_is_not_sent_as_it_was_is_counted_while_a_file_is_followed() {
    let yard = Yard::new();
    fs::write(yard.path("app.log"), b"good\nb\xffad\n{\"_time\":\"never\"}\n").unwrap();
    let mut command = yard.ingest(&["app.log", "--follow"]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    yard.has(&once(["good".to_owned(), "b\u{fffd}ad".to_owned()]));
    let mut follower = Follower(child);
    let mut said = follower.0.stderr.take().unwrap();
    follower.stop();
    let mut told = String::new();
    said.read_to_string(&mut told).unwrap();
    let end = "app.log: 2 records sent, 1 refused, 1 with bytes that are no UTF-8\n";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn lines_that_belong_together_are_a_record() {
    let yard = Yard::new();
    let text = "2026-05-01 10:00:00 ERROR panic\n  at a\n  at b\n2026-05-01 10:00:01 INFO up\n";
    fs::write(yard.path("app.log"), text).unwrap();
    let start = ["--multiline-start", r"^\d{4}-\d\d-\d\d "];
    assert_eq!(run(yard.ingest(&["app.log"]).args(start)).0, 0);
    let wanted = ["2026-05-01 10:00:00 ERROR panic\n  at a\n  at b", "2026-05-01 10:00:01 INFO up"];
    yard.has(&once(wanted.map(str::to_owned)));
    fs::write(yard.path("grows.log"), "").unwrap();
    let follower = Follower(yard.ingest(&["grows.log"]).args(start).arg("--follow").spawn().unwrap());
    append(&yard.path("grows.log"), "2026-05-02 10:00:00 a\n  b\n");
    until("what is quiet has ended", || yard.messages().contains_key("2026-05-02 10:00:00 a\n  b"));
    follower.stop();
}

#[test]
fn what_a_server_refuses_is_told_by_its_line() {
    let yard = Yard::new();
    fs::write(yard.path("a.jsonl"), "{\"_msg\":\"good\"}\n\n{\"_time\":\"never\",\"_msg\":\"bad\"}\n").unwrap();
    let (code, _, error) = run(&mut yard.ingest(&["a.jsonl"]));
    assert_eq!(code, 1);
    assert!(error.starts_with("a.jsonl: 1 records sent, 1 refused\n  line 3: "), "{error}");
    assert!(error.ends_with("logyard: 1 record was refused\n"), "{error}");
}

#[test]
fn a_followed_file_may_be_rotated_and_cut() {
    let yard = Yard::new();
    let path = yard.path("app.log");
    append(&path, &lines(0..10));
    let follower = yard.follow(&["app.log"]);
    yard.has(&once((0..10).map(line)));
    // A line without its end waits for it, and one of a file that is rotated away does not.
    append(&path, "line 10 of");
    append(&path, " many\nline 11 of many");
    yard.has(&once((0..11).map(line)));
    fs::rename(&path, yard.path("app.log.1")).unwrap();
    append(&yard.path("app.log.1"), "\nline 12 of many");
    append(&path, &lines(13..20));
    yard.has(&once((0..20).map(line)));
    // Cut, and begun anew.
    File::create(&path).unwrap();
    append(&path, &lines(20..25));
    yard.has(&once((0..25).map(line)));
    follower.stop();
    // Rotated while nobody followed.
    append(&path, &lines(25..30));
    fs::rename(&path, yard.path("app.log.1")).unwrap();
    append(&path, &lines(30..35));
    let follower = yard.follow(&["app.log"]);
    yard.has(&once((0..35).map(line)));
    // There is only one that follows.
    let (code, _, error) = run(&mut yard.ingest(&["app.log"]));
    assert!(code == 1 && error.contains("another `logyard ingest`"), "{error}");
    follower.stop();
}

#[test]
fn a_file_that_was_cut_and_has_grown_beyond_where_it_was_is_read_from_its_beginning() {
    let yard = Yard::new();
    let mut command = yard.ingest(&["few.log", "many.log", "--follow"]);
    let lines = |name: &str, of: std::ops::Range<usize>| of.map(|n| format!("{name} {n}\n")).collect::<String>();
    // One that is known by less than a kilobyte, and one by a whole one.
    fs::write(yard.path("few.log"), "line 1\nline 2\nline 3\n").unwrap();
    fs::write(yard.path("many.log"), lines("many", 0..100)).unwrap();
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut follower = Follower(child);
    let before = (1..4).map(|n| format!("line {n}")).chain((0..100).map(|n| format!("many {n}")));
    let before: Vec<String> = before.collect();
    yard.has(&once(before.clone()));
    fs::write(yard.path("few.log"), lines("LINE", 101..121)).unwrap();
    fs::write(yard.path("many.log"), lines("many longer lines", 0..200)).unwrap();
    let after = (101..121).map(|n| format!("LINE {n}")).chain((0..200).map(|n| format!("many longer lines {n}")));
    yard.has(&once(before.into_iter().chain(after)));
    let mut said = follower.0.stderr.take().unwrap();
    follower.stop();
    let mut told = String::new();
    said.read_to_string(&mut told).unwrap();
    let cut: Vec<&str> = told.lines().filter(|line| line.contains("was cut")).collect();
    assert_eq!(cut.len(), 2, "{told}");
}

#[test]
fn a_file_that_is_cut_while_its_lines_are_on_their_way_is_not_taken_for_what_it_was() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (path, state) = (home.path().join("app.log"), home.path().join("state"));
    fs::write(&path, "").unwrap();
    let mut command = logyard();
    command.args(["ingest", "app.log", "--follow", "--service", "shop", "--key", KEY, "--url"]);
    command.arg(format!("http://{listen}")).arg("--state").arg(&state).current_dir(home.path());
    let _follower = Follower(command.spawn().unwrap());
    let kept = |what: &str| {
        let files = fs::read_dir(&state).into_iter().flatten().flatten().map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
            .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(what)))
    };
    until("the empty file is known", || kept("\"done\":0"));
    append(&path, "line 0 of many\n");
    until("the first line is on its way", || kept("\"sending\":[15,"));
    fs::write(&path, lines(1..50)).unwrap();
    let yard = Yard { server: Server::start_at(&data, &listen), home };
    yard.has(&once((0..50).map(line)));
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let yard = Yard { server: Server::start_at(&data, &listen), home };
    let path = yard.path("app.log");
    append(&path, &lines(0..10));
    let _follower = yard.follow(&["app.log"]);
    yard.has(&once((0..10).map(line)));
    let Yard { server, home } = yard;
    drop(server);
    append(&path, &lines(10..20));
    until("the address is free", || TcpStream::connect(&listen).is_err());
    let yard = Yard { server: Server::start_at(&data, &listen), home };
    yard.has(&once((0..20).map(line)));
}

/// What stands where a server is expected: it takes batches, and at some keeps its answer to itself.
struct Front {
    address: String,
    taken: Arc<Mutex<Vec<(String, String)>>>,
    /// Batches that are answered before one is not.
    left: Arc<AtomicUsize>,
}

impl Front {
    /// One that keeps what it takes.
    fn open() -> Self {
        Self::before(None)
    }

    /// One that hands what it takes on to a server, before it answers or does not.
    fn before(server: Option<&Server>) -> Self {
        let server = server.map(|server| server.address.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (taken, left) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(usize::MAX)));
        let front = Self { address, taken: Arc::clone(&taken), left: Arc::clone(&left) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (taken, left, server) = (Arc::clone(&taken), Arc::clone(&left), server.clone());
                std::thread::spawn(move || speak(stream.unwrap(), server.as_deref(), &taken, &left));
            }
        });
        front
    }

    /// The lines of the batches that came under different keys; what came under the same key has to be the same.
    fn lines(&self) -> Vec<String> {
        let mut batches: BTreeMap<String, String> = BTreeMap::new();
        for (key, body) in self.taken.lock().unwrap().iter() {
            let before = batches.insert(key.clone(), body.clone());
            assert!(before.is_none_or(|before| before == *body), "{key} came with two bodies");
        }
        let mut lines: Vec<String> = batches.values().flat_map(|body| body.lines().map(str::to_owned)).collect();
        lines.sort();
        lines
    }
}

fn speak(mut stream: TcpStream, server: Option<&str>, taken: &Mutex<Vec<(String, String)>>, left: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut key, mut length, mut line) = (String::new(), 0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            let lower = line.trim().to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("idempotency-key: ") {
                key = value.into();
            }
            if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || reader.read_exact(&mut body).is_err() {
            return;
        }
        if let Some(server) = server {
            let request = ureq::post(format!("{server}/insert/jsonline")).header("idempotency-key", &key);
            request.header("authorization", format!("Bearer {KEY}")).send(&body[..]).unwrap();
        }
        taken.lock().unwrap().push((key, String::from_utf8(body).unwrap()));
        if left.fetch_sub(1, Ordering::SeqCst) == 0 {
            // Silent until the client has gone.
            let _gone = reader.read_line(&mut line);
            return;
        }
        let answer = "{\"ingested\":1,\"rejected\":0,\"errors\":[]}";
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    }
}

#[test]
fn a_run_that_is_killed_goes_on_with_the_same_bytes_under_the_same_key() {
    let yard = Yard::new();
    let front = Front::open();
    let path = yard.path("app.log");
    // Lines without a year, so that the time of reading counts; and the file grows between the runs.
    let line = |n: usize| format!("Nov  3 10:00:00 host app[1]: line {n} of many\n");
    append(&path, &(0..20_000).map(line).collect::<String>());
    for round in 0..5 {
        let taken = front.taken.lock().unwrap().len();
        front.left.store(round % 3, Ordering::SeqCst);
        let mut command = yard.ingest(&["app.log"]);
        if round % 2 == 1 {
            command.arg("--follow");
        }
        let mut child = command.env("LOGYARD_URL", &front.address).stderr(Stdio::null()).spawn().unwrap();
        until("a batch came that is not answered", || front.taken.lock().unwrap().len() > taken + round % 3);
        append(&path, &(20_000 + round * 5_000..25_000 + round * 5_000).map(line).collect::<String>());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    front.left.store(usize::MAX, Ordering::SeqCst);
    let (code, _, error) = run(yard.ingest(&["app.log"]).env("LOGYARD_URL", &front.address));
    assert_eq!(code, 0, "{error}");
    let lines = front.lines();
    assert_eq!(lines.len(), 45_000);
    let numbers: BTreeSet<&str> =
        lines.iter().map(|line| line.split_once("line ").unwrap().1.split_once(' ').unwrap().0).collect();
    assert_eq!(numbers.len(), 45_000);
}

#[test]
fn each_row_of_a_run_that_is_killed_is_on_the_server_once() {
    let yard = Yard::new();
    let front = Front::before(Some(&yard.server));
    append(&yard.path("app.log"), &lines(0..30_000));
    for round in 0..3 {
        let taken = front.taken.lock().unwrap().len();
        front.left.store(round, Ordering::SeqCst);
        let mut command = yard.ingest(&["app.log"]);
        let mut child = command.env("LOGYARD_URL", &front.address).stderr(Stdio::null()).spawn().unwrap();
        until("a batch was stored that is not answered", || front.taken.lock().unwrap().len() > taken + round);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    front.left.store(usize::MAX, Ordering::SeqCst);
    let (code, _, error) = run(yard.ingest(&["app.log"]).env("LOGYARD_URL", &front.address));
    assert_eq!(code, 0, "{error}");
    assert_eq!(yard.rows("* | stats count() n, count_uniq(_msg) u")[0].to_string(), r#"{"n":"30000","u":"30000"}"#);
}
