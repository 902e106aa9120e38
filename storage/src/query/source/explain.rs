//! What a scan was asked for and what its footers leave of everything there is, for people.
//!
//! Invariants
//! * Only footers and what batches say of their times are looked at; no block is read.
use super::Stored;
use crate::query::filter::push::Pushed;
use crate::query::run::Request;
use crate::query::value::timestamp::show_timestamp;
use crate::scan::filter::{Filter, Test};
use crate::scan::{Outline, Search};
use std::fmt;

/// How one scan of a query goes about it.
#[derive(Clone, Debug)]
pub struct ScanPlan {
    /// What the scan answers by shapes, indexes and columns.
    pub scanned: String,
    /// The fields that the rest of the filter looks at, in the rows that the scan finds.
    pub looked_at: Vec<String>,
    /// The fields that are read of rows that pass, or patterns of them.
    pub fields: String,
    /// The only services that can have such rows.
    pub services: Option<Vec<String>>,
    /// The first and the last nanosecond.
    pub times: (i64, i64),
    /// In which way rows are handed on.
    pub way: &'static str,
    /// What times and services leave to be looked at.
    pub outline: Outline,
}

impl ScanPlan {
    pub(super) fn of(
        stored: &Stored<'_>,
        request: &Request<'_>,
        pushed: &Pushed<'_>,
        search: &Search,
        way: &'static str,
    ) -> Self {
        Self {
            scanned: show(&search.filter),
            looked_at: pushed.fields(),
            fields: request.needed.to_string(),
            services: pushed.services.clone(),
            times: pushed.times,
            way,
            outline: stored.snapshot.outline(search),
        }
    }
}

fn show(filter: &Filter) -> String {
    let all = |parts: &[Filter], with: &str| parts.iter().map(show).collect::<Vec<_>>().join(with);
    match filter {
        Filter::All => "every row".into(),
        Filter::And(parts) => format!("({})", all(parts, " and ")),
        Filter::Or(parts) => format!("({})", all(parts, " or ")),
        Filter::Not(part) => format!("not {}", show(part)),
        Filter::Ids(ids) => match ids.as_slice() {
            [one] => format!("_id is {one}"),
            ids => format!("_id is one of {}", ids.len()),
        },
        Filter::Numbers(n) => format!("the number is {} to {} of epoch {}", n.first, n.last, n.epoch),
        Filter::Streams(asked) => format!("the stream passes {}", asked.question().key()),
        Filter::Field(name, test) => match test {
            Test::Exact(exact) => format!("{name} is {:?}", exact.text()),
            Test::Phrase(phrase) => {
                let (kind, case) = (if phrase.goes_on() { "prefix" } else { "phrase" }, phrase.any_case());
                format!("{name} has the {kind} {:?}{}", phrase.text(), if case { " in any case" } else { "" })
            }
            Test::Substring(part) => format!("{name} has {part:?} anywhere"),
            Test::Any => format!("{name} is there"),
            Test::Asked(asked) => format!("{name} passes {}", asked.question().key()),
        },
    }
}

impl fmt::Display for ScanPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scan       {}", self.scanned)?;
        if !self.looked_at.is_empty() {
            writeln!(f, "then asks  {}", self.looked_at.join(", "))?;
        }
        if let Some(services) = &self.services {
            writeln!(f, "services   {}", services.join(", "))?;
        }
        let time = |time: i64| match time {
            i64::MIN => "the beginning".into(),
            i64::MAX => "the end".into(),
            time => show_timestamp(time),
        };
        writeln!(f, "times      from {} to {}", time(self.times.0), time(self.times.1))?;
        writeln!(f, "fields     {}", self.fields)?;
        writeln!(f, "rows       {}", self.way)?;
        let Outline { segments, blocks, batches, bytes, of_segments, of_blocks, of_batches, of_bytes, .. } =
            self.outline;
        writeln!(
            f,
            "would read {segments} of {of_segments} segments, {blocks} of {of_blocks} blocks, {batches} of {of_batches} batches"
        )?;
        write!(f, "           of these, which have {bytes} of {of_bytes} bytes, what is looked at")?;
        let Outline { far_segments, gets, far_bytes, .. } = self.outline;
        if far_segments == 0 {
            return Ok(());
        }
        write!(
            f,
            "\nwould fetch at most {far_bytes} bytes by {gets} requests, of {far_segments} segments in the archive"
        )
    }
}
