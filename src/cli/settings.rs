//! The settings of a server as flags, made from the table that also the file and the environment are read by.
//!
//! Invariants
//! * A secret has no flag.
//! * Here a value is only a text: it is read with all others, so that everything that is wrong is told at once.
use crate::config::{SECTIONS, SectionTable, variable};
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};
use std::collections::BTreeMap;

/// What the flags say, by their names without dashes.
pub(super) struct SettingArgs(pub(super) BTreeMap<String, String>);

/// Every flag, and the section that it belongs to.
fn flags() -> impl Iterator<Item = (String, &'static SectionTable, Arg)> {
    SECTIONS.iter().flat_map(|section| {
        // A secret on a command line is seen by everybody on the machine.
        let rows = section.rows.iter().filter(|row| !row.is_secret);
        rows.map(move |row| {
            let flag = section.flag(row.key);
            let about = row.about.trim().trim_end_matches('.');
            let default = if row.default.is_empty() { String::new() } else { format!(" [default: {}]", row.default) };
            let help = format!("{about} [env: {}]{default}", variable(section.name, row.key));
            let arg = Arg::new(flag.clone()).long(flag.clone()).value_name(row.value).help(help);
            (flag, section, arg.allow_hyphen_values(true))
        })
    })
}

impl clap::Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, (_, section, arg)| {
            // `-h` shows what is set most often, `--help` everything.
            let is_seldom = !matches!(section.name, "" | "tls");
            let arg =
                if section.name.is_empty() { arg } else { arg.help_heading(format!("Settings of [{}]", section.name)) };
            command.arg(arg.hide_short_help(is_seldom))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = flags().filter_map(|(flag, _, _)| Some((flag.clone(), matches.get_one::<String>(&flag)?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}
