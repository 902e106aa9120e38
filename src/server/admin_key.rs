//! The admin key: made at the first start, kept hashed, compared in constant time.
//!
//! Invariants
//! * The key itself is in `<data>/admin.key` (mode 0600) for client commands on this machine; who deletes that file
//!   after copying it loses nothing, since only the hash beside it is asked.
//! * The key file is durable before its hash; a crash in between is repaired from the key file.
use logyard_storage::layout::{ADMIN_KEY, ADMIN_KEY_HASH as HASH};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// A key's SHA-256.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub(crate) fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether `key` is the one, in a time that does not depend on how alike they are.
    pub(crate) fn matches(&self, key: &str) -> bool {
        Self::of(key).0.ct_eq(&self.0).into()
    }

    /// The hash that is kept.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    fn to_hex(self) -> String {
        hex(&self.0)
    }

    fn from_hex(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        (text.len() == 64).then_some(Self(bytes))
    }
}

/// The hash of the directory's key; a key is made when there is none.
pub(crate) fn load_or_make(data: &Path) -> io::Result<KeyHash> {
    let (key_path, hash_path) = (data.join(ADMIN_KEY), data.join(HASH));
    if let Some(text) = read(&hash_path)? {
        let wrong = format!("{} is no SHA-256; delete it to use the key in {ADMIN_KEY}", hash_path.display());
        return KeyHash::from_hex(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, wrong));
    }
    let key = match read(&key_path)?.map(|text| text.trim().to_owned()).filter(|key| !key.is_empty()) {
        Some(key) => key,
        None => {
            let key = random_key()?;
            write(&key_path, &format!("{key}\n"))?;
            key
        }
    };
    let hash = KeyHash::of(&key);
    write(&hash_path, &format!("{}\n", hash.to_hex()))?;
    Ok(hash)
}

/// Whether the directory's key, of which there is a hash, can be read there.
pub(crate) fn is_in_file(data: &Path) -> bool {
    let text = |name| read(&data.join(name)).ok().flatten();
    let hash = text(HASH).and_then(|text| KeyHash::from_hex(&text));
    text(ADMIN_KEY).zip(hash).is_some_and(|(key, hash)| hash.matches(key.trim()))
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()))),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|e: io::Error| io::Error::new(e.kind(), format!("cannot write {}: {e}", path.display())))
}

fn random_key() -> io::Result<String> {
    Ok(format!("ly_{}", random_digits()?))
}

/// What nobody can guess, in 64 hex digits.
pub(super) fn random_digits() -> io::Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_outlives_its_file() {
        let data = tempfile::tempdir().unwrap();
        let hash = load_or_make(data.path()).unwrap();
        let path = data.path().join(ADMIN_KEY);
        let key = fs::read_to_string(&path).unwrap().trim().to_owned();
        assert!(hash.matches(&key) && !hash.matches(&key.to_uppercase()) && !hash.matches(""));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(data.path().join(HASH)).unwrap();
        assert!(load_or_make(data.path()).unwrap().matches(&key));
        fs::remove_file(&path).unwrap();
        assert!(load_or_make(data.path()).unwrap().matches(&key));
        assert!(!path.exists() && !is_in_file(data.path()));
        fs::write(&path, "another").unwrap();
        assert!(!is_in_file(data.path()));
        fs::write(&path, &key).unwrap();
        assert!(is_in_file(data.path()));
    }

    #[test]
    fn a_damaged_hash_lets_nobody_in() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(HASH), "zz").unwrap();
        assert!(load_or_make(data.path()).is_err_and(|e| e.to_string().contains(HASH)));
    }
}
