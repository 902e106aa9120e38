//! What is waited for before a file is left and a record ends.
use super::*;
use std::io::Write;

#[derive(clap::Parser)]
struct Told {
    #[command(flatten)]
    ingest: super::super::IngestArgs,
}

/// A file and its name, and a job for a server that is not there: whatever is sent fails at once.
struct Place {
    directory: tempfile::TempDir,
    job: Job,
}

impl Place {
    fn new(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (url, state) = (format!("http://{nobody}"), directory.path().join("state"));
        let args = ["ingest", "--service", "s", "--key", "k", "--url", &url, "--state", state.to_str().unwrap()];
        let told = <Told as clap::Parser>::parse_from(args.iter().chain(more));
        let job = super::super::job(&told.ingest).ok().unwrap();
        Self { directory, job }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("app.log")
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The file is open, and what it has was looked at longer ago than anything waits for.
    fn followed(&self) -> Followed<'_> {
        let mut followed = Followed::new(&self.job, &self.path()).ok().unwrap();
        assert!(followed.step().is_ok_and(|has_more| has_more));
        assert!(followed.step().is_ok());
        let quiet = &mut followed.open.as_mut().unwrap().quiet;
        quiet.since = quiet.since.checked_sub(ROTATED_QUIET.max(RECORD_QUIET) * 2).unwrap();
        followed
    }
}

#[test]
fn a_file_that_still_grows_is_not_left_because_it_was_not_read() {
    let place = Place::new(&[]);
    place.append("app.log", "");
    let mut followed = place.followed();
    (followed.batches, followed.counted) = (0, Instant::now());
    fs::rename(place.path(), place.directory.path().join("app.log.1")).unwrap();
    place.append("app.log", "new\n");
    place.append("app.log.1", "still written\n");
    assert!(followed.step().is_ok());
    assert!(followed.open.as_ref().is_some_and(|open| open.reader.state.done == 0 && open.quiet.length > 0));
}

#[test]
fn a_record_does_not_end_before_a_line_that_just_came() {
    let place = Place::new(&["--multiline-start", "^>"]);
    place.append("app.log", "> a\n");
    let mut followed = place.followed();
    place.append("app.log", "  b\n");
    assert!(followed.step().is_ok());
    assert!(followed.open.as_ref().is_some_and(|open| open.reader.records.has_begun()));
}

#[test]
fn what_is_on_its_way_is_known_by_its_first_bytes() {
    let place = Place::new(&[]);
    place.append("app.log", "");
    let mut followed = place.followed();
    place.append("app.log", "a line\n");
    assert!(followed.step().is_err());
    let kept = followed.open.as_ref().unwrap().reader.place.load().ok().flatten().unwrap();
    assert!(kept.sending.is_some() && kept.is_known_by(b"a line\n"));
}

#[test]
fn a_record_that_was_read_before_its_file_was_cut_is_sent() {
    let place = Place::new(&["--multiline-start", "^>"]);
    place.append("app.log", "> a\n  b\n");
    let mut followed = place.followed();
    fs::write(place.path(), "").unwrap();
    assert!(followed.step().is_err());
    assert!(followed.open.as_ref().is_some_and(|open| open.reader.state.sending.is_some_and(|(end, _)| end == 8)));
}
