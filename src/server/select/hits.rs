//! `/select/logsql/hits`: how many rows there are over time, by the values of some fields.
//!
//! Invariants
//! * A group has the buckets in which it has rows, in their order.
//! * Beyond `fields_limit` groups the smaller ones are one group without fields.
use super::asked::{Form, nanoseconds, step};
use super::whole::{Answering, answer, quoted};
use crate::server::Server;
use crate::server::error::ApiError;
use axum::extract::State;
use axum::response::Response;
use logyard_storage::query::Block;
use logyard_storage::record::push_json_string;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Fields that make groups.
const FIELDS_MAX: usize = 100;

/// The buckets of a group by their times as shown, and how many rows it has in all.
#[derive(Default)]
struct Group {
    buckets: Vec<(String, u64)>,
    total: u64,
}

impl Group {
    fn add(&mut self, time: String, hits: u64) {
        self.buckets.push((time, hits));
        self.total += hits;
    }
}

/// `/select/logsql/hits`
pub(in crate::server) async fn hits(State(server): State<Arc<Server>>, form: Form) -> Result<Response, ApiError> {
    answer(server, form, counted).await
}

fn counted(asked: &mut Answering<'_>) -> Result<String, ApiError> {
    let fields = fields(asked)?;
    let limit = asked.params.count("fields_limit", 0, usize::MAX)?;
    let (step, offset) = (step(asked.params)?, nanoseconds(asked.params, "offset", "0s")?);
    let by: String = fields.iter().map(|field| format!(", {}", quoted(field))).collect();
    let result = free_name(&fields);
    asked
        .pipe_all(&format!("stats by (_time:{step}ns offset {offset}ns{by}) count() as {result} | sort by (_time)"))?;
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    asked.each_row(|block, row| {
        let (time, key) = (block.column("_time").value(row).to_owned(), key(&fields, block, row));
        let bytes = time.len() + if groups.contains_key(&key) { 0 } else { 2 * key.len() };
        groups.entry(key).or_default().add(time, block.column(&result).value(row).parse().unwrap_or(0));
        Ok(bytes)
    })?;
    Ok(shown(if limit > 0 && groups.len() > limit { largest(groups, limit) } else { groups }))
}

fn fields(asked: &Answering<'_>) -> Result<Vec<String>, ApiError> {
    let mut fields: Vec<String> = Vec::new();
    for field in asked.params.all("field") {
        if field == "_time" {
            return Err(ApiError::bad("field cannot be _time: rows are grouped by it with step"));
        }
        if !fields.iter().any(|known| known == field) {
            fields.push(field.to_owned());
        }
    }
    if fields.len() > FIELDS_MAX {
        return Err(ApiError::bad(format!("more than {FIELDS_MAX} fields")));
    }
    Ok(fields)
}

/// A name that none of the fields has.
fn free_name(fields: &[String]) -> String {
    let mut name = String::from("hits");
    while fields.contains(&name) {
        name.push('s');
    }
    name
}

/// The fields of a group as JSON.
fn key(fields: &[String], block: &Block, row: usize) -> String {
    let mut out = String::from("{");
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_json_string(&mut out, field);
        out.push(':');
        push_json_string(&mut out, block.column(field).value(row));
    }
    out + "}"
}

/// The largest groups, and the others as one.
fn largest(groups: BTreeMap<String, Group>, limit: usize) -> BTreeMap<String, Group> {
    let mut sorted: Vec<(String, Group)> = groups.into_iter().collect();
    sorted.sort_by_key(|(_, group)| std::cmp::Reverse(group.total));
    let others = sorted.split_off(limit.min(sorted.len()));
    let mut buckets: BTreeMap<String, u64> = BTreeMap::new();
    for (time, hits) in others.into_iter().flat_map(|(_, group)| group.buckets) {
        *buckets.entry(time).or_default() += hits;
    }
    let mut rest = Group::default();
    // Times as shown are in their order, but for fractions of a second.
    let mut buckets: Vec<(String, u64)> = buckets.into_iter().collect();
    buckets.sort_by(|(a, _), (b, _)| a.trim_end_matches('Z').cmp(b.trim_end_matches('Z')));
    buckets.into_iter().for_each(|(time, hits)| rest.add(time, hits));
    sorted.push(("{}".into(), rest));
    sorted.into_iter().collect()
}

fn shown(groups: BTreeMap<String, Group>) -> String {
    let mut out = String::from("{\"hits\":[");
    for (at, (key, group)) in groups.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let times: Vec<String> = group.buckets.iter().map(|(time, _)| format!("\"{time}\"")).collect();
        let hits: Vec<String> = group.buckets.iter().map(|(_, hits)| hits.to_string()).collect();
        // Writing to a string cannot fail.
        let _infallible = write!(
            out,
            "{comma}{{\"fields\":{key},\"timestamps\":[{}],\"values\":[{}],\"total\":{}}}",
            times.join(","),
            hits.join(","),
            group.total
        );
    }
    out + "]}"
}
