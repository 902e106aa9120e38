//! Names and values, and how many rows have each: of fields, of streams, and of the fields of streams.
//!
//! Invariants
//! * The most frequent come first, of equal ones the least.
//! * With a `limit` there are no more than that. Where there would be, hits are 0: they were not counted to their end.
//! * With a `filter` there are only those that have this text in them.
use super::asked::Form;
use super::whole::{Answering, answer, quoted};
use crate::server::Server;
use crate::server::error::ApiError;
use axum::extract::State;
use axum::response::Response;
use logyard_storage::query::escape_regexp;
use logyard_storage::record::push_json_string;
use serde_json::Deserializer;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// A value, and how many rows have it.
type Hits = (String, u64);

/// `/select/logsql/field_names`
pub(in crate::server) async fn field_names(
    State(server): State<Arc<Server>>,
    form: Form,
) -> Result<Response, ApiError> {
    answer(server, form, |asked| {
        asked.pipe_all("field_names")?;
        let mut hits = counted(asked, "name")?;
        hits.retain(|(name, _)| name.contains(part(asked)));
        Ok(shown(few(hits, limit(asked)?)))
    })
    .await
}

/// `/select/logsql/field_values`
pub(in crate::server) async fn field_values(
    State(server): State<Arc<Server>>,
    form: Form,
) -> Result<Response, ApiError> {
    answer(server, form, |asked| {
        let field = field(asked)?.to_owned();
        Ok(shown(values(asked, &field)?))
    })
    .await
}

/// `/select/logsql/streams`
pub(in crate::server) async fn streams(State(server): State<Arc<Server>>, form: Form) -> Result<Response, ApiError> {
    answer(server, form, |asked| Ok(shown(values(asked, "_stream")?))).await
}

/// `/select/logsql/stream_ids`
pub(in crate::server) async fn stream_ids(State(server): State<Arc<Server>>, form: Form) -> Result<Response, ApiError> {
    answer(server, form, |asked| Ok(shown(values(asked, "_stream_id")?))).await
}

/// `/select/logsql/stream_field_names`
pub(in crate::server) async fn stream_field_names(
    State(server): State<Arc<Server>>,
    form: Form,
) -> Result<Response, ApiError> {
    answer(server, form, |asked| {
        let (part, limit) = (part(asked).to_owned(), limit(asked)?);
        let hits = of_streams(asked, |name, _| Some(name).filter(|name| name.contains(&part)))?;
        Ok(shown(few(hits, limit)))
    })
    .await
}

/// `/select/logsql/stream_field_values`
pub(in crate::server) async fn stream_field_values(
    State(server): State<Arc<Server>>,
    form: Form,
) -> Result<Response, ApiError> {
    answer(server, form, |asked| {
        let (wanted, part, limit) = (field(asked)?.to_owned(), part(asked).to_owned(), limit(asked)?);
        let hits = of_streams(asked, |name, value| (name == wanted && value.contains(&part)).then_some(value))?;
        Ok(shown(few(hits, limit)))
    })
    .await
}

fn field<'a>(asked: &Answering<'a>) -> Result<&'a str, ApiError> {
    asked.params.get("field").ok_or_else(|| ApiError::bad("field is missing: name the field whose values are wanted"))
}

fn limit(asked: &Answering<'_>) -> Result<usize, ApiError> {
    asked.params.count("limit", 0, usize::MAX)
}

/// What values have to have in them.
fn part<'a>(asked: &Answering<'a>) -> &'a str {
    asked.params.get("filter").unwrap_or_default()
}

/// No more than so many, of which it is not said then how many rows have them.
fn few(mut hits: Vec<Hits>, limit: usize) -> Vec<Hits> {
    if limit > 0 && hits.len() > limit {
        sort(&mut hits);
        hits.truncate(limit);
        hits.iter_mut().for_each(|(_, hits)| *hits = 0);
    }
    hits
}

/// The values of a field.
fn values(asked: &mut Answering<'_>, field: &str) -> Result<Vec<Hits>, ApiError> {
    let limit = match limit(asked)? {
        0 => String::new(),
        limit => format!(" limit {limit}"),
    };
    let wanted = match part(asked) {
        "" => String::new(),
        part => format!("filter {}:~{} | ", quoted(field), quoted(&escape_regexp(part))),
    };
    asked.pipe_all(&format!("{wanted}field_values {}{limit}", quoted(field)))?;
    counted(asked, field)
}

/// The values of a column, beside which is the column of how many rows have each.
fn counted(asked: &mut Answering<'_>, column: &str) -> Result<Vec<Hits>, ApiError> {
    let mut found = Vec::new();
    let hits = if column == "hits" { "hitss" } else { "hits" };
    asked.each_row(|block, row| {
        let value = block.column(column).value(row).to_owned();
        let bytes = value.len();
        found.push((value, block.column(hits).value(row).parse().unwrap_or(0)));
        Ok(bytes)
    })?;
    Ok(found)
}

/// What is wanted of the fields of the streams.
fn of_streams(
    asked: &mut Answering<'_>,
    wanted: impl Fn(String, String) -> Option<String>,
) -> Result<Vec<Hits>, ApiError> {
    asked.pipe_all("field_values _stream")?;
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for (stream, hits) in counted(asked, "_stream")? {
        for text in fields_of(&stream).into_iter().filter_map(|(name, value)| wanted(name, value)) {
            *found.entry(text).or_default() += hits;
        }
    }
    Ok(found.into_iter().collect())
}

/// The fields of a stream, `{name="value",...}`.
fn fields_of(stream: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = stream.strip_prefix('{').unwrap_or_default();
    while let Some((name, value)) = rest.split_once('=') {
        let mut values = Deserializer::from_str(value).into_iter::<String>();
        let Some(Ok(text)) = values.next() else { break };
        fields.push((name.to_owned(), text));
        rest = value.get(values.byte_offset()..).unwrap_or_default().trim_start_matches(',');
    }
    fields
}

fn sort(hits: &mut [Hits]) {
    hits.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

fn shown(mut hits: Vec<Hits>) -> String {
    sort(&mut hits);
    let mut out = String::from("{\"values\":[");
    for (at, (value, hits)) in hits.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"value\":" } else { "{\"value\":" });
        push_json_string(&mut out, value);
        // Writing to a string cannot fail.
        let _infallible = write!(out, ",\"hits\":{hits}}}");
    }
    out + "]}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_read_as_they_are_shown() {
        let fields = |stream: &str| -> Vec<String> {
            fields_of(stream).into_iter().map(|(name, value)| format!("{name}|{value}")).collect()
        };
        assert_eq!(fields("{}"), [""; 0]);
        assert_eq!(fields(r#"{a="1",b.c="x,\"y\"=}\n"}"#), ["a|1", "b.c|x,\"y\"=}\n"]);
        assert_eq!(fields(r#"{a="1",b=2}"#), ["a|1"]);
        assert_eq!(fields(""), [""; 0]);
    }
}
