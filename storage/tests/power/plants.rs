//! Faults that are planted on purpose, each in a process of its own: the slice has to find every one of them.
use super::{campaign, numbers};
use logyard_storage::planted;
use std::process::Command;

const PLANT: &str = "LOGYARD_PLANT";

/// What each breaks is told where it is planted.
const PLANTS: [&str; 22] = [
    "ack-before-sync",
    "configuration-not-kept",
    "copy-not-synced",
    "deletion-not-carried-out",
    "deletion-not-kept",
    "effects-before-their-batch",
    "effects-lost",
    "effects-not-sealed",
    "failure-acknowledged",
    "generation-kept",
    "inputs-removed-before-commit",
    "merge-drops-a-block",
    "merge-keeps-inputs",
    "no-dir-sync",
    "numbers-not-reserved",
    "retire-before-commit",
    "salt-unused",
    "seal-not-noted",
    "segment-name-not-synced",
    "segment-not-synced",
    "torn-tail-kept",
    "wal-no-tail-rewrite",
];

/// The slice of a process with a plant; succeeds where it finds something.
#[test]
#[ignore = "started by planted_faults_are_found, one process a plant"]
fn slice_with_a_plant() {
    let name = std::env::var(PLANT).unwrap_or_default();
    let name = PLANTS.iter().find(|plant| **plant == name).unwrap_or_else(|| panic!("{PLANT} names no plant"));
    planted::plant(Some(name));
    let found = numbers::restarted().and_then(|()| campaign::slice().map(drop)).err();
    println!("{}", found.unwrap_or_else(|| panic!("{name} is not found")));
}

#[test]
fn planted_faults_are_found() {
    let program = std::env::current_exe().unwrap();
    let run = |plant: &&&str| {
        let mut child = Command::new(&program);
        child.args(["--exact", "power::plants::slice_with_a_plant", "--ignored"]).env(PLANT, **plant);
        !child.output().unwrap().status.success()
    };
    let missed: Vec<_> = PLANTS.iter().filter(run).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
