//! The page that is made from the table of metrics, and that the dashboard asks for no others.
//!
//! Invariants
//! * Only the test that is ignored writes the page; the others fail where it is not what the table says.
use super::table::{ALL, Kind, Metric};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

const INTRODUCTION: &str = "# Metrics

<!-- Made from src/server/metrics/table.rs by `cargo test metrics::reference -- --ignored`; do not edit. -->

`GET /metrics` gives them as Prometheus reads them, without a key. It costs about as much as a look at the sizes of the data directory;
every 15 seconds is often enough. Counters begin at 0 with the process. Of a histogram there are `_bucket`, `_sum` and `_count`; durations
are seconds. A route is its pattern, such as `/api/v1/logs/stats/{service}`, and `none` where there is no such route: there are no more
series than routes, whatever clients ask for.

```yaml
scrape_configs:
  - job_name: logyard
    static_configs: [{ targets: [\"127.0.0.1:7514\"] }]
```

[grafana-dashboard.json](grafana-dashboard.json) is a dashboard of them to import in Grafana (Dashboards, New, Import), with Prometheus as
its data source. [operations.md](operations.md) says which are worth an alert.

| metric | kind | labels | what |
|---|---|---|---|
";

fn page() -> String {
    let mut out = INTRODUCTION.to_owned();
    for metric in ALL {
        let Metric { name, kind, labels, .. } = metric;
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(out, "| `{name}` | {} | {} | {} |", kind.name(), labels.join(", "), metric.help()).unwrap();
    }
    out
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Words that could be names of metrics.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("logyard_") || word.starts_with("process_")).collect()
}

fn is_shown(name: &str) -> bool {
    ALL.iter().any(|metric| {
        let behind = name.strip_prefix(metric.name);
        match metric.kind {
            Kind::Histogram => behind.is_some_and(|behind| ["_bucket", "_sum", "_count"].contains(&behind)),
            _ => behind == Some(""),
        }
    })
}

#[test]
fn the_page_is_what_the_table_says() {
    let kept = std::fs::read_to_string(path("metrics.md")).unwrap();
    let made = page();
    let first = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(kept == made, "docs/metrics.md is old, see its second line; the first line that differs: {first:?}");
}

#[test]
fn names_say_what_they_count() {
    for metric in ALL {
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Histogram, metric.name.ends_with("_duration_seconds"), "{}", metric.name);
        assert!(!metric.help().is_empty() && !metric.help().contains('|'), "{}", metric.name);
    }
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn the_dashboard_and_the_pages_name_only_metrics_that_there_are() {
    for name in ["grafana-dashboard.json", "operations.md"] {
        let text = std::fs::read_to_string(path(name)).unwrap();
        let named = names(&text);
        assert!(named.len() >= 5, "{name} names {named:?}");
        for metric in named {
            // Prose may call a histogram by its name.
            let is_named = name.ends_with(".md") && ALL.iter().any(|of| of.name == metric);
            assert!(is_shown(metric) || is_named, "{name} names {metric}, which is not there");
        }
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path("grafana-dashboard.json")).unwrap()).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert!(!names(target["expr"].as_str().unwrap()).is_empty(), "{target}");
        }
    }
}

#[test]
#[ignore = "writes the page anew"]
fn write_the_page() {
    std::fs::write(path("metrics.md"), page()).unwrap();
}
