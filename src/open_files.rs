//! How many files and connections the program may have open at once.
//!
//! The soft limit that a shell gives is 1,024 on many machines, for the sake of programs that know no more; this one does, and
//! takes what it is allowed.
//!
//! Invariants
//! * The limit is never lowered, and what is missing is a warning: it ends nothing.
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open besides connections: log files, segments, the catalog, and what the machine's libraries take.
const FILES: u64 = 512;

/// Takes as many as are allowed, and says what is missing for so many connections.
pub(crate) fn raise(connections: usize) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let now = if raised.is_ok() { limit.maximum } else { limit.current };
    lacking(now, connections)
}

/// What is missing where so many may be open; nothing where there is no limit.
fn lacking(limit: Option<u64>, connections: usize) -> Result<(), String> {
    let wanted = FILES + connections as u64;
    match limit {
        Some(limit) if limit < wanted => Err(format!(
            "{limit} files may be open at once, and {connections} connections want {wanted}: raise the limit (`ulimit -n`, LimitNOFILE of \
             a unit), or lower server.max_connections (LOGYARD_SERVER_MAX_CONNECTIONS)"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        assert!(lacking(None, 8_192).is_ok() && lacking(Some(8_704), 8_192).is_ok());
        let missing = lacking(Some(1_024), 8_192).unwrap_err();
        assert!(missing.contains("1024") && missing.contains("8704"), "{missing}");
    }
}
