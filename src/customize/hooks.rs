//! The template's own programs and commands.

use crate::plan::Hooks;
use crate::tool::{Chroot, Failure, Invocation, Progress, run_reporting};
use std::path::Path;

/// `PreInstallShell`: on the host, as the user who runs ister, before anything is written.
pub fn pre_install(hooks: &Hooks, progress: &dyn Progress) -> Result<(), Failure> {
    for command in &hooks.pre_install_shell {
        // It must not outlive us; inside the namespace everything ends with it anyway.
        let shell = Invocation::new("setpriv").args(["--pdeathsig", "KILL", "sh", "-c", command]);
        hook("PreInstallShell", command, shell, progress)?;
    }
    Ok(())
}

/// The hooks that see the finished tree, as root of the build's namespace, in ister.py's order.
pub fn post_hooks(hooks: &Hooks, tree: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    for program in &hooks.post_non_chroot {
        // As lint looked for it: relative to the current folder, not to PATH.
        let path = std::path::absolute(program).unwrap_or_else(|_| program.into());
        hook("PostNonChroot", program, Invocation::new(path.to_string_lossy()).arg(tree), progress)?;
    }
    for command in &hooks.post_non_chroot_shell {
        let shell = Invocation::new("sh").args(["-c", command]).env("ISTER_CHROOT", tree);
        hook("PostNonChrootShell", command, shell, progress)?;
    }
    if hooks.post_chroot.is_empty() && hooks.post_chroot_shell.is_empty() {
        return Ok(());
    }
    let chroot = Chroot::enter(tree)?;
    for program in &hooks.post_chroot {
        hook("PostChroot", program, chroot.invocation(program), progress)?;
    }
    for command in &hooks.post_chroot_shell {
        hook("PostChrootShell", command, chroot.invocation("/bin/sh").args(["-c", command]), progress)?;
    }
    Ok(())
}

fn hook(kind: &str, name: &str, invocation: Invocation, progress: &dyn Progress) -> Result<(), Failure> {
    progress.begin(format!("running {kind} `{name}`"));
    // What it says on stdout counts as well.
    let mut both = Invocation::new("sh").args(["-c", "exec \"$@\" 1>&2", "sh", &invocation.program]);
    both.args.extend(invocation.args);
    both.env = invocation.env;
    let invocation = both;
    run_reporting(&invocation, &mut |line| progress.note(format!("{kind}: {line}")))
        .map(|_| ())
        .map_err(|failure| failure.context(format!("the hook {kind} `{name}` failed")))
}
