//! A lane: one field in one of its types, the unit of columns in a batch and in a block.
//!
//! Invariants
//! * A row has at most one value in all lanes of one field path.
//! * A kind fixes how values come back: the kind and the stored bytes give the text that was sent, exactly.
use crate::record::ValueKind;
use crate::text::digits;

/// The type of a lane's values, as they were sent and as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LaneKind {
    /// Strings, shaped.
    String,
    /// Numbers that are not canonical 64-bit integers, their spelling shaped.
    Number,
    /// Arrays and empty objects, their JSON text shaped.
    Json,
    /// Integers in their canonical spelling.
    Int,
    /// `true` and `false`.
    Bool,
    /// `null`.
    Null,
    /// Strings of an even number of hex digits, as this many bytes.
    Hex {
        /// Bytes of a value.
        width: u8,
        /// Whether its letters are upper case.
        upper: bool,
    },
    /// UUIDs with dashes.
    Uuid {
        /// Whether its letters are upper case.
        upper: bool,
    },
}

impl LaneKind {
    /// Two bytes that name the kind on disk.
    pub fn code(self) -> [u8; 2] {
        match self {
            Self::String => [0, 0],
            Self::Number => [1, 0],
            Self::Json => [2, 0],
            Self::Int => [3, 0],
            Self::Bool => [4, 0],
            Self::Null => [5, 0],
            Self::Hex { width, upper } => [6 + u8::from(upper), width],
            Self::Uuid { upper } => [8 + u8::from(upper), 16],
        }
    }

    /// The kind of a code; nothing where no kind has it.
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        Some(match code {
            [0, 0] => Self::String,
            [1, 0] => Self::Number,
            [2, 0] => Self::Json,
            [3, 0] => Self::Int,
            [4, 0] => Self::Bool,
            [5, 0] => Self::Null,
            [6, width] if HEX_WIDTHS.contains(&width) => Self::Hex { width, upper: false },
            [7, width] if HEX_WIDTHS.contains(&width) => Self::Hex { width, upper: true },
            [8, 16] => Self::Uuid { upper: false },
            [9, 16] => Self::Uuid { upper: true },
            _ => return None,
        })
    }

    /// Whether its values are shaped text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Number | Self::Json)
    }

    /// Bytes of a value where all values have as many.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::String | Self::Number | Self::Json => None,
            Self::Int => Some(8),
            Self::Bool => Some(1),
            Self::Null => Some(0),
            Self::Hex { width, .. } => Some(usize::from(width)),
            Self::Uuid { .. } => Some(16),
        }
    }

    /// What its values were in JSON.
    pub fn value_kind(self) -> ValueKind {
        match self {
            Self::String | Self::Hex { .. } | Self::Uuid { .. } => ValueKind::String,
            Self::Number | Self::Int => ValueKind::Number,
            Self::Json => ValueKind::Json,
            Self::Bool => ValueKind::Bool,
            Self::Null => ValueKind::Null,
        }
    }

    /// Appends the text of a value that is stored in fixed width.
    pub fn push_text(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::String | Self::Number | Self::Json => out.extend_from_slice(bytes),
            Self::Int => {
                let value = i64::from_le_bytes(bytes.try_into().unwrap_or_default());
                push_int(value, out);
            }
            Self::Bool => out.extend_from_slice(if bytes == [1] { b"true" } else { b"false" }),
            Self::Null => {}
            Self::Hex { upper, .. } => push_hex(bytes, upper, out),
            Self::Uuid { upper } => {
                for (i, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
                    if i > 0 {
                        out.push(b'-');
                    }
                    push_hex(bytes.get(part).unwrap_or_default(), upper, out);
                }
            }
        }
    }
}

/// Byte widths that a hex lane can have: 64-bit ids, object ids, trace ids, SHA-1, SHA-256.
const HEX_WIDTHS: [u8; 5] = [8, 12, 16, 20, 32];

/// Appends a number in its canonical spelling.
pub fn push_int(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

fn push_hex(bytes: &[u8], upper: bool, out: &mut Vec<u8>) {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(digits.get(usize::from(nibble)).copied().unwrap_or(b'0'));
        }
    }
}

/// Reads the canonical spelling of an integer of at most 18 digits.
pub fn canonical_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let leading_zero = digits.first() == Some(&b'0') && (digits.len() > 1 || negative);
    if leading_zero {
        return None;
    }
    let value = digits::number(digits)? as i64;
    Some(if negative { -value } else { value })
}

/// 0 to 15 for a hex digit; bit 4 marks an upper-case letter, bit 5 a lower-case one, 0x80 anything else.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler")]
static NIBBLE: [u8; 256] = {
    let mut table = [0x80; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            c @ b'0'..=b'9' => c - b'0',
            c @ b'a'..=b'f' => (c - b'a' + 10) | 0x20,
            c @ b'A'..=b'F' => (c - b'A' + 10) | 0x10,
            _ => 0x80,
        };
        i += 1;
    }
    table
};

fn nibble(byte: u8) -> u8 {
    NIBBLE.get(usize::from(byte)).copied().unwrap_or(0x80)
}

/// The kind and bytes of a string of hex digits or a UUID with letters of one case, into `out`.
pub fn hex_or_uuid(text: &[u8], out: &mut [u8; 32]) -> Option<LaneKind> {
    let is_uuid = text.len() == 36;
    if !is_uuid && (text.len() % 2 == 1 || !HEX_WIDTHS.contains(&((text.len() / 2).min(255) as u8))) {
        return None;
    }
    let (mut seen, mut filled, mut high) = (0u8, 0, None);
    for (at, byte) in text.iter().enumerate() {
        if is_uuid && matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let value = nibble(*byte);
        seen |= value;
        if value & 0x80 != 0 {
            return None;
        }
        match high.take() {
            None => high = Some(value << 4),
            Some(high) => {
                *out.get_mut(filled)? = high | (value & 15);
                filled += 1;
            }
        }
    }
    let upper = match seen & 0x30 {
        // Digits alone are a number to everyone but a UUID's owner.
        0 if !is_uuid => return None,
        0 | 0x20 => false,
        0x10 => true,
        _ => return None,
    };
    Some(if is_uuid { LaneKind::Uuid { upper } } else { LaneKind::Hex { width: filled as u8, upper } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_uuids_come_back_in_their_case() {
        for text in [
            "00112233445566aa",
            "00112233445566778899aabbccddeeff",
            "00112233445566778899AABBCCDDEEFF",
            "550e8400-e29b-41d4-a716-446655440000",
            "550E8400-E29B-41D4-A716-446655440000",
            "00000000-0000-0000-0000-000000000000",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            let mut bytes = [0; 32];
            let kind = hex_or_uuid(text.as_bytes(), &mut bytes).unwrap();
            assert_eq!(LaneKind::from_code(kind.code()), Some(kind));
            let mut out = Vec::new();
            kind.push_text(&bytes[..kind.width().unwrap()], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        for text in [
            "",
            "aB112233445566aa",
            "0011223344556677",
            "xyz",
            "550e8400-e29b-41d4-a716_446655440000",
            "00112233445566a",
        ] {
            assert_eq!(hex_or_uuid(text.as_bytes(), &mut [0; 32]), None, "{text}");
        }
    }

    #[test]
    fn only_canonical_integers_are_integers() {
        for value in [0, 7, -7, 123_456_789_012_345_678, -999_999_999_999_999_999] {
            let mut text = Vec::new();
            push_int(value, &mut text);
            assert_eq!(canonical_int(&text), Some(value));
        }
        for text in ["", "-", "-0", "01", "1.0", "1e3", "+1", "1234567890123456789", " 1"] {
            assert_eq!(canonical_int(text.as_bytes()), None, "{text}");
        }
        let mut text = Vec::new();
        push_int(i64::MIN, &mut text);
        assert_eq!(text, b"-9223372036854775808");
    }
}
