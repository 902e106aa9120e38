//! `logyard bench http`: what a running server takes: a file as JSON lines over some connections, then single records over many.
//!
//! It speaks plain HTTP over sockets of its own, so that the client takes little of the machine that both run on.
//!
//! Invariants
//! * Nothing is sent again: a request that fails, or is refused, is a failure of the run, and says so.
//! * A record counts when its request was acknowledged.
use super::Failure;
use super::client::{Client, ServerArgs};
use super::process::Process;
use clap::Args;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const EXAMPLES: &str = "Examples:
  logyard bench http logs.jsonl --pid $(pgrep -x logyard)
  logyard bench http logs.jsonl --connections 4
  logyard bench http logs.jsonl --connections 0 --singles 60";

const LINES_PATH: &str = "/insert/jsonline?_time_field=timestamp&_msg_field=message";
const SINGLE_PATH: &str = "/api/v1/logs/ingest";
/// Different records that are sent one by one, again and again.
const SINGLES: usize = 10_000;
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Args)]
pub(super) struct LoadArgs {
    /// JSON lines in the form of /api/v1/logs/ingest
    file: PathBuf,
    /// Connections that send the file's parts through /insert/jsonline; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 2)]
    connections: u64,
    /// Then send single records for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    singles: u64,
    /// Connections that send single records, each waiting for its answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    single_connections: u64,
    /// The server's process, to measure what it takes
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the measurement.
pub(super) fn run(args: &LoadArgs) -> Result<(), Failure> {
    let target = Target::of(&Client::new(&args.server)?)?;
    let server = args.pid.map(Process::Other);
    let mut figures = Map::new();
    if args.connections > 0 {
        figures.insert("jsonline".into(), measured(server, || lines(&target, args))?);
    }
    if args.singles > 0 {
        figures.insert("singles".into(), measured(server, || singles(&target, args))?);
    }
    if let Some(server) = server {
        figures.insert("server_peak_mb".into(), rounded(server.peak_memory_mb()?));
    }
    writeln!(io::stdout().lock(), "{}", Value::Object(figures)).map_err(super::cannot_write)
}

/// Figures of some work, with what the server and this process took for it.
fn measured(server: Option<Process>, work: impl FnOnce() -> Result<Value, Failure>) -> Result<Value, Failure> {
    let cpu = || server.map(Process::cpu_seconds).transpose();
    let (before, own, started) = (cpu()?, Process::Own.cpu_seconds()?, Instant::now());
    let mut figures = work()?;
    let wall = started.elapsed().as_secs_f64();
    let rows = figures.get("rows").and_then(Value::as_f64).unwrap_or(0.0);
    if let Some(figures) = figures.as_object_mut() {
        figures.insert("wall_s".into(), rounded(wall));
        figures.insert("rows_per_s".into(), (rows / wall).round().into());
        figures.insert("client_cpu_s".into(), rounded(Process::Own.cpu_seconds()? - own));
        if let Some((before, after)) = before.zip(cpu()?) {
            figures.insert("server_cpu_s".into(), rounded(after - before));
            figures.insert("server_cpu_s_per_million".into(), rounded((after - before) * 1e6 / rows.max(1.0)));
        }
    }
    Ok(figures)
}

fn rounded(value: f64) -> Value {
    ((value * 1e3).round() / 1e3).into()
}

/// Sends the file, a part over each connection.
fn lines(target: &Target, args: &LoadArgs) -> Result<Value, Failure> {
    let parts = parts(&args.file, args.connections).map_err(|e| failed("read", &args.file, &e))?;
    let bytes: u64 = parts.iter().map(|(start, end)| end - start).sum();
    let answers = thread::scope(|scope| {
        let send = |part| move || target.send_part(&args.file, part);
        let threads: Vec<_> = parts.iter().map(|part| scope.spawn(send(*part))).collect();
        threads.into_iter().map(joined).collect::<Result<Vec<Value>, Failure>>()
    })?;
    let sum = |name: &str| answers.iter().filter_map(|answer| answer.get(name)?.as_u64()).sum::<u64>();
    Ok(json!({ "connections": args.connections, "bytes": bytes, "rows": sum("ingested"), "rejected": sum("rejected") }))
}

/// Parts of a file of about the same size, each of whole lines.
fn parts(path: &Path, count: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    let mut ends = Vec::new();
    for part in 1..count {
        let from = length * part / count;
        file.seek(SeekFrom::Start(from))?;
        ends.push(from + file.skip_until(b'\n')? as u64);
    }
    ends.push(length);
    let starts = [0].into_iter().chain(ends.clone());
    Ok(starts.zip(ends).filter(|(start, end)| start < end).collect())
}

/// Sends single records over many connections for some time.
fn singles(target: &Target, args: &LoadArgs) -> Result<Value, Failure> {
    let file = File::open(&args.file).map_err(|e| failed("open", &args.file, &e))?;
    let records = BufReader::new(file).lines().take(SINGLES).collect::<Result<Vec<String>, _>>();
    let records: Vec<String> = records.map_err(|e| failed("read", &args.file, &e))?;
    let records: Vec<&str> = records.iter().map(String::as_str).filter(|record| !record.trim().is_empty()).collect();
    if records.is_empty() {
        return Err(Failure::Usage(format!("{} has no records", args.file.display())));
    }
    let until = Instant::now() + Duration::from_secs(args.singles);
    let mut micros = thread::scope(|scope| {
        let records = &records;
        let send = |from: u64| move || target.send_singles(records, from as usize * 157, until);
        let threads: Vec<_> = (0..args.single_connections).map(|from| scope.spawn(send(from))).collect();
        threads.into_iter().map(joined).collect::<Result<Vec<Vec<u32>>, Failure>>().map(|all| all.concat())
    })?;
    micros.sort_unstable();
    let share = |share: f64| micros.get((micros.len() as f64 * share) as usize).or(micros.last()).copied();
    let ms = |of_all: f64| share(of_all).map(|micros| rounded(f64::from(micros) / 1e3));
    Ok(json!({
        "connections": args.single_connections, "rows": micros.len(),
        "p50_ms": ms(0.5), "p99_ms": ms(0.99), "p999_ms": ms(0.999), "max_ms": ms(1.0),
    }))
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::Failed("a thread of the measurement panicked".into())))
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot {doing} {}: {error}", path.display()))
}

/// The server, by its socket.
struct Target {
    address: String,
    /// What stands in front of each path.
    base: String,
    headers: String,
}

/// An open connection.
struct Connection<'a> {
    target: &'a Target,
    stream: BufReader<TcpStream>,
}

impl Target {
    fn of(client: &Client) -> Result<Self, Failure> {
        let no_tls = || Failure::Usage(format!("bench speaks plain HTTP, and not to {}", client.url()));
        let rest = client.url().strip_prefix("http://").ok_or_else(no_tls)?;
        let (host, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        let mut headers = format!("host: {host}\r\ncontent-type: application/json\r\n");
        if let Some(authorization) = client.authorization() {
            headers.push_str(&format!("authorization: {authorization}\r\n"));
        }
        Ok(Self { address, base: base.to_owned(), headers })
    }

    fn connect(&self) -> Result<Connection<'_>, Failure> {
        let failed =
            |e| Failure::Failed(format!("cannot reach {}: {e}; is `logyard serve` running there?", self.address));
        let stream = TcpStream::connect(&self.address).map_err(failed)?;
        stream.set_nodelay(true)?;
        Ok(Connection { target: self, stream: BufReader::new(stream) })
    }

    fn send_part(&self, path: &Path, (start, end): (u64, u64)) -> Result<Value, Failure> {
        let mut file = File::open(path).map_err(|e| failed("open", path, &e))?;
        file.seek(SeekFrom::Start(start))?;
        let mut connection = self.connect()?;
        let head = connection.head(LINES_PATH, end - start);
        let mut to = connection.stream.get_ref();
        let sent = to.write_all(head.as_bytes()).and_then(|()| io::copy(&mut file.take(end - start), &mut to));
        // A server that refuses says why before it is sent everything.
        let answered = connection.answer();
        match (answered, sent) {
            (Ok(answer), _) => accepted(&answer),
            (Err(_), Err(e)) | (Err(e), _) => Err(Failure::Failed(format!("the server broke off: {e}"))),
        }
    }

    /// Sends records until the time is over; gives how long each took, in microseconds.
    fn send_singles(&self, records: &[&str], from: usize, until: Instant) -> Result<Vec<u32>, Failure> {
        let mut connection = self.connect()?;
        let (mut micros, mut request) = (Vec::new(), Vec::new());
        for record in records.iter().cycle().skip(from % records.len()) {
            request.clear();
            request.extend_from_slice(connection.head(SINGLE_PATH, record.len() as u64).as_bytes());
            request.extend_from_slice(record.as_bytes());
            let started = Instant::now();
            if started >= until {
                break;
            }
            connection.stream.get_ref().write_all(&request)?;
            accepted(&connection.answer()?)?;
            micros.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        Ok(micros)
    }
}

fn accepted((status, body): &(u16, Vec<u8>)) -> Result<Value, Failure> {
    let text = String::from_utf8_lossy(body);
    if !(200..300).contains(status) {
        let text: String = super::terminal::printable(&text).chars().take(500).collect();
        return Err(Failure::Failed(format!("the server answers with status {status}: {text}")));
    }
    Ok(serde_json::from_str(&text)?)
}

impl Connection<'_> {
    fn head(&self, path: &str, length: u64) -> String {
        let Target { base, headers, .. } = self.target;
        format!("POST {base}{path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n")
    }

    /// Reads an answer: its status and its body.
    fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let (mut line, mut status, mut length) = (String::new(), 0, None);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status == 0 {
                let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
                status = code.ok_or_else(|| wrong("it does not speak HTTP"))?;
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let length =
            length.filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(|| wrong("an answer without a length"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_whole_lines_and_leave_nothing_out() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for n in 0..100 {
            writeln!(file, "{}", "x".repeat(n)).unwrap();
        }
        let text = std::fs::read(file.path()).unwrap();
        for count in [1, 2, 7, 1000] {
            let parts = parts(file.path(), count).unwrap();
            assert_eq!((parts[0].0, parts.last().unwrap().1), (0, text.len() as u64));
            assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0 && text[pair[0].1 as usize - 1] == b'\n'));
        }
    }
}
