//! Request bodies: whole within a limit, or piece by piece, never waiting for ever.
use super::error::ApiError;
use super::room::Room;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use logyard_storage::limits::MIB;
use std::time::Duration;

/// A body with rows that is held in memory as a whole.
pub(crate) const BODY_BYTES_MAX: usize = 64 * MIB;
/// A client that sends nothing for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Refuses bodies that are encoded in a way that is not read.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim()) {
        None | Some("" | "identity") => Ok(()),
        Some(other) => {
            let error = format!("Content-Encoding {other} is not supported; send the body uncompressed");
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
        }
    }
}

/// The whole body, of so many bytes at most.
pub(crate) async fn read_whole(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    mut room: Room,
) -> Result<Whole, ApiError> {
    check_encoding(headers)?;
    let too_large = || {
        let error = format!("the body is larger than {} MiB", most / MIB);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|len| len > most as u64) {
        return Err(too_large());
    }
    let mut pieces = Pieces(body);
    let mut bytes = Vec::with_capacity(declared.map_or(0, |len| usize::try_from(len).unwrap_or(0)).min(MIB));
    while let Some(piece) = pieces.next().await? {
        if bytes.len() + piece.len() > most {
            return Err(too_large());
        }
        room.grow_to(bytes.len() + piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Whole { bytes, room })
}

/// A body in memory, and its room there.
pub(crate) struct Whole {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: Room,
}

/// A body piece by piece.
pub(crate) struct Pieces(pub(crate) Body);

impl Pieces {
    /// The next piece, or the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let timeout = ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body stopped coming");
            let frame = tokio::time::timeout(IDLE_MAX, self.0.frame()).await.map_err(|_| timeout)?;
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(ApiError::bad(format!("the body broke off: {e}"))),
                // Trailers are of no interest.
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}
