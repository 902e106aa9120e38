//! The ways `format` shows a value: `<q:field>`, `<time:field>`, `<base64encode:field>` and so on.
//!
//! Invariants
//! * A value that cannot be shown so is shown as it is.
//! * What decodes to no valid text has U+FFFD in it.
use super::duration::{SECOND, duration, show_duration};
use super::ipv4::show_ipv4;
use super::json::push_json_string;
use super::number::{int, show, uint};
use super::timestamp::{show_timestamp, unix_timestamp};
use crate::text::words::fold_text;

/// A value shown in a way; an unknown way is none.
pub(crate) fn shown_as(way: &str, value: &str) -> String {
    let shown = match way {
        "base64decode" => base64_decode(value).map(text),
        "base64encode" => Some(base64_encode(value.as_bytes())),
        "duration" => int(value).map(show_duration),
        "duration_seconds" => duration(value).map(|time| show(time as f64 / SECOND as f64)),
        "hexdecode" => Some(text(hex_decode(value.as_bytes()))),
        "hexencode" => Some(value.bytes().map(|byte| format!("{byte:02X}")).collect()),
        "hexnumdecode" => hex_number(value),
        "hexnumencode" => uint(value).map(|number| format!("{number:016X}")),
        "ipv4" => uint(value).and_then(|number| u32::try_from(number).ok()).map(show_ipv4),
        "lc" => Some(fold_text(value)),
        "uc" => Some(value.chars().map(upper).collect()),
        "time" => unix_timestamp(value).map(show_timestamp),
        "q" => {
            let mut out = String::new();
            push_json_string(&mut out, value, true);
            Some(out)
        }
        "urldecode" => Some(text(url_decode(value.as_bytes()))),
        "urlencode" => Some(url_encode(value.as_bytes())),
        _ => None,
    };
    shown.unwrap_or_else(|| value.into())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A character in upper case, one for one.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

fn hex_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for pair in bytes.chunks(2) {
        match pair {
            [high, low] => match hex_pair(*high, *low) {
                Some(byte) => out.push(byte),
                None => out.extend([*high, *low]),
            },
            rest => out.extend_from_slice(rest),
        }
    }
    out
}

fn hex_number(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("0".into());
    }
    let good = value.len() <= 16 && value.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| u64::from_str_radix(value, 16).ok().map(|number| number.to_string()))?
}

fn url_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (*first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match hex_pair(*high, *low) {
                Some(byte) => {
                    out.push(byte);
                    rest = after;
                }
                None => out.push(b'%'),
            },
            (other, _) => out.push(other),
        }
    }
    out
}

fn url_encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(*byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = BASE64.get((bits >> (18 - 6 * i) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn base64_decode(value: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = value.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::new();
    let groups = bytes.len() / 4;
    for (at, group) in bytes.chunks(4).enumerate() {
        let padding = group.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 2 || (padding > 0 && at + 1 < groups) {
            return None;
        }
        let mut bits = 0u32;
        for byte in group.iter().take(4 - padding) {
            bits = bits << 6 | BASE64.iter().position(|known| known == byte)? as u32;
        }
        bits <<= 6 * padding;
        out.extend(bits.to_be_bytes().iter().skip(1).take(3 - padding));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_coded_and_decoded() {
        for (way, value, shown) in [
            ("base64encode", "ab", "YWI="),
            ("base64decode", "YWI=", "ab"),
            ("base64decode", "YW=I", "YW=I"),
            ("base64decode", "a", "a"),
            ("hexencode", "aц", "61D186"),
            ("hexdecode", "61D1866", "aц6"),
            ("hexdecode", "xy61", "xya"),
            ("hexnumencode", "1234", "00000000000004D2"),
            ("hexnumdecode", "4d2", "1234"),
            ("hexnumdecode", "xyz", "xyz"),
            ("urlencode", "a b/ц-_.", "a+b%2F%D1%86-_."),
            ("urldecode", "a+b%20d%zz%", "a b d%zz%"),
            ("uc", "aßц", "AßЦ"),
            ("lc", "AЦ", "aц"),
            ("q", "a\"b", "\"a\\\"b\""),
            ("time", "1717328141.123456", "2024-06-02T11:35:41.123456Z"),
            ("duration", "123456789123", "2m3.456789123s"),
            ("duration_seconds", "1m1.5s", "61.5"),
            ("ipv4", "16909060", "1.2.3.4"),
            ("ipv4", "4294967296", "4294967296"),
            ("unknown", "x", "x"),
            ("time", "x", "x"),
        ] {
            assert_eq!(shown_as(way, value), shown, "{way} {value}");
        }
        for len in 0..20 {
            let value: String = "é€x".chars().cycle().take(len).collect();
            assert_eq!(shown_as("base64decode", &shown_as("base64encode", &value)), value);
        }
    }
}
