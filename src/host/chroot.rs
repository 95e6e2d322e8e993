//! Runs programs of the tree inside the tree, within the build namespace.

use super::failure::Context;
use super::{Failure, Invocation};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Mounts /proc, /sys and a container-like /dev in a tree while this value exists.
pub struct Chroot {
    tree: PathBuf,
    mounted: Vec<PathBuf>,
}

/// Device nodes bound from the host.
const DEVICES: &[&str] = &["full", "null", "random", "tty", "urandom", "zero"];

impl Chroot {
    pub fn enter(tree: &Path) -> Result<Chroot, Failure> {
        let mut chroot = Chroot { tree: tree.to_owned(), mounted: Vec::new() };
        let at = |name: &str| tree.join(name);
        for name in ["proc", "sys", "dev"] {
            // A link would lead to the directory of the host.
            if !at(name).symlink_metadata().is_ok_and(|m| m.is_dir()) {
                std::fs::create_dir(at(name)).context(|| format!("could not create the image's /{name}"))?;
            }
        }
        let safe = MountFlags::NOSUID | MountFlags::NOEXEC;
        chroot.mounted(at("proc"), rustix::mount::mount("proc", at("proc"), "proc", safe, None))?;
        chroot.mounted(at("sys"), rustix::mount::mount_bind_recursive("/sys", at("sys")))?;
        let data = c"mode=0755,size=1M";
        chroot.mounted(at("dev"), rustix::mount::mount("tmpfs", at("dev"), "tmpfs", safe, Some(data)))?;
        for name in DEVICES {
            let path = at("dev").join(name);
            std::fs::write(&path, "").context(|| format!("could not create the image's /dev/{name}"))?;
            chroot.mounted(path.clone(), rustix::mount::mount_bind(Path::new("/dev").join(name), &path))?;
        }
        // Hides firmware variables of the host, which root could modify.
        let variables = at("sys/firmware/efi/efivars");
        if variables.is_dir() {
            let hidden = rustix::mount::mount("tmpfs", &variables, "tmpfs", safe | MountFlags::RDONLY, None);
            chroot.mounted(variables, hidden)?;
        }
        // Private terminals and shared memory. Source: Linux, Documentation/filesystems/devpts.rst.
        for (name, kind, data) in
            [("pts", "devpts", c"newinstance,ptmxmode=0666,mode=0620"), ("shm", "tmpfs", c"mode=1777")]
        {
            let path = at("dev").join(name);
            std::fs::create_dir(&path).context(|| format!("could not create the image's /dev/{name}"))?;
            chroot.mounted(path.clone(), rustix::mount::mount(kind, &path, kind, safe, Some(data)))?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            std::os::unix::fs::symlink(target, at("dev").join(name))
                .context(|| format!("could not create the image's /dev/{name}"))?;
        }
        Ok(chroot)
    }

    /// Like [`enter`](Self::enter), with an additional empty tmpfs on /run, whose content does not become part of the
    /// image.
    pub fn enter_with_run(tree: &Path) -> Result<Chroot, Failure> {
        let mut chroot = Chroot::enter(tree)?;
        let run = tree.join("run");
        // A link would lead to the directory of the host.
        if run.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            let safe = MountFlags::NOSUID | MountFlags::NODEV;
            let mounted = rustix::mount::mount("tmpfs", &run, "tmpfs", safe, Some(c"mode=0755"));
            chroot.mounted(run.clone(), mounted)?;
            // /var/lock of Debian is a link to this directory.
            let context = || "could not create the image's /run/lock".to_owned();
            std::fs::create_dir(run.join("lock")).context(context)?;
            std::fs::set_permissions(run.join("lock"), Permissions::from_mode(0o1777)).context(context)?;
        }
        Ok(chroot)
    }

    fn mounted(&mut self, path: PathBuf, result: rustix::io::Result<()>) -> Result<(), Failure> {
        result.context(|| format!("could not mount `{}` inside the namespace", path.display()))?;
        self.mounted.push(path);
        Ok(())
    }

    /// Returns an invocation of a program of the tree, as root and without the environment of the host.
    pub fn invocation(&self, program: &str) -> Invocation {
        Invocation::new("env")
            .args(["-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"])
            .args(["LC_ALL=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive", "chroot"])
            .arg(&self.tree)
            .arg(program)
    }

    /// Like [`invocation`](Self::invocation), with additional variables.
    pub fn invocation_with(&self, variables: &[(&str, String)], program: &str) -> Invocation {
        let mut invocation = self.invocation(program);
        // After `env -i` and before `chroot`.
        for (name, value) in variables {
            invocation.args.insert(1, format!("{name}={value}").into());
        }
        invocation
    }
}

impl Drop for Chroot {
    fn drop(&mut self) {
        for path in self.mounted.iter().rev() {
            // Detached: a daemon started by a hook must not block the unmount; it ends with the namespace.
            let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
        }
    }
}
