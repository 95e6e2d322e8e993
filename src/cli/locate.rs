//! Finds the template as ister.py did: on the command line, else through the kernel command line or ister.conf.

use super::console::Console;
use super::files::read_source;
use super::root_ssh;
use crate::content::fetch::fetch;
use crate::host::Progress;
use crate::template::{Configuration, KernelRequests, SourceText, display_url as shown};
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration files of ister.py; the first existing one is used.
const CONFIGURATIONS: &[&str] = &["/etc/ister.conf", "/usr/share/defaults/ister/ister.conf"];
const KERNEL_COMMAND_LINE: &str = "/proc/cmdline";
/// An installer may be started before the network is up.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Args, Clone, Debug)]
pub(super) struct LocateArgs {
    /// Configuration file whose first line is `template=URL`, or a template; used
    /// if no template is given [default: /etc/ister.conf, then
    /// /usr/share/defaults/ister/ister.conf]
    #[arg(short = 'c', long, value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// File with the kernel command line, where `isterconf=URL` selects a
    /// configuration and `ister.exit` stops ister
    #[arg(short = 'k', long, value_name = "FILE", default_value = KERNEL_COMMAND_LINE)]
    kcmdline: PathBuf,
}

/// The result of the search.
pub(super) enum Located {
    Template(SourceText),
    /// The kernel command line contains `ister.exit`.
    Exit,
}

impl LocateArgs {
    /// Whether a configuration or a kernel command line file was given.
    pub(super) fn is_asked_for(&self) -> bool {
        self.config_file.is_some() || self.kcmdline != Path::new(KERNEL_COMMAND_LINE)
    }

    /// Finds the template. `named` is the template from the command line, which takes precedence.
    pub(super) fn locate(&self, named: Option<&Path>, console: &Console) -> anyhow::Result<Located> {
        let requests = self.requests()?;
        if requests.exit {
            return Ok(Located::Exit);
        }
        if requests.root_ssh {
            let progress: &dyn Progress = console;
            progress.warn(
                "ister.root_ssh: anyone on the network can log in to this machine as root without a password",
            );
            // Only act on the real kernel command line, not on a file given with --kcmdline.
            if self.kcmdline == Path::new(KERNEL_COMMAND_LINE) {
                // The installation continues even if remote access cannot be enabled.
                if let Err(failure) = root_ssh::open() {
                    progress.warn(failure.to_string());
                }
            } else {
                progress.warn(format!(
                    "ister.root_ssh ignored: `{}` is not the kernel command line of this machine",
                    self.kcmdline.display()
                ));
            }
        }
        if let Some(path) = named {
            return Ok(Located::Template(read_source(path, None)?));
        }
        if let Some(url) = &requests.configuration {
            console.say(&format!("ister: using `{}` from the kernel command line", shown(url)));
            let text = text_of(url, NETWORK_TIMEOUT)?;
            return Ok(Located::Template(follow(&shown(url), text, NETWORK_TIMEOUT)?));
        }
        let configuration = match &self.config_file {
            Some(path) => path.clone(),
            None => match CONFIGURATIONS.iter().map(Path::new).find(|path| path.is_file()) {
                Some(path) => path.to_owned(),
                None => bail!(
                    "no template given, and no configuration found ({}); use `ister -t TEMPLATE`",
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
            // Not every container has /proc. A file given explicitly must be readable.
            Err(_) if self.kcmdline == Path::new(KERNEL_COMMAND_LINE) => Ok(KernelRequests::default()),
            Err(error) => Err(error).with_context(|| {
                format!("could not read the kernel command line `{}`", self.kcmdline.display())
            }),
        }
    }
}

/// Loads the template that a configuration refers to, unless the configuration is a template itself.
fn follow(name: &str, bytes: Vec<u8>, timeout: Duration) -> anyhow::Result<SourceText> {
    match Configuration::parse(&String::from_utf8_lossy(&bytes)) {
        Configuration::Itself => Ok(SourceText::from_bytes(name.to_owned(), bytes)),
        Configuration::Template(place) if place.is_empty() => {
            bail!("missing URL after `template=` in `{name}`")
        }
        Configuration::Template(place) => {
            let bytes = text_of(&place, timeout)
                .with_context(|| format!("could not load the template that `{name}` refers to"))?;
            Ok(SourceText::from_bytes(shown(&place), bytes))
        }
    }
}

/// Loads a URL, or a file if `place` is an absolute path.
fn text_of(place: &str, timeout: Duration) -> anyhow::Result<Vec<u8>> {
    if place.starts_with('/') {
        return std::fs::read(place).with_context(|| format!("could not read `{place}`"));
    }
    fetch(place, timeout).map_err(|error| crate::host::Failure::from(error).into())
}
