//! `logyard check`: reads a whole data directory and says what is wrong with it.
//!
//! Invariants
//! * What is found goes to standard output, a line each. A directory that is not right ends it with 1, also where nobody reads
//!   so far.
use super::terminal::Bar;
use super::{CheckArgs, Failure, cannot_write};
use crate::config;
use logyard_storage::engine::check_telling;
use logyard_storage::env::{Env, RealEnv};
use std::io::Write;
use std::sync::Arc;

/// Runs the check; a directory that is not right is a failure.
pub(super) fn run(args: CheckArgs) -> Result<(), Failure> {
    let data =
        config::data(args.data, args.config, std::env::vars_os()).map_err(|faults| Failure::configuration(&faults))?;
    if !data.is_dir() {
        return Err(Failure::Failed(format!(
            "there is no directory {}; name the data directory with --data",
            data.display()
        )));
    }
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let bar = Bar::of_bytes("checking", Some(0));
    let report = check_telling(&env, &data, args.repair, &mut |done, total| {
        bar.total(total);
        bar.at(done);
        Ok(())
    });
    bar.end();
    let report = report?;
    let mut out = std::io::stdout().lock();
    match report.lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(cannot_write) {
        // Whether it is right is said to who reads no further, too.
        Ok(()) | Err(Failure::Enough) => {}
        Err(failure) => return Err(failure),
    }
    let advice = if args.repair { "" } else { "; with --repair, what can be mended is" };
    if report.ok { Ok(()) } else { Err(Failure::Failed(format!("{} is not right{advice}", data.display()))) }
}
