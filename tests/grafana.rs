//! What Grafana's data source plugin for VictoriaLogs asks for, request by request, and the answers that it can read: its health check,
//! logs with their volume and context, panels, variables, filters made by clicks, tailing, and errors.
//!
//! The plugin sends all parameters in the query string, also with POST, which has no body then, and the headers of a tenant.
use crate::harness::{Answer, KEY, Server, encoded};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const START: u64 = 1_777_629_600;
const END: u64 = START + 3_600;

/// Logs of an hour: a record each ten seconds, of two services.
fn filled() -> Server {
    let server = Server::start();
    let row = |n: u64| {
        let level = ["info", "ERROR", "Warning", "debug"][n as usize % 4];
        let service = if n.is_multiple_of(3) { "mail" } else { "shop" };
        json!({"_time": (START + 10 * n) * 1_000, "_msg": format!("item {n} sold"), "service_name": service, "level": level, "took": n % 10})
    };
    let lines: String = (0..360).map(|n| format!("{}\n", row(n))).collect();
    assert_eq!(server.post("/insert/jsonline", lines).status, 200);
    server
}

/// The same request by GET and by POST.
fn asked(server: &Server, path: &str, params: &[(&str, &str)]) -> Answer {
    let params: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let path = format!("{path}?{}", params.join("&"));
    let bearer = format!("Bearer {KEY}");
    let headers = [("AccountID", "0"), ("ProjectID", "0")];
    let got = server.get_with(&path, &[headers.as_slice(), &[("authorization", &bearer)]].concat()).unwrap();
    let posted = server.try_post(&path, b"", &headers).unwrap();
    assert_eq!(got.status, posted.status, "{path}");
    // Which part of a query is the first to ask for too much is chance.
    assert!(got.text == posted.text || got.status == 422, "{path}: {} and {}", got.text, posted.text);
    got
}

/// The answer as lines, each of which the plugin makes a log of.
fn logs(server: &Server, query: &str, more: &[(&str, &str)]) -> Vec<Value> {
    let (start, end) = (START.to_string(), END.to_string());
    let params = [&[("query", query), ("limit", "1000"), ("start", &start), ("end", &end)], more].concat();
    let answer = asked(server, "/select/logsql/query", &params);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let rows: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.iter().for_each(check_log);
    rows
}

/// A log has to have these, as the plugin reads them.
fn check_log(row: &Value) {
    let fields = row.as_object().unwrap();
    assert!(fields.values().all(Value::is_string), "{row}");
    let time = row["_time"].as_str().unwrap();
    assert!(time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    let stream = row["_stream"].as_str().unwrap();
    assert!(stream.starts_with("{service_name=\"") && stream.ends_with("\"}"), "{stream}");
    assert!(row["_stream_id"].is_string() && row["_msg"].is_string(), "{row}");
}

#[test]
fn the_data_source_is_found_to_work() {
    let server = filled();
    let check = asked(&server, "/select/logsql/query", &[("query", "*"), ("limit", "1"), ("start", "-5m")]);
    assert_eq!((check.status, check.text.as_str()), (200, ""), "all logs are older");
    assert_eq!(server.get("/select/logsql/query?query=*&limit=1&start=-1000d").text.lines().count(), 1);
    assert_eq!(server.get_with("/select/logsql/query?query=*&limit=1&start=-5m", &[]).unwrap().status, 401);
    assert_eq!(asked(&server, "/select/tenant_ids", &[]).json(), json!([{"account_id": 0, "project_id": 0}]));
}

#[test]
fn logs_come_with_their_volume_and_their_context() {
    let server = filled();
    let newest = logs(&server, "sold level:ERROR | sort by (_time) desc", &[("limit", "5")]);
    let messages: Vec<&str> = newest.iter().map(|row| row["_msg"].as_str().unwrap()).collect();
    assert_eq!(messages, ["item 357 sold", "item 353 sold", "item 349 sold", "item 345 sold", "item 341 sold"]);
    let oldest = logs(&server, "* | sort by (_time) asc", &[("limit", "2")]);
    assert_eq!(oldest[1]["_msg"], "item 1 sold");

    let (start, end) = (START.to_string(), END.to_string());
    let volume =
        [("query", "sold"), ("start", &start), ("end", &end), ("step", "36s"), ("field", "level"), ("offset", "2h")];
    let volume = asked(&server, "/select/logsql/hits", &volume).json();
    let groups = volume["hits"].as_array().unwrap();
    assert_eq!(groups.len(), 4);
    for group in groups {
        assert_eq!(group["total"], 90);
        let (times, values) = (group["timestamps"].as_array().unwrap(), group["values"].as_array().unwrap());
        assert!(
            times.len() == values.len() && values.iter().all(Value::is_number) && group["fields"]["level"].is_string()
        );
    }

    // The rows around one, of its stream.
    let row = &logs(&server, "\"item 180 sold\"", &[])[0];
    let (id, time) = (row["_stream_id"].as_str().unwrap(), row["_time"].as_str().unwrap());
    let nanoseconds = time.replace('Z', ".000000000Z");
    let before = format!("_stream_id:\"{id}\" _time:<={nanoseconds} | sort by (_time) desc limit 3");
    let after = format!("_stream:{{service_name=\"mail\"}} _time:>{nanoseconds} | sort by (_time) asc limit 3");
    let around = |query: &str| -> Vec<String> {
        logs(&server, query, &[]).iter().map(|row| row["_msg"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(around(&before), ["item 180 sold", "item 177 sold", "item 174 sold"]);
    assert_eq!(around(&after), ["item 183 sold", "item 186 sold", "item 189 sold"]);
}

#[test]
fn panels_get_their_series() {
    let server = filled();
    let (start, end) = (START.to_string(), END.to_string());
    let ranged = |query: &str, step: &str, offset: &str| {
        let params = [("query", query), ("start", &start), ("end", &end), ("step", step), ("offset", offset)];
        let answer = asked(&server, "/select/logsql/stats_query_range", &params).json();
        assert_eq!((&answer["status"], &answer["data"]["resultType"]), (&json!("success"), &json!("matrix")));
        answer["data"]["result"].as_array().unwrap().clone()
    };
    let series = ranged("* | stats by (level) count() as logs", "1m0s", "");
    assert_eq!(series.len(), 4);
    for one in &series {
        let points = one["values"].as_array().unwrap();
        assert_eq!(points.len(), 60);
        for point in points {
            assert!(point[0].is_number() && point[1].as_str().unwrap().parse::<f64>().is_ok(), "{point}");
        }
        assert!(one["metric"]["__name__"] == "logs" && one["metric"]["level"].is_string());
    }
    // Buckets begin where they do in the time zone of whoever looks.
    let first = |offset: &str| ranged("* | stats count() n", "1h0m0s", offset)[0]["values"][0][0].as_u64().unwrap();
    assert_eq!((first(""), first("2h"), first("-5h30m")), (START, START, START - 1_800));

    let instant = |query: &str| {
        let params = [("query", query), ("time", &end)];
        let answer = asked(&server, "/select/logsql/stats_query", &params).json();
        assert_eq!(answer["data"]["resultType"], "vector");
        answer["data"]["result"].as_array().unwrap().clone()
    };
    let within = format!("_time:[{START}, {END}]");
    let value = &instant(&format!("{within} * | stats by (service_name) count() n | sort by (n desc) limit 1"))[0];
    assert_eq!(value["metric"], json!({"__name__": "n", "service_name": "shop"}));
    assert_eq!(value["value"], json!([END, "240"]));
    assert_eq!(instant(&format!("options(concurrency=2) {within} level:ERROR | count() n"))[0]["value"][1], "90");
    assert_eq!(instant(&format!("{within} nowhere | stats by (level) count() n")), [Value::Null; 0]);
}

#[test]
fn variables_and_completion_get_names_and_values() {
    let server = filled();
    let (start, end) = ((START * 1_000).to_string(), (END * 1_000).to_string());
    let listed = |route: &str, more: &[(&str, &str)]| -> Vec<(String, u64)> {
        let params =
            [&[("query", "*"), ("start", start.as_str()), ("end", &end), ("ignore_pipes", "1")], more].concat();
        let answer = asked(&server, &format!("/select/logsql/{route}"), &params).json();
        let values = answer["values"].as_array().unwrap().clone();
        values.iter().map(|value| (value["value"].as_str().unwrap().into(), value["hits"].as_u64().unwrap())).collect()
    };
    let named = |hits: &[(&str, u64)]| -> Vec<(String, u64)> {
        hits.iter().map(|(name, hits)| ((*name).into(), *hits)).collect()
    };
    assert!(listed("field_names", &[]).contains(&("level".into(), 360)));
    assert_eq!(listed("field_names", &[("filter", "eve")]), named(&[("level", 360)]));
    assert_eq!(listed("field_names", &[("limit", "2")]).len(), 2);
    let values =
        |more: &[(&str, &str)]| listed("field_values", &[&[("field", "level"), ("limit", "1000")], more].concat());
    assert_eq!(values(&[]), named(&[("ERROR", 90), ("Warning", 90), ("debug", 90), ("info", 90)]));
    assert_eq!(values(&[("filter", "n")]), named(&[("Warning", 90), ("info", 90)]));
    assert_eq!(values(&[("filter", "r.*")]), named(&[]));
    assert_eq!(values(&[("extra_filters", "{\"service_name\":\"mail\"}"), ("filter", "ERR")]), named(&[("ERROR", 30)]));
    assert_eq!(listed("streams", &[]), named(&[("{service_name=\"shop\"}", 240), ("{service_name=\"mail\"}", 120)]));
    assert_eq!(listed("stream_field_names", &[("filter", "serv"), ("limit", "10")]), named(&[("service_name", 360)]));
    assert_eq!(listed("stream_field_names", &[("filter", "x")]), named(&[]));
    let of_streams =
        |more: &[(&str, &str)]| listed("stream_field_values", &[&[("field", "service_name")], more].concat());
    assert_eq!(of_streams(&[]), named(&[("shop", 240), ("mail", 120)]));
    assert_eq!(of_streams(&[("filter", "ai")]), named(&[("mail", 120)]));
}

#[test]
fn filters_made_by_clicks_are_understood() {
    let server = filled();
    let count = |filter: &str| -> u64 {
        let rows = server.get(&format!("/select/logsql/query?query={}", encoded(&format!("{filter} | count() n"))));
        assert_eq!(rows.status, 200, "{filter}: {}", rows.text);
        rows.json()["n"].as_str().unwrap().parse().unwrap()
    };
    for (filter, rows) in [
        ("* AND level:=\"ERROR\"", 90),
        ("* AND level:!=\"ERROR\" ", 270),
        ("* AND level:~\"E.*|info\"", 180),
        ("* AND level:!~\"E.*\"", 270),
        ("* AND took:<\"2\"", 72),
        ("* AND took:>\"7\"", 72),
        ("* AND level:in(\"ERROR\",\"info\")", 180),
        ("* AND !level:in(\"ERROR\",\"info\")", 180),
        ("* AND _stream:{service_name=\"mail\"}", 120),
        ("* AND (! _stream: {service_name=\"mail\"})", 240),
        ("* AND (_stream: {service_name=\"mail\"} OR _stream: {service_name=\"shop\"})", 360),
        // `Warning` is none of the common cases of `warning`.
        ("level:contains_common_case(\"warn\",\"warning\")", 0),
        ("!(level:contains_common_case(\"err\",\"eror\",\"error\") OR level:contains_common_case(\"info\"))", 180),
    ] {
        assert_eq!(count(filter), rows, "{filter}");
    }
    assert_eq!(count("level:contains_common_case(\"Warning\",\"Error\")"), 180);
}

#[test]
fn rows_are_tailed_as_they_arrive() {
    let server = filled();
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "GET /select/logsql/tail?query={} HTTP/1.0\r\nAccountID: 0\r\nProjectID: 0\r\n",
        encoded("level:error")
    );
    stream.write_all(format!("{head}authorization: Bearer {KEY}\r\n\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains(" 200 "));
    lines.by_ref().find(String::is_empty).unwrap();
    let row = "{\"service_name\":\"shop\",\"level\":\"error\",\"_msg\":\"new\"}";
    assert_eq!(server.post("/insert/jsonline", row).status, 200);
    let row: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    check_log(&row);
    assert_eq!(row["_msg"], "new");
}

#[test]
fn errors_are_told_as_the_plugin_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_QUERY_MAX_MEMORY", "1MiB");
    });
    // A wrong query: the body is shown.
    let wrong = asked(&server, "/select/logsql/query", &[("query", "* | stats by (")]);
    assert!(wrong.status == 400 && !wrong.text.is_empty());
    // One that takes too much: without its status the plugin would show nothing at all.
    let rows: String = (0..30_000).map(|n| format!("{{\"_msg\":\"m\",\"key\":\"{n} and more of {n}\"}}\n")).collect();
    assert_eq!(server.post("/insert/jsonline", rows).status, 200);
    for route in ["query", "field_values", "stats_query"] {
        let query = if route == "field_values" { "*" } else { "* | stats by (key) count() n | sort by (n)" };
        let over = asked(&server, &format!("/select/logsql/{route}"), &[("query", query), ("field", "key")]);
        assert_eq!((over.status, &over.json()["status"]), (422, &json!("error")), "{route}: {}", over.text);
        assert!(over.json()["error"].is_string());
    }
}
