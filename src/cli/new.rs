//! `ister new`

use super::console::{Console, Verbosity, print, terminal_width};
use super::files::replace_file;
use super::run::Outcome;
use crate::lint::{Files, lint};
use crate::plan::bundle;
use crate::plan::published::{NewOptions, TYPES, new_template};
use crate::report::Table;
use crate::template::{Names, SCHEMA_TEXT, Size, SoftwareManager, SourceText, nearest};
use anyhow::{Context, bail};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Create a template from one of the published image types
///
/// Without a type, the available types are listed. With `-o FILE`, the JSON Schema is also written next to the
/// template, which refers to it, so that editors offer help and completion.
///
/// Example: ister new kvm -o web.json --name web --user ada --key ~/.ssh/id_ed25519.pub
#[derive(Args, Debug)]
pub(super) struct NewArgs {
    /// Image type, for example kvm
    #[arg(value_name = "TYPE")]
    kind: Option<String>,

    /// Output file, which must not exist [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Software manager that installs the content: apt, swupd or dnf
    #[arg(long, value_name = "MANAGER", default_value = "apt", value_parser = manager)]
    software_manager: SoftwareManager,

    /// Name of the image: the image file is NAME.img, and the host name NAME
    /// [default: the type]
    #[arg(long, value_name = "NAME", value_parser = image_name)]
    name: Option<String>,

    /// Size of the root partition, for example 4G [default: that of the type]
    #[arg(long, value_name = "SIZE", value_parser = root_size)]
    root_size: Option<String>,

    /// Replace the output file if it exists
    #[arg(long, requires = "output")]
    force: bool,

    /// Add an administrator with this user name, who logs in with --key
    #[arg(long, value_name = "NAME", requires = "key")]
    user: Option<String>,

    /// ssh public key of the user, a .pub file
    #[arg(long, value_name = "FILE", requires = "user")]
    key: Option<PathBuf>,
}

/// Whether no user could log in to the image, as determined by the linter. Cloud images and containers need no user.
fn is_without_login(template: &str) -> bool {
    let source = SourceText::new("new", template);
    let linted = lint(&source, &bundle::builtin(), |_| Files::new());
    linted.findings.iter().any(|finding| finding.rule == "login-impossible")
}

/// The user from the command line.
fn user(args: &NewArgs) -> anyhow::Result<Option<serde_json::Value>> {
    let (Some(name), Some(key)) = (&args.user, &args.key) else { return Ok(None) };
    let text = std::fs::read_to_string(key).with_context(|| format!("could not read `{}`", key.display()))?;
    // Private keys start with dashes.
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    if line.starts_with("-----") || line.split_whitespace().count() < 2 {
        bail!(
            "`{}` is not a public key; expected a .pub file with a line such as `ssh-ed25519 AAAA…`",
            key.display()
        );
    }
    Ok(Some(serde_json::json!({ "username": name, "key": line, "sudo": true })))
}

fn manager(text: &str) -> Result<SoftwareManager, String> {
    SoftwareManager::named(text).known().ok_or_else(|| "expected one of: swupd, dnf, apt".to_owned())
}

/// What is valid as a host name and in a file name.
fn image_name(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let valid = (1..=63).contains(&text.len()) && text.chars().all(is_name) && !text.starts_with('-');
    if valid { Ok(text.to_owned()) } else { Err("expected up to 63 letters, digits and `-`".to_owned()) }
}

fn root_size(text: &str) -> Result<String, String> {
    match Size::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// File name of the schema next to a template.
const SCHEMA_NAME: &str = "ister-template.schema.json";

pub(super) fn run(args: &NewArgs) -> anyhow::Result<Outcome> {
    let Some(name) = &args.kind else {
        let mut table = Table::new(&["type", "for"], &[]);
        for kind in TYPES {
            table.row([kind.name.to_owned(), kind.purpose()]);
        }
        print(&table.render_within(terminal_width()));
        return Ok(Outcome::Fine);
    };
    let Some(kind) = TYPES.iter().find(|kind| kind.name == name) else {
        let names: Vec<&str> = TYPES.iter().map(|kind| kind.name).collect();
        let meant =
            nearest(name, &names).map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
        bail!("unknown image type `{name}`; {meant}run `ister new` for a list");
    };
    let schema = args.output.as_ref().map(|_| format!("./{SCHEMA_NAME}"));
    let user = user(args)?;
    let options = NewOptions {
        schema: schema.as_deref(),
        user,
        name: args.name.as_deref(),
        root_size: args.root_size.as_deref(),
    };
    let new = new_template(kind, args.software_manager, &bundle::builtin(), &options);
    let console = Console::new(Verbosity::Normal);
    match &args.output {
        None => print(&new.text),
        Some(path) => {
            let replaces = args.force && path.exists();
            if replaces {
                replace_file(path, &new.text)?;
            } else {
                write_new(path, &new.text)?;
            }
            let schema_path = path.with_file_name(SCHEMA_NAME);
            if !schema_path.exists() {
                write_new(&schema_path, SCHEMA_TEXT)?;
                console.say(&format!("created `{}`, which editors use", schema_path.display()));
            }
            if is_without_login(&new.text) {
                console
                    .say("no user can log in to the image yet: add `Users`, or use --user NAME --key FILE");
            }
            console.say(&format!(
                "{1} `{0}`; next: edit it, then `ister lint {0}` and `ister build {0} -o out`",
                path.display(),
                if replaces { "replaced" } else { "created" }
            ));
        }
    }
    if !new.left_out.is_empty() {
        console.say(&format!(
            "left out bundles that have no definition for {}: {}",
            args.software_manager,
            new.left_out.join(", ")
        ));
    }
    Ok(Outcome::Fine)
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = match std::fs::File::create_new(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("`{}` exists; use --force to replace it", path.display())
        }
        created => created.with_context(|| format!("could not create `{}`", path.display()))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("could not write `{}`", path.display()))
}
