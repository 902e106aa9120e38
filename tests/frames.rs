//! As much of HTTP/2 as tests need, byte by byte.
use std::io::{Read, Write};

/// How a client begins, with settings that change nothing.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// `GET /health` on a stream.
pub(crate) fn health(stream: u32) -> Vec<u8> {
    // GET and https from the table of names that everybody knows, the path and the authority as they are.
    let block = [&[0x82, 0x87, 0x04, 7][..], b"/health", &[0x01, 1], b"x"].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// A setting in which a client takes nothing of any answer until it says so.
pub(crate) fn takes_nothing() -> Vec<u8> {
    frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])
}

/// `GET` of a path with a key on a stream.
pub(crate) fn get(stream: u32, path: &str, key: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    // `authorization` is the 23rd name of that table: 15, and 8 more.
    let authorization = [&[0x0f, 8][..], &text(&format!("Bearer {key}"))].concat();
    let block = [&[0x82, 0x87, 0x04][..], &text(path), &[0x01, 1, b'x'], &authorization].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// `POST` to a path with a key on a stream, whose body is to come.
pub(crate) fn post(stream: u32, path: &str, key: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let authorization = [&[0x0f, 8][..], &text(&format!("Bearer {key}"))].concat();
    // POST is the third of that table.
    let block = [&[0x83, 0x87, 0x04][..], &text(path), &[0x01, 1, b'x'], &authorization].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// `GET /health` on a stream with so many header lines, which are short.
pub(crate) fn health_with(stream: u32, lines: usize) -> Vec<u8> {
    let begin = [&[0x82, 0x87, 0x04, 7][..], b"/health", &[0x01, 1], b"x"].concat();
    let line = [&[0x00, 1][..], b"x", &[1], b"y"].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &[begin, line.repeat(lines)].concat())
}

/// The status and the body of the answer on a stream; none where the status is not one of those that tests look for.
pub(crate) fn read_answer(from: &mut impl Read, stream: u32) -> (Option<u16>, String) {
    let (mut status, mut body) = (None, Vec::new());
    loop {
        let (kind, flags, at, payload) = read_whole_frame(from).unwrap();
        match kind {
            _ if at != stream => continue,
            0 => body.extend(payload),
            HEADERS if payload.first() == Some(&0x88) => status = Some(200),
            // `:status` is the 8th name of that table; 431 in the code of HPACK.
            HEADERS if payload.starts_with(&[0x48, 0x83, 0x69, 0x90, 0xff]) => status = Some(431),
            _ => {}
        }
        if flags & END_STREAM != 0 {
            return (status, String::from_utf8(body).unwrap());
        }
    }
}

/// The kind, the stream and the payload of the next frame.
pub(crate) fn read_frame(from: &mut impl Read) -> std::io::Result<(u8, u32, Vec<u8>)> {
    read_whole_frame(from).map(|(kind, _, stream, payload)| (kind, stream, payload))
}

fn read_whole_frame(from: &mut impl Read) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; len];
    from.read_exact(&mut payload)?;
    Ok((head[3], head[4], stream, payload))
}

/// Asks for the health over a new connection; the answer's status.
pub(crate) fn get_health(connection: &mut (impl Read + Write)) -> u16 {
    connection.write_all(PREFACE).unwrap();
    connection.write_all(&health(1)).unwrap();
    loop {
        let (kind, stream, payload) = read_frame(connection).unwrap();
        if (kind, stream) == (HEADERS, 1) {
            // 200 is one byte of that table.
            assert_eq!(payload.first(), Some(&0x88), "{payload:02x?}");
            return 200;
        }
    }
}
