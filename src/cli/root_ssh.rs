//! `ister.root_ssh` on the kernel command line: root can log in to the running installer over ssh without a password.
//! This is insecure, and only meant for machines in isolated lab networks.

use crate::host::{Context, Failure, Invocation, find_program, run};
use std::path::Path;

const CONFIGURATION: &str = "/etc/ssh/sshd_config.d/00-ister-root-ssh.conf";

/// Enables passwordless root logins on this machine until the next reboot of the installer.
pub(super) fn open() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("ister.root_ssh requires root privileges").help("run ister as root"));
    }
    if find_program("sshd").is_none() {
        return Err(Failure::new("ister.root_ssh: no ssh server found on this system")
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
    // The unit is `ssh` on Debian and `sshd` on other distributions.
    let restart = |unit: &str| run(&Invocation::new("systemctl").args(["restart", unit]));
    restart("ssh.service")
        .or_else(|_| restart("sshd.service"))
        .map(|_| ())
        .map_err(|failure| failure.context("ister.root_ssh: could not restart the ssh server"))
}
