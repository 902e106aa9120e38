//! A query and rows from any bytes: rows that are kept plainly, hot and sealed give the same answer, within a bound of memory
//! and time.
//!
//! Invariants
//! * What is wrong is found and told by `check_run`; here it only ends the run.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::fuzzing::check_run;

fuzz_target!(|data: &[u8]| {
    if let Err(fault) = check_run(data) {
        panic!("{fault}");
    }
});
