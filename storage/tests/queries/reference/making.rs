//! Filters made by chance, with needles out of the rows.
use super::expressions::Expression;
use super::numbers::{address, amount};
use super::rows::{FIELDS, World};
use super::texts::{small, words};
use super::times::TimeTest;
use super::tree::{Filter, Label, LabelTest, Limit, Relation, Test, Values};
use crate::chance::Rng;

/// What makes filters for some rows.
pub(super) struct Maker<'w> {
    pub(super) rng: &'w mut Rng,
    pub(super) world: &'w World,
}

impl Maker<'_> {
    /// A filter, within which others stand so deep.
    pub(super) fn filter(&mut self, depth: u32) -> Filter {
        match self.rng.below(if depth == 0 { 8 } else { 16 }) {
            8 => Filter::Not(Box::new(self.filter(depth - 1))),
            9..=11 => Filter::Or(self.parts(depth)),
            12 => Filter::And(self.parts(depth)),
            13 => self.of_one_field(),
            14 | 15 => self.odd(),
            0..=2 => Filter::Field("_msg".into(), self.test("_msg")),
            _ => {
                let field = *self.rng.pick(&FIELDS);
                Filter::Field(field.into(), self.test(field))
            }
        }
    }

    fn parts(&mut self, depth: u32) -> Vec<Filter> {
        (0..2 + self.rng.below(2)).map(|_| self.filter(depth - 1)).collect()
    }

    /// Filters that may share the name of their field; at times very many.
    fn of_one_field(&mut self) -> Filter {
        let field = *self.rng.pick(&FIELDS);
        let many = if self.rng.one_in(3) { 9 + self.rng.below(9) } else { 2 + self.rng.below(2) };
        let alike = self.rng.below(3);
        let mut parts: Vec<Filter> = Vec::new();
        for _ in 0..many {
            let test = match alike {
                0 => Test::Phrase(self.needle(field)),
                1 => Test::Exact(self.needle(field)),
                _ => self.test(field),
            };
            let part = Filter::Field(field.into(), test);
            parts.push(if self.rng.one_in(5) { Filter::Not(Box::new(part)) } else { part });
        }
        if self.rng.one_in(4) { Filter::And(parts) } else { Filter::Or(parts) }
    }

    fn odd(&mut self) -> Filter {
        match self.rng.below(8) {
            0 if self.rng.one_in(3) => Filter::All,
            0 | 1 => Filter::Stream(self.stream()),
            2 => {
                let pairs =
                    [("k", "n"), ("n", "k"), ("k", "rowno"), ("took", "k"), ("level", "user id"), ("mixed", "k")];
                let (field, other) = *self.rng.pick(&pairs);
                let relation = *self.rng.pick(&[Relation::Equal, Relation::LessOrEqual, Relation::Less]);
                Filter::Fields(field.into(), relation, other.into())
            }
            3 => {
                let of = *self.rng.pick(&["host", "rowno"]);
                let inner = self.filter(0);
                let passing = self.world.rows.iter().filter(|row| inner.passes(row, self.world));
                let texts = passing.map(|row| row.text(of).to_string()).collect();
                Filter::Field(of.into(), Test::In(Values { texts, asked: Some((Box::new(inner), of.into())) }))
            }
            _ => {
                let (time, other) = (self.time(), self.time());
                Filter::Time(TimeTest::any(self.rng, time, other))
            }
        }
    }

    fn time(&mut self) -> i64 {
        self.rng.pick(&self.world.rows).time
    }

    /// What some row has in a field.
    fn value(&mut self, field: &str) -> String {
        self.rng.pick(&self.world.rows).text(field).to_string()
    }

    /// A piece of what some row has in a field: a word, some words, all of it, or from anywhere to anywhere.
    fn needle(&mut self, field: &str) -> String {
        let text: Vec<char> = self.value(field).chars().collect();
        if text.is_empty() || self.rng.one_in(30) {
            return (*self.rng.pick(&["error", "x", "nowhere", "1", "o"])).into();
        }
        let words = words(&text);
        let at = self.rng.below(words.len().max(1) as u64) as usize;
        let (from, to) = match self.rng.below(6) {
            0 | 1 if !words.is_empty() => words[at],
            2 if !words.is_empty() => (words[at].0, words[(at + self.rng.below(3) as usize).min(words.len() - 1)].1),
            // A word without its end, or without its beginning.
            3 if !words.is_empty() && self.rng.one_in(2) => (words[at].0, (words[at].1 - 1).max(words[at].0 + 1)),
            4 => (0, text.len()),
            _ => {
                let from = self.rng.below(text.len() as u64) as usize;
                (from, (from + 1 + self.rng.below(12) as usize).min(text.len()))
            }
        };
        let needle: String = text[from..to].iter().collect();
        // A list of nothing but this, quoted or not, is any value, here as in VictoriaLogs.
        if needle == "*" { "x".into() } else { needle }
    }

    fn needles(&mut self, field: &str, most: u64) -> Vec<String> {
        (0..1 + self.rng.below(most)).map(|_| self.needle(field)).collect()
    }

    fn other_case(&mut self, text: &str) -> String {
        match self.rng.below(3) {
            0 => text.to_uppercase(),
            1 => text.to_lowercase(),
            _ => text.chars().map(|c| if self.rng.one_in(2) { c.to_ascii_uppercase() } else { c }).collect(),
        }
    }

    fn test(&mut self, field: &str) -> Test {
        if ["k", "n", "mixed", "took"].contains(&field) && self.rng.one_in(2) {
            return self.number_test(field);
        }
        if field == "peer" && self.rng.one_in(2) {
            return self.address_test();
        }
        match self.rng.below(28) {
            0..=4 => Test::Phrase(self.needle(field)),
            5 | 6 => Test::Prefix(self.needle(field)),
            7 | 8 => {
                let needle = self.needle(field);
                Test::AnyCase(self.other_case(&needle))
            }
            9 => {
                let needle = self.needle(field);
                Test::AnyCasePrefix(self.other_case(&needle))
            }
            10 | 11 => Test::Exact(if self.rng.one_in(3) { self.needle(field) } else { self.value(field) }),
            12 => Test::ExactPrefix(self.needle(field)),
            13 => {
                let texts = (0..1 + self.rng.below(4)).map(|_| self.value(field)).collect();
                Test::In(Values { texts, asked: None })
            }
            14 => Test::All(self.needles(field, 3)),
            15 if self.rng.one_in(3) => Test::Any(self.needles(field, 20)),
            15 => Test::Any(self.needles(field, 3)),
            16 | 17 => Test::Sequence(self.needles(field, 3)),
            18 => Test::Regexp(Expression::plain(&self.needle(field))),
            19..=21 => {
                let texts = self.needles(field, 2);
                Test::Regexp(Expression::around(self.rng, &texts))
            }
            22 => Test::Empty,
            23 => Test::Some,
            24 if field != "_msg" => {
                let needle = self.needle(field);
                // `INF` of `INFO` is a number without end.
                Test::Compared(self.sign(), if small(&needle) == "inf" { "x".into() } else { needle })
            }
            24 | 25 => {
                let (a, b) = (self.needle(field), self.needle(field));
                if a < b { Test::Texts(a, b) } else { Test::Texts(b, a) }
            }
            _ => self.length(field),
        }
    }

    fn sign(&mut self) -> &'static str {
        self.rng.pick::<&str>(&[">", ">=", "<", "<="])
    }

    fn length(&mut self, field: &str) -> Test {
        let one = self.value(field).chars().count() as u64;
        let other = self.value(field).chars().count() as u64;
        let (from, to) = (one.min(other), one.max(other));
        let said = |rng: &mut Rng, n: u64| match rng.below(5) {
            0 => format!("0x{n:x}"),
            1 => format!("0b{n:b}"),
            2 if n > 9 => format!("{}_{}", n / 10, n % 10),
            _ => n.to_string(),
        };
        if self.rng.one_in(4) {
            return Test::Length(format!("{}, inf", said(self.rng, to)), to, u64::MAX);
        }
        Test::Length(format!("{}, {}", said(self.rng, from), said(self.rng, to)), from, to)
    }

    /// A number as a field has it or as the language allows it to be written.
    fn number(&mut self, field: &str) -> String {
        let value = self.value(field);
        if amount(&value).is_some() && !self.rng.one_in(4) {
            return value;
        }
        let n = self.rng.below(40) as i64 - 5;
        match self.rng.below(6) {
            0 => format!("{n}.5"),
            1 => format!("{}{}", n.abs(), self.rng.pick(&["K", "KB", "Ki", "KiB", "M", "B"])),
            2 => format!("{}{}", n.abs(), self.rng.pick(&["ms", "s", "m", "h", "µs", "ns"])),
            3 => format!("{}m{}s", n.abs(), n.abs() + 1),
            4 => format!("1_{:03}", n.abs()),
            _ => n.to_string(),
        }
    }

    fn number_test(&mut self, field: &str) -> Test {
        let (a, b) = (self.number(field), self.number(field));
        if self.rng.one_in(2) {
            return Test::Compared(self.sign(), a);
        }
        let mut bounds = [a, b].map(|text| {
            let value = amount(&text).unwrap();
            Limit { text, included: self.rng.one_in(2), value }
        });
        bounds.sort_by(|a, b| a.value.total_cmp(&b.value));
        let [from, mut to] = bounds;
        if self.rng.one_in(5) {
            to = Limit { text: (*self.rng.pick(&["Inf", "inf"])).into(), included: to.included, value: f64::INFINITY };
        }
        Test::Range(from, to)
    }

    fn address_test(&mut self) -> Test {
        let base = address(&self.value("peer")).unwrap_or(0x0a00_0007);
        let shown = |address: u32| std::net::Ipv4Addr::from(address).to_string();
        match self.rng.below(4) {
            0 => Test::Compared(self.sign(), shown(base)),
            1 => Test::Ipv4(shown(base), base, base),
            2 => {
                let bits = *self.rng.pick(&[0, 8, 15, 16, 24, 25, 31, 32]);
                let hosts = u32::try_from((1u64 << (32 - bits)) - 1).unwrap();
                Test::Ipv4(format!("{}/{bits}", shown(base)), base & !hosts, base | hosts)
            }
            _ => {
                let to = base.saturating_add(self.rng.below(1 << 26) as u32);
                Test::Ipv4(format!("{}, {}", shown(base), shown(to)), base, to)
            }
        }
    }

    fn stream(&mut self) -> Vec<Vec<Label>> {
        let labels = |maker: &mut Self| (0..1 + maker.rng.below(2)).map(|_| maker.label()).collect();
        (0..1 + self.rng.below(2)).map(|_| labels(self)).collect()
    }

    fn label(&mut self) -> Label {
        let name = if self.rng.one_in(6) { "level" } else { *self.rng.pick(self.world.stream_fields) };
        let value = self.value(name);
        let values = vec![value.clone(), self.value(name)];
        let test = match self.rng.below(4) {
            0 => LabelTest::In(values),
            1 => {
                let pieces = vec![self.needle(name), value];
                LabelTest::Matches(Expression::whole(self.rng, &pieces))
            }
            _ => LabelTest::Is(value),
        };
        Label { name: name.into(), negated: self.rng.one_in(3), test }
    }
}
