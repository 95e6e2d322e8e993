//! What is done in the guest, and with what is given to it.

use super::super::verify::{read_secret, secret_source};
use crate::boot::{AllowedNote, DirectKernel, Goal, Login, Network, Ssh};
use crate::host::run as run_program;
use crate::host::{Context, Invocation};
use crate::template::{Bytes, Secret, SecretSource, Size};
use anyhow::bail;
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

/// What is done inside the guest.
#[derive(Args, Debug, Default)]
pub(crate) struct GuestArgs {
    /// A passphrase to type when the guest asks for it: NAME=env:VARIABLE or
    /// NAME=file:PATH, NAME as in `encryption`
    #[arg(long, value_name = "NAME=SOURCE", value_parser = named_secret)]
    pub(crate) unlock: Vec<(String, SecretSource)>,

    /// Log in at the prompt, USER=env:VARIABLE or USER=file:PATH with the
    /// password, or USER alone; mounts must then be the plan's
    #[arg(long, value_name = "USER[=SOURCE]", value_parser = login)]
    pub(crate) login: Option<(String, Option<SecretSource>)>,

    /// Connect over ssh once the prompt is there, USER=PRIVATE-KEY-FILE; what is
    /// run then runs there
    #[arg(long, value_name = "USER=FILE", value_parser = ssh)]
    pub(crate) ssh: Option<Ssh>,

    /// Run a command after the login; its output is shown
    #[arg(long, value_name = "COMMAND")]
    pub(crate) run: Vec<String>,

    /// Where the boot is meant to end: at the login prompt, or with the guest
    /// switching itself off, as an installer does
    #[arg(long, value_enum, default_value_t = Until::Login)]
    pub(crate) until: Until,

    /// A second disk for the guest, a raw image that it may write to
    #[arg(long, value_name = "FILE")]
    pub(crate) second_disk: Option<PathBuf>,

    /// Whom the guest reaches: nobody, or this host as 10.0.2.2
    #[arg(long, value_enum, default_value_t = Network::Isolated)]
    pub(crate) network: Network,

    /// Settings for the instance: a raw image of a NoCloud seed
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,

    /// The host name that the prompt must have
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// With --ssh or --login: no unit may have failed, mounts must be the plan's, and
    /// the console must have no health notes such as kernel warnings
    #[arg(long)]
    pub(crate) healthy: bool,

    /// With --healthy: a health note that is known, KIND:YYYY-MM-DD:TEXT with the
    /// last day and a part of the line, such as failed-unit:2027-06-30:mcelog
    #[arg(long, value_name = "NOTE", requires = "healthy")]
    pub(crate) allow: Vec<AllowedNote>,

    /// After the prompt press the power button, boot the same disk once more, and
    /// look at it in the same way
    #[arg(long)]
    pub(crate) again: bool,

    /// Install the newer packages in this directory (.deb or .rpm) with the guest's package
    /// manager, boot the new kernel, remove the old one and boot once more. Needs
    /// --login or --ssh as root
    #[arg(long, value_name = "DIR", conflicts_with = "again")]
    pub(crate) update: Option<PathBuf>,

    /// Attach a disk that is larger than the image by this size, as 4G: the root
    /// filesystem has to fill it. Needs --login or --ssh
    #[arg(long, value_name = "SIZE", value_parser = more)]
    pub(crate) grow: Option<Bytes>,

    /// A credential of systemd's for the guest, NAME=env:VARIABLE or
    /// NAME=file:PATH: `ssh.authorized_keys.root` lets a key in
    #[arg(long, value_name = "NAME=SOURCE", value_parser = named_secret)]
    pub(crate) credential: Vec<(String, SecretSource)>,

    /// Start the kernel of the image's own loader entry, without its loader: for
    /// disks that no firmware here can read from
    #[arg(long)]
    pub(crate) direct: bool,

    /// Start this kernel, without firmware and loader
    #[arg(long, value_name = "FILE", conflicts_with = "direct")]
    pub(crate) kernel: Option<PathBuf>,

    /// Its initramfs
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) initrd: Option<PathBuf>,

    /// Its command line
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "console=ttyS0")]
    pub(crate) append: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    #[default]
    Login,
    PowerOff,
}

pub(crate) fn ssh(text: &str) -> Result<Ssh, String> {
    let (user, key) = text.split_once('=').ok_or("expected USER=PRIVATE-KEY-FILE")?;
    if user.is_empty() || user.starts_with('-') {
        return Err(format!("invalid user name `{user}`"));
    }
    Ok(Ssh { user: user.to_owned(), key: key.into() })
}

pub(crate) fn more(text: &str) -> Result<Bytes, String> {
    match Size::parse(text.strip_prefix('+').unwrap_or(text)) {
        Ok(Size::Exact(size)) => Ok(size),
        Ok(Size::Rest) => Err("`rest` is not a size of a disk".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

pub(crate) fn named_secret(text: &str) -> Result<(String, SecretSource), String> {
    let (name, source) = text.split_once('=').ok_or("expected NAME=env:VARIABLE or NAME=file:PATH")?;
    Ok((name.to_owned(), secret_source(source)?))
}

pub(crate) fn login(text: &str) -> Result<(String, Option<SecretSource>), String> {
    let (user, source) = match text.split_once('=') {
        Some((user, source)) => (user, Some(secret_source(source)?)),
        None => (text, None),
    };
    if user.is_empty() || user.starts_with('-') {
        return Err(format!("invalid user name `{user}`"));
    }
    Ok((user.to_owned(), source))
}

/// What goes on inside, with the secrets themselves.
#[derive(Default)]
pub(crate) struct GuestOptions {
    pub passphrases: BTreeMap<String, Secret>,
    pub login: Option<Login>,
    pub ssh: Option<Ssh>,
    pub commands: Vec<String>,
    pub goal: Goal,
    pub second_disk: Option<PathBuf>,
    pub network: Network,
    pub seed: Option<PathBuf>,
    pub credentials: Vec<(String, Secret)>,
    pub direct: Option<DirectKernel>,
    /// That of the image itself.
    pub own_kernel: bool,
    pub again: bool,
    /// A directory with packages.
    pub update: Option<PathBuf>,
    pub grow: Option<Bytes>,
    pub host: Option<String>,
    pub healthy: bool,
    pub allowed: Vec<AllowedNote>,
}

impl GuestArgs {
    pub(crate) fn resolve(&self, receipt: bool) -> anyhow::Result<GuestOptions> {
        if receipt && self.until == Until::PowerOff {
            bail!("a receipt says that the login prompt was reached: leave --until power-off out");
        }
        if let Some(ssh) = &self.ssh {
            // Behind the prompt it would look like a fault of the image's.
            run_program(&Invocation::new("ssh").arg("-V"))?;
            File::open(&ssh.key).context(|| format!("could not read the key `{}`", ssh.key.display()))?;
        }
        if !self.run.is_empty() && self.login.is_none() && self.ssh.is_none() {
            bail!("--run needs somebody who runs it: --login USER or --ssh USER=FILE");
        }
        if self.healthy && self.login.is_none() && self.ssh.is_none() {
            bail!("--healthy needs somebody who looks: --login USER or --ssh USER=FILE");
        }
        if (self.update.is_some() || self.grow.is_some()) && self.login.is_none() && self.ssh.is_none() {
            bail!("--update and --grow need a login: --login root or --ssh root=FILE");
        }
        if self.until == Until::PowerOff && (self.login.is_some() || self.ssh.is_some()) {
            bail!("--until power-off is for guests that nobody logs in to");
        }
        if self.until == Until::PowerOff && (self.again || self.host.is_some()) {
            bail!("--again and --host look at the login prompt: leave --until power-off out");
        }
        let mut inside = GuestOptions {
            commands: self.run.clone(),
            ssh: self.ssh.clone(),
            goal: match self.until {
                Until::Login => Goal::LoginPrompt,
                Until::PowerOff => Goal::PowerOff,
            },
            second_disk: self.second_disk.clone(),
            network: self.network,
            seed: self.seed.clone(),
            again: self.again,
            update: self.update.clone(),
            grow: self.grow,
            own_kernel: self.direct,
            host: self.host.clone(),
            healthy: self.healthy,
            allowed: self.allow.clone(),
            ..GuestOptions::default()
        };
        for (name, source) in &self.credential {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if name.is_empty() || !name.chars().all(is_plain) {
                bail!("`{name}` is no name of a credential: letters, digits, dots");
            }
            inside.credentials.push((name.clone(), read_secret(source)?));
        }
        if let Some(kernel) = &self.kernel {
            let direct = DirectKernel {
                kernel: kernel.clone(),
                initrd: self.initrd.clone(),
                command_line: self.append.clone(),
            };
            inside.direct = Some(direct);
        }
        for (name, source) in &self.unlock {
            inside.passphrases.insert(name.clone(), read_secret(source)?);
        }
        if let Some((user, source)) = &self.login {
            let password = source.as_ref().map(read_secret).transpose()?;
            inside.login = Some(Login { user: user.clone(), password });
        }
        Ok(inside)
    }
}
