//! Where client commands find the server, and the key that they show.
//!
//! Invariants
//! * Flag over environment over default. An empty variable is not set; an empty flag is wrong.
//! * A key is visible ASCII, and is in no error. An address has no user, no query and no fragment.
use std::ffi::OsString;
use std::path::PathBuf;

const URL: &str = "LOGYARD_URL";
const API_KEY: &str = "LOGYARD_API_KEY";
const STATE: &str = "LOGYARD_STATE";
const URL_DEFAULT: &str = "http://127.0.0.1:7514";

/// What the command line of a client command sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientFlags {
    pub(crate) url: Option<String>,
    pub(crate) key: Option<String>,
}

/// A server, as a client command sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Its address, without a slash at the end.
    pub(crate) url: String,
    /// The key, and what set it.
    pub(crate) key: Option<(String, &'static str)>,
}

impl Remote {
    /// Flag over environment over default.
    pub(crate) fn new(flags: ClientFlags, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let given = flags.url.map(|url| (url, "--url"));
        let url = match given {
            Some(given) => given,
            None => text(&env, URL)?.map_or((URL_DEFAULT.to_owned(), ""), |url| (url, URL)),
        };
        let url = address(&url.0).ok_or_else(|| {
            format!("{} is `{}`, and has to be an address such as {URL_DEFAULT}", url.1, url.0.escape_debug())
        })?;
        let key = match flags.key {
            Some(key) => Some((key, "--key")),
            None => text(&env, API_KEY)?.map(|key| (key, API_KEY)),
        };
        if let Some((key, from)) = &key
            && (key.is_empty() || key.chars().any(|c| !c.is_ascii_graphic()))
        {
            return Err(format!("{from} must be visible ASCII characters without spaces"));
        }
        Ok(Self { url, key })
    }
}

/// The address of a server: with a scheme, without a slash at the end, and with nothing that belongs to a request.
fn address(url: &str) -> Option<String> {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
    let rest = rest.trim_end_matches('/');
    let is_plain = rest.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@'));
    let is_right = matches!(scheme, "http" | "https") && is_plain && !rest.is_empty() && !rest.starts_with(['/', ':']);
    is_right.then(|| format!("{scheme}://{rest}"))
}

/// What a variable says, where it says something.
fn text(env: impl Fn(&str) -> Option<OsString>, name: &str) -> Result<Option<String>, String> {
    let value = env(name).filter(|value| !value.is_empty());
    value.map(OsString::into_string).transpose().map_err(|_| format!("{name} is not UTF-8"))
}

/// Where `ingest` keeps how far it has read: in the directory that programs of this user keep their state in.
pub(crate) fn ingest_state(flag: Option<PathBuf>, env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = flag.or_else(|| set(STATE)) {
        return Ok(path);
    }
    let of_user = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    of_user.map(|path| path.join("logyard/ingest")).ok_or_else(|| {
        format!("there is no HOME to keep in how far files were read; name a directory with --state or {STATE}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(flags: ClientFlags, env: &[(&str, &str)]) -> Result<Remote, String> {
        Remote::new(flags, |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_server_is_found_by_flag_environment_and_default() {
        let none = remote(ClientFlags::default(), &[]).unwrap();
        assert_eq!((none.url.as_str(), none.key), (URL_DEFAULT, None));
        let env = [(URL, "https://logs.example.com/"), (API_KEY, "k")];
        let set = remote(ClientFlags::default(), &env).unwrap();
        assert_eq!(set.url, "https://logs.example.com");
        assert_eq!(set.key, Some(("k".into(), API_KEY)));
        let flags = ClientFlags { url: Some("host:1/under".into()), key: Some("l".into()) };
        let both = remote(flags, &env).unwrap();
        assert_eq!((both.url.as_str(), both.key), ("http://host:1/under", Some(("l".into(), "--key"))));
    }

    #[test]
    fn what_is_no_address_and_no_key_is_refused() {
        for wrong in ["ftp://host", "http://", "http:///path", "http://host?x=1", "a b", "user:pw@host", ":7514"] {
            let flags = ClientFlags { url: Some(wrong.into()), ..ClientFlags::default() };
            assert!(remote(flags, &[]).is_err_and(|e| e.contains("--url")), "{wrong}");
        }
        for wrong in ["a b", "ü", "a\nb"] {
            assert!(remote(ClientFlags::default(), &[(API_KEY, wrong)]).is_err_and(|e| e.contains(API_KEY)));
        }
        let empty = ClientFlags { key: Some(String::new()), ..ClientFlags::default() };
        assert!(remote(empty, &[]).is_err());
    }

    #[test]
    fn how_far_files_were_read_is_kept_with_the_user() {
        let of = |flag: Option<&str>, env: &[(&str, &str)]| {
            let find = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
            ingest_state(flag.map(PathBuf::from), find)
        };
        assert_eq!(of(Some("a"), &[(STATE, "b")]).unwrap(), PathBuf::from("a"));
        assert_eq!(of(None, &[(STATE, "b"), ("HOME", "/h")]).unwrap(), PathBuf::from("b"));
        assert_eq!(of(None, &[("HOME", "/h")]).unwrap(), PathBuf::from("/h/.local/state/logyard/ingest"));
        assert_eq!(of(None, &[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).unwrap(), PathBuf::from("/s/logyard/ingest"));
        assert!(of(None, &[]).is_err_and(|e| e.contains("--state")));
    }
}
