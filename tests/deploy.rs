//! What is in docs/deploy, as far as it can be tried without a container and without systemd.
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy").join(name)
}

/// What the start script of the image runs, with which address.
fn started(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let stand_in = directory.path().join("logyard");
    std::fs::write(&stand_in, "#!/bin/sh\necho \"$LOGYARD_LISTEN $*\"\n").unwrap();
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(deploy("start")).args(arguments).env_remove("PORT").env_remove("LOGYARD_LISTEN").env("PATH", path);
    let output = command.envs(settings.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_image_listens_where_its_platform_says() {
    assert_eq!(started(&[], &[]), "0.0.0.0:7514 serve");
    assert_eq!(started(&[], &[("PORT", "8080")]), "0.0.0.0:8080 serve");
    assert_eq!(started(&["check"], &[("PORT", "8080"), ("LOGYARD_LISTEN", "[::]:1")]), "[::]:1 check");
}

#[test]
fn an_image_has_a_user_of_its_own_and_asks_whether_it_is_ready() {
    let file = std::fs::read_to_string(deploy("Dockerfile")).unwrap();
    let words: Vec<&str> = file.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(words.iter().filter(|word| **word == "FROM").count(), 2, "one to build and one to run");
    let user = file.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!user.starts_with('0') && !user.starts_with("root"));
    assert!(words.contains(&"HEALTHCHECK") && file.contains("--locked"));
    let check = file.lines().find_map(|line| line.trim().strip_prefix("CMD ")).unwrap().replace("curl -fsSk", "echo");
    let asked = |settings: &[(&str, &str)]| {
        let mut command = Command::new("sh");
        command.args(["-c", &check]).env_remove("PORT").env_remove("HEALTH_URL").envs(settings.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
    };
    assert_eq!(asked(&[]), "http://127.0.0.1:7514/ready");
    assert_eq!(asked(&[("PORT", "8080")]), "http://127.0.0.1:8080/ready");
    assert_eq!(asked(&[("PORT", "8080"), ("HEALTH_URL", "https://127.0.0.1:1")]), "https://127.0.0.1:1/ready");
    for copied in file.lines().filter_map(|line| line.strip_prefix("COPY docs/")) {
        let path = Path::new("docs").join(copied.split_whitespace().next().unwrap());
        let mode = std::fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{} cannot be run", path.display());
    }
}

#[test]
fn the_unit_names_only_variables_and_commands_that_there_are() {
    let unit = std::fs::read_to_string(deploy("logyard.service")).unwrap();
    let settings: BTreeSet<&str> = unit.lines().filter_map(|line| line.strip_prefix("Environment=")).collect();
    assert_eq!(settings, BTreeSet::from(["LOGYARD_DATA=/var/lib/logyard"]));
    for line in unit.lines().filter_map(|line| line.split_once("/usr/local/bin/logyard ").map(|(_, rest)| rest)) {
        if line.starts_with("serve") {
            let directory = tempfile::tempdir().unwrap();
            let mut command = crate::harness::logyard();
            command.current_dir(directory.path()).args(line.split_whitespace()).arg("--check-config");
            // Both of its commands are tried as checks; one says so twice.
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() || said.contains("cannot be used multiple times"), "{line}: {said}");
        }
    }
}

#[test]
fn the_compose_file_names_settings_that_there_are_and_images_of_one_version() {
    let file = std::fs::read_to_string(deploy("compose.yaml")).unwrap();
    let settings =
        file.lines().filter_map(|line| line.trim().split_once(": ").filter(|(name, _)| name.starts_with("LOGYARD_")));
    let settings: Vec<(&str, &str)> = settings.collect();
    assert_eq!(settings.len(), 6);
    // What its first lines say that is to be exported.
    let exports = file.lines().filter_map(|line| line.strip_prefix("#   export "));
    let exports: BTreeMap<&str, &str> =
        exports.flat_map(|line| line.split(' ')).filter_map(|one| one.split_once('=')).collect();
    assert_eq!(exports.len(), 5);
    let key = "a-key-that-is-long-enough-for-this";
    for exported in [BTreeMap::from([("LOGYARD_ADMIN_KEY", "...")]), exports] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = crate::harness::logyard();
        command.current_dir(directory.path()).args(["serve", "--check-config", "--data", "data"]);
        for (name, value) in &settings {
            let value = match value.strip_prefix("${").and_then(|rest| rest.split_once(':')) {
                Some((variable, _)) => exported.get(variable).copied().unwrap_or_default(),
                None => value,
            };
            command.env(name, if value == "..." { key } else { value });
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("warning"), "{said}");
    }
    for image in file.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
        assert!(image.contains(':') && !image.ends_with(":latest"), "{image}");
    }
    // What the image is built of is where the file says, seen from its own directory.
    assert!(file.contains("context: ../.., dockerfile: docs/deploy/Dockerfile"));
    assert!(deploy("../../docs/deploy/Dockerfile").is_file());
}
