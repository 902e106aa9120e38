//! API keys: what is kept of each, and its readable copy.
//!
//! Invariants
//! * The key of a row is the public part of the API key, its id. The key itself is nowhere, only its hash.
//! * A copy has no secret, and not when the key was used last.
use super::config_copy::{CopyFields, CopyValue, from_hex, number, text, to_hex};
use super::tables::{Change, Table};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// What is kept of an API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What people call it.
    pub name: String,
    /// The SHA-256 of all of it.
    pub hash: [u8; HASH_BYTES],
    /// What may be done with it, by names that mean something to the server.
    pub scopes: Vec<String>,
    /// The only services that it is for; none for all.
    pub services: Vec<String>,
    /// When it was made, nanoseconds since 1970.
    pub created_at: i64,
    /// From when on it is not valid any more.
    pub expires_at: Option<i64>,
    /// When it was used last, as far as that was written down.
    pub last_used_at: Option<i64>,
}

impl KeyRecord {
    pub(crate) fn to_fields(&self) -> CopyFields {
        let mut fields = CopyFields::from([
            ("label".to_owned(), CopyValue::Text(self.name.clone())),
            ("sha256".to_owned(), CopyValue::Text(to_hex(&self.hash))),
            ("created_at".to_owned(), CopyValue::Number(self.created_at.into())),
        ]);
        if let Some(at) = self.expires_at {
            fields.insert("expires_at".into(), CopyValue::Number(at.into()));
        }
        for (name, values) in [("scope", &self.scopes), ("service", &self.services)] {
            let numbered = values.iter().enumerate();
            fields.extend(numbered.map(|(at, value)| (format!("{name}.{at:03}"), CopyValue::Text(value.clone()))));
        }
        fields
    }

    pub(crate) fn from_fields(fields: &CopyFields) -> Result<Self> {
        let hash = text(fields, "sha256")?.as_deref().and_then(from_hex).and_then(|bytes| bytes.try_into().ok());
        let listed = |name: &str| -> Vec<String> {
            let of_name = fields.iter().filter(|(key, _)| key.strip_prefix(name).is_some_and(|at| at.starts_with('.')));
            of_name
                .filter_map(|(_, value)| if let CopyValue::Text(text) = value { Some(text.clone()) } else { None })
                .collect()
        };
        Ok(Self {
            name: text(fields, "label")?.unwrap_or_default(),
            hash: hash.ok_or_else(|| Error::corrupt("the copy has no SHA-256"))?,
            scopes: listed("scope"),
            services: listed("service"),
            created_at: number(fields, "created_at")?.unwrap_or(0),
            expires_at: number(fields, "expires_at")?,
            last_used_at: None,
        })
    }
}

impl Change {
    /// Adds or replaces an API key.
    pub fn put_key(&mut self, id: &str, key: &KeyRecord) -> Result<&mut Self> {
        self.put(Table::Keys, id.as_bytes(), key)
    }

    /// Forgets an API key.
    pub fn remove_key(&mut self, id: &str) -> &mut Self {
        self.remove(Table::Keys, id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_all_but_when_it_was_used() {
        let services = (0..12).map(|n| format!("shop, \"{n}\"")).collect();
        let key = KeyRecord {
            name: "the shop's".into(),
            hash: [7; HASH_BYTES],
            scopes: vec!["ingest".into(), "read".into()],
            services,
            created_at: 5,
            expires_at: Some(9),
            last_used_at: Some(7),
        };
        let copied = KeyRecord::from_fields(&key.to_fields()).unwrap();
        assert_eq!(copied, KeyRecord { last_used_at: None, ..key.clone() });
        let mut fields = key.to_fields();
        fields.insert("sha256".into(), CopyValue::Text("07".into()));
        assert!(KeyRecord::from_fields(&fields).is_err());
    }
}
