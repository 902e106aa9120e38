//! The archive from outside: offload, search in place, restore, targets that fail, and what is said of them.
mod configured;
mod durable;
mod killed;
mod moved;
mod rebuilt;
mod unreachable;

use crate::harness::{Answer, KEY, Server};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Days that records are of, and records of each.
pub(crate) const DAYS: u64 = 4;
const OF_DAY: u64 = 150;
pub(crate) const RECORDS: u64 = DAYS * OF_DAY;
/// The first day, in milliseconds: records of long ago that arrived now live as long as others.
const FIRST: u64 = 1_748_000_000_000;

/// A server with an archive in a directory.
pub(crate) fn start(data: &Path, target: &Path) -> Server {
    start_with(data, target, &[])
}

pub(crate) fn start_with(data: &Path, target: &Path, env: &[(&str, &str)]) -> Server {
    Server::start_with(data, |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_ARCHIVE_TARGET", format!("file://{}", target.display()));
        // Nothing is copied but what is asked for.
        command.env("LOGYARD_ARCHIVE_OFFLOAD_AFTER", "1000d").envs(env.iter().copied());
    })
}

/// Sends records of several days and services.
pub(crate) fn fill(server: &Server) {
    let logs: Vec<Value> = (0..RECORDS).map(log).collect();
    for part in logs.chunks(300) {
        let answer = server.post("/api/v1/logs/ingest/batch", json!({ "logs": part }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

pub(crate) fn trace(number: u64) -> String {
    format!("{:032x}", u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834))
}

fn log(number: u64) -> Value {
    let (day, service) = (number / OF_DAY, ["shop", "pay", "web"][(number % 3) as usize]);
    json!({
        "service_name": service,
        "level": if number.is_multiple_of(10) { "ERROR" } else { "INFO" },
        "message": format!("receipt {number} of day{day} took {} ms", number * 7 % 1_000),
        "timestamp": FIRST + day * 86_400_000 + number,
        "metadata": { "trace_id": trace(number), "number": number },
    })
}

/// What a query gives, its lines sorted.
pub(crate) fn lines(server: &Server, query: &str) -> Vec<String> {
    let answer = ask(server, query, "");
    assert_eq!((answer.status, answer.header("x-logyard-partial")), (200, None), "{}", answer.text);
    let mut lines: Vec<String> = answer.text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Asks a query, with more parameters behind it.
pub(crate) fn ask(server: &Server, query: &str, more: &str) -> Answer {
    server.get(&format!("/select/logsql/query?query={}{more}", crate::harness::encoded(query)))
}

/// How many records there are of those that were sent.
pub(crate) fn count(server: &Server) -> u64 {
    let found = lines(server, "service_name:in(shop,pay,web) | stats count() n");
    let found: Value = serde_json::from_str(&found[0]).unwrap();
    found["n"].as_str().unwrap().parse().unwrap()
}

/// The answers by which it is seen that everything is there, each as it has to stay.
pub(crate) fn answers(server: &Server) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = [
        "level:ERROR | sort by (_time) | limit 20",
        "\"day2\" | stats by (service_name) count() n",
        "service_name:=shop | sort by (_time desc) limit 100",
        "service_name:in(shop,pay,web) | stats by (level) count() n, min(_time) a, max(_time) b",
        "receipt 77 of",
    ]
    .iter()
    .map(|query| lines(server, query))
    .collect();
    all.push(lines(server, &format!("metadata.trace_id:={}", trace(301))));
    assert_eq!(all[5].len(), 1);
    let stats = server.get("/api/v1/logs/stats/pay").json();
    let mut stats = stats["stats"].clone();
    stats.as_object_mut().unwrap().remove("bytes");
    all.push(vec![stats.to_string()]);
    let mut found = server.get("/api/v1/logs/search?q=receipt&service=web&limit=100").json();
    assert_eq!(found["count"], 100);
    for log in found["logs"].as_array_mut().unwrap() {
        // It is known once the record is copied.
        log.as_object_mut().unwrap().remove("r2_key");
    }
    all.push(vec![found.to_string()]);
    all
}

pub(crate) fn offload(server: &Server, body: &str) -> Value {
    let answer = server.post("/api/v1/archive/offload", body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

pub(crate) fn status(server: &Server) -> Value {
    server.get("/api/v1/archive/status").json()
}

/// The segment files of a data directory, or the objects of segments in a target.
pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let days = std::fs::read_dir(folder.join("segments")).into_iter().flatten().map(|day| day.unwrap().path());
    let files = days.filter(|day| day.is_dir()).flat_map(|day| std::fs::read_dir(day).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "seg")).collect()
}
