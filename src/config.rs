//! Where the data is, where to listen, who may come in: flag over environment over default.
//!
//! Invariants
//! * The only reader of `LOGYARD_*` variables.
//! * A server that lets everybody in listens on loopback addresses only.
mod query;

pub(crate) use query::{QueryBounds, QueryFlags, query_memory};

use logyard_storage::engine::Form;
use logyard_storage::options::{DiskBudget, WhenFull};
use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

const DATA: &str = "LOGYARD_DATA";
const LISTEN: &str = "LOGYARD_LISTEN";
const ADMIN_KEY: &str = "LOGYARD_ADMIN_KEY";
const FROM: &str = "LOGYARD_FROM";
const DISK_BUDGET: &str = "LOGYARD_RETENTION_DISK_BUDGET";
const WHEN_FULL: &str = "LOGYARD_RETENTION_WHEN_FULL";
/// Not the whole file system: reads, seals and starts need some room too.
const DISK_BUDGET_DEFAULT: DiskBudget = DiskBudget::Percent(90);

/// What the command line sets; what is missing comes from the environment or is a default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Option<String>,
    pub(crate) no_auth: bool,
    pub(crate) query: QueryFlags,
}

/// Who may come in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Who has the key that the environment sets.
    Key(String),
    /// Who has the key of the data directory, which is made at the first start.
    KeyOfData,
}

/// The settings of a server.
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) access: Access,
    /// How much of the disk may be used.
    pub(crate) disk_budget: DiskBudget,
    /// What happens when that is used up.
    pub(crate) when_full: WhenFull,
    /// The bounds of queries.
    pub(crate) query: QueryBounds,
}

/// The data directory.
pub(crate) fn data(flag: Option<PathBuf>, env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    flag.or_else(|| env(DATA).map(PathBuf::from)).unwrap_or_else(|| "logyard-data".into())
}

/// The form in which `query --from` has its rows.
pub(crate) fn form(env: impl Fn(&str) -> Option<OsString>) -> Result<Form, String> {
    let value = env(FROM).unwrap_or_default();
    match value.to_str() {
        Some("" | "hot") => Ok(Form::Hot),
        Some("sealed") => Ok(Form::Sealed),
        Some("plain") => Ok(Form::Plain),
        _ => Err(format!("{FROM} is `{}`, and has to be hot, sealed or plain", value.display())),
    }
}

/// `90%` of the file system, or so many bytes under the data directory, as in `20GB`.
fn disk_budget(text: &str) -> Option<DiskBudget> {
    if let Some(percent) = text.strip_suffix('%') {
        return percent.trim().parse().ok().filter(|percent| (1..=100).contains(percent)).map(DiskBudget::Percent);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "TIB" => 1 << 40,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0).map(DiskBudget::Bytes)
}

fn when_full(text: &str) -> Option<WhenFull> {
    match text {
        "refuse" => Some(WhenFull::Refuse),
        "drop_oldest" => Some(WhenFull::DropOldest),
        _ => None,
    }
}

/// The value of a text, if there is one; the error says what it has to be.
fn read<T>(name: &str, text: Option<String>, read: fn(&str) -> Option<T>, what: &str) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    read(&text).map(Some).ok_or_else(|| format!("{name} is `{text}`, and has to be {what}"))
}

/// What the environment has, where it is not empty.
fn text(env: impl Fn(&str) -> Option<OsString>, name: &str) -> Result<Option<String>, String> {
    let value = env(name).filter(|value| !value.is_empty());
    value.map(OsString::into_string).transpose().map_err(|_| format!("{name} is not UTF-8"))
}

impl Config {
    /// Puts the sources together; the error is for the user.
    pub(crate) fn new(flags: Flags, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let text = |name: &str| text(&env, name);
        let listen = match flags.listen {
            Some(listen) => listen,
            None => text(LISTEN)?.unwrap_or_else(|| "127.0.0.1:7514".into()),
        };
        let addresses: Vec<SocketAddr> = listen
            .to_socket_addrs()
            .map_err(|e| format!("cannot listen on `{listen}`, which should be an address and a port: {e}"))?
            .collect();
        let access = match text(ADMIN_KEY)? {
            _ if flags.no_auth => Access::Open,
            Some(key) if key.chars().any(|c| !c.is_ascii_graphic()) => {
                return Err(format!("{ADMIN_KEY} must be visible ASCII characters without spaces"));
            }
            Some(key) => Access::Key(key),
            None => Access::KeyOfData,
        };
        if access == Access::Open && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(format!("--no-auth works on a loopback address only, and `{listen}` is none"));
        }
        let budget = "a part of the file system (`90%`) or a size (`20GB`)";
        let disk_budget = read(DISK_BUDGET, text(DISK_BUDGET)?, disk_budget, budget)?.unwrap_or(DISK_BUDGET_DEFAULT);
        let when_full = read(WHEN_FULL, text(WHEN_FULL)?, when_full, "refuse or drop_oldest")?.unwrap_or_default();
        let query = QueryBounds::new(flags.query, text)?;
        Ok(Self { data: data(flags.data, env), listen: addresses, access, disk_budget, when_full, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: Flags, env: &[(&str, &str)]) -> Result<Config, String> {
        Config::new(flags, |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn flag_over_environment_over_default() {
        let none = config(Flags::default(), &[]).unwrap();
        assert_eq!((none.data, none.listen), ("logyard-data".into(), vec!["127.0.0.1:7514".parse().unwrap()]));
        assert!(none.access == Access::KeyOfData);
        assert_eq!(none.disk_budget, DiskBudget::Percent(90));
        let env = [(DATA, "d"), (LISTEN, "0.0.0.0:1"), (ADMIN_KEY, "k")];
        let set = config(Flags::default(), &env).unwrap();
        assert_eq!((set.data, set.listen), ("d".into(), vec!["0.0.0.0:1".parse().unwrap()]));
        assert!(set.access == Access::Key("k".into()));
        let flags = Flags { data: Some("e".into()), listen: Some("[::1]:2".into()), ..Flags::default() };
        let both = config(flags, &env).unwrap();
        assert_eq!((both.data, both.listen), ("e".into(), vec!["[::1]:2".parse().unwrap()]));
    }

    #[test]
    fn a_full_disk_is_what_the_environment_says() {
        let set = |budget, when| config(Flags::default(), &[(DISK_BUDGET, budget), (WHEN_FULL, when)]);
        let of = |budget| set(budget, "").map(|config| config.disk_budget);
        assert_eq!(of("").unwrap(), DiskBudget::Percent(90));
        assert_eq!(of("75%").unwrap(), DiskBudget::Percent(75));
        assert_eq!(of("20GB").unwrap(), DiskBudget::Bytes(20_000_000_000));
        assert_eq!(of("3 GiB").unwrap(), DiskBudget::Bytes(3 << 30));
        assert_eq!(of("4096").unwrap(), DiskBudget::Bytes(4096));
        for wrong in ["0%", "101%", "%", "0", "GB", "-1", "1.5GB", "5 apples", "99999999999TB"] {
            let fault = of(wrong).unwrap_err();
            assert!(fault.contains(wrong) && fault.contains(DISK_BUDGET), "{fault}");
        }
        assert_eq!(set("", "").unwrap().when_full, WhenFull::Refuse);
        assert_eq!(set("", "drop_oldest").unwrap().when_full, WhenFull::DropOldest);
        assert!(set("", "explode").err().unwrap().contains("refuse or drop_oldest"));
    }

    #[test]
    fn rows_have_a_form() {
        let form = |value: &str| form(|_| Some(value.into()));
        assert_eq!((form(""), form("sealed"), form("plain")), (Ok(Form::Hot), Ok(Form::Sealed), Ok(Form::Plain)));
        assert!(form("cold").is_err_and(|e| e.contains("LOGYARD_FROM") && e.contains("`cold`")));
    }

    #[test]
    fn an_open_server_stays_at_home() {
        let open = |listen: &str| config(Flags { no_auth: true, listen: Some(listen.into()), ..Flags::default() }, &[]);
        assert!(open("127.0.0.1:0").is_ok_and(|c| c.access == Access::Open));
        assert!(open("[::1]:0").is_ok());
        assert!(open("0.0.0.0:0").is_err_and(|e| e.contains("loopback")));
        assert!(config(Flags { no_auth: true, ..Flags::default() }, &[(LISTEN, "10.0.0.1:1")]).is_err());
    }

    #[test]
    fn wrong_settings_are_named() {
        let fault = |env: &[(&str, &str)]| config(Flags::default(), env).err().unwrap();
        assert!(fault(&[(LISTEN, "7514")]).contains("`7514`"));
        assert!(fault(&[(ADMIN_KEY, "a b")]).contains(ADMIN_KEY));
        assert!(config(Flags::default(), &[(ADMIN_KEY, "")]).is_ok_and(|c| c.access == Access::KeyOfData));
    }
}
