//! The cases: heads and bodies that mean harm, put together from parts, and what has to become of each.
use super::super::head;
use super::{INNER, LINES};

/// What has to become of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Told {
    /// A status of the 400s, or of the few of the 500s that say "not spoken here", and the end of the connection.
    Refused,
    /// One answer of whatever status, and then the right one to what comes behind, or the end.
    One,
    /// 200, and then the right one to what comes behind.
    Answered,
}
use Told::{Answered, One, Refused};

pub(super) struct Case {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    pub(super) told: Told,
}

fn case(what: &str, bytes: impl Into<Vec<u8>>, told: Told) -> Case {
    Case { what: what.to_owned(), bytes: bytes.into(), told }
}

/// A body of JSON lines under some header lines.
fn post(lines: &str, body: &str, told: Told) -> Case {
    case(lines, head(LINES, &format!("x-request-id: outer\r\n{lines}")) + body, told)
}

/// A request without a body, by its first line and others.
fn bare(first: &str, lines: &str, told: Told) -> Case {
    case(&format!("{first} {lines}"), format!("{first}\r\nhost: x\r\nx-request-id: outer\r\n{lines}\r\n"), told)
}

/// Both ends in one head, in every form and order.
fn two_ends() -> Vec<Case> {
    let lengths =
        ["content-length: 5", "Content-Length:0", "CONTENT-LENGTH: 61", "content-length: 5\r\ncontent-length: 5"];
    let encodings = [
        "transfer-encoding: chunked",
        "Transfer-Encoding:chunked",
        "TRANSFER-ENCODING:\tCHUNKED",
        "transfer-encoding: identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\nx: y\r\ntransfer-encoding: identity",
        "transfer-encoding: ",
        "transfer-encoding: \"chunked\"",
    ];
    let mut cases = Vec::new();
    for length in lengths {
        for encoding in encodings {
            for lines in [format!("{length}\r\n{encoding}\r\n"), format!("{encoding}\r\nx: y\r\n{length}\r\n")] {
                cases.push(post(&lines, &format!("0\r\n\r\n{INNER}"), Refused));
            }
        }
    }
    // Behind another request the head is read by its encoding, and the connection ends with the answer.
    let both = head(LINES, "x-request-id: outer\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n";
    cases.push(case("both, without a trap behind", both, Refused));
    cases
}

/// Lengths and encodings that are none.
fn wrong_ends() -> Vec<Case> {
    let lengths = [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 6\r\nx: y\r\ncontent-length: 5",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length: 5;",
        "content-length: 5.0",
        "content-length: 1e1",
        "content-length: \"5\"",
        "content-length: \u{665}",
        "content-length: five",
        "content-length: 99999999999999999999",
        "content-length: 18446744073709551616",
        "content-length: 18446744073709551615",
        "content-length : 5",
        "content-length\t: 5",
        "content-length\r\n: 5",
        "content-length: 5\0",
        "content-length:",
    ];
    let encodings = [
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunkedx",
        "transfer-encoding: chunk",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        "transfer-encoding:\r\n chunked",
        "transfer-encoding: chunked\0",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "x: y\r\n transfer-encoding: chunked",
        "x: y\r\n\ttransfer-encoding: chunked",
        "x: a\rtransfer-encoding: chunked",
    ];
    let lengths = lengths.map(|lines| post(&format!("{lines}\r\n"), INNER, Refused));
    let encodings = encodings.map(|lines| post(&format!("{lines}\r\n"), &format!("0\r\n\r\n{INNER}"), Refused));
    let old =
        format!("POST {LINES} HTTP/1.0\r\nx-request-id: outer\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{INNER}");
    lengths.into_iter().chain(encodings).chain([case("an encoding in HTTP/1.0", old, Refused)]).collect()
}

/// Chunks that are none, and such as look strange and are some.
fn chunks() -> Vec<Case> {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let many = "1;x=y\r\na\r\n".repeat(3_000) + "0\r\n\r\n";
    let trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    let refused = [
        "5x\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "100000000000000005\r\nhello\r\n0\r\n\r\n",
        // As many as there can be, of which the next request would be some.
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "7fffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;x\0\r\nhello\r\n0\r\n\rX",
        "4\r\nhello\r\n0\r\n\r\n",
        long.as_str(),
        trailers.as_str(),
    ];
    let as_one = [
        "5;x=y\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t;x\r\nhello\r\n0\r\n\r\n",
        "5;x=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;x\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\n0\r\n\r\n",
        "000000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "00005\r\nhello\r\n0000\r\n\r\n",
        "0\r\nx: y\r\n\r\n",
        "0\r\ncontent-length: 61\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\n x: y\r\n\r\n",
        "0;x\r\n\r\n",
        many.as_str(),
    ];
    let lines = "transfer-encoding: chunked\r\n";
    let of = |body: &str, told| Case { what: body.chars().take(60).collect(), ..post(lines, body, told) };
    // What is behind is hidden where a body is not read to the end that it says.
    let refused = refused.iter().map(|body| of(&format!("{body}{INNER}"), Refused));
    refused.chain(as_one.iter().map(|body| of(body, One))).collect()
}

/// Lines of a head that are none, or not for everybody.
fn lines() -> Vec<Case> {
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    let many = "x: y\r\n".repeat(101);
    let refused = [
        "x: y\r\n folded\r\n",
        "x: y\r\n\tfolded\r\n",
        " x: y\r\n",
        "x: a\0b\r\n",
        "x\0: y\r\n",
        "\0\r\n",
        "x: a\rb\r\n",
        "x : y\r\n",
        "x\r\n",
        ": y\r\n",
        "x y: z\r\n",
        "x\u{e9}: y\r\n",
        "(x): y\r\n",
        "x: \u{7f}\r\n",
        "x: \u{1}\r\n",
        long.as_str(),
        many.as_str(),
    ];
    let as_one = [
        "x: y\n",
        "x: \u{e9}\r\n",
        "x:\r\n",
        "x: y \t \r\n",
        "host: other\r\n",
        "connection: x-request-id, close\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "te: chunked, trailers\r\n",
        "trailer: content-length\r\n",
        "expect: 100-continue\r\n",
        "expect: something\r\n",
        "content-length: 0\r\n",
        "content-length: 00\r\n",
        "content-length: 0\r\ncontent-length: 0\r\n",
        "x-content-length: 61\r\nx-transfer-encoding: chunked\r\n",
        "content_length: 61\r\ntransfer_encoding: chunked\r\n",
    ];
    let of = |lines: &str, told| Case {
        what: lines.chars().take(60).collect(),
        ..bare("GET /health HTTP/1.1", lines, told)
    };
    refused.iter().map(|lines| of(lines, Refused)).chain(as_one.iter().map(|lines| of(lines, One))).collect()
}

/// First lines.
fn first_lines() -> Vec<Case> {
    let long = format!("GET /{} HTTP/1.1", "y".repeat(100_000));
    let refused = [
        "GET /health",
        "GET /health HTTP/1.2",
        "GET /health HTTP/3.0",
        "GET /health HTTP/11",
        "GET /health http/1.1",
        "GET /health HTTP/1.1 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /health\tHTTP/1.1",
        "GET",
        " GET /health HTTP/1.1",
        "G(T /health HTTP/1.1",
        "\0GET /health HTTP/1.1",
        "POST http:// HTTP/1.1",
        "PRI * HTTP/2.0",
        long.as_str(),
    ];
    let as_one = [
        "GET http://x/health HTTP/1.1",
        "GET //health HTTP/1.1",
        "GET /health?x=%00%0d%0a HTTP/1.1",
        "GET /health#x HTTP/1.1",
        "GET /%2e%2e/health HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT x:1 HTTP/1.1",
        "TRACE /health HTTP/1.1",
        "HEAD /health HTTP/1.1",
        "get /health HTTP/1.1",
        "DELETE /health HTTP/1.1",
        "\r\n\r\nGET /health HTTP/1.1",
        "GET  /health HTTP/1.1",
    ];
    refused
        .iter()
        .map(|first| bare(first, "", Refused))
        .chain(as_one.iter().map(|first| bare(first, "", One)))
        .collect()
}

/// What is well, however strange, and bodies where one would not look for them.
fn well() -> Vec<Case> {
    let row = r#"{"_msg":"content-length: 3\ntransfer-encoding: chunked"}"#;
    let length = format!("content-length: {}\r\n", row.len());
    let chunked = format!("{:X}\r\n{row}\r\n0\r\n\r\n", row.len());
    let hidden = format!("content-length: {}\r\n", INNER.len());
    let with_body = |first: &str, told| {
        let what = format!("{first} with a body");
        case(&what, format!("{first}\r\nhost: x\r\nx-request-id: outer\r\n{hidden}\r\n{INNER}"), told)
    };
    vec![
        post(&length, row, Answered),
        post(&length.repeat(2), row, Answered),
        post("transfer-encoding: chunked\r\n", &chunked, Answered),
        post("transfer-encoding: CHUNKED\r\n", &chunked, Answered),
        post(&hidden, INNER, Answered),
        with_body("GET /health HTTP/1.1", Answered),
        with_body("HEAD /health HTTP/1.1", One),
        with_body("DELETE /health HTTP/1.1", One),
        with_body("GET /no/such/route HTTP/1.1", One),
        with_body("POST /insert/jsonline HTTP/1.1", One),
        with_body("OPTIONS * HTTP/1.1", One),
        with_body("BREW /health HTTP/1.1", One),
        with_body("POST /insert/jsonline HTTP/1.0", One),
        case("nothing before", "", One),
    ]
}

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let groups = [two_ends(), wrong_ends(), chunks(), lines(), first_lines(), well()];
    groups.into_iter().flatten().collect()
}
