//! Names of objects, below a target's prefix.
//!
//! Invariants
//! * A segment's name is made of what is in it, so that two that are called the same are the same.

/// The folder of segments.
pub(crate) const SEGMENTS: &str = "segments";

/// The object of a segment of a day, by the digest of its bytes.
pub(crate) fn segment_object(day: &str, digest: &[u8; 32]) -> String {
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{SEGMENTS}/{day}/{hex}.seg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_day_and_what_is_in_it() {
        let name = segment_object("2026-11-30", &[0xab; 32]);
        assert_eq!(name, format!("segments/2026-11-30/{}.seg", "ab".repeat(32)));
    }
}
