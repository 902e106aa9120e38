//! The text that Prometheus reads: for each metric what it is, and its samples.
//!
//! Invariant: whatever is in a label, a sample is one line, and each metric's lines stand together.
use super::table::Metric;
use logyard_storage::durations::{DurationCounts, STEPS};
use std::fmt::{Display, Write};

/// The text so far.
#[derive(Default)]
pub(super) struct Page(String);

/// A label of a sample.
pub(super) type Label<'a> = (&'a str, &'a str);

impl Page {
    /// Begins a metric; its samples follow.
    pub(super) fn begin(&mut self, metric: &Metric) -> Samples<'_> {
        let (name, help) = (metric.name, metric.help().replace('\\', "\\\\").replace('\n', "\\n"));
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", metric.kind.name()));
        Samples { page: self, name }
    }

    /// A metric with one sample.
    pub(super) fn put(&mut self, metric: &Metric, value: impl Display) {
        self.begin(metric).put(&[], value);
    }

    /// A histogram without labels.
    pub(super) fn put_durations(&mut self, metric: &Metric, counts: &DurationCounts) {
        self.begin(metric).put_durations(&[], counts);
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _infallible = writeln!(self.0, "{line}");
    }
}

/// Samples of a metric that has begun.
pub(super) struct Samples<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Samples<'_> {
    /// A sample.
    pub(super) fn put(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.page.line(format_args!("{}{} {value}", self.name, shown(labels)));
    }

    /// The samples of a histogram: how many took at most so long, for each step.
    pub(super) fn put_durations(&mut self, labels: &[Label<'_>], durations: &DurationCounts) {
        let name = self.name;
        let mut count = 0;
        let steps = STEPS.iter().map(|step| step.as_secs_f64().to_string()).chain(["+Inf".to_owned()]);
        for (step, more) in steps.zip(durations.counts) {
            count += more;
            let mut labels = labels.to_vec();
            labels.push(("le", &step));
            self.page.line(format_args!("{name}_bucket{} {count}", shown(&labels)));
        }
        let labels = shown(labels);
        self.page.line(format_args!("{name}_sum{labels} {}", durations.total.as_secs_f64()));
        self.page.line(format_args!("{name}_count{labels} {count}"));
    }
}

/// Labels as they are written.
fn shown(labels: &[Label<'_>]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let label = |(name, value): &Label<'_>| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{{}}}", labels.iter().map(label).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::super::table::{ERRORS, ROWS, SEAL};
    use super::*;
    use logyard_storage::durations::Durations;
    use std::time::Duration;

    #[test]
    fn samples_are_lines_whatever_is_in_labels() {
        let mut page = Page::default();
        page.put(&ROWS, 7);
        page.begin(&ERRORS).put(&[("reason", "a\"b\\\n")], 1.5);
        let text = page.into_text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..3], ["# HELP logyard_rows Rows in all", "# TYPE logyard_rows gauge", "logyard_rows 7"]);
        assert_eq!(lines[5], r#"logyard_http_errors_total{reason="a\"b\\\n"} 1.5"#);
    }

    #[test]
    fn steps_of_a_histogram_add_up() {
        let durations = Durations::default();
        for millis in [1, 3, 60_000] {
            durations.note(Duration::from_millis(millis));
        }
        let mut page = Page::default();
        page.put_durations(&SEAL, &durations.read());
        let text = page.into_text();
        for line in [
            "_bucket{le=\"0.0005\"} 0",
            "_bucket{le=\"0.001\"} 1",
            "_bucket{le=\"0.005\"} 2",
            "_bucket{le=\"30\"} 2",
            "_bucket{le=\"+Inf\"} 3",
            "_sum 60.004",
            "_count 3",
        ] {
            assert!(text.contains(&format!("logyard_seal_duration_seconds{line}\n")), "{line} in {text}");
        }
    }
}
