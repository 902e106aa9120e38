//! Numbers that are spelled in ASCII digits, read eight digits at a time.
//!
//! Invariants
//! * Anything but digits is no number; leading zeros are allowed and lost.

/// Digits of the longest number that is read.
pub(crate) const NUMBER_DIGITS_MAX: usize = 18;

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The number that one to [`NUMBER_DIGITS_MAX`] digits spell.
#[inline]
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    match *word {
        [] => None,
        [a] => {
            let digit = a.wrapping_sub(b'0');
            (digit < 10).then_some(u64::from(digit))
        }
        // The last of eight characters is in the highest byte; what is missing in front is zeros.
        [a, b] => eight(ZEROS >> 16 | u64::from(a) << 48 | u64::from(b) << 56),
        [a, b, c] => eight(ZEROS >> 24 | u64::from(a) << 40 | u64::from(b) << 48 | u64::from(c) << 56),
        _ if word.len() > NUMBER_DIGITS_MAX => None,
        _ => match word.split_last_chunk::<8>() {
            Some(([], last)) => eight(u64::from_le_bytes(*last)),
            Some((front, last)) => Some(number(front)? * 100_000_000 + eight(u64::from_le_bytes(*last))?),
            None => {
                // Four to seven characters: the first four and the last four, which overlap.
                let missing = 8 * (8 - word.len()) as u32;
                let (first, last) = (word.first_chunk::<4>()?, word.last_chunk::<4>()?);
                let (first, last) = (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
                eight(last << 32 | first << missing | ZEROS & ((1 << missing) - 1))
            }
        },
    }
}

/// The number of eight digits, the first in the lowest byte.
#[inline]
fn eight(digits: u64) -> Option<u64> {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    // A digit has 3 above, and still has when 6 is added.
    if (digits & HIGH) != ZEROS || (digits.wrapping_add(0x0606_0606_0606_0606) & HIGH) != ZEROS {
        return None;
    }
    let pairs = (digits & 0x0F0F_0F0F_0F0F_0F0F).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00FF_00FF_00FF_00FF).wrapping_mul(100 << 16 | 1) >> 16;
    Some((fours & 0x0000_FFFF_0000_FFFF).wrapping_mul(10_000 << 32 | 1) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_digit_is_no_number() {
        for len in 1..=NUMBER_DIGITS_MAX {
            for at in 0..len {
                for byte in (0..=255u8).filter(|byte| !byte.is_ascii_digit()) {
                    let mut word = vec![b'7'; len];
                    word[at] = byte;
                    assert_eq!(number(&word), None, "{word:?}");
                }
            }
        }
        assert_eq!((number(b""), number(&[b'1'; NUMBER_DIGITS_MAX + 1])), (None, None));
    }

    proptest! {
        #[test]
        fn numbers_are_what_they_spell(word in "[0-9]{1,18}") {
            prop_assert_eq!(number(word.as_bytes()), word.parse().ok());
        }
    }
}
