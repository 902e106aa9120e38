//! What the decoder makes of JSON, alone and against `serde_json`'s own value.
use super::*;

/// Writes down what it is told, as a rendering of the record.
#[derive(Default)]
struct Seen(Vec<String>);

impl Fields for Seen {
    fn enter(&mut self, name: &str) {
        self.0.push(format!("{name} {{"));
    }

    fn leave(&mut self) {
        self.0.push("}".into());
    }

    fn value(&mut self, name: &str, value: Scalar<'_>) {
        self.0.push(format!("{name}={value:?}"));
    }
}

fn read(text: &str) -> Result<Vec<String>, String> {
    let mut seen = Seen::default();
    read_object(text, &mut seen).map(|()| seen.0).map_err(|e| e.to_string())
}

/// The same rendering from a parsed value; keys of a `Value` are sorted and unique.
fn expected(object: &serde_json::Map<String, serde_json::Value>, depth: usize, out: &mut Vec<String>) {
    use serde_json::Value;
    for (key, value) in object {
        let text = value.to_string();
        match value {
            Value::Object(fields) if !fields.is_empty() && depth < RECORD_DEPTH_MAX => {
                out.push(format!("{key} {{"));
                expected(fields, depth + 1, out);
                out.push("}".into());
            }
            Value::Object(_) | Value::Array(_) => out.push(format!("{key}={:?}", Scalar::Json(&text))),
            Value::String(s) => out.push(format!("{key}={:?}", Scalar::String(s))),
            Value::Number(_) => out.push(format!("{key}={:?}", Scalar::Number(&text))),
            Value::Bool(b) => out.push(format!("{key}={:?}", Scalar::Bool(*b))),
            Value::Null => out.push(format!("{key}={:?}", Scalar::Null)),
        }
    }
}

#[test]
fn every_kind_of_value_arrives_as_sent() {
    let text = r#" { "a" : "x\n\u00e9\ud83d\ude00" ,"n":1.50,"e":-1E+3,"z":-0,"big":12345678901234567890123,
        "t":true,"f":false,"null":null,"l":[1, "a b\" ]", { "x" : [ ] } ],"o":{},"m":{"k":{"d": 1e400}},"a":"again"} "#;
    let expected = [
        r#"a=String("x\né😀")"#,
        r#"n=Number("1.50")"#,
        r#"e=Number("-1E+3")"#,
        r#"z=Number("-0")"#,
        r#"big=Number("12345678901234567890123")"#,
        "t=Bool(true)",
        "f=Bool(false)",
        "null=Null",
        r#"l=Json("[1,\"a b\\\" ]\",{\"x\":[]}]")"#,
        r#"o=Json("{}")"#,
        "m {",
        "k {",
        r#"d=Number("1e400")"#,
        "}",
        "}",
        r#"a=String("again")"#,
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn names_with_escapes_hide_no_value() {
    let text = r#"{"\u0061":1.0,"b\"":"s\t","c\n":{"d\\":[1, 2],"e":{"\/":null}},"\t":{},"\b":true}"#;
    let expected = [
        r#"a=Number("1.0")"#,
        r#"b"=String("s\t")"#,
        "c\n {",
        r#"d\=Json("[1,2]")"#,
        "e {",
        "/=Null",
        "}",
        "}",
        "\t=Json(\"{}\")",
        "\u{8}=Bool(true)",
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn what_lies_too_deep_stays_text() {
    for depth in [63, 64, 65, 66, 500] {
        let text = format!("{}1{}", "{ \"a\":".repeat(depth), "}".repeat(depth));
        let seen = read(&text).unwrap();
        let opened = seen.iter().filter(|line| *line == "a {").count();
        assert_eq!(opened, depth.min(RECORD_DEPTH_MAX) - 1);
        let rest = depth.saturating_sub(RECORD_DEPTH_MAX);
        let value = seen.iter().find(|line| line.starts_with("a=")).unwrap();
        let deep = format!("{}1{}", "{\"a\":".repeat(rest), "}".repeat(rest));
        let kind = if rest == 0 { Scalar::Number("1") } else { Scalar::Json(&deep) };
        assert_eq!(*value, format!("a={kind:?}"), "{depth}");
    }
    let arrays = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(&arrays).unwrap().len(), 1);
}

#[test]
fn a_complaint_says_what_and_where() {
    assert_eq!(read("{\"a\":}").unwrap_err(), "expected value at line 1 column 6");
    assert_eq!(read("5").unwrap_err(), "invalid type: integer `5`, expected a JSON object at line 1 column 1");
    assert_eq!(read("{} x").unwrap_err(), "trailing characters at line 1 column 4");
    assert!(read(r#"{"\n":{"a":"\ud800"}}"#).unwrap_err().starts_with("unexpected end of hex escape"));
}

#[test]
fn it_accepts_and_refuses_what_serde_json_does() {
    let seeds = [
        r#"{"a":"b","n":-12.5e3,"t":true,"f":false,"z":null,"l":[1,{"x":"\u00e9"}],"o":{"p":{"q":""}}}"#,
        r#"{"\u0061\n":{"b":[ ],"c":{}},"d":0.1,"e":"\ud83d\ude00\\"}"#,
        "{ \"a\" : 1 ,\t\"b\"\n:\r\"c\" }",
    ];
    let alphabet: Vec<char> = "{}[]\":,\\ \t\n0123-+.eEaubtrfalsn/\u{1}é".chars().collect();
    let mut state = 7u64;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut accepted = 0;
    for round in 0..60_000 {
        let mut text: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..next(4) {
            let at = next(text.len());
            match next(3) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, alphabet[next(alphabet.len())]),
                _ => text[at] = alphabet[next(alphabet.len())],
            }
        }
        let text: String = text.into_iter().collect();
        let mut visited = Seen::default();
        let visits = complaint::read_object(&text, &mut visited).map(|()| visited.0).map_err(|e| e.to_string());
        assert_eq!(read(&text), visits, "{text}");
        let whole = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        match (read(&text), whole) {
            (Ok(seen), Ok(object)) => {
                accepted += 1;
                compare(&text, seen, &object);
            }
            (Err(_), Err(_)) => {}
            // Escapes in an array are kept as sent and not decoded, and numbers have no size.
            (Ok(_), Err(e)) => {
                let e = e.to_string();
                assert!(
                    e.contains("out of range")
                        || text.contains('[') && (e.contains("hex escape") || e.contains("surrogate")),
                    "{text}: {e}"
                );
            }
            (Err(e), Ok(_)) => panic!("{text}: {e}"),
        }
    }
    assert!(accepted > 10_000, "{accepted}");
}

/// Compares where the record has nothing that a `Value` does not keep: no repeats, and numbers as they print.
fn compare(text: &str, mut seen: Vec<String>, object: &serde_json::Map<String, serde_json::Value>) {
    let mut wanted = Vec::new();
    expected(object, 1, &mut wanted);
    if wanted.len() != seen.len() {
        assert!(wanted.len() < seen.len(), "{text}");
        return;
    }
    // Numbers and arrays keep their spelling, so only the kind is compared; order is the sender's.
    let kind = |line: &String| match line.split_once("=Number").or_else(|| line.split_once("=Json")) {
        Some((name, _)) => format!("{name}=kept"),
        None => line.clone(),
    };
    seen = seen.iter().map(kind).collect();
    wanted = wanted.iter().map(kind).collect();
    seen.sort();
    wanted.sort();
    assert_eq!(seen, wanted, "{text}");
}
