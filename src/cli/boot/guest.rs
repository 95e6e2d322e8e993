//! Options for the guest: logins, commands, checks and additional devices.

use super::super::input::require;
use super::super::verify::{read_secret, secret_source};
use crate::boot::{AllowedNote, Checks, Cloud, CloudFault, DirectKernel, Goal, Login, Network, Ssh};
use crate::host::run as run_program;
use crate::host::{Context, Invocation};
use crate::template::{Bytes, Secret, SecretSource, Size};
use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

/// Options for the guest.
#[derive(Args, Debug, Default)]
pub(crate) struct GuestArgs {
    /// Passphrase to type when the guest prompts for it: NAME=env:VARIABLE or
    /// NAME=file:PATH, with NAME as in `encryption`
    #[arg(long, value_name = "NAME=SOURCE", value_parser = named_secret)]
    pub(crate) unlock: Vec<(String, SecretSource)>,

    /// Log in at the prompt and check the mounts against the plan: USER, or
    /// USER=env:VARIABLE or USER=file:PATH for the password
    #[arg(long, value_name = "USER[=SOURCE]", value_parser = login)]
    pub(crate) login: Option<(String, Option<SecretSource>)>,

    /// Connect over ssh after the login prompt appeared, and run commands and
    /// checks in that session: USER=PRIVATE-KEY-FILE
    #[arg(long, value_name = "USER=FILE", value_parser = ssh)]
    pub(crate) ssh: Option<Ssh>,

    /// Run a command after the login and show its output
    #[arg(long, value_name = "COMMAND")]
    pub(crate) run: Vec<String>,

    /// Check files, packages, services, ports, users and more in the guest, as
    /// described in a YAML or JSON file in the format of goss. Needs --login or
    /// --ssh
    #[arg(long, value_name = "FILE")]
    pub(crate) checks: Vec<PathBuf>,

    /// Run this script in the guest: exit status 0 is a pass, 77 a skip. Files
    /// that it writes to $ISTER_RESULTS are saved in the report. Needs --login or
    /// --ssh
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Vec<PathBuf>,

    /// Expected end of the boot: the login prompt, or power-off by the guest, as
    /// installers do
    #[arg(long, value_enum, default_value_t = Until::Login)]
    pub(crate) until: Until,

    /// Second disk for the guest: a raw image, attached writable
    #[arg(long, value_name = "FILE")]
    pub(crate) second_disk: Option<PathBuf>,

    /// Network of the guest: isolated, or with this host at 10.0.2.2
    #[arg(long, value_enum, default_value_t = Network::Isolated)]
    pub(crate) network: Network,

    /// Run the image on a virtual machine as in this cloud, with its metadata
    /// service, and check that the instance uses it: key, user data, host name,
    /// sudo and name resolution
    #[arg(long, value_enum, value_name = "CLOUD", conflicts_with_all = ["ssh", "seed", "again", "update", "network", "checks", "test"])]
    pub(crate) cloud: Option<Cloud>,

    /// Deliberate defect of the cloud, with which a boot must fail
    #[arg(long, value_enum, requires = "cloud", hide = true)]
    pub(crate) cloud_fault: Option<CloudFault>,

    /// NoCloud seed for cloud-init: a raw image
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,

    /// Host name that the login prompt must show
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// Check the health of the system: no health notes such as kernel warnings on the
    /// console, and with --ssh or --login no failed units, and mounts as planned
    #[arg(long)]
    pub(crate) healthy: bool,

    /// Ignore a known health note until a date: KIND:YYYY-MM-DD:TEXT, with TEXT a
    /// part of the line, for example failed-unit:2027-06-30:mcelog
    #[arg(long, value_name = "NOTE", requires = "healthy")]
    pub(crate) allow: Vec<AllowedNote>,

    /// After the login prompt, press the power button, boot the same disk again,
    /// and repeat the checks
    #[arg(long)]
    pub(crate) again: bool,

    /// Install the newer packages in this directory (.deb or .rpm) with the
    /// guest's package manager, boot the new kernel, remove the old one and boot
    /// again. Needs --login or --ssh as root
    #[arg(long, value_name = "DIR", conflicts_with = "again")]
    pub(crate) update: Option<PathBuf>,

    /// Enlarge the disk by this size, for example 4G, and check that the root
    /// filesystem grows to fill it. Needs --login or --ssh
    #[arg(long, value_name = "SIZE", value_parser = more)]
    pub(crate) grow: Option<Bytes>,

    /// systemd credential for the guest: NAME=env:VARIABLE or NAME=file:PATH;
    /// `ssh.authorized_keys.root` authorizes an ssh key
    #[arg(long, value_name = "NAME=SOURCE", value_parser = named_secret)]
    pub(crate) credential: Vec<(String, SecretSource)>,

    /// Boot the kernel of the image's loader entry directly, without firmware and
    /// loader: for disks that the firmware cannot read
    #[arg(long)]
    pub(crate) direct: bool,

    /// Boot this kernel directly, without firmware and loader
    #[arg(long, value_name = "FILE", conflicts_with = "direct")]
    pub(crate) kernel: Option<PathBuf>,

    /// Initramfs for --kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) initrd: Option<PathBuf>,

    /// Kernel command line for --kernel
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
    Ok(Ssh { user: user.to_owned(), key: key.into(), known_hosts: None })
}

pub(crate) fn more(text: &str) -> Result<Bytes, String> {
    match Size::parse(text.strip_prefix('+').unwrap_or(text)) {
        Ok(Size::Exact(size)) => Ok(size),
        Ok(Size::Rest) => Err("expected a size such as 4G, found `rest`".to_owned()),
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

/// The checks of the files, and the scripts.
fn read_checks(files: &[PathBuf], scripts: &[PathBuf]) -> anyhow::Result<Checks> {
    let mut checks = Checks::default();
    for path in files {
        require(path)?;
        let text = std::fs::read_to_string(path)
            .context(|| format!("could not read the checks `{}`", path.display()))?;
        checks.add(&text).map_err(|why| anyhow!("invalid checks in `{}`: {why}", path.display()))?;
    }
    for path in scripts {
        require(path)?;
        let text =
            std::fs::read(path).context(|| format!("could not read the test script `{}`", path.display()))?;
        checks
            .add_script(&path.display().to_string(), text)
            .map_err(|why| anyhow!("cannot run `{}` in the guest: {why}", path.display()))?;
    }
    Ok(checks)
}

/// The resolved options, with the values of the secrets.
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
    /// Boot the image's own kernel directly (`--direct`).
    pub own_kernel: bool,
    pub again: bool,
    /// A directory of packages.
    pub update: Option<PathBuf>,
    pub grow: Option<Bytes>,
    pub host: Option<String>,
    pub healthy: bool,
    pub allowed: Vec<AllowedNote>,
    pub checks: Checks,
    pub cloud: Option<Cloud>,
    pub cloud_fault: Option<CloudFault>,
}

impl GuestArgs {
    pub(crate) fn resolve(&self, receipt: bool) -> anyhow::Result<GuestOptions> {
        if receipt && self.until == Until::PowerOff {
            bail!(
                "--receipt cannot be used with --until power-off: a receipt records a reached login prompt"
            );
        }
        if let Some(ssh) = &self.ssh {
            // If ssh or the key is missing, fail now: after the boot it would look like an error of the image.
            run_program(&Invocation::new("ssh").arg("-V"))?;
            File::open(&ssh.key).context(|| format!("could not read the key `{}`", ssh.key.display()))?;
        }
        if !self.run.is_empty() && self.login.is_none() && self.ssh.is_none() {
            bail!("--run needs a login: add --login USER or --ssh USER=FILE");
        }
        if !(self.checks.is_empty() && self.test.is_empty()) && self.login.is_none() && self.ssh.is_none() {
            bail!("--checks and --test need a login: add --login root or --ssh root=FILE");
        }
        if (self.update.is_some() || self.grow.is_some())
            && self.login.is_none()
            && self.ssh.is_none()
            && self.cloud.is_none()
        {
            bail!("--update and --grow need a login: add --login root or --ssh root=FILE");
        }
        if self.until == Until::PowerOff && (self.login.is_some() || self.ssh.is_some()) {
            bail!("--until power-off cannot be used with --login or --ssh");
        }
        if self.until == Until::PowerOff && (self.again || self.host.is_some()) {
            bail!("--until power-off cannot be used with --again or --host, which need a login prompt");
        }
        let mut options = GuestOptions {
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
            cloud: self.cloud,
            cloud_fault: self.cloud_fault,
            checks: read_checks(&self.checks, &self.test)?,
            ..GuestOptions::default()
        };
        for (name, source) in &self.credential {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if name.is_empty() || !name.chars().all(is_plain) {
                bail!("invalid credential name `{name}`; use letters, digits, `.`, `-` and `_`");
            }
            options.credentials.push((name.clone(), read_secret(source)?));
        }
        if let Some(kernel) = &self.kernel {
            let direct = DirectKernel {
                kernel: kernel.clone(),
                initrd: self.initrd.clone(),
                command_line: self.append.clone(),
            };
            options.direct = Some(direct);
        }
        for (name, source) in &self.unlock {
            options.passphrases.insert(name.clone(), read_secret(source)?);
        }
        if let Some((user, source)) = &self.login {
            let password = source.as_ref().map(read_secret).transpose()?;
            options.login = Some(Login { user: user.clone(), password });
        }
        Ok(options)
    }
}
