//! A server of our own: started on a free port and a new directory, killed when the test ends.
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The admin key of servers that are started with one.
pub(crate) const KEY: &str = "test-key";

/// The program.
pub(crate) fn logyard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logyard"));
    for name in ["LOGYARD_DATA", "LOGYARD_LISTEN", "LOGYARD_ADMIN_KEY", "LOGYARD_URL", "LOGYARD_API_KEY"] {
        command.env_remove(name);
    }
    // How full the disk is that tests run on is not what they test.
    command.env("LOGYARD_RETENTION_DISK_BUDGET", "100%");
    // Records of the server's own would be counted with those that are sent.
    command.env("LOGYARD_ACCESS_LOG", "false");
    command
}

/// The program as a client of a server, in whose directory it keeps what it keeps.
pub(crate) fn client(server: &Server, home: &Path) -> Command {
    let mut command = logyard();
    command.env("LOGYARD_URL", &server.address).env("LOGYARD_API_KEY", KEY);
    command.env("LOGYARD_STATE", home.join("state")).current_dir(home).stdin(Stdio::null());
    command
}

/// What a command came to: its exit code, what it wrote, and what it said.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A text as part of a form.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// The lines that it printed at start.
    pub(crate) greeting: Vec<String>,
    agent: ureq::Agent,
    data: PathBuf,
    /// Held so that the directory lives as long as the server.
    _directory: Option<tempfile::TempDir>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Server {
    /// A server with the key `KEY` on a new directory.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self::start_on(directory.path());
        server._directory = Some(directory);
        server
    }

    pub(crate) fn start_on(data: &Path) -> Self {
        Self::start_with(data, |command| {
            command.env("LOGYARD_ADMIN_KEY", KEY);
        })
    }

    pub(crate) fn start_with(data: &Path, set: impl Fn(&mut Command)) -> Self {
        Self::start_listening(data, "127.0.0.1:0", set)
    }

    /// A server with the key `KEY` at an address that is known before.
    pub(crate) fn start_at(data: &Path, listen: &str) -> Self {
        Self::start_listening(data, listen, |command| {
            command.env("LOGYARD_ADMIN_KEY", KEY);
        })
    }

    fn start_listening(data: &Path, listen: &str, set: impl Fn(&mut Command)) -> Self {
        let mut command = logyard();
        command.args(["serve", "--listen", listen, "--data"]).arg(data);
        set(&mut command);
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut greeting = Vec::new();
        while greeting.len() < 3 {
            match lines.next() {
                Some(Ok(line)) if line.contains(" WARN ") => eprintln!("server: {line}"),
                Some(line) => greeting.push(line.unwrap()),
                None => panic!("the server ended: {greeting:?}, {:?}", child.wait()),
            }
        }
        // What it says later belongs to the test's output.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("server: {line}")));
        let address = greeting.iter().find_map(|line| line.strip_prefix("listening on ")).unwrap().to_owned();
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(60))).build().into();
        Self { child, address, greeting, agent, data: data.to_owned(), _directory: None }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal; the shell's own `kill` is there on every machine.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[("authorization", &format!("Bearer {KEY}"))]).unwrap()
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(checked("GET", path, answer(request.call()?)))
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.try_post(path, body.as_ref(), &[]).unwrap()
    }

    pub(crate) fn try_post(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(format!("{}{path}", self.address));
        request = request.header("authorization", format!("Bearer {KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(checked("POST", path, answer(request.send(body)?)))
    }

    /// Posts with another key.
    pub(crate) fn post_as(&self, key: &str, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.address));
        answer(request.header("authorization", format!("Bearer {key}")).send(body.as_ref()).unwrap())
    }

    /// Puts a body.
    pub(crate) fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = self.agent.put(format!("{}{path}", self.address));
        let sent = request.header("authorization", format!("Bearer {KEY}")).send(body.as_ref());
        checked("PUT", path, answer(sent.unwrap()))
    }

    /// Puts a body with these headers.
    pub(crate) fn put_with(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.put(format!("{}{path}", self.address));
        request = request.header("authorization", format!("Bearer {KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send(body).unwrap())
    }

    /// Sends a body of unknown length, for as long as that takes.
    pub(crate) fn stream(&self, path: &str, body: impl Read) -> Answer {
        let mut body = body;
        let request = self.agent.post(format!("{}{path}", self.address)).config().timeout_global(None).build();
        let request = request.header("authorization", format!("Bearer {KEY}"));
        checked("POST", path, answer(request.send(ureq::SendBody::from_reader(&mut body)).unwrap()))
    }

    /// Asks by any method, without a body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {KEY}")).body(()).unwrap();
        checked(method, path, answer(self.agent.run(request).unwrap()))
    }
}

/// Says where an answer is none that the API's description knows.
fn checked(method: &str, path: &str, answer: Answer) -> Answer {
    crate::description::check(method, path, answer.status);
    answer
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
    Answer { status, text: response.body_mut().read_to_string().unwrap(), headers }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
