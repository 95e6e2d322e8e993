//! `ister.root_ssh` on the kernel command line: root may log in to the running installer over ssh, without a password. As
//! insecure as it sounds: for machines in a laboratory that nobody can reach otherwise.

use crate::host::{Context, Failure, Invocation, find_program, run};
use std::path::Path;

const CONFIGURATION: &str = "/etc/ssh/sshd_config.d/00-ister-root-ssh.conf";

/// Opens it on this machine, until it is started again from an installer medium.
pub(super) fn open() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("ister.root_ssh needs root").help("run ister as root, as an installer does"));
    }
    if find_program("sshd").is_none() {
        return Err(Failure::new("ister.root_ssh: this system has no ssh server")
            .help("add the bundle `openssh-server` to the installer's template"));
    }
    let directory = Path::new(CONFIGURATION).parent().unwrap_or(Path::new("/etc/ssh"));
    std::fs::create_dir_all(directory).context(|| format!("could not create `{}`", directory.display()))?;
    std::fs::write(
        CONFIGURATION,
        "# Written by ister: ister.root_ssh was on the kernel command line.\nPermitRootLogin yes\n\
         PasswordAuthentication yes\nPermitEmptyPasswords yes\n",
    )
    .context(|| format!("could not write `{CONFIGURATION}`"))?;
    run(&Invocation::new("passwd").args(["-d", "root"]))?;
    // Debian calls it ssh, others sshd.
    let restart = |unit: &str| run(&Invocation::new("systemctl").args(["restart", unit]));
    restart("ssh.service")
        .or_else(|_| restart("sshd.service"))
        .map(|_| ())
        .map_err(|failure| failure.context("the ssh server could not be started with ister.root_ssh"))
}
