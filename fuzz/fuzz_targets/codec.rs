//! Envelopes and the little-endian pieces: any bytes are refused or read, also under a sound checksum.
//!
//! Invariants
//! * What was read and is written again gives the same bytes; no length is believed beyond what there is.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::catalog::{EffectRow, Meta, SegmentRecord, ServiceConfig};
use logyard_storage::codec::{self, Reader};
use serde::de::DeserializeOwned;

const MAGIC: [u8; 4] = *b"FUZZ";

fuzz_target!(|data: &[u8]| {
    drop(codec::open::<SegmentRecord>(MAGIC, 1, data));
    let envelope = mended(data);
    reopen::<Meta>(&envelope);
    reopen::<EffectRow>(&envelope);
    reopen::<SegmentRecord>(&envelope);
    reopen::<ServiceConfig>(&envelope);
    reopen::<Vec<(String, Vec<u64>)>>(&envelope);
    read_pieces(data);
});

/// An envelope around any payload.
fn mended(payload: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[1, 0, 0, 0]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out);
    crc.update(payload);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// What was read is written again as the same value.
fn reopen<T: DeserializeOwned + serde::Serialize>(envelope: &[u8]) {
    if let Ok(value) = codec::open::<T>(MAGIC, 1, envelope) {
        let sealed = codec::seal(MAGIC, 1, &value).expect("what could be read can be written");
        let back: T = codec::open(MAGIC, 1, &sealed).expect("what was written can be read");
        let again = codec::seal(MAGIC, 1, &back).expect("what could be read can be written");
        assert_eq!(sealed, again);
    }
}

/// Reads pieces as the bytes themselves say.
fn read_pieces(data: &[u8]) {
    let mut r = Reader::new(data);
    while let Ok(kind) = r.u8() {
        let before = r.remaining();
        let read = match kind % 9 {
            0 => r.varint().map(|value| {
                let mut out = Vec::new();
                codec::put_varint(&mut out, value);
                assert_eq!(Reader::new(&out).varint().expect("a varint that was just made"), value);
                assert_eq!(codec::zigzag(codec::unzigzag(value)), value);
            }),
            1 => r.bytes().map(|bytes| assert!(bytes.len() <= before)),
            2 => r.text().map(drop),
            3 => r.count(3).map(|n| assert!(n * 3 <= r.remaining())),
            4 => r.u16().map(drop),
            5 => r.u32().map(drop),
            6 => r.u64().map(drop),
            7 => r.i64().map(drop),
            _ => r.take(usize::from(kind)).map(drop),
        };
        if read.is_err() {
            return;
        }
    }
}
