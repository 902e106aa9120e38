//! Configurations as readable text beside the catalog, for people and for a rebuild.
//!
//! One file per row, `config-copy/<kind>-<name>.conf`: a `key = value` a line, text in quotes, and the crc32 of all
//! lines before it at the end.
//!
//! Invariants
//! * A file is replaced as a whole; a damaged one is reported and skipped.
//! * The name counts that is in the file; the file's own name only has to differ from others'.
//! * No secret is ever written here.
use super::services::ServiceConfig;
use crate::env::{Env, read_file, write_file_atomic};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::limits::MIB;
use crate::privacy::Privacy;
use crate::record::push_json_string;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

const EXTENSION: &str = "conf";
const CRC_PREFIX: &str = "# crc32 ";
const NAME_KEY: &str = "name";
/// What a file may have; a configuration has a few hundred bytes.
const FILE_BYTES_MAX: u64 = MIB as u64;
/// Of a row's name, in a file's name.
const FILE_NAME_BYTES_MAX: usize = 160;

/// What a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    /// A service's configuration.
    Service,
    /// An API key's hash.
    Key,
    /// A deletion that is not carried out yet.
    Deletion,
}

impl CopyKind {
    fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Key => "key",
            Self::Deletion => "deletion",
        }
    }
}

/// A value in a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i128),
    /// True or false.
    Bool(bool),
}

/// The values of one copy, by key.
pub type CopyFields = BTreeMap<String, CopyValue>;

/// What was read back.
#[derive(Debug)]
pub struct Copies<T> {
    /// Rows by name.
    pub rows: Vec<(String, T)>,
    /// Files that cannot be used, and why.
    pub damaged: Vec<(PathBuf, Error)>,
}

/// Writes the copy of a row.
pub fn write(env: &dyn Env, layout: &Layout, kind: CopyKind, name: &str, fields: &CopyFields) -> Result<()> {
    let path = path(layout, kind, name);
    let write = || -> io::Result<()> {
        if !env.exists(&layout.config_copy())? {
            env.create_dir_all(&layout.config_copy())?;
            env.sync_dir(layout.root())?;
        }
        write_file_atomic(env, &path, to_text(name, fields).as_bytes())
    };
    write().map_err(|e| Error::io("write", &path, e))
}

/// Removes the copy of a row that is gone.
pub fn remove(env: &dyn Env, layout: &Layout, kind: CopyKind, name: &str) -> Result<()> {
    let path = path(layout, kind, name);
    match env.remove_file(&path).and_then(|()| env.sync_dir(&layout.config_copy())) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
        _ => Ok(()),
    }
}

/// Reads all copies of a kind.
pub fn read(env: &dyn Env, layout: &Layout, kind: CopyKind) -> Result<Copies<CopyFields>> {
    let folder = layout.config_copy();
    let mut copies = Copies { rows: Vec::new(), damaged: Vec::new() };
    let entries = match env.list(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(copies),
        Err(e) => return Err(Error::io("list", &folder, e)),
    };
    let prefix = format!("{}-", kind.name());
    let suffix = format!(".{EXTENSION}");
    for entry in entries {
        if entry.is_dir || !entry.name.starts_with(&prefix) || !entry.name.ends_with(&suffix) {
            continue;
        }
        let path = folder.join(&entry.name);
        let bytes = read_file(env, &path, FILE_BYTES_MAX).map_err(|e| Error::io("read", &path, e));
        match bytes.and_then(|bytes| from_text(&bytes).map_err(|e| e.context(path.display()))) {
            Ok(row) => copies.rows.push(row),
            Err(error) => copies.damaged.push((path, error)),
        }
    }
    Ok(copies)
}

/// Writes the copy of a service's configuration.
pub fn write_service(env: &dyn Env, layout: &Layout, name: &str, config: &ServiceConfig) -> Result<()> {
    write(env, layout, CopyKind::Service, name, &config.to_fields())
}

/// Reads every service's configuration.
pub fn read_services(env: &dyn Env, layout: &Layout) -> Result<Copies<ServiceConfig>> {
    let Copies { rows, mut damaged } = read(env, layout, CopyKind::Service)?;
    let mut configs = Vec::with_capacity(rows.len());
    for (name, fields) in rows {
        match ServiceConfig::from_fields(&fields) {
            Ok(config) => configs.push((name, config)),
            Err(error) => damaged.push((path(layout, CopyKind::Service, &name), error)),
        }
    }
    Ok(Copies { rows: configs, damaged })
}

fn path(layout: &Layout, kind: CopyKind, name: &str) -> PathBuf {
    layout.config_copy().join(format!("{}-{}.{EXTENSION}", kind.name(), file_name(name)))
}

/// A row's name as part of a file's name: a long one is cut and told apart by its length and checksums.
fn file_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            // A dot too: what stands behind the last one is replaced while the file is written.
            _ => push_fmt(&mut out, format_args!("%{byte:02X}")),
        }
    }
    if out.len() > FILE_NAME_BYTES_MAX {
        out.truncate(FILE_NAME_BYTES_MAX);
        let backwards: Vec<u8> = name.bytes().rev().collect();
        let sums = (crc32fast::hash(name.as_bytes()), crc32fast::hash(&backwards));
        push_fmt(&mut out, format_args!("~{}-{:08x}{:08x}", name.len(), sums.0, sums.1));
    }
    out
}

fn push_fmt(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = out.write_fmt(text);
}

fn to_text(name: &str, fields: &CopyFields) -> String {
    let mut out = format!("{NAME_KEY} = ");
    push_json_string(&mut out, name);
    out.push('\n');
    for (key, value) in fields {
        push_fmt(&mut out, format_args!("{key} = "));
        match value {
            CopyValue::Text(text) => push_json_string(&mut out, text),
            CopyValue::Number(number) => push_fmt(&mut out, format_args!("{number}")),
            CopyValue::Bool(truth) => push_fmt(&mut out, format_args!("{truth}")),
        }
        out.push('\n');
    }
    let crc = crc32fast::hash(out.as_bytes());
    push_fmt(&mut out, format_args!("{CRC_PREFIX}{crc:08x}\n"));
    out
}

fn from_text(bytes: &[u8]) -> Result<(String, CopyFields)> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::corrupt("the copy is not UTF-8"))?;
    let (lines, crc) = text.rsplit_once(CRC_PREFIX).ok_or_else(|| Error::corrupt("the copy has no checksum"))?;
    if format!("{:08x}\n", crc32fast::hash(lines.as_bytes())) != crc {
        return Err(Error::corrupt("the copy fails its checksum"));
    }
    let mut fields = CopyFields::new();
    for line in lines.lines() {
        let (key, value) = line.split_once(" = ").ok_or_else(|| Error::corrupt(format!("not a setting: {line}")))?;
        let value = parse_value(value).ok_or_else(|| Error::corrupt(format!("not a value: {line}")))?;
        fields.insert(key.to_owned(), value);
    }
    match fields.remove(NAME_KEY) {
        Some(CopyValue::Text(name)) => Ok((name, fields)),
        _ => Err(Error::corrupt("the copy has no name")),
    }
}

fn parse_value(text: &str) -> Option<CopyValue> {
    match text {
        "true" => Some(CopyValue::Bool(true)),
        "false" => Some(CopyValue::Bool(false)),
        _ if text.starts_with('"') => unquote(text).map(CopyValue::Text),
        _ => text.parse().ok().map(CopyValue::Number),
    }
}

/// The text of a JSON string as [`push_json_string`] writes it.
fn unquote(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            plain => plain,
        });
    }
    Some(out)
}

impl ServiceConfig {
    fn to_fields(&self) -> CopyFields {
        let number = |n: i128| Some(CopyValue::Number(n));
        let all = [
            ("ttl_days", number(self.ttl_days.into())),
            ("local_days", self.local_days.map(|n| CopyValue::Number(n.into()))),
            ("retention_policy", self.retention_policy.clone().map(CopyValue::Text)),
            ("size_budget", self.size_budget.map(|n| CopyValue::Number(n.into()))),
            ("archive", Some(CopyValue::Bool(self.archive))),
            ("alert_on_errors", Some(CopyValue::Bool(self.alert_on_errors))),
            ("max_logs_per_day", self.max_logs_per_day.map(|n| CopyValue::Number(n.into()))),
            ("created_at", number(self.created_at.into())),
            ("updated_at", number(self.updated_at.into())),
            ("mask_fields", lines(&self.privacy.mask_fields)),
            ("drop_fields", lines(&self.privacy.drop_fields)),
            ("mask_patterns", lines(&self.privacy.mask_patterns)),
        ];
        all.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect()
    }

    /// What is missing has its default; what is unknown was written by another version and is left out.
    fn from_fields(fields: &CopyFields) -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            ttl_days: number(fields, "ttl_days")?.unwrap_or(default.ttl_days),
            local_days: number(fields, "local_days")?,
            retention_policy: text(fields, "retention_policy")?,
            size_budget: number(fields, "size_budget")?,
            archive: truth(fields, "archive")?.unwrap_or(default.archive),
            alert_on_errors: truth(fields, "alert_on_errors")?.unwrap_or(default.alert_on_errors),
            max_logs_per_day: number(fields, "max_logs_per_day")?,
            created_at: number(fields, "created_at")?.unwrap_or(default.created_at),
            updated_at: number(fields, "updated_at")?.unwrap_or(default.updated_at),
            privacy: Privacy {
                mask_fields: texts(fields, "mask_fields")?,
                drop_fields: texts(fields, "drop_fields")?,
                mask_patterns: texts(fields, "mask_patterns")?,
            },
        })
    }
}

/// Bytes as a copy has them.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of such a text.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

pub(super) fn number<T: TryFrom<i128>>(fields: &CopyFields, key: &str) -> Result<Option<T>> {
    match fields.get(key) {
        None => Ok(None),
        Some(CopyValue::Number(n)) => T::try_from(*n).map(Some).map_err(|_| out_of_range(key)),
        Some(_) => Err(out_of_range(key)),
    }
}

pub(super) fn text(fields: &CopyFields, key: &str) -> Result<Option<String>> {
    match fields.get(key) {
        None => Ok(None),
        Some(CopyValue::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(out_of_range(key)),
    }
}

/// Texts, none of which has the end of a line, as one.
fn lines(texts: &[String]) -> Option<CopyValue> {
    (!texts.is_empty()).then(|| CopyValue::Text(texts.join("\n")))
}

fn texts(fields: &CopyFields, key: &str) -> Result<Vec<String>> {
    Ok(text(fields, key)?.map_or_else(Vec::new, |texts| texts.lines().map(str::to_owned).collect()))
}

fn truth(fields: &CopyFields, key: &str) -> Result<Option<bool>> {
    match fields.get(key) {
        None => Ok(None),
        Some(CopyValue::Bool(truth)) => Ok(Some(*truth)),
        Some(_) => Err(out_of_range(key)),
    }
}

fn out_of_range(key: &str) -> Error {
    Error::corrupt(format!("{key} has a value of another kind or size"))
}
