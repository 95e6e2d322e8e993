//! Content of rpm packages through dnf, inside the build's namespace: Fedora, its relatives, and repositories of one's own.

use super::apt::Keyring;
use super::dnf_output::{self, Fault};
use super::prepare::{self, Ready};
use super::request::now;
use super::tree::Tree;
use crate::host::{Chroot, Context, Failure, Invocation, Progress, RunError, run, run_reporting};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised whenever the same packages would give another tree.
const RECIPE: u32 = 2;

/// Where keys that packages are checked with stay.
pub const KEYS: &str = "/etc/pki/rpm-gpg";

/// What `-C URL` is called.
const REPOSITORY: &str = "ister";

/// Where rpm's database is: where Fedora has it since 36, with a link from where all others have it.
pub const DATABASES: [&str; 2] = [SYSIMAGE, VAR];
const SYSIMAGE: &str = "/usr/lib/sysimage/rpm";
const VAR: &str = "/var/lib/rpm";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DnfRequest {
    /// For `$releasever`; "latest" leaves that to the configuration.
    pub release: String,
    pub packages: Vec<String>,
    /// `-C URL`: the one repository that packages come from.
    pub repository: Option<String>,
    /// `-d FILE`: its path, and its text.
    pub configuration: Option<(PathBuf, String)>,
    /// Digests of the indexes of repositories that are on this host.
    pub local_indexes: Vec<String>,
    /// What packages of the repository are checked with.
    pub keyring: Option<Keyring>,
    pub epoch: Option<u64>,
    /// Proxies, which may carry a password: they stand in the environment, not in arguments.
    pub environment: Vec<(String, String)>,
}

impl DnfRequest {
    pub(super) fn identity(&self) -> String {
        let text = self.configuration.as_ref().map(|(_, text)| text);
        let parts = (
            "dnf",
            RECIPE,
            std::env::consts::ARCH,
            &self.release,
            &self.packages,
            &self.repository,
            text,
            &self.keyring,
            self.epoch,
            &self.local_indexes,
        );
        serde_json::to_string(&parts).expect("a request is plain data")
    }

    pub(super) fn fill(
        &self,
        workspace: &Path,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<Ready, Failure> {
        if self.repository.is_none() && self.configuration.is_none() {
            return Err(Failure::new("it is not said which repository dnf content comes from")
                .help("name one: -C URL, or a configuration of dnf that has some: -d FILE"));
        }
        std::fs::create_dir(target).context(|| format!("could not create `{}`", target.display()))?;
        let write = |name: &str, bytes: &[u8]| -> Result<PathBuf, Failure> {
            let path = workspace.join(name);
            std::fs::write(&path, bytes).context(|| format!("could not write `{}`", path.display()))?;
            Ok(path)
        };
        // Debian's rpm keeps its database in the home directory unless told otherwise.
        write(".rpmmacros", format!("%_dbpath {VAR}\n").as_bytes())?;
        let keyring = self.keyring.as_ref().map(|keyring| write(&keyring.name, &keyring.data)).transpose()?;
        if self.repository.is_some() && keyring.is_none() {
            progress.warn(
                "packages of this repository are not checked: -s FILE names the keys they are signed with",
            );
        }
        {
            // What packages run expects /dev and /proc.
            let _inside = Chroot::enter(target)?;
            let command = self.dnf(workspace, target, keyring.as_deref());
            progress.begin("fetching package lists");
            run_reporting(&command, &mut |_| {}).map_err(|error| self.explain(error))?;
        }
        let tree = Tree::open(target)?;
        if let Some(keyring) = &self.keyring {
            tree.write_bytes(&format!("{KEYS}/{}", keyring.name), &keyring.data, 0o644)?;
        }
        progress.begin("preparing the content");
        move_database(&tree)?;
        kernels(&tree)?;
        for directory in ["/var/cache/dnf", "/var/lib/dnf"] {
            tree.empty_directory(directory)?;
        }
        for name in
            tree.list("/var/log").iter().filter(|name| name.starts_with("dnf.") || *name == "hawkey.log")
        {
            tree.remove(&format!("/var/log/{name}"))?;
        }
        let epoch = self.epoch.unwrap_or_else(now);
        prepare::prepare(&tree, epoch, progress)?;
        Ok(Ready { epoch })
    }

    fn dnf(&self, workspace: &Path, target: &Path, keyring: Option<&Path>) -> Invocation {
        let mut dnf = Invocation::new("dnf")
            .args(["install", "--assumeyes", "--setopt=install_weak_deps=False", "--setopt=tsflags=nodocs"])
            // Damaged or missing packages are an error, not a smaller system.
            .args(["--setopt=strict=1", "--setopt=skip_if_unavailable=False"])
            .arg(format!("--installroot={}", target.display()));
        if self.release != "latest" {
            dnf = dnf.arg(format!("--releasever={}", self.release));
        }
        if let Some((path, _)) = &self.configuration {
            dnf = dnf.arg(format!("--config={}", path.display()));
        }
        if let Some(url) = &self.repository {
            dnf = dnf.arg(format!("--repofrompath={REPOSITORY},{url}")).arg(format!("--repo={REPOSITORY}"));
            dnf = match keyring {
                Some(path) => dnf
                    .arg(format!("--setopt={REPOSITORY}.gpgcheck=1"))
                    .arg(format!("--setopt={REPOSITORY}.gpgkey=file://{}", path.display())),
                None => dnf.arg(format!("--setopt={REPOSITORY}.gpgcheck=0")),
            };
        }
        dnf = dnf.arg("--").args(&self.packages).env("HOME", workspace);
        self.environment.iter().fold(dnf, |dnf, (name, value)| dnf.env(name, value))
    }

    /// Turns what dnf said into what was needed and what to do.
    fn explain(&self, error: RunError) -> Failure {
        if !error.has_run() {
            return error.into();
        }
        let fault = dnf_output::fault(error.last_lines());
        let place = self.repository.clone().or_else(|| {
            self.configuration.as_ref().map(|(path, _)| format!("the repositories of `{}`", path.display()))
        });
        let place = place.unwrap_or_default();
        match fault {
            None => error.context("could not install the content"),
            Some(Fault::Unknown(name)) => {
                Failure::new(format!("the package `{name}` does not exist in {place}"))
                    .of_template()
                    .help("correct the name in `Bundles`; a name that is not a bundle is taken as a package")
            }
            Some(Fault::NoSpace) => error
                .context("there is not enough space for the content")
                .help("free some memory or disk space; `ister cache prune` empties the content cache"),
            Some(Fault::Untrusted) => error
                .context(format!("packages cannot be trusted: {place}"))
                .help("name the keys they are signed with: -s FILE"),
            Some(Fault::Unreachable) => error
                .context(format!("the repository cannot be reached: {place}"))
                .help("check the address (the directory that has `repodata`), the network and the proxy"),
        }
    }
}

/// To where the tree's own rpm looks for it.
fn move_database(tree: &Tree) -> Result<(), Failure> {
    let macros = tree.read("/usr/lib/rpm/macros")?.unwrap_or_default();
    let own = macros.lines().find_map(|line| line.strip_prefix("%_dbpath")).unwrap_or_default();
    if own.contains("sysimage") && tree.is_directory(VAR) && !tree.exists(&format!("{SYSIMAGE}/rpmdb.sqlite"))
    {
        // Its own package may have made an empty directory there.
        tree.remove_empty_directory(SYSIMAGE);
        tree.rename(VAR, SYSIMAGE)?;
        tree.symlink(VAR, "../../usr/lib/sysimage/rpm")?;
    }
    Ok(())
}

/// Kernels lie beside their modules, where a running system's own tools would copy them from; and have an initramfs made.
fn kernels(tree: &Tree) -> Result<(), Failure> {
    for version in tree.list("/usr/lib/modules") {
        let (beside, in_boot) =
            (format!("/usr/lib/modules/{version}/vmlinuz"), format!("/boot/vmlinuz-{version}"));
        if tree.exists(&beside) && !tree.exists(&in_boot) {
            tree.copy(&beside, &in_boot)?;
        }
        let initramfs = format!("/boot/initramfs-{version}.img");
        let has_one = tree.exists(&initramfs) || tree.exists(&format!("/boot/initrd.img-{version}"));
        if tree.exists(&in_boot) && !has_one && tree.exists("/usr/bin/dracut") {
            let chroot = Chroot::enter(tree.path())?;
            let dracut =
                chroot.invocation("dracut").args(["--no-hostonly", "--reproducible", "--kver", &version]);
            run(&dracut.arg(&initramfs)).map_err(|failure| {
                failure.context(format!("could not make the initramfs of kernel {version}"))
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> DnfRequest {
        DnfRequest {
            release: "40".into(),
            packages: vec!["bash".into(), "kernel".into()],
            repository: Some("file:///srv/repo".into()),
            configuration: None,
            local_indexes: vec![],
            keyring: None,
            epoch: None,
            environment: vec![("https_proxy".into(), "http://u:secret@p".into())],
        }
    }

    #[test]
    fn the_command_line_has_no_secrets() {
        assert_eq!(
            request().dnf(Path::new("/w"), Path::new("/w/tree"), None).to_string(),
            "dnf install --assumeyes --setopt=install_weak_deps=False --setopt=tsflags=nodocs --setopt=strict=1 \
             --setopt=skip_if_unavailable=False --installroot=/w/tree --releasever=40 \
             --repofrompath=ister,file:///srv/repo --repo=ister --setopt=ister.gpgcheck=0 -- bash kernel"
        );
        assert!(!request().identity().contains("secret"));
    }

    #[test]
    fn what_dnf_said_becomes_what_to_do() {
        let explained = |said: &str| {
            let script = format!("echo \"{said}\" >&2; exit 1");
            request().explain(run(&Invocation::new("sh").args(["-c", &script])).unwrap_err()).message
        };
        assert_eq!(
            explained("Error: Unable to find a match: nosuch"),
            "the package `nosuch` does not exist in file:///srv/repo"
        );
        assert_eq!(
            explained(
                "Errors during downloading metadata for repository 'ister': Cannot download repomd.xml"
            ),
            "the repository cannot be reached: file:///srv/repo"
        );
    }

    #[test]
    fn the_database_goes_where_the_trees_own_rpm_looks() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        tree.write("/var/lib/rpm/rpmdb.sqlite", "db", 0o644).unwrap();
        move_database(&tree).unwrap();
        assert!(tree.is_directory("/var/lib/rpm"), "it stays where nothing else is known");
        tree.write("/usr/lib/rpm/macros", "%_dbpath\t\t%{_usr}/lib/sysimage/rpm\n", 0o644).unwrap();
        tree.make_directory(SYSIMAGE).unwrap();
        move_database(&tree).unwrap();
        for place in DATABASES {
            assert_eq!(tree.read(&format!("{place}/rpmdb.sqlite")).unwrap().as_deref(), Some("db"));
        }
    }

    #[test]
    fn a_kernel_beside_its_modules_comes_to_boot() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        tree.write("/usr/lib/modules/6.9-1/vmlinuz", "kernel", 0o755).unwrap();
        kernels(&tree).unwrap();
        assert_eq!(tree.read("/boot/vmlinuz-6.9-1").unwrap().as_deref(), Some("kernel"));
    }
}
