//! Splitting and rebuilding: the same bytes come back, the variables are the words with digits, and damaged keys are
//! refused or harmless.
//!
//! Invariants
//! * What was split is rebuilt byte for byte, and no digit is left in the literal text of a shape.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::text::shape::{Shape, Split};
use logyard_storage::text::words;

fuzz_target!(|data: &[u8]| {
    if let Ok(shape) = Shape::parse(data) {
        let mut out = Vec::new();
        let pieces: Vec<&str> = shape.pieces().collect();
        assert_eq!(pieces.len(), shape.slots() + 1);
        assert_eq!(pieces.concat(), shape.literal());
        shape.rebuild([b"1".as_slice(), b"22"], &mut out);
        shape.display();
    }
    let text = String::from_utf8_lossy(data);
    let mut last = 0;
    let found: Vec<words::Word> = words::words(&text).collect();
    for word in &found {
        assert!(word.span.start >= last && word.span.end > word.span.start);
        let inside = &text[word.span.clone()];
        assert!(inside.chars().all(words::is_word));
        assert_eq!(word.has_digit, inside.bytes().any(|b| b.is_ascii_digit()));
        assert!(!text[last..word.span.start].chars().any(words::is_word));
        // A word ends where another character follows, or the text does.
        assert!(!text[word.span.end..].chars().next().is_some_and(words::is_word));
        last = word.span.end;
    }
    assert!(!text[last..].chars().any(words::is_word));
    assert_eq!(words::fold_text(&text).chars().count(), text.chars().count());
    let mut split = Split::default();
    if split.split(&text) {
        let shape = Shape::parse(&split.key).expect("a key that was just made");
        assert_eq!(shape.slots(), split.spans.len());
        let mut out = Vec::new();
        shape.rebuild(split.spans.iter().map(|(a, b)| &text.as_bytes()[*a as usize..*b as usize]), &mut out);
        assert_eq!(out, text.as_bytes());
        let digits: Vec<(u32, u32)> =
            found.iter().filter(|w| w.has_digit).map(|w| (w.span.start as u32, w.span.end as u32)).collect();
        assert_eq!(split.spans, digits);
        assert!(!shape.literal().bytes().any(|b| b.is_ascii_digit()));
    }
});
