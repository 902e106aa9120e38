//! Every route of the table, by every method, with every kind of credential; and what keys that are for one service see of another.
use crate::harness::{Answer, KEY, Server, encoded};
use crate::socket::Socket;
use crate::table::{Class, Method, Name, Route, Scope, Services, TABLE};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In everything that belongs to the other service.
const THEIRS: &str = "theirsecret";
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"];

/// Makes a key; gives its id and itself.
pub(crate) fn make(server: &Server, wanted: &Value) -> (String, String) {
    let answer = server.post("/api/v1/keys", wanted.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made = answer.json();
    (made["key"]["id"].as_str().unwrap().into(), made["secret"].as_str().unwrap().into())
}

fn key(server: &Server, scopes: &[&str], services: Option<&str>) -> String {
    let services = services.map(|service| [service]);
    make(server, &json!({"name": "of a test", "scopes": scopes, "services": services})).1
}

fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The status of an answer, and a reader of the rest.
pub(crate) fn raw(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str("Host: x\r\n");
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{method} {path}: {line}"));
    (status.parse().unwrap(), reader)
}

fn status(server: &Server, method: &str, path: &str, credentials: &[&str]) -> u16 {
    let headers: Vec<_> = credentials.iter().map(|value| ("Authorization", *value)).collect();
    raw(server, method, path, &headers, "").0
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
    }
}

/// A path with something for each of its parts.
fn filled(route: &Route, service: &str, id: &str) -> String {
    let path = route.path.replace("{service}", service).replace("{id}", id).replace("{key}", "000000000000");
    assert!(!path.contains('{'), "say what stands for the parts of {path}");
    path
}

/// Credentials, each with the status that it gets where a key is asked for; none where it is right.
struct Credentials {
    refused: Vec<(&'static str, Vec<String>, u16)>,
    ingest: String,
    read: String,
    admin: String,
    ours_ingest: String,
    ours_read: String,
}

impl Credentials {
    fn new(server: &Server) -> Self {
        let bearer = |key: &str| format!("Bearer {key}");
        let all = ["ingest", "read", "admin"];
        let (revoked, revoked_key) = make(server, &json!({"name": "revoked", "scopes": all}));
        let (gone, _) =
            raw(server, "DELETE", &format!("/api/v1/keys/{revoked}"), &[("Authorization", &bearer(KEY))], "");
        assert_eq!(gone, 200);
        let expired = make(server, &json!({"name": "expired", "scopes": all, "expires_at": now_millis() + 1_000})).1;
        while status(server, "GET", "/api/v1/keys", &[&bearer(&expired)]) != 403 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let admin = key(server, &["admin"], None);
        let other = key(server, &["admin"], None);
        let mut wrong = admin.clone();
        let last = if wrong.pop() == Some('0') { '1' } else { '0' };
        wrong.push(last);
        let half = admin.len() - 64;
        let mixed = format!("{}{}", &admin[..half], &other[half..]);
        let one = |value: String| vec![value];
        let refused = vec![
            ("none", vec![], 401),
            ("empty", one(String::new()), 401),
            ("without a scheme", one(admin.clone()), 401),
            ("another scheme", one(format!("Basic {admin}")), 401),
            ("a scheme in small letters", one(format!("bearer {admin}")), 401),
            ("a scheme alone", one("Bearer".into()), 401),
            ("more than a key", one(format!("Bearer {admin} x")), 401),
            ("two headers", vec![bearer(&admin), bearer(&admin)], 401),
            ("a wrong one before a right one", vec![bearer("x"), bearer(&admin)], 401),
            ("a wrong key", one(bearer("wrong")), 403),
            ("a key of which the last digit is another", one(bearer(&wrong)), 403),
            ("the id of one key and the rest of another", one(bearer(&mixed)), 403),
            ("an id alone", one(bearer(&admin[..half])), 403),
            ("a key that goes on", one(bearer(&format!("{admin}0"))), 403),
            ("a revoked key", one(bearer(&revoked_key)), 403),
            ("an expired key", one(bearer(&expired)), 403),
        ];
        Self {
            refused,
            ingest: bearer(&key(server, &["ingest"], None)),
            read: bearer(&key(server, &["read"], None)),
            admin: bearer(&admin),
            ours_ingest: bearer(&key(server, &["ingest"], Some("ours"))),
            ours_read: bearer(&key(server, &["read"], Some("ours"))),
        }
    }
}

#[test]
fn nothing_passes_that_should_not() {
    let server = Server::start();
    let credentials = Credentials::new(&server);
    let paths: Vec<&str> = TABLE.iter().map(|route| route.path).collect();
    for (at, route) in TABLE.iter().enumerate() {
        if paths[..at].contains(&route.path) {
            continue;
        }
        let of_path: Vec<&Route> = TABLE.iter().filter(|other| other.path == route.path).collect();
        let path = filled(route, THEIRS, "00000000-0000-7000-8000-000000000000");
        for method in METHODS {
            let as_got = if method == "HEAD" { "GET" } else { method };
            let of_method = of_path.iter().find(|route| route.methods.iter().any(|known| name(*known) == as_got));
            match of_method {
                Some(route) => check_route(&server, &credentials, route, method, &path),
                None => check_no_route(&server, &credentials, of_path[0], method, &path),
            }
        }
    }
}

fn check_route(server: &Server, credentials: &Credentials, route: &Route, method: &str, path: &str) {
    let passes = |value: &str, what: &str| {
        let status = status(server, method, path, &[value]);
        assert!(!matches!(status, 401 | 403 | 405) && status < 500, "{method} {path} with {what}: {status}");
    };
    let refused = |value: &str, what: &str| {
        assert_eq!(status(server, method, path, &[value]), 403, "{method} {path} with {what}");
    };
    if route.scope == Scope::Open {
        credentials.refused.iter().for_each(|(what, values, _)| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            assert_eq!(status(server, method, path, &values), 200, "{method} {path} with {what}");
        });
        return;
    }
    for (what, values, wanted) in &credentials.refused {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        assert_eq!(status(server, method, path, &values), *wanted, "{method} {path} with {what}");
    }
    passes(&format!("Bearer {KEY}"), "the admin key");
    passes(&credentials.admin, "a key for everything");
    let scoped = [(Scope::Ingest, &credentials.ingest), (Scope::Read, &credentials.read)];
    for (scope, key) in scoped {
        if scope == route.scope { passes(key, "its scope") } else { refused(key, "another scope") }
    }
    let limited = [(Scope::Ingest, &credentials.ours_ingest), (Scope::Read, &credentials.ours_read)];
    for (scope, key) in limited {
        if scope == route.scope && route.services == Services::Narrowed {
            passes(key, "its scope, for one service");
        } else {
            refused(key, "another scope or service");
        }
    }
}

fn check_no_route(server: &Server, credentials: &Credentials, route: &Route, method: &str, path: &str) {
    let is_open = route.scope == Scope::Open;
    for (what, values, wanted) in &credentials.refused {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let wanted = if is_open { 405 } else { *wanted };
        assert_eq!(status(server, method, path, &values), wanted, "{method} {path} with {what}");
    }
    assert_eq!(status(server, method, path, &[&credentials.read]), 405, "{method} {path}");
}

#[test]
fn other_spellings_of_paths_lead_nowhere() {
    let server = Server::start();
    let tricks = [
        "//api/v1/keys",
        "/api//v1/keys",
        "/api/v1/keys/",
        "/api/v1/./keys",
        "/api/v1/logs/../keys",
        "/api/v1/logs/%2e%2e/keys",
        "/api/v1/%6beys",
        "/API/V1/KEYS",
        "/api/v1/keys%00",
        "/api/v1/keys;x",
        "/api/v1/admin%2Fstorage",
        "/health/../api/v1/keys",
        "/health/api/v1/keys",
        "/select/logsql//query?query=*",
        "/select/logsql/%71uery?query=*",
        "http://x/api/v1/keys",
    ];
    for path in tricks {
        for method in ["GET", "POST", "OPTIONS"] {
            let status = status(&server, method, path, &[]);
            assert!(matches!(status, 400..500), "{method} {path}: {status}");
        }
    }
}

#[test]
fn the_table_is_what_it_says() {
    for route in TABLE {
        assert_eq!(route.scope == Scope::Open, route.class == Class::Uncounted, "{route:?}");
        assert_eq!(route.services == Services::Named, route.path.contains("{service}") && route.scope != Scope::Admin);
        assert!(route.scope != Scope::Admin || route.services == Services::Refused, "{route:?}");
    }
    // The one place where a router is built.
    let mut calls = Vec::new();
    count_routes(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut calls);
    assert_eq!(calls, ["mod.rs: router.route(route.path, handler)"]);
}

/// Lines that add to a router.
fn count_routes(folder: &std::path::Path, calls: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count_routes(&path, calls);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let adds = |line: &&str| {
            [".route(", ".nest(", ".nest_service(", ".route_service("].iter().any(|call| line.contains(call))
        };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        calls.extend(text.lines().filter(adds).map(|line| format!("{name}: {}", line.trim())));
    }
}

/// A server with a record and a configuration of each of two services, and the records' ids.
fn two_services() -> (Server, String, String) {
    let server = Server::start();
    let ingest = |service: &str, field: &str| {
        let log = json!({"service_name": service, "level": "INFO", "message": format!("{service} says"), "metadata": {field: field}});
        let answer = server.post("/api/v1/logs/ingest", log.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(server.put(&format!("/api/v1/logs/config/{service}"), r#"{"ttl_days":7}"#).status, 200);
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    // First the other one, so that it would be told before ours where rows come as they arrived.
    let theirs = ingest(THEIRS, THEIRS);
    let ours = ingest("ours", "mine");
    (server, ours, theirs)
}

fn get(server: &Server, path: &str, key: &str) -> Answer {
    server.get_with(path, &[("authorization", &format!("Bearer {key}"))]).unwrap()
}

/// What a route is asked for all that it has.
fn asked(route: &Route) -> String {
    let query = match route.name {
        Name::SelectStats | Name::SelectStatsRange => "* | stats by (service_name) count() n",
        _ => "*",
    };
    format!("{}?query={}&field=service_name&keep_const_fields=1&last=10", route.path, encoded(query))
}

#[test]
fn a_key_for_one_service_reads_nothing_of_another() {
    let (server, ours_id, theirs_id) = two_services();
    let keys = (key(&server, &["read"], Some("ours")), key(&server, &["read"], None));
    check_reads(&server, &keys, &ours_id, &theirs_id);
    // In segments much is counted without a look at rows.
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    check_reads(&server, &keys, &ours_id, &theirs_id);
}

fn check_reads(server: &Server, (ours, all): &(String, String), ours_id: &str, theirs_id: &str) {
    for route in TABLE.iter().filter(|route| route.scope == Scope::Read) {
        assert_ne!(route.services, Services::Refused, "{}: say here what it has of one service", route.path);
        if route.path.contains('{') {
            let wanted = if route.path.contains("{id}") { 404 } else { 403 };
            let (theirs, own) = (filled(route, THEIRS, theirs_id), filled(route, "ours", ours_id));
            assert_eq!(get(server, &theirs, ours).status, wanted, "{theirs}");
            assert_eq!(get(server, &theirs, all).status, 200, "{theirs}");
            assert_eq!(get(server, &own, ours).status, 200, "{own}");
            continue;
        }
        // Of what arrives there are tests below; the others have nothing of any service.
        if matches!(route.name, Name::SelectTail | Name::LogsSocket | Name::SelectTenants | Name::OpenApi) {
            continue;
        }
        for method in route.methods {
            let ask = |key: &str| match method {
                Method::Get => get(server, &asked(route), key),
                _ => {
                    let (path, form) = asked(route).split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
                    server.post_as(key, &path, form)
                }
            };
            let (some, whole) = (ask(ours), ask(all));
            assert_eq!((some.status, whole.status), (200, 200), "{}: {} {}", route.path, some.text, whole.text);
            assert!(!some.text.contains(THEIRS), "{}: {}", route.path, some.text);
            if matches!(route.name, Name::SelectStreamIds | Name::SelectStreamFieldNames) {
                assert_ne!(some.text, whole.text, "{}", route.path);
            } else {
                assert!(whole.text.contains(THEIRS), "{}: {}", route.path, whole.text);
                assert!(some.text.contains("ours") || some.text.contains("mine"), "{}: {}", route.path, some.text);
            }
        }
    }
    let answer = get(server, &format!("/api/v1/logs/search?service={THEIRS}"), ours);
    assert_eq!(answer.status, 403, "{}", answer.text);
    for q in [THEIRS.to_owned(), format!("service_name:{THEIRS}"), format!("-x service_name:={THEIRS}")] {
        let found = get(server, &format!("/api/v1/logs/search?q={}", encoded(&q)), ours);
        assert_eq!((found.status, &found.json()["count"]), (200, &json!(0)), "{q}: {}", found.text);
    }
}

#[test]
fn no_query_gets_around_what_a_key_is_for() {
    let (server, ..) = two_services();
    let (ours, all) = (key(&server, &["read"], Some("ours")), key(&server, &["read"], None));
    check_queries(&server, &ours, &all);
    assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
    check_queries(&server, &ours, &all);
}

fn check_queries(server: &Server, ours: &str, all: &str) {
    let says = format!("{THEIRS} says");
    for query in [
        format!("service_name:={THEIRS}"),
        format!("x or service_name:={THEIRS}"),
        format!("!x or {THEIRS}"),
        format!("{{service_name=\"{THEIRS}\"}}"),
        format!("* | union (service_name:={THEIRS})"),
        format!("ours | union (x | union ({THEIRS}))"),
        format!("* | fields level | join by (level) ({THEIRS} | fields level, _msg)"),
        format!("_msg:in({THEIRS} | fields _msg)"),
        format!("* or _msg:in({THEIRS} | fields _msg)"),
        "options(ignore_global_time_filter=true) *".into(),
        "* | stream_context before 10 after 10".into(),
    ] {
        let path = format!("/select/logsql/query?query={}", encoded(&query));
        let (some, whole) = (get(server, &path, ours), get(server, &path, all));
        assert_eq!((some.status, whole.status), (200, 200), "{query}: {}", some.text);
        assert!(whole.text.contains(&says), "{query}: {}", whole.text);
        assert!(!some.text.contains(&says), "{query}: {}", some.text);
    }
    // Whether there is something is not told either.
    let path = format!("/select/logsql/query?query={}", encoded(&format!("ours level:in({THEIRS} | fields level)")));
    assert_eq!((get(server, &path, ours).text.as_str(), get(server, &path, all).text.is_empty()), ("", false));
    let by_extra = |filter: &str, key| {
        get(server, &format!("/select/logsql/query?query=*&extra_filters={}", encoded(filter)), key).text
    };
    assert_eq!(by_extra(&format!("service_name:={THEIRS}"), ours), "");
    let asks =
        format!("service_name:in(service_name:={THEIRS} | format \"ours\" as service_name | fields service_name)");
    assert_eq!((by_extra(&asks, ours).as_str(), by_extra(&asks, all).is_empty()), ("", false));
}

#[test]
fn a_live_query_gives_what_its_key_is_for() {
    let (server, ..) = two_services();
    let ours = format!("Bearer {}", key(&server, &["read"], Some("ours")));
    let (status, answer) = raw(&server, "GET", "/select/logsql/tail?query=*&last=10", &[("Authorization", &ours)], "");
    assert_eq!(status, 200);
    for service in [THEIRS, "ours"] {
        let log = json!({"service_name": service, "level": "INFO", "message": format!("later {service}")});
        assert_eq!(server.post("/api/v1/logs/ingest", log.to_string()).status, 200);
    }
    let mut seen = String::new();
    for line in answer.lines() {
        seen.push_str(&line.unwrap());
        if seen.contains("later ours") {
            break;
        }
    }
    assert!(seen.contains("ours says") && !seen.contains(THEIRS), "{seen}");
}

#[test]
fn a_socket_gives_what_its_key_is_for_and_as_long_as_it_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_SERVER_IDLE_TIMEOUT", "1s");
    });
    let (id, ours) = make(&server, &json!({"name": "ours", "scopes": ["read"], "services": ["ours"]}));
    let store = |service: &str, message: &str| {
        let log = json!({"service_name": service, "level": "INFO", "message": message});
        assert_eq!(server.post("/api/v1/logs/ingest", log.to_string()).status, 200);
    };
    store(THEIRS, "ours");
    let mut socket = Socket::open_with(&server, &ours);
    for data in
        [json!({}), json!({"query": "*"}), json!({"query": format!("_msg:in({THEIRS} | fields _msg) or later")})]
    {
        socket.subscribe(None, data);
        store(THEIRS, "later theirs");
        store("ours", "later ours");
        assert_eq!(socket.messages(1), ["later ours"]);
    }
    socket.subscribe(Some("ours"), json!({"query": format!("_msg:in(service_name:={THEIRS} | fields _msg)")}));
    store("ours", "ours");
    let theirs = socket.say(json!({"type": "subscribe", "service_name": THEIRS}));
    assert!(theirs["error"].as_str().unwrap().contains("not for the service"), "{theirs}");
    let bearer = format!("Bearer {KEY}");
    let (revoked, _) = raw(&server, "DELETE", &format!("/api/v1/keys/{id}"), &[("Authorization", &bearer)], "");
    assert_eq!(revoked, 200);
    assert_eq!(socket.closed(), (1_008, "the key has been revoked".into()));
}

#[test]
fn a_key_for_one_service_writes_nothing_of_another() {
    let server = Server::start();
    let ours = key(&server, &["ingest"], Some("ours"));
    let rows = || server.get("/api/v1/admin/storage").json()["rows"].as_u64().unwrap();
    for route in TABLE.iter().filter(|route| route.scope == Scope::Ingest) {
        let log =
            |service: &str| json!({"service_name": service, "level": "INFO", "message": "m", "_msg": "m"}).to_string();
        let body = |services: &[&str]| match route.name {
            Name::IngestOne => log(services[0]),
            Name::IngestBatch => {
                format!("{{\"logs\":[{}]}}", services.iter().map(|service| log(service)).collect::<Vec<_>>().join(","))
            }
            Name::InsertLines => services.iter().map(|service| log(service) + "\n").collect(),
            Name::ArchiveImport => {
                let old = r#"{"_time":"2026-05-28T10:00:00Z","id":"1","#;
                services.iter().map(|service| log(service).replacen('{', old, 1) + "\n").collect()
            }
            _ => panic!("say how records of a service are sent to {}", route.path),
        };
        let before = rows();
        let refused = server.post_as(&ours, route.path, body(&[THEIRS, "ours"]));
        assert_eq!((refused.status, rows()), (403, before), "{}: {}", route.path, refused.text);
        assert!(refused.json()["error"].as_str().unwrap().contains(THEIRS), "{}", refused.text);
        let taken = server.post_as(&ours, route.path, body(&["ours"]));
        assert_eq!((taken.status, rows()), (200, before + 1), "{}: {}", route.path, taken.text);
        if route.name == Name::IngestBatch {
            assert_eq!((server.post_as(&ours, route.path, body(&["ours", THEIRS])).status, rows()), (403, before + 1));
        }
    }
    // The last one counts, and none is not one of its own.
    let before = rows();
    for line in [r#"{"_msg":"m"}"#, r#"{"service_name":"ours","service_name":"x"}"#, r#"{"service_name":{"a":"ours"}}"#]
    {
        assert_eq!((server.post_as(&ours, "/insert/jsonline", line).status, rows()), (403, before), "{line}");
    }
    assert_eq!(server.post_as(&ours, "/insert/jsonline", r#"{"service_name":"x","service_name":"ours"}"#).status, 200);
}

#[test]
fn what_was_stored_before_a_wrong_service_is_said() {
    let server = Server::start();
    let ours = key(&server, &["ingest"], Some("ours"));
    let mut body = "{\"service_name\":\"ours\",\"_msg\":\"m\"}\n".repeat(5_000);
    body.push_str("{\"service_name\":\"x\",\"_msg\":\"m\"}\n");
    let answer = server.post_as(&ours, "/insert/jsonline", body);
    assert_eq!((answer.status, &answer.json()["ingested"]), (403, &json!(4_000)), "{}", answer.text);
    // Another one is that of the key.
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 4_001);
    let (status, mut rest) = raw(&server, "GET", "/api/v1/keys", &[("Authorization", &format!("Bearer {ours}"))], "");
    let mut text = String::new();
    rest.read_to_string(&mut text).unwrap();
    assert!(status == 403 && text.contains("does not have the scope admin"), "{text}");
}
