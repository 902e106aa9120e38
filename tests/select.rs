//! `/select/logsql/` but for rows themselves: hits, facets, stats, names and values, in the shapes of VictoriaLogs.
use crate::harness::{Server, encoded};
use serde_json::{Value, json};

const ROWS: &str = r#"{"_time":"2026-05-01T10:00:00Z","_msg":"item 1 failed","service_name":"shop","level":"ERROR","region":"eu","took":"4"}
{"_time":"2026-05-01T10:30:00Z","_msg":"item 2 placed","service_name":"shop","level":"INFO","region":"us","took":"6"}
{"_time":"2026-05-01T11:10:00Z","_msg":"item 3 placed","service_name":"shop","level":"INFO","region":"eu","took":"8"}
{"_time":"2026-05-01T11:20:00Z","_msg":"disk full","service_name":"host \"7\"","level":"ERROR","took":"2"}
{"_time":"2026-05-02T09:00:00Z","_msg":"item 4 placed","service_name":"shop","level":"INFO","region":"eu","took":"1"}
"#;
const SHOP: &str = r#"{service_name="shop"}"#;
const HOST: &str = r#"{service_name="host \"7\""}"#;

fn filled() -> Server {
    let server = Server::start();
    assert_eq!(server.post("/insert/jsonline", ROWS).status, 200);
    server
}

/// The answer to a query, which is the same whether it is got or posted.
fn asked(server: &Server, route: &str, query: &str, params: &str) -> Value {
    let form = format!("query={}&{params}", encoded(query));
    let got = server.get(&format!("/select/logsql/{route}?{form}"));
    let posted = server.post(&format!("/select/logsql/{route}"), form.trim_end_matches('&'));
    assert_eq!((got.status, posted.status), (200, 200), "{} {}", got.text, posted.text);
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.text, posted.text);
    got.json()
}

/// What is wrong with a request.
fn refused(server: &Server, route: &str, query: &str, params: &str) -> Value {
    let answer = server.get(&format!("/select/logsql/{route}?query={}&{params}", encoded(query)));
    assert_eq!(answer.status, 400, "{route} {query} {params}: {}", answer.text);
    assert!(answer.json()["error"].is_string());
    answer.json()
}

fn values(pairs: &[(&str, u64)]) -> Value {
    let values: Vec<Value> = pairs.iter().map(|(value, hits)| json!({"value": value, "hits": hits})).collect();
    json!({ "values": values })
}

#[test]
fn hits_are_counted_over_time_and_by_fields() {
    let server = filled();
    let hours = |params: &str| asked(&server, "hits", "item or disk", params)["hits"].clone();
    assert_eq!(
        hours("step=1h&end=2026-05-01"),
        json!([{"fields": {}, "timestamps": ["2026-05-01T10:00:00Z", "2026-05-01T11:00:00Z"], "values": [2, 2], "total": 4}])
    );
    let days = json!([{"fields": {}, "timestamps": ["2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"], "values": [4, 1], "total": 5}]);
    assert_eq!(hours(""), days);
    assert_eq!(asked(&server, "hits", "* | stats count() n | limit 1", "step=86400")["hits"], days);
    assert_eq!(hours("step=1d&offset=-15h")[0]["timestamps"], json!(["2026-05-01T09:00:00Z", "2026-05-02T09:00:00Z"]));
    assert_eq!(
        hours("step=1w&field=level&field=region&start=2026-05-01T10:00:00Z&end=2026-05-01T23:00:00Z"),
        json!([
            {"fields": {"level": "ERROR", "region": ""}, "timestamps": ["2026-04-30T00:00:00Z"], "values": [1], "total": 1},
            {"fields": {"level": "ERROR", "region": "eu"}, "timestamps": ["2026-04-30T00:00:00Z"], "values": [1], "total": 1},
            {"fields": {"level": "INFO", "region": "eu"}, "timestamps": ["2026-04-30T00:00:00Z"], "values": [1], "total": 1},
            {"fields": {"level": "INFO", "region": "us"}, "timestamps": ["2026-04-30T00:00:00Z"], "values": [1], "total": 1},
        ])
    );
    assert_eq!(
        hours("step=1d&field=took&fields_limit=1&field=level&start=2026-05-01T11:00:00Z")[0],
        json!({"fields": {"took": "1", "level": "INFO"}, "timestamps": ["2026-05-02T00:00:00Z"], "values": [1], "total": 1})
    );
    assert_eq!(
        hours("step=1d&field=region&fields_limit=1"),
        json!([
            {"fields": {"region": "eu"}, "timestamps": ["2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"], "values": [2, 1], "total": 3},
            {"fields": {}, "timestamps": ["2026-05-01T00:00:00Z"], "values": [2], "total": 2},
        ])
    );
    assert_eq!(asked(&server, "hits", "nowhere", "step=1h"), json!({"hits": []}));
    for wrong in ["step=0s", "step=-1h", "step=often", "offset=far", "field=_time", "fields_limit=few", "start=soon"] {
        refused(&server, "hits", "*", wrong);
    }
}

#[test]
fn facets_are_the_most_frequent_values_of_each_field() {
    let server = filled();
    let facet = |params: &str, query: &str, field: &str| {
        let all = asked(&server, "facets", query, params)["facets"].clone();
        all.as_array().unwrap().iter().find(|facet| facet["field_name"] == field).map(|facet| facet["values"].clone())
    };
    assert_eq!(
        facet("", "item", "region"),
        Some(json!([{"field_value": "eu", "hits": 3}, {"field_value": "us", "hits": 1}]))
    );
    assert_eq!(facet("limit=1", "* | limit 1", "level"), Some(json!([{"field_value": "INFO", "hits": 3}])));
    assert_eq!(facet("", "item", "service_name"), None);
    assert_eq!(facet("keep_const_fields=1", "item", "service_name"), Some(json!([{"field_value": "shop", "hits": 4}])));
    assert_eq!(facet("max_values_per_field=3", "item", "took"), None);
    assert_eq!(facet("max_value_len=3", "item", "level"), None);
    assert!(facet("max_values_per_field=4&max_value_len=5", "item", "took").is_some());
    assert_eq!(asked(&server, "facets", "nowhere", ""), json!({"facets": []}));
    refused(&server, "facets", "*", "limit=many");
}

#[test]
fn stats_are_answered_as_prometheus_does() {
    let server = filled();
    let got = asked(
        &server,
        "stats_query",
        "_time:1d | stats by (level) count() n, max(took) | sort by (level)",
        "time=2026-05-02T00:00:00Z",
    );
    let result = |name: &str, level: &str, value: &str| json!({"metric": {"__name__": name, "level": level}, "value": [1777680000, value]});
    assert_eq!(got["status"], "success");
    assert_eq!(got["data"]["resultType"], "vector");
    assert_eq!(
        got["data"]["result"],
        json!([
            result("n", "ERROR", "2"),
            result("max(took)", "ERROR", "4"),
            result("n", "INFO", "2"),
            result("max(took)", "INFO", "8"),
        ])
    );
    // `end` is the time as well, and what is relative within other queries is meant for it.
    let inner = "level:in(_time:31m | fields level) | stats count() n";
    let value = |params: &str| asked(&server, "stats_query", inner, params)["data"]["result"][0]["value"][1].clone();
    assert_eq!(value("end=2026-05-01T11:00:00Z"), "1");
    assert_eq!(value("time=2026-05-02T09:10:00Z"), "3");
    assert_eq!(value("time=2026-05-01T10:30:00.000000001Z"), "5");
    for wrong in ["*", "* | uniq by (level)", "* | stats by (level) count() n | fields n", "* | stats", "("] {
        let error = refused(&server, "stats_query", wrong, "");
        assert_eq!((&error["status"], &error["errorType"]), (&json!("error"), &json!("400")));
    }
    assert_eq!(refused(&server, "stats_query", "* | stats count()", "time=later")["status"], "error");
    assert_eq!(server.get("/select/logsql/stats_query").json()["status"], "error");
}

#[test]
fn stats_over_a_range_are_grouped_by_its_steps() {
    let server = filled();
    let ranged = |query: &str, params: &str| {
        let got = asked(&server, "stats_query_range", query, params);
        assert_eq!((&got["status"], &got["data"]["resultType"]), (&json!("success"), &json!("matrix")));
        got["data"]["result"].clone()
    };
    let (ten, eleven, nine) = (1777629600, 1777633200, 1777712400);
    assert_eq!(
        ranged("* | stats by (level) count() n", "step=1h&start=2026-05-01&end=2026-05-02"),
        json!([
            {"metric": {"__name__": "n", "level": "ERROR"}, "values": [[ten, "1"], [eleven, "1"]]},
            {"metric": {"__name__": "n", "level": "INFO"}, "values": [[ten, "1"], [eleven, "1"], [nine, "1"]]},
        ])
    );
    // Rates are for a second of a step, and not of the whole range.
    assert_eq!(
        ranged(
            "item | stats rate() r, rate_sum(took) s | math r * 2 as t",
            "step=1000s&start=2026-05-01T10:00:00Z&end=2026-05-01T10:59:59Z"
        ),
        json!([
            {"metric": {"__name__": "r"}, "values": [[1777629000, "0.001"], [1777631000, "0.001"]]},
            {"metric": {"__name__": "s"}, "values": [[1777629000, "0.004"], [1777631000, "0.006"]]},
            {"metric": {"__name__": "t"}, "values": [[1777629000, "0.002"], [1777631000, "0.002"]]},
        ])
    );
    // The most frequent of each step.
    assert_eq!(
        ranged("* | stats by (took) sum(took) n | sort by (n desc) limit 1", "step=1h"),
        json!([
            {"metric": {"__name__": "n", "took": "1"}, "values": [[nine, "1"]]},
            {"metric": {"__name__": "n", "took": "6"}, "values": [[ten, "6"]]},
            {"metric": {"__name__": "n", "took": "8"}, "values": [[eleven, "8"]]},
        ])
    );
    assert_eq!(ranged("nowhere | stats by (level) count()", "step=1h"), json!([]));
    for (wrong, params) in
        [("* | fields level", ""), ("* | stats count()", "step=0"), ("* | stats count() | delete _time", "")]
    {
        assert_eq!(refused(&server, "stats_query_range", wrong, params)["errorType"], "400");
    }
}

#[test]
fn names_and_values_of_fields_are_counted() {
    let server = filled();
    let names = asked(&server, "field_names", "* | fields level", "")["values"].clone();
    for (name, hits) in [("_msg", 5), ("_time", 5), ("_stream", 5), ("_stream_id", 5), ("level", 5), ("region", 4)] {
        assert!(names.as_array().unwrap().contains(&json!({"value": name, "hits": hits})), "{name}: {names}");
    }
    assert_eq!(asked(&server, "field_values", "*", "field=region"), values(&[("eu", 3), ("", 1), ("us", 1)]));
    assert_eq!(
        asked(&server, "field_values", "item | limit 1", "field=level&end=2026-05-01"),
        values(&[("INFO", 2), ("ERROR", 1)])
    );
    let few = asked(&server, "field_values", "*", "field=took&limit=2");
    let few = few["values"].as_array().unwrap();
    assert!(few.len() == 2 && few.iter().all(|value| value["hits"] == 0), "{few:?}");
    assert_eq!(asked(&server, "field_values", "*", "field=level&limit=2"), values(&[("INFO", 3), ("ERROR", 2)]));
    assert_eq!(asked(&server, "field_values", "nowhere", "field=a+b%22%7Cc"), values(&[]));
    refused(&server, "field_values", "*", "");
    refused(&server, "field_names", "* |", "");
}

#[test]
fn streams_and_their_fields_are_counted() {
    let server = filled();
    assert_eq!(asked(&server, "streams", "*", ""), values(&[(SHOP, 4), (HOST, 1)]));
    assert_eq!(asked(&server, "streams", "full", "start=2026-05-01"), values(&[(HOST, 1)]));
    assert_eq!(asked(&server, "streams", "*", "limit=1")["values"][0]["hits"], 0);
    let ids = asked(&server, "stream_ids", "*", "");
    let id = ids["values"][1]["value"].as_str().unwrap();
    assert!(id.len() == 48 && ids["values"][0]["hits"] == 4, "{ids}");
    assert_eq!(asked(&server, "streams", &format!("_stream_id:{id}"), ""), values(&[(HOST, 1)]));
    assert_eq!(asked(&server, "stream_field_names", "*", ""), values(&[("service_name", 5)]));
    let of_services = |params: &str| asked(&server, "stream_field_values", "*", &format!("field=service_name{params}"));
    assert_eq!(of_services(""), values(&[("shop", 4), ("host \"7\"", 1)]));
    assert_eq!(of_services("&limit=1"), values(&[("shop", 0)]));
    assert_eq!(of_services("&limit=2"), values(&[("shop", 4), ("host \"7\"", 1)]));
    assert_eq!(asked(&server, "stream_field_values", "*", "field=level"), values(&[]));
    refused(&server, "stream_field_values", "*", "");
    refused(&server, "streams", "*", "limit=some");
}

#[test]
fn extra_filters_narrow_every_query() {
    let server = filled();
    let extra = |filter: &str| format!("extra_filters={}", encoded(filter));
    assert_eq!(asked(&server, "streams", "disk or item", &extra("level:=ERROR region:eu")), values(&[(SHOP, 1)]));
    assert_eq!(
        asked(
            &server,
            "field_values",
            "*",
            &format!("field=region&{}", extra(r#"{"level":"ERROR","took":["4","6"]}"#))
        ),
        values(&[("eu", 1)])
    );
    let streams = format!("extra_stream_filters={}", encoded(r#"{"service_name":"host \"7\""}"#));
    assert_eq!(asked(&server, "streams", "*", &streams), values(&[(HOST, 1)]));
    let rows = server.get(&format!(
        "/select/logsql/query?query={}&{}",
        encoded("level:=ERROR | union (level:=INFO) | fields region"),
        extra("region:=us")
    ));
    assert_eq!(rows.text, "{\"region\":\"us\"}\n");
    refused(&server, "streams", "*", &extra("* | limit 1"));
    refused(&server, "query", "*", &extra("("));
}

#[test]
fn no_route_is_answered_without_a_key() {
    let server = Server::start();
    for route in [
        "query",
        "hits",
        "facets",
        "stats_query",
        "stats_query_range",
        "field_names",
        "field_values",
        "streams",
        "stream_ids",
        "stream_field_names",
        "stream_field_values",
    ] {
        assert_eq!(server.get_with(&format!("/select/logsql/{route}?query=*"), &[]).unwrap().status, 401, "{route}");
        let missing = server.get(&format!("/select/logsql/{route}"));
        assert_eq!(missing.status, 400, "{route}");
        assert!(missing.json()["error"].as_str().unwrap().starts_with("query is missing"), "{}", missing.text);
    }
}

#[test]
fn an_answer_has_its_bound() {
    let server = Server::start();
    let pad = "x".repeat(80);
    let rows: String = (0..100_000).map(|n| format!("{{\"_msg\":\"m\",\"key\":\"{pad}{n}\"}}\n")).collect();
    assert_eq!(server.post("/insert/jsonline", rows).status, 200);
    let answer = server.get("/select/logsql/field_values?query=*&field=key");
    assert_eq!(answer.status, 422, "{}", answer.text.len());
    assert!(answer.json()["error"].as_str().unwrap().contains("more than 32 MiB"), "{}", answer.text);
    let few = server.get("/select/logsql/field_values?query=*&field=key&limit=10");
    assert_eq!((few.status, few.json()["values"].as_array().unwrap().len()), (200, 10));
}

#[test]
fn rows_around_others_pass_extra_filters_too() {
    let server = Server::start();
    let line = |n: usize| {
        let service = ["shop", "mail"][n % 2];
        format!(
            "{{\"_msg\":\"line {n}\",\"app\":\"x\",\"service_name\":\"{service}\",\"_time\":\"2026-05-01T10:00:{n:02}Z\"}}\n"
        )
    };
    let lines: String = (0..20).map(line).collect();
    assert_eq!(server.post("/insert/jsonline?_stream_fields=app", lines).status, 200);
    let query = encoded("\"line 10\" | stream_context before 4 | fields _msg");
    let found = server.get(&format!("/select/logsql/query?query={query}&extra_filters=service_name:%3Dshop"));
    let messages: Vec<String> = found.text.lines().map(str::to_owned).collect();
    assert_eq!(messages, [2, 4, 6, 8, 10].map(|n| format!("{{\"_msg\":\"line {n}\"}}")));
}
