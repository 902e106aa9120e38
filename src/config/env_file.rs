//! A file of variables, as `.env` files are: `NAME=value` a line, beneath the environment.
//!
//! Invariants
//! * What is no such line is a fault with its line.
//! * A variable that is empty is not set: what was set before it counts.
//! * Names that other logging services gave their variables mean what they mean here, where there is such a setting; those that
//!   only a later version can use are named. Other names are other programs' and of no interest.
use std::collections::BTreeMap;

/// Names of old, and the variable that they stand for.
const ALIASES: [(&str, &str); 1] = [("LOG_SERVICE_API_KEY", "LOGYARD_ADMIN_KEY")];

/// The bucket of old and what its names begin with, which are one setting here.
const BUCKET: &str = "S3_BUCKET";
const PREFIX: &str = "S3_PREFIX";

/// Names of old that say how to reach that bucket.
const OF_BUCKET: [(&str, &str); 4] = [
    ("S3_ENDPOINT", "LOGYARD_ARCHIVE_ENDPOINT"),
    ("S3_REGION", "LOGYARD_ARCHIVE_REGION"),
    ("S3_ACCESS_KEY", "LOGYARD_ARCHIVE_ACCESS_KEY_ID"),
    ("S3_SECRET_KEY", "LOGYARD_ARCHIVE_SECRET_ACCESS_KEY"),
];

/// Names of old that mean parts which are not there yet.
const LATER: [(&str, &str); 12] = [
    ("CLOUDFLARE_", "pollers"),
    ("HEROKU_", "pollers"),
    ("FILTER_", "pollers"),
    ("INITIAL_CHECKPOINT", "pollers"),
    ("POLL_INTERVAL", "pollers"),
    ("MAX_RETRIES", "pollers"),
    ("BACKOFF_", "pollers"),
    ("REQUEST_TIMEOUT", "pollers and jobs"),
    ("ERIFY_", "jobs"),
    ("RETRY_", "jobs"),
    ("BATCHING_ENABLED", "jobs"),
    ("SLACK_WEBHOOK_URL", "alerts"),
];

/// What a file of variables says.
#[derive(Debug, Default)]
pub(super) struct EnvFile {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
    pub(super) faults: Vec<String>,
}

/// Reads one.
pub(super) fn read(name: &str, text: &str) -> EnvFile {
    let mut file = EnvFile::default();
    for (at, line) in text.lines().enumerate() {
        match pair(line) {
            Ok(None) => {}
            Ok(Some((_, value))) if value.is_empty() => {}
            Ok(Some((key, value))) => {
                if let Some((_, part)) = LATER.iter().find(|(later, _)| key.starts_with(later)) {
                    file.warnings
                        .push(format!("{name}: {key} is of no use yet: {part} will be part of a later version"));
                }
                file.variables.insert(key, value);
            }
            Err(what) => file.faults.push(format!("{name}, line {}: {what}", at + 1)),
        }
    }
    let mut aliases = ALIASES.to_vec();
    let is_somewhere = ["S3_ENDPOINT", "S3_REGION"].iter().any(|name| file.variables.contains_key(*name));
    if let Some(bucket) = file.variables.get(BUCKET).filter(|_| is_somewhere) {
        let prefix = file.variables.get(PREFIX).map_or("", |prefix| prefix.as_str());
        let target = format!("s3://{bucket}/{}", prefix.trim_matches('/'));
        file.variables.entry("LOGYARD_ARCHIVE_TARGET".into()).or_insert(target);
        aliases.extend(OF_BUCKET);
    } else if file.variables.contains_key(BUCKET) {
        file.warnings
            .push(format!("{name}: {BUCKET} is of no use without S3_ENDPOINT or S3_REGION, which say where it is"));
    }
    for (alias, variable) in aliases {
        if let Some(value) = file.variables.get(alias).cloned() {
            file.variables.entry(variable.into()).or_insert(value);
        }
    }
    file
}

/// The name and the value of a line, where it has one.
fn pair(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("there is no `=`")?;
    let name = name.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("a name has letters, digits and underscores");
    }
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let (quoted, after) = rest.split_once(quote).ok_or("the quote does not end")?;
            let after = after.trim();
            if !after.is_empty() && !after.starts_with('#') {
                return Err("there is more behind the quote");
            }
            return Ok(Some((name.into(), quoted.into())));
        }
    }
    let value = value.split_once(" #").map_or(value, |(value, _)| value.trim_end());
    Ok(Some((name.into(), value.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let text = "# one\n\nLOGYARD_LISTEN = 127.0.0.1:0 # here\nexport A='x # y' # z\nB=\"1=2\"\nC=\nD=1\nD=\n";
        let file = read(".env", text);
        let of = |name: &str| file.variables[name].as_str();
        assert_eq!((of("LOGYARD_LISTEN"), of("A"), of("B"), of("D")), ("127.0.0.1:0", "x # y", "1=2", "1"));
        assert!(!file.variables.contains_key("C"));
        assert!(file.faults.is_empty() && file.warnings.is_empty());
    }

    #[test]
    fn names_of_old_stand_for_settings_or_are_told() {
        let file = read(".env", "LOG_SERVICE_API_KEY=k\nCLOUDFLARE_API_TOKEN=secret\nPATH=/bin\n");
        assert_eq!(file.variables["LOGYARD_ADMIN_KEY"], "k");
        assert_eq!(file.warnings.len(), 1);
        assert!(file.warnings[0].contains("CLOUDFLARE_API_TOKEN") && !file.warnings[0].contains("secret"));
        let both = read(".env", "LOG_SERVICE_API_KEY=k\nLOGYARD_ADMIN_KEY=l\n");
        assert_eq!(both.variables["LOGYARD_ADMIN_KEY"], "l");
    }

    #[test]
    fn a_bucket_of_old_is_the_archive() {
        let file = read(".env", "S3_BUCKET=b\nS3_PREFIX=/logs/\nS3_ACCESS_KEY=k\nS3_REGION=r\n");
        let of = |name: &str| file.variables.get(name).map(String::as_str);
        assert_eq!(of("LOGYARD_ARCHIVE_TARGET"), Some("s3://b/logs"));
        assert_eq!((of("LOGYARD_ARCHIVE_ACCESS_KEY_ID"), of("LOGYARD_ARCHIVE_REGION")), (Some("k"), Some("r")));
        assert!(file.warnings.is_empty() && of("LOGYARD_ARCHIVE_SECRET_ACCESS_KEY").is_none());
        let nowhere = read(".env", "S3_BUCKET=b\n");
        assert!(nowhere.warnings.len() == 1 && !nowhere.variables.contains_key("LOGYARD_ARCHIVE_TARGET"));
        assert!(!read(".env", "S3_REGION=r\n").variables.contains_key("LOGYARD_ARCHIVE_REGION"));
    }

    #[test]
    fn what_is_no_variable_is_told_with_its_line() {
        let file = read(".env", "A=1\nnothing\nB-C=1\nD='x\nE='x' y\n");
        assert_eq!(file.faults.len(), 4, "{:?}", file.faults);
        assert!(file.faults[0].starts_with(".env, line 2: "));
    }
}
