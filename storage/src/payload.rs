//! What a WAL frame holds: a batch and its effects, so that they become visible together or not at all.
//!
//! `| version u8 | effects n | per effect: key, present u8, value, expires | columns | shapes |`
//!
//! Invariants
//! * A payload stands alone: it has the text of every shape and the name of every field that it uses.
use crate::batch::Batch;
use crate::codec::{Reader, put_bytes, put_varint, unzigzag, zigzag};
use crate::error::{Error, Result};
use crate::limits::{BATCH_BYTES_MAX, EFFECT_BYTES_MAX, EFFECTS_MAX};

const VERSION: u8 = 1;

/// A small key and value that becomes visible with a batch: a dedupe key, a checkpoint, a queue position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What it is known by.
    pub key: Vec<u8>,
    /// Its new value; none forgets it.
    pub value: Option<Vec<u8>>,
    /// When it may be forgotten, nanoseconds since 1970.
    pub expires: Option<i64>,
}

/// Where the rows of an append are: what their ids are made of, beside the event times that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first row's number; the others follow.
    pub first_seq: u64,
    /// The epoch of these numbers.
    pub epoch: u32,
    /// When they arrived: the event time of rows that came without one.
    pub arrival: i64,
}

impl Place {
    pub(crate) const BYTES: usize = 20;

    pub(crate) fn put(self, value: &mut Vec<u8>) {
        value.extend_from_slice(&self.first_seq.to_le_bytes());
        value.extend_from_slice(&self.epoch.to_le_bytes());
        value.extend_from_slice(&self.arrival.to_le_bytes());
    }

    /// Parts the value of an effect that was appended with its place.
    pub fn split(value: &[u8]) -> Option<(&[u8], Self)> {
        let (value, bytes) = value.split_at_checked(value.len().checked_sub(Self::BYTES)?)?;
        let r = &mut Reader::new(bytes);
        let first_seq = u64::from_le_bytes(r.array().ok()?);
        let epoch = u32::from_le_bytes(r.array().ok()?);
        let arrival = i64::from_le_bytes(r.array().ok()?);
        Some((value, Self { first_seq, epoch, arrival }))
    }
}

/// The part of a payload before the batch's columns.
pub(crate) fn encode_effects(effects: &[Effect]) -> Result<Vec<u8>> {
    if effects.len() > EFFECTS_MAX {
        return Err(Error::invalid(format!("{} effects, over the limit of {EFFECTS_MAX}", effects.len())));
    }
    let mut out = vec![VERSION];
    put_varint(&mut out, effects.len() as u64);
    for effect in effects {
        let value = effect.value.as_deref().unwrap_or_default();
        if effect.key.len() > EFFECT_BYTES_MAX || value.len() > EFFECT_BYTES_MAX {
            return Err(Error::invalid(format!("an effect over the limit of {EFFECT_BYTES_MAX} bytes")));
        }
        put_bytes(&mut out, &effect.key);
        out.push(u8::from(effect.value.is_some()));
        put_bytes(&mut out, value);
        put_varint(&mut out, effect.expires.map_or(0, |at| zigzag(at).saturating_add(1)));
    }
    Ok(out)
}

/// What stands between effects and columns.
pub(crate) fn columns_length(batch: Option<&Batch>) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, batch.map_or(0, |batch| batch.columns().len() as u64));
    out
}

/// Reads a payload.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Vec<Effect>, Option<Batch>)> {
    let r = &mut Reader::new(bytes);
    if r.u8()? != VERSION {
        return Err(Error::corrupt("a frame of an unknown version"));
    }
    let n = r.count(4)?;
    let mut effects = Vec::with_capacity(n.min(EFFECTS_MAX));
    for _ in 0..n {
        let key = r.bytes()?.to_vec();
        let present = r.u8()? == 1;
        let value = r.bytes()?.to_vec();
        let expires = match r.varint()? {
            0 => None,
            at => Some(unzigzag(at - 1)),
        };
        effects.push(Effect { key, value: present.then_some(value), expires });
    }
    let columns = r.bytes()?;
    let shapes = r.rest();
    if columns.is_empty() {
        return Ok((effects, None));
    }
    if columns.len() + shapes.len() > 2 * BATCH_BYTES_MAX {
        return Err(Error::corrupt("a frame holds a batch over the limit"));
    }
    Ok((effects, Some(Batch::parse(columns, shapes)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_and_batch_come_back() {
        let effects = vec![
            Effect { key: b"k".to_vec(), value: Some(b"v".to_vec()), expires: Some(-5) },
            Effect { key: b"gone".to_vec(), value: None, expires: None },
        ];
        let mut builder = crate::batch::BatchBuilder::new();
        builder.begin_row();
        builder.string("_msg", "took 15 ms");
        builder.commit_row();
        let batch = builder.finish().unwrap();
        let mut bytes = encode_effects(&effects).unwrap();
        bytes.extend_from_slice(&columns_length(Some(&batch)));
        bytes.extend_from_slice(batch.columns());
        bytes.extend_from_slice(batch.shapes());
        let (back, found) = decode(&bytes).unwrap();
        assert_eq!(back, effects);
        assert_eq!(found.unwrap().columns(), batch.columns());
        for end in 0..bytes.len() {
            // A cut payload is refused or is one without a batch; it never panics.
            let _outcome = decode(&bytes[..end]);
        }
        assert!(encode_effects(&[Effect { key: vec![0; EFFECT_BYTES_MAX + 1], value: None, expires: None }]).is_err());
    }
}
