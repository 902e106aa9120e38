//! `Content-Encoding`: gzip, zstd and deflate, undone step by step.
//!
//! Invariants
//! * A step gives at most as many bytes as it is asked for, whatever the body would become.
//! * A body that is cut off, goes on behind its end, or needs a larger window than 8 MiB is refused.
use super::error::ApiError;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::{Decompress, FlushDecompress, Status};
use logyard_storage::limits::{KIB, MIB};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// What a body may become before its ratio counts: one that is held as a whole, and one that is not.
pub(super) const WHOLE_FREE_BYTES: usize = 8 * MIB;
pub(super) const STREAM_FREE_BYTES: usize = 64 * MIB;
/// What is decompressed in one call: that much is made room for, however little comes of it.
const ONCE_BYTES: usize = 64 * KIB;
/// zstd's window, as a power of two.
const WINDOW_LOG_MAX: u32 = 23;
/// gzip's window, as a power of two.
const WINDOW_BITS: u8 = 15;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

impl Encoding {
    /// What the headers say; an encoding that is not read is refused.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let refused = |what: &str| {
            let error = format!("Content-Encoding {what} is not supported; use one of gzip, zstd, deflate, or none");
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
        };
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let name = value.to_str().unwrap_or("?").trim();
        if values.next().is_some() || name.contains(',') {
            return Err(refused("of several in a row"));
        }
        match name.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(refused(&name.chars().take(40).collect::<String>())),
        }
    }

    /// What undoes it; none where there is nothing to undo.
    pub(super) fn inflater(self) -> Result<Option<Inflater>, ApiError> {
        let kind = match self {
            Self::Identity => return Ok(None),
            Self::Gzip => Kind::Gzip(Decompress::new_gzip(WINDOW_BITS)),
            Self::Deflate => Kind::Deflate(None),
            Self::Zstd => Kind::Zstd(zstd_decoder().map_err(|e| Inflater::fault("zstd", e))?),
        };
        Ok(Some(Inflater { kind, place: Place::Start, taken: 0, given: 0, fault: None }))
    }
}

fn zstd_decoder() -> std::io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(decoder)
}

enum Kind {
    Gzip(Decompress),
    /// Which of the two things that are called so shows in its first byte.
    Deflate(Option<Decompress>),
    Zstd(Decoder<'static>),
}

/// Where in the body it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Within,
    /// At the end of a part that can be the last one.
    End,
}

/// Undoes an encoding.
pub(super) struct Inflater {
    kind: Kind,
    place: Place,
    taken: u64,
    given: u64,
    /// What was found behind bytes that were still given.
    fault: Option<ApiError>,
}

impl Inflater {
    /// Appends at most `most` bytes to `out` and says how many of `input` it took. Where it gave less than that, it needs more
    /// input.
    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Result<usize, ApiError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let before = out.len();
        let mut left = input;
        loop {
            let room = most - (out.len() - before);
            if room == 0 || left.is_empty() && self.place != Place::Within {
                break;
            }
            let (taken, given) = match self.once(left, out, room.min(ONCE_BYTES)) {
                Ok(done) => done,
                Err(fault) if out.len() > before => {
                    self.fault = Some(fault);
                    break;
                }
                Err(fault) => return Err(fault),
            };
            left = left.get(taken..).unwrap_or_default();
            self.taken += taken as u64;
            self.given += given as u64;
            if (taken, given) == (0, 0) {
                break;
            }
        }
        Ok(input.len() - left.len())
    }

    fn once(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(usize, usize), ApiError> {
        if self.place == Place::End {
            match &mut self.kind {
                Kind::Gzip(inflate) => *inflate = Decompress::new_gzip(WINDOW_BITS),
                Kind::Deflate(_) => return Err(Self::fault("deflate", "it goes on behind its end")),
                Kind::Zstd(_) => {}
            }
        }
        self.place = Place::Within;
        match &mut self.kind {
            Kind::Gzip(inflate) => {
                let (taken, given, ended) = inflated(inflate, input, out, room).map_err(|e| Self::fault("gzip", e))?;
                if ended {
                    self.place = Place::End;
                }
                Ok((taken, given))
            }
            Kind::Deflate(inflate) => {
                // With a header as in RFC 1950, whose first byte has 8 in its lower half, or bare, as some send it.
                let has_header = input.first().is_some_and(|byte| byte & 0x0F == 8 && byte >> 4 <= 7);
                let inflate = inflate.get_or_insert_with(|| Decompress::new(has_header));
                let (taken, given, ended) =
                    inflated(inflate, input, out, room).map_err(|e| Self::fault("deflate", e))?;
                if ended {
                    self.place = Place::End;
                }
                Ok((taken, given))
            }
            Kind::Zstd(decoder) => {
                let before = out.len();
                out.resize(before + room, 0);
                let mut input = InBuffer::around(input);
                let mut output = OutBuffer::around(out.get_mut(before..).unwrap_or_default());
                let hint = decoder.run(&mut input, &mut output).map_err(|e| Self::fault("zstd", e));
                let given = output.pos();
                out.truncate(before + given);
                if hint? == 0 {
                    self.place = Place::End;
                }
                Ok((input.pos(), given))
            }
        }
    }

    /// Says whether the body may end here.
    pub(super) fn end(&mut self) -> Result<(), ApiError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match self.place {
            Place::Within => Err(ApiError::bad("the compressed body is cut off")),
            Place::Start | Place::End => Ok(()),
        }
    }

    /// Refuses a body that became more than so many times as large as it was sent, and is larger than what is free of that.
    pub(super) fn check_ratio(&self, most: u64, free: usize) -> Result<(), ApiError> {
        if self.given <= free as u64 || self.given / most <= self.taken {
            return Ok(());
        }
        let error = format!("the body is over {most} times as large as it was sent: send it less compressed");
        Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error))
    }

    fn fault(name: &str, why: impl std::fmt::Display) -> ApiError {
        ApiError::bad(format!("the body is no {name} that can be read: {why}"))
    }
}

/// What one call took and gave, and whether the end was reached.
fn inflated(
    inflate: &mut Decompress,
    input: &[u8],
    out: &mut Vec<u8>,
    room: usize,
) -> Result<(usize, usize, bool), flate2::DecompressError> {
    let (taken, given) = (inflate.total_in(), inflate.total_out());
    let before = out.len();
    out.resize(before + room, 0);
    let status = inflate.decompress(input, out.get_mut(before..).unwrap_or_default(), FlushDecompress::None);
    let given = usize::try_from(inflate.total_out() - given).unwrap_or(0);
    out.truncate(before + given);
    let taken = usize::try_from(inflate.total_in() - taken).unwrap_or(0);
    Ok((taken, given, status? == Status::StreamEnd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    fn compressed(encoding: Encoding, bare: bool, text: &[u8]) -> Vec<u8> {
        let mut compress = match encoding {
            Encoding::Zstd => return zstd::bulk::compress(text, 3).unwrap(),
            Encoding::Gzip => Compress::new_gzip(Compression::fast(), WINDOW_BITS),
            _ => Compress::new(Compression::fast(), !bare),
        };
        let mut out = Vec::with_capacity(text.len() + 1_024);
        assert_eq!(compress.compress_vec(text, &mut out, FlushCompress::Finish).unwrap(), Status::StreamEnd);
        out
    }

    /// In pieces of so many bytes, and steps of so many.
    fn inflate(encoding: Encoding, bytes: &[u8], piece: usize, most: usize) -> Result<Vec<u8>, ApiError> {
        let mut inflater = encoding.inflater()?.unwrap();
        let mut out = Vec::new();
        for mut piece in bytes.chunks(piece) {
            loop {
                let before = out.len();
                let taken = inflater.step(piece, &mut out, most)?;
                assert!(out.len() - before <= most);
                piece = &piece[taken..];
                if piece.is_empty() && out.len() - before < most {
                    break;
                }
            }
        }
        inflater.end().map(|()| out)
    }

    #[test]
    fn what_was_compressed_comes_back_in_any_pieces() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for (encoding, bare) in
            [(Encoding::Gzip, false), (Encoding::Zstd, false), (Encoding::Deflate, false), (Encoding::Deflate, true)]
        {
            let bytes = compressed(encoding, bare, &text);
            for (piece, most) in [(usize::MAX, usize::MAX >> 24), (1_000, 700), (17, 100_000)] {
                assert!(
                    inflate(encoding, &bytes, piece.min(bytes.len()), most.min(1 << 20)).unwrap() == text,
                    "{encoding:?}"
                );
            }
            let cut = inflate(encoding, &bytes[..bytes.len() - 5], 1_000, 1_000).unwrap_err().to_string();
            assert!(cut.contains("400") && cut.contains("cut off"), "{encoding:?}: {cut}");
            let mut twice = bytes.clone();
            twice.extend_from_slice(&bytes);
            let twice = inflate(encoding, &twice, 999, 1 << 20);
            match encoding {
                Encoding::Deflate => assert!(twice.unwrap_err().to_string().contains("behind its end")),
                _ => assert_eq!(twice.unwrap().len(), 2 * text.len(), "{encoding:?}"),
            }
            assert!(inflate(encoding, b"{\"_msg\":\"not compressed\"}", 100, 100).is_err());
        }
    }

    #[test]
    fn what_grows_too_much_is_told_from_what_grows_little() {
        let zeros = vec![0; 8 * MIB];
        let bytes = compressed(Encoding::Zstd, false, &zeros);
        let mut inflater = Encoding::Zstd.inflater().unwrap().unwrap();
        for n in 0..20 {
            let mut out = Vec::new();
            assert_eq!(inflater.step(&bytes, &mut out, zeros.len()).unwrap(), bytes.len());
            assert_eq!(inflater.check_ratio(500, STREAM_FREE_BYTES).is_err(), n >= 8, "{n}");
        }
    }
}
