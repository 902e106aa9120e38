//! What is configured of the archive: what is wrong is told at once, and no secret is shown by anything.
use super::*;
use crate::harness::logyard;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

const SECRET: &str = "wJalrXUtnFEMIsecretK7MDENG";
const KEY_ID: &str = "AKIDEXAMPLEhidden";

/// Listens, and answers every request with an S3 error.
fn refusing(status: &'static str, code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 65_536];
            let _whatever_was_asked = stream.read(&mut request);
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _is_taken = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

#[test]
fn a_bucket_that_refuses_is_named_and_its_credentials_are_nowhere() {
    for (status_line, code, said) in
        [("403 Forbidden", "AccessDenied", "no right to do that"), ("404 Not Found", "NoSuchBucket", "no such bucket")]
    {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = refusing(status_line, code);
        let server = Server::start_with(&directory.path().join("data"), |command| {
            command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_ARCHIVE_TARGET", "s3://logs/prefix");
            command.env("LOGYARD_ARCHIVE_ENDPOINT", &endpoint).env("LOGYARD_ARCHIVE_ACCESS_KEY_ID", KEY_ID);
            command.env("LOGYARD_ARCHIVE_SECRET_ACCESS_KEY_ENV", "MINE").env("MINE", SECRET);
        });
        fill(&server);
        let trouble = || super::status(&server)["targets"][0]["trouble"].as_str().map(str::to_owned);
        crate::harness::until("the bucket is named", || trouble().is_some());
        let told = trouble().unwrap();
        assert!(told.contains(said) && told.contains("s3://logs/prefix"), "{told}");
        let refused = server.post("/api/v1/archive/offload", "");
        assert_eq!(refused.status, 503, "{}", refused.text);
        crate::harness::until("it is logged", || {
            !lines(&server, "service_name:=logyard \"archive target main\"").is_empty()
        });
        let all = [
            told,
            refused.text,
            super::status(&server).to_string(),
            server.get("/metrics").text,
            server.get("/health").text,
            lines(&server, "service_name:=logyard").join("\n"),
            server.greeting.join("\n"),
        ];
        for text in all {
            assert!(!text.contains(SECRET) && !text.contains(KEY_ID), "{text}");
        }
    }
}

#[test]
fn a_check_tells_what_is_wrong_with_targets_and_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "[[archive]]\ntarget = \"s3://{KEY_ID}:{SECRET}@logs\"\nsecret_access_key = \"{SECRET} \"\noffload_after = \"soon\"\n\n\
         [[archive]]\nname = \"main\"\ntarget = \"ftp://x\"\nplace = 1\n"
    );
    std::fs::write(directory.path().join("logyard.toml"), text).unwrap();
    let output = logyard().current_dir(directory.path()).args(["serve", "--check-config"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for fault in [
        "logyard.toml, line 2: archive.target is `s3://...@logs`, and has to be s3://bucket/prefix or file:///directory",
        "logyard.toml, line 3: archive.secret_access_key is wrong",
        "logyard.toml, line 4: archive.offload_after is `soon`",
        "logyard.toml, line 8: archive[1].target is `ftp://x`",
        "logyard.toml, line 9: unknown key `archive.place`; [[archive]] has name, target,",
    ] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert!(told.lines().count() == 5 && !told.contains(SECRET) && !told.contains(KEY_ID), "{told}");
}
