//! The command line: what can be asked for, and with which exit code it ends.
//!
//! Invariant: 0 is done, 1 failed, 2 wrong usage; an error is one line on standard error that begins with `logyard:`.
mod archive;
mod backup;
mod bench;
mod check;
mod client;
mod delete;
mod ingest;
mod key;
mod kill;
mod load;
mod process;
mod query;
mod rebuild;
mod rows;
mod serve;
mod service_config;
mod services;
mod settings;
mod shells;
mod tail;
mod terminal;
mod times;
mod told;
mod transfer;

use clap::{Args, Parser, Subcommand, ValueEnum};
use logyard_storage::engine::Ack;
use settings::SettingArgs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  logyard serve
  logyard serve --data /var/lib/logyard --listen 0.0.0.0:7514
  logyard query --since 1h 'level:ERROR'
  logyard check --data /var/lib/logyard --repair

Environment:
  LOGYARD_URL, LOGYARD_API_KEY    the server that commands speak to, and the key that they show
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
    /// Send files or standard input to a server.
    #[command(after_help = ingest::EXAMPLES)]
    Ingest(ingest::IngestArgs),
    /// Ask a server in LogsQL; or a file of JSON lines; or only check a query.
    #[command(after_help = query::EXAMPLES)]
    Query(query::QueryArgs),
    /// Follow what a query selects as it arrives.
    #[command(after_help = tail::EXAMPLES)]
    Tail(tail::TailArgs),
    /// Delete what a query selects.
    #[command(after_help = delete::EXAMPLES)]
    Delete(delete::DeleteArgs),
    /// List the services that have logs.
    #[command(after_help = services::SERVICES_EXAMPLES)]
    Services(services::ServicesArgs),
    /// Count the logs of a service.
    #[command(after_help = services::STATS_EXAMPLES)]
    Stats(services::StatsArgs),
    /// See or change how a service's logs are kept.
    #[command(subcommand, after_help = service_config::EXAMPLES)]
    Config(service_config::ConfigCommand),
    /// Make, list and revoke API keys.
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
    /// Check a data directory that no server has open.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Copy all that a server has, or a data directory, into a directory.
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::BackupArgs),
    /// See what is in the archive, copy there, and bring back.
    #[command(subcommand, after_help = archive::EXAMPLES)]
    Archive(archive::ArchiveCommand),
    /// Measure a server or the engine, or have it killed.
    #[command(subcommand, after_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// Print what makes a shell complete commands and options.
    #[command(after_help = shells::COMPLETIONS_EXAMPLES)]
    Completions(shells::CompletionsArgs),
    /// Print the manual page of a command, or write those of all.
    #[command(after_help = shells::MAN_EXAMPLES)]
    Man(shells::ManArgs),
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

const CHECK_EXAMPLES: &str = "Examples:
  logyard check
  logyard check --data /var/lib/logyard --repair";

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

const BENCH_EXAMPLES: &str = "Examples:
  logyard bench engine logs.jsonl
  logyard bench http logs.jsonl --pid $(pgrep -x logyard)
  logyard bench kill --data /tmp/killed";

const ENGINE_EXAMPLES: &str = "Examples:
  logyard bench engine logs.jsonl
  logyard bench engine logs.jsonl --threads 1 --ack memory
  logyard bench engine logs.jsonl --data /mnt/ssd/empty
      on that disk, and kept to be looked at";

const KILL_EXAMPLES: &str = "Examples:
  logyard bench kill --data /tmp/killed > acknowledged.txt
  logyard bench kill --data /tmp/killed --start 500000 --round 2 --threads 8";

#[derive(Subcommand)]
enum Bench {
    /// Decode, append, seal and compact the logs of a file of JSON lines; prints one JSON line of figures.
    #[command(after_help = ENGINE_EXAMPLES)]
    Engine(EngineArgs),
    /// Send the logs of a file to a server as fast as it takes them; prints one JSON line of figures.
    #[command(after_help = load::EXAMPLES)]
    Http(load::LoadArgs),
    /// Append for ever and print what is sent and acknowledged, until killed.
    #[command(after_help = KILL_EXAMPLES)]
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
#[derive(Debug)]
enum Failure {
    /// It was asked for wrongly.
    Usage(String),
    /// It could not.
    Failed(String),
    /// Whoever reads what it writes has enough, and nothing is wrong.
    Enough,
}

/// What it means that standard output cannot be written to.
fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Enough,
        _ => Failure::Failed(format!("cannot write to standard output: {error}")),
    }
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
        Command::Ingest(args) => ingest::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Tail(args) => tail::run(args),
        Command::Delete(args) => delete::run(&args),
        Command::Services(args) => services::services(&args),
        Command::Stats(args) => services::stats(&args),
        Command::Config(command) => service_config::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Check(args) => check::run(args),
        Command::Backup(args) => backup::run(&args),
        Command::Archive(command) => archive::run(&command),
        Command::Bench(Bench::Engine(args)) => bench::run(&args),
        Command::Bench(Bench::Http(args)) => load::run(&args),
        Command::Bench(Bench::Kill(args)) => kill::run(&args),
        Command::Completions(args) => shells::completions(&args),
        Command::Man(args) => shells::man(&args),
    };
    match done {
        Ok(()) | Err(Failure::Enough) => ExitCode::SUCCESS,
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
