//! Why a client command has no answer, or not the one that it wanted: what is wrong in words, and what to do.
//!
//! Invariants
//! * What a server says is in here as `terminal` shows it.
//! * A command that a server finds wrong in its arguments ends with 2, and names them as the command line does.
use crate::cli::Failure;
use crate::cli::terminal::printable;
use rustls::CertificateError;
use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug)]
pub(in crate::cli) enum Trouble {
    /// There was no answer.
    Unreachable(String),
    /// The server said no.
    Refused(Refusal),
    /// An answer began and did not end.
    BrokeOff(String),
}

/// What a server says that does not do what it was asked for.
#[derive(Debug)]
pub(in crate::cli) struct Refusal {
    pub(in crate::cli) status: u16,
    /// What is wrong, and what to do.
    pub(in crate::cli) error: String,
    /// Logyard said it, and not what stands before it, or something else.
    pub(super) is_said: bool,
    /// The byte of a query that it is about, and what is wrong there.
    pub(in crate::cli) position: Option<(usize, String)>,
    /// How long the server asks to wait.
    pub(in crate::cli) retry_after: Option<Duration>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(what) | Self::BrokeOff(what) => f.write_str(what),
            Self::Refused(refusal) => f.write_str(&refusal.error),
        }
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// The failure of a command whose arguments are all that a server can find wrong.
    pub(in crate::cli) fn of_arguments(self) -> Failure {
        self.of_arguments_called(&[])
    }

    /// The same, where the server calls arguments by other names than the command line.
    pub(in crate::cli) fn of_arguments_called(self, names: &[(&str, &str)]) -> Failure {
        let error = match self {
            Self::Refused(Refusal { status: 400, is_said: true, error, .. }) => error,
            other => return other.into(),
        };
        let (first, rest) = error.split_once(' ').unwrap_or((&error, ""));
        let ours = names.iter().find(|(theirs, _)| *theirs == first);
        Failure::Usage(ours.map_or_else(|| error.clone(), |(_, ours)| format!("{ours} {rest}")))
    }

    /// There is no answer from an address.
    pub(super) fn reaching(url: &str, error: &ureq::Error) -> Self {
        let what = match error {
            ureq::Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused => {
                "connection refused; is `logyard serve` running there?".into()
            }
            ureq::Error::HostNotFound => {
                return Self::Unreachable(format!("cannot reach {url}: there is no such host"));
            }
            ureq::Error::Rustls(e) => of_tls(e),
            ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(e) => of_tls(e),
                None => e.to_string(),
            },
            ureq::Error::Protocol(_) if url.starts_with("http://") => {
                "what listens there does not answer in HTTP; where it is a server with a certificate, use https://"
                    .into()
            }
            e => printable(&e.to_string()).into_owned(),
        };
        Self::Unreachable(format!("cannot reach {url}: {what}"))
    }
}

/// Why there is no TLS with a server.
fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(e) => of_certificate(e),
        rustls::Error::InvalidMessage(_) => "what listens there does not speak TLS; use http://".into(),
        e => printable(&e.to_string()).into_owned(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    const FOR_A_CA: &str = "CaUsedAsEndEntity";
    match error {
        // The other is one of the same name as one that is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "this machine does not trust who made the server's certificate; name the file of \
             that CA, or of the certificate itself where it is its own, in SSL_CERT_FILE"
            .into(),
        CertificateError::Other(e) if e.to_string().contains(FOR_A_CA) => "the server's certificate was made for a CA, and \
             cannot be a server's own; have that CA make one for the server (CA:FALSE, with its names), and name the CA's file in \
             SSL_CERT_FILE"
            .into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; give the server a new one".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is this machine's clock right?".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "{}; use a name in the address that the certificate is for",
            printable(&error.to_string())
        ),
        e => format!("the server's certificate is not good: {}", printable(&e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_argument_is_named_as_on_the_command_line() {
        let refused = |status, is_said, error: &str| {
            let refusal = Refusal { status, error: error.into(), is_said, position: None, retry_after: None };
            Trouble::Refused(refusal).of_arguments_called(&[("services", "--service")])
        };
        let usage = |failure: Failure| if let Failure::Usage(what) = failure { Some(what) } else { None };
        assert_eq!(usage(refused(400, true, "services must be a")), Some("--service must be a".into()));
        assert_eq!(usage(refused(400, true, "ttl_days must be b")), Some("ttl_days must be b".into()));
        assert_eq!(usage(refused(400, false, "it answers with status 400")), None);
        assert_eq!(usage(refused(503, true, "services must be a")), None);
    }

    #[test]
    fn a_certificate_by_nobody_who_is_trusted_is_said_with_what_to_do() {
        assert!(of_certificate(&CertificateError::UnknownIssuer).contains("SSL_CERT_FILE"));
    }
}
