//! What a server that is killed under load has acknowledged is there afterwards, once.
use crate::harness::{KEY, Server, encoded, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ROUNDS: usize = 3;
/// Two of each way in under keys, and two of those of which all is stored or nothing without any.
const THREADS: usize = 10;
const KEYED: usize = 6;

/// A body that was sent, under a key of its own where it has one.
struct Sent {
    path: &'static str,
    key: Option<String>,
    body: String,
    messages: Vec<String>,
}

impl Sent {
    fn new(round: usize, thread: usize, number: usize) -> Self {
        let way = if thread < KEYED { thread % 3 } else { thread % 2 };
        let (path, count) = match way {
            0 => ("/api/v1/logs/ingest", 1),
            1 => ("/api/v1/logs/ingest/batch", 20),
            _ => ("/insert/jsonline?_msg_field=message", 100),
        };
        let name = format!("{round}-{thread}-{number}");
        let messages: Vec<String> = (0..count).map(|at| format!("log {at} of {name}")).collect();
        let log = |message: &String| json!({"service_name": "crash", "level": "INFO", "message": message});
        let logs: Vec<Value> = messages.iter().map(log).collect();
        let body = match way {
            0 => logs[0].to_string(),
            1 => json!({ "logs": logs }).to_string(),
            _ => logs.iter().map(|log| format!("{log}\n")).collect(),
        };
        Self { path, key: (thread < KEYED).then_some(name), body, messages }
    }

    /// Whether it was acknowledged as durable; nothing where there was no answer.
    fn send(&self, server: &Server) -> Option<()> {
        let key: Vec<_> = self.key.iter().map(|key| ("Idempotency-Key", key.as_str())).collect();
        let answer = server.try_post(self.path, self.body.as_bytes(), &key).ok()?;
        assert_eq!((answer.status, answer.header("x-logyard-ack")), (200, Some("wal")), "{}", answer.text);
        Some(())
    }
}

#[test]
fn what_was_acknowledged_outlives_a_kill_once() {
    let data = tempfile::tempdir().unwrap();
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut server = Server::start_on(data.path());
        let (acknowledged, in_doubt) = ingest_until_killed(&mut server, round);
        assert!(!acknowledged.is_empty() && !in_doubt.is_empty());
        wanted.extend(acknowledged.into_iter().map(|message| (message, 1)));

        let server = Server::start_on(data.path());
        let found = messages(&server);
        for (message, times) in &found {
            assert_eq!(*times, 1, "round {round}: {message}");
        }
        for message in wanted.keys() {
            assert!(found.contains_key(message), "round {round}: {message} is lost");
        }
        for sent in in_doubt {
            // What had no answer is sent again under its key, whatever of it is there. What has none is there as a whole or not at all,
            // and stays so.
            if sent.key.is_some() {
                sent.send(&server).unwrap();
            } else {
                let there = sent.messages.iter().filter(|message| found.contains_key(*message)).count();
                assert!(there == 0 || there == sent.messages.len(), "round {round}: {there} of {:?}", sent.messages);
                if there == 0 {
                    continue;
                }
            }
            wanted.extend(sent.messages.into_iter().map(|message| (message, 1)));
        }
        assert!(messages(&server) == wanted, "round {round}: what was sent again is not there once");
    }
}

/// How often each message is there.
fn messages(server: &Server) -> BTreeMap<String, u64> {
    let query = encoded("service_name:=crash | stats by (_msg) count() n");
    let answer = server.get(&format!("/select/logsql/query?query={query}"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rows = answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["_msg"].as_str().unwrap().to_owned(), row["n"].as_str().unwrap().parse().unwrap())).collect()
}

/// Ingests in all ways at once, kills the server in the midst of it, and gives the messages that were acknowledged and what
/// had no answer.
fn ingest_until_killed(server: &mut Server, round: usize) -> (Vec<String>, Vec<Sent>) {
    let (acknowledged, in_doubt) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let is_killed = AtomicBool::new(false);
    let answered: [AtomicUsize; THREADS] = Default::default();
    std::thread::scope(|scope| {
        let server = &*server;
        for (thread, answered) in answered.iter().enumerate() {
            let (acknowledged, in_doubt, is_killed) = (&acknowledged, &in_doubt, &is_killed);
            scope.spawn(move || {
                for number in 0.. {
                    let sent = Sent::new(round, thread, number);
                    if sent.send(server).is_none() {
                        assert!(is_killed.load(Ordering::SeqCst), "no answer before the kill");
                        return in_doubt.lock().unwrap().push(sent);
                    }
                    acknowledged.lock().unwrap().extend(sent.messages);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        until("each has been answered", || answered.iter().all(|answered| answered.load(Ordering::SeqCst) >= 3));
        std::thread::sleep(Duration::from_millis(200));
        is_killed.store(true, Ordering::SeqCst);
        server.signal("KILL");
    });
    server.wait();
    (acknowledged.into_inner().unwrap(), in_doubt.into_inner().unwrap())
}

/// The same command, which lives on where a file may not become larger.
fn living_on(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[test]
fn a_server_whose_log_failed_is_not_ready_until_it_is_started_again() {
    let limit = |pid: u32, bytes: &str| {
        let limited = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={bytes}")]).status();
        limited.is_ok_and(|status| status.success())
    };
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY);
        *command = living_on(command);
    });
    let log = r#"{"service_name":"a","level":"INFO","message":"m"}"#;
    assert_eq!(server.post("/api/v1/logs/ingest", log).status, 200);
    assert_eq!((server.get("/ready").status, server.get("/health").status), (200, 200));
    // Every write fails from here on, as on a disk that is broken.
    if !limit(server.pid(), "16:unlimited") {
        println!("left out: there is no prlimit");
        return;
    }
    let refused = server.post("/api/v1/logs/ingest", log);
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(limit(server.pid(), "unlimited:unlimited"));
    // It could write again, and does not: what is in that file is not known.
    assert_eq!(server.post("/api/v1/logs/ingest", log).status, 503);
    let (ready, health) = (server.get("/ready"), server.get("/health"));
    assert_eq!((ready.status, health.status), (503, 500), "{} {}", ready.text, health.text);
    assert!(ready.json()["error"].as_str().unwrap().ends_with("nothing is stored until a restart"), "{}", ready.text);
    assert_eq!((&health.json()["status"], &health.json()["error"]), (&"unhealthy".into(), &ready.json()["error"]));
    // What there is can still be read.
    assert_eq!(server.get("/api/v1/logs/search").json()["count"], 1);
    server.kill();
    let server = Server::start_on(data.path());
    assert_eq!(server.post("/api/v1/logs/ingest", log).status, 200);
    assert_eq!((server.get("/ready").status, server.get("/health").status), (200, 200));
    assert_eq!(server.get("/api/v1/logs/search").json()["count"], 2);
}
