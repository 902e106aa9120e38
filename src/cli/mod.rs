//! The command line: what can be asked for, and with which exit code it ends.
//!
//! Invariant: 0 is done, 1 failed, 2 wrong usage; an error is one line on standard error that begins with `logyard:`.
mod bench;
mod check;
mod kill;
mod query;
mod serve;
mod settings;

use clap::{Args, Parser, Subcommand, ValueEnum};
use logyard_storage::engine::Ack;
use settings::SettingArgs;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  logyard serve
  logyard serve --data /var/lib/logyard --listen 0.0.0.0:7514
  logyard check --data /var/lib/logyard --repair

Environment:
  LOGYARD_DATA, LOGYARD_LISTEN    what --data and --listen set
  LOGYARD_ADMIN_KEY               the admin key, instead of the one in <data>/admin.key
  LOGYARD_CONFIG                  the configuration file, as --config
  LOGYARD_<SECTION>_<KEY>         every other setting: docs/configuration.md";

/// A log database in a single binary.
#[derive(Parser)]
#[command(name = "logyard", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Run a LogsQL query over JSON lines, without a server; or check one.
    #[command(after_help = QUERY_EXAMPLES)]
    Query(QueryArgs),
    /// Check a data directory that no server has open.
    Check(CheckArgs),
    /// Measure the engine, or have it killed.
    #[command(subcommand)]
    Bench(Bench),
}

const SERVE_EXAMPLES: &str = "Examples:
  logyard serve
      data in ./logyard-data, on 127.0.0.1:7514, admin key in ./logyard-data/admin.key
  LOGYARD_ADMIN_KEY=secret logyard serve --listen 0.0.0.0:7514
  logyard serve --config /etc/logyard.toml --check-config
  curl -H \"Authorization: Bearer $(cat logyard-data/admin.key)\" \\
      -d '{\"service_name\":\"shop\",\"level\":\"INFO\",\"message\":\"hello\"}' \\
      http://127.0.0.1:7514/api/v1/logs/ingest";

#[derive(Args)]
struct ServeArgs {
    /// Configuration file [env: LOGYARD_CONFIG] [default: logyard.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File of variables, as `.env` files are; the environment goes before it
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Only say what is wrong with the configuration
    #[arg(long)]
    check_config: bool,
    /// Let everybody in; on a loopback address only
    #[arg(long)]
    no_auth: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

const QUERY_EXAMPLES: &str = "Examples:
  logyard query --from app.jsonl 'level:ERROR | stats by (service) count() errors'
  kubectl logs web | logyard query --from - '\"connection reset\" | sort by (_time) desc | limit 10'
  logyard query --check 'level:ERROR | stats by (service'
      exit 0 where the query is right, or the fault with a caret under it";

#[derive(Args)]
struct QueryArgs {
    /// The query, in LogsQL
    #[arg(value_name = "LOGSQL", allow_hyphen_values = true)]
    query: String,
    /// JSON lines to ask; - is standard input
    #[arg(long, value_name = "FILE|-", required_unless_present = "check", allow_hyphen_values = true)]
    from: Option<PathBuf>,
    /// Only say whether the query is right
    #[arg(long, conflicts_with = "from")]
    check: bool,
    /// Say how it was answered and what was read, instead of the answer
    #[arg(long, requires = "from")]
    explain: bool,
}

#[derive(Args)]
struct CheckArgs {
    /// Data directory [env: LOGYARD_DATA] [default: ./logyard-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file [env: LOGYARD_CONFIG] [default: logyard.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Mend what can be; what cannot is set aside in quarantine/, never deleted
    #[arg(long)]
    repair: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Decode, append, seal and compact the logs of a file of JSON lines; prints one JSON line of figures.
    Engine(EngineArgs),
    /// Append for ever and print what is sent and acknowledged, until killed.
    Kill(KillArgs),
}

#[derive(Args)]
struct EngineArgs {
    /// JSON lines in the form of /api/v1/logs/ingest
    file: PathBuf,
    /// An empty directory to use and keep [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads that decode [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// When a batch is acknowledged
    #[arg(long, value_enum, default_value_t = AckName::Wal)]
    ack: AckName,
}

/// How durable a batch is when it is acknowledged.
#[derive(Clone, Copy, ValueEnum)]
enum AckName {
    Memory,
    Wal,
}

impl From<AckName> for Ack {
    fn from(name: AckName) -> Self {
        match name {
            AckName::Memory => Self::Memory,
            AckName::Wal => Self::Wal,
        }
    }
}

#[derive(Args)]
struct KillArgs {
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The first record's `key`
    #[arg(long, value_name = "N", default_value_t = 0)]
    start: u64,
    /// What its records give as their `round`, and whose day they are of
    #[arg(long, value_name = "N", default_value_t = 0)]
    round: u64,
    /// Threads that append
    #[arg(long, value_name = "N", default_value_t = 4)]
    threads: u64,
    /// Rows after which the engine seals by itself
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    seal_rows: usize,
    /// Bytes of a WAL file
    #[arg(long, value_name = "N", default_value_t = logyard_storage::limits::WAL_FILE_BYTES)]
    wal_file_bytes: usize,
    /// Pause between seals that are asked for, in milliseconds [default: none are asked for]
    #[arg(long, value_name = "MS")]
    seal_every_ms: Option<u64>,
}

/// Why a command did not do what it was asked for.
enum Failure {
    /// It was asked for wrongly.
    Usage(String),
    /// It could not.
    Failed(String),
}

impl Failure {
    /// Everything that is wrong with a configuration, a line for each.
    fn configuration(faults: &[String]) -> Self {
        Self::Usage(faults.join("\nlogyard: "))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Query(args) => query::run(&args),
        Command::Check(args) => check::run(args),
        Command::Bench(Bench::Engine(args)) => bench::run(&args),
        Command::Bench(Bench::Kill(args)) => kill::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(what)) => {
            eprintln!("logyard: {what}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(what)) => {
            eprintln!("logyard: {what}");
            ExitCode::from(2)
        }
    }
}
