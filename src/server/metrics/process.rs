//! What the kernel says of this process, out of `/proc/self`.
//!
//! Invariant: what cannot be read is left out, and nothing fails for it.
use std::fs;

/// The kernel tells times in hundredths of a second, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process at one moment.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) open_files_max: Option<u64>,
}

impl Process {
    /// This process, now.
    pub(super) fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (stat, status, limits) = (read("stat"), read("status"), read("limits"));
        Self {
            cpu_seconds: cpu_seconds(&stat),
            resident_bytes: kibibytes(&status, "VmRSS:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            threads: word(&status, "Threads:"),
            // One of them is the directory that is read.
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as u64).saturating_sub(1)),
            open_files_max: word(&limits, "Max open files"),
        }
    }
}

/// User and kernel time: the 14th and the 15th field, counted behind the name, which may have spaces in it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + kernel) as f64 / TICKS_PER_SECOND)
}

/// The first word behind a name at the start of a line.
fn word(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    word(status, name).map(|kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_this_process_takes() {
        let process = Process::now();
        assert!(process.resident_bytes.unwrap() > 100 << 10);
        assert!(process.virtual_bytes.unwrap() >= process.resident_bytes.unwrap());
        assert!(process.threads.unwrap() >= 1 && process.open_files.unwrap() >= 3);
        assert!(process.open_files_max.unwrap() >= process.open_files.unwrap());
        assert!(process.cpu_seconds.is_some());
    }

    #[test]
    fn a_name_with_a_parenthesis_moves_no_field() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!((cpu_seconds("7 (a"), word("Threads:\tmany", "Threads:")), (None, None));
    }
}
