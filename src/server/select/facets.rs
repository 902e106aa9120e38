//! `/select/logsql/facets`: the values that come most often, of every field.
//!
//! Invariants
//! * The text is put together on this: the pipe gives the rows of a field one after another.
//! * Each value is counted to the answer's memory as the text grows (`whole.rs`).
use super::asked::Form;
use super::whole::{Answering, answer};
use crate::server::Server;
use crate::server::error::ApiError;
use axum::extract::State;
use axum::response::Response;
use logyard_storage::record::push_json_string;
use std::fmt::Write;
use std::sync::Arc;

/// `/select/logsql/facets`
pub(in crate::server) async fn facets(State(server): State<Arc<Server>>, form: Form) -> Result<Response, ApiError> {
    answer(server, form, found).await
}

fn found(asked: &mut Answering<'_>) -> Result<String, ApiError> {
    let mut pipe = String::from("facets");
    for (name, word) in
        [("limit", ""), ("max_values_per_field", "max_values_per_field "), ("max_value_len", "max_value_len ")]
    {
        match asked.params.count(name, 0, usize::MAX)? {
            0 => {}
            // Writing to a string cannot fail.
            count => drop(write!(pipe, " {word}{count}")),
        }
    }
    if asked.params.says("keep_const_fields") {
        pipe.push_str(" keep_const_fields");
    }
    asked.pipe_all(&pipe)?;
    // The rows of a field come together, and fields in their order.
    let (mut out, mut last) = (String::from("{\"facets\":["), None);
    asked.each_row(|block, row| {
        let text = |name: &str| block.column(name).value(row);
        let before = out.len();
        if last.as_deref() == Some(text("field_name")) {
            out.push(',');
        } else {
            out.push_str(if last.is_some() { "]},{\"field_name\":" } else { "{\"field_name\":" });
            push_json_string(&mut out, text("field_name"));
            out.push_str(",\"values\":[");
            last = Some(text("field_name").to_owned());
        }
        out.push_str("{\"field_value\":");
        push_json_string(&mut out, text("field_value"));
        let _infallible = write!(out, ",\"hits\":{}}}", text("hits"));
        Ok(out.len() - before)
    })?;
    out.push_str(if last.is_some() { "]}]}" } else { "]}" });
    Ok(out)
}
