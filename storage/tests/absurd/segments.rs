//! Segments, taken apart and put together again with a length that is far too large, each below checksums that are right.
use super::{ABSURD, ENVELOPE_BYTES, Places, read_through, with_number, with_varint};
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use logyard_storage::fuzzing::{self, BlockParts, IndexParts};

/// From 2 to the power of this on no part of a segment is as long.
const LARGE_BITS: u32 = 32;

/// Numbers of a footer stand in eight bytes each; its checksum is made right again.
pub(super) fn in_a_footer(disk: &SimSnapshot, places: &Places) -> Result<(), String> {
    let files = SimEnv::from_snapshot(disk, 1).files();
    let path =
        files.into_iter().map(|(path, _)| path).find(|path| path.extension().is_some_and(|s| s == "seg")).unwrap();
    let whole = SimEnv::from_snapshot(disk, 1).read_raw(&path).unwrap();
    let tail = whole.len() - 8;
    let footer = tail - u32::from_le_bytes(whole[tail..tail + 4].try_into().unwrap()) as usize;
    let first = footer + ENVELOPE_BYTES;
    let read = |file: &[u8]| {
        let env = SimEnv::from_snapshot(disk, 1);
        env.write_raw(&path, file).unwrap();
        read_through(&env);
    };
    places.some("footer", tail - 7 - first, |at| {
        let mut absurd = with_number(&whole, first + at);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&absurd[footer..first - 4]);
        crc.update(&absurd[first..tail]);
        absurd[first - 4..first].copy_from_slice(&crc.finalize().to_le_bytes());
        read(&absurd);
    })?;
    places.each("length of a footer", 32, |bit| {
        let mut absurd = whole.clone();
        absurd[tail..tail + 4].copy_from_slice(&(1u32 << bit).to_le_bytes());
        read(&absurd);
    })
}

/// In the head of a block, the directory of its pages included, in the pages, and in the table of shapes.
pub(super) fn in_a_block(file: &[u8], places: &Places) -> Result<(), String> {
    let parts = fuzzing::block_parts(file).unwrap();
    let mut head = Vec::new();
    let values = fuzzing::open_block_changed(&parts, |of_block| head = of_block.clone()).unwrap();
    assert!(values.read > 200 && head.len() > parts.head.len());
    places.each("head of a block", head.len(), |at| {
        fuzzing::open_block_changed(&parts, |head| *head = with_varint(head, at)).ok();
    })?;
    places.each("head of a block, numbers of eight bytes", head.len() - 7, |at| {
        fuzzing::open_block_changed(&parts, |head| *head = with_number(head, at)).ok();
    })?;
    for space in 0..parts.spaces.len() {
        let bytes = &parts.spaces[space];
        places.each("page", bytes.len(), |at| {
            // As long as it was, so that heads still find what they name.
            let mut absurd = with_varint(bytes, at);
            absurd.truncate(bytes.len());
            let mut parts = parts.clone();
            parts.spaces[space] = absurd;
            fuzzing::open_block(&parts).ok();
        })?;
    }
    places.each("table of shapes", parts.shapes.len(), |at| {
        let parts = BlockParts { shapes: with_varint(&parts.shapes, at), ..parts.clone() };
        fuzzing::open_block(&parts).ok();
    })
}

/// In what the index of shapes says of its files, and in the index of rows.
pub(super) fn in_indexes(file: &[u8], places: &Places) -> Result<(), String> {
    let parts = fuzzing::index_parts(file).unwrap();
    let (shapes, is_rebuilt, rows) = fuzzing::open_indexes(file, &parts).unwrap();
    assert!(shapes > 5 && !is_rebuilt && rows == Some(1), "{shapes} {is_rebuilt} {rows:?}");
    let open = |parts: IndexParts| drop(fuzzing::open_indexes(file, &parts));
    places.each("directory of the index", parts.directory.len(), |at| {
        open(IndexParts { directory: with_varint(&parts.directory, at), ..parts.clone() });
    })?;
    places.each("front of the index of rows", parts.row_front.len(), |at| {
        for byte in [0x7f, 0xff] {
            let mut parts = parts.clone();
            parts.row_front[at] = byte;
            open(parts);
        }
        open(IndexParts { row_front: with_varint(&parts.row_front, at), ..parts.clone() });
    })?;
    places.each("length of a shard of rows", 32, |bit| {
        open(IndexParts { shard_len: 1 << bit, ..parts.clone() });
    })?;
    places.each("shard of rows", parts.shard.len(), |at| {
        let shard = with_varint(&parts.shard, at);
        open(IndexParts { shard_len: shard.len() as u32, shard, ..parts.clone() });
    })
}

/// In effects, and in what zstd says of what it has compressed.
pub(super) fn in_pieces(file: &[u8], places: &Places) -> Result<(), String> {
    let raw = fuzzing::sample_effects();
    let compressed = |raw: &[u8]| zstd::bulk::compress(raw, 1).unwrap();
    assert_eq!(fuzzing::open_effects(&compressed(&raw), raw.len() as u64).unwrap(), 8);
    places.each("effects", raw.len(), |at| {
        let raw = with_varint(&raw, at);
        fuzzing::open_effects(&compressed(&raw), raw.len() as u64).ok();
    })?;
    let shapes = fuzzing::block_parts(file).unwrap().shapes;
    let whole = fuzzing::open_with_shapes(file, &compressed(&shapes), shapes.len() as u64).unwrap();
    assert_eq!(whole, fuzzing::open_segment(file).unwrap());
    let sound = zstd_frame(&shapes, shapes.len() as u64);
    assert_eq!(fuzzing::open_with_shapes(file, &sound, shapes.len() as u64).unwrap(), whole);
    // Smaller ones are within what a table of shapes may have, by its own bound.
    places.each("what zstd says", (u64::BITS - LARGE_BITS) as usize, |bit| {
        let (said, right) = (1 << (LARGE_BITS + bit as u32), shapes.len() as u64);
        for said in [said, said - 1, ABSURD | said] {
            for (frame, footer) in [(said, right), (right, said), (said, said)] {
                fuzzing::open_with_shapes(file, &zstd_frame(&shapes, frame), footer).ok();
                fuzzing::open_effects(&zstd_frame(&raw, frame), footer).ok();
            }
        }
    })
}

/// A frame of zstd with one block that is not compressed, and any length of its content.
fn zstd_frame(content: &[u8], said: u64) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
    frame.extend_from_slice(&said.to_le_bytes());
    frame.extend_from_slice(&((content.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(content);
    frame
}
