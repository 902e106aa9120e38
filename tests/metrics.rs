//! `/metrics` before and after what it counts.
use crate::harness::{Server, encoded};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The samples, by name and labels.
fn samples(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.get_with("/metrics", &[]).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let (mut samples, mut types, mut helps) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for line in answer.text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helps.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helps.contains(name) && types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| types.get_key_value(name.strip_suffix(end)?));
            assert!(types.contains_key(name) || of.is_some_and(|(_, kind)| kind == "histogram"), "{line}");
            assert!(samples.insert(key.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    assert_eq!(helps, types.into_keys().collect());
    samples
}

/// The samples once they are as is said, or after a while as they are.
fn settled(server: &Server, are: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    for _ in 0..500 {
        let samples = samples(server);
        if are(&samples) {
            return samples;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    samples(server)
}

/// By how much a sample grew.
fn grown(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, key: &str) -> f64 {
    let value = |samples: &BTreeMap<String, f64>| samples.get(key).copied();
    value(after).unwrap_or_else(|| panic!("no {key}")) - value(before).unwrap_or(0.0)
}

const LOG: &str = r#"{"service_name":"shop","level":"ERROR","message":"payment 4711 failed"}"#;

#[test]
fn what_is_stored_is_counted() {
    let server = Server::start();
    let before = samples(&server);
    assert_eq!(server.post("/api/v1/logs/ingest", LOG).status, 200);
    let batch = format!("{{\"logs\":[{LOG},{{}},{LOG}]}}");
    assert_eq!(server.post("/api/v1/logs/ingest/batch", &batch).status, 200);
    let lines = "{\"_msg\":\"a\",\"service_name\":\"s\"}\nno JSON\n";
    assert_eq!(server.post("/insert/jsonline", lines).status, 200);
    let hot = samples(&server);
    let grew = |key: &str| grown(&before, &hot, key);
    assert_eq!((grew("logyard_appends_total"), grew("logyard_appended_rows_total")), (3.0, 4.0));
    assert!(grew("logyard_appended_bytes_total") > 0.0 && grew("logyard_hot_bytes") > 0.0);
    assert_eq!((grew("logyard_rows"), grew("logyard_hot_rows"), grew("logyard_segment_rows")), (4.0, 4.0, 0.0));
    assert_eq!(
        grew(r#"logyard_http_request_body_bytes_total{route="/insert/jsonline",method="POST"}"#),
        lines.len() as f64
    );
    assert!(grew("logyard_wal_written_bytes_total") >= 3.0 && grew("logyard_wal_sync_duration_seconds_count") >= 3.0);
    assert_eq!(
        hot[r#"logyard_wal_sync_duration_seconds_bucket{le="+Inf"}"#],
        hot["logyard_wal_sync_duration_seconds_count"]
    );
    assert_eq!(hot["logyard_wal_files"], 1.0);

    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    let sealed = samples(&server);
    let grew = |key: &str| grown(&hot, &sealed, key);
    assert_eq!((grew("logyard_seal_duration_seconds_count"), grew("logyard_sealed_rows_total")), (1.0, 4.0));
    assert_eq!((sealed["logyard_hot_rows"], sealed["logyard_segment_rows"]), (0.0, 4.0));
    assert_eq!(sealed["logyard_sealed_bytes_total"], sealed["logyard_segment_bytes"]);
    assert_eq!(server.post("/api/v1/logs/ingest", LOG).status, 200);
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    assert_eq!(server.post("/api/v1/admin/compact", "").status, 200);
    let merged = samples(&server);
    assert_eq!(grown(&sealed, &merged, "logyard_rewritten_segments_total"), sealed["logyard_segments"] + 1.0);
    assert!(merged["logyard_rewrite_duration_seconds_count"] >= 1.0 && merged["logyard_segments"] >= 1.0);
}

#[test]
fn requests_are_counted_by_route_and_what_is_no_route_is_one() {
    let server = Server::start();
    let before = samples(&server);
    for (path, status) in [
        ("/api/v1/logs/stats/a", 200),
        ("/api/v1/logs/stats/b", 200),
        ("/api/v1/logs/search?limit=x", 400),
        ("/no/route", 404),
        ("/another", 404),
        ("/select/logsql/query?query=a%20|", 400),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    assert_eq!(server.get_with("/api/v1/logs/services", &[]).unwrap().status, 401);
    let after = samples(&server);
    let asked = |route: &str, status: &str| {
        let key = format!("logyard_http_requests_total{{route=\"{route}\",method=\"GET\",status=\"{status}\"}}");
        grown(&before, &after, &key)
    };
    assert_eq!(asked("/api/v1/logs/stats/{service}", "200"), 2.0);
    assert_eq!((asked("/api/v1/logs/search", "400"), asked("none", "404")), (1.0, 2.0));
    assert_eq!((asked("/api/v1/logs/services", "401"), asked("/metrics", "200")), (1.0, 1.0));
    let durations = r#"logyard_http_request_duration_seconds_count{route="/api/v1/logs/stats/{service}",method="GET"}"#;
    assert_eq!(grown(&before, &after, durations), 2.0);
    let reason = |reason: &str| grown(&before, &after, &format!("logyard_http_errors_total{{reason=\"{reason}\"}}"));
    assert_eq!((reason("invalid"), reason("not_found"), reason("no_credential")), (2.0, 2.0, 1.0));
    assert!(!after.keys().any(|key| key.contains("another")), "a client made a series");
    // The one that looks is on its way itself.
    assert_eq!(after["logyard_http_requests_in_flight"], 1.0);
}

#[test]
fn queries_are_counted_and_what_their_bounds_refuse() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", crate::harness::KEY).env("LOGYARD_QUERY_MAX_MEMORY", "64KiB");
        command.env("LOGYARD_QUERY_MAX_TAILS", "1");
    });
    let many: String =
        (0..2_000).map(|n| format!("{{\"_msg\":\"row {n} of many\",\"service_name\":\"s\"}}\n")).collect();
    assert_eq!(server.post("/insert/jsonline", many).status, 200);
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    let before = samples(&server);
    let ask = |query: &str| server.get(&format!("/select/logsql/query?query={}", encoded(query))).status;
    assert_eq!(ask("many | stats count() n"), 200);
    assert_eq!(ask("many | sort by (_msg)"), 422);
    // A query is counted when its thread is done with it, which may be after its last byte was read.
    let done = |after: &BTreeMap<String, f64>| {
        grown(&before, after, "logyard_query_duration_seconds_count") >= 2.0 && after["logyard_queries_running"] == 0.0
    };
    let after = settled(&server, done);
    let grew = |key: &str| grown(&before, &after, key);
    assert_eq!(grew("logyard_query_duration_seconds_count"), 2.0);
    assert_eq!(grew(r#"logyard_queries_refused_total{bound="max_memory"}"#), 1.0);
    assert_eq!(grew(r#"logyard_query_errors_total{reason="query_memory"}"#), 1.0);
    assert_eq!(grew(r#"logyard_http_errors_total{reason="query_memory"}"#), 1.0);
    assert!(grew("logyard_query_read_bytes_total") > 0.0);
    assert!(grew("logyard_read_cache_misses_total") + grew("logyard_read_cache_hits_total") > 0.0);
    assert_eq!((after["logyard_queries_running"], after["logyard_queries_waiting"]), (0.0, 0.0));
    assert!(after["logyard_read_cache_bytes"] <= after["logyard_read_cache_max_bytes"]);
}

#[test]
fn the_process_is_shown() {
    let server = Server::start();
    let shown = samples(&server);
    assert!(shown["process_resident_memory_bytes"] > 1e6 && shown["process_open_fds"] >= 5.0);
    assert!(shown["process_cpu_seconds_total"] >= 0.0 && shown["process_threads"] >= 2.0);
    assert_eq!(shown[&format!("logyard_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
    assert!(shown["logyard_disk_total_bytes"] >= shown["logyard_disk_available_bytes"]);
    assert_eq!((shown["logyard_troubles"], shown["logyard_live_followers"]), (0.0, 0.0));
}
