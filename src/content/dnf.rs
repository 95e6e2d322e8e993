//! Installs RPM content with dnf inside the build namespace: Fedora, its derivatives, and custom repositories.

use super::apt::Keyring;
use super::dnf_output::{self, DnfError};
use super::prepare::{self, Ready};
use super::request::now;
use super::tree::Tree;
use crate::host::{Chroot, Context, Failure, Invocation, Progress, RunError, run, run_reporting};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the installation steps. Increment it whenever the same packages result in a different tree.
const RECIPE: u32 = 2;

/// Directory of the package signing keys on the installed system.
pub const KEYS: &str = "/etc/pki/rpm-gpg";

/// Repository ID for `-C URL`.
const REPOSITORY: &str = "ister";

/// Paths of the RPM database: the location of Fedora since version 36, and the traditional location, which is a link to
/// it there.
pub const DATABASES: [&str; 2] = [SYSIMAGE, VAR];
const SYSIMAGE: &str = "/usr/lib/sysimage/rpm";
const VAR: &str = "/var/lib/rpm";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DnfRequest {
    /// Value of `$releasever`; with "latest" the configuration decides.
    pub release: String,
    pub packages: Vec<String>,
    /// `-C URL`: the only repository to install from.
    pub repository: Option<String>,
    /// `-d FILE`: path and text of the configuration.
    pub configuration: Option<(PathBuf, String)>,
    /// Digests of the indexes of local repositories.
    pub local_indexes: Vec<String>,
    /// Keys that packages of the repository are verified with.
    pub keyring: Option<Keyring>,
    pub epoch: Option<u64>,
    /// Proxies. They may contain a password and are therefore passed in the environment, not as arguments.
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
            return Err(Failure::new("no repository configured for dnf content")
                .help("specify a repository with -C URL, or a dnf configuration file with -d FILE"));
        }
        std::fs::create_dir(target).context(|| format!("could not create `{}`", target.display()))?;
        let write = |name: &str, bytes: &[u8]| -> Result<PathBuf, Failure> {
            let path = workspace.join(name);
            std::fs::write(&path, bytes).context(|| format!("could not write `{}`", path.display()))?;
            Ok(path)
        };
        // Debian's rpm stores its database in the home directory by default.
        write(".rpmmacros", format!("%_dbpath {VAR}\n").as_bytes())?;
        let keyring = self.keyring.as_ref().map(|keyring| write(&keyring.name, &keyring.data)).transpose()?;
        if self.repository.is_some() && keyring.is_none() {
            progress.warn("package signatures are not verified (specify the signing keys with -s FILE)");
        }
        {
            // Package scriptlets require /dev and /proc.
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
            // Damaged or missing packages are errors instead of being skipped.
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

    /// Converts the output of dnf to an error message with a help line.
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
            Some(DnfError::Unknown(name)) => {
                Failure::new(format!("the package `{name}` does not exist in {place}"))
                    .of_template()
                    .help("correct the name in `Bundles`; names that are not bundles are package names")
            }
            Some(DnfError::NoSpace) => error
                .context("there is not enough space for the content")
                .help("free some memory or disk space; `ister cache prune` empties the content cache"),
            Some(DnfError::Untrusted) => error
                .context(format!("could not verify package signatures: {place}"))
                .help("specify the signing keys with -s FILE"),
            Some(DnfError::Unreachable) => error
                .context(format!("could not connect to the repository: {place}"))
                .help("check the URL (of the directory that contains `repodata`), the network and the proxy"),
        }
    }
}

/// Moves the RPM database to the path that rpm inside the tree uses.
fn move_database(tree: &Tree) -> Result<(), Failure> {
    let macros = tree.read("/usr/lib/rpm/macros")?.unwrap_or_default();
    let own = macros.lines().find_map(|line| line.strip_prefix("%_dbpath")).unwrap_or_default();
    if own.contains("sysimage") && tree.is_directory(VAR) && !tree.exists(&format!("{SYSIMAGE}/rpmdb.sqlite"))
    {
        // The rpm package may have created an empty directory there.
        tree.remove_empty_directory(SYSIMAGE);
        tree.rename(VAR, SYSIMAGE)?;
        tree.symlink(VAR, "../../usr/lib/sysimage/rpm")?;
    }
    Ok(())
}

/// Copies kernels from /usr/lib/modules to /boot, as the tools of a running system would do, and generates an initramfs
/// for each.
fn kernels(tree: &Tree) -> Result<(), Failure> {
    for version in tree.list("/usr/lib/modules") {
        let (in_modules, in_boot) =
            (format!("/usr/lib/modules/{version}/vmlinuz"), format!("/boot/vmlinuz-{version}"));
        if tree.exists(&in_modules) && !tree.exists(&in_boot) {
            tree.copy(&in_modules, &in_boot)?;
        }
        let initramfs = format!("/boot/initramfs-{version}.img");
        let has_one = tree.exists(&initramfs) || tree.exists(&format!("/boot/initrd.img-{version}"));
        if tree.exists(&in_boot) && !has_one && tree.exists("/usr/bin/dracut") {
            let chroot = Chroot::enter(tree.path())?;
            let dracut =
                chroot.invocation("dracut").args(["--no-hostonly", "--reproducible", "--kver", &version]);
            run(&dracut.arg(&initramfs)).map_err(|failure| {
                failure.context(format!("could not generate the initramfs for kernel {version}"))
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
    fn command_line_contains_no_secrets() {
        assert_eq!(
            request().dnf(Path::new("/w"), Path::new("/w/tree"), None).to_string(),
            "dnf install --assumeyes --setopt=install_weak_deps=False --setopt=tsflags=nodocs --setopt=strict=1 \
             --setopt=skip_if_unavailable=False --installroot=/w/tree --releasever=40 \
             --repofrompath=ister,file:///srv/repo --repo=ister --setopt=ister.gpgcheck=0 -- bash kernel"
        );
        assert!(!request().identity().contains("secret"));
    }

    #[test]
    fn dnf_errors_are_explained() {
        let explained = |output: &str| {
            let script = format!("echo \"{output}\" >&2; exit 1");
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
            "could not connect to the repository: file:///srv/repo"
        );
    }

    #[test]
    fn database_is_moved_to_the_path_in_rpm_macros() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        tree.write("/var/lib/rpm/rpmdb.sqlite", "db", 0o644).unwrap();
        move_database(&tree).unwrap();
        assert!(tree.is_directory("/var/lib/rpm"), "the default location is kept without a macros file");
        tree.write("/usr/lib/rpm/macros", "%_dbpath\t\t%{_usr}/lib/sysimage/rpm\n", 0o644).unwrap();
        tree.make_directory(SYSIMAGE).unwrap();
        move_database(&tree).unwrap();
        for place in DATABASES {
            assert_eq!(tree.read(&format!("{place}/rpmdb.sqlite")).unwrap().as_deref(), Some("db"));
        }
    }

    #[test]
    fn kernels_are_copied_to_boot() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        tree.write("/usr/lib/modules/6.9-1/vmlinuz", "kernel", 0o755).unwrap();
        kernels(&tree).unwrap();
        assert_eq!(tree.read("/boot/vmlinuz-6.9-1").unwrap().as_deref(), Some("kernel"));
    }
}
