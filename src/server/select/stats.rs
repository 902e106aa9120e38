//! `/select/logsql/stats_query` and `stats_query_range`: what `stats` gives, as Prometheus answers its queries.
//!
//! Invariants
//! * Over a range, every `stats` groups by the buckets of time too, what is sorted with a limit is so within each bucket, and
//!   rates are for a second of a bucket.
//! * Errors have Prometheus' fields beside those of every error.
use super::asked::{Form, nanoseconds, step};
use super::labels::labels;
use super::whole::{Answering, answer, pipes, quoted};
use crate::server::Server;
use crate::server::error::ApiError;
use axum::extract::State;
use axum::response::Response;
use logyard_storage::query::pipe::{Pipe, Sort, Stats};
use logyard_storage::query::stats::Function;
use logyard_storage::query::{Block, time_span};
use logyard_storage::record::push_json_string;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// `/select/logsql/stats_query`
pub(in crate::server) async fn stats_query(
    State(server): State<Arc<Server>>,
    form: Result<Form, ApiError>,
) -> Result<Response, ApiError> {
    match form {
        Ok(form) => answer(server, form, at_once).await,
        Err(e) => Err(e),
    }
    .map_err(ApiError::for_prometheus)
}

/// `/select/logsql/stats_query_range`
pub(in crate::server) async fn stats_query_range(
    State(server): State<Arc<Server>>,
    form: Result<Form, ApiError>,
) -> Result<Response, ApiError> {
    match form {
        Ok(form) => answer(server, form, over_time).await,
        Err(e) => Err(e),
    }
    .map_err(ApiError::for_prometheus)
}

fn at_once(asked: &mut Answering<'_>) -> Result<String, ApiError> {
    let (labels, time) = (labels(&asked.query)?, seconds(asked.moment));
    let mut out = String::from(r#"{"status":"success","data":{"resultType":"vector","result":["#);
    let mut comma = "";
    asked.each_row(|block, row| {
        let before = out.len();
        for column in block.columns().iter().filter(|column| !labels.iter().any(|label| label == column.name())) {
            out.push_str(comma);
            comma = ",";
            out.push_str(&metric(column.name(), &labels, block, row));
            // Writing to a string cannot fail.
            let _infallible = write!(out, ",\"value\":[{time},");
            push_json_string(&mut out, column.value(row));
            out.push_str("]}");
        }
        Ok(out.len() - before)
    })?;
    Ok(out + "]}}")
}

/// A series: its metric as JSON, and its points by time.
struct Series {
    metric: String,
    points: Vec<(i64, String)>,
}

fn over_time(asked: &mut Answering<'_>) -> Result<String, ApiError> {
    let (step, offset) = (step(asked.params)?, nanoseconds(asked.params, "offset", "0s")?);
    // The buckets are no label, but no pipe may lose them.
    group_by_time(&mut asked.query.pipes, step, offset)?;
    let mut labels = labels(&asked.query)?;
    labels.retain(|label| label != "_time");
    rates_by_step(&mut asked.query.pipes, step)?;
    let moment = asked.moment;
    let mut all: BTreeMap<String, Series> = BTreeMap::new();
    asked.each_row(|block, row| {
        let time = time_span(block.column("_time").value(row), moment).map_or(moment, |(first, _)| first);
        let is_metric = |name: &str| name != "_time" && !labels.iter().any(|label| label == name);
        let mut bytes = 0;
        for column in block.columns().iter().filter(|column| is_metric(column.name())) {
            let metric = metric(column.name(), &labels, block, row);
            let value = column.value(row).to_owned();
            bytes += value.len() + if all.contains_key(&metric) { 0 } else { 2 * metric.len() };
            let series =
                all.entry(metric).or_insert_with_key(|metric| Series { metric: metric.clone(), points: vec![] });
            series.points.push((time, value));
        }
        Ok(bytes)
    })?;
    Ok(matrix(all.into_values()))
}

fn matrix(all: impl Iterator<Item = Series>) -> String {
    let mut out = String::from(r#"{"status":"success","data":{"resultType":"matrix","result":["#);
    for (at, Series { metric, mut points }) in all.enumerate() {
        points.sort_by_key(|(time, _)| *time);
        out.push_str(if at > 0 { "," } else { "" });
        out.push_str(&metric);
        out.push_str(",\"values\":[");
        for (at, (time, value)) in points.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _infallible = write!(out, "{comma}[{},", seconds(*time));
            push_json_string(&mut out, value);
            out.push(']');
        }
        out.push_str("]}");
    }
    out + "]}}"
}

/// The beginning of a result: a metric, its name and its labels.
fn metric(name: &str, labels: &[String], block: &Block, row: usize) -> String {
    let mut out = String::from("{\"metric\":{\"__name__\":");
    push_json_string(&mut out, name);
    for label in labels {
        out.push(',');
        push_json_string(&mut out, label);
        out.push(':');
        push_json_string(&mut out, block.column(label).value(row));
    }
    out.push('}');
    out
}

/// A time in seconds, as Prometheus has it.
fn seconds(time: i64) -> f64 {
    time as f64 / 1e9
}

/// Makes every `stats` group by buckets of time too.
fn group_by_time(all: &mut [Pipe], step: i64, offset: i64) -> Result<(), ApiError> {
    let bucket = match pipes(&format!("stats by (_time:{step}ns offset {offset}ns) count() as n"))?.pop() {
        Some(Pipe::Stats(Stats { by, .. })) => by,
        _ => Vec::new(),
    };
    let mut is_grouped = false;
    for pipe in all {
        match pipe {
            Pipe::Stats(stats) => {
                stats.by.retain(|by| by.field != "_time");
                stats.by.splice(0..0, bucket.iter().cloned());
                if let Some(named) = stats.functions.iter().find(|named| named.result == "_time") {
                    return Err(ApiError::bad(format!("{} cannot be called _time", named.function)));
                }
                is_grouped = true;
            }
            Pipe::Sort(sort) if is_grouped => sort_by_time(sort),
            Pipe::First(first) if is_grouped => sort_by_time(&mut first.sort),
            _ => {}
        }
    }
    Ok(())
}

fn sort_by_time(sort: &mut Sort) {
    if sort.limit > 0 && !sort.partition_by.iter().any(|field| field == "_time") {
        sort.partition_by.push("_time".into());
    }
}

/// Makes rates those of a bucket: what is counted in it by its seconds.
fn rates_by_step(all: &mut Vec<Pipe>, step: i64) -> Result<(), ApiError> {
    let mut made = Vec::with_capacity(all.len());
    for mut pipe in std::mem::take(all) {
        let mut behind = Vec::new();
        if let Pipe::Stats(stats) = &mut pipe {
            for (at, named) in stats.functions.iter_mut().enumerate() {
                named.function = match &named.function {
                    Function::Rate => Function::Count(vec!["*".into()]),
                    Function::RateSum(fields) => Function::Sum(fields.clone()),
                    _ => continue,
                };
                let counted = format!("_counted_{at}");
                let name = quoted(&std::mem::replace(&mut named.result, counted.clone()));
                let text = format!("math {counted} / {} as {name} | delete {counted}", seconds(step));
                behind.extend(pipes(&text)?);
            }
        }
        made.push(pipe);
        made.extend(behind);
    }
    *all = made;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::query::parse;

    #[test]
    fn a_query_over_time_is_grouped_and_rated_by_its_buckets() {
        let mut query = parse("* | stats by (a, _time:1h) rate() r, count() n | sort by (n desc) limit 2").unwrap();
        group_by_time(&mut query.pipes, 60_000_000_000, 0).unwrap();
        rates_by_step(&mut query.pipes, 60_000_000_000).unwrap();
        let wanted = "* | stats by (_time:60000000000ns offset 0ns, a) count(*) as _counted_0, count(*) as n \
                      | math _counted_0 / 60 as r | delete _counted_0 | sort by (n desc) limit 2 partition by (_time)";
        assert_eq!(query.to_string(), parse(wanted).unwrap().to_string());
        let mut named = parse("* | stats count() as _time").unwrap();
        assert!(group_by_time(&mut named.pipes, 1, 0).is_err());
    }
}
