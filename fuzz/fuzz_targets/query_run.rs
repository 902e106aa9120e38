//! A query and rows from any bytes: rows that are kept plainly, hot and sealed give the same answer, within a bound of memory
//! and time.
#![no_main]
use libfuzzer_sys::fuzz_target;
use logyard_storage::fuzzing::check_run;

fuzz_target!(|data: &[u8]| {
    if let Err(fault) = check_run(data) {
        panic!("{fault}");
    }
});
