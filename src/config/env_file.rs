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

/// Names of old that mean parts which are not there yet.
const LATER: [(&str, &str); 13] = [
    ("CLOUDFLARE_", "pollers"),
    ("HEROKU_", "pollers"),
    ("FILTER_", "pollers"),
    ("INITIAL_CHECKPOINT", "pollers"),
    ("POLL_INTERVAL", "pollers"),
    ("MAX_RETRIES", "pollers"),
    ("BACKOFF_", "pollers"),
    ("REQUEST_TIMEOUT", "pollers and jobs"),
    ("S3_", "the archive"),
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
    for (alias, variable) in ALIASES {
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
    fn what_is_no_variable_is_told_with_its_line() {
        let file = read(".env", "A=1\nnothing\nB-C=1\nD='x\nE='x' y\n");
        assert_eq!(file.faults.len(), 4, "{:?}", file.faults);
        assert!(file.faults[0].starts_with(".env, line 2: "));
    }
}
