//! A query as it would have been understood at another time.
//!
//! Invariant: a filter of times that says nothing of now stays what it is.
use super::within::{Part, visit};
use logyard_storage::query::filter::{Bound, Moment, TimeFilter, TimeRange};
use logyard_storage::query::{Query, duration, time_span, time_text};

/// Characters of a time down to the nanosecond, without the `Z`.
const TIME_CHARS: usize = "2026-05-28T10:00:00.000000000".len();

/// Makes what a query says of now mean another time.
pub(super) fn pin(query: &mut Query, now: i64) {
    visit(query, &mut |part| {
        if let Part::Time(TimeFilter { range, .. }) = part {
            pin_range(range, now);
        }
    });
}

fn pin_range(range: &mut TimeRange, now: i64) {
    let ago = |text: &str| now.saturating_sub(duration(text).unwrap_or(0).saturating_abs());
    let behind = at(now.saturating_add(1));
    match range {
        TimeRange::UntilNow => *range = TimeRange::Compared(Bound::Below, behind),
        TimeRange::Within(Moment::Ago(text), _) => *range = TimeRange::Between(true, at(ago(text)), behind, false),
        TimeRange::Compared(bound, Moment::Ago(text)) => {
            let ago = ago(text);
            // A duration counts backwards: more than an hour ago is before that.
            *range = match bound {
                Bound::Above => TimeRange::Compared(Bound::Below, at(ago)),
                Bound::From => TimeRange::Compared(Bound::Below, at(ago.saturating_add(1))),
                Bound::Below => TimeRange::Between(false, at(ago), behind, false),
                Bound::UpTo => TimeRange::Between(true, at(ago), behind, false),
            };
        }
        TimeRange::Within(time, _) | TimeRange::Compared(_, time) => pin_time(time, now),
        TimeRange::Between(_, from, to, _) => {
            pin_time(from, now);
            pin_time(to, now);
        }
    }
}

fn pin_time(moment: &mut Moment, now: i64) {
    let Moment::Time(text) = moment else { return };
    let (Some((then, _)), Some((later, _))) = (time_span(text, now), time_span(text, now.saturating_sub(1))) else {
        return;
    };
    if then != later {
        *moment = at(then);
    }
}

/// A single nanosecond: one that is written with fewer digits would mean the whole second, or the whole hour.
fn at(time: i64) -> Moment {
    let mut text = time_text(time);
    text.truncate(text.trim_end_matches('Z').len());
    if !text.contains('.') {
        text.push('.');
    }
    while text.len() < TIME_CHARS {
        text.push('0');
    }
    text.push('Z');
    Moment::Time(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::query::parse;

    fn pinned(text: &str) -> String {
        let mut query = parse(text).unwrap();
        pin(&mut query, time_span("2026-05-28T10:00:00.5Z", 0).unwrap().0);
        query.to_string()
    }

    #[test]
    fn what_is_relative_is_meant_for_the_moment() {
        let (from, to) = ("2026-05-28T09:55:00.500000000Z", "2026-05-28T10:00:00.500000001Z");
        assert_eq!(pinned("_time:5m"), parse(&format!("_time:[{from},{to})")).unwrap().to_string());
        assert_eq!(pinned("_time:<5m"), parse(&format!("_time:({from},{to})")).unwrap().to_string());
        assert_eq!(pinned("_time:>5m"), parse(&format!("_time:<{from}")).unwrap().to_string());
        assert_eq!(pinned("_time:offset 1h"), parse(&format!("_time:<{to} offset 1h")).unwrap().to_string());
        let absolute = "2026-05-28T10:00:00.500000000Z";
        assert_eq!(pinned("_time:[now-5m, now]"), parse(&format!("_time:[{from},{absolute}]")).unwrap().to_string());
    }

    #[test]
    fn what_is_within_other_queries_is_pinned_too_and_the_rest_stays() {
        for within in [
            "a:in(_time:5m | fields a)",
            "* | filter !(x or _time:5m)",
            "* | stats count() if (_time:5m) n",
            "* | union (_time:5m)",
            "* | format if (_time:5m) 'x' as y",
        ] {
            assert_eq!(pinned(within).matches("2026-05-28T09:55:00.5").count(), 1, "{within}");
        }
        for stays in
            ["_time:2026-05", "_time:[2024-01-01, 2024-01-02)", "_time:>=2024-01-01T10:00:00Z", "_time:1716890000"]
        {
            if let Ok(query) = parse(stays) {
                assert_eq!(pinned(stays), query.to_string());
            }
        }
    }
}
