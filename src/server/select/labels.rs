//! Which columns of a query's rows are labels of a metric, and which are metrics.
//!
//! Labels are the fields by which the last `stats` groups, as the pipes behind it name them; every other column is a metric.
//!
//! Invariant: no pipe behind `stats` may lose a label, or put something else in its place: two groups would be one.
use crate::server::error::ApiError;
use logyard_storage::query::Query;
use logyard_storage::query::pipe::{Pipe, Stats};

/// The labels, and what the metrics are called.
struct Columns {
    labels: Vec<String>,
    metrics: Vec<String>,
}

/// The labels of a query's rows.
pub(super) fn labels(query: &Query) -> Result<Vec<String>, ApiError> {
    let last = query.pipes.iter().rposition(|pipe| matches!(pipe, Pipe::Stats(_)));
    let behind = last.map(|at| query.pipes.split_at(at).1);
    let Some([Pipe::Stats(stats), behind @ ..]) = behind else {
        return Err(ApiError::bad("the query has no stats pipe: end it with one such as `| stats by (level) count()`"));
    };
    let mut columns = Columns::of(stats);
    for pipe in behind {
        columns.pass(pipe)?;
    }
    if columns.metrics.is_empty() {
        return Err(ApiError::bad("the query leaves no result of its stats pipe"));
    }
    Ok(columns.labels)
}

impl Columns {
    fn of(stats: &Stats) -> Self {
        Self {
            labels: stats.by.iter().map(|by| by.field.clone()).collect(),
            metrics: stats.functions.iter().map(|named| named.result.clone()).collect(),
        }
    }

    /// What becomes of them in a pipe.
    fn pass(&mut self, pipe: &Pipe) -> Result<(), ApiError> {
        match pipe {
            Pipe::Where(_) | Pipe::First(_) | Pipe::Sort(_) => {}
            Pipe::Math(math) => {
                for (_, result) in &math.entries {
                    self.check_stays(result)?;
                    self.metrics.push(result.clone());
                }
            }
            Pipe::Fields(fields) => self.keep(|name| fields.patterns.iter().any(|pattern| fits(pattern, name)))?,
            Pipe::Delete(delete) => self.keep(|name| !delete.patterns.iter().any(|pattern| fits(pattern, name)))?,
            Pipe::Copy(copy) => {
                for (from, to) in &copy.pairs {
                    self.replace(from, to, true)?;
                }
            }
            Pipe::Rename(rename) => {
                for (from, to) in &rename.pairs {
                    self.replace(from, to, false)?;
                }
            }
            // What it makes is taken for a label.
            Pipe::Format(format) => {
                self.check_stays(&format.result)?;
                self.metrics.retain(|name| *name != format.result);
                self.labels.push(format.result.clone());
            }
            other => {
                return Err(ApiError::bad(format!("`{other}` cannot stand behind the last stats pipe of this query")));
            }
        }
        Ok(())
    }

    fn check_stays(&self, name: &str) -> Result<(), ApiError> {
        match self.labels.iter().find(|label| fits(name, label)) {
            Some(label) => Err(ApiError::bad(format!("the field `{label}` makes groups, and cannot become another"))),
            None => Ok(()),
        }
    }

    fn keep(&mut self, keeps: impl Fn(&str) -> bool) -> Result<(), ApiError> {
        if let Some(label) = self.labels.iter().find(|label| !keeps(label)) {
            return Err(ApiError::bad(format!("the field `{label}` makes groups, and cannot be left out")));
        }
        self.metrics.retain(|name| keeps(name));
        Ok(())
    }

    fn replace(&mut self, from: &str, to: &str, stays: bool) -> Result<(), ApiError> {
        self.check_stays(to)?;
        self.metrics.retain(|name| !fits(to, name));
        for names in [&mut self.labels, &mut self.metrics] {
            let made: Vec<String> =
                names.iter().filter(|name| fits(from, name)).map(|name| moved(from, to, name)).collect();
            names.retain(|name| stays || !fits(from, name));
            names.extend(made);
        }
        Ok(())
    }
}

/// Whether a name is meant by a name, or by the beginning of one and a `*`.
fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |beginning| name.starts_with(beginning))
}

/// What a name becomes.
fn moved(from: &str, to: &str, name: &str) -> String {
    match (from.strip_suffix('*').and_then(|beginning| name.strip_prefix(beginning)), to.strip_suffix('*')) {
        (Some(rest), Some(beginning)) => format!("{beginning}{rest}"),
        _ => to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::query::parse;

    fn of(pipes: &str) -> Option<Vec<String>> {
        labels(&parse(&format!("* | {pipes}")).unwrap()).ok()
    }

    #[test]
    fn labels_are_followed_through_the_pipes() {
        for (pipes, wanted) in [
            ("stats count()", vec![]),
            ("stats by (a, b) count() n | sort by (n desc) limit 3 | filter n:>1", vec!["a", "b"]),
            ("stats by (a) count() n | stats by (b) sum(n)", vec!["b"]),
            ("stats by (a) count() n | math n * 2 as m | fields a, m", vec!["a"]),
            ("stats by (aa, ab) count() n | rename a* as x*", vec!["xa", "xb"]),
            ("stats by (a) count() n | copy a as b | format '<a>' as c", vec!["a", "b", "c"]),
            ("stats by (a) count() n, sum(x) s | delete n", vec!["a"]),
        ] {
            assert_eq!(of(pipes), Some(wanted.into_iter().map(str::to_owned).collect()), "{pipes}");
        }
    }

    #[test]
    fn a_label_is_not_lost() {
        for pipes in [
            "uniq by (a)",
            "stats by (a) count() n | fields n",
            "stats by (a) count() n | delete a",
            "stats by (a) count() n | math n as a",
            "stats by (a) count() n | rename n as a",
            "stats by (a) count() n | format 'x' as a",
            "stats by (a) count() n | fields a",
            "stats by (a) count() n | limit 1",
        ] {
            assert_eq!(of(pipes), None, "{pipes}");
        }
    }
}
