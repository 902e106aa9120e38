//! Which logs a connection wants: those of any of its subscriptions.
//!
//! Invariants
//! * There are at most [`SUBSCRIPTIONS_MAX`] with [`QUERIES_BYTES_MAX`] of LogsQL in all.
//! * Logs of Logyard itself are left out of what names neither a service nor a query, as on all of the API's reads.
use super::said::Asked;
use crate::ingest::log::usual_level;
use crate::server::error::ApiError;
use crate::server::own;
use logyard_storage::limits::KIB;
use logyard_storage::query::fault::At;
use logyard_storage::query::filter::{FieldTest, Filter, Test, Values};
use logyard_storage::query::tree::Options;
use logyard_storage::query::{Query, parse};

/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 32;
/// The queries of all subscriptions of one connection.
const QUERIES_BYTES_MAX: usize = 16 * KIB;

/// The subscriptions of a connection, by their names.
#[derive(Clone, Default)]
pub(super) struct Wanted(Vec<Subscribed>);

#[derive(Clone)]
struct Subscribed {
    name: String,
    filter: Filter,
    query_bytes: usize,
}

impl Wanted {
    /// These and another one, which takes the place of the one of its name.
    pub(super) fn with(&self, asked: &Asked) -> Result<Self, ApiError> {
        let mut wanted = self.without(Some(&asked.name));
        let query_bytes = asked.query.as_ref().map_or(0, String::len);
        wanted.0.push(Subscribed { name: asked.name.clone(), filter: filter(asked)?, query_bytes });
        if wanted.0.len() > SUBSCRIPTIONS_MAX {
            let error = format!("a connection has at most {SUBSCRIPTIONS_MAX} subscriptions; end one, or open another");
            return Err(ApiError::bad(error));
        }
        if wanted.0.iter().map(|subscribed| subscribed.query_bytes).sum::<usize>() > QUERIES_BYTES_MAX {
            let most = QUERIES_BYTES_MAX / KIB;
            return Err(ApiError::bad(format!("the queries of a connection have at most {most} KiB together")));
        }
        Ok(wanted)
    }

    /// These but for the one of a name, or for all.
    pub(super) fn without(&self, name: Option<&str>) -> Self {
        let stays = |subscribed: &&Subscribed| name.is_some_and(|name| subscribed.name != name);
        Self(self.0.iter().filter(stays).cloned().collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What logs have to be.
    pub(super) fn filter(&self) -> Filter {
        let mut parts = Vec::new();
        for Subscribed { filter, .. } in &self.0 {
            match filter.clone() {
                Filter::All => return Filter::All,
                Filter::Or(inner) => parts.extend(inner),
                other => parts.push(other),
            }
        }
        joined(parts, Filter::Or)
    }

    /// What logs have to be for the last of them.
    pub(super) fn last(&self) -> Filter {
        self.0.last().map_or(Filter::All, |subscribed| subscribed.filter.clone())
    }
}

/// What logs have to be for a subscription.
fn filter(asked: &Asked) -> Result<Filter, ApiError> {
    let mut parts = Vec::new();
    if let Some(service) = &asked.service {
        parts.push(field("service_name", Test::Exact(service.clone())));
    } else if asked.query.is_none() {
        parts.push(Filter::Not(Box::new(field("service_name", Test::Exact(own::SERVICE.into())))));
    }
    if let Some(level) = &asked.level {
        parts.push(field("level", level_test(level)));
    }
    if let Some(text) = &asked.query {
        match parsed(text)? {
            Filter::All => {}
            Filter::And(inner) => parts.extend(inner),
            other => parts.push(other),
        }
    }
    Ok(joined(parts, Filter::And))
}

fn parsed(text: &str) -> Result<Filter, ApiError> {
    let Query { filter, pipes, options } = parse(text)?;
    if pipes.is_empty() && options == Options::default() {
        return Ok(filter);
    }
    Err(ApiError::bad("data.query must be a filter, without pipes and options"))
}

/// The level as it was sent, or as the API's own ingest would have stored it.
fn level_test(level: &str) -> Test {
    match usual_level(level) {
        Some(usual) if usual != level => Test::In(Values::List(vec![level.into(), usual.into()])),
        _ => Test::Exact(level.into()),
    }
}

fn field(name: &str, test: Test) -> Filter {
    Filter::Field(FieldTest { at: At::default(), field: name.into(), test })
}

fn joined(mut parts: Vec<Filter>, of: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.len() {
        0 => Filter::All,
        1 => parts.pop().unwrap_or(Filter::All),
        _ => of(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::query::Start;

    fn asked(name: &str, service: &str, level: &str, query: &str) -> Asked {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let (service, level, query) = (some(service), some(level), some(query));
        Asked { name: name.into(), service, level, query, start: Start::Now }
    }

    #[test]
    fn subscriptions_are_joined_and_each_is_what_it_says() {
        let same = |wanted: &Wanted, text: &str| {
            assert_eq!(wanted.filter().to_string(), parse(text).unwrap().filter.to_string());
        };
        let wanted = Wanted::default().with(&asked("", "", "", "")).unwrap();
        same(&wanted, "!service_name:=logyard");
        let wanted = wanted.with(&asked("", "a", "warning", "x or y")).unwrap();
        same(&wanted, "service_name:=a level:in(warning,WARN) (x or y)");
        let wanted = wanted.with(&asked("more", "", "ERROR", "z z")).unwrap();
        same(&wanted, "(service_name:=a level:in(warning,WARN) (x or y)) or (level:=ERROR z z)");
        assert_eq!(wanted.last().to_string(), parse("level:=ERROR z z").unwrap().filter.to_string());
        same(&wanted.without(Some("")), "level:=ERROR z z");
        assert_eq!((wanted.without(None).len(), wanted.without(Some("nobody")).len()), (0, 2));
        same(&wanted.with(&asked("all", "", "", "*")).unwrap(), "*");
    }

    #[test]
    fn there_are_only_so_many_and_only_filters() {
        let mut wanted = Wanted::default();
        for number in 0..SUBSCRIPTIONS_MAX {
            wanted = wanted.with(&asked(&number.to_string(), "a", "", "")).unwrap();
        }
        assert!(wanted.with(&asked("one more", "a", "", "")).is_err());
        assert!(wanted.with(&asked("7", "b", "", "")).is_ok());
        let long = "x ".repeat(QUERIES_BYTES_MAX / 2 + 1);
        assert!(Wanted::default().with(&asked("", "", "", &long)).is_err());
        for wrong in ["* | limit 1", "(", "options(concurrency=1) *"] {
            assert!(Wanted::default().with(&asked("", "", "", wrong)).is_err(), "{wrong}");
        }
    }
}
