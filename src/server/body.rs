//! Request bodies: whole within a limit, or piece by piece. How long one may be waited for is seen to in `listen/paced.rs`.
//!
//! Invariants
//! * What is held is counted as it grows, decompressed bytes beside those that were sent.
//! * One that is read as a whole has to come at a pace in the mean, since it holds memory until it is there.
use super::access::KeyEnd;
use super::blocking;
use super::encoding::{Encoding, Inflater, WHOLE_FREE_BYTES};
use super::error::ApiError;
use super::listen::TooSlow;
use super::room::Room;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use logyard_storage::limits::{KIB, MIB};
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How much of a body is decompressed before it is counted.
const STEP_BYTES: usize = MIB;
/// How many times larger than it was sent a body may become, which a whole one never has to.
const RATIO_MAX: u64 = 500;
/// Bytes that a whole one has to come with in each second, once it was waited for as long as for any.
const PACE_BYTES: usize = 16 * KIB;

/// What a whole body may be.
#[derive(Clone, Copy)]
pub(crate) struct WholeBounds {
    /// Bytes, as it is sent and once it is decompressed.
    pub(crate) most: usize,
    /// How long it is waited for, and longer the more of it came.
    pub(crate) wait: Duration,
}

impl WholeBounds {
    /// The same for so many bytes at most.
    pub(crate) fn of(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// How long it may take in all if so much of it came.
    fn time(&self, bytes: usize) -> Duration {
        self.wait + Duration::from_secs_f64(bytes as f64 / PACE_BYTES as f64)
    }
}

/// The whole body within its bounds.
pub(crate) async fn read_whole(
    headers: &HeaderMap,
    body: Body,
    bounds: WholeBounds,
    mut room: Room,
) -> Result<Whole, ApiError> {
    let (most, began) = (bounds.most, Instant::now());
    let inflater = Encoding::of(headers)?.inflater()?;
    let too_large = || too_large(most, "");
    let declared = declared(headers);
    let mut pieces = Pieces(body);
    if declared.is_some_and(|len| len > most as u64) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(declared.map_or(0, |len| usize::try_from(len).unwrap_or(0)).min(MIB));
    while let Some(piece) =
        timeout_at(began + bounds.time(bytes.len()), pieces.next()).await.unwrap_or_else(|_| Err(too_slow()))?
    {
        if bytes.len() + piece.len() > most {
            return Err(too_large());
        }
        room.grow_to(bytes.len() + piece.len())?;
        make_room(&mut bytes, piece.len(), most);
        bytes.extend_from_slice(&piece);
    }
    let whole = Whole { bytes, room };
    match inflater {
        None => Ok(whole),
        Some(inflater) => blocking(move || inflate(inflater, whole, most)).await?,
    }
}

/// How long a body is, where its head says so.
pub(super) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Has as much again as there is three times, so that moving it seldom takes much beside it, and no more than may come.
fn make_room(bytes: &mut Vec<u8>, more: usize, most: usize) {
    if bytes.capacity() - bytes.len() < more {
        let wanted = bytes.capacity().saturating_mul(4).max(64 * KIB).min(most);
        bytes.reserve_exact(wanted.saturating_sub(bytes.len()).max(more));
    }
}

fn too_slow() -> ApiError {
    let error = format!("the body comes too slowly: send {} KiB a second at least, or a shorter one", PACE_BYTES / KIB);
    ApiError::new(StatusCode::REQUEST_TIMEOUT, error)
}

fn too_large(most: usize, when: &str) -> ApiError {
    let most = if most.is_multiple_of(MIB) { format!("{} MiB", most / MIB) } else { format!("{most} bytes") };
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most}{when}"))
}

/// The body as it was before it was compressed.
fn inflate(mut inflater: Inflater, compressed: Whole, most: usize) -> Result<Whole, ApiError> {
    let Whole { bytes: input, mut room } = compressed;
    // Steps by themselves: one that grows would be there twice each time that it is moved.
    let (mut left, mut steps, mut bytes) = (input.as_slice(), Vec::new(), 0);
    loop {
        let mut step = Vec::new();
        let taken = inflater.step(left, &mut step, STEP_BYTES)?;
        left = left.get(taken..).unwrap_or_default();
        let is_last = left.is_empty() && step.len() < STEP_BYTES;
        bytes += step.len();
        steps.push(step);
        if bytes > most {
            return Err(too_large(most, " once it is decompressed"));
        }
        inflater.check_ratio(RATIO_MAX, WHOLE_FREE_BYTES)?;
        room.grow_to(input.len() + bytes)?;
        if is_last {
            break;
        }
    }
    inflater.end()?;
    drop(input);
    let mut whole = Vec::with_capacity(bytes);
    steps.into_iter().for_each(|step| whole.extend_from_slice(&step));
    Ok(Whole { bytes: whole, room })
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

/// What of this kind is beneath it; as many errors lie around that as layers that a body came through.
fn beneath<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    error.downcast_ref().or_else(|| beneath(error.source()?))
}

/// Why a body did not come whole.
fn broke_off(error: &axum::Error) -> ApiError {
    if let Some(end) = beneath::<KeyEnd>(error) {
        return (*end).into();
    }
    if beneath::<TooSlow>(error).is_some() {
        return ApiError::new(StatusCode::REQUEST_TIMEOUT, TooSlow.to_string());
    }
    ApiError::bad(format!("the body broke off: {error}"))
}
