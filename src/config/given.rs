//! What was given from every side: flag over environment over file over default.
//!
//! Invariants
//! * Every fault is collected, none ends the reading; a secret is in none of them.
//! * A variable that is empty is not set. One that begins with `LOGYARD_` and is not known is warned about.
use super::file::Entries;
use super::readers::{Raw, Reader};
use super::settings::SECTIONS;
use super::table::{dotted, flag, variable};
use std::collections::BTreeMap;
use std::fs;

/// Variables that are no settings of a server: of the program, of clients, of `query --from`, and of tests.
pub(super) const OTHER_VARIABLES: &[&str] = &[
    "LOGYARD_CONFIG",
    "LOGYARD_URL",
    "LOGYARD_API_KEY",
    "LOGYARD_STATE",
    "LOGYARD_FROM",
    "LOGYARD_VECTORS",
    "LOGYARD_SEED",
    "LOGYARD_KILLS",
    "LOGYARD_LIVE",
    "LOGYARD_QUERIES",
    "LOGYARD_HOSTILE",
    "LOGYARD_FUZZ_SECONDS",
];

/// What was given, and what is wrong with it.
#[derive(Default)]
pub(super) struct Given {
    /// By flag, without dashes.
    pub(super) flags: BTreeMap<String, String>,
    /// Variables by name.
    pub(super) env: BTreeMap<String, String>,
    pub(super) file: Entries,
    pub(super) file_name: String,
    pub(super) faults: Vec<String>,
}

/// A value, and what it was called where it came from.
struct Found {
    value: Raw,
    place: String,
}

impl Given {
    /// The value of a setting, or nothing where it is wrong.
    pub(super) fn take<T>(&mut self, section: &str, key: &str, default: &str, reader: &Reader<T>) -> Option<T> {
        let found = if reader.is_secret { self.secret(section, key)? } else { self.found(section, key) };
        let bug = || Found::new(Raw::Text(default.into()), format!("BUG: the default of {}", dotted(section, key)));
        let Found { value, place } = found.unwrap_or_else(bug);
        let read = (reader.read)(&value);
        if read.is_none() {
            let is = if reader.is_secret { "is wrong".into() } else { format!("is `{}`", without_user(&value)) };
            self.faults.push(format!("{place} {is}, and has to be {}", (reader.what)()));
        }
        read
    }

    /// The value of a setting that is no secret, where one was given and is right, whatever else is wrong. Nothing is told of it.
    pub(super) fn peek<T>(&self, section: &str, key: &str, reader: &Reader<T>) -> Option<T> {
        self.found(section, key).and_then(|found| (reader.read)(&found.value))
    }

    /// Whether anything was given of a setting, in whichever form.
    pub(super) fn has(&self, section: &str, key: &str) -> bool {
        let forms = ["", "_env", "_file"].map(|form| format!("{key}{form}"));
        forms.iter().any(|key| self.found(section, key).is_some())
    }

    /// Where the file has a section of which there may be several: the file and the line, to begin a fault with.
    pub(super) fn line_of(&self, section: &str) -> Option<String> {
        let entry = self.file.get(&(section.to_owned(), String::new()))?;
        Some(format!("{}, line {}: ", self.file_name, entry.line))
    }

    /// What was given of a setting, from the side that goes first.
    fn found(&self, section: &str, key: &str) -> Option<Found> {
        let flag = flag(section, key);
        let by_flag = self.flags.get(&flag).map(|text| Found::new(Raw::Text(text.clone()), format!("--{flag}")));
        by_flag.or_else(|| self.in_env(section, key)).or_else(|| self.in_file(section, key))
    }

    fn in_env(&self, section: &str, key: &str) -> Option<Found> {
        let name = variable(section, key);
        self.env.get(&name).map(|text| Found::new(Raw::Text(text.clone()), name))
    }

    fn in_file(&self, section: &str, key: &str) -> Option<Found> {
        let entry = self.file.get(&(section.into(), key.into()))?;
        let place = format!("{}, line {}: {}", self.file_name, entry.line, dotted(section, key));
        Some(Found::new(entry.value.clone(), place))
    }

    /// A secret: itself, or by the variable or the file that has it. Nothing where that is wrong.
    fn secret(&mut self, section: &str, key: &str) -> Option<Option<Found>> {
        // The environment goes first, in whichever form it has the secret.
        for side in [Self::in_env, Self::in_file] {
            let [itself, by_env, by_file] =
                ["", "_env", "_file"].map(|form| side(self, section, &format!("{key}{form}")));
            match (itself, by_env, by_file) {
                (None, None, None) => {}
                (Some(found), None, None) => return Some(Some(found)),
                (None, Some(found), None) => return self.of_variable(found).map(Some),
                (None, None, Some(found)) => return self.of_file(found).map(Some),
                (first, second, third) => {
                    let places = [first, second, third].into_iter().flatten().map(|found| found.place);
                    let places: Vec<String> = places.collect();
                    self.faults.push(format!("{} say the same; say one of them", places.join(" and ")));
                    return None;
                }
            }
        }
        Some(None)
    }

    fn of_variable(&mut self, found: Found) -> Option<Found> {
        let name = found.value.to_string();
        if let Some(text) = self.env.get(&name) {
            return Some(Found::new(Raw::Text(text.clone()), found.place));
        }
        // Who wrote the secret itself there does not want to see it in a log.
        let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let named = if is_name { name } else { "what it says".into() };
        self.faults.push(format!("{} has to name a variable, and {named} is not set", found.place));
        None
    }

    fn of_file(&mut self, found: Found) -> Option<Found> {
        match fs::read_to_string(found.value.to_string()) {
            // To take another secret, because there is none here, would be a guess.
            Ok(text) if text.trim_end().is_empty() => {
                self.faults.push(format!("{} names the file {}, which is empty", found.place, found.value));
                None
            }
            Ok(text) => Some(Found::new(Raw::Text(text.trim_end().to_owned()), found.place)),
            Err(e) => {
                self.faults.push(format!("{} names the file {}, which cannot be read: {e}", found.place, found.value));
                None
            }
        }
    }
}

impl Found {
    fn new(value: Raw, place: String) -> Self {
        Self { value, place }
    }
}

/// A value without the user and the password that an address may have in it.
fn without_user(value: &Raw) -> String {
    let text = value.to_string();
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (_, host))) => format!("{scheme}://...@{host}"),
        None => text,
    }
}

/// A warning for each variable that looks like a setting and is none.
pub(super) fn unknown_variables<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut known: Vec<String> = OTHER_VARIABLES.iter().map(|&name| name.to_owned()).collect();
    for section in SECTIONS {
        for row in section.rows {
            let name = variable(section.name, row.key);
            if row.is_secret {
                known.extend([format!("{name}_ENV"), format!("{name}_FILE")]);
            }
            known.push(name);
        }
    }
    let unknown = names.filter(|name| name.starts_with("LOGYARD_") && !known.contains(name));
    unknown.map(|name| format!("{name} is no setting, and ignored")).collect()
}
