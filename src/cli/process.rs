//! What the kernel says of a process: its processor time and its memory.
//!
//! Invariants
//! * A program's name shifts no field, whatever spaces and parentheses it has.
//! * Memory that the kernel does not tell is an error, not 0.
use super::Failure;
use std::fs;

/// The kernel's clock ticks per second, the same on every Linux.
const TICKS: f64 = 100.0;

/// A process that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Process {
    /// This one.
    Own,
    /// The one with this number.
    Other(u32),
}

impl Process {
    /// Its processor time so far, of users and of the kernel.
    pub(super) fn cpu_seconds(self) -> Result<f64, Failure> {
        let stat = self.read("stat")?;
        // The program's name, in parentheses, may have spaces; the times are fields 14 and 15 of all.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let times = after_name.split_ascii_whitespace().skip(11).take(2);
        let ticks: Vec<u64> = times.filter_map(|n| n.parse().ok()).collect();
        match ticks[..] {
            [user, kernel] => Ok((user + kernel) as f64 / TICKS),
            _ => Err(Failure::Failed("the kernel says nothing of the processor time (stat)".into())),
        }
    }

    /// The most memory that it ever had.
    pub(super) fn peak_memory_mb(self) -> Result<f64, Failure> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let kib = line.split_ascii_whitespace().next().and_then(|n| n.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0)
            .ok_or_else(|| Failure::Failed("the kernel says nothing of the memory (VmHWM)".into()))
    }

    fn read(self, name: &str) -> Result<String, Failure> {
        let path = match self {
            Self::Own => format!("/proc/self/{name}"),
            Self::Other(pid) => format!("/proc/{pid}/{name}"),
        };
        fs::read_to_string(&path).map_err(|e| Failure::Failed(format!("cannot read {path}: {e}")))
    }
}
