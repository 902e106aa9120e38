//! API keys: kept, forgotten, kept twice, and brought back. What they are good for is the server's to know.
//!
//! Invariants
//! * What the catalog has counts; where that is new or damaged, the copies fill in.
//! * A key that was removed does not come back: its copy goes before its row does.
use super::{Engine, locked};
use crate::catalog::config_copy::{self, CopyKind};
use crate::catalog::{Catalog, Change, KeyRecord, Table};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use std::collections::BTreeMap;

/// API keys at once.
const KEYS_MAX: usize = 1_000;

/// All API keys, by id.
pub(crate) type KeyRecords = BTreeMap<String, KeyRecord>;

impl Engine {
    /// Every API key, by id.
    pub fn keys(&self) -> BTreeMap<String, KeyRecord> {
        locked(&self.shared.keys).clone()
    }

    /// Keeps a new API key.
    pub fn add_key(&self, id: &str, key: KeyRecord) -> Result<()> {
        let shared = &self.shared;
        let mut keys = locked(&shared.keys);
        if keys.contains_key(id) {
            return Err(Error::new(ErrorKind::Conflict, format!("there is a key {id} already")));
        }
        if keys.len() >= KEYS_MAX {
            let message = format!("there are {KEYS_MAX} keys, which is as many as there may be: revoke one first");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let (mut change, mut undo) = (Change::new(), Change::new());
        change.put_key(id, &key)?;
        undo.remove_key(id);
        shared.commit_catalog(&change, &undo)?;
        if let Err(e) = config_copy::write(&*shared.env, &shared.layout, CopyKind::Key, id, &key.to_fields()) {
            shared.trouble(format!("the key {id} is kept, but its copy is not written: {e}"));
        }
        keys.insert(id.into(), key);
        Ok(())
    }

    /// Forgets an API key and gives what was kept of it, if there was one.
    pub fn remove_key(&self, id: &str) -> Result<Option<KeyRecord>> {
        let shared = &self.shared;
        let mut keys = locked(&shared.keys);
        let Some(before) = keys.get(id) else { return Ok(None) };
        let (mut change, mut undo) = (Change::new(), Change::new());
        change.remove_key(id);
        undo.put_key(id, before)?;
        config_copy::remove(&*shared.env, &shared.layout, CopyKind::Key, id)?;
        shared.commit_catalog(&change, &undo)?;
        Ok(keys.remove(id))
    }

    /// Writes down when keys were used last; of those that are gone nothing.
    pub fn note_key_uses(&self, uses: &[(String, i64)]) -> Result<()> {
        let shared = &self.shared;
        let mut keys = locked(&shared.keys);
        let (mut change, mut undo) = (Change::new(), Change::new());
        let mut noted = Vec::new();
        for (id, at) in uses {
            let Some(key) = keys.get(id).filter(|key| key.last_used_at.is_none_or(|before| before < *at)) else {
                continue;
            };
            let used = KeyRecord { last_used_at: Some(*at), ..key.clone() };
            change.put_key(id, &used)?;
            undo.put_key(id, key)?;
            noted.push((id.clone(), used));
        }
        if !change.is_empty() {
            shared.commit_catalog(&change, &undo)?;
            keys.extend(noted);
        }
        Ok(())
    }
}

/// The keys that there are at a start, in catalog and copies alike; in doubt the copies add what the catalog lost.
pub(super) fn recover(
    catalog: &Catalog,
    (env, layout): (&dyn Env, &Layout),
    in_doubt: bool,
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<KeyRecords> {
    let found = catalog.scan::<KeyRecord>(Table::Keys)?;
    let in_doubt = in_doubt || !found.damaged.is_empty() || found.whole.is_some();
    for (key, error) in found.damaged {
        troubles.push(format!("a key is damaged and does not open anything unless it has a copy: {error}"));
        change.remove(Table::Keys, &key);
    }
    let with_id = |(id, key): (Vec<u8>, KeyRecord)| Some((String::from_utf8(id).ok()?, key));
    let mut keys: KeyRecords = found.rows.into_iter().filter_map(with_id).collect();
    let copies = match config_copy::read(env, layout, CopyKind::Key) {
        Ok(copies) => copies,
        Err(e) => {
            troubles.push(format!("the copies of keys cannot be read: {e}"));
            return Ok(keys);
        }
    };
    troubles.extend(copies.damaged.iter().map(|(path, e)| format!("{} is damaged: {e}", path.display())));
    let mut copied = BTreeMap::new();
    for (id, fields) in copies.rows {
        match KeyRecord::from_fields(&fields) {
            Ok(key) if in_doubt && !keys.contains_key(&id) => {
                change.put_key(&id, &key)?;
                troubles.push(format!("the key {id} is restored from its copy"));
                keys.insert(id.clone(), key);
            }
            Ok(_) => {}
            Err(e) => troubles.push(format!("the copy of the key {id} is damaged: {e}")),
        }
        copied.insert(id, fields);
    }
    follow(env, layout, &keys, copied, troubles);
    Ok(keys)
}

/// Makes the copies say what the keys are.
fn follow(
    env: &dyn Env,
    layout: &Layout,
    keys: &KeyRecords,
    mut copied: BTreeMap<String, config_copy::CopyFields>,
    troubles: &mut Vec<String>,
) {
    for (id, key) in keys {
        let fields = key.to_fields();
        if copied.remove(id).as_ref() != Some(&fields)
            && let Err(e) = config_copy::write(env, layout, CopyKind::Key, id, &fields)
        {
            troubles.push(format!("the copy of the key {id} is not written: {e}"));
        }
    }
    for id in copied.keys() {
        if let Err(e) = config_copy::remove(env, layout, CopyKind::Key, id) {
            troubles.push(format!("the copy of a key that is gone is not removed: {e}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Options;
    use crate::env::RealEnv;
    use std::sync::Arc;

    fn open(data: &std::path::Path) -> Arc<Engine> {
        Engine::open(Arc::new(RealEnv::new()), Options::new(data)).unwrap()
    }

    fn key(name: &str) -> KeyRecord {
        KeyRecord {
            name: name.into(),
            hash: [1; 32],
            scopes: vec!["read".into()],
            services: Vec::new(),
            created_at: 1,
            expires_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn keys_outlive_a_restart_and_a_lost_catalog() {
        let data = tempfile::tempdir().unwrap();
        let engine = open(data.path());
        engine.add_key("a", key("first")).unwrap();
        engine.add_key("b", key("second")).unwrap();
        assert_eq!(engine.add_key("a", key("again")).unwrap_err().kind(), ErrorKind::Conflict);
        engine.note_key_uses(&[("a".into(), 7), ("none".into(), 7)]).unwrap();
        engine.note_key_uses(&[("a".into(), 5)]).unwrap();
        assert_eq!(engine.remove_key("b").unwrap().map(|key| key.name), Some("second".into()));
        assert_eq!(engine.remove_key("b").unwrap(), None);
        engine.close().unwrap();
        drop(engine);

        let engine = open(data.path());
        let kept = BTreeMap::from([("a".to_owned(), KeyRecord { last_used_at: Some(7), ..key("first") })]);
        assert_eq!(engine.keys(), kept);
        engine.close().unwrap();
        drop(engine);

        std::fs::remove_file(data.path().join("catalog.redb")).unwrap();
        let engine = open(data.path());
        assert_eq!(engine.keys(), BTreeMap::from([("a".to_owned(), key("first"))]));
        assert!(engine.troubles().iter().any(|trouble| trouble.contains("the key a is restored")));
    }

    #[test]
    fn there_are_only_so_many() {
        let data = tempfile::tempdir().unwrap();
        let engine = open(data.path());
        locked(&engine.shared.keys).extend((0..KEYS_MAX).map(|n| (n.to_string(), key("one of many"))));
        assert!(engine.add_key("a", key("one too many")).is_err_and(|e| e.to_string().contains("revoke one")));
    }
}
