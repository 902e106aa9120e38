//! `logyard tail`: what a query selects, as it arrives, over connections that may break.
//!
//! Invariants
//! * Who comes back goes on behind the last record that was written, or looked at in vain: none twice, none left out.
//! * What the server could not send in time is told as a number on standard error.
//! * Standard output is written by whole rows: a signal waits for the one that is being written.
use super::Failure;
use super::client::{Client, ServerArgs, Trouble};
use super::query::refused;
use super::rows::{Output, Printer};
use super::terminal::printable;
use clap::Args;
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, BufRead, BufReader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const EXAMPLES: &str = "Examples:
  logyard tail 'level:ERROR'
  logyard tail -n 100 'service_name:=shop'
  logyard tail '*' | jq -r ._msg
  logyard tail 'payment | fields _time, user.id' --output ndjson

Pipes have to look at each row by itself: fields, extract, format, filter and the like, but not stats or sort.";

/// An event stream that is silent for so long is no more: the server gives a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(50);
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How much earlier it is begun again where nothing has come yet, for clocks that differ.
const EARLIER: Duration = Duration::from_secs(5);
/// Bytes of one event.
const EVENT_BYTES_MAX: usize = 64 << 20;

#[derive(Args)]
pub(super) struct TailArgs {
    /// What to follow, in LogsQL
    #[arg(value_name = "LOGSQL", allow_hyphen_values = true, default_value = "*")]
    query: String,
    /// Begin with the newest so many rows
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: u64,
    /// How rows are written [default: lines for people on a terminal, ndjson into a pipe]
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        hide_possible_values = true,
        help = "How rows are written: table, ndjson, raw [default: table (a line each) on a terminal, ndjson into a pipe]"
    )]
    output: Option<Output>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Follows until it is told to stop.
pub(super) fn run(args: TailArgs) -> Result<(), Failure> {
    if args.output == Some(Output::Csv) {
        return Err(Failure::Usage(
            "rows that arrive have no columns that are known; --output csv is for `query`".into(),
        ));
    }
    let client = Client::with_patience(&args.server, Some(SILENCE))?;
    let printer = Arc::new(Mutex::new(Printer::new(args.output)));
    end_when_told(Arc::clone(&printer))?;
    Tail { client, args, printer, last: None, since: Instant::now() }.follow()
}

/// Ends the program at SIGINT and SIGTERM, between two rows.
fn end_when_told(printer: Arc<Mutex<Printer>>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let mut printer = printer.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever reads may have gone first.
            let _written_or_gone = printer.flush();
            std::process::exit(0);
        }
    });
    Ok(())
}

struct Tail {
    client: Client,
    args: TailArgs,
    printer: Arc<Mutex<Printer>>,
    /// The last record that was written, or that the server looked at and had nothing to write for.
    last: Option<String>,
    /// When it began.
    since: Instant,
}

/// What came over a connection.
#[derive(Default)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl Tail {
    fn follow(mut self) -> Result<(), Failure> {
        let mut answer = Some(self.connect(true).map_err(|trouble| refused(trouble, &self.args.query))?);
        let (mut pause, mut is_told) = (PAUSE_FIRST, false);
        loop {
            if let Some(answer) = answer.take() {
                if is_told {
                    eprintln!("logyard: {} is back", self.client.url());
                }
                (pause, is_told) = (PAUSE_FIRST, false);
                self.read(BufReader::new(answer))?;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
            match self.connect(false) {
                Ok(body) => answer = Some(body),
                Err(Trouble::Refused(refusal)) if !matches!(refusal.status, 429 | 502 | 503 | 504) => {
                    return Err(Trouble::Refused(refusal).into());
                }
                Err(trouble) => {
                    if !is_told {
                        eprintln!("logyard: {trouble}; trying again");
                        is_told = true;
                    }
                    if let Trouble::Refused(refusal) = trouble {
                        pause = pause.max(refusal.retry_after.unwrap_or_default());
                    }
                }
            }
        }
    }

    fn connect(&self, is_first: bool) -> Result<impl io::Read + use<>, Trouble> {
        let mut headers = vec![("accept", "text/event-stream")];
        let mut params = vec![("query", self.args.query.clone())];
        match &self.last {
            Some(id) => headers.push(("last-event-id", id)),
            None if is_first => params.push(("last", self.args.lines.to_string())),
            None => params.push(("start_offset", format!("{}s", (self.since.elapsed() + EARLIER).as_secs()))),
        }
        Ok(self.client.post_form("/select/logsql/tail", &params, &headers)?.into_body().into_reader())
    }

    /// Writes events until there are no more.
    fn read(&mut self, mut stream: impl BufRead) -> Result<(), Failure> {
        let (mut event, mut line) = (Event::default(), Vec::new());
        loop {
            line.clear();
            // How it ended does not matter: it is begun again behind the last event that was whole.
            match stream.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) if line.last() != Some(&b'\n') => return Ok(()),
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            match text.split_once(": ") {
                _ if text.is_empty() => self.take(std::mem::take(&mut event))?,
                Some(("event", kind)) => event.kind = kind.into(),
                Some(("id", id)) => event.id = id.into(),
                Some(("data", data)) if event.data.len() + data.len() <= EVENT_BYTES_MAX => event.data.push_str(data),
                _ => {}
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        let value = || serde_json::from_str::<Value>(&event.data).unwrap_or_default();
        match event.kind.as_str() {
            "missed" => {
                let rows = value().get("missed").and_then(Value::as_u64).unwrap_or_default();
                eprintln!("logyard: {rows} rows arrived faster than they were read, and were not looked at");
            }
            "fault" => {
                let fault = value();
                let why = fault.get("error").and_then(Value::as_str).unwrap_or("the server says no more");
                return Err(Failure::Failed(printable(why).into_owned()));
            }
            // A sign of life.
            _ if event.data.is_empty() => {}
            _ => {
                let mut printer = self.printer();
                printer.live(&event.data)?;
                printer.flush()?;
            }
        }
        if !event.id.is_empty() {
            self.last = Some(event.id);
        }
        Ok(())
    }

    fn printer(&self) -> MutexGuard<'_, Printer> {
        self.printer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
