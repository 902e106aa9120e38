//! Random queries over random rows: planned and scanned, in every form that rows are kept in, against each row looked at by
//! itself.
//!
//! `LOGYARD_QUERIES` says how many in the long run, `LOGYARD_SEED` from which seed on.
mod reference;

use crate::chance::{Rng, from_env};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Answered, Append, Control, Engine, Form, Loose, Options, QueryControl};
use logyard_storage::env::Env;
use logyard_storage::env::sim::SimEnv;
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::query::{Block, Clock, Context, Flow, Memory, Rows, Source, Stop, parse, parse_within, run};
use std::sync::Arc;
use std::time::Duration;

/// 2024-06-10T12:00:00Z.
pub(crate) const NOW: i64 = 1_718_020_800_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Queries that are put to one set of rows.
const QUERIES: usize = 25;

const TEMPLATES: [&str; 24] = [
    "Received connection request /10.10.34.21:48354",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 rhost=218.188.2.4  user=root",
    "Failed password for invalid user admin from 103.99.0.122 port 52683 ssh2",
    "Attempting claim: memory 1024 MB, disk 20 GB, vcpus 1",
    "BLOCK* NameSystem.addStoredBlock: blk_-1608999687919862906 is added to 10.251.73.220:50010 size 67108864",
    "GET /api/v1/items?id=17&sort=asc HTTP/1.1 status: 200 len: 1893 time: 0.2477829",
    "workerEnv.init() ok /etc/httpd/conf/workers2.properties",
    "error: cannot open file \"/var/lib/x.db\": no such file",
    "ERROR Timeout after 1m30s (limit 250ms), retry 3/5",
    "générer l'échéance n°42 à 12h30",
    "日本語のログ 第7章 終わり",
    "«42» m² a_b-c9 x→y",
    "session 7f3a9c0e12b4d5e6 opened for user bob",
    "request 550e8400-e29b-41d4-a716-446655440000 done",
    "temperature=-3.5 humidity=40% at 2024-06-10T11:59:00.5Z",
    "{\"k\":1,\"v\":[true,null]}",
    "a",
    "",
    "   ",
    "00123",
    "user=admin",
    "connection reset by peer",
    "Connection Reset By Peer",
    "xconnection request9",
];
const LEVELS: [&str; 6] = ["INFO", "WARN", "ERROR", "error", "debug", ""];
const HOSTS: [&str; 5] = ["host-1", "host-2", "host-29", "db.example.com", "10.0.0.7"];
const FIELDS: [&str; 10] = ["_msg", "level", "k", "mixed", "hex", "host", "o.n", "took", "flag", "service_name"];

/// What a row has of a field, and how it was sent.
#[derive(Clone)]
enum Sent {
    Text(String),
    Number(String),
    Bool(bool),
    Null,
}

impl Sent {
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Null => String::new(),
        }
    }
}

pub(crate) struct Row {
    time: i64,
    fields: Vec<(&'static str, Sent)>,
}

/// A line, with a word cut, joined, in another case, with a digit more or less, or with something odd in it.
fn message(rng: &mut Rng) -> String {
    let mut chars: Vec<char> = rng.pick(&TEMPLATES).chars().collect();
    for _ in 0..rng.below(4) {
        let at = rng.below(chars.len() as u64 + 1) as usize;
        let c = chars.get(at).copied();
        match rng.below(8) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 => chars.insert(at, *rng.pick(&['0', '7', 'a', '_', ' ', '.', 'é', '\u{1}', '日', '²'])),
            2 | 3 if c.is_some_and(|c| c.is_ascii_digit()) => chars[at] = char::from(b'0' + rng.below(10) as u8),
            4 if c.is_some_and(char::is_alphabetic) => chars[at] = chars[at].to_ascii_uppercase(),
            5 => chars.extend(rng.pick(&[" ok", " 17", "x", "=1"]).chars()),
            _ => {}
        }
    }
    chars.into_iter().collect()
}

pub(crate) fn row(rng: &mut Rng, at: usize) -> Row {
    let mut fields = Vec::new();
    let mut add = |name: &'static str, sent: Sent| fields.push((name, sent));
    if !rng.one_in(12) {
        add("_msg", Sent::Text(message(rng)));
    }
    add("level", Sent::Text((*rng.pick(&LEVELS)).into()));
    if !rng.one_in(5) {
        add("k", Sent::Number((rng.below(40) as i64 - 5).to_string()));
    }
    match rng.below(7) {
        0 => add("mixed", Sent::Number(format!("{}.{}", rng.below(5), rng.below(100)))),
        1 => add("mixed", Sent::Bool(rng.one_in(2))),
        2 => add("mixed", Sent::Null),
        3 => add("mixed", Sent::Text(message(rng))),
        4 => add("mixed", Sent::Number(rng.below(9).to_string())),
        _ => {}
    }
    if rng.one_in(2) {
        add("hex", Sent::Text(format!("{:016x}", rng.below(6).wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    }
    add("host", Sent::Text((*rng.pick(&HOSTS)).into()));
    if rng.one_in(3) {
        add("o.n", Sent::Number(format!("{}e{}", 1 + rng.below(9), rng.below(3))));
    }
    if rng.one_in(2) {
        add("took", Sent::Text(format!("{}{}", rng.below(300), rng.pick(&["ms", "s", "KB", ""]))));
    }
    if rng.one_in(3) {
        add("flag", Sent::Bool(rng.one_in(3)));
    }
    match rng.below(8) {
        0 => add("service_name", Sent::Bool(true)),
        1 => {
            add("service_name", Sent::Text("shop".into()));
            add("service_name", Sent::Text("mail".into()));
        }
        2 => {}
        _ => add("service_name", Sent::Text((*rng.pick(&["shop", "mail", "7"])).into())),
    }
    add("rowno", Sent::Number(at.to_string()));
    // No two are the same, so that an order by time is one.
    let time = NOW - (rng.below(4 * 3_600) as i64) * SECOND - at as i64;
    Row { time, fields }
}

/// A piece of a text: a word, some words, or from anywhere to anywhere.
fn piece(rng: &mut Rng, rows: &[Row], field: &str) -> String {
    let row = rng.pick(rows);
    let text = row.fields.iter().find(|(name, _)| *name == field).map(|(_, sent)| sent.text()).unwrap_or_default();
    let chars: Vec<char> = text.chars().collect();
    if chars.is_empty() || rng.one_in(25) {
        return (*rng.pick(&["error", "x", "nowhere", "1"])).into();
    }
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    match rng.below(5) {
        0 | 1 if !words.is_empty() => (*rng.pick(&words)).into(),
        2 => text,
        _ => {
            let from = rng.below(chars.len() as u64) as usize;
            let len = 1 + rng.below(12.min((chars.len() - from) as u64)) as usize;
            chars[from..(from + len).min(chars.len())].iter().collect()
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

fn expression(rng: &mut Rng, rows: &[Row], field: &str) -> String {
    let escaped = |text: &str| {
        let mut out = String::new();
        for c in text.chars() {
            if r"\.+*?()|[]{}^$-/".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        out
    };
    let a = escaped(&piece(rng, rows, field));
    let b = escaped(&piece(rng, rows, field));
    match rng.below(9) {
        0 => a,
        1 => format!("{a}.*{b}"),
        2 => format!("^{a}"),
        3 => format!("{a}$"),
        4 => format!("(?i){a}"),
        5 => format!("({a}|{b})"),
        6 => format!(r"{a}[^ ]*\d+"),
        7 => format!(r"\b{a}\w+"),
        _ => format!(".*{a}.*"),
    }
}

fn test(rng: &mut Rng, rows: &[Row], field: &str) -> String {
    let text = piece(rng, rows, field);
    let more = piece(rng, rows, field);
    match rng.below(26) {
        24 => {
            let many: Vec<String> = (0..6 + rng.below(12)).map(|_| quoted(&piece(rng, rows, field))).collect();
            format!("contains_any({})", many.join(", "))
        }
        0..=3 => quoted(&text),
        4 | 5 => format!("{}*", quoted(&text)),
        6 => format!("i({})", quoted(&text.to_uppercase())),
        7 => format!("i({}*)", quoted(&text)),
        8 | 9 => format!("={}", quoted(&text)),
        10 => format!("={}*", quoted(&text)),
        11 => format!("in({}, {})", quoted(&text), quoted(&more)),
        12 => format!("contains_all({}, {})", quoted(&text), quoted(&more)),
        13 => format!("contains_any({}, {})", quoted(&text), quoted(&more)),
        14 => format!("seq({}, {})", quoted(&text), quoted(&more)),
        15..=17 => format!("~{}", quoted(&expression(rng, rows, field))),
        18 | 19 if !["k", "took", "mixed"].contains(&field) => quoted(&text),
        18 => format!("range({}, {}]", rng.below(20) as i64 - 6, rng.below(40)),
        19 => format!(">={}", rng.below(30) as i64 - 4),
        20 => format!("<{}", quoted(&text)),
        21 => format!("len_range({}, {})", rng.below(6), rng.below(60)),
        22 => (*rng.pick(&["*", "\"\"", "ipv4_range(10.0.0.0/8)", "value_type(none)"])).into(),
        _ => format!("string_range({}, {})", quoted(&text.clone().min(more.clone())), quoted(&text.max(more))),
    }
}

pub(crate) fn filter(rng: &mut Rng, rows: &[Row], depth: u32) -> String {
    match rng.below(if depth == 0 { 6 } else { 12 }) {
        6 => format!("!({})", filter(rng, rows, depth - 1)),
        7..=9 => format!("({} or {})", filter(rng, rows, depth - 1), filter(rng, rows, depth - 1)),
        10 => format!("({} {})", filter(rng, rows, depth - 1), filter(rng, rows, depth - 1)),
        11 => match rng.below(7) {
            5 => format!("service_name:={}", rng.pick(&["shop", "mail", "true", "7", "\"\""])),
            6 => "service_name:in(shop, true)".into(),
            0 => format!("_time:{}m", 1 + rng.below(240)),
            1 => format!("_time:<{}m", 1 + rng.below(240)),
            2 => "_time:2024-06-10T11Z".into(),
            3 => "k:le_field(rowno)".into(),
            _ => "_time:day_range[09:00, 11:30)".into(),
        },
        0..=2 => format!("_msg:{}", test(rng, rows, "_msg")),
        3 if rng.one_in(4) => many(rng, rows),
        _ => {
            let field = *rng.pick(&FIELDS);
            format!("{}:{}", field, test(rng, rows, field))
        }
    }
}

/// So many words and texts of one field that they are asked at once.
fn many(rng: &mut Rng, rows: &[Row]) -> String {
    let field = *rng.pick(&FIELDS);
    let way = rng.below(4);
    let one = |rng: &mut Rng| {
        let text = piece(rng, rows, field);
        match way {
            0 => format!("{field}:={}", quoted(&text)),
            1 => format!("{field}:i({})", quoted(&text.to_uppercase())),
            2 => format!("{field}:{}", test(rng, rows, field)),
            _ => format!("{field}:{}", quoted(&text)),
        }
    };
    let all: Vec<String> = (0..9 + rng.below(9)).map(|_| one(rng)).collect();
    format!("({})", all.join(" or "))
}

/// A pipe whose answer does not hang on the order of rows.
const PIPES: [&str; 26] = [
    "",
    "",
    "",
    " | stats count() n",
    " | stats by (level) count() n, count(k) m",
    " | stats by (level, host) count() n, sum(k) s",
    " | stats by (_time:1h) count() n",
    " | stats by (_time:7m offset 1m, level) count() n, count_uniq(k) u",
    " | stats by (k:10) count() n, max(k) x, min(k) y",
    " | stats count_uniq(k) u, count_uniq(level, host) v, quantile(0.5, k) q, avg(k) a",
    " | stats by (flag) count() if (level:=ERROR) n, uniq_values(level) v",
    " | stats sum_len(_msg) l, count_empty(hex) e, histogram(k) h",
    " | uniq by (level, host) with hits",
    " | uniq by (mixed)",
    " | top 3 by (rowno)",
    " | sort by (_time) desc | limit 7 | fields rowno",
    " | sort by (_time desc) offset 2 limit 3 | fields rowno, level",
    " | fields rowno, _time | sort by (_time) desc | limit 5",
    " | sort by (k, rowno) limit 5 | fields rowno, k",
    " | sort by (host, rowno) | offset 3 | limit 4",
    " | copy level as l | stats by (l) row_max(rowno, rowno) r",
    " | filter k:>3 | stats by (host) count() n",
    " | field_names",
    " | fields k, mixed, host | field_names",
    " | math k * 2 as d | stats sum(d) s",
    " | format '<level>-<k>' as f | uniq by (f)",
];

fn answer(query: &str, source: &dyn Source) -> Result<Vec<String>, String> {
    let query = parse(query).map_err(|fault| format!("{query}: {fault}"))?;
    let context = Context::new(source, Clock { now: NOW, zone: 0 }, Memory::new(1 << 30), Stop::default());
    let mut lines = Vec::new();
    run(&query, &context, &mut |block: Block| {
        lines.extend(canonical(&block));
        Ok(Flow::More)
    })
    .map_err(|e| e.to_string())?;
    lines.sort();
    Ok(lines)
}

/// Rows with their fields by name.
pub(crate) fn canonical(block: &Block) -> Vec<String> {
    let row = |row: usize| {
        let mut fields: Vec<String> = block.row(row).map(|(name, value)| format!("{name:?}={value:?}")).collect();
        fields.sort();
        fields.join(" ")
    };
    (0..block.rows()).map(row).filter(|line| !line.is_empty()).collect()
}

/// The rows, in everything that can have them.
struct Kept {
    plainly: Rows,
    loose: Vec<(Form, Box<dyn Source>)>,
    engine: Arc<Engine>,
}

fn show_time(time: i64) -> String {
    let query = "* | stats max(t) t | format '<time:t>' as t";
    let mut rows = Rows::default();
    rows.push([("t", time.to_string())]);
    let lines = answer(query, &rows.ended()).unwrap();
    lines[0].split('"').nth(3).unwrap().to_string()
}

fn kept(rng: &mut Rng, rows: &[Row], seed: u64) -> Kept {
    let mut plainly = Rows::default();
    let mut loose = [Form::Hot, Form::Sealed, Form::Plain].map(|form| (form, Loose::new(form)));
    let env = SimEnv::new(seed);
    env.set_now(NOW);
    let options = Options { scan_threads: Some(2), background: false, ..Options::new("/data") };
    let env: Arc<dyn Env> = Arc::new(env);
    let engine = Engine::open(env, options).unwrap();
    let mut builder = if rng.one_in(2) { BatchBuilder::new() } else { BatchBuilder::with_stream_fields(&["host"]) };
    let (seal_at, batch_rows) = (rng.below(rows.len() as u64) as usize, 1 + rng.below(rows.len() as u64) as usize);
    for (at, row) in rows.iter().enumerate() {
        let time = show_time(row.time);
        let texts = row.fields.iter().map(|(name, sent)| ((*name).to_string(), sent.text()));
        let texts: Vec<(String, String)> = texts.chain([("_time".to_string(), time)]).collect();
        plainly.push(texts.iter().map(|(name, text)| (name, text)));
        let object: serde_json::Map<String, serde_json::Value> =
            texts.into_iter().map(|(name, text)| (name, text.into())).collect();
        let line = serde_json::Value::Object(object).to_string();
        loose.iter_mut().for_each(|(_, loose)| assert!(loose.push_json(&line).unwrap(), "{line}"));
        push_row(&mut builder, row);
        if builder.rows() >= batch_rows || at + 1 == rows.len() || at == seal_at {
            engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
        }
        if at == seal_at {
            engine.seal().unwrap();
        }
    }
    let boxed = |(form, loose): (Form, Loose)| (form, Box::new(loose.ended().unwrap()) as Box<dyn Source>);
    Kept { plainly: plainly.ended(), loose: loose.into_iter().map(boxed).collect(), engine }
}

/// A row as it was sent.
pub(crate) fn push_row(builder: &mut BatchBuilder, row: &Row) {
    builder.begin_row();
    builder.time(row.time);
    for (name, sent) in &row.fields {
        match sent {
            Sent::Text(text) => builder.string(name, text),
            Sent::Number(text) => builder.number(name, text),
            Sent::Bool(value) => builder.bool(name, *value),
            Sent::Null => builder.null(name),
        }
    }
    builder.commit_row();
}

fn campaign(queries: usize, first_seed: u64) {
    let (mut put, mut telling) = (0, 0);
    let mut seed = first_seed;
    while put < queries {
        let mut rng = Rng::new(seed);
        let rows: Vec<Row> = {
            let most = if rng.one_in(4) { 900 } else { 90 };
            let n = 8 + rng.below(most) as usize;
            (0..n).map(|at| row(&mut rng, at)).collect()
        };
        let kept = kept(&mut rng, &rows, seed);
        for _ in 0..QUERIES.min(queries - put) {
            let filter = filter(&mut rng, &rows, 2);
            let query = format!("{filter}{}", rng.pick(&PIPES));
            let wanted = answer(&query, &kept.plainly).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            for (form, source) in &kept.loose {
                let found = answer(&query, &**source);
                assert_eq!(found.as_ref(), Ok(&wanted), "seed {seed}, {form:?}: {query}");
            }
            // What a row is made of beside what was sent is for other tests.
            let of_engine =
                format!("{query} | delete _id, _stream, _stream_id | filter !name:in(_id, _stream, _stream_id)");
            let mut found = Vec::new();
            let run = kept.engine.query(&parse(&of_engine).unwrap(), &QueryControl::default(), &mut |block: Block| {
                found.extend(canonical(&block));
                Ok(Flow::More)
            });
            run.unwrap();
            found.sort();
            assert_eq!(found, wanted, "seed {seed}, engine: {query}");
            let passing = answer(&format!("{filter} | fields rowno"), &kept.plainly).unwrap().len();
            telling += usize::from(passing > 0 && passing < rows.len());
            put += 1;
        }
        seed += 1;
    }
    println!("{put} queries, {telling} of them neither of no row nor of all");
    assert!(put < 200 || telling * 2 >= put, "{telling} of {put} queries tell rows apart");
}

/// An engine with three sealed segments of some rows each, of which the last is the newest, and a few rows in memory.
fn engine_of(options: Options) -> Arc<Engine> {
    engine_on(&SimEnv::new(7), options)
}

fn engine_on(env: &SimEnv, options: Options) -> Arc<Engine> {
    env.set_now(NOW);
    let engine = Engine::open(Arc::new(env.clone()), options).unwrap();
    let mut builder = BatchBuilder::new();
    for part in 0..4i64 {
        for at in 0..if part == 3 { 5 } else { 200 } {
            builder.begin_row();
            builder.time(NOW - (4 - part) * 3_600 * SECOND + at * SECOND);
            builder.string("service_name", if at % 2 == 0 { "shop" } else { "mail" });
            builder.string("level", if at % 3 == 0 { "warning" } else { "INFO" });
            builder.string("_msg", &format!("order {at} of part {part} shipped"));
            builder.int("k", at);
            builder.string("trace", &format!("{:016x}", part * 1_000 + at));
            builder.commit_row();
        }
        engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
        if part < 3 {
            engine.seal().unwrap();
        }
    }
    engine
}

pub(crate) fn options() -> Options {
    Options { scan_threads: Some(2), background: false, ..Options::new("/data") }
}

pub(crate) fn ask(engine: &Engine, query: &str, control: &QueryControl) -> Result<(Vec<String>, Answered), Error> {
    let mut lines = Vec::new();
    let answered = engine.query(&parse(query).unwrap(), control, &mut |block: Block| {
        lines.extend((0..block.rows()).map(|row| block.row_json(row)));
        Ok(Flow::More)
    })?;
    Ok((lines, answered))
}

#[test]
fn rows_of_an_engine_have_fields_that_are_made_of_what_they_are() {
    let engine = engine_of(options());
    let of = |query: &str| ask(&engine, query, &QueryControl::default()).unwrap().0;
    let row = of("k:=4 part:=none or \"order 4 of part 3\" | fields _time, _stream, service_name, _severity, k");
    let wanted = r#"{"_time":"2024-06-10T11:00:04Z","_stream":"{service_name=\"shop\"}","_severity":"INFO","service_name":"shop","k":"4"}"#;
    assert_eq!(row, [wanted]);
    assert_eq!(of("{service_name=shop} _time:61m | stats count() n"), [r#"{"n":"3"}"#]);
    assert_eq!(of("_severity:=WARN service_name:=mail | count() n"), [r#"{"n":"100"}"#]);
    let ids = of("_msg:\"order 7 of\" | stats count_uniq(_id) n, count_uniq(_stream_id) m");
    assert_eq!(ids, [r#"{"n":"3","m":"1"}"#]);
    assert_eq!(of("service_name:=nobody | count() n"), [r#"{"n":"0"}"#]);
    assert_eq!(of("_time:<1m _time:>2h | count() n"), [r#"{"n":"0"}"#]);
}

#[test]
fn a_row_is_found_by_its_id_and_by_all_of_it() {
    let engine = engine_of(options());
    let of = |query: &str| ask(&engine, query, &QueryControl { explain: true, ..QueryControl::default() }).unwrap();
    for (wanted, batches) in [("trace:=00000000000003ef", 0), ("_msg:=\"order 4 of part 3 shipped\"", 1)] {
        let (rows, _) = of(&format!("{wanted} | fields _id, _msg"));
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        let id = row.split('"').nth(3).unwrap();
        for query in [format!("_id:={id}"), format!("_id:{id}"), format!("_id:in(x, {id})"), format!("_id:\"{id}\"")] {
            let (found, answered) = of(&format!("{query} | fields _id, _msg"));
            assert_eq!(found, rows, "{query}");
            assert_eq!((answered.stats.blocks_read, answered.stats.blocks_considered), (1, 1), "{query}");
            let outline = answered.plans[0].outline;
            assert_eq!((outline.blocks + outline.batches, outline.batches), (1, batches), "{query}");
            assert_eq!(of(&format!("{query} | count() n")).0, [r#"{"n":"1"}"#], "{query}");
        }
        assert_eq!(of(&format!("!_id:={id} | count() n")).0, [r#"{"n":"604"}"#]);
        assert_eq!(of(&format!("_id:={id} or k:=4 | count() n")).0.len(), 1);
        assert_eq!(of(&format!("_id:={id} nowhere | count() n")).0, [r#"{"n":"0"}"#]);
        // The same number at another time is no row's id.
        let digit = if id.starts_with('0') { '1' } else { '0' };
        let other = format!("{digit}{}", &id[1..]);
        let upper = id.to_uppercase();
        for none in [format!("_id:={other}"), format!("_id:={upper}"), "_id:=x".into(), "_id:\"\"".into()] {
            assert_eq!(of(&format!("{none} | count() n")).0, [r#"{"n":"0"}"#], "{none}");
        }
    }
    let ids: Vec<String> = of("k:>=0 | fields _id").0.iter().map(|row| row.split('"').nth(3).unwrap().into()).collect();
    assert_eq!(of(&format!("_id:in({}) | count() n", ids.join(","))).0, [r#"{"n":"605"}"#]);
    let few: Vec<String> = ids.iter().step_by(7).map(|id| format!("_id:={id}")).collect();
    assert_eq!(of(&format!("({}) | count() n", few.join(" or "))).0, [format!("{{\"n\":\"{}\"}}", few.len())]);
}

#[test]
fn rows_in_memory_are_counted_by_shape_while_more_come() {
    let env = SimEnv::new(11);
    env.set_now(NOW);
    let engine = Engine::open(Arc::new(env), options()).unwrap();
    let of = |query: &str| ask(&engine, query, &QueryControl::default()).unwrap();
    let mut messages: Vec<String> = Vec::new();
    for turn in 0..6i64 {
        let mut builder = BatchBuilder::new();
        for at in 0..200 {
            let message = match at % 4 {
                0 => format!("order {at} of turn {turn} shipped"),
                1 => format!("word{} alone", (b'a' + turn as u8) as char),
                2 => format!("x{at}shipped{turn} again"),
                _ => format!("turn {} failed hard after {at}ms", "very ".repeat(turn as usize)),
            };
            builder.begin_row();
            builder.time(NOW - 3_600 * SECOND + (turn * 1_000 + at) * SECOND);
            builder.string("service_name", if at % 3 == 0 { "shop" } else { "mail" });
            builder.string("level", if at % 5 == 0 { "ERROR" } else { "INFO" });
            builder.string("_msg", &message);
            builder.commit_row();
            messages.push(message);
        }
        engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
        let counted = |passes: &dyn Fn(&str) -> bool| messages.iter().filter(|message| passes(message)).count();
        let words = |text: &str, word: &str| text.split(|c: char| !c.is_alphanumeric()).any(|own| own == word);
        let rows = [
            ("shipped", counted(&|text| words(text, "shipped")), 0),
            ("~\"ipped\"", counted(&|text| text.contains("ipped")), 1),
            ("~\"nowhere7\"", 0, 0),
            ("~\"failed hard .*after\"", counted(&|text| text.contains("failed hard ")), 0),
            ("\"after 7ms\"", counted(&|text| text.ends_with("after 7ms")), 1),
            ("\"after 777ms\"", 0, 0),
            ("!shipped", counted(&|text| !words(text, "shipped")), 0),
            ("=\"wordc alone\"", counted(&|text| text == "wordc alone"), 0),
            ("=\"order 4 of turn 2 shipped\"", counted(&|text| text == "order 4 of turn 2 shipped"), 1),
            ("wordb or wordc", counted(&|text| text == "wordb alone" || text == "wordc alone"), 1),
        ];
        for (filter, wanted, looks) in rows {
            let (found, answered) = of(&format!("_msg:{filter} | count() n"));
            assert_eq!(found, [format!("{{\"n\":\"{wanted}\"}}")], "turn {turn}: {filter}");
            let stats = answered.stats;
            assert_eq!(stats.texts_rebuilt, 0, "turn {turn}: {filter}");
            assert!(looks > 0 || stats.blocks_read == 0, "turn {turn}: {filter}: {stats:?}");
        }
        let shop = messages.len() / 200 * 67;
        assert_eq!(of("service_name:=shop | count() n").0, [format!("{{\"n\":\"{shop}\"}}")]);
        let (levels, answered) = of("* | stats by (level) count() n | sort by (level)");
        let (errors, others) = (messages.len() / 5, messages.len() / 5 * 4);
        let wanted = [
            format!("{{\"level\":\"ERROR\",\"n\":\"{errors}\"}}"),
            format!("{{\"level\":\"INFO\",\"n\":\"{others}\"}}"),
        ];
        assert_eq!((levels.as_slice(), answered.stats.texts_rebuilt), (wanted.as_slice(), 0));
    }
}

#[test]
fn what_a_query_that_has_gone_learned_holds_for_the_next() {
    let env = SimEnv::new(12);
    env.set_now(NOW);
    let engine = Engine::open(Arc::new(env), options()).unwrap();
    let append = |from: u8, to: u8| {
        let mut builder = BatchBuilder::new();
        for letter in from..to {
            builder.begin_row();
            builder.string("service_name", "shop");
            builder.string("_msg", &format!("shutting {} down", char::from(letter)));
            builder.commit_row();
        }
        engine.append(Append::new(builder.finish().unwrap(), Ack::Memory)).unwrap();
    };
    let count = |control: &QueryControl| ask(&engine, "_msg:~\"shut.*down\" | count() n", control).unwrap().0;
    append(b'a', b'c');
    let gone = QueryControl::default();
    assert_eq!(count(&gone), [r#"{"n":"2"}"#]);
    gone.control.cancel.cancel();
    // Each of these is a shape of its own, without variables.
    append(b'a', b'z' + 1);
    append(b'A', b'Z' + 1);
    assert_eq!(count(&QueryControl::default()), [r#"{"n":"54"}"#]);
}

#[test]
fn queries_look_at_no_more_than_they_have_to() {
    let engine = engine_of(options());
    let control = QueryControl { explain: true, ..QueryControl::default() };
    let of = |query: &str| ask(&engine, query, &control).unwrap();
    let (rows, newest) = of("* | sort by (_time) desc | limit 3 | fields k");
    assert_eq!(rows, [r#"{"k":"4"}"#, r#"{"k":"3"}"#, r#"{"k":"2"}"#]);
    assert_eq!(newest.stats.blocks_read, 1);
    let (rows, first) = of("shipped | limit 7");
    assert_eq!((rows.len(), first.stats.blocks_read), (7, 2));
    let (rows, counted) = of("shipped | count() n");
    assert_eq!((rows, counted.stats.texts_rebuilt), (vec![r#"{"n":"605"}"#.to_string()], 0));
    assert_eq!(counted.stats.value_bytes + counted.stats.row_bytes + counted.stats.code_bytes, 0);
    let (rows, by_level) = of("* | stats by (level) count() n | sort by (level)");
    assert_eq!(rows, [r#"{"level":"INFO","n":"402"}"#, r#"{"level":"warning","n":"203"}"#]);
    assert_eq!(by_level.stats.row_bytes + by_level.stats.code_bytes + by_level.stats.value_bytes, 0);
    let (_, hour) = of("_time:2h | count() n");
    let outline = hour.plans[0].outline;
    assert_eq!((outline.segments, outline.of_segments, outline.batches), (1, 3, 1));
    assert!(outline.bytes > 0 && outline.bytes < outline.of_bytes);
    let (_, nobody) = of("service_name:=nobody | stats by (k) count() n");
    let outline = nobody.plans[0].outline;
    assert_eq!((outline.blocks, outline.batches, outline.of_batches), (0, 0, 1));
    assert_eq!((nobody.stats.blocks_considered, nobody.stats.blocks_read), (0, 0));
    for query in ["* | uniq by (k) limit 2", "* | field_values k limit 2"] {
        let (rows, some) = of(query);
        assert_eq!((rows.len(), some.stats.blocks_read), (2, 1), "{query}");
    }
    assert_eq!(of("* | blocks_count n").0, [r#"{"n":"4"}"#]);
    assert_eq!(of("_time:2h | blocks_count n").0, [r#"{"n":"2"}"#]);
    let told = of("failed or ~\"pa.t\" k:in(k:3 | fields k) | fields k").1.plans;
    assert_eq!(told.len(), 2, "a subquery and the query around it");
    assert!(told[1].to_string().contains("_msg passes ~"), "{}", told[1]);
}

#[test]
fn streams_are_asked_and_not_their_rows() {
    let engine = engine_of(options());
    let control = QueryControl { explain: true, ..QueryControl::default() };
    let of = |query: &str| ask(&engine, query, &control).unwrap();
    let id =
        of("service_name:=mail | limit 1 | fields _stream_id").0[0][r#"{"_stream_id":""#.len()..].replace("\"}", "");
    for (by_stream, by_field) in [
        ("{service_name=shop}", "service_name:=shop"),
        ("{service_name=~\"sh.*|x\"}", "service_name:=shop"),
        ("{service_name!=shop}", "!service_name:=shop"),
        ("!{service_name in (shop,x)}", "service_name:=mail"),
        ("{service_name=shop or service_name=mail}", "*"),
        ("{service_name=x}", "service_name:=x"),
        (&format!("_stream_id:{id}"), "service_name:=mail"),
    ] {
        let (counted, answered) = of(&format!("{by_stream} | count() n"));
        assert_eq!(counted, of(&format!("{by_field} | count() n")).0, "{by_stream}");
        let stats = answered.stats;
        assert_eq!(stats.row_bytes + stats.code_bytes + stats.value_bytes, 0, "{by_stream}");
        for more in ["*", "(shipped or k:>150)"] {
            let rows = |filter: &str| of(&format!("{filter} {more} | sort by (_id) | fields _id, k")).0;
            assert_eq!(rows(by_stream), rows(by_field), "{by_stream} {more}");
        }
    }
    let (_, grouped) = of("{service_name=shop} | stats by (level) count() n");
    let plan = grouped.plans[0].to_string();
    assert!(plan.contains("the stream passes _stream:") && plan.contains("several threads"), "{plan}");
    assert!(!plan.contains("then asks"), "{plan}");
}

#[test]
fn what_a_query_did_read_is_what_the_machine_has_read() {
    let env = SimEnv::new(8);
    let engine = engine_on(&env, options());
    for query in
        ["~\"1.*t\"", "k:>150 | fields _time, k", "shipped | stats by (level) count()", "{service_name=mail}", TRACE]
    {
        let before = env.io_stats().bytes_read;
        let stats = ask(&engine, query, &QueryControl::default()).unwrap().1.stats;
        assert_eq!(stats.read_bytes(), env.io_stats().bytes_read - before, "{query}");
        assert_eq!(stats.segments_read > 0, stats.read_bytes() > 0, "{query}: {stats:?}");
    }
    // What was in memory is told apart: heads that are asked for again are read no more.
    let env = SimEnv::new(10);
    let engine = engine_on(&env, options());
    let ask_heads = |query: &str| {
        let before = env.io_stats().bytes_read;
        let (_, answered) = ask(&engine, query, &QueryControl { explain: true, ..QueryControl::default() }).unwrap();
        assert_eq!(answered.stats.read_bytes(), env.io_stats().bytes_read - before, "{query}");
        answered
    };
    let by_level = "shipped | stats by (level) count()";
    let (first, again) = (ask_heads(by_level), ask_heads(by_level));
    let outline = first.plans[0].outline;
    assert_eq!((first.stats.segments_read, outline.segments), (outline.segments, 3), "{first:?}");
    assert!(first.stats.head_bytes > 0 && again.stats.kept_head_bytes > first.stats.kept_head_bytes, "{again:?}");
    assert_eq!((again.stats.segments_read, again.stats.read_bytes()), (0, 0), "{again:?}");
    let one = ask_heads("_time:2h k:>150 | fields _time, k");
    assert!(one.stats.segments_read <= one.plans[0].outline.segments && one.plans[0].outline.segments == 1, "{one:?}");
    let told = again.explained(by_level, 2);
    for part in [
        "did read   0 bytes of 0 segments".to_string(),
        format!("in memory  {} bytes of heads, {} of pages", again.stats.kept_head_bytes, again.stats.kept_bytes),
        "would read 3 of 3 segments".into(),
    ] {
        assert!(told.contains(&part), "{part} is not in\n{told}");
    }
    // A value's index is read where the time leaves a block, and nowhere else.
    let engine = engine_on(&SimEnv::new(9), options());
    let read = |query: &str| {
        let (rows, answered) = ask(&engine, query, &QueryControl::default()).unwrap();
        (rows.len(), answered.stats.head_bytes)
    };
    let (found, bytes) = read(&format!("_time:2h {TRACE}"));
    assert_eq!(found, 0);
    let (found, more_bytes) = read(TRACE);
    assert_eq!(found, 1);
    assert!(0 < bytes && bytes < more_bytes, "{bytes} of {more_bytes}");
}

/// A row of the second segment.
const TRACE: &str = "trace:=00000000000003ef";

#[test]
fn queries_end_at_their_bounds() {
    let engine = engine_of(Options { queries_bytes_max: 2 << 20, ..options() });
    let fault = |query: &str, control: QueryControl| {
        let error = ask(&engine, query, &control).unwrap_err();
        (error.kind(), error.to_string())
    };
    let free = QueryControl::default;
    let of_bytes = |bytes| {
        let control = Control { bytes_max: Some(bytes), ..Control::default() };
        QueryControl { control, ..free() }
    };
    let (kind, told) = fault("* | sort by (_msg)", of_bytes(1_000));
    assert!(kind == ErrorKind::Budget && told.contains("query.max_memory"), "{told}");
    let (kind, told) = fault("*", QueryControl { duration_max: Some(Duration::ZERO), ..free() });
    assert!(kind == ErrorKind::OverTime && told.contains("query.max_duration"), "{told}");
    let gone = free();
    gone.control.cancel.cancel();
    assert_eq!(fault("* | count()", gone).0, ErrorKind::Cancelled);
    assert_eq!(fault("_msg:~\"1.*t\"", of_bytes(10)).0, ErrorKind::Budget);
    let taken = engine.query_memory();
    let (text, other) = (format!("a:in({})", "x,".repeat(10_000)), engine.query_memory());
    let (_query, held) = parse_within(&text, &taken).unwrap().unwrap();
    let error = parse_within(&text, &other).unwrap_err();
    assert!(error.kind() == ErrorKind::Busy && error.to_string().contains("query.max_total_memory"), "{error}");
    drop((held, taken));
    parse_within(&text, &other).unwrap().unwrap();
}

#[test]
fn a_query_runs_on_as_many_threads_as_it_may() {
    let engine = engine_of(Options { scan_threads: Some(4), ..options() });
    for threads in 0..4 {
        let query = format!("options(concurrency={threads}) * | stats by (level) count() n | sort by (level)");
        let plain = "* | stats by (level) count() n | sort by (level)";
        assert_eq!(
            ask(&engine, &query, &QueryControl::default()).unwrap().0,
            ask(&engine, plain, &QueryControl::default()).unwrap().0
        );
    }
}

#[test]
fn planned_queries_give_what_rows_give_one_by_one() {
    campaign(400, 1);
}

#[test]
#[ignore = "takes as long as it is told to"]
fn planned_queries_give_what_rows_give_one_by_one_at_length() {
    campaign(from_env("LOGYARD_QUERIES", 10_000) as usize, from_env("LOGYARD_SEED", 1_000_000));
}
