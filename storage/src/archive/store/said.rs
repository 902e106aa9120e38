//! What is said of an error of a target: its kind, and words that say what to do.
//!
//! A server explains itself by a code and a sentence, which OpenDAL gives as `S3Error { code: "..", message: "..", .. }`; what
//! else answers in its place is given as it is, and may repeat the request.
//!
//! Invariants
//! * No words of anybody are passed on that may have a credential or a signature in them.
use crate::error::{Error, ErrorKind};
use opendal::ErrorKind as Kind;
use std::error::Error as _;

/// How much is passed on of what was said.
const WORDS_CHARS_MAX: usize = 200;

/// What OpenDAL says where it has nothing to sign with.
const UNSIGNED: &str = "signing http request";

/// How OpenDAL itself begins what it says of servers; nothing of what these sent is in it.
const OWN_WORDS: [&str; 11] = [
    "default HTTP transport",
    UNSIGNED,
    "send http request",
    "read data from http response",
    "operation timeout reached",
    "io operation timeout reached",
    "write part timeout",
    "http response got too",
    "reader got",
    "deserialize xml",
    "The bucket is misconfigured",
];

/// Words of a server that say what it expects of whoever signs, and so may say what came.
const SECRET_WORDS: [&str; 4] = ["Signature=", "Credential=", "AWS4-HMAC", "authorization"];

/// Who speaks.
#[derive(Clone, Default)]
pub(super) struct Speech {
    /// A server, and not a disk.
    pub(super) is_remote: bool,
    /// What is never repeated.
    pub(super) hidden: Vec<String>,
}

/// Whether something was in the way of a new object.
pub(super) fn is_there(e: &opendal::Error) -> bool {
    matches!(e.kind(), Kind::ConditionNotMatch | Kind::AlreadyExists)
}

/// Whether an answer came in order, and had too little in it: that is not tried again beneath.
pub(super) fn is_in_part(e: &opendal::Error) -> bool {
    e.message().starts_with("reader got")
}

/// What the caller can do about it.
pub(super) fn kind_of(e: &opendal::Error) -> ErrorKind {
    judged(e).0
}

fn judged(e: &opendal::Error) -> (ErrorKind, &'static str) {
    if let Some(judged) = coded(e.message()).and_then(|(code, _)| of_code(code)) {
        return judged;
    }
    match e.kind() {
        _ if e.message() == UNSIGNED => (ErrorKind::Denied, "there is no key: set its id and its secret"),
        Kind::NotFound => (ErrorKind::NotFound, "it is not there"),
        Kind::PermissionDenied => (ErrorKind::Denied, "the key is wrong, or has no right to do that"),
        Kind::ConfigInvalid => (ErrorKind::Denied, "the target is not configured rightly"),
        Kind::RangeNotSatisfied => (ErrorKind::Corrupt, "it is shorter than it was"),
        _ if is_there(e) => (ErrorKind::Conflict, "somebody else was sooner"),
        _ => (ErrorKind::Unavailable, "the target did not answer as it should"),
    }
}

fn of_code(code: &str) -> Option<(ErrorKind, &'static str)> {
    let advice = match code {
        "NoSuchBucket" => "there is no such bucket: make it, or check its name and the endpoint",
        "InvalidAccessKeyId" | "NotSignedUp" => "the target knows no such key: check the access key id",
        "SignatureDoesNotMatch" => "the secret is not the key's: check the secret access key",
        "AccessDenied" => "the key has no right to do that: allow it to",
        "ExpiredToken" | "InvalidToken" => "the key's session has ended: it needs a new one",
        "RequestTimeTooSkewed" => "the clock of this machine is wrong: set it",
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
            "the bucket is somewhere else: check the region and the endpoint"
        }
        "InvalidStorageClass" => "the target has no such storage class",
        "InvalidObjectState" => "it lies in a storage class that cannot be read at once: restore it there first",
        "InvalidBucketName" => "no bucket can have this name",
        "InvalidArgument" | "InvalidRequest" | "NotImplemented" | "MethodNotAllowed" | "EntityTooLarge" => {
            "the target does not do what is asked of it"
        }
        _ => return None,
    };
    Some((ErrorKind::Denied, advice))
}

/// The code and the sentence of a server's error.
fn coded(message: &str) -> Option<(&str, &str)> {
    let (code, rest) = message.strip_prefix("S3Error { code: \"")?.split_once("\", message: \"")?;
    let (words, _) = rest.split_once("\", resource: \"")?;
    (!code.is_empty()).then_some((code, words))
}

impl Speech {
    /// An error for people.
    pub(super) fn said(&self, doing: &str, what: &str, e: &opendal::Error) -> Error {
        let (kind, advice) = judged(e);
        let words = self.words(e);
        let words = if words.is_empty() { words } else { format!(" ({words})") };
        Error::new(kind, format!("cannot {doing} {what}: {advice}{words}"))
    }

    fn words(&self, e: &opendal::Error) -> String {
        let words = match coded(e.message()) {
            _ if !self.is_remote => e.message().to_owned(),
            Some((code, words)) if words.is_empty() || SECRET_WORDS.iter().any(|secret| words.contains(secret)) => {
                code.to_owned()
            }
            Some((code, words)) => format!("{code}: {words}"),
            None if OWN_WORDS.iter().any(|own| e.message().starts_with(own)) => match deepest(e) {
                Some(cause) => format!("{}: {cause}", e.message()),
                None => e.message().to_owned(),
            },
            None => String::new(),
        };
        let words = self.hidden.iter().fold(words, |words, secret| words.replace(secret, "..."));
        words.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect()
    }
}

/// What the network said, beneath all that was made of it.
fn deepest(e: &opendal::Error) -> Option<String> {
    let mut cause = e.source()?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.downcast_ref::<std::io::Error>().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, message: &str) -> opendal::Error {
        opendal::Error::new(kind, message)
    }

    fn from_server(code: &str, words: &str) -> opendal::Error {
        let kind = if code == "AccessDenied" { Kind::PermissionDenied } else { Kind::Unexpected };
        let rest = "resource: \"/logs\", request_id: \"7\" }";
        error(kind, &format!("S3Error {{ code: \"{code}\", message: \"{words}\", {rest}"))
    }

    #[test]
    fn a_code_decides_and_is_repeated() {
        let speech = Speech { is_remote: true, hidden: vec!["KEYID".into()] };
        let said = |code, words| speech.said("write", "s3://logs/a", &from_server(code, words));
        let e = said("InvalidStorageClass", "COLD is none");
        assert_eq!(e.kind(), ErrorKind::Denied);
        assert_eq!(
            e.to_string(),
            "cannot write s3://logs/a: the target has no such storage class (InvalidStorageClass: COLD is none)"
        );
        assert!(said("InvalidAccessKeyId", "who is KEYID?").to_string().ends_with("(InvalidAccessKeyId: who is ...?)"));
        assert!(said("AccessDenied", "Signature=abc").to_string().ends_with("allow it to (AccessDenied)"));
        assert_eq!(said("InternalError", "again").kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn what_somebody_else_answered_is_not_repeated() {
        let speech = Speech { is_remote: true, hidden: Vec::new() };
        let e =
            speech.said("read", "s3://logs/a", &error(Kind::PermissionDenied, "authorization: AWS4-HMAC-SHA256 abc"));
        assert_eq!(e.to_string(), "cannot read s3://logs/a: the key is wrong, or has no right to do that");
        let e = Speech::default().said("read", "file:///a", &error(Kind::Unexpected, "is a directory"));
        assert!(e.to_string().ends_with("(is a directory)"));
    }
}
