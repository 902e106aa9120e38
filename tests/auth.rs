use crate::harness::{KEY, Server};
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
