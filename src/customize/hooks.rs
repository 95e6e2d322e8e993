//! The template's own programs and commands.

use crate::plan::Hooks;
use crate::tool::{Chroot, Failure, Invocation, Progress, run_reporting};
use std::path::Path;

/// `PreInstallShell`: on the host, as the user who runs ister, before anything is written.
pub fn pre_install(hooks: &Hooks, progress: &dyn Progress) -> Result<(), Failure> {
    for command in &hooks.pre_install_shell {
        hook("PreInstallShell", command, Invocation::new("sh").args(["-c", command]), progress)?;
    }
    Ok(())
}

/// The hooks that see the finished tree, as root of the build's namespace, in ister.py's order.
pub fn post_hooks(hooks: &Hooks, tree: &Path, progress: &dyn Progress) -> Result<(), Failure> {
    for program in &hooks.post_non_chroot {
        hook("PostNonChroot", program, Invocation::new(program.as_str()).arg(tree), progress)?;
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
    run_reporting(&invocation, &mut |line| progress.note(format!("{kind}: {line}")))
        .map(|_| ())
        .map_err(|failure| failure.context(format!("the hook {kind} `{name}` failed")))
}
