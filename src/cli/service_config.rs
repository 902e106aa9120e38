//! `logyard config`: how a service's logs are kept.
//!
//! Invariants
//! * Only settings that are named are sent. What is no setting, or is set twice, ends it with 2 before a server is asked; what a
//!   server refuses of them does too.
//! * A pipe gets the configuration as one line of JSON; a terminal gets it without control characters.
use super::Failure;
use super::client::{Client, ServerArgs, Trouble};
use super::services::in_path;
use super::terminal::{is_shown, printable};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::io::Write;
use ureq::http::Method;

pub(super) const EXAMPLES: &str = "Examples:
  logyard config get shop
  logyard config set shop ttl_days=90";

const GET_EXAMPLES: &str = "Examples:
  logyard config get shop
  logyard config get shop | jq .ttl_days";

const SET_EXAMPLES: &str = "Examples:
  logyard config set shop ttl_days=90
  logyard config set audit ttl_days=-1 size_budget=null
      for ever, whatever their size
  logyard config set shop size_budget=10GB alert_on_errors=true

Settings that are not named stay as they are.";

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Show how a service's logs are kept.
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),
    /// Change how a service's logs are kept.
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
}

#[derive(Args)]
pub(super) struct GetArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args)]
pub(super) struct SetArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// What to change, and to what
    #[arg(value_name = "SETTING=VALUE", required = true)]
    settings: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows or changes a configuration.
pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let answer = match command {
        ConfigCommand::Get(args) => {
            Client::new(&args.server)?.get(&path(&args.service)).map_err(Trouble::of_arguments)?
        }
        ConfigCommand::Set(args) => {
            let change = change(&args.settings)?;
            let answer =
                Client::new(&args.server)?.send_json(Method::PUT, &path(&args.service), &Value::Object(change));
            answer.map_err(Trouble::of_arguments)?
        }
    };
    let config = answer.get("config").and_then(Value::as_object);
    show(config.ok_or_else(|| Trouble::BrokeOff("the server's answer has no config".into()))?)
}

fn path(service: &str) -> String {
    format!("/api/v1/logs/config/{}", in_path(service))
}

/// Settings as JSON: a value is JSON where it can be read so, else a text.
fn change(settings: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut change = Map::new();
    for setting in settings {
        let wrong = || Failure::Usage(format!("`{setting}` is no setting such as ttl_days=90"));
        let (name, value) = setting.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if change.insert(name.to_owned(), value).is_some() {
            return Err(Failure::Usage(format!("{name} is set twice")));
        }
    }
    Ok(change)
}

fn show(config: &Map<String, Value>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if !is_shown() {
        return writeln!(out, "{}", Value::Object(config.clone())).map_err(super::cannot_write);
    }
    let width = config.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, value) in config {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "{:width$}  {}", printable(name), printable(&value)).map_err(super::cannot_write)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_json_where_they_can_be() {
        let of = |settings: &[&str]| change(&settings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let all = of(&["ttl_days=90", "size_budget=10GB", "archive=true", "local_days=null", "x=a=b"]).unwrap();
        let wanted =
            serde_json::json!({"ttl_days": 90, "size_budget": "10GB", "archive": true, "local_days": null, "x": "a=b"});
        assert_eq!(Value::Object(all), wanted);
        for wrong in [&["ttl_days"][..], &["=1"], &["a=1", "a=2"]] {
            assert!(matches!(of(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }
}
