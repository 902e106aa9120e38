//! JSON lines: what `row_to_json` of Postgres gives, or any program.
//!
//! Invariant: a line that is too long is passed over, not kept.
use super::super::flat;
use super::super::item::Digests;
use super::{Input, Settings, Taker};
use std::io::{BufRead, Read};

/// Bytes of a line.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Reads a file's lines.
pub(super) fn read(settings: &Settings, mut input: Input, taker: &mut dyn Taker) -> Result<(), String> {
    let (mut digests, mut line, mut number) = (Digests::default(), Vec::new(), 0u64);
    loop {
        line.clear();
        let before = number;
        let cannot = |e: std::io::Error| format!("it cannot be read behind line {before}: {e}");
        let read =
            input.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).map_err(cannot)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        taker.at(input.at());
        if read > LINE_BYTES_MAX {
            pass_over(&mut input).map_err(cannot)?;
            taker.bad(format!("line {number}: longer than {LINE_BYTES_MAX} bytes"))?;
            continue;
        }
        let text = match std::str::from_utf8(&line) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text,
            Err(_) => {
                taker.bad(format!("line {number}: not UTF-8"))?;
                continue;
            }
        };
        match flat::of_json(text).and_then(|fields| settings.item(fields, &mut digests)) {
            Ok(item) => taker.item(item)?,
            Err(what) => taker.bad(format!("line {number}: {what}"))?,
        }
    }
}

/// Passes over what is left of a line.
fn pass_over(input: &mut Input) -> std::io::Result<()> {
    loop {
        let (used, is_end) = {
            let there = input.reader.fill_buf()?;
            match there.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (there.len(), there.is_empty()),
            }
        };
        input.reader.consume(used);
        if is_end {
            return Ok(());
        }
    }
}
