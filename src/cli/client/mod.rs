//! The client's side of HTTP: where the server is, the key that is shown, and what is wrong, in one line.
//!
//! Invariants
//! * The admin key of the data directory goes to a server on this machine only.
//! * Nothing is retried here; whoever asks knows whether it may ask again.
//! * What a server says never reaches a terminal as it came: see `terminal`.
mod trouble;

use super::Failure;
use super::terminal::printable;
use crate::config::{self, ClientFlags, Remote};
use clap::Args;
use logyard_storage::layout::ADMIN_KEY;
use serde_json::Value;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
pub(super) use trouble::{Refusal, Trouble};
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body};

const CONNECT: Duration = Duration::from_secs(10);
/// An answer that is read as a whole; the server's own bound is half of it.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Of an answer that says what is wrong.
const FAULT_BYTES_MAX: u64 = 64 << 10;
/// Characters of what a server says that are repeated.
const SAID_CHARS_MAX: usize = 2_000;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Where the server is, and who asks.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// Address of the server [env: LOGYARD_URL] [default: http://127.0.0.1:7514]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Key to come in with [env: LOGYARD_API_KEY] [default: <data>/admin.key, for a server on this machine]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Data directory of a server on this machine, where its admin key is [env: LOGYARD_DATA] [default: ./logyard-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl ServerArgs {
    /// Whether the command line or the environment says which server is meant.
    pub(super) fn names_a_server(&self) -> bool {
        self.url.is_some() || std::env::var_os("LOGYARD_URL").is_some_and(|url| !url.is_empty())
    }

    /// Whether the command line or the environment says where the data directory is.
    fn names_data(&self) -> bool {
        self.data.is_some() || std::env::var_os("LOGYARD_DATA").is_some_and(|data| !data.is_empty())
    }

    /// The data directory on this machine.
    pub(super) fn data(&self) -> Result<PathBuf, Failure> {
        config::data(self.data.clone(), None, std::env::vars_os()).map_err(|faults| Failure::configuration(&faults))
    }
}

/// A server that is spoken to.
#[derive(Clone)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    key: Key,
}

/// What is shown to a server.
#[derive(Clone)]
enum Key {
    /// A key, and where it came from.
    From(String, String),
    /// None; and where one was looked for in vain.
    None(Option<String>),
}

impl Client {
    /// The server that the command line and the environment name.
    pub(super) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        Self::with_patience(args, None)
    }

    /// The same; an answer breaks off where nothing comes of it for so long.
    pub(super) fn with_patience(args: &ServerArgs, silence: Option<Duration>) -> Result<Self, Failure> {
        let ServerArgs { url, key, .. } = args.clone();
        let flags = ClientFlags { url, key };
        let Remote { url, key } = Remote::new(flags, |name| std::env::var_os(name)).map_err(Failure::Usage)?;
        let uri: Uri = url.parse().map_err(|e| Failure::Usage(format!("`{}` is no address: {e}", printable(&url))))?;
        let is_here = uri.host().is_some_and(is_loopback);
        let key = match key {
            Some((key, from)) => Key::From(key, from.to_owned()),
            None if is_here => key_of(&args.data()?, args.names_data())?,
            None => Key::None(None),
        };
        Ok(Self { agent: agent(uri.scheme_str() == Some("https"), is_here, silence)?, url, key })
    }

    /// The address of the server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What is said of who asks, where there is a key.
    pub(super) fn authorization(&self) -> Option<String> {
        match &self.key {
            Key::From(key, _) => Some(format!("Bearer {key}")),
            Key::None(_) => None,
        }
    }

    /// Gets what is at a path, as JSON.
    pub(super) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.json(self.send(Method::GET, path, &[], ())?)
    }

    /// Sends JSON to a path, and has JSON back.
    pub(super) fn send_json(&self, method: Method, path: &str, body: &Value) -> Result<Value, Trouble> {
        let json = [("content-type", "application/json")];
        self.json(self.send(method, path, &json, body.to_string())?)
    }

    /// Posts a form; its answer comes while it is read.
    pub(super) fn post_form(
        &self,
        path: &str,
        params: &[(&str, String)],
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, Trouble> {
        let form = serde_urlencoded::to_string(params).map_err(|e| Trouble::Unreachable(e.to_string()))?;
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send(Method::POST, path, &all, form)
    }

    /// Sends a request, with the key; what is no success is [`Trouble::Refused`].
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Response<Body>, Trouble> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = self.authorization() {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|e| Trouble::Unreachable(format!("cannot ask {}: {e}", self.url)))?;
        let answer = self.agent.run(request).map_err(|e| Trouble::reaching(&self.url, &e))?;
        if answer.status().is_success() { Ok(answer) } else { Err(Trouble::Refused(self.refusal(answer))) }
    }

    /// An answer as JSON.
    pub(super) fn json(&self, mut answer: Response<Body>) -> Result<Value, Trouble> {
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|e| Trouble::BrokeOff(format!("the answer of {} broke off: {e}", self.url)))?;
        serde_json::from_slice(&body).map_err(|_| {
            Trouble::BrokeOff(format!("{} does not answer as Logyard does; is the address right?", self.url))
        })
    }

    /// The words for an answer that ended while it was read.
    pub(super) fn broke_off(&self, error: &io::Error) -> Trouble {
        Trouble::BrokeOff(format!("the answer of {} broke off: {}", self.url, printable(&error.to_string())))
    }

    fn refusal(&self, mut answer: Response<Body>) -> Refusal {
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let mut text = String::new();
        // What of it does not come, or is no text, is not there to be repeated.
        let _as_far_as_it_came = answer.body_mut().as_reader().take(FAULT_BYTES_MAX).read_to_string(&mut text);
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = |name: &str| body.get(name).and_then(Value::as_str).map(|text| shortened(&printable(text)));
        let position = body.get("position").and_then(Value::as_u64).zip(said("reason"));
        let position = position.map(|(at, reason)| (usize::try_from(at).unwrap_or(usize::MAX), reason));
        let is_said = body.get("error").is_some();
        let mut error = match (said("error"), said("message")) {
            (Some(error), Some(message)) => format!("{error}: {message}"),
            (Some(error), None) => error,
            (None, _) => format!("{} answers with status {status}; is it the address of Logyard?", self.url),
        };
        if let Some(advice) = self.advice(status) {
            error.push_str("; ");
            error.push_str(&advice);
        }
        Refusal { status, error, is_said, position, retry_after }
    }

    /// What to do about a status.
    fn advice(&self, status: u16) -> Option<String> {
        match (status, &self.key) {
            (401, Key::None(Some(keyless))) => Some(format!(
                "{keyless}; give a key with --key or LOGYARD_API_KEY, or name the directory of the server that is asked with --data"
            )),
            (401, Key::None(None)) => Some(
                "give a key with --key or LOGYARD_API_KEY, or name the server's data directory with --data where you are on its machine"
                    .into(),
            ),
            (401 | 403, Key::From(_, from)) => Some(format!("the key is from {from}")),
            (429 | 503, _) => Some("try again a little later".into()),
            _ => None,
        }
    }
}

fn agent(is_secure: bool, is_here: bool, silence: Option<Duration>) -> Result<Agent, Failure> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(silence)
        .user_agent(concat!("logyard/", env!("CARGO_PKG_VERSION")));
    if is_here {
        // A proxy could not reach what listens on this machine only.
        config = config.proxy(None);
    }
    if is_secure {
        config = config.tls_config(tls()?);
    }
    Ok(config.build().into())
}

/// TLS with the certificates that this machine trusts, or those that `SSL_CERT_FILE` names.
fn tls() -> Result<TlsConfig, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> = found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned()).collect();
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |e| format!(": {e}"));
        let what =
            "this machine has no certificates to know the server by; install ca-certificates, or set SSL_CERT_FILE";
        return Err(Failure::Failed(format!("{what}{why}")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots));
    Ok(config.unversioned_rustls_crypto_provider(provider).build())
}

/// The key of a data directory, with where it is; or that there is none in a directory that is there, or was named.
fn key_of(data: &Path, is_named: bool) -> Result<Key, Failure> {
    let path = data.join(ADMIN_KEY);
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = text.trim();
            let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic());
            let none = || Key::None(Some(format!("{shown} has no key")));
            Ok(if is_key { Key::From(key.to_owned(), shown.to_string()) } else { none() })
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Key::None((is_named || data.is_dir()).then(|| format!("there is no {shown}"))))
        }
        Err(e) => {
            Err(Failure::Failed(format!("cannot read the key in {shown}: {e}; give one with --key or LOGYARD_API_KEY")))
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn shortened(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_data_directory_stays_on_this_machine() {
        assert!(["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "::1"].into_iter().all(is_loopback));
        assert!(!["10.0.0.1", "example.com", "localhost.example.com", "[::2]", ""].into_iter().any(is_loopback));
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(ADMIN_KEY), "secret\n").unwrap();
        let client = |url: &str| {
            let args = ServerArgs { url: Some(url.into()), data: Some(data.path().into()), key: None };
            Client::new(&args).ok().unwrap().authorization()
        };
        assert_eq!(client("http://127.0.0.1:1"), Some("Bearer secret".into()));
        assert_eq!(client("http://10.0.0.1:1"), None);
    }
}
