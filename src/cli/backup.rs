//! `logyard backup`: copies all that a server has, or a data directory that no server has open, into a directory.
//!
//! Invariant: which of both it is shows in the directory's lock, unless a server is named.
use super::client::{Client, ServerArgs, Trouble};
use super::terminal::{Bar, is_shown, printable};
use super::told::{field, number, until_done};
use super::{Failure, cannot_write};
use crate::server::{backup_done, whole_path};
use clap::Args;
use logyard_storage::engine::{BackupProgress, BackupStage, back_up_at_rest};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::error::ErrorKind;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::http::Method;

pub(super) const EXAMPLES: &str = "Examples:
  logyard backup /backups/2026-05-28
      of the server that runs on ./logyard-data, or of the directory where none does
  logyard backup /backups/2026-05-28 --data /var/lib/logyard
  logyard backup /backups/2026-05-28 --url https://logs.example.com
      the directory is made on the server's machine
  logyard backup --archive main backups/2026-05-28
      in a folder of a target of the server's archive; `logyard archive rebuild` makes a data directory of it
  logyard serve --data /backups/2026-05-28
      a backup is a data directory: a server that starts on it has all that it has";

#[derive(Args)]
pub(super) struct BackupArgs {
    /// The directory to make; where there is one, it has to be empty. With --archive, a folder there
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// Make it in a target of the server's archive
    #[arg(long, value_name = "NAME")]
    archive: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Makes a backup, and says what is in it.
pub(super) fn run(args: &BackupArgs) -> Result<(), Failure> {
    if let Some(archive) = &args.archive {
        let body = json!({ "target": args.target, "archive": archive });
        let made = made_by(&Client::new(&args.server)?, &body).map_err(Failure::from)?;
        return told(&made);
    }
    let target = std::path::absolute(&args.target)
        .map_err(|e| Failure::Usage(format!("{} is no directory: {e}", printable(&args.target.to_string_lossy()))))?;
    if args.server.names_a_server() {
        return told(&ask(args, &target, None)?);
    }
    let data = args.server.data()?;
    if !data.is_dir() {
        return Err(Failure::Failed(format!(
            "there is no directory {}; name the data directory with --data, or a server with --url",
            data.display()
        )));
    }
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let whole = whole_path(&target, &data).map_err(Failure::Failed)?;
    let mut bars = Bars::default();
    let made = back_up_at_rest(&env, &data, &whole, &mut |progress| {
        bars.show(progress);
        Ok(())
    });
    bars.end();
    match made {
        // A server has it.
        Err(e) if e.kind() == ErrorKind::Locked => told(&ask(args, &target, Some(&data))?),
        made => told(&backup_done(&target.display().to_string(), &made?)),
    }
}

/// Has a server make it; with `data`, only the one that has that directory.
fn ask(args: &BackupArgs, target: &Path, data: Option<&Path>) -> Result<Value, Failure> {
    let client = Client::new(&args.server)?;
    let data = data.map(std::path::absolute).transpose()?;
    made_by(&client, &json!({ "target": target, "data": data })).map_err(|trouble| match (trouble, data) {
        (Unmade::Asking(Trouble::Unreachable(what)), Some(data)) => Failure::Failed(format!(
            "{what} Its data directory {} is in use: say with --url where its server listens",
            data.display()
        )),
        (unmade, _) => unmade.into(),
    })
}

/// Why a server made none.
enum Unmade {
    Asking(Trouble),
    Making(Failure),
}

impl From<Unmade> for Failure {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Asking(trouble) => trouble.into(),
            Unmade::Making(failure) => failure,
        }
    }
}

/// Has a server make what is asked for, and shows how far it is.
fn made_by(client: &Client, body: &Value) -> Result<Value, Unmade> {
    let kind = [("content-type", "application/json")];
    let answer = client.send(Method::POST, "/api/v1/admin/backup", &kind, body.to_string()).map_err(Unmade::Asking)?;
    let mut bars = Bars::default();
    let broke_off =
        "the answer broke off before the backup was done: see the server's log, remove what it made, and try again";
    let made = until_done(client, answer, broke_off, |said| {
        let stage = if *field(said, "stage") == "checking" { BackupStage::Checking } else { BackupStage::Copying };
        bars.show(BackupProgress { stage, done: number(said, "done"), total: number(said, "total") });
    });
    bars.end();
    made.map_err(Unmade::Making)
}

/// Says what came of it; a copy of what is damaged is a failure.
fn told(made: &Value) -> Result<(), Failure> {
    let damaged = field(made, "damaged").as_array().map(Vec::as_slice).unwrap_or_default();
    let target = printable(field(made, "target").as_str().unwrap_or_default()).into_owned();
    let mut out = std::io::stdout().lock();
    let written = if is_shown() {
        writeln!(out, "{} files, {} bytes in {target}, checked", field(made, "files"), field(made, "bytes"))
    } else {
        writeln!(out, "{made}")
    };
    written.map_err(cannot_write)?;
    if damaged.is_empty() {
        return Ok(());
    }
    damaged.iter().filter_map(Value::as_str).for_each(|what| eprintln!("{}", printable(what)));
    Err(Failure::Failed(format!(
        "the backup is made, but what is named above is damaged in it as it is in what it was made of; keep older backups, and \
         see `logyard check --data {target}`"
    )))
}

/// A bar for each stage.
#[derive(Default)]
struct Bars(Option<(BackupStage, Bar)>);

impl Bars {
    fn show(&mut self, progress: BackupProgress) {
        let BackupProgress { stage, done, total } = progress;
        if self.0.as_ref().is_none_or(|(at, _)| *at != stage) {
            self.end();
            let what = match stage {
                BackupStage::Copying => "copying",
                BackupStage::Checking => "checking",
            };
            self.0 = Some((stage, Bar::of_bytes(what, Some(total))));
        }
        if let Some((_, bar)) = &self.0 {
            bar.at(done);
        }
    }

    fn end(&mut self) {
        if let Some((_, bar)) = self.0.take() {
            bar.end();
        }
    }
}
