//! A query and all queries within it, one part after another.
//!
//! Invariant: what is within a query comes before the query itself, so that what is added to one is not visited.
use logyard_storage::query::Query;
use logyard_storage::query::filter::{Filter, Subquery, Test, TimeFilter, Values};
use logyard_storage::query::pipe::Pipe;

/// A part of a query.
pub(super) enum Part<'q> {
    /// A query.
    Query(&'q mut Query),
    /// A filter of times.
    Time(&'q mut TimeFilter),
}

/// Shows every part of a query and of the queries within it.
pub(super) fn visit(query: &mut Query, see: &mut dyn FnMut(Part<'_>)) {
    of_filter(&mut query.filter, see);
    query.pipes.iter_mut().for_each(|pipe| of_pipe(pipe, see));
    see(Part::Query(query));
}

fn of_filter(filter: &mut Filter, see: &mut dyn FnMut(Part<'_>)) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter_mut().for_each(|part| of_filter(part, see)),
        Filter::Not(inner) => of_filter(inner, see),
        Filter::Time(time) => see(Part::Time(time)),
        Filter::Field(field) => match &mut field.test {
            Test::In(values) | Test::ContainsAll(values) | Test::ContainsAny(values) => of_values(values, see),
            _ => {}
        },
        Filter::StreamId(streams) => of_values(&mut streams.ids, see),
        Filter::All | Filter::Fields(_) | Filter::Day(_) | Filter::Week(_) | Filter::Stream(_) => {}
    }
}

fn of_values(values: &mut Values, see: &mut dyn FnMut(Part<'_>)) {
    if let Values::Query(Subquery { query, .. }) = values {
        visit(query, see);
    }
}

fn of_pipe(pipe: &mut Pipe, see: &mut dyn FnMut(Part<'_>)) {
    let condition = match pipe {
        Pipe::StreamContext(pipe) => return of_filter(&mut pipe.within, see),
        Pipe::Where(pipe) => return of_filter(&mut pipe.filter, see),
        Pipe::Union(pipe) => return visit(&mut pipe.query, see),
        Pipe::Join(pipe) => return visit(&mut pipe.query, see),
        Pipe::Stats(pipe) => {
            let conditions = pipe.functions.iter_mut().filter_map(|named| named.condition.as_mut());
            return conditions.for_each(|condition| of_filter(condition, see));
        }
        Pipe::CollapseNums(pipe) => &mut pipe.condition,
        Pipe::Extract(pipe) => &mut pipe.condition,
        Pipe::ExtractRegexp(pipe) => &mut pipe.condition,
        Pipe::Format(pipe) => &mut pipe.condition,
        Pipe::Replace(pipe) => &mut pipe.condition,
        Pipe::ReplaceRegexp(pipe) => &mut pipe.condition,
        Pipe::UnpackJson(pipe) => &mut pipe.unpacking.condition,
        Pipe::UnpackLogfmt(pipe) => &mut pipe.unpacking.condition,
        Pipe::UnpackSyslog(pipe) => &mut pipe.condition,
        Pipe::Unroll(pipe) => &mut pipe.condition,
        // The others look at rows as they are.
        _ => return,
    };
    if let Some(condition) = condition {
        of_filter(condition, see);
    }
}
