//! Queries from any bytes: what is parsed is shown as something that parses to the same query.
//!
//! Invariants
//! * What is wrong is found and told by `check_shown`; here it only ends the run.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::fuzzing::check_shown;

fuzz_target!(|data: &[u8]| {
    if let Err(fault) = check_shown(data) {
        panic!("{fault}");
    }
});
