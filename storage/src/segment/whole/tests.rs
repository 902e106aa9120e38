//! Whole texts as they went in, in either form; what is chosen when; and bytes that are wrong.
use super::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;

/// A lane's whole texts, stored.
struct Stored {
    bytes: Vec<u8>,
    pages: Pages,
    head: WholeHead,
    count: usize,
}

impl Stored {
    fn new(count: usize, put: impl FnOnce(&mut PageWriter, &mut Vec<u8>)) -> Self {
        let (mut writer, mut head, mut directory) = (PageWriter::default(), Vec::new(), Vec::new());
        // So that no stream begins where its space does.
        for space in [Space::Dense, Space::Codes, Space::Text] {
            writer.put(space, b"something else");
        }
        put(&mut writer, &mut head);
        let bytes = writer.finish(&mut directory);
        let mut reader = Reader::new(&head);
        let read = WholeHead::read(&mut reader).unwrap();
        assert_eq!(reader.remaining(), 0);
        Self { pages: Pages::read(&mut Reader::new(&directory), 0).unwrap(), bytes, head: read, count }
    }

    fn chosen(texts: &[impl AsRef<[u8]>]) -> Self {
        let texts: Vec<&[u8]> = texts.iter().map(AsRef::as_ref).collect();
        Self::new(texts.len(), |pages, head| put(&texts, pages, head))
    }

    fn coded(texts: &[impl AsRef<[u8]>]) -> Self {
        let texts: Vec<&[u8]> = texts.iter().map(AsRef::as_ref).collect();
        let bytes = texts.iter().map(|text| text.len()).sum();
        Self::new(texts.len(), |pages, head| encode(&texts).unwrap().put(bytes, pages, head))
    }

    /// As lines, nothing where too few of them come again.
    fn lined(texts: &[impl AsRef<[u8]>]) -> Option<Self> {
        let bytes = texts.iter().map(|text| text.as_ref().len()).sum();
        let strings: Vec<&str> = texts.iter().map(|text| std::str::from_utf8(text.as_ref()).unwrap()).collect();
        let lined = lines::encode(&strings)?;
        Some(Self::new(texts.len(), |pages, head| put_lined(&lined, bytes, pages, head)))
    }

    fn is_lined(&self) -> bool {
        matches!(self.head, WholeHead::Lined { .. })
    }

    /// Compares what a sieve lets pass with what is in the texts.
    fn check_sieve(&self, texts: &[String], wanted: &[String]) {
        let has = |word: &str| wanted.iter().rev().fold(0, |bits, part| bits << 1 | u8::from(word.contains(part)));
        let may = |letters: Letters| {
            wanted
                .iter()
                .rev()
                .fold(0, |bits, part| bits << 1 | u8::from(letters.have(Letters::of(part.as_bytes()), false)))
        };
        let all = (1u8 << wanted.len()) - 1;
        let parts = wanted.iter().map(String::as_str);
        let literals: Option<Vec<&str>> = wanted.iter().all(|part| !part.is_empty()).then(|| parts.collect());
        // What is asked of each word and what is found by its bytes first are the same.
        for literals in [None, literals] {
            self.check_sought(texts, wanted, &Sought { all, has: &has, may: &may, literals });
        }
    }

    fn check_sought(&self, texts: &[String], wanted: &[String], sought: &Sought<'_>) {
        let keeper = Keeps::default();
        // From what was kept the second time.
        for _ in 0..2 {
            self.check_sieve_of(&mut self.open_by(&keeper), texts, wanted, sought);
        }
        self.check_sieve_of(&mut self.open(), texts, wanted, sought);
    }

    fn check_sieve_of(&self, open: &mut WholeTexts<'_>, texts: &[String], wanted: &[String], sought: &Sought<'_>) {
        let Some(sieve) = open.sieve(sought).unwrap() else {
            return assert!(matches!(self.head, WholeHead::Plain { .. }));
        };
        let expected = |text: &String| wanted.iter().all(|part| text.contains(part));
        let expected: Vec<u32> =
            (0u32..).zip(texts).filter(|(_, text)| expected(text)).map(|(index, _)| index).collect();
        let some = texts.len() / 3..texts.len() / 2;
        let of_some: Vec<u32> = expected.iter().copied().filter(|index| some.contains(&(*index as usize))).collect();
        assert_eq!(open.sift(&sieve, sought, (some.start, some.end)).unwrap(), of_some);
        assert_eq!(open.sift(&sieve, sought, (0, texts.len())).unwrap(), expected);
    }

    fn is_coded(&self) -> bool {
        matches!(self.head, WholeHead::Coded { .. })
    }

    fn open(&self) -> WholeTexts<'_> {
        self.open_by(&Afresh)
    }

    fn open_by<'a>(&'a self, keeper: &'a dyn Keeper) -> WholeTexts<'a> {
        self.head.open(self.count, &self.pages, &self.bytes, keeper).unwrap()
    }

    /// Compares all texts, one by one and together.
    fn check(&self, texts: &[impl AsRef<[u8]>]) {
        let texts: Vec<&[u8]> = texts.iter().map(AsRef::as_ref).collect();
        let (starts, bytes) = self.open().all().unwrap();
        assert_eq!(bytes, texts.concat());
        assert_eq!(self.head.bytes(), bytes.len());
        let expected = [0].into_iter().chain(texts.iter().scan(0, |at, text| {
            *at += text.len() as u32;
            Some(*at)
        }));
        assert_eq!(starts, expected.collect::<Vec<_>>());
        let mut one_by_one = self.open();
        for index in (0..texts.len()).rev().step_by(texts.len() / 100 + 1) {
            one_by_one.load(index, index + 1).unwrap();
            assert_eq!(one_by_one.get(index), texts[index], "text {index}");
        }
        let (from, to) = (texts.len() / 3, texts.len() / 2);
        one_by_one.load(from, to).unwrap();
        (from..to).for_each(|index| assert_eq!(one_by_one.get(index), texts[index]));
    }
}

/// Keeps all that it is given.
#[derive(Default)]
struct Keeps(RefCell<HashMap<Part, Arc<Opened>>>);

impl Keeper for Keeps {
    fn opened(&self, part: Part, open: &dyn Fn() -> Result<Opened>) -> Result<Arc<Opened>> {
        if let Some(kept) = self.0.borrow().get(&part) {
            return Ok(Arc::clone(kept));
        }
        let opened = Arc::new(open()?);
        self.0.borrow_mut().insert(part, Arc::clone(&opened));
        Ok(opened)
    }
}

/// What has a `b`.
fn has_b() -> Sought<'static> {
    Sought { all: 1, has: &|word| u8::from(word.contains('b')), may: &|_| 1, literals: Some(vec!["b"]) }
}

/// Splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn word(&mut self, words: u64) -> String {
        let mut rest = self.below(words).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let mut word = String::new();
        while rest > 0 {
            word.push(char::from(b'a' + (rest % 26) as u8));
            rest /= 26;
        }
        word
    }

    fn text(&mut self, tokens: u64, words: u64) -> String {
        (0..tokens).map(|_| self.word(words)).collect::<Vec<_>>().join(" ")
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-c]{1,2}",
        4 => Just(" ".to_string()),
        3 => prop::sample::select(vec!["  ", ", ", "\n\tat ", "é", "日本語", "²", "→", "\u{0}", "\u{FF}", "\u{10FFFF}", "_"])
            .prop_map(str::to_string),
        1 => r"(\PC|[\x00-\x1F]){0,4}",
        1 => "[0-9]{1,6}",
        1 => (250usize..260).prop_map(|n| "w".repeat(n)),
    ]
}

proptest! {
    #[test]
    fn texts_come_back(
        texts in prop::collection::vec(prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat()), 0..60),
    ) {
        Stored::coded(&texts).check(&texts);
        Stored::chosen(&texts).check(&texts);
    }

    #[test]
    fn what_the_words_say_is_what_texts_say(
        texts in prop::collection::vec(prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat()), 0..40),
        wanted in prop::collection::vec("[a-c]{1,2}|é|[0-9]", 1..4),
    ) {
        Stored::coded(&texts).check_sieve(&texts, &wanted);
    }

    #[test]
    fn lines_come_back_and_say_what_texts_say(
        lines in prop::collection::vec(prop::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat()), 1..6),
        texts in prop::collection::vec(
            prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just("\n"), Just("\n"), Just("\n\n"), Just("")]), 0..9),
            0..60,
        ),
        numbers in prop::collection::vec(0u32..200, 40),
        more in prop::collection::vec(prop::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat()), 0..3),
        wanted in prop::collection::vec("[a-c]{1,2}|é|[0-9]{1,2}|[a-c][0-9]", 1..4),
    ) {
        let mut numbers = numbers.iter().cycle();
        let mut text = |parts: &Vec<(prop::sample::Index, &str)>| -> String {
            let part = |(line, end): &(prop::sample::Index, &str)| {
                format!("{} {}x{}{end}", lines[line.index(lines.len())], numbers.next().unwrap(), numbers.next().unwrap())
            };
            parts.iter().map(part).collect()
        };
        let mut texts: Vec<String> = texts.iter().map(&mut text).collect();
        texts.extend(more);
        Stored::chosen(&texts).check(&texts);
        if let Some(stored) = Stored::lined(&texts) {
            stored.check(&texts);
            stored.check_sieve(&texts, &wanted);
        }
    }

    #[test]
    fn streams_of_anything_are_refused_or_read(
        listed in prop::collection::vec(prop_oneof![any::<u8>(), Just(255u8), Just(b'a')], 0..40),
        codes in prop::collection::vec(prop_oneof![any::<u8>(), Just(255u8), 0u8..4], 0..40),
        spelled in prop::collection::vec(prop_oneof![any::<u8>(), Just(255u8), Just(b'b')], 0..40),
        lengths in (prop::collection::vec(0usize..30, 3), prop::collection::vec(0usize..30, 3)),
        bytes in prop_oneof![0usize..60, Just(usize::MAX >> 1)],
        is_right in any::<bool>(),
    ) {
        let fit = |mut lengths: Vec<usize>, len: usize| {
            if is_right {
                lengths[0] = lengths[0].min(len);
                lengths[1] = lengths[1].min(len - lengths[0]);
                lengths[2] = len - lengths[0] - lengths[1];
            }
            lengths.iter().for_each(|n| assert!(*n < 128));
            lengths.into_iter().map(|n| n as u8).collect::<Vec<u8>>()
        };
        let code_lengths = fit(lengths.0, codes.len());
        let spelled_lengths = fit(lengths.1, spelled.len());
        let streams = Streams { coded: Coded { listed, codes, spelled, ..Coded::default() }, code_lengths, spelled_lengths };
        let (mut writer, mut head, mut directory) = (PageWriter::default(), Vec::new(), Vec::new());
        streams.put(bytes, &mut writer, &mut head);
        let file = writer.finish(&mut directory);
        let pages = Pages::read(&mut Reader::new(&directory), 0).unwrap();
        if let Ok(head) = WholeHead::read(&mut Reader::new(&head))
            && let Ok(mut texts) = head.open(3, &pages, &file, &Afresh)
        {
            if let Ok(Some(sieve)) = texts.sieve(&has_b()) {
                let _ignored = texts.sift(&sieve, &has_b(), (0, 9));
            }
            if let Ok((starts, bytes)) = texts.all() {
                prop_assert!(std::str::from_utf8(&bytes).is_ok());
                prop_assert_eq!(starts.last().copied(), Some(bytes.len() as u32));
            }
        }
    }
}

#[test]
fn a_full_block_of_more_words_than_are_listed_comes_back() {
    let mut chance = Chance(1);
    let texts: Vec<String> = (0..65_536).map(|_| chance.text(4, 200_000)).collect();
    let stored = Stored::coded(&texts);
    stored.check(&texts);
    let lexicon_len = match stored.open().form {
        Form::Coded(coded) => coded.opened.lexicon.len(),
        Form::Plain(_) | Form::Lined(_) => 0,
    };
    assert!(lexicon_len > 20_000, "{lexicon_len}");
    let few: Vec<String> = (0..65_536).map(|_| chance.text(2, 255)).collect();
    Stored::coded(&few).check(&few);
}

#[test]
fn every_number_of_listed_words_has_codes_for_all() {
    for words in [0, 1, 254, 255, 256, 510, 511, 766, 65_279, 65_280, 65_281] {
        let all: String = (0..words).map(|n| format!("w{n} ")).collect();
        let texts = [all.clone(), all.clone(), all, "w1 w2".into(), String::new()];
        Stored::coded(&texts).check(&texts);
    }
}

#[test]
fn text_beyond_what_is_learned_from_comes_back() {
    let mut chance = Chance(2);
    let texts: Vec<String> = (0..90).map(|i| chance.text(17_000 + i % 7, 3_000 + i * 10)).collect();
    assert!(texts.iter().map(String::len).sum::<usize>() > 8 << 20 | 1 << 18);
    Stored::coded(&texts).check(&texts);
    let word = "é".repeat(70_000);
    let long = [word.clone(), word.clone(), format!("{word} {word}"), word];
    Stored::coded(&long).check(&long);
}

#[test]
fn codes_are_chosen_where_words_come_again() {
    let mut chance = Chance(3);
    let free: Vec<String> = (0..6_000).map(|_| chance.text(10, 10_000)).collect();
    let stored = Stored::chosen(&free);
    assert!(stored.is_coded());
    stored.check(&free);
    let mut call = |_| format!("\n\tat org.{}.{}(line {})", chance.word(9), chance.word(90), chance.below(2_000));
    let traces: Vec<String> = (0..600)
        .map(|i| format!("java.lang.Error: {i}{}", (0..10 + i % 9).map(&mut call).collect::<String>()))
        .collect();
    let (stored, lined) = (Stored::coded(&traces), Stored::chosen(&traces));
    assert!(lined.is_lined() && lined.bytes.len() < stored.bytes.len(), "{} {}", lined.bytes.len(), stored.bytes.len());
    lined.check(&traces);
    for wanted in ["Error", "ava", "lin", "17", "no such word"] {
        lined.check_sieve(&traces, &[wanted.to_owned()]);
    }
    // A line that no other is like is kept beside the codes of all others.
    let with_another = traces.iter().map(|trace| format!("{trace}\n{}", chance.text(3, 1 << 20))).collect::<Vec<_>>();
    let stored = Stored::chosen(&with_another);
    assert!(stored.is_lined());
    stored.check(&with_another);
    let word = with_another[77].rsplit(' ').next().unwrap().to_owned();
    stored.check_sieve(&with_another, &[word]);
}

#[test]
fn lines_of_anything_are_refused_or_read() {
    let texts: Vec<String> = (0..40).map(|i| format!("call {i}\n\tat b{i}.run\nlast {} of it", i % 3)).collect();
    let stored = Stored::lined(&texts).unwrap();
    let mut chance = Chance(6);
    for at in 0..stored.bytes.len() * 8 {
        // Pages carry a checksum, so what is damaged here is what the streams say, past it.
        let lined = lines::encode(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let mut lined = lined;
        let flip = |bytes: &mut Vec<u8>, chance: &mut Chance| {
            if !bytes.is_empty() {
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << chance.below(8);
            }
        };
        match at % 4 {
            0 => flip(&mut lined.lines.codes, &mut chance),
            1 => flip(&mut lined.lines.listed, &mut chance),
            2 => lined.holes[chance.below(40) as usize].push_str(" 7"),
            _ => lined.kept[chance.below(40) as usize].push('x'),
        }
        let bytes = texts.iter().map(String::len).sum();
        let wrong = Stored::new(texts.len(), |pages, head| put_lined(&lined, bytes, pages, head));
        let Ok(mut open) = wrong.head.open(wrong.count, &wrong.pages, &wrong.bytes, &Afresh) else { continue };
        if let Ok(Some(sieve)) = open.sieve(&has_b()) {
            let _ignored = open.sift(&sieve, &has_b(), (0, 40));
        }
        if let Ok((starts, all)) = open.all() {
            assert!(at % 4 < 2, "words or lines that belong nowhere were passed over");
            assert_eq!(starts.last().copied(), Some(all.len() as u32));
        }
    }
}

#[test]
fn texts_stay_as_they_are_where_codes_save_nothing() {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut chance = Chance(4);
    let random: Vec<Vec<u8>> =
        (0..500).map(|_| (0..400).map(|_| DIGITS[chance.below(64) as usize]).collect()).collect();
    let stored = Stored::chosen(&random);
    assert!(!stored.is_coded());
    stored.check(&random);
    let few = vec![chance.text(10, 10); 3];
    assert!(!Stored::chosen(&few).is_coded());
    let not_text = vec![[0xC3u8, b' ', b'a', b' ', b'a', b' ']; 2_000];
    let stored = Stored::chosen(&not_text);
    assert!(!stored.is_coded());
    stored.check(&not_text);
}

#[test]
fn one_text_is_read_without_the_others() {
    let mut chance = Chance(5);
    let texts: Vec<String> = (0..60_000).map(|_| chance.text(10, 10_000)).collect();
    let stored = Stored::chosen(&texts);
    assert!(stored.is_coded());
    let mut open = stored.open();
    open.load(31_000, 31_001).unwrap();
    assert_eq!(open.get(31_000), texts[31_000].as_bytes());
    let Form::Coded(coded) = &open.form else { panic!("not coded") };
    let read = coded.codes.bytes.bytes.iter().filter(|byte| **byte != 0).count();
    assert!(read > 1_000 && read <= 2 * crate::limits::PAGE_BYTES_MAX, "{read}");
}
