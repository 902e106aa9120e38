//! The configuration file: TOML, into texts by section and key.
//!
//! Invariants
//! * A key that no setting has is a fault, which names it and its line.
//! * All faults of a file are found at once.
use super::archive::{self, numbered};
use super::readers::Raw;
use super::settings::SECTIONS;
use super::table::{Row, SectionTable, dotted};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Sections of what Logyard will have and has not yet.
const LATER: [(&str, &str); 1] = [("job", "jobs and pollers")];
/// Sections of which there may be several.
const LISTS: [&str; 1] = [archive::SECTION];

/// A value of a file, and where it stands.
pub(super) struct Entry {
    pub(super) value: Raw,
    pub(super) line: usize,
}

/// The values of a file by section and key.
pub(super) type Entries = BTreeMap<(String, String), Entry>;

/// What a file says.
pub(super) fn read(name: &str, text: &str) -> (Entries, Vec<String>) {
    let mut file = File { name, text, entries: BTreeMap::new(), faults: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        file.fault(error.span().unwrap_or_default(), error.message());
    }
    // What could be read of a file with wrong lines says nothing about keys.
    if file.faults.is_empty() {
        file.top(table.get_ref());
    }
    (file.entries, file.faults)
}

struct File<'a> {
    name: &'a str,
    text: &'a str,
    entries: Entries,
    faults: Vec<String>,
}

impl File<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
    }

    fn fault(&mut self, span: Range<usize>, what: &str) {
        self.faults.push(format!("{}, line {}: {what}", self.name, self.line(&span)));
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            if let Some((_, what)) = LATER.iter().find(|(later, _)| *later == name) {
                self.fault(key.span(), &format!("[[{name}]] is not there yet: {what} will be part of a later version"));
                continue;
            }
            let section = SECTIONS.iter().find(|section| section.name == name && !name.is_empty());
            match (section, value.get_ref()) {
                (Some(section), DeValue::Table(table)) if LISTS.contains(&section.name) => {
                    self.listed(section, section.name.to_owned(), key.span(), table);
                }
                (Some(section), DeValue::Array(items)) if LISTS.contains(&section.name) => {
                    self.list(section, items);
                }
                (Some(section), DeValue::Table(table)) => self.section(section, section.name, table),
                (Some(_), _) => self.fault(value.span(), &format!("`{name}` has to be a section, as in [{name}]")),
                (None, DeValue::Table(_) | DeValue::Array(_)) if !is_setting("", name) => {
                    let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).skip(1).collect();
                    self.fault(key.span(), &format!("unknown section `{name}`; there are {}", known.join(", ")));
                }
                (None, _) => {
                    if let Some(top) = SECTIONS.first() {
                        self.entry(top, "", key, value);
                    }
                }
            }
        }
    }

    /// The sections of a list: the first by its own name.
    fn list(&mut self, section: &SectionTable, items: &[Spanned<DeValue<'_>>]) {
        for (number, item) in items.iter().enumerate() {
            let kept_as = if number == 0 { section.name.to_owned() } else { numbered(number) };
            match item.get_ref() {
                DeValue::Table(table) => self.listed(section, kept_as, item.span(), table),
                _ => self.fault(item.span(), &format!("`{0}` has to be sections, as in [[{0}]]", section.name)),
            }
        }
    }

    /// A section of a list, of which is known also where it begins.
    fn listed(&mut self, section: &SectionTable, kept_as: String, span: Range<usize>, table: &DeTable<'_>) {
        let begin = Entry { value: Raw::Text(String::new()), line: self.line(&span) };
        self.entries.insert((kept_as.clone(), String::new()), begin);
        self.section(section, &kept_as, table);
    }

    fn section(&mut self, section: &SectionTable, kept_as: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            self.entry(section, kept_as, key, value);
        }
    }

    fn entry(
        &mut self,
        section: &SectionTable,
        kept_as: &str,
        key: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name: &str = key.get_ref();
        if !is_setting(section.name, name) {
            let known: Vec<&str> = section.rows.iter().map(|row| row.key).collect();
            let known = if known.is_empty() { "no keys yet".into() } else { known.join(", ") };
            let place = match section.name {
                "" => "the top".into(),
                name if LISTS.contains(&name) => format!("[[{name}]]"),
                name => format!("[{name}]"),
            };
            return self
                .fault(key.span(), &format!("unknown key `{}`; {place} has {known}", dotted(section.name, name)));
        }
        match raw(value.get_ref()) {
            Some(raw) => {
                let line = self.line(&key.span());
                self.entries.insert((kept_as.into(), name.into()), Entry { value: raw, line });
            }
            None => self.fault(value.span(), &format!("`{}` has to be a value or a list", dotted(section.name, name))),
        }
    }
}

/// Whether a section has such a key.
fn is_setting(section: &str, key: &str) -> bool {
    let rows = SECTIONS.iter().filter(|table| table.name == section).flat_map(|table| table.rows);
    let is_it = |row: &Row| match key.strip_prefix(row.key) {
        Some("") => true,
        Some("_env" | "_file") => row.is_secret,
        _ => false,
    };
    rows.into_iter().any(is_it)
}

/// A value as a text, or a list of such.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    match value {
        DeValue::Array(items) => items.iter().map(|item| scalar(item.get_ref())).collect::<Option<_>>().map(Raw::List),
        value => scalar(value).map(Raw::Text),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(is_so) => Some(is_so.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_section_and_key_with_their_lines() {
        let (entries, faults) = read("f", "data = \"d\"\n\n[query]\nmax_tails = 0x10\nmax_wait = '1s'\n");
        assert!(faults.is_empty(), "{faults:?}");
        let of = |section: &str, key: &str| {
            let entry = &entries[&(section.to_owned(), key.to_owned())];
            (entry.value.clone(), entry.line)
        };
        assert_eq!(of("", "data"), (Raw::Text("d".into()), 1));
        assert_eq!(of("query", "max_tails"), (Raw::Text("16".into()), 4));
        assert_eq!(of("query", "max_wait"), (Raw::Text("1s".into()), 5));
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "dada = 1\nquery = 5\n[retention]\nttl = 3\ndisk_budget = { a = 1 }\n[nothing]\n[[archive]]\nplace = 1\n[[job]]\n[wal]\n";
        let (_, faults) = read("logyard.toml", text);
        for told in [
            "logyard.toml, line 1: unknown key `dada`; the top has data,",
            "line 2: `query` has to be a section",
            "line 4: unknown key `retention.ttl`; [retention] has default_ttl_days,",
            "line 5: `retention.disk_budget` has to be a value",
            "line 6: unknown section `nothing`; there are server,",
            "line 8: unknown key `archive.place`; [[archive]] has name, target,",
            "line 9: [[job]] is not there yet",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:#?}");
        }
        assert_eq!(faults.len(), 7, "{faults:#?}");
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let (_, faults) = read("f", "data = \"a\"\nlisten 5\n");
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.starts_with("f, line 2: ")), "{faults:?}");
    }
}
