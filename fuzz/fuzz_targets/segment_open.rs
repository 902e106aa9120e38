//! A segment from any bytes: as a file, as a footer, and as a block with sound checksums over wrong bytes.
//!
//! The first byte says which. In the modes that change a sample, the rest is edits of four bytes: a part, a place of
//! two bytes, and the byte to put there.
//!
//! Invariants
//! * What cannot be read is an error; only a panic, or memory without bound, is a fault.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::fuzzing::{self, BlockParts};
use std::sync::LazyLock;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| fuzzing::sample_segment().expect("the sample is sound"));
static BLOCK: LazyLock<BlockParts> = LazyLock::new(|| fuzzing::sample_block().expect("the sample is sound"));

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    // What cannot be read is an error; only a panic, or memory without bound, is a fault.
    match mode % 5 {
        0 => drop(fuzzing::open_segment(rest)),
        1 => drop(fuzzing::open_footer(rest, 1 << 20)),
        2 => {
            if let Ok(parts) = fuzzing::read_parts(rest) {
                drop(fuzzing::open_block(&parts));
            }
        }
        3 => {
            let mut parts = BLOCK.clone();
            for edit in rest.chunks_exact(4) {
                let [dense, codes, text] = &mut parts.spaces;
                let part = match edit[0] % 8 {
                    0..=2 => &mut parts.head,
                    3 => &mut parts.shapes,
                    4 => dense,
                    5 | 6 => codes,
                    _ => text,
                };
                put(part, edit);
            }
            drop(fuzzing::open_block(&parts));
        }
        _ => {
            let mut file = FILE.clone();
            rest.chunks_exact(4).for_each(|edit| put(&mut file, edit));
            drop(fuzzing::open_segment(&file));
        }
    }
});

fn put(part: &mut [u8], edit: &[u8]) {
    let at = usize::from(u16::from_le_bytes([edit[1], edit[2]]));
    if let Some(at) = at.checked_rem(part.len()) {
        part[at] = edit[3];
    }
}
