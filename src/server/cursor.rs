//! Where a page of a search ended, as a text that clients hand back and only the server reads.
//!
//! Invariants
//! * A cursor names the last log of its page by what logs are ordered by, and the order. So the next page begins behind that log,
//!   whatever arrived or went meanwhile.
//! * A text that was not made here, or that lost something on its way, is no cursor.
use logyard_storage::engine::{Order, Position};
use std::fmt::Write;

/// What the bytes mean; another meaning gets another number.
const VERSION: u8 = 1;
/// Version, order, time, sequence number, check.
const BYTES: usize = 1 + 1 + 8 + 8 + 4;

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) order: Order,
    pub(super) place: Position,
}

impl Cursor {
    /// As text.
    pub(super) fn text(self) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend([VERSION, u8::from(self.order == Order::Oldest)]);
        bytes.extend(self.place.time.to_be_bytes());
        bytes.extend(self.place.seq.to_be_bytes());
        bytes.extend(check(&bytes).to_be_bytes());
        bytes.iter().fold(String::with_capacity(2 * BYTES), |mut text, byte| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
    }

    /// The cursor that a text is, if it is one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 2 * BYTES {
            return None;
        }
        let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.last()?)?);
        let bytes = text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
        let (said, rest) = bytes.split_last_chunk::<4>().map(|(said, check)| (said, u32::from_be_bytes(*check)))?;
        let (head, seq) = said.split_last_chunk::<8>()?;
        let (head, time) = head.split_last_chunk::<8>()?;
        let order = match head {
            [VERSION, 0] => Order::Newest,
            [VERSION, 1] => Order::Oldest,
            _ => return None,
        };
        let place = Position { time: i64::from_be_bytes(*time), seq: u64::from_be_bytes(*seq) };
        (check(said) == rest).then_some(Self { order, place })
    }
}

/// Tells texts that were changed on their way: FNV-1a.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        for order in [Order::Newest, Order::Oldest] {
            for (time, seq) in [(0, 0), (i64::MIN, u64::MAX), (1_780_000_000_123_456_789, 1 << 49)] {
                let cursor = Cursor { order, place: Position { time, seq } };
                let text = cursor.text();
                assert_eq!(Cursor::parse(&text), Some(cursor));
                for at in 0..text.len() {
                    let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
                    let mut changed = text.clone();
                    changed.replace_range(at..=at, other);
                    assert_eq!(Cursor::parse(&changed), None, "{changed}");
                }
                assert_eq!(Cursor::parse(&text[2..]), None);
            }
        }
        for wrong in ["", "x", &"z".repeat(2 * BYTES), &"é".repeat(BYTES), "019a2b3c-4d5e-7abc-8def-000000000001"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
