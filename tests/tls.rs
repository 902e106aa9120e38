//! HTTPS from files: both versions of HTTP, files that change, and files that are wrong.
use crate::certificate::Certificate;
use crate::frames;
use crate::harness::{KEY, Server, logyard};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme, StreamOwned,
    version,
};

/// Believes every certificate, and that its owner is who speaks.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &aws_lc_rs::default_provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &aws_lc_rs::default_provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(server: &Server, protocols: &[&str], tls12: bool) -> Stream {
    let versions = if tls12 { [&version::TLS12] } else { [&version::TLS13] };
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(server.address.strip_prefix("https://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.conn.complete_io(&mut stream.sock).unwrap();
    stream
}

fn shown(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].as_ref().to_vec()
}

struct Files {
    directory: tempfile::TempDir,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(certificate: &Certificate) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        certificate.write(&cert, &key);
        Self { directory, cert, key }
    }

    fn serve(&self) -> Server {
        Server::start_with(&self.directory.path().join("data"), |command| {
            command.arg("--tls-cert").arg(&self.cert).arg("--tls-key").arg(&self.key);
            command.env("LOGYARD_TLS_RELOAD_INTERVAL", "50ms").env("LOGYARD_ADMIN_KEY", KEY);
        })
    }
}

#[test]
fn clients_agree_on_a_version_of_http() {
    let certificate = Certificate::new();
    let files = Files::new(&certificate);
    let server = files.serve();
    for tls12 in [false, true] {
        let mut stream = connect(&server, &["http/1.1"], tls12);
        let version = if tls12 { ProtocolVersion::TLSv1_2 } else { ProtocolVersion::TLSv1_3 };
        assert_eq!((stream.conn.protocol_version(), shown(&stream)), (Some(version), certificate.der.clone()));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = format!(
            "GET /api/v1/logs/services HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"services\":[]}"), "{answer}");
    }
    let mut stream = connect(&server, &["h2", "http/1.1"], false);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(frames::get_health(&mut stream), 200);
}

#[test]
fn files_that_change_are_taken_and_wrong_ones_are_not() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let files = Files::new(&first);
    let server = files.serve();
    let mut old = connect(&server, &["http/1.1"], false);
    assert!(shown(&old) == first.der);
    // The certificate of the second with the key of the first: nothing changes, and the server goes on.
    let aside = Files::new(&second);
    std::fs::copy(&aside.cert, &files.cert).unwrap();
    for _ in 0..10 {
        assert!(shown(&connect(&server, &[], false)) == first.der);
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::copy(&aside.key, &files.key).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while shown(&connect(&server, &[], false)) != second.der {
        assert!(Instant::now() < until, "the new certificate is not taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(&files.key, "no key").unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert!(shown(&connect(&server, &[], false)) == second.der);
    // A connection that was there before is served on.
    write!(old, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn files_that_cannot_be_used_are_told_at_the_start_and_by_the_check() {
    let (files, other) = (Files::new(&Certificate::new()), Files::new(&Certificate::new()));
    let nowhere = PathBuf::from("/nowhere/key.pem");
    let told = |cert: &PathBuf, key: &PathBuf| {
        let mut command = logyard();
        command.args(["serve", "--check-config", "--tls-cert"]).arg(cert).arg("--tls-key").arg(key);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(told(&files.cert, &files.key).0, 0);
    for (cert, key, what) in [
        (&files.cert, &nowhere, "/nowhere/key.pem"),
        (&files.key, &files.key, "no certificate"),
        (&files.cert, &files.cert, "cert.pem"),
        (&files.cert, &other.key, "key.pem"),
    ] {
        let (code, error) = told(cert, key);
        assert!(code == 2 && error.starts_with("logyard: cannot use ") && error.contains(what), "{code} {error}");
    }
}

#[test]
fn who_does_not_speak_tls_is_given_up() {
    let files = Files::new(&Certificate::new());
    let server = Server::start_with(&files.directory.path().join("data"), |command| {
        command.arg("--tls-cert").arg(&files.cert).arg("--tls-key").arg(&files.key);
        command.env("LOGYARD_SERVER_HEADER_TIMEOUT", "2s").env("LOGYARD_ADMIN_KEY", KEY);
    });
    for request in ["", "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address.strip_prefix("https://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // It ends with or without an alert.
        if stream.read_to_end(&mut answer).is_ok() {
            assert!(!answer.starts_with(b"HTTP/"));
        }
    }
    assert_eq!(frames::get_health(&mut connect(&server, &["h2"], false)), 200);
}
