//! TLS from files, which may change while the server runs.
//!
//! Invariants
//! * Files that cannot be used change nothing: what was used before is used on, and the operator is told once.
//! * Connections that are open keep what they began with.
use super::complain;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The protocols that clients may agree on, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate and its key.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    used: RwLock<Arc<ServerConfig>>,
}

/// What tells that a file changed: when it was written, which one it is, and its length.
type Stamp = Option<[i64; 4]>;

impl Tls {
    /// What the certificate's and the key's files have, where both are named; what is wrong names the file, of one that is named alone too.
    pub(crate) fn load(files: &[Option<PathBuf>; 2]) -> Result<Option<Self>, Vec<String>> {
        match files {
            [Some(cert), Some(key)] => {
                let used = RwLock::new(read(cert, key)?);
                Ok(Some(Self { cert: cert.clone(), key: key.clone(), used }))
            }
            [Some(cert), None] => certificates(cert).map(|_| None).map_err(|e| vec![e]),
            [None, Some(key)] => private_key(key).map(|_| None).map_err(|e| vec![e]),
            [None, None] => Ok(None),
        }
    }

    /// What makes a connection a secure one.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.used.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files again whenever they changed, for ever.
    pub(crate) async fn watch(self: Arc<Self>, interval: Duration) {
        let mut seen = None;
        loop {
            let tls = Arc::clone(&self);
            // It fails only by a panic, of which the panic itself has told.
            if let Ok(stamps) = tokio::task::spawn_blocking(move || tls.look(seen)).await {
                seen = Some(stamps);
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Reads the files if they are others than those that were seen.
    fn look(&self, seen: Option<[Stamp; 2]>) -> [Stamp; 2] {
        let stamps = [stamp(&self.cert), stamp(&self.key)];
        if seen != Some(stamps) {
            match read(&self.cert, &self.key) {
                Ok(read) => *self.used.write().unwrap_or_else(PoisonError::into_inner) = read,
                Err(faults) => complain(format_args!("{}; the certificate from before is used on", faults.join("; "))),
            }
        }
        stamps
    }
}

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some([meta.mtime(), meta.mtime_nsec(), meta.ino().cast_signed(), meta.size().cast_signed()])
}

fn wrong(path: &Path, what: &dyn std::fmt::Display) -> String {
    format!("cannot use {}: {what}", path.display())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| wrong(path, &e))?;
    if chain.is_empty() { Err(wrong(path, &"it has no certificate in PEM")) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| wrong(path, &e))
}

/// Both files, or all that is wrong with them.
fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Vec<String>> {
    let (chain, private) = match (certificates(cert), private_key(key)) {
        (Ok(chain), Ok(private)) => (chain, private),
        (chain, private) => return Err(chain.err().into_iter().chain(private.err()).collect()),
    };
    let made = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, private));
    let mut config = made.map_err(|e| vec![wrong(cert, &format_args!("with {}: {e}", key.display()))])?;
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
