//! Batches from any bytes, and from rows that the bytes describe: what parses can be read to the last value.
//!
//! Invariants
//! * A batch that was built has every text as it was sent; one that is damaged is refused, or can be read to its end.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::batch::{Batch, BatchBuilder, LaneView};
use logyard_storage::codec::Reader;
use logyard_storage::text::shape::Shape;

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => {
            let at = rest.len().min(usize::from(*mode));
            let (shapes, columns) = rest.split_at(at);
            read(Batch::parse(columns, shapes));
        }
        1 => build(rest, &[]),
        // Rows first, then edits of three bytes: a place and a byte.
        _ => {
            let (rows, edits) = rest.split_at(rest.len() / 2);
            build(rows, edits);
        }
    }
});

/// Makes a batch of the rows that the bytes describe, and damages it by the edits.
fn build(data: &[u8], edits: &[u8]) {
    let mut builder = BatchBuilder::new();
    let (mut names, mut sent) = (Reader::new(data), Vec::new());
    while let (Ok(kind), Ok(text)) = (names.u8(), names.bytes()) {
        let text = String::from_utf8_lossy(text);
        let name = ["_msg", "a", "b.c", "service_name"][usize::from(kind >> 6)];
        if sent.is_empty() || kind & 32 != 0 {
            if !sent.is_empty() {
                builder.commit_row();
            }
            builder.begin_row();
        }
        match kind & 7 {
            0 | 1 | 2 => builder.string(name, &text),
            3 => builder.number(name, &text),
            4 => builder.bool(name, kind & 8 != 0),
            5 => builder.null(name),
            6 => builder.json(name, &text),
            _ => builder.time(i64::from(kind) << 40),
        }
        sent.push((kind, text.into_owned()));
        if builder.is_full() {
            break;
        }
    }
    if !sent.is_empty() {
        builder.commit_row();
    }
    let batch = builder.finish().expect("a batch that was just built is sound");
    // Each text was sent in some spelling, and comes back in it.
    let mut texts = read(Ok(batch.clone())).expect("a batch that was just built can be read");
    let mut expected: Vec<Vec<u8>> = sent
        .iter()
        .filter_map(|(kind, text)| match kind & 7 {
            0..=3 | 6 => Some(text.clone().into_bytes()),
            4 => Some(if kind & 8 != 0 { b"true".to_vec() } else { b"false".to_vec() }),
            5 => Some(Vec::new()),
            _ => None,
        })
        .collect();
    texts.sort_unstable();
    expected.sort_unstable();
    assert_eq!(texts, expected);
    let (mut columns, mut shapes) = (batch.columns().to_vec(), batch.shapes().to_vec());
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let all = columns.len() + shapes.len();
        match at % all.max(1) {
            at if at < columns.len() => columns[at] = edit[2],
            at => {
                if let Some(byte) = shapes.get_mut(at - columns.len()) {
                    *byte = edit[2];
                }
            }
        }
    }
    read(Batch::parse(columns, shapes));
}

/// Every value of a batch as its text.
fn read(parsed: logyard_storage::error::Result<Batch>) -> Option<Vec<Vec<u8>>> {
    let batch = parsed.ok()?;
    let keys: Vec<&[u8]> = batch.shape_keys().map(|key| key.expect("parse has read every key")).collect();
    let mut shapes = vec![Shape::whole()];
    shapes.extend(keys.iter().map(|key| Shape::parse(key).expect("parse has read every key")));
    assert_eq!(shapes.len(), batch.shape_count() + 1);
    assert_eq!(batch.times().count(), batch.rows());
    for row in 0..batch.rows() {
        assert!(batch.stream_of(row) < batch.streams().len());
    }
    // Values without bytes cost a batch nothing, but would cost a list of them a lot.
    if batch.lanes().map(|lane| lane.count).sum::<usize>() > 1 << 20 {
        return None;
    }
    let mut texts = Vec::new();
    for lane in batch.lanes() {
        assert!(lane.field < batch.fields().len());
        batch.fields()[lane.field].parts().count();
        assert_eq!(lane.rows().count(), lane.count);
        assert!(lane.rows().all(|row| row < batch.rows()));
        read_lane(lane, &shapes, &mut texts);
    }
    Some(texts)
}

fn read_lane(lane: LaneView<'_>, shapes: &[Shape<'_>], texts: &mut Vec<Vec<u8>>) {
    if !lane.kind.is_text() {
        for value in 0..lane.count {
            let mut text = Vec::new();
            lane.push_text(value, &mut text);
            texts.push(text);
        }
        return;
    }
    let (mut lengths, mut variables) = (Reader::new(lane.lengths), Reader::new(lane.variables));
    for local in lane.shapes() {
        let shape = shapes[usize::from(local)];
        let mut text = Vec::new();
        let words: Vec<&[u8]> = (0..shape.slots())
            .map(|_| variables.take(lengths.varint().expect("parse has read it") as usize).expect("parse has read it"))
            .collect();
        shape.rebuild(words, &mut text);
        texts.push(text);
    }
    assert_eq!((lengths.remaining(), variables.remaining()), (0, 0));
}
