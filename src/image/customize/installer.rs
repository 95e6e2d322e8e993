//! Turns a system into an installer: adds ister itself and the content that it installs.

use crate::content::{Metadata, Tree, cache_names};
use crate::host::{Chroot, Context, Failure, run};
use crate::plan::{INSTALLER_CACHE, INSTALLER_TEMPLATES};
use std::fs::File;
use std::io::{Seek, SeekFrom};

const PROGRAM: &str = "/usr/bin/ister";
/// Programs needed by every installation.
const NEEDED: &[&str] = &["blkid", "cp", "mke2fs", "mkfs.vfat", "mkswap", "setpriv", "unshare"];

/// Copies the running program into the tree as `ister` and `ister.py`.
pub fn add_installer(tree: &Tree) -> Result<(), Failure> {
    let own = "/proc/self/exe";
    let mut program = File::open(own).context(|| "could not read the program file of ister".to_owned())?;
    tree.copy_in(&mut program, PROGRAM, 0o755)?;
    tree.symlink("/usr/bin/ister.py", "ister")?;
    let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let missing: Vec<&str> = NEEDED
        .iter()
        .copied()
        .filter(|name| !directories.iter().any(|directory| tree.exists(&format!("{directory}/{name}"))))
        .collect();
    if !missing.is_empty() {
        return Err(Failure::new("programs for installing are missing in the package contents")
            .of_template()
            .detail(format!("missing: {}", missing.join(", ")))
            .help("add the bundle `os-installer` to `Bundles`"));
    }
    let chroot = Chroot::enter(tree.path())?;
    run(&chroot.invocation(PROGRAM).arg("--version")).map_err(|failure| {
        failure
            .context("ister does not run with the libraries of the package contents")
            .help("build ister on a system that is as old as the package contents; this one was built for a newer system")
    })?;
    Ok(())
}

/// Adds a template and its packed content in the layout of ister's cache.
pub fn carry(
    tree: &Tree,
    (name, text): (&str, &str),
    (key, metadata): (&str, &Metadata),
    packed: &File,
) -> Result<(), Failure> {
    // The template may contain passphrases and password hashes.
    tree.write(&format!("{INSTALLER_TEMPLATES}/{name}"), text, 0o600)?;
    let (content, description) = cache_names(key);
    let mut packed = packed;
    packed.seek(SeekFrom::Start(0)).context(|| "could not read the packed content".to_owned())?;
    tree.copy_in(&mut packed, &format!("{INSTALLER_CACHE}/{content}"), 0o644)?;
    let text = serde_json::to_string(metadata).expect("metadata is serializable") + "\n";
    tree.write(&format!("{INSTALLER_CACHE}/{description}"), &text, 0o644)
}
