//! Patterns of text and `<fields>`, as `extract` and `format` take them.
//!
//! Invariants
//! * In a pattern to extract by, any two fields have text between them; else nothing would say where one ends.
use super::logfmt::quoted;

/// A literal text and the field after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The text before the field.
    pub(crate) text: String,
    /// The field; empty where what stands there is skipped, and after the last text.
    pub(crate) field: String,
    /// What stood before a colon in the field: how to read or show it.
    pub(crate) option: String,
}

/// Splits a pattern; `&lt;` and other HTML escapes stand for characters.
pub(crate) fn steps(pattern: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = pattern;
    while let Some((text, tail)) = rest.split_once('<') {
        let Some((field, tail)) = tail.split_once('>') else { return Err(format!("missing '>' after '<{tail}'")) };
        let (option, name) = field.split_once(':').unwrap_or(("", field));
        let name = if matches!(field, "_" | "*") { "" } else { name.trim() };
        if name.ends_with('*') {
            return Err(format!("a field of a pattern cannot end with '*': <{field}>"));
        }
        steps.push(Step { text: unescape(text), field: name.into(), option: option.trim().into() });
        rest = tail;
    }
    if !rest.is_empty() {
        steps.push(Step { text: unescape(rest), field: String::new(), option: String::new() });
    }
    Ok(steps)
}

/// Checks that a pattern can be extracted by.
pub(crate) fn check_extract(steps: &[Step]) -> Result<(), String> {
    for pair in steps.windows(2) {
        if let [before, after] = pair
            && after.text.is_empty()
        {
            return Err(format!("missing text between <{}> and <{}>", before.field, after.field));
        }
    }
    if steps.iter().all(|step| step.field.is_empty()) {
        return Err("the pattern has no named field such as <name>".into());
    }
    Ok(())
}

/// What the fields of a pattern are in a text, one value for each step; empty where the text ends to match.
pub(crate) fn extract(steps: &[Step], text: &str) -> Vec<String> {
    let mut values = vec![String::new(); steps.len()];
    let Some(mut rest) = steps.first().and_then(|first| after(text, &first.text)) else { return values };
    for (i, (step, value)) in steps.iter().zip(&mut values).enumerate() {
        let next = steps.get(i + 1).map_or("", |step| step.text.as_str());
        let unquoted = if step.option == "plain" { None } else { quoted(rest) };
        if let Some((content, len)) = unquoted {
            *value = content;
            match rest.get(len..).and_then(|tail| tail.strip_prefix(next)) {
                Some(tail) => rest = tail,
                None => break,
            }
        } else if next.is_empty() {
            *value = rest.into();
            break;
        } else {
            let Some((head, tail)) = rest.split_once(next) else { break };
            *value = head.into();
            rest = tail;
        }
    }
    values
}

fn after<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    if part.is_empty() { Some(text) } else { text.split_once(part).map(|(_, tail)| tail) }
}

const ENTITIES: [(&str, char); 12] = [
    ("lt", '<'),
    ("gt", '>'),
    ("amp", '&'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("lbrace", '{'),
    ("rbrace", '}'),
    ("lbrack", '['),
    ("rbrack", ']'),
    ("colon", ':'),
    ("equals", '='),
];

/// Reads the HTML escapes that patterns have a use for; what is none stays as it is.
fn unescape(text: &str) -> String {
    let mut parts = text.split('&');
    let mut out = String::from(parts.next().unwrap_or_default());
    for part in parts {
        match entity(part) {
            Some((c, rest)) => {
                out.push(c);
                out.push_str(rest);
            }
            None => {
                out.push('&');
                out.push_str(part);
            }
        }
    }
    out
}

/// The character that `lt;`, `#60;` or `#x3c;` stand for at the start of a text, and what follows.
fn entity(text: &str) -> Option<(char, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(text.len());
    let (name, tail) = text.split_at_checked(end)?;
    let rest = tail.strip_prefix(';').unwrap_or(tail);
    let code = match name.strip_prefix('#') {
        None => return ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, c)| (*c, rest)),
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        },
    };
    char::from_u32(code).map(|c| (c, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pattern: &str, text: &str) -> Vec<String> {
        let steps = steps(pattern).unwrap();
        let values = extract(&steps, text);
        steps.iter().zip(values).filter(|(s, _)| !s.field.is_empty()).map(|(s, v)| format!("{}={v}", s.field)).collect()
    }

    #[test]
    fn fields_end_where_the_next_text_begins() {
        let line = "1.2.3.4 GET /foo/bar?baz 404 \"Mozilla \\\" x\" some tail";
        assert_eq!(
            run("<ip> <_> <path> <_> <agent> <rest>", line),
            ["ip=1.2.3.4", "path=/foo/bar?baz", "agent=Mozilla \" x", "rest=some tail"]
        );
        assert_eq!(run("a=<x> b=<y>;", "z a=1 b=2"), ["x=1", "y="]);
        assert_eq!(run("a=<x>", "none"), ["x="]);
        assert_eq!(run("[<plain:x>]", "[\"a\",\"b\"]"), ["x=\"a\",\"b\""]);
        assert_eq!(run("<a> &lt; <b>", "1 < 2"), ["a=1", "b=2"]);
        assert_eq!(run("x=<a>,", "x=\"q\";"), ["a=q"]);
    }

    #[test]
    fn wrong_patterns_say_why() {
        assert!(steps("a <b").is_err() && steps("<a*>").is_err());
        assert!(check_extract(&steps("<a><b>").unwrap()).is_err());
        assert!(check_extract(&steps("a<_>b<*>").unwrap()).is_err());
        assert_eq!(unescape("&amp;&#65;&#x42; &unknown; &"), "&AB &unknown; &");
    }
}
