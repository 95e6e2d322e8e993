//! The program on one screen: parse, dispatch, exit code.

use super::console::{Console, Talk, print};
use super::{boot, build, cache, doctor, lint, plan, schema};
use crate::tool::{Failure, install_handlers};
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Carries an ister template to a disk image that is proven to boot.
///
/// A template (JSON, the format of ister.py) says which partitions, filesystems and content an image has. ister
/// checks it, plans every byte, builds the image without privileges, and boots it in QEMU to its login prompt.
///
/// Exit codes: 0 fine, 1 findings or a boot that did not reach the login prompt, 2 usage, 3 the host could not
/// do it (missing tool, no space, no network), 130 and 143 interrupted.
#[derive(Parser, Debug)]
#[command(
    name = "ister",
    version,
    max_term_width = 80,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Without a subcommand: build a template, as ister.py does
    #[command(flatten)]
    drop_in: Option<build::BuildArgs>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Build(build::BuildArgs),
    Boot(boot::BootArgs),
    Lint(lint::LintArgs),
    Plan(plan::PlanArgs),
    Cache(cache::CacheArgs),
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    #[command(hide = true)]
    NamespaceWorker,
}

/// What a subcommand found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    /// Lint errors, a refused template, a boot verdict other than reached.
    Findings,
    /// The host's fault, already shown.
    Environment,
}

/// How much a subcommand says on stderr.
#[derive(clap::Args, Debug)]
pub struct TalkArgs {
    /// Say nothing but warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

impl TalkArgs {
    pub fn console(&self) -> Console {
        Console::new(if self.quiet { Talk::Quiet } else { Talk::Normal })
    }
}

pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| error.exit());
    if let Some(Command::NamespaceWorker) = cli.command {
        crate::build::work_inside();
    }
    if let Err(error) = install_handlers(|text| Console::new(Talk::Quiet).say(&format!("ister: {text}"))) {
        Console::new(Talk::Quiet).say(&format!("warning: signals cannot be handled: {error}"));
    }
    let result = match (cli.command, cli.drop_in) {
        (Some(Command::Build(args)), _) | (None, Some(args)) => build::run(&args),
        (Some(Command::Boot(args)), _) => boot::run(&args),
        (Some(Command::Lint(args)), _) => lint::run(&args),
        (Some(Command::Plan(args)), _) => plan::run(&args),
        (Some(Command::Cache(args)), _) => cache::run(&args),
        (Some(Command::Doctor(args)), _) => doctor::run(&args),
        (Some(Command::Schema(args)), _) => schema::run(&args),
        (Some(Command::NamespaceWorker), _) => unreachable!("handled above"),
        (None, None) => {
            print(&Cli::command().render_help().to_string());
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Ok(Outcome::Environment) => ExitCode::from(3),
        Err(error) => {
            let console = Console::new(Talk::Quiet);
            match error.downcast_ref::<Failure>() {
                Some(failure) => {
                    console.say(&format!("error: {failure}"));
                    ExitCode::from(3)
                }
                None => {
                    console.say(&format!("error: {error:#}"));
                    ExitCode::from(2)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
