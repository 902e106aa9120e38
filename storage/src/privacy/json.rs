//! Masking within a value that is kept as JSON text: an array, or an object that lies too deep.
//!
//! The text is copied token by token, so that numbers keep their spelling and fields their order. Texts are looked at as
//! what they mean: an escape hides nothing.
//!
//! Invariants
//! * What comes out is JSON where what went in was. What cannot be read is masked as a whole.
use super::{MASK, Redacted, Redaction, Verdict};
use crate::record::push_json_string;

/// Nesting beyond which nothing is looked at any more.
const DEPTH_MAX: usize = 256;

pub(super) fn redact(redaction: &Redaction, name: &str, raw: &str, counts: &mut Redacted) -> Option<String> {
    let before = *counts;
    let mut copy =
        Copy { redaction, text: raw, at: 0, out: String::with_capacity(raw.len()), path: name.into(), counts };
    let is_whole = copy.value(0).is_some() && copy.at == raw.len();
    let out = copy.out;
    if !is_whole {
        counts.masked += 1;
        let mut mask = String::new();
        push_json_string(&mut mask, MASK);
        return Some(mask);
    }
    (*counts != before).then_some(out)
}

struct Copy<'a> {
    redaction: &'a Redaction,
    text: &'a str,
    at: usize,
    out: String,
    /// The flat name of what is read.
    path: String,
    counts: &'a mut Redacted,
}

impl Copy<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            _ if depth > DEPTH_MAX => None,
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let text = self.string()?;
                match self.redaction.of_text(&text) {
                    Some(masked) => self.mask(&masked),
                    None => push_json_string(&mut self.out, &text),
                }
                Some(())
            }
            _ => {
                let rest = self.text.get(self.at..)?;
                let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                let token = rest.get(..end).filter(|token| !token.is_empty())?;
                self.at += end;
                let is_number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                match self.redaction.of_text(token).filter(|_| is_number) {
                    Some(masked) => self.mask(&masked),
                    None => self.out.push_str(token),
                }
                Some(())
            }
        }
    }

    fn mask(&mut self, masked: &str) {
        self.counts.masked += 1;
        push_json_string(&mut self.out, masked);
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        self.out.push('[');
        let mut is_first = true;
        while self.take(b']').is_none() {
            if !is_first {
                self.take(b',')?;
                self.out.push(',');
            }
            is_first = false;
            self.value(depth + 1)?;
        }
        self.out.push(']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.take(b'{')?;
        self.out.push('{');
        let (mut is_first, mut is_bare) = (true, true);
        while self.take(b'}').is_none() {
            if !is_first {
                self.take(b',')?;
            }
            is_first = false;
            self.skip_space();
            let key = self.string()?;
            self.take(b':')?;
            let (outer, kept) = (self.path.len(), self.out.len());
            self.path.push('.');
            self.path.push_str(&key);
            let verdict = self.redaction.of_name(&self.path);
            if !is_bare {
                self.out.push(',');
            }
            push_json_string(&mut self.out, &key);
            self.out.push(':');
            let (value, counts) = (self.out.len(), *self.counts);
            self.value(depth + 1)?;
            self.path.truncate(outer);
            if verdict != Verdict::Look {
                // What was found within it does not count any more.
                *self.counts = counts;
            }
            match verdict {
                Verdict::Look => is_bare = false,
                Verdict::Mask => {
                    self.out.truncate(value);
                    self.mask(MASK);
                    is_bare = false;
                }
                Verdict::Drop => {
                    self.out.truncate(kept);
                    self.counts.dropped += 1;
                }
            }
        }
        self.out.push('}');
        Some(())
    }

    /// The meaning of the string that begins here.
    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = String::new();
        let mut chars = self.text.get(self.at..)?.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Some(out);
                }
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'u' => {
                        let high = hex(&mut chars)?;
                        out.push(match high {
                            0xD800..=0xDBFF => {
                                let escape = (chars.next()?.1, chars.next()?.1);
                                let low = hex(&mut chars).filter(|low| (0xDC00..=0xDFFF).contains(low))?;
                                let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                                char::from_u32(code).filter(|_| escape == ('\\', 'u'))?
                            }
                            code => char::from_u32(code)?,
                        });
                    }
                    plain => out.push(plain),
                },
                c => out.push(c),
            }
        }
        None
    }
}

/// Four hexadecimal digits.
fn hex(chars: &mut std::str::CharIndices<'_>) -> Option<u32> {
    let mut code = 0;
    for _ in 0..4 {
        code = code * 16 + chars.next()?.1.to_digit(16)?;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::super::Privacy;
    use super::*;

    fn redacted(raw: &str) -> (Option<String>, Redacted) {
        let privacy = Privacy {
            mask_fields: vec!["password".into(), "list.secret".into()],
            drop_fields: vec!["token".into()],
            mask_patterns: vec![r"\d{4}-\d{4}".into(), "4111111111111111".into()],
        };
        let redaction = Redaction::new(&[&privacy]).unwrap().unwrap();
        let mut counts = Redacted::default();
        (redaction.of_json("list", raw, &mut counts), counts)
    }

    #[test]
    fn names_and_patterns_hold_within_arrays() {
        let (out, counts) = redacted(
            r#"[{"token":[1,{"x":"1111-2222"}],"user":"a","password":{"now":"p"}},{"secret":1.50,"token":null},"c 1234-5678"]"#,
        );
        assert_eq!(out.unwrap(), r#"[{"user":"a","password":"***"},{"secret":"***"},"c ***"]"#);
        assert_eq!(counts, Redacted { masked: 3, dropped: 2 });
    }

    #[test]
    fn what_is_not_meant_keeps_its_spelling() {
        assert_eq!(redacted(r#"[1.50,1e3,"\u00e9",true,null,{},[],{"a":[{"b":"c"}]}]"#), (None, Redacted::default()));
        let (out, counts) = redacted(r#"[1.50,true,null,4111111111111111,{"a":"\"\\\u0007é😀"}]"#);
        assert_eq!(out.unwrap(), r#"[1.50,true,null,"***",{"a":"\"\\\u0007é😀"}]"#);
        assert_eq!(counts.masked, 1);
    }

    #[test]
    fn an_escape_hides_nothing() {
        let (out, _) = redacted(r#"["\u0031234-5678",{"p\u0061ssword":"\ud83d\ude00"}]"#);
        assert_eq!(out.unwrap(), r#"["***",{"password":"***"}]"#);
        assert_eq!(redacted("[1,").0.unwrap(), "\"***\"");
    }
}
