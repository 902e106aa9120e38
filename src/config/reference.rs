//! The pages that are made from the table of settings, and the test that they are up to date.
//!
//! Invariants
//! * Only the test that is ignored writes the pages; the others fail where they are not what the table says.
use super::settings::SECTIONS;
use super::table::{Row, SectionTable, variable};
use std::fmt::Write;
use std::path::PathBuf;

const INTRODUCTION: &str = "# Configuration

<!-- Made from src/config/settings.rs by `cargo test config::reference -- --ignored`; do not edit. -->

`logyard serve` needs no configuration. What is set comes from, the first that says it goes:

1. a flag, `--query-max-wait 5s`;
2. a variable of the environment, `LOGYARD_QUERY_MAX_WAIT=5s`; an empty one is not set;
3. `logyard serve --env-file .env`, a file of such variables;
4. the configuration file: `--config FILE`, or `LOGYARD_CONFIG`, or `logyard.toml` in the current directory where there is one.
   [logyard.example.toml](logyard.example.toml) has every key;
5. the default.

An unknown key in the file is an error, which names it and its line; an unknown variable that begins with `LOGYARD_` is warned
about and ignored. `logyard serve --check-config` reports all that is wrong at once and ends: with 0 where nothing is, else with 2.

Durations are numbers with units (`500ms`, `30s`, `1m30s`, `1h`), sizes too (`64KiB`, `256MiB`, `20GB`). A list is one in the file, and a
text with commas elsewhere. Paths are relative to the directory that `logyard` is started in. A secret has no flag; instead of itself, the
variable or the file that has it can be named, by its key with `_env` or `_file` behind it; one that is empty is an error.

`--env-file` takes quotes, comments and `export`; what is empty in it is not set. `LOG_SERVICE_API_KEY` in it is the admin key. Names that
pollers or jobs will use are warned about, since these are not there yet; so is `[[job]]` in the configuration file, which is an error.
Where it has `S3_BUCKET` and says where that is, that and `S3_PREFIX`, `S3_ENDPOINT`, `S3_REGION`, `S3_ACCESS_KEY` and `S3_SECRET_KEY` are the archive's.
";

/// docs/configuration.md.
fn page() -> String {
    let mut out = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let title = if section.name.is_empty() { "At the top".into() } else { heading(section.name) };
        write!(out, "\n## {title}\n\n{}\n", section.about.trim()).unwrap();
        if section.rows.is_empty() {
            out.push_str("It has no keys yet.\n");
            continue;
        }
        out.push_str("\n| key | what | value | default | flag and variable |\n|---|---|---|---|---|\n");
        for row in section.rows {
            out.push_str(&line(section, row));
        }
    }
    out
}

/// How a section begins in the file.
fn heading(name: &str) -> String {
    if name == super::archive::SECTION { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn line(section: &SectionTable, row: &Row) -> String {
    let default = if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
    let name = variable(section.name, row.key);
    let names = if row.is_secret {
        format!("`{name}`, `{name}_ENV`, `{name}_FILE`")
    } else {
        format!("`--{}`, `{name}`", section.flag(row.key))
    };
    let keys = if row.is_secret { format!("`{0}`, `{0}_env`, `{0}_file`", row.key) } else { format!("`{}`", row.key) };
    format!("| {keys} | {} | {} | {default} | {names} |\n", row.about.trim(), (row.what)())
}

/// docs/logyard.example.toml.
fn example() -> String {
    let mut out =
        "# Every setting with its default. What is commented out holds anyway. docs/configuration.md says more.\n"
            .to_owned();
    for section in SECTIONS.iter().filter(|section| !section.rows.is_empty()) {
        if !section.name.is_empty() {
            write!(out, "\n{}", heading(section.name)).unwrap();
        }
        out.push('\n');
        for row in section.rows {
            writeln!(out, "# {}", row.about.trim()).unwrap();
            let is_number = row.default.parse::<i64>().is_ok();
            let value = if is_number { row.default.to_owned() } else { format!("\"{}\"", row.default) };
            writeln!(out, "#{} = {value}", row.key).unwrap();
        }
    }
    out
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn the_pages_are_what_the_table_says() {
    for (name, made) in [("configuration.md", page()), ("logyard.example.toml", example())] {
        let kept = std::fs::read_to_string(path(name)).unwrap();
        let first = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
        assert!(kept == made, "docs/{name} is old, see src/config/settings.rs; the first line that differs: {first:?}");
    }
}

#[test]
fn the_example_is_right_and_says_the_defaults() {
    let set: String = example()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    assert!(set.contains("\nmax_wait = \"10s\"\n"), "{set}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("logyard.toml");
    std::fs::write(&path, set).unwrap();
    let loaded = super::load(super::Flags { config: Some(path), ..Default::default() }, []);
    assert!(loaded.config.is_ok_and(|config| config.query.max_tails == 1_000));
}

#[test]
#[ignore = "writes the pages anew"]
fn write_the_pages() {
    std::fs::write(path("configuration.md"), page()).unwrap();
    std::fs::write(path("logyard.example.toml"), example()).unwrap();
}
