//! Request bodies: whole within a limit, or piece by piece. How long one may be waited for is seen to in `listen/paced.rs`.
use super::error::ApiError;
use super::listen::TooSlow;
use super::room::Room;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use logyard_storage::limits::MIB;
use std::error::Error;

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
        let size = if most.is_multiple_of(MIB) { format!("{} MiB", most / MIB) } else { format!("{most} bytes") };
        let error = format!("the body is larger than {size}");
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
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(broke_off(&e)),
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

/// Why a body did not come whole.
fn broke_off(error: &axum::Error) -> ApiError {
    if error.source().is_some_and(|cause| cause.is::<TooSlow>()) {
        return ApiError::new(StatusCode::REQUEST_TIMEOUT, TooSlow.to_string());
    }
    ApiError::bad(format!("the body broke off: {error}"))
}
