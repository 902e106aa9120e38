//! One too many is told so, and a stop waits for those under way.
use super::{connect, head, rest, start};
use crate::harness::KEY;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn one_connection_too_many_is_told_so() {
    let started = start(&[("MAX_CONNECTIONS", "2")]);
    let server = &started.server;
    let health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut places: Vec<TcpStream> = (0..2).map(|_| connect(server)).collect();
    for place in &mut places {
        place.write_all(health).unwrap();
        assert!(place.read(&mut [0; 4_096]).unwrap() > 0);
    }
    let told = rest(&mut connect(server));
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1\r\n"), "{told}");
    assert!(told.contains("x-request-id: "), "{told}");
    assert!(told.ends_with("come back in a second\"}"), "{told}");
    drop(places.pop());
    // The place is free once the server has seen that it was left.
    for _ in 0..3_000 {
        let mut again = connect(server);
        again.write_all(&[&health[..health.len() - 2], b"connection: close\r\n\r\n"].concat()).unwrap();
        if rest(&mut again).starts_with("HTTP/1.1 200 ") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the place is not given back");
}

#[test]
fn one_request_too_many_is_told_so_and_health_is_not() {
    let started = start(&[("MAX_REQUESTS", "1")]);
    let server = &started.server;
    let mut live = connect(server);
    let tail = format!("GET /select/logsql/tail?query=* HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n");
    live.write_all(tail.as_bytes()).unwrap();
    assert!(live.read(&mut [0; 4_096]).unwrap() > 0);
    let told = server.get("/api/v1/logs/services");
    assert_eq!((told.status, told.header("retry-after")), (503, Some("1")), "{}", told.text);
    assert!(told.json()["error"].as_str().unwrap().contains("LOGYARD_SERVER_MAX_REQUESTS"));
    assert_eq!((server.get("/health").status, server.get("/ready").status), (200, 200));
    drop(live);
    for _ in 0..3_000 {
        if server.get("/api/v1/logs/services").status == 200 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the place is not given back");
}

#[test]
fn a_stop_waits_for_requests_under_way_but_not_for_ever() {
    let mut started = start(&[("DRAIN_TIMEOUT", "30s")]);
    let mut stream = connect(&started.server);
    let row = "{\"_msg\":\"last\"}\n";
    let lines = format!("content-length: {}\r\n", 2 * row.len());
    stream.write_all((head("/insert/jsonline", &lines) + row).as_bytes()).unwrap();
    while started.server.get("/api/v1/admin/storage").json()["rows"] != 1 {
        std::thread::sleep(Duration::from_millis(20));
    }
    started.server.signal("TERM");
    while TcpStream::connect(started.server.address.strip_prefix("http://").unwrap()).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.write_all(row.as_bytes()).unwrap();
    let told = rest(&mut stream);
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert!(started.server.wait().success());

    let mut started = start(&[("DRAIN_TIMEOUT", "200ms")]);
    let mut stream = connect(&started.server);
    stream.write_all((head("/insert/jsonline", &lines) + row).as_bytes()).unwrap();
    while started.server.get("/api/v1/admin/storage").json()["rows"] != 1 {
        std::thread::sleep(Duration::from_millis(20));
    }
    started.server.signal("TERM");
    assert!(started.server.wait().success());
    assert_eq!(rest(&mut stream), "");
}
