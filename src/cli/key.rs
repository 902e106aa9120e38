//! `logyard key`: API keys of a server, made, listed and revoked.
//!
//! Invariant: a new key stands alone on a line of standard output; what is said about it goes to standard error.
use super::client::{Client, ServerArgs};
use super::terminal::{is_shown, printable};
use super::times::now;
use super::{Failure, cannot_write};
use clap::{Args, Subcommand, ValueEnum};
use logyard_storage::query::{duration, time_span, time_text};
use serde_json::{Value, json};
use std::io::{self, Write};
use ureq::http::Method;

const MILLI: i64 = 1_000_000;
/// What the API calls what is said on the command line.
const API_NAMES: [(&str, &str); 4] =
    [("name", "NAME"), ("scopes", "--scope"), ("services", "--service"), ("expires_at", "--expires")];

pub(super) const EXAMPLES: &str = "Examples:
  logyard key create shop --scope ingest --service shop
  logyard key list
  logyard key revoke ID";

const LIST_EXAMPLES: &str = "Examples:
  logyard key list
  LOGYARD_URL=https://logs.example logyard key list";

const REVOKE_EXAMPLES: &str = "Examples:
  logyard key revoke ID
      as `logyard key list` names it";

const CREATE_EXAMPLES: &str = "Examples:
  logyard key create shop --scope ingest --service shop
  logyard key create grafana --scope read --expires 90d
  LOGYARD_API_KEY=$(logyard key create deploy --scope admin)
      the key alone goes to standard output, and is said this once only";

/// What is done with keys.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key, and say it once.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the keys: what each is for, and when it was used last.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Revoke a key, from now on.
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke(RevokeArgs),
}

#[derive(Args)]
pub(super) struct CreateArgs {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is good for; several with commas between, or given several times
    #[arg(long = "scope", value_enum, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<ScopeName>,
    /// The only services that it is for; may be given several times [default: all]
    #[arg(long = "service", value_name = "SERVICE")]
    services: Vec<String>,
    /// When it ends: 90d (so long from now), or 2027-01-01 [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What a key is good for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScopeName {
    /// Sending records
    Ingest,
    /// Searching, asking and following
    Read,
    /// Everything
    Admin,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct RevokeArgs {
    /// The id that `logyard key list` shows
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Does what is asked for.
pub(super) fn run(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create(args) => create(args),
        KeyCommand::List(args) => list(args),
        KeyCommand::Revoke(args) => revoke(args),
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let scopes: Vec<&str> = args
        .scopes
        .iter()
        .map(|scope| match scope {
            ScopeName::Ingest => "ingest",
            ScopeName::Read => "read",
            ScopeName::Admin => "admin",
        })
        .collect();
    if args.scopes.contains(&ScopeName::Admin) && !args.services.is_empty() {
        let what = "a key with --scope admin is for all services; leave --service out";
        return Err(Failure::Usage(what.into()));
    }
    let expires_at = args.expires.as_deref().map(|text| ends(text, now())).transpose()?;
    let services = (!args.services.is_empty()).then_some(&args.services);
    let wanted = json!({ "name": args.name, "scopes": scopes, "services": services, "expires_at": expires_at });
    let made = Client::new(&args.server)?.send_json(Method::POST, "/api/v1/keys", &wanted);
    let made = made.map_err(|trouble| trouble.of_arguments_called(&API_NAMES))?;
    let (key, id) = (text(&made, "secret"), text(made.get("key").unwrap_or(&Value::Null), "id"));
    let lost = |e: io::Error| {
        Failure::Failed(format!(
            "made the key {id}, and could not write it: {e}; end it with `logyard key revoke {id}` and make another"
        ))
    };
    writeln!(io::stdout(), "{key}").map_err(lost)?;
    eprintln!("made the key {id}; it is not shown again, and ends with `logyard key revoke {id}`");
    Ok(())
}

/// When a key ends, in milliseconds since 1970.
fn ends(text: &str, now: i64) -> Result<i64, Failure> {
    let from_now = duration(text).filter(|nanos| *nanos > 0 && text.parse::<f64>().is_err());
    let at = from_now.map(|nanos| now.saturating_add(nanos)).or_else(|| Some(time_span(text, now)?.0));
    let wrong = |wanted: &str| Failure::Usage(format!("--expires has to be {wanted}, not `{}`", printable(text)));
    let at = at.ok_or_else(|| wrong("a time such as 90d or 2027-01-01"))?;
    if at > now { Ok(at.div_euclid(MILLI)) } else { Err(wrong("a time that lies ahead")) }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let answer = Client::new(&args.server)?.get("/api/v1/keys")?;
    let keys = answer.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut out = io::stdout();
    if !is_shown() {
        return keys.iter().try_for_each(|key| writeln!(out, "{key}")).map_err(cannot_write);
    }
    let head = ["ID", "NAME", "SCOPES", "SERVICES", "EXPIRES", "LAST USED"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(keys.iter().map(row)).collect();
    for row in &rows {
        let widths =
            (0..row.len()).map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max());
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<0$}", width.unwrap_or(0)));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end()).map_err(cannot_write)?;
    }
    Ok(())
}

/// A key for people.
fn row(key: &Value) -> [String; 6] {
    let listed = |name: &str, none: &str| match key.get(name).and_then(Value::as_array) {
        Some(values) => values.iter().filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(","),
        None => none.to_owned(),
    };
    let time = |name: &str| {
        let millis = key.get(name).and_then(Value::as_i64);
        millis.map_or_else(|| "never".to_owned(), |millis| time_text(millis.saturating_mul(MILLI)))
    };
    let [id, name] = ["id", "name"].map(|name| printable(&text(key, name)).into_owned());
    [id, name, listed("scopes", ""), listed("services", "all"), time("expires_at"), time("last_used_at")]
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let id: String = args.id.chars().filter(char::is_ascii_alphanumeric).collect();
    if id != args.id || id.is_empty() {
        return Err(Failure::Usage(format!(
            "`{}` is no id of a key; `logyard key list` shows them",
            printable(&args.id)
        )));
    }
    let client = Client::new(&args.server)?;
    client.json(client.send(Method::DELETE, &format!("/api/v1/keys/{id}"), &[], ())?)?;
    eprintln!("revoked the key {id}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_in_a_while_or_at_a_time() {
        const NOW: i64 = 1_780_000_000_000 * MILLI;
        let at = |text: &str| ends(text, NOW).ok();
        assert_eq!(at("1d"), Some(1_780_086_400_000));
        assert_eq!(at("2027-01-01"), Some(1_798_761_600_000));
        assert_eq!((at("soon"), at(""), at("now"), at("2020-01-01")), (None, None, None, None));
    }

    #[test]
    fn a_list_has_nothing_that_a_terminal_obeys() {
        let key = json!({"id": "a", "name": "n\u{1b}[2J\u{202e}", "scopes": ["read"], "services": ["x", "y\n"], "expires_at": null, "last_used_at": 0});
        let cells = row(&key);
        assert!(cells.iter().all(|cell| !cell.contains(|c: char| c.is_control() || c == '\u{202e}')), "{cells:?}");
        assert_eq!(
            (cells[3].as_str(), cells[4].as_str(), cells[5].as_str()),
            ("x,y\\n", "never", "1970-01-01T00:00:00Z")
        );
    }
}
