//! Makes log files ahead of need, so that no append waits while one is filled with zeros.
//!
//! Invariants
//! * A file is made only when the current one is filling up: a small store keeps one file.
//! * A failure is not reported here: whoever needs the file then makes it, or fails and says why.
use crate::engine::locked;
use crate::error::{Error, ErrorKind, Result};
use crate::wal::Files;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread looks whether a file is wanted.
const LOOK: Duration = Duration::from_millis(50);
/// How long it leaves a disk alone that had no room.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The thread that makes files.
pub(super) struct Spares {
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether it has to stop.
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Spares {
    /// Starts the thread, where the engine may do things by itself.
    pub(super) fn start(files: Arc<Files>, background: bool) -> Result<Self> {
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let thread = if background {
            let stop = Arc::clone(&stop);
            let spawned = std::thread::Builder::new().name("spares".into()).spawn(move || run(&files, &stop));
            Some(spawned.map_err(|e| Error::new(ErrorKind::Io, format!("cannot start the thread of log files: {e}")))?)
        } else {
            None
        };
        Ok(Self { thread: Mutex::new(thread), stop })
    }

    pub(super) fn stop(&self) {
        *locked(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = locked(&self.thread).take() {
            // A panic of the thread was printed when it happened.
            let _ended = thread.join();
        }
    }
}

fn run(files: &Files, stop: &(Mutex<bool>, Condvar)) {
    let mut stopped = locked(&stop.0);
    while !*stopped {
        drop(stopped);
        let failed = files.wants_spare() && files.prepare_spare().is_err();
        let pause = if failed { AFTER_FAILURE } else { LOOK };
        stopped = locked(&stop.0);
        if !*stopped {
            stopped = stop.1.wait_timeout(stopped, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
