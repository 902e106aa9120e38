//! Who gets in without a key, where the first key comes from, and what a server without keys answers to.
use crate::access::raw;
use crate::harness::{KEY, Server};
use crate::table::{Method, Scope, TABLE};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[test]
fn only_health_and_ready_are_open() {
    let server = Server::start();
    let services = "/api/v1/logs/services";
    let ask = |path: &str, value: Option<&str>| {
        let headers: Vec<_> = value.map(|value| ("authorization", value)).into_iter().collect();
        let answer = server.get_with(path, &headers).unwrap();
        (answer.status, answer.json())
    };
    assert_eq!(ask(services, None), (401, json!({"error": "Missing Authorization header"})));
    let format = json!({"error": "Invalid Authorization header format. Use: Bearer <token>"});
    assert_eq!(ask(services, Some(KEY)), (401, format));
    assert_eq!(ask(services, Some("Bearer wrong")), (403, json!({"error": "Invalid API key"})));
    assert_eq!(ask(services, Some("Bearer test-key")).0, 200);
    for closed in ["/api/v1/logs/search", "/api/v1/admin/storage", "/api/v1/none", "/api/v1/logs/x"] {
        assert_eq!(ask(closed, None).0, 401, "{closed}");
    }
    let (status, health) = ask("/health", None);
    assert_eq!((status, &health["status"], &health["db"]), (200, &json!("healthy"), &json!("connected")));
    assert_eq!(ask("/ready", None), (200, json!({"status": "ready"})));
    assert_eq!(ask("/none", None), (404, json!({"error": "Not found", "path": "/none"})));
}

#[test]
fn the_first_start_makes_a_key_that_stays() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(data.path(), |_| {});
    let path = data.path().join("admin.key");
    let key = std::fs::read_to_string(&path).unwrap();
    let header = format!("Bearer {}", key.trim());
    let open =
        |server: &Server| server.get_with("/api/v1/logs/services", &[("authorization", &header)]).unwrap().status;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.greeting[2].ends_with("admin.key"), "{:?}", server.greeting);
    assert_eq!((open(&server), server.get("/api/v1/logs/services").status), (200, 403));
    server.kill();
    std::fs::remove_file(&path).unwrap();
    let server = Server::start_with(data.path(), |_| {});
    assert_eq!((open(&server), path.exists()), (200, false));
    let said = &server.greeting[2];
    assert!(said.contains("admin.key.sha256") && said.contains("remove both"), "{said}");
    drop(server);
    // And that is how another one is made.
    std::fs::remove_file(data.path().join("admin.key.sha256")).unwrap();
    let server = Server::start_with(data.path(), |_| {});
    assert!(server.greeting[2].ends_with("admin.key"), "{:?}", server.greeting);
    assert_eq!((open(&server), path.exists()), (403, true));
}

#[test]
fn an_open_server_asks_for_no_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.arg("--no-auth");
    });
    assert_eq!(server.get_with("/api/v1/logs/services", &[]).unwrap().status, 200);
    assert!(!server.data().join("admin.key").exists());
}

/// A server that asks for no key.
fn open_server(origins: &str) -> (Server, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.arg("--no-auth").env("LOGYARD_CORS_ORIGINS", origins);
    });
    (server, data)
}

#[test]
fn pages_of_other_origins_change_nothing_of_an_open_server() {
    let (server, _data) = open_server("https://logs.example");
    let own = server.address.strip_prefix("http://").unwrap();
    let log = r#"{"service_name":"a","level":"INFO","message":"m","_msg":"m"}"#;
    let ask = |method: &str, path: &str, origin: Option<&str>| {
        let mut headers = vec![("Host", own), ("Content-Type", "text/plain")];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        raw(&server, method, path, &headers, log).0
    };
    let rows = || server.get("/api/v1/admin/storage").json()["rows"].as_u64().unwrap();
    let mut changing = 0;
    for route in TABLE.iter().filter(|route| matches!(route.scope, Scope::Ingest | Scope::Admin)) {
        let path = route.path.replace("{service}", "a").replace("{key}", "000000000000") + "?query=*";
        let [method] = route.methods else { panic!("{}: say by which methods it changes something", route.path) };
        let (method, is_change) = match method {
            Method::Get => ("GET", false),
            Method::Post => ("POST", true),
            Method::Put => ("PUT", true),
            Method::Delete => ("DELETE", true),
        };
        changing += usize::from(is_change);
        for other in ["https://elsewhere.example", "null", "http://127.0.0.1:1", "https://logs.example.org"] {
            assert_eq!(ask(method, &path, Some(other)) == 403, is_change, "{method} {path} from {other}");
        }
    }
    assert_eq!((changing >= 9, rows()), (true, 0));
    for origin in [None, Some(server.address.as_str()), Some("https://logs.example")] {
        assert_eq!(ask("POST", "/api/v1/logs/ingest", origin), 200, "{origin:?}");
    }
    assert_eq!(rows(), 3);
}

#[test]
fn an_open_server_answers_by_its_own_names_only() {
    let (server, _data) = open_server("");
    let ask = |host: &str, method: &str, path: &str| raw(&server, method, path, &[("Host", host)], "").0;
    for host in ["localhost", "LOCALHOST:7514", "a.localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:7514", "[::1]"] {
        assert_eq!(ask(host, "GET", "/api/v1/logs/services"), 200, "{host}");
    }
    for host in ["x", "evil.example:7514", "localhost.evil.example", "192.168.0.1", "[::2]:1", "127.0.0.1.evil.example"]
    {
        assert_eq!(ask(host, "GET", "/api/v1/logs/services"), 403, "{host}");
        assert_eq!(ask(host, "POST", "/api/v1/admin/seal"), 403, "{host}");
    }
    // What never asks for a key answers everybody, and where there is a key it does not matter how the server is called.
    assert_eq!(ask("evil.example", "GET", "/health"), 200);
    let asking = Server::start();
    let headers = [("Host", "logs.example"), ("Authorization", "Bearer test-key"), ("Origin", "https://a.example")];
    assert_eq!(raw(&asking, "POST", "/api/v1/admin/seal", &headers, "").0, 200);
}
