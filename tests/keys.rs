//! API keys over their life: made, listed, used, revoked, kept over a restart.
use crate::access::{make, raw};
use crate::harness::{KEY, Server, logyard};
use serde_json::{Value, json};

fn listed(server: &Server) -> Vec<Value> {
    let answer = server.get("/api/v1/keys");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["keys"].as_array().unwrap().clone()
}

fn revoke(server: &Server, id: &str) -> u16 {
    raw(server, "DELETE", &format!("/api/v1/keys/{id}"), &[("Authorization", &format!("Bearer {KEY}"))], "").0
}

fn reads(server: &Server, key: &str) -> u16 {
    server.get_with("/api/v1/logs/services", &[("authorization", &format!("Bearer {key}"))]).unwrap().status
}

#[test]
fn keys_are_rotated_without_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    assert_eq!(listed(&server), [] as [Value; 0]);
    let (old_id, old) = make(&server, &json!({"name": "grafana", "scopes": ["read"]}));
    let (new_id, new) = make(&server, &json!({"name": "grafana", "scopes": ["read"], "services": ["b", "a"]}));
    assert_eq!((reads(&server, &old), reads(&server, &new)), (200, 200));
    let keys = listed(&server);
    assert_eq!(keys.len(), 2);
    let shown = keys.iter().find(|key| key["id"] == *new_id).unwrap();
    assert_eq!(
        (&shown["name"], &shown["scopes"], &shown["services"], &shown["expires_at"], &shown["expired"]),
        (&json!("grafana"), &json!(["read"]), &json!(["a", "b"]), &Value::Null, &json!(false))
    );
    assert!(shown["last_used_at"].as_u64().unwrap() >= shown["created_at"].as_u64().unwrap());
    assert_eq!((revoke(&server, &old_id), revoke(&server, &old_id), revoke(&server, "none")), (200, 404, 404));
    assert_eq!((reads(&server, &old), reads(&server, &new), listed(&server).len()), (403, 200, 1));

    server.signal("TERM");
    assert!(server.wait().success());
    let mut server = Server::start_on(data.path());
    // What was known of the last use is not lost by an orderly stop.
    assert!(listed(&server)[0]["last_used_at"].is_u64());
    assert_eq!((reads(&server, &old), reads(&server, &new)), (403, 200));
    server.kill();
    let server = Server::start_on(data.path());
    assert_eq!((reads(&server, &old), reads(&server, &new)), (403, 200));
}

#[test]
fn no_key_is_on_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_ACCESS_LOG", "true");
    });
    let (id, key) = make(&server, &json!({"name": "n", "scopes": ["read"]}));
    assert_eq!(reads(&server, &key), 200);
    assert_eq!(server.get(&format!("/select/logsql/query?query=*&token={key}")).status, 200);
    server.signal("TERM");
    assert!(server.wait().success());
    let (mut files, mut copies) = (0, 0);
    let mut folders = vec![data.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let secret = &key[key.len() - 64..];
            assert!(!bytes.windows(64).any(|window| window == secret.as_bytes()), "{}", path.display());
            copies += usize::from(path.file_name().unwrap().to_string_lossy() == format!("key-{id}.conf"));
            files += 1;
        }
    }
    assert!(files > 3 && copies == 1, "{files} {copies}");
}

#[test]
fn what_is_no_key_is_not_made() {
    let server = Server::start();
    for (wrong, said) in [
        ("", "JSON object"),
        ("[]", "JSON object"),
        (r#"{"name":"n"}"#, "scopes"),
        (r#"{"name":"n","scopes":["root"]}"#, "ingest, read, admin"),
        (r#"{"name":"n","scopes":["read"],"expires_at":1}"#, "ahead"),
        (r#"{"name":"n","scopes":["admin"],"services":["a"]}"#, "leave services out"),
    ] {
        let answer = server.post("/api/v1/keys", wrong);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains(said), "{wrong}: {}", answer.text);
    }
    assert_eq!(listed(&server).len(), 0);
}

/// Runs a command against a server: its exit code and what it wrote.
fn run(server: &Server, args: &[&str]) -> (i32, String, String) {
    let mut command = logyard();
    command.args(args).args(["--url", &server.address]).env("LOGYARD_API_KEY", KEY);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn keys_are_made_listed_and_revoked_by_command() {
    let server = Server::start();
    let create = ["key", "create", "shop", "--scope", "ingest,read", "--service", "shop", "--expires", "90d"];
    let (code, key, said) = run(&server, &create);
    assert_eq!((code, reads(&server, key.trim())), (0, 200), "{said}");
    let (code, list, _) = run(&server, &["key", "list"]);
    let listed: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((code, &listed["scopes"], &listed["services"]), (0, &json!(["ingest", "read"]), &json!(["shop"])));
    let id = listed["id"].as_str().unwrap();
    assert!(said.contains(id) && !said.contains(key.trim()), "{said}");
    assert_eq!(run(&server, &["key", "revoke", id]).0, 0);
    assert_eq!(reads(&server, key.trim()), 403);
    let (code, _, said) = run(&server, &["key", "revoke", id]);
    assert!(code == 1 && said.starts_with("logyard: Key not found"), "{said}");
    assert_eq!(run(&server, &["key", "revoke", "../x"]).0, 2);
    assert_eq!(run(&server, &["key", "create", "x", "--scope", "all"]).0, 2);
    assert_eq!(run(&server, &["key", "create", "x", "--scope", "read", "--expires", "soon"]).0, 2);
    let (code, _, said) = run(&server, &["key", "create", "x", "--scope", "admin", "--service", "a"]);
    assert!(code == 2 && said.contains("leave --service out"), "{said}");
}

#[test]
fn a_command_finds_the_admin_key_of_a_server_on_its_machine() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |_| {});
    let list = |data: &std::path::Path| {
        let mut command = logyard();
        command.args(["key", "list", "--url", &server.address, "--data"]).arg(data).env_remove("LOGYARD_API_KEY");
        command.output().unwrap().status.code()
    };
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!((list(data.path()), list(elsewhere.path())), (Some(0), Some(1)));
}
