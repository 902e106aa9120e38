//! Log records to measure with, the same for the same seed: like real systems' logs, but made by a grammar.
//!
//! * [`Reference`]: 16 services, some 180 templates each, messages with numbers, addresses and ids, six fields.
//! * [`Nested`]: 300 services by Zipf, 60 nested fields of which 20 are rare, 5 % multi-line texts, a tenth late.
//! * [`FreeText`]: ten words out of 10,000, with nothing that repeats but the words.
//!
//! Invariants
//! * A record depends on the seed and on those before it, on no clock and no machine.
use logyard_storage::batch::BatchBuilder;
use logyard_storage::record::push_json_string;
use std::fmt::Write as _;
use std::sync::Arc;

/// When the first record happened, milliseconds since 1970.
const START_MS: u64 = 1_780_000_000_000;
const SERVICES: usize = 16;
const TEMPLATES: usize = 181;
/// Ready lines of a service, of which a record takes one and changes a third of its digits.
const LINES: usize = 2_000;

/// Splitmix64.
pub(crate) struct Chance(u64);

impl Chance {
    /// The numbers of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.any()) * bound as u128) >> 64) as usize
    }

    /// One of these.
    pub(crate) fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.any(), self.any());
        format!("{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}", a >> 32, a & 0xFFFF, a >> 52, b >> 52, b & 0xFFFF_FFFF_FFFF)
    }
}

/// Draws the numbers below `n` with weights 1, 1/2, 1/3, ...
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let weights = (1..=n).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(weights.collect())
    }

    fn draw(&self, chance: &mut Chance) -> usize {
        let at = chance.any() as f64 / u64::MAX as f64 * self.0[self.0.len() - 1];
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

/// Where records go, field by field, in the form of the API's log.
pub(crate) trait Sink {
    /// A record begins.
    fn begin(&mut self, millis: u64, service: &str, level: &str, message: &str);
    /// Into a nested object.
    fn enter(&mut self, name: &str);
    /// Out of it.
    fn leave(&mut self);
    /// A string.
    fn string(&mut self, name: &str, value: &str);
    /// A number or boolean, as it is spelled.
    fn bare(&mut self, name: &str, value: &str);
    /// The record ends.
    fn end(&mut self);
}

/// Something that makes records.
pub(crate) trait Source {
    /// Makes the next one.
    fn next(&mut self, sink: &mut dyn Sink);
}

/// Records as JSON lines.
#[derive(Default)]
pub(crate) struct JsonLines {
    /// The lines so far.
    pub(crate) text: String,
}

impl JsonLines {
    fn name(&mut self, name: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        push_json_string(&mut self.text, name);
        self.text.push(':');
    }
}

impl Sink for JsonLines {
    fn begin(&mut self, millis: u64, service: &str, level: &str, message: &str) {
        self.text.push('{');
        self.bare("timestamp", &millis.to_string());
        self.string("service_name", service);
        self.string("level", level);
        self.string("message", message);
    }

    fn enter(&mut self, name: &str) {
        self.name(name);
        self.text.push('{');
    }

    fn leave(&mut self) {
        self.text.push('}');
    }

    fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        push_json_string(&mut self.text, value);
    }

    fn bare(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.push_str(value);
    }

    fn end(&mut self) {
        self.text.push_str("}\n");
    }
}

impl Sink for BatchBuilder {
    fn begin(&mut self, millis: u64, service: &str, level: &str, message: &str) {
        self.begin_row();
        self.time(millis as i64 * 1_000_000);
        self.string("service_name", service);
        self.string("level", level);
        self.string("_msg", message);
    }

    fn enter(&mut self, name: &str) {
        self.enter(name);
    }

    fn leave(&mut self) {
        self.leave();
    }

    fn string(&mut self, name: &str, value: &str) {
        self.string(name, value);
    }

    fn bare(&mut self, name: &str, value: &str) {
        match value {
            "true" | "false" => self.bool(name, value == "true"),
            _ => self.number(name, value),
        }
    }

    fn end(&mut self) {
        self.string("source_type", "http");
        self.commit_row();
    }
}

/// Words of letters alone, all different.
fn words(n: usize, chance: &mut Chance) -> Vec<String> {
    let (heads, cores) = (["", "b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v"], "aeiou");
    let mut all = std::collections::BTreeSet::new();
    while all.len() < n {
        let mut word = String::new();
        for _ in 0..2 + chance.below(3) {
            word.push_str(chance.of(&heads));
            word.push(cores.as_bytes()[chance.below(5)] as char);
        }
        all.insert(word);
    }
    let mut all: Vec<String> = all.into_iter().collect();
    for at in (1..all.len()).rev() {
        all.swap(at, chance.below(at + 1));
    }
    all
}

fn level(chance: &mut Chance) -> &'static str {
    match chance.below(100) {
        0..70 => "INFO",
        70..85 => "DEBUG",
        85..94 => "WARN",
        94..99 => "ERROR",
        _ => "CRITICAL",
    }
}

const VERBS: [&str; 12] = [
    "Received",
    "Starting",
    "Closed",
    "failed",
    "Attempting",
    "Registered",
    "Served",
    "Deleting",
    "Verified",
    "waiting",
    "Invalid",
    "retrying",
];
const NOUNS: [&str; 14] = [
    "connection",
    "request",
    "block",
    "session",
    "password",
    "packet",
    "volume",
    "container",
    "job",
    "claim",
    "memory",
    "user",
    "channel",
    "task",
];
const JOINTS: [&str; 10] = ["for", "from", "to", "of", "in", "at", "with", "by", "on", "after"];

/// One more piece of a template: a word, or something that is different in each line.
fn push_piece(line: &mut String, kind: usize, words: &[String], chance: &mut Chance) {
    // Writing to a string cannot fail.
    let _infallible = match kind {
        0 => write!(line, "{}", chance.below(100_000)),
        1 => write!(line, "10.{}.{}.{}", chance.below(256), chance.below(256), chance.below(256)),
        2 => write!(line, "10.251.{}.{}:{}", chance.below(256), chance.below(256), 1_024 + chance.below(60_000)),
        3 => write!(line, "0x{:08x}", chance.any() as u32),
        4 => write!(line, "blk_{}", chance.any() >> 2),
        5 => write!(line, "{}={}", words[chance.below(words.len())], chance.below(10_000)),
        6 => write!(line, "{}ms", chance.below(5_000)),
        7 => write!(line, "/{}/part-{:05}", words[chance.below(words.len())], chance.below(400)),
        8 => write!(line, "[{}]", chance.below(32_768)),
        _ => write!(line, "{}", words[chance.below(words.len())]),
    };
}

/// The kinds of a template's pieces, and a seed for the words in it.
fn template(chance: &mut Chance) -> (Vec<usize>, u64) {
    let pieces = 3 + chance.below(9);
    ((0..pieces).map(|_| chance.below(24)).collect(), chance.any())
}

/// A template filled in.
fn line((kinds, seed): &(Vec<usize>, u64), words: &[String], chance: &mut Chance) -> String {
    let mut fixed = Chance::new(*seed);
    let mut line = format!("{} {} {}", fixed.of(&VERBS), fixed.of(&NOUNS), fixed.of(&NOUNS));
    for kind in kinds {
        line.push_str(fixed.of(&[" ", " ", " ", ": ", ", "]));
        match kind {
            0..9 => push_piece(&mut line, *kind, &words[..4], chance),
            9..14 => line.push_str(fixed.of(&JOINTS)),
            _ => push_piece(&mut line, *kind, words, &mut fixed),
        }
    }
    line
}

/// The reference workload's like.
pub(crate) struct Reference {
    chance: Chance,
    lines: Arc<[(String, Vec<String>)]>,
    row: u64,
    message: String,
}

impl Reference {
    /// Records of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let vocabulary = words(600, &mut chance);
        let popular = Zipf::new(TEMPLATES);
        let lines = (0..SERVICES).map(|service| {
            let templates: Vec<_> = (0..TEMPLATES).map(|_| template(&mut chance)).collect();
            // Each template has a line; the popular ones have most.
            let lines = (0..LINES).map(|n| {
                let number = if n < TEMPLATES { n } else { popular.draw(&mut chance) };
                line(&templates[number], &vocabulary, &mut chance)
            });
            (vocabulary[service].clone(), lines.collect())
        });
        let lines = lines.collect();
        Self { chance, lines, row: 0, message: String::new() }
    }

    /// Other records out of the same lines.
    pub(crate) fn with_seed(&self, seed: u64) -> Self {
        Self { chance: Chance::new(seed), lines: Arc::clone(&self.lines), row: 0, message: String::new() }
    }
}

impl Source for Reference {
    fn next(&mut self, sink: &mut dyn Sink) {
        let chance = &mut self.chance;
        let (service, lines) = &self.lines[chance.below(SERVICES)];
        self.message.clear();
        for c in lines[chance.below(LINES)].chars() {
            let changes = c.is_ascii_digit() && chance.below(3) == 0;
            self.message.push(if changes { (b'0' + chance.below(10) as u8) as char } else { c });
        }
        let millis = START_MS + self.row * 17 + chance.below(2_000) as u64;
        self.row += 1;
        sink.begin(millis, service, level(chance), &self.message);
        sink.enter("metadata");
        sink.string("trace_id", &format!("{:016x}{:016x}", chance.any(), chance.any()));
        sink.string("host", &format!("host-{:02}", chance.below(40)));
        sink.bare("user_id", &chance.below(100_000).to_string());
        sink.bare("duration_ms", &(1 + chance.below(4_999)).to_string());
        sink.bare("status", chance.of(&["200", "200", "200", "201", "204", "301", "404", "500", "502"]));
        sink.string("region", chance.of(&["us-east-1", "eu-west-1", "ap-south-1", "weur", "enam"]));
        sink.leave();
        sink.end();
    }
}

/// What a nested field holds.
#[derive(Clone, Copy)]
enum Kind {
    /// One of so many words.
    Word(usize),
    /// A first name and a family name.
    Person,
    Uuid,
    Hex,
    Int(usize),
    Float,
    Bool,
    Path,
}

/// Objects with their fields; these are in every record.
const COMMON: [(&str, &[(&str, Kind)]); 6] = [
    (
        "http",
        &[
            ("method", Kind::Word(5)),
            ("path", Kind::Path),
            ("status", Kind::Int(600)),
            ("bytes", Kind::Int(1_000_000)),
            ("ms", Kind::Float),
            ("host", Kind::Word(30)),
            ("agent", Kind::Word(200)),
            ("cached", Kind::Bool),
        ],
    ),
    (
        "user",
        &[
            ("name", Kind::Person),
            ("id", Kind::Uuid),
            ("plan", Kind::Word(4)),
            ("country", Kind::Word(60)),
            ("team", Kind::Word(500)),
            ("admin", Kind::Bool),
        ],
    ),
    (
        "k8s",
        &[
            ("namespace", Kind::Word(20)),
            ("pod", Kind::Word(900)),
            ("container", Kind::Word(300)),
            ("node", Kind::Word(50)),
            ("image", Kind::Path),
            ("restarts", Kind::Int(4)),
            ("zone", Kind::Word(3)),
        ],
    ),
    (
        "trace",
        &[
            ("id", Kind::Uuid),
            ("span", Kind::Hex),
            ("parent", Kind::Hex),
            ("sampled", Kind::Bool),
            ("depth", Kind::Int(12)),
            ("ms", Kind::Float),
        ],
    ),
    (
        "db",
        &[
            ("table", Kind::Word(80)),
            ("rows", Kind::Int(5_000)),
            ("ms", Kind::Float),
            ("pool", Kind::Word(6)),
            ("replica", Kind::Int(5)),
            ("retries", Kind::Int(3)),
        ],
    ),
    (
        "build",
        &[
            ("version", Kind::Word(12)),
            ("sha", Kind::Hex),
            ("branch", Kind::Word(7)),
            ("debug", Kind::Bool),
            ("workers", Kind::Int(64)),
            ("heap", Kind::Int(1 << 30)),
            ("load", Kind::Float),
        ],
    ),
];

/// These are in one of fifty records each.
const RARE: [(&str, &[(&str, Kind)]); 2] = [
    (
        "error",
        &[
            ("kind", Kind::Word(40)),
            ("code", Kind::Int(900)),
            ("file", Kind::Path),
            ("line", Kind::Int(3_000)),
            ("retry", Kind::Bool),
            ("cause", Kind::Word(200)),
            ("id", Kind::Uuid),
            ("owner", Kind::Person),
            ("score", Kind::Float),
            ("class", Kind::Word(9)),
        ],
    ),
    (
        "payment",
        &[
            ("id", Kind::Uuid),
            ("amount", Kind::Float),
            ("currency", Kind::Word(8)),
            ("card", Kind::Hex),
            ("merchant", Kind::Word(400)),
            ("buyer", Kind::Person),
            ("attempt", Kind::Int(5)),
            ("refunded", Kind::Bool),
            ("region", Kind::Word(9)),
            ("points", Kind::Int(100_000)),
        ],
    ),
];

/// The set that nobody tunes on.
pub(crate) struct Nested {
    chance: Chance,
    words: Vec<String>,
    services: Zipf,
    templates: Vec<(Vec<usize>, u64)>,
    row: u64,
}

impl Nested {
    /// Records of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let words = words(1_000, &mut chance);
        let templates = (0..3_000).map(|_| template(&mut chance)).collect();
        Self { chance, words, services: Zipf::new(300), templates, row: 0 }
    }

    fn field(&mut self, sink: &mut dyn Sink, name: &str, kind: Kind) {
        let (chance, words) = (&mut self.chance, &self.words);
        match kind {
            Kind::Word(n) => sink.string(name, &words[chance.below(n)]),
            Kind::Person => {
                sink.string(name, &format!("{} {}", words[chance.below(1_000)], words[chance.below(1_000)]))
            }
            Kind::Uuid => sink.string(name, &chance.uuid()),
            Kind::Hex => sink.string(name, &format!("{:016x}", chance.any())),
            Kind::Int(n) => sink.bare(name, &chance.below(n).to_string()),
            Kind::Float => sink.bare(name, &format!("{}.{:02}", chance.below(900), chance.below(100))),
            Kind::Bool => sink.bare(name, if chance.below(10) == 0 { "true" } else { "false" }),
            Kind::Path => {
                let (a, b) = (&words[chance.below(40)], &words[chance.below(25)]);
                sink.string(name, &format!("/{a}/{b}/{}", chance.below(10_000)));
            }
        }
    }

    fn message(&mut self, service: usize) -> String {
        let number = service * 10 + self.chance.below(10);
        let mut message = line(&self.templates[number], &self.words, &mut self.chance);
        if self.chance.below(20) == 0 {
            for _ in 0..3 + self.chance.below(12) {
                let (place, number) = (self.chance.below(1_000), self.chance.below(2_000));
                // Writing to a string cannot fail.
                let _infallible = write!(message, "\n\tat {}.run(line {number})", self.words[place]);
            }
        }
        message
    }
}

impl Source for Nested {
    fn next(&mut self, sink: &mut dyn Sink) {
        let service = self.services.draw(&mut self.chance);
        let late = if self.chance.below(10) == 0 { self.chance.below(3_600_000) as u64 } else { 0 };
        let message = self.message(service);
        let level = level(&mut self.chance);
        sink.begin(START_MS + self.row * 23 - late, &format!("{}-{service}", self.words[service]), level, &message);
        self.row += 1;
        sink.enter("metadata");
        for (object, fields) in COMMON {
            sink.enter(object);
            for (name, kind) in fields {
                self.field(sink, name, *kind);
            }
            sink.leave();
        }
        for (object, fields) in RARE {
            let present: Vec<_> = fields.iter().filter(|_| self.chance.below(50) == 0).collect();
            if !present.is_empty() {
                sink.enter(object);
                present.iter().for_each(|(name, kind)| self.field(sink, name, *kind));
                sink.leave();
            }
        }
        sink.leave();
        sink.end();
    }
}

/// Texts without shapes.
pub(crate) struct FreeText {
    chance: Chance,
    words: Vec<String>,
    zipf: Option<Zipf>,
    row: u64,
}

impl FreeText {
    /// Texts of a seed, their words drawn evenly or by Zipf.
    pub(crate) fn new(seed: u64, by_zipf: bool) -> Self {
        let mut chance = Chance::new(seed);
        let words = words(10_000, &mut chance);
        Self { chance, zipf: by_zipf.then(|| Zipf::new(words.len())), words, row: 0 }
    }

    /// The next text.
    pub(crate) fn text(&mut self) -> String {
        let mut text = String::new();
        for n in 0..10 {
            let word = match &self.zipf {
                Some(zipf) => zipf.draw(&mut self.chance),
                None => self.chance.below(self.words.len()),
            };
            if n > 0 {
                text.push(' ');
            }
            text.push_str(&self.words[word]);
        }
        text
    }
}

impl Source for FreeText {
    fn next(&mut self, sink: &mut dyn Sink) {
        let text = self.text();
        sink.begin(START_MS + self.row, "text", "INFO", &text);
        self.row += 1;
        sink.end();
    }
}
