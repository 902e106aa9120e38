//! Rows of lines as programs write them, spoiled in many ways, and an engine that has them hot, sealed and merged.
use super::times::{DAY, shown};
use crate::chance::Rng;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::sim::SimEnv;
use std::collections::BTreeMap;
use std::sync::Arc;

/// 2024-06-10T12:00:00Z, a Monday.
pub(super) const NOW: i64 = 1_718_020_800_000_000_000;
pub(super) const SECOND: i64 = 1_000_000_000;

const LINES: [&str; 26] = [
    "Accepted publickey for root from 10.0.0.7 port 52683 ssh2",
    "Failed password for invalid user admin from 103.99.0.122 port 52683 ssh2",
    "kernel: [12345.678901] Out of memory: Kill process 4242 (java) score 987 or sacrifice child",
    "GET /api/v1/items?id=17&sort=asc HTTP/1.1\" 200 1893 \"-\" \"curl/8.5.0\"",
    "POST /api/v1/items HTTP/1.1\" 503 0 upstream timed out",
    "ERROR Timeout after 1m30s (limit 250ms), retry 3/5",
    "error: cannot open file \"/var/lib/x.db\": no such file",
    "cannot open file: error",
    "unexpected EOF while reading body; offset 4096",
    "user=admin action=login result=ok took=12ms",
    "User=Admin action=LOGIN result=OK took=340ms",
    "blk_-1608999687919862906 is added to 10.251.73.220:50010 size 67108864",
    "java.lang.NullPointerException\n\tat com.example.Shop.pay(Shop.java:42)\n\tat com.example.Main.main(Main.java:7)",
    "request 550e8400-e29b-41d4-a716-446655440000 done in 0.2477829s",
    "session 7f3a9c0e12b4d5e6 opened for user bob",
    "\u{1b}[31mERROR\u{1b}[0m disk /dev/sda1 is 97% full",
    "générer l'échéance n°42 à 12h30",
    "ge\u{301}ne\u{301}rer la facture 42",
    "日本語のログ 第7章 終わり",
    "Ошибка подключения: узел ٣ недоступен",
    "«42» m² a_b-c9 x→y ⅷ",
    "{\"k\":1,\"v\":[true,null],\"path\":\"C:\\\\temp\"}",
    "`back` 'single' \"double\" #hash | pipe * star",
    "order 42 shipped",
    "a",
    "not in and or i",
];
const LEVELS: [&str; 6] = ["INFO", "WARN", "ERROR", "error", "debug", ""];
const HOSTS: [&str; 5] = ["host-1", "host-2", "host-29", "db.example.com", "10.0.0.7"];
const SERVICES: [&str; 3] = ["shop", "mail", "7"];
const PEOPLE: [&str; 6] = ["bob", "Bob", "alice smith", "Зоя", "зоя", "straße"];
/// Fields whose texts are looked at.
pub(super) const FIELDS: [&str; 12] =
    ["_msg", "level", "k", "n", "mixed", "took", "peer", "user id", "o.n", "a:b", "host", "service_name"];

/// How the value of a field is sent.
#[derive(Clone)]
enum Sent {
    Text(String),
    Number(String),
    Bool(bool),
    Null,
}

/// A row, as it was sent and as texts of fields that are not empty.
pub(super) struct Row {
    pub(super) time: i64,
    sent: Vec<(&'static str, Sent)>,
    texts: BTreeMap<String, String>,
}

impl Row {
    /// What a field has; nothing where it is not there.
    pub(super) fn text(&self, field: &str) -> &str {
        self.texts.get(field).map_or("", String::as_str)
    }

    /// All fields that have something.
    pub(super) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }
}

/// A line with words cut, joined and in other cases, and with digits and odd characters put in and taken out.
fn spoiled(rng: &mut Rng, line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    for _ in 0..rng.below(4) {
        let at = rng.below(chars.len() as u64 + 1) as usize;
        let to = (at + 1 + rng.below(9) as usize).min(chars.len());
        match rng.below(9) {
            0 => drop(chars.drain(at..to)),
            1 => chars[at..to].iter_mut().for_each(|c| c.make_ascii_uppercase()),
            2 => chars[at..to].iter_mut().for_each(|c| *c = c.to_lowercase().next().unwrap()),
            3 => chars.insert(at, *rng.pick(&['0', '7', 'a', 'Z', '_', ' ', '.', '-', 'é', 'Ж', '日', '²', '٣'])),
            4 => {
                chars.insert(at, *rng.pick(&['\u{1}', '\t', '\u{7f}', '\u{301}', '\u{200b}', '\u{85}', '"', '\\', 'İ']))
            }
            5 => chars.retain(|c| !c.is_ascii_digit()),
            6 => {
                let space = chars.iter().position(|c| *c == ' ');
                if let Some(at) = space {
                    chars.remove(at);
                }
            }
            7 => chars
                .iter_mut()
                .filter(|c| c.is_ascii_digit())
                .for_each(|c| *c = char::from(b'0' + rng.below(10) as u8)),
            _ => chars.extend(rng.pick(&[" ok", " 17", "x", "=1", ".", " ERROR", "é"]).chars()),
        }
    }
    chars.into_iter().collect()
}

fn mixed(rng: &mut Rng) -> Sent {
    match rng.below(8) {
        0 => Sent::Number(format!("{}.{:02}", rng.below(5), rng.below(100))),
        1 => Sent::Bool(rng.one_in(2)),
        2 => Sent::Null,
        3 => Sent::Text((*rng.pick(&["00123", "1e3", "-3.5", "+7", ".5", "007", "x9", "10 KB"])).into()),
        4 => Sent::Number((rng.below(9) as i64 - 2).to_string()),
        5 => Sent::Text(format!("{:04x}", rng.below(4_096))),
        6 => Sent::Number(format!("{}e{}", 1 + rng.below(9), rng.below(3))),
        _ => Sent::Text(format!("{}ms", rng.below(50))),
    }
}

fn row(rng: &mut Rng, at: usize) -> Row {
    let mut sent: Vec<(&'static str, Sent)> = Vec::new();
    let mut add = |name: &'static str, value: Sent| sent.push((name, value));
    let text = |text: &str| Sent::Text(text.into());
    if !rng.one_in(15) {
        let line = *rng.pick(&LINES);
        add("_msg", Sent::Text(spoiled(rng, line)));
    }
    add("level", text(rng.pick::<&str>(&LEVELS)));
    if !rng.one_in(5) {
        add("k", Sent::Number((rng.below(40) as i64 - 5).to_string()));
    }
    if rng.one_in(2) {
        add("n", Sent::Number((rng.below(12) as i64 - 2).to_string()));
    }
    if !rng.one_in(3) {
        add("mixed", mixed(rng));
    }
    if !rng.one_in(4) {
        let unit = *rng.pick(&["ms", "s", "m", "KB", "KiB", "B", ""]);
        add("took", Sent::Text(format!("{}{unit}", 1 + rng.below(300))));
    }
    if !rng.one_in(4) {
        let odd = rng.pick(&["", "", "", "", "", ":80", "x"]);
        let address = format!("{}.{}.0.{}{odd}", rng.pick(&["10", "192", "103"]), rng.below(3) * 84, rng.below(256));
        add("peer", Sent::Text(address));
    }
    if !rng.one_in(3) {
        let name = *rng.pick(&PEOPLE);
        add("user id", if rng.one_in(4) { Sent::Text(spoiled(rng, name)) } else { text(name) });
    }
    if rng.one_in(3) {
        add("o.n", Sent::Text(format!("{:016x}", rng.below(6).wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    }
    if rng.one_in(3) {
        add("a:b", Sent::Bool(rng.one_in(3)));
    }
    add("host", text(rng.pick::<&str>(&HOSTS)));
    if !rng.one_in(9) {
        add("service_name", text(rng.pick::<&str>(&SERVICES)));
    }
    add("rowno", Sent::Number(at.to_string()));
    let ago = if rng.one_in(3) { rng.below(9 * 86_400) } else { rng.below(4 * 3_600) };
    // No two are the same, and none stands at a full second.
    let time = NOW - ago as i64 * SECOND - at as i64 - 1;
    let texts = sent.iter().map(|(name, value)| {
        let text = match value {
            Sent::Text(text) | Sent::Number(text) => text.clone(),
            Sent::Bool(value) => value.to_string(),
            Sent::Null => String::new(),
        };
        ((*name).to_string(), text)
    });
    let all = texts.chain([("_time".to_string(), shown(time))]).filter(|(_, text)| !text.is_empty()).collect();
    debug_assert!(NOW - time < 10 * DAY);
    Row { time, sent, texts: all }
}

/// Rows, and which of their fields make streams.
pub(super) struct World {
    pub(super) rows: Vec<Row>,
    pub(super) stream_fields: &'static [&'static str],
}

impl World {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let most = if rng.one_in(5) { 500 } else { 90 };
        let count = 10 + rng.below(most) as usize;
        let rows = (0..count).map(|at| row(rng, at)).collect();
        let stream_fields: [&[&str]; 3] = [&["service_name"], &["host"], &["host", "level"]];
        Self { rows, stream_fields: *rng.pick(&stream_fields) }
    }

    /// What a row's stream has of a label; nothing where no stream has it.
    pub(super) fn label<'r>(&self, row: &'r Row, name: &str) -> &'r str {
        if self.stream_fields.contains(&name) { row.text(name) } else { "" }
    }

    /// An engine that has the rows: some in segments, of which some were merged, and some in memory.
    pub(super) fn engine(&self, rng: &mut Rng, env: &SimEnv) -> Arc<Engine> {
        env.set_now(NOW);
        // Blocks are copied when they are merged, or made anew.
        let copy_rows_min = *rng.pick(&[1, 16_384]);
        let options = Options { scan_threads: Some(2), background: false, copy_rows_min, ..Options::new("/data") };
        let engine = Engine::open(Arc::new(env.clone()), options).unwrap();
        let mut builder = match self.stream_fields {
            ["service_name"] => BatchBuilder::new(),
            fields => BatchBuilder::with_stream_fields(fields),
        };
        let batch_rows = 1 + rng.below(self.rows.len() as u64 / 2 + 1) as usize;
        let append = |builder: &mut BatchBuilder| {
            engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
        };
        for row in &self.rows {
            builder.begin_row();
            builder.time(row.time);
            for (name, value) in &row.sent {
                match value {
                    Sent::Text(text) => builder.string(name, text),
                    Sent::Number(text) => builder.number(name, text),
                    Sent::Bool(value) => builder.bool(name, *value),
                    Sent::Null => builder.null(name),
                }
            }
            builder.commit_row();
            if builder.rows() >= batch_rows {
                append(&mut builder);
                if rng.one_in(2) {
                    engine.seal().unwrap();
                }
                if rng.one_in(5) {
                    engine.compact().unwrap();
                }
            }
        }
        if builder.rows() > 0 {
            append(&mut builder);
        }
        engine
    }
}
