//! Parses the command line, dispatches to the subcommands and maps their results to exit codes.

use super::console::{Console, Verbosity};
#[cfg(feature = "full")]
use super::{boot, build, cache, diff, doctor, publish, report, swupd, test, verify};
use super::{bundles, completions, explain, fmt, lint, lsp, manual, new, plan, rules, schema};
use crate::host::{Blame, Failure, install_handlers, plain};
use crate::template::nearest;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Build disk images from JSON templates, and test that they boot
///
/// A template (JSON, in the format of ister.py) describes the partitions, filesystems and content of an image. ister
/// checks the template, plans the image, builds it without root privileges, and boots it in QEMU to its login prompt.
///
/// For compatibility with ister.py, `ister -t TEMPLATE …` is the same as `ister build -t TEMPLATE …`, except that it
/// erases physical disks without confirmation.
///
/// Exit codes: 0 success; 1 findings, a template that cannot be built, or a boot that did not reach the login prompt;
/// 2 usage error; 3 host error (missing program, no space, no network); 13 stopped by `ister.exit` on the kernel
/// command line; 130 and 143 interrupted.
#[derive(Parser, Debug)]
#[command(name = "ister", version, max_term_width = 80, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// Only one value exists, for the whole run, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Subcommand, Debug)]
enum Command {
    #[cfg(feature = "full")]
    Build(build::BuildArgs),
    #[cfg(feature = "full")]
    Verify(verify::VerifyArgs),
    #[cfg(feature = "full")]
    Diff(diff::DiffArgs),
    #[cfg(feature = "full")]
    Boot(boot::BootArgs),
    #[cfg(feature = "full")]
    Test(test::TestArgs),
    #[cfg(feature = "full")]
    Report(report::ReportArgs),
    #[cfg(feature = "full")]
    Publish(publish::PublishArgs),
    Lint(lint::LintArgs),
    Fmt(fmt::FmtArgs),
    Lsp(lsp::LspArgs),
    Explain(explain::ExplainArgs),
    Rules(rules::RulesArgs),
    New(new::NewArgs),
    Bundles(bundles::BundlesArgs),
    Plan(plan::PlanArgs),
    #[cfg(feature = "full")]
    Cache(cache::CacheArgs),
    #[cfg(feature = "full")]
    Swupd(swupd::SwupdArgs),
    #[cfg(feature = "full")]
    Doctor(doctor::DoctorArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
    Man(manual::ManArgs),
    #[cfg(feature = "full")]
    #[command(hide = true)]
    NamespaceWorker,
}

/// The result of a subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Fine,
    /// Lint errors, a template that cannot be built, or a boot that did not reach its goal.
    Findings,
    /// An input could not be read; the error was already shown.
    Usage,
    /// An error of the host; it was already shown.
    Environment,
    /// Stopped by `ister.exit` on the kernel command line.
    Stopped,
}

/// The outcome for a failure that was already shown.
impl From<Blame> for Outcome {
    fn from(blame: Blame) -> Outcome {
        match blame {
            Blame::Host => Outcome::Environment,
            Blame::Template => Outcome::Findings,
        }
    }
}

/// Options for the amount of output on stderr.
#[derive(clap::Args, Debug)]
pub(super) struct VerbosityArgs {
    /// Show only warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

impl VerbosityArgs {
    pub(super) fn console(&self) -> Console {
        Console::new(self.verbosity())
    }

    pub(super) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// An error and its causes, without Rust's notation for errors of the operating system.
pub(super) fn error_text(error: &anyhow::Error) -> String {
    let texts = error.chain().map(|cause| match cause.downcast_ref::<std::io::Error>() {
        Some(error) => plain(error),
        None => cause.to_string(),
    });
    texts.collect::<Vec<_>>().join(": ")
}

/// The whole command line, for completions and manual pages.
pub(super) fn command() -> clap::Command {
    Cli::command()
}

/// Rewrites command lines for compatibility with ister.py, which had no subcommands: a command line that starts with
/// an option, or any command line if the program is called as ister.py, becomes a `build` without confirmation.
fn arguments(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = typed.collect();
    let name = arguments.first().and_then(|name| Path::new(name).file_name());
    let as_ister_py = name.is_some_and(|name| name == "ister.py");
    let option = match arguments.get(1).and_then(|arg| arg.to_str()) {
        // `-V` alone prints the version; with an argument it is the version URL.
        Some("-V") => arguments.len() > 2,
        Some(first) => is_option_of_build(first),
        None => false,
    };
    if !as_ister_py && !option {
        return arguments;
    }
    // In ister.py, `--format` was the swupd format; in ister it is the output format.
    let ours = |value: Option<&str>| matches!(value, Some("human" | "json"));
    for at in 1..arguments.len() {
        let word = arguments[at].to_str().unwrap_or_default().to_owned();
        let is_format = |word: &str| word.len() > 3 && "--format".starts_with(word);
        if is_format(&word) && !ours(arguments.get(at + 1).and_then(|value| value.to_str())) {
            arguments[at] = "--swupd-format".into();
        } else if let Some((name, value)) = word.split_once('=')
            && is_format(name)
            && !ours(Some(value))
        {
            arguments[at] = format!("--swupd-format={value}").into();
        }
    }
    let form = if as_ister_py { "--as-ister-py=program" } else { "--as-ister-py=options" };
    arguments.splice(1..1, ["build".into(), form.into()]);
    arguments
}

/// Whether a first argument is an option of `build`. Clap reports a misspelt `--help` or `--version`.
fn is_option_of_build(first: &str) -> bool {
    let name = first.split('=').next().unwrap_or(first);
    let is_short_form = ["--templ", "--verbo", "--versionu"].iter().any(|option| {
        // ister.py accepted every unambiguous beginning of its options.
        name.starts_with(option) || (name.len() > 4 && option.starts_with(name) && name != "--vers")
    });
    first.starts_with('-')
        && first != "-h"
        && (is_short_form || nearest(first, &["--help", "--version"]).is_none())
}

pub fn main() -> ExitCode {
    // Paths become part of plans, verdicts and QEMU options, which must be UTF-8.
    if let Some(odd) = std::env::args_os().find(|arg| arg.to_str().is_none()) {
        Console::new(Verbosity::Quiet)
            .say(&format!("error: invalid argument `{}`: not UTF-8", odd.to_string_lossy()));
        return ExitCode::from(2);
    }
    let cli = Cli::try_parse_from(arguments(std::env::args_os())).unwrap_or_else(|error| {
        #[cfg(not(feature = "full"))]
        if error.kind() == clap::error::ErrorKind::InvalidSubcommand {
            let _ = error.print();
            let help =
                "help: this is a lint-only build; building, verifying and booting need the default features";
            Console::new(Verbosity::Quiet).say(help);
            std::process::exit(2);
        }
        error.exit()
    });
    #[cfg(feature = "full")]
    if let Command::NamespaceWorker = cli.command {
        crate::image::pipeline::run_in_sandbox();
    }
    if let Err(error) = install_handlers(|text| Console::new(Verbosity::Quiet).say(&format!("ister: {text}")))
    {
        Console::new(Verbosity::Quiet).say(&format!("warning: could not install signal handlers: {error}"));
    }
    let result = match cli.command {
        #[cfg(feature = "full")]
        Command::Build(args) => build::run(&args),
        #[cfg(feature = "full")]
        Command::Verify(args) => verify::run(&args),
        #[cfg(feature = "full")]
        Command::Diff(args) => diff::run(&args),
        #[cfg(feature = "full")]
        Command::Boot(args) => boot::run(&args),
        #[cfg(feature = "full")]
        Command::Report(args) => report::run(&args),
        #[cfg(feature = "full")]
        Command::Publish(args) => publish::run(&args),
        #[cfg(feature = "full")]
        Command::Test(args) => test::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Lsp(args) => lsp::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::New(args) => new::run(&args),
        Command::Bundles(args) => bundles::run(&args),
        Command::Plan(args) => plan::run(&args),
        #[cfg(feature = "full")]
        Command::Cache(args) => cache::run(&args),
        #[cfg(feature = "full")]
        Command::Swupd(args) => swupd::run(&args),
        #[cfg(feature = "full")]
        Command::Doctor(args) => doctor::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => manual::man(&args),
        #[cfg(feature = "full")]
        Command::NamespaceWorker => unreachable!("handled above"),
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Ok(Outcome::Usage) => ExitCode::from(2),
        Ok(Outcome::Environment) => ExitCode::from(3),
        Ok(Outcome::Stopped) => ExitCode::from(13),
        Err(error) => {
            let console = Console::new(Verbosity::Quiet);
            match error.downcast_ref::<Failure>() {
                Some(failure) => {
                    console.say(&format!("error: {failure}"));
                    match failure.blame {
                        Blame::Host => ExitCode::from(3),
                        Blame::Template => ExitCode::from(1),
                    }
                }
                None => {
                    console.say(&format!("error: {}", error_text(&error)));
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
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ister_py_command_lines_become_builds() {
        let plain = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        let words = |text: &str| arguments(plain(text).into_iter());
        assert_eq!(words("ister -t a.json"), plain("ister build --as-ister-py=options -t a.json"));
        assert_eq!(words("ister --help").len(), 2);
        assert_eq!(words("ister -V").len(), 2);
        assert_eq!(words("ister --verion").len(), 2);
        for line in
            ["ister --versionurl u -t t", "ister --temp t", "ister --verbose -t t", "ister --verb -t t"]
        {
            assert_eq!(words(line)[1], "build", "{line}");
        }
        assert_eq!(words("ister lint a.json").len(), 3);
        let mixer = "-S /s -t t.json -V file:///m/www -C file:///m/www -f 25 -s /c.pem";
        assert_eq!(
            words(&format!("/usr/bin/ister.py {mixer}")),
            plain(&format!("/usr/bin/ister.py build --as-ister-py=program {mixer}"))
        );
        assert_eq!(words("ister.py"), plain("ister.py build --as-ister-py=program"));
        assert_eq!(words("ister -V u -t t"), plain("ister build --as-ister-py=options -V u -t t"));
        assert_eq!(
            words("ister -t t --format 25 --format json --format=26"),
            plain("ister build --as-ister-py=options -t t --swupd-format 25 --format json --swupd-format=26")
        );
    }

    #[test]
    fn all_options_of_ister_py_are_accepted() {
        let parse = |line: &str| Cli::try_parse_from(arguments(line.split(' ').map(OsString::from)));
        let short = "-c a -s a -t a -V http://a -C http://a -f 1 -v -L debug -l a -k a -S a -D a -m -d a";
        let long = "--config-file a --cert-file a --template-file a --versionurl http://a --contenturl http://a --format 1 \
                    --verbose --loglevel debug --logfile a --kcmdline a --statedir a --target-dir a --no-unmount \
                    --dnf-config a";
        let abbreviated = "--conf a --templ a --no-un --fast --form 25 --content http://a";
        for options in [short, long, abbreviated, "-F", "--fast-install", ""] {
            for program in ["ister.py", "ister"] {
                if let Err(error) = parse(format!("{program} {options}").trim_end()) {
                    assert!(program == "ister" && options.is_empty(), "{program} {options}: {error}");
                }
            }
        }
        assert!(parse("ister.py -F -S a").is_err(), "-F conflicts with -S, as in ister.py");
    }
}
