//! `extra_filters` and `extra_stream_filters`, and the services that a key is for: what the rows of a request have to be besides
//! what its query says.
//!
//! Invariants
//! * They are for every query of a request, also for those within others.
//! * The services that a key is for are for those within extra filters too.
use super::within::{Part, visit};
use crate::server::error::ApiError;
use crate::server::params::Params;
use logyard_storage::limits::MIB;
use logyard_storage::query::fault::At;
use logyard_storage::query::filter::{FieldTest, Filter, Label, LabelTest, StreamSelector, Test, Values};
use logyard_storage::query::pipe::Pipe;
use logyard_storage::query::tree::Options;
use logyard_storage::query::{Query, parse};
use serde_json::{Map, Value};

/// What extra filters may take, counted once for each query that they are for.
const EXTRA_BYTES_MAX: usize = 16 * MIB;

/// Adds those of a request to its query.
pub(super) fn add(query: &mut Query, params: &Params) -> Result<(), ApiError> {
    let (mut extra, mut bytes) = (Vec::new(), 0);
    for text in params.all("extra_filters") {
        extra.push(filter("extra_filters", text, of_fields)?);
        bytes += text.len();
    }
    for text in params.all("extra_stream_filters") {
        extra.push(filter("extra_stream_filters", text, of_streams)?);
        bytes += text.len();
    }
    if !extra.is_empty() {
        let mut queries = 0;
        visit(query, &mut |part| queries += usize::from(matches!(part, Part::Query(_))));
        if bytes.saturating_mul(queries) > EXTRA_BYTES_MAX {
            let what = "the extra filters are too long for a query with so many queries within it";
            return Err(ApiError::bad(format!("{what}: {bytes} bytes for each of {queries}")));
        }
        visit(query, &mut |part| {
            if let Part::Query(query) = part {
                narrow_all(query, &extra);
            }
        });
    }
    // Last, since extra filters can have queries within them.
    params.services().into_iter().for_each(|services| limit(query, services));
    Ok(())
}

/// Leaves a query, and those within it, the rows of some services.
pub(in crate::server) fn limit(query: &mut Query, services: &[String]) {
    let services = of_services(services);
    visit(query, &mut |part| {
        if let Part::Query(query) = part {
            narrow_all(query, std::slice::from_ref(&services));
        }
    });
}

fn of_services(services: &[String]) -> Filter {
    of_fields(vec![("service_name".into(), services.to_vec())])
}

/// A filter in LogsQL, or `{"field":"value","other":["one","another"]}`.
fn filter(name: &str, text: &str, of: fn(Vec<(String, Vec<String>)>) -> Filter) -> Result<Filter, ApiError> {
    if text.starts_with("{\"") {
        let wrong = || ApiError::bad(format!("{name} must have texts, or lists of texts, by the names of fields"));
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|_| wrong())?;
        let fields = object.into_iter().map(|(field, value)| Some((field, texts(value)?))).collect::<Option<_>>();
        return fields.map(of).ok_or_else(wrong);
    }
    let query = parse(text)?;
    if !query.pipes.is_empty() || query.options != Options::default() {
        return Err(ApiError::bad(format!("{name} must be a filter, without pipes and options")));
    }
    Ok(query.filter)
}

fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(values) if !values.is_empty() => {
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

fn of_fields(fields: Vec<(String, Vec<String>)>) -> Filter {
    let test = |(field, values): (String, Vec<String>)| {
        let test = match <[String; 1]>::try_from(values) {
            Ok([only]) => Test::Exact(only),
            Err(values) => Test::In(Values::List(values)),
        };
        Filter::Field(FieldTest { at: At::default(), field, test })
    };
    joined(fields.into_iter().map(test).collect())
}

fn of_streams(fields: Vec<(String, Vec<String>)>) -> Filter {
    let label = |(name, values): (String, Vec<String>)| Label { name, negated: false, test: LabelTest::In(values) };
    Filter::Stream(StreamSelector { at: At::default(), any: vec![fields.into_iter().map(label).collect()] })
}

fn narrow(filter: &mut Filter, extra: &[Filter]) {
    let all = extra.iter().cloned().chain([std::mem::replace(filter, Filter::All)]);
    let mut parts = Vec::new();
    for filter in all {
        match filter {
            Filter::All => {}
            Filter::And(inner) => parts.extend(inner),
            other => parts.push(other),
        }
    }
    *filter = joined(parts);
}

/// Narrows a query, and what it asks for by the streams of its rows, whatever its filter says.
fn narrow_all(query: &mut Query, extra: &[Filter]) {
    narrow(&mut query.filter, extra);
    if let Some(Pipe::StreamContext(around)) = query.pipes.first_mut() {
        narrow(&mut around.within, extra);
    }
}

fn joined(mut parts: Vec<Filter>) -> Filter {
    match parts.len() {
        0 => Filter::All,
        1 => parts.pop().unwrap_or(Filter::All),
        _ => Filter::And(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(query: &str, form: &str) -> Result<String, ApiError> {
        let mut query = parse(query)?;
        add(&mut query, &Params::form(form.as_bytes())?)?;
        Ok(query.to_string())
    }

    #[test]
    fn filters_are_for_all_queries() {
        let same = |query: &str, form: &str, wanted: &str| {
            assert_eq!(narrowed(query, form).unwrap(), parse(wanted).unwrap().to_string(), "{form}");
        };
        same("*", "extra_filters=a:=b", "a:=b");
        same("x y | limit 1", "extra_filters=a:%3Db+c&extra_filters=d", "a:=b c d x y | limit 1");
        same("x or y", "extra_filters=%7B%22a%22:%22b%22%7D", "a:=b (x or y)");
        same("*", "extra_filters=%7B%22a%22:%5B%22b%22,%22c%22%5D%7D", "a:in(b,c)");
        same("*", "extra_stream_filters=%7B%22a%22:%5B%22b%22,%22c%22%5D%7D", "{a in (b,c)}");
        same("*", "extra_stream_filters=%7Ba%3Db%7D", "{a=b}");
        same("a:in(x | fields a) | union (z)", "extra_filters=t:%3D1", "t:=1 a:in(t:=1 x | fields a) | union (t:=1 z)");
    }

    #[test]
    fn a_key_for_some_services_sees_no_others() {
        let seen = |query: &str, services: &[&str]| {
            let mut query = parse(query).unwrap();
            let services: Vec<String> = services.iter().map(|service| (*service).to_owned()).collect();
            add(&mut query, &Params::form(b"").unwrap().limited_to(services)).unwrap();
            query.to_string()
        };
        let same = |query: &str, wanted: &str| assert_eq!(seen(query, &["a"]), parse(wanted).unwrap().to_string());
        same("*", "service_name:=a");
        same("x or service_name:=b", "service_name:=a (x or service_name:=b)");
        same("!(x or y)", "service_name:=a !(x or y)");
        let mut around = parse("x | stream_context before 2 | limit 1").unwrap();
        let form = Params::form(b"extra_filters=y:in(z%7Cfields+y)").unwrap();
        add(&mut around, &form.limited_to(vec!["a".into()])).unwrap();
        let Some(Pipe::StreamContext(context)) = around.pipes.first() else { panic!("{around}") };
        assert_eq!(context.within.to_string(), "service_name:=a y:in(service_name:=a z | fields y)");
        let mut asked = parse("*").unwrap();
        let form = Params::form(b"extra_filters=x:in(y%7Cfields+x)").unwrap();
        add(&mut asked, &form.limited_to(vec!["a".into()])).unwrap();
        assert_eq!(asked.to_string(), parse("service_name:=a x:in(service_name:=a y | fields x)").unwrap().to_string());
        assert_eq!(seen("*", &["a", "b"]), parse("service_name:in(a,b)").unwrap().to_string());
        // Wherever a query can stand in another one.
        for within in [
            "x:in(y | fields x)",
            "x:contains_any(y | fields x)",
            "x:contains_all(y | fields x)",
            "_stream_id:in(y | fields _stream_id)",
            "!x:in(y | fields x)",
            "* | filter x:in(y | fields x)",
            "* | union (y)",
            "* | join by (x) (y)",
            "* | union (z | join by (x) (y))",
            "* | stats count() if (x:in(y | fields x)) n",
            "* | format if (x:in(y | fields x)) \"<z>\" as w",
            "* | extract if (x:in(y | fields x)) \"<z>\" from w",
            "* | extract_regexp if (x:in(y | fields x)) \"(?P<z>.)\" from w",
            "* | replace if (x:in(y | fields x)) (\"a\", \"b\") at w",
            "* | replace_regexp if (x:in(y | fields x)) (\"a\", \"b\") at w",
            "* | unpack_json if (x:in(y | fields x)) from w",
            "* | unpack_logfmt if (x:in(y | fields x)) from w",
            "* | unpack_syslog if (x:in(y | fields x)) from w",
            "* | unroll if (x:in(y | fields x)) (w)",
            "* | collapse_nums if (x:in(y | fields x)) at w",
        ] {
            let seen = seen(within, &["a"]);
            assert!(seen.contains("service_name:=a y"), "{within}: {seen}");
            assert!(seen.starts_with("service_name:=a"), "{within}: {seen}");
        }
    }

    #[test]
    fn extra_filters_are_bounded_by_what_they_become() {
        let many = format!("a:in(b) {}", "c:in(d | fields c) ".repeat(2_000));
        let long = format!("extra_filters={}", "x+".repeat(10_000));
        assert!(narrowed("*", &long).is_ok() && narrowed(&many, "extra_filters=x").is_ok());
        assert!(narrowed(&many, &long).is_err());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for wrong in
            ["a+%7C+limit+1", "(", "%7B%22a%22:5%7D", "%7B%22a%22:%5B%5D%7D", "%7B%22a%22", "options(concurrency=1)+a"]
        {
            assert!(narrowed("*", &format!("extra_filters={wrong}")).is_err(), "{wrong}");
        }
    }
}
