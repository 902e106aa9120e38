//! The settings of a server: flag over environment over file over default, all from one table (`config/settings.rs`).
//!
//! Invariants
//! * The only reader of `LOGYARD_*` variables and of the configuration file.
//! * All that is wrong is told at once; what cannot be known is never guessed.
//! * A server that lets everybody in listens on loopback addresses only.
mod access;
mod archive;
mod client;
mod env_file;
mod file;
mod given;
mod readers;
#[cfg(test)]
mod reference;
mod settings;
mod table;

pub(crate) use access::{AccessSettings, Cidr, Rate};
pub(crate) use archive::{ArchiveSettings, Place};
pub(crate) use client::{ClientFlags, Remote, ingest_state};
pub(crate) use readers::Secret;
pub(crate) use settings::{
    ArchiveTarget, Ingest, LogSettings, Maintenance, QueryBounds, RateLimit, Retention, SECTIONS, ServerBounds,
    TlsFiles, Wal,
};
pub(crate) use table::{SectionTable, variable};

use given::{Given, unknown_variables};
use logyard_storage::engine::Form;
use logyard_storage::limits::MIB;
use readers::{ADDRESSES, FILE, Raw};
use settings::{AccessLog, Cors, Top};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};
use table::Section;

const CONFIG: &str = "LOGYARD_CONFIG";
const FROM: &str = "LOGYARD_FROM";
/// The file that is read where none is named and it is there.
const FILE_DEFAULT: &str = "logyard.toml";
/// What a query may take that has its process for itself, where nothing is said.
const PIPED_MEMORY: usize = 1_024 * MIB;

/// What the command line says; what is missing comes from elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// Settings by their flags, without dashes.
    pub(crate) settings: BTreeMap<String, String>,
    /// The configuration file.
    pub(crate) config: Option<PathBuf>,
    /// A file of variables, beneath the environment.
    pub(crate) env_file: Option<PathBuf>,
    pub(crate) no_auth: bool,
}

/// Who may come in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Who has the key that the settings have.
    Key(String),
    /// Who has the key of the data directory, which is made at the first start.
    KeyOfData,
}

/// The settings of a server.
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) access: Access,
    /// Rates, proxies, origins, and what is written down of requests.
    pub(crate) gate: AccessSettings,
    pub(crate) server: ServerBounds,
    pub(crate) tls: TlsFiles,
    pub(crate) query: QueryBounds,
    pub(crate) retention: Retention,
    pub(crate) wal: Wal,
    pub(crate) maintenance: Maintenance,
    pub(crate) log: LogSettings,
    pub(crate) ingest: Ingest,
    pub(crate) archive: ArchiveSettings,
}

/// A configuration or all that is wrong with it, and what is only worth a warning.
pub(crate) struct Loaded {
    pub(crate) config: Result<Config, Vec<String>>,
    /// The certificate and its key as far as they are named, so that what is wrong with these files is told with the rest.
    pub(crate) tls: [Option<PathBuf>; 2],
    pub(crate) warnings: Vec<String>,
}

/// Puts the sources together.
pub(crate) fn load(flags: Flags, env: impl IntoIterator<Item = (OsString, OsString)>) -> Loaded {
    let (mut given, warnings) = gather(&flags, env);
    let config = Config::new(&mut given, flags.no_auth);
    let tls = tls_files(config.as_ref().map(|config| &config.tls), &given);
    let config = match config {
        Some(config) if given.faults.is_empty() => Ok(config),
        _ => Err(given.faults),
    };
    Loaded { config, tls, warnings }
}

/// The data directory, for commands that need nothing else of the configuration.
pub(crate) fn data(
    flag: Option<PathBuf>,
    config: Option<PathBuf>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, Vec<String>> {
    if let Some(data) = flag {
        return Ok(data);
    }
    let (mut given, _) = gather(&Flags { config, ..Flags::default() }, env);
    Top::read(&mut given).filter(|_| given.faults.is_empty()).map(|top| top.data).ok_or(given.faults)
}

/// The targets of the archive, for commands that need nothing else of the configuration: with `place`, the one that is there, with the
/// credentials that are given for it or else for the first.
pub(crate) fn archive(
    place: Option<&str>,
    flags: Flags,
    env: impl IntoIterator<Item = (OsString, OsString)> + Clone,
) -> Result<ArchiveSettings, Vec<String>> {
    let read = |flags: &Flags| {
        let (mut given, _) = gather(flags, env.clone());
        let settings = ArchiveSettings::read(&mut given, None);
        settings.filter(|_| given.faults.is_empty()).ok_or(given.faults)
    };
    let Some(place) = place else { return read(&flags) };
    let mut there = flags.clone();
    there.settings.insert(table::flag("archive", "target"), place.to_owned());
    if let Ok(mut configured) = read(&flags) {
        configured.targets.retain(|target| target.target == Place::parse(place));
        if !configured.targets.is_empty() {
            return Ok(configured);
        }
    }
    let mut settings = read(&there)?;
    settings.targets.truncate(1);
    Ok(settings)
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

/// What a query over rows that are piped in may take, which has its process for itself.
pub(crate) fn query_memory(env: impl Fn(&str) -> Option<OsString>) -> Result<usize, String> {
    let name = variable("query", "max_memory");
    let Some(value) = env(&name).filter(|value| !value.is_empty()) else { return Ok(PIPED_MEMORY) };
    let text = Raw::Text(value.to_string_lossy().into_owned());
    (readers::BYTES.read)(&text).ok_or_else(|| format!("{name} is `{text}`, and has to be {}", (readers::BYTES.what)()))
}

/// How long a query over rows that are piped in may take, where that is said: who waits for it can end it.
pub(crate) fn query_duration(env: impl Fn(&str) -> Option<OsString>) -> Result<Option<Duration>, String> {
    let name = variable("query", "max_duration");
    let Some(value) = env(&name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = Raw::Text(value.to_string_lossy().into_owned());
    let read = (readers::DURATION.read)(&text);
    read.map(Some).ok_or_else(|| format!("{name} is `{text}`, and has to be {}", (readers::DURATION.what)()))
}

/// All that was given, not read yet; and what is worth a warning.
fn gather(flags: &Flags, env: impl IntoIterator<Item = (OsString, OsString)>) -> (Given, Vec<String>) {
    let mut given = Given { flags: flags.settings.clone(), ..Given::default() };
    let mut warnings = Vec::new();
    if let Some(path) = &flags.env_file {
        match fs::read_to_string(path) {
            Ok(text) => {
                let file = env_file::read(&path.display().to_string(), &text);
                given.env = file.variables;
                given.faults.extend(file.faults);
                warnings.extend(file.warnings);
            }
            Err(e) => given.faults.push(format!("cannot read {}: {e}", path.display())),
        }
    }
    for (name, value) in env {
        match (name.into_string(), value.into_string()) {
            // It is not set, so what lies beneath it counts.
            (_, Ok(value)) if value.is_empty() => {}
            (Ok(name), Ok(value)) => _ = given.env.insert(name, value),
            (Ok(name), Err(_)) if name.starts_with("LOGYARD_") => given.faults.push(format!("{name} is not UTF-8")),
            // Other programs' variables may be what they like.
            _ => {}
        }
    }
    warnings.extend(unknown_variables(given.env.keys()));
    read_file(&mut given, flags.config.as_deref());
    (given, warnings)
}

/// Reads the configuration file: the one that is named, or the one that lies here, if there is one.
fn read_file(given: &mut Given, flag: Option<&Path>) {
    let named = flag.map(Path::to_owned).or_else(|| given.env.get(CONFIG).map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| FILE_DEFAULT.into());
    let name = path.display().to_string();
    match fs::read_to_string(&path) {
        Ok(text) => {
            let (entries, faults) = file::read(&name, &text);
            (given.file, given.file_name) = (entries, name);
            given.faults.extend(faults);
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && named.is_none() => {}
        Err(e) => given.faults.push(format!("cannot read {name}: {e}")),
    }
}

/// The certificate and its key as far as they are named, also where the rest of their section is wrong.
fn tls_files(section: Option<&TlsFiles>, given: &Given) -> [Option<PathBuf>; 2] {
    match section {
        Some(tls) => [tls.cert.clone(), tls.key.clone()],
        None => ["cert", "key"].map(|key| given.peek("tls", key, &FILE).flatten()),
    }
}

impl Config {
    fn new(given: &mut Given, no_auth: bool) -> Option<Self> {
        let top = Top::read(given);
        let (server, tls, query) = (ServerBounds::read(given), TlsFiles::read(given), QueryBounds::read(given));
        let maintenance = Maintenance::read(given);
        let (retention, wal, ingest) = (Retention::read(given), Wal::read(given), Ingest::read(given));
        let (access_log, rate_limit, cors) = (AccessLog::read(given), RateLimit::read(given), Cors::read(given));
        let log = LogSettings::read(given);
        let archive = ArchiveSettings::read(given, top.as_ref().map(|top| top.data.as_path()));
        let [cert, key] = tls_files(tls.as_ref(), given);
        if cert.is_some() != key.is_some() {
            given.faults.push("tls.cert and tls.key belong together, and only one of them is named".into());
        }
        let listen = top.as_ref().map(|top| top.listen.clone()).or_else(|| given.peek("", "listen", &ADDRESSES));
        if let Some(address) = listen.iter().flatten().find(|address| no_auth && !address.ip().is_loopback()) {
            given.faults.push(format!("--no-auth works on a loopback address only, and `{address}` is none"));
        }
        let top = top?;
        let access = match top.admin_key {
            _ if no_auth => Access::Open,
            Some(key) => Access::Key(key.reveal().to_owned()),
            None => Access::KeyOfData,
        };
        Some(Self {
            data: top.data,
            listen: top.listen,
            access,
            gate: AccessSettings {
                log: access_log?.log,
                rate_limit: rate_limit?,
                cors_origins: cors?.origins,
                trusted_proxies: top.trusted_proxies,
            },
            server: server?,
            tls: tls?,
            query: query?,
            retention: retention?,
            wal: wal?,
            maintenance: maintenance?,
            log: log?,
            ingest: ingest?,
            archive: archive?,
        })
    }
}

#[cfg(test)]
mod tests;
