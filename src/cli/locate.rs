//! Which template an ister.py call means: the one that was named, or what the kernel command line or ister.conf say.

use super::console::Console;
use super::files::read_source;
use super::root_ssh;
use crate::content::fetch::fetch;
use crate::host::Progress;
use crate::template::{Configuration, KernelRequests, SourceText, shown_url as shown};
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where ister.py looked, the first that is there counts.
const CONFIGURATIONS: &[&str] = &["/etc/ister.conf", "/usr/share/defaults/ister/ister.conf"];
const KERNEL_COMMAND_LINE: &str = "/proc/cmdline";
/// An installer may be started before the network is up.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Args, Clone, Debug)]
pub(super) struct LocateArgs {
    /// A configuration whose first line is `template=URL`, or a template; used
    /// where none is named [default: /etc/ister.conf, then
    /// /usr/share/defaults/ister/ister.conf]
    #[arg(short = 'c', long, value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// The kernel command line, in which `isterconf=URL` names a configuration
    /// and `ister.exit` ends everything
    #[arg(short = 'k', long, value_name = "FILE", default_value = KERNEL_COMMAND_LINE)]
    kcmdline: PathBuf,
}

/// What was found.
pub(super) enum Located {
    Template(SourceText),
    /// The kernel command line says `ister.exit`.
    Exit,
}

impl LocateArgs {
    /// Whether a configuration or a kernel command line was named.
    pub(super) fn is_asked_for(&self) -> bool {
        self.config_file.is_some() || self.kcmdline != Path::new(KERNEL_COMMAND_LINE)
    }

    /// `named`: the template of the command line, which stands above all others.
    pub(super) fn locate(&self, named: Option<&Path>, console: &Console) -> anyhow::Result<Located> {
        let requests = self.requests()?;
        if requests.exit {
            return Ok(Located::Exit);
        }
        if requests.root_ssh {
            let progress: &dyn Progress = console;
            progress.warn("ister.root_ssh: anybody on the network may log in as root on this machine, without a password");
            // A file that somebody named is not what this machine was started with.
            if self.kcmdline == Path::new(KERNEL_COMMAND_LINE) {
                // An installation need not end because nobody can watch it.
                if let Err(failure) = root_ssh::open() {
                    progress.warn(failure.to_string());
                }
            } else {
                progress.warn(format!("not done: it stands in `{}`", self.kcmdline.display()));
            }
        }
        if let Some(path) = named {
            return Ok(Located::Template(read_source(path, None)?));
        }
        if let Some(url) = &requests.configuration {
            console.say(&format!("ister: the kernel command line names `{}`", shown(url)));
            let text = text_of(url, PATIENCE)?;
            return Ok(Located::Template(follow(&shown(url), text, PATIENCE)?));
        }
        let configuration = match &self.config_file {
            Some(path) => path.clone(),
            None => match CONFIGURATIONS.iter().map(Path::new).find(|path| path.is_file()) {
                Some(path) => path.to_owned(),
                None => bail!(
                    "no template was named, and there is none of {}; name one: ister -t TEMPLATE",
                    CONFIGURATIONS.join(", ")
                ),
            },
        };
        let bytes = std::fs::read(&configuration)
            .with_context(|| format!("could not read the configuration `{}`", configuration.display()))?;
        Ok(Located::Template(follow(&configuration.display().to_string(), bytes, Duration::ZERO)?))
    }

    fn requests(&self) -> anyhow::Result<KernelRequests> {
        match std::fs::read(&self.kcmdline) {
            Ok(bytes) => Ok(KernelRequests::parse(&String::from_utf8_lossy(&bytes))),
            // Not every container has /proc; whoever names a file means it.
            Err(_) if self.kcmdline == Path::new(KERNEL_COMMAND_LINE) => Ok(KernelRequests::default()),
            Err(error) => Err(error).with_context(|| {
                format!("could not read the kernel command line `{}`", self.kcmdline.display())
            }),
        }
    }
}

/// From a configuration to the template that it names, or is.
fn follow(name: &str, bytes: Vec<u8>, patience: Duration) -> anyhow::Result<SourceText> {
    match Configuration::parse(&String::from_utf8_lossy(&bytes)) {
        Configuration::Itself => Ok(SourceText::from_bytes(name.to_owned(), bytes)),
        Configuration::Template(place) if place.is_empty() => {
            bail!("`{name}` names no template behind `template=`")
        }
        Configuration::Template(place) => {
            let bytes = text_of(&place, patience).with_context(|| format!("`{name}` names the template"))?;
            Ok(SourceText::from_bytes(shown(&place), bytes))
        }
    }
}

/// A URL's bytes; a plain path is one of this host.
fn text_of(place: &str, patience: Duration) -> anyhow::Result<Vec<u8>> {
    if place.starts_with('/') {
        return std::fs::read(place).with_context(|| format!("could not read `{place}`"));
    }
    fetch(place, patience).map_err(|error| crate::host::Failure::from(error).into())
}
