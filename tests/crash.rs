use crate::harness::Server;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut server = Server::start_on(data.path());
        for id in &acknowledged {
            assert_eq!(server.get(&format!("/api/v1/logs/{id}")).status, 200, "round {round}: {id} is lost");
        }
        acknowledged.extend(ingest_until_killed(&mut server, round));
    }
    let server = Server::start_on(data.path());
    for id in &acknowledged {
        let answer = server.get(&format!("/api/v1/logs/{id}"));
        assert_eq!((answer.status, &answer.json()["log"]["id"]), (200, &id.as_str().into()), "{id} is lost");
    }
    let rows = server.get("/api/v1/admin/storage").json()["rows"].as_u64().unwrap();
    assert!(rows >= acknowledged.len() as u64);
}

/// Ingests from four threads, kills the server in the midst of it and gives back the ids that were acknowledged.
fn ingest_until_killed(server: &mut Server, round: usize) -> Vec<String> {
    let ids = Mutex::new(Vec::new());
    let is_killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let server = &*server;
        for thread in 0..4 {
            let (ids, is_killed) = (&ids, &is_killed);
            scope.spawn(move || {
                for n in 0.. {
                    let body = format!(
                        r#"{{"service_name":"crash-{thread}","level":"INFO","message":"round {round} log {n}","metadata":{{"n":{n}}}}}"#
                    );
                    match server.try_post("/api/v1/logs/ingest", body.as_bytes(), &[]) {
                        Ok(answer) if answer.status == 200 => {
                            ids.lock().unwrap().push(answer.json()["id"].as_str().unwrap().to_owned());
                        }
                        Ok(answer) => panic!("{}: {}", answer.status, answer.text),
                        Err(_) if is_killed.load(Ordering::SeqCst) => return,
                        Err(e) => panic!("before the kill: {e}"),
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(400));
        is_killed.store(true, Ordering::SeqCst);
        server.signal("KILL");
    });
    server.wait();
    let ids = ids.into_inner().unwrap();
    assert!(!ids.is_empty());
    ids
}
