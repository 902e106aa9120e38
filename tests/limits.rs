//! How often may be asked, on whose behalf, and which pages may ask.
use crate::access::make;
use crate::harness::{Answer, KEY, Server};
use serde_json::json;

const LOG: &str = r#"{"service_name":"a","level":"INFO","message":"m"}"#;

fn server(env: &[(&str, &str)]) -> (Server, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).envs(env.iter().copied());
    });
    (server, data)
}

fn quota(answer: &Answer) -> (u16, Option<&str>, Option<&str>) {
    (answer.status, answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining"))
}

#[test]
fn an_address_is_limited_for_each_kind_of_request() {
    let (server, _data) = server(&[("LOGYARD_RATE_LIMIT_INGEST", "2/1h"), ("LOGYARD_RATE_LIMIT_BATCH", "1/h")]);
    let ingest = || server.post("/api/v1/logs/ingest", LOG);
    assert_eq!(quota(&ingest()), (200, Some("2"), Some("1")));
    // Whoever guesses keys is counted, too.
    let guess = server.post_as("wrong", "/api/v1/logs/ingest", LOG);
    assert_eq!(quota(&guess), (403, Some("2"), Some("0")));
    let over = ingest();
    assert_eq!(quota(&over), (429, Some("2"), Some("0")));
    let retry_after: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(over.json(), json!({"error": "Rate limit exceeded", "retry_after": retry_after}));
    assert!((1..=3_600).contains(&retry_after));
    let reset: u64 = over.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert!(reset > 1_700_000_000_000, "{reset}");
    assert_eq!(server.post("/api/v1/logs/ingest/batch", format!("{{\"logs\":[{LOG}]}}")).status, 200);
    assert_eq!(server.post("/insert/jsonline", r#"{"_msg":"m"}"#).status, 429);
    assert_eq!(quota(&server.get("/api/v1/logs/services")), (200, None, None));
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 2);
}

#[test]
fn who_guesses_keys_where_there_is_no_route_is_limited_too() {
    let (server, _data) = server(&[("LOGYARD_RATE_LIMIT_READ", "2/1h"), ("LOGYARD_RATE_LIMIT_ADMIN", "2/1h")]);
    let guess = |method: &str, path: &str, key: &str| {
        crate::access::raw(&server, method, path, &[("Authorization", &format!("Bearer {key}"))], "").0
    };
    for (method, path, right) in [("POST", "/api/v1/nothing", 404), ("PATCH", "/api/v1/keys/000000000000", 405)] {
        let answers = [guess(method, path, "wrong"), guess(method, path, KEY), guess(method, path, KEY)];
        assert_eq!(answers, [403, right, 429], "{method} {path}");
    }
    // Nobody guesses at what is open.
    assert_eq!((guess("POST", "/health", "wrong"), guess("GET", "/nothing", "wrong")), (405, 404));
}

#[test]
fn a_key_is_limited_wherever_it_comes_from() {
    let (server, _data) = server(&[("LOGYARD_RATE_LIMIT_READ_PER_KEY", "1/1h")]);
    let one = make(&server, &json!({"name": "one", "scopes": ["read"]})).1;
    let other = make(&server, &json!({"name": "other", "scopes": ["read"]})).1;
    let reads = |key: &str| {
        server.get_with("/api/v1/logs/services", &[("authorization", &format!("Bearer {key}"))]).unwrap().status
    };
    assert_eq!((reads(&one), reads(&one), reads(&other), reads(KEY)), (200, 429, 200, 200));
}

#[test]
fn forwarded_addresses_count_from_trusted_proxies_only() {
    let rate = ("LOGYARD_RATE_LIMIT_READ", "1/1h");
    let reads = |server: &Server, header: &str, address: &str| {
        let headers = [("authorization", "Bearer test-key"), (header, address)];
        server.get_with("/api/v1/logs/services", &headers).unwrap().status
    };
    let (trusting, _data) = server(&[rate, ("LOGYARD_TRUSTED_PROXIES", "127.0.0.0/8")]);
    let seen =
        ["203.0.113.1", "203.0.113.1", "203.0.113.2"].map(|address| reads(&trusting, "x-forwarded-for", address));
    assert_eq!(seen, [200, 429, 200]);
    assert_eq!(reads(&trusting, "x-forwarded-for", "203.0.113.9, 203.0.113.2"), 429);
    assert_eq!(
        (reads(&trusting, "cf-connecting-ip", "203.0.113.3"), reads(&trusting, "x-real-ip", "203.0.113.3")),
        (200, 429)
    );
    let (careful, _data) = server(&[rate, ("LOGYARD_TRUSTED_PROXIES", "10.0.0.0/8")]);
    let seen = ["203.0.113.1", "203.0.113.2"].map(|address| reads(&careful, "x-forwarded-for", address));
    assert_eq!(seen, [200, 429]);
}

#[test]
fn pages_of_named_origins_may_ask() {
    let preflight = |server: &Server, origin: &str| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        let (status, rest) = crate::access::raw(server, "OPTIONS", "/api/v1/logs/ingest", &headers, "");
        (status, std::io::BufRead::lines(rest).map_while(Result::ok).collect::<Vec<_>>().join("\n"))
    };
    let (named, _data) = server(&[("LOGYARD_CORS_ORIGINS", "https://logs.example")]);
    let (status, head) = preflight(&named, "https://logs.example");
    assert_eq!(status, 204, "{head}");
    for line in [
        "access-control-allow-origin: https://logs.example",
        "access-control-allow-methods: GET,POST,PUT,DELETE,OPTIONS",
        "access-control-allow-headers: Content-Type, Authorization",
        "vary: Origin",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let (status, head) = preflight(&named, "https://other.example");
    assert!(status == 401 && !head.contains("access-control"), "{head}");
    let asked = |server: &Server, key: &str| {
        let headers = [("authorization", format!("Bearer {key}")), ("origin", "https://logs.example".to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = server.get_with("/api/v1/logs/services", &headers).unwrap();
        (answer.status, answer.header("access-control-allow-origin").map(str::to_owned))
    };
    let origin = Some("https://logs.example".to_owned());
    // A refusal has to be read, too.
    assert_eq!((asked(&named, KEY), asked(&named, "wrong")), ((200, origin.clone()), (403, origin)));
    let (silent, _data) = server(&[]);
    assert_eq!((asked(&silent, KEY), preflight(&silent, "https://logs.example").0), ((200, None), 401));
    let (open, _data) = server(&[("LOGYARD_CORS_ORIGINS", "*")]);
    assert_eq!(asked(&open, KEY), (200, Some("*".into())));
}

#[test]
fn the_limits_of_the_seed_are_one_line() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("logyard.toml");
    std::fs::write(&file, "rate_limit = { ingest = \"100/m\", batch = \"20/m\" }\n").unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).arg("--config").arg(&file);
    });
    assert_eq!(quota(&server.post("/api/v1/logs/ingest", LOG)), (200, Some("100"), Some("99")));
    let batch = server.post("/api/v1/logs/ingest/batch", format!("{{\"logs\":[{LOG}]}}"));
    assert_eq!(quota(&batch), (200, Some("20"), Some("19")));
}
