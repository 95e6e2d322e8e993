//! What `ister lint` and `ister verify` have in common: formats and levels of findings.

use super::input::stdout_colour;
use super::source_root::source_root;
use crate::finding::{Levels, Selector, Setting};
use crate::report::{self, Report};
use clap::{ArgMatches, Args, FromArgMatches, ValueEnum};
use std::marker::PhantomData;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FindingsFormat {
    /// For people
    Human,
    /// One line per finding, with its place: level[rule] message
    Concise,
    /// For programs; `ister schema` prints its JSON Schema
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// GitHub Actions annotations
    Github,
    /// JUnit XML, one test case per file
    Junit,
}

/// The rules that a command's `--allow`, `--warn` and `--deny` name.
pub(super) trait RuleNames {
    fn names() -> Vec<&'static str>;
}

#[derive(Debug)]
pub(super) struct LintRules;

impl RuleNames for LintRules {
    fn names() -> Vec<&'static str> {
        crate::lint::names()
    }
}

#[cfg(feature = "full")]
#[derive(Debug)]
pub(super) struct VerifyRules;

#[cfg(feature = "full")]
impl RuleNames for VerifyRules {
    fn names() -> Vec<&'static str> {
        crate::verify::names()
    }
}

/// `--allow`, `--warn`, `--deny`, in command line order.
#[derive(Debug)]
pub(super) struct LevelArgs<N> {
    pub levels: Levels,
    names: PhantomData<N>,
}

const LEVELS: [(&str, &str, Setting); 3] = [
    ("allow", "Hide a rule's findings; `warnings` and `notes` select all of a level", Setting::Allow),
    ("warn", "Show a rule's findings as warnings", Setting::Warn),
    ("deny", "Show a rule's findings as errors, for example `warnings`", Setting::Deny),
];

impl<N: RuleNames> Args for LevelArgs<N> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(LEVELS.map(|(name, help, _)| {
            clap::Arg::new(name)
                .long(name)
                .value_name("RULE")
                .help(help)
                .action(clap::ArgAction::Append)
                .value_parser(|text: &str| Selector::parse(text, &N::names()))
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<N: RuleNames> FromArgMatches for LevelArgs<N> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Vec::new();
        for (name, _, setting) in LEVELS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let selectors = matches.get_many::<Selector>(name).into_iter().flatten();
            settings.extend(indices.zip(selectors).map(|(index, selector)| (index, *selector, setting)));
        }
        settings.sort_by_key(|(index, ..)| *index);
        let settings = settings.into_iter().map(|(_, selector, setting)| (selector, setting)).collect();
        Ok(LevelArgs { levels: Levels::new(settings), names: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The findings in a format, ready to print.
pub(super) fn formatted(format: FindingsFormat, report: &impl Report) -> anyhow::Result<String> {
    Ok(match format {
        FindingsFormat::Human => report.human(stdout_colour()),
        FindingsFormat::Concise => report::concise(report),
        FindingsFormat::Json => report.json(),
        FindingsFormat::Sarif => report::document(&report::sarif(report, &source_root()?)),
        FindingsFormat::Github => report::github(report, &source_root()?),
        FindingsFormat::Junit => report.junit(),
    })
}
