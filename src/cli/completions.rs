//! `ister completions`: completion scripts, which also offer names that are known when the script is written: types,
//! bundles, rules, software managers, and commands that have a manual page.

use super::console::print;
use super::run::{Outcome, command};
use crate::plan::{bundle, published};
use crate::report::rule_names;
use anyhow::Context;
use clap::builder::PossibleValuesParser;
use clap::{Args, Command};

/// Print a completion script for a shell
///
/// Example: ister completions bash > /etc/bash_completion.d/ister
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// Shell to generate completions for
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut with_known_names(&command()), "ister", &mut out);
    print(&String::from_utf8(out).context("the completion script is not UTF-8")?);
    Ok(Outcome::Fine)
}

/// The definition of the command line with known names as values, and without hidden commands, which some shells'
/// scripts would offer.
fn with_known_names(whole: &Command) -> Command {
    let mut visible = Command::new(whole.get_name().to_owned()).args(whole.get_arguments().cloned());
    if let Some(version) = whole.get_version() {
        visible = visible.version(version.to_owned());
    }
    let is_visible = |command: &&Command| !command.is_hide_set();
    let commands: Vec<&str> = whole.get_subcommands().filter(is_visible).map(Command::get_name).collect();
    let names = |command: &str, argument: &str| -> Option<Vec<String>> {
        let owned = |names: Vec<&str>| Some(names.into_iter().map(str::to_owned).collect());
        match (command, argument) {
            (_, "software_manager") => owned(vec!["apt", "dnf", "swupd"]),
            ("new", "kind") | ("test", "types") => {
                owned(published::TYPES.iter().map(|kind| kind.name).collect())
            }
            ("bundles", "names") => owned(bundle::builtin().names().collect()),
            ("explain", "rules") => owned(rule_names()),
            ("man", "subcommand") => owned(commands.clone()),
            _ => None,
        }
    };
    for command in whole.get_subcommands().filter(is_visible) {
        let of = command.get_name().to_owned();
        visible = visible.subcommand(command.clone().mut_args(|argument| {
            match names(&of, argument.get_id().as_str()) {
                // A default would be of the type of the argument's own parser.
                Some(names) => {
                    argument.default_value(None::<&str>).value_parser(PossibleValuesParser::new(names))
                }
                None => argument,
            }
        }));
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(shell: clap_complete::Shell) -> String {
        let mut out = Vec::new();
        clap_complete::generate(shell, &mut with_known_names(&command()), "ister", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_shell_offers_known_names_and_no_hidden_command() {
        use clap_complete::Shell::{Bash, Fish, Zsh};
        for shell in [Bash, Fish, Zsh] {
            let script = script(shell);
            assert!(!script.contains("namespace-worker"), "{shell}");
            let names = ["kvm-legacy", "esp-small", "swupd"];
            // Fish has no completion of positional values.
            for name in names.iter().filter(|name| shell != Fish || **name == "swupd") {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }

    /// A renamed argument would silently lose its values.
    #[test]
    fn known_names_belong_to_arguments() {
        let whole = command();
        for (of, id) in [("new", "kind"), ("bundles", "names"), ("explain", "rules"), ("man", "subcommand")] {
            let command = whole.find_subcommand(of).unwrap();
            assert!(command.get_arguments().any(|argument| argument.get_id() == id), "{of} {id}");
        }
    }
}
