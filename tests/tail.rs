//! `/select/logsql/tail`: rows as they arrive, as lines and as events; who comes back, who is slow, and how many.
use crate::harness::{KEY, Server, encoded};
use crate::socket::Socket;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Somebody who follows.
pub(crate) struct Tail {
    pub(crate) status: u16,
    pub(crate) head: String,
    body: BufReader<TcpStream>,
}

/// An event of an event stream.
#[derive(Debug, Default, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl Tail {
    fn open(server: &Server, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Self {
        Self::open_as(server, KEY, params, headers)
    }

    /// The same with another key.
    pub(crate) fn open_as(server: &Server, key: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let params: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        // In the old version of the protocol a body without a length is what comes until the end.
        let mut head = format!("GET /select/logsql/tail?{} HTTP/1.0\r\n", params.join("&"));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}authorization: Bearer {key}\r\n\r\n").as_bytes()).unwrap();
        let mut tail = Self { status: 0, head: String::new(), body: BufReader::new(stream) };
        loop {
            let line = tail.line().unwrap();
            if line.is_empty() {
                tail.status = tail.head.get(9..12).unwrap().parse().unwrap();
                return tail;
            }
            tail.head.push_str(&line.to_ascii_lowercase());
            tail.head.push('\n');
        }
    }

    /// The next line; nothing at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let len = self.body.read_line(&mut line).expect("a line in time");
        (len > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn row(&mut self) -> Value {
        serde_json::from_str(&self.line().expect("a row")).unwrap()
    }

    fn messages(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.row()["_msg"].as_str().unwrap().to_owned()).collect()
    }

    /// The next event that has data.
    fn event(&mut self) -> Event {
        let mut event = Event::default();
        loop {
            let line = self.line().expect("an event");
            match line.split_once(": ") {
                Some(("event", kind)) => event.kind = kind.into(),
                Some(("id", id)) => event.id = id.into(),
                Some(("data", data)) => event.data = data.into(),
                _ if line.is_empty() && !event.data.is_empty() => return event,
                _ => {}
            }
        }
    }

    pub(crate) fn rest(mut self) -> String {
        let mut rest = String::new();
        self.body.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// Stores rows whose message is their number.
fn store(server: &Server, service: &str, numbers: std::ops::Range<usize>) {
    let line = |n| format!("{{\"service_name\":\"{service}\",\"_msg\":\"number {n}\",\"n\":{n}}}\n");
    let answer = server.post("/insert/jsonline", numbers.map(line).collect::<String>());
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn numbers(of: std::ops::Range<usize>) -> Vec<String> {
    of.map(|n| format!("number {n}")).collect()
}

#[test]
fn rows_come_as_lines_while_they_arrive() {
    let server = Server::start();
    store(&server, "shop", 0..10);
    let mut all = Tail::open(&server, &[("query", "*"), ("start_offset", "1h")], &[]);
    let mut last =
        Tail::open(&server, &[("query", "{service_name=shop}"), ("last", "3"), ("refresh_interval", "1s")], &[]);
    let mut new =
        Tail::open(&server, &[("query", "n:>11 | fields _msg | format '<_msg>!' as m"), ("start_offset", "0")], &[]);
    assert_eq!(all.status, 200, "{}", all.head);
    assert!(all.head.contains("content-type: application/x-ndjson"), "{}", all.head);
    assert_eq!(all.messages(10), numbers(0..10));
    assert_eq!(last.messages(3), numbers(7..10));
    store(&server, "mail", 10..12);
    store(&server, "shop", 12..14);
    let row = all.row();
    assert_eq!((&row["_msg"], &row["service_name"], &row["n"]), (&"number 10".into(), &"mail".into(), &"10".into()));
    assert_eq!(row["_stream"], "{service_name=\"mail\"}");
    assert!(["_time", "_stream_id", "_id"].iter().all(|name| row[name].is_string()), "{row}");
    assert_eq!(all.messages(3), numbers(11..14));
    assert_eq!(last.messages(2), numbers(12..14));
    let wanted = |n| serde_json::json!({"_msg": format!("number {n}"), "m": format!("number {n}!")});
    assert_eq!([new.row(), new.row()], [wanted(12), wanted(13)]);
    let cursor = row["_id"].as_str().unwrap().to_owned();
    let mut behind = Tail::open(&server, &[("query", "number"), ("cursor", &cursor)], &[]);
    server.post("/api/v1/admin/seal", "");
    store(&server, "shop", 14..15);
    assert_eq!(behind.messages(4), numbers(11..15));
}

#[test]
fn events_go_on_where_they_ended() {
    let server = Server::start();
    let accept = ("accept", "text/event-stream");
    let query = [("query", "{service_name=shop}"), ("start_offset", "0s")];
    let mut tail = Tail::open(&server, &query, &[accept]);
    assert!(tail.head.contains("content-type: text/event-stream"), "{}", tail.head);
    let (mut came, mut id) = (Vec::new(), String::new());
    for round in 0..6 {
        store(&server, "mail", 0..5);
        store(&server, "shop", round * 10..round * 10 + 10);
        // Not all that was sent was read.
        for _ in 0..3 + round {
            let event = tail.event();
            let row: Value = serde_json::from_str(&event.data).unwrap();
            assert_eq!(row["_id"], *event.id);
            came.push(row["_msg"].as_str().unwrap().to_owned());
            id = event.id;
        }
        if round == 2 {
            server.post("/api/v1/admin/seal", "");
        }
        tail = Tail::open(&server, &query, &[accept, ("last-event-id", &id)]);
    }
    assert_eq!(came, numbers(0..33));
    // Rows that were made of one record are sent whole again or not at all.
    let unrolled = [("query", "9 | unpack_words from _msg as w | unroll by (w) | fields w"), ("start_offset", "0")];
    let mut tail = Tail::open(&server, &unrolled, &[accept]);
    store(&server, "shop", 9..10);
    let (first, second) = (tail.event(), tail.event());
    assert_eq!((first.data.as_str(), first.id.as_str()), ("{\"w\":\"number\"}", ""));
    assert_eq!(second.data, "{\"w\":\"9\"}");
    assert!(!second.id.is_empty());
}

#[test]
fn what_is_wrong_is_said_at_once() {
    let server = Server::start();
    let refused = |params: &[(&str, &str)], headers: &[(&str, &str)], status: u16, part: &str| {
        let tail = Tail::open(&server, params, headers);
        let (got, told) = (tail.status, tail.rest());
        assert!(got == status && told.contains(part), "{params:?}: {got} {told}");
    };
    refused(&[], &[], 400, "query is missing");
    refused(&[("query", "a |")], &[], 400, "position");
    refused(&[("query", "* | stats count()")], &[], 400, "`stats` needs all rows");
    refused(&[("query", "* | fields a | sort by (a)")], &[], 400, "`sort` needs all rows");
    refused(&[("query", "*"), ("start_offset", "soon")], &[], 400, "start_offset must be a duration");
    refused(&[("query", "*"), ("offset", "-1s")], &[], 400, "offset must be a duration");
    refused(&[("query", "*"), ("last", "1000000")], &[], 400, "at most 10000 rows");
    refused(&[("query", "*"), ("cursor", "7")], &[], 400, "Last-Event-ID");
    let of_others = "019a2b3c-4d5e-7abc-8def-000000000001";
    refused(&[("query", "*")], &[("last-event-id", of_others)], 404, "start without it");
    assert_eq!(server.get_with("/select/logsql/tail?query=*", &[]).unwrap().status, 401);
    assert_eq!(server.post("/select/logsql/tail", "query=*+|+limit+1").status, 400);
}

#[test]
fn no_more_are_open_than_may_and_all_end_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_QUERY_MAX_TAILS", "2");
    });
    let open = || Tail::open(&server, &[("query", "*")], &[]);
    let (first, mut second) = (open(), open());
    let third = open();
    let (status, told) = (third.status, third.rest());
    assert!(status == 429 && told.contains("LOGYARD_QUERY_MAX_TAILS"), "{status} {told}");
    drop(first);
    let mut third = (0..200)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            Some(open()).filter(|tail| tail.status == 200)
        })
        .expect("a place when somebody has gone");
    store(&server, "shop", 0..1);
    assert_eq!((second.messages(1), third.messages(1)), (numbers(0..1), numbers(0..1)));
    server.signal("TERM");
    assert!(second.rest().is_empty() && third.rest().is_empty());
    assert!(server.wait().success());
}

/// Somebody who follows, in one of the ways to do so.
enum Client {
    Lines(Tail),
    Events(Tail),
    Socket(Socket),
}

impl Client {
    fn open(server: &Server, number: usize, service: &str) -> Self {
        let query = format!("service_name:=\"{service}\" number");
        let tail = |headers: &[(&str, &str)]| {
            let tail = Tail::open(server, &[("query", &query), ("start_offset", "0")], headers);
            assert_eq!(tail.status, 200, "{}", tail.head);
            tail
        };
        match number % 3 {
            0 => Self::Lines(tail(&[])),
            1 => Self::Events(tail(&[("accept", "text/event-stream")])),
            _ => {
                let mut socket = Socket::open(server);
                socket.subscribe(Some(service), json!({"query": "number"}));
                Self::Socket(socket)
            }
        }
    }

    fn messages(&mut self, count: usize) -> Vec<String> {
        match self {
            Self::Lines(tail) => tail.messages(count),
            Self::Events(tail) => {
                let message = |event: Event| serde_json::from_str::<Value>(&event.data).unwrap()["_msg"].clone();
                (0..count).map(|_| message(tail.event()).as_str().unwrap().to_owned()).collect()
            }
            Self::Socket(socket) => socket.messages(count),
        }
    }
}

/// So many clients follow ten services while so many times twenty rows come for each of these.
fn follow_while_rows_come(clients: usize, rounds: usize) {
    const SERVICES: usize = 10;
    const ROWS: usize = 20;
    let server = Server::start();
    let given = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let all: Vec<Client> =
            (0..clients).map(|number| Client::open(&server, number, &format!("s{}", number / 3 % SERVICES))).collect();
        for mut client in all {
            let given = &given;
            let read = move || {
                assert_eq!(client.messages(rounds * ROWS), numbers(0..rounds * ROWS));
                given.fetch_add(1, Ordering::Relaxed);
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, read).unwrap();
        }
        for round in 0..rounds {
            for service in 0..SERVICES {
                store(&server, &format!("s{service}"), round * ROWS..(round + 1) * ROWS);
            }
        }
    });
    assert_eq!(given.into_inner(), clients);
}

#[test]
fn hundreds_follow_while_rows_come() {
    follow_while_rows_come(240, 40);
}

#[test]
#[ignore = "the slow one: as many as may by default; the limit of open files has to be above 1,100"]
fn a_thousand_follow_while_rows_come() {
    follow_while_rows_come(1_000, 100);
}

#[test]
fn whoever_does_not_read_is_told_what_it_missed_and_slows_nobody() {
    const BATCHES: usize = 40;
    const ROWS: usize = 250;
    let server = Server::start();
    let mut slow = [("lines", None), ("events", Some(("accept", "text/event-stream")))]
        .map(|(_, accept)| Tail::open(&server, &[("query", "*"), ("start_offset", "0")], accept.as_slice()));
    let mut socket = Socket::open(&server);
    socket.subscribe(Some("shop"), Value::Null);
    let padding: String = (0..900u32).map(|n| format!(" {:08x}", n.wrapping_mul(0x9E37_79B9))).collect();
    for batch in 0..BATCHES {
        let line =
            |n| format!("{{\"service_name\":\"shop\",\"_msg\":\"number {n}\",\"n\":{n},\"p\":\"{n}{padding}\"}}\n");
        let lines: String = (batch * ROWS..(batch + 1) * ROWS).map(line).collect();
        let answer = server.post("/insert/jsonline", lines);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let [lines, events] = &mut slow;
    let (mut seen, mut missed) = (0, 0);
    while seen < BATCHES * ROWS {
        let row = lines.row();
        match row["_missed"].as_str() {
            Some(rows) => {
                assert!(row["_time"].is_string() && row["_msg"].as_str().unwrap().starts_with(rows), "{row}");
                (seen, missed) = (seen + rows.parse::<usize>().unwrap(), missed + 1);
            }
            None => {
                assert_eq!(row["n"], seen.to_string(), "what is between was told");
                seen += 1;
            }
        }
    }
    assert!(missed > 0, "all of it fitted into what waits");
    let (mut seen, mut missed) = (0, 0);
    while seen < BATCHES * ROWS {
        let event = events.event();
        let data: Value = serde_json::from_str(&event.data).unwrap();
        if event.kind == "missed" {
            (seen, missed) = (seen + data["missed"].as_u64().unwrap() as usize, missed + 1);
        } else {
            assert_eq!(data["n"], seen.to_string());
            seen += 1;
        }
    }
    assert!(missed > 0);
    let (mut seen, mut missed) = (0, 0);
    while seen < BATCHES * ROWS {
        let message = socket.next();
        if message["type"] == "missed" {
            (seen, missed) = (seen + message["count"].as_u64().unwrap() as usize, missed + 1);
        } else {
            assert_eq!(message["data"]["n"], seen);
            seen += 1;
        }
    }
    assert!(missed > 0);
    store(&server, "shop", 7..8);
    assert_eq!(socket.messages(1), numbers(7..8));
    assert_eq!((lines.messages(1), events.event().kind), (numbers(7..8), String::new()));
}

#[test]
fn the_example_of_the_page_on_queries_holds() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/query.md")).unwrap();
    let block =
        |kind: &str| page.split(&format!("```{kind}\n")).nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let server = Server::start();
    let mut tail = Tail::open(&server, &[("query", block("tail").trim())], &[]);
    assert_eq!(server.post("/insert/jsonline", block("rows")).status, 200);
    for line in block("lines").lines() {
        assert_eq!(tail.line().unwrap(), line);
    }
}
