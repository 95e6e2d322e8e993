//! Installs Debian and Ubuntu content with mmdebstrap inside the build namespace.

use super::apt_output::{self, AptError, Unmet};
use super::architecture;
use super::prepare::{self, Ready};
use super::request::now;
use super::tree::Tree;
use crate::host::{Context, Failure, Invocation, Progress, RunError, run_reporting};
use crate::template::nearest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// Version of the installation steps. Increment it whenever the same packages result in a different tree.
const RECIPE: u32 = 13;

/// Request for a tree of Debian packages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AptRequest {
    pub suite: String,
    /// sources.list(5) lines.
    pub sources: Vec<String>,
    /// Digests of the indexes of local repositories.
    pub local_indexes: Vec<String>,
    pub packages: Vec<String>,
    /// `SOURCE_DATE_EPOCH` if the user set it; otherwise the date of the archive is used.
    pub epoch: Option<u64>,
    /// Fetch settings of apt on the host. Not part of the identity of the tree.
    pub apt_options: Vec<String>,
    /// Keyring that replaces the keys of the host during the build and on the installed system.
    pub keyring: Option<Keyring>,
}

/// Public keys of an archive, in a file that is installed on the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    /// File name.
    pub name: String,
    pub data: Vec<u8>,
}

impl Keyring {
    /// Path on the installed system. Source: sources.list(5), "signed-by": /etc/apt/keyrings is the directory for keys
    /// that are not managed by packages.
    pub fn path(&self) -> String {
        format!("/etc/apt/keyrings/{}", self.name)
    }
}

impl AptRequest {
    /// Returns everything that determines the content of the tree.
    pub(super) fn identity(&self) -> String {
        let parts = (
            RECIPE,
            architecture(),
            &self.suite,
            &self.sources,
            &self.packages,
            self.epoch,
            &self.keyring,
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
        let apt_options = workspace.join("apt.conf");
        std::fs::write(&apt_options, self.apt_options.join("\n") + "\n")
            .context(|| format!("could not write `{}`", apt_options.display()))?;
        if let Some(keyring) = &self.keyring {
            let path = workspace.join(&keyring.name);
            std::fs::write(&path, &keyring.data)
                .context(|| format!("could not write `{}`", path.display()))?;
        }
        prepare::prepare_target(target, &self.packages)?;
        let command = mmdebstrap(self, target, &apt_options);
        let finished = run_reporting(&command, &mut |line| {
            if let Some(step) = line.strip_prefix("I: ").and_then(step) {
                progress.begin(step);
            }
        });
        finished.map_err(|error| explain(error, self, target))?;
        let tree = Tree::open(target)?;
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => prepare::archive_epoch(&tree).unwrap_or_else(now),
        };
        prepare::write_sources(&tree, self.keyring.as_ref())?;
        // mmdebstrap 1.6 and later write different comments to this file.
        tree.write("/etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n", 0o644)?;
        prepare::prepare(&tree, epoch, progress)?;
        Ok(Ready { epoch })
    }
}

/// Returns the command that installs to `target`. The initramfs is generated once at the end. Nothing is synced to
/// disk, because an interrupted tree is built again anyway.
///
/// Options of apt are passed in a file: the password of a proxy must not appear in an argument list.
fn mmdebstrap(request: &AptRequest, target: &Path, apt_options: &Path) -> Invocation {
    let keyring = request.keyring.iter().map(|keyring| {
        let workspace = target.parent().unwrap_or(Path::new("/tmp"));
        format!("--keyring={}", workspace.join(&keyring.name).display())
    });
    Invocation::new("mmdebstrap")
        .args(keyring)
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        .args(["--skip=check/empty", "--skip=cleanup/apt/lists"])
        // Version 1.6 diverts start-stop-daemon at two paths, which are the same file with a merged /usr. Daemons do
        // not start because of policy-rc.d, and would end with the namespace.
        .arg("--skip=chroot/start-stop-daemon")
        .args(["--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages \"none\""])
        .arg(format!("--aptopt={}", apt_options.display()))
        .arg(format!("--include={}", request.packages.join(",")))
        .arg(&request.suite)
        .arg(target)
        .args(&request.sources)
        .env("INITRD", "No")
        .env("TMPDIR", target.parent().unwrap_or(Path::new("/tmp")))
}

/// Translates the progress messages of mmdebstrap that announce a long step.
fn step(line: &str) -> Option<&'static str> {
    Some(match line.trim_end_matches("...") {
        "running apt-get update" => "fetching package lists",
        "downloading packages with apt" => "downloading packages",
        "extracting archives" => "unpacking essential packages",
        "installing essential packages" => "configuring essential packages",
        "installing remaining packages inside the chroot" => "installing packages",
        _ => return None,
    })
}

/// Converts the output of apt and dpkg to an error message with a help line.
fn explain(error: RunError, request: &AptRequest, target: &Path) -> Failure {
    if !error.has_run() {
        return error.into();
    }
    let lines: Vec<&str> = error.last_lines().iter().map(String::as_str).collect();
    let fault = apt_output::fault(&lines);
    let archives = request.sources.join(", ");
    match fault {
        None => error.context("could not install the content"),
        Some(AptError::NoSpace) => error
            .context("there is not enough space for the content")
            .help("free some memory or disk space; `ister cache prune` empties the content cache"),
        Some(AptError::Unmet(unmet)) => explain_unmet(&unmet, request, target),
        Some(AptError::Untrusted) => {
            error.context(format!("could not verify the signature of the archive: {archives}")).help(
                "install the archive's keyring (Debian: debian-archive-keyring), or specify another archive with -C",
            )
        }
        Some(AptError::Unreachable) => error
            .context(format!("could not connect to the archive: {archives}"))
            .help("check the network and the proxy, or specify another archive with -C"),
        Some(AptError::MissingFile(file)) => error
            .context(format!("the archive lacks a file listed in its package lists: {file}"))
            .help("the mirror is incomplete or being updated: try again later, or specify another one with -C"),
        // apt's other output is about mmdebstrap's temporary directory.
        Some(AptError::NoSuite) => Failure::new(format!("the archive has no suite `{}`", request.suite))
            .detail(format!("searched: {archives}"))
            .help(match suggested_suite(&request.suite) {
                Some(suite) => format!("did you mean `{suite}`? Otherwise specify another archive with -C"),
                None => "correct `Version`, or specify another archive with -C".to_owned(),
            })
            .of_template()
            .about_release(),
    }
}

/// The suite of Debian or Ubuntu whose name is similar.
fn suggested_suite(name: &str) -> Option<&'static str> {
    let known = [
        "bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "focal", "jammy",
        "noble",
    ];
    nearest(name, &known).filter(|suite| *suite != name)
}

/// Explains why the archive cannot satisfy the request of the template.
fn explain_unmet(unmet: &Unmet, request: &AptRequest, target: &Path) -> Failure {
    let suite = &request.suite;
    let lists = PackageLists::read(target);
    let list = |names: &[String]| names.join("`, `");
    let (failure, packages) = match unmet {
        Unmet::Unknown { package } | Unmet::Unavailable { package, .. } => {
            let failure = Failure::new(format!("the package `{package}` does not exist in {suite}"));
            let failure = match unmet {
                Unmet::Unavailable { replacements, .. } if !replacements.is_empty() => {
                    failure.help(format!("it was replaced by `{}`", list(replacements)))
                }
                _ => match lists.nearest(package).as_slice() {
                    [] => failure
                        .help("correct the name in `Bundles`; names that are not bundles are package names"),
                    near => failure.help(format!("similar packages: `{}`", list(near))),
                },
            };
            (failure, vec![package.clone()])
        }
        Unmet::NoVersion { package, version } => {
            let failure = Failure::new(format!(
                "version `{version}` of the package `{package}` does not exist in {suite}"
            ));
            let failure = match lists.versions(package).as_slice() {
                [] => failure.help("correct the name in `Bundles`"),
                versions => failure.help(format!("available versions: `{}`", list(versions))),
            };
            (failure, vec![format!("{package}={version}")])
        }
        Unmet::Virtual { package, providers } => {
            let message = format!("`{package}` is a virtual package in {suite} with several providers");
            let help = format!("replace it in `Bundles` with one of: `{}`", list(providers));
            (Failure::new(message).help(help), vec![package.clone()])
        }
        Unmet::Together { reasons } => {
            let failure = Failure::new("these packages cannot be installed together")
                .help("remove one of them from `Bundles`; for testing and unstable, try again later");
            let failure = reasons.iter().fold(failure, |failure, reason| failure.detail(reason.clone()));
            // "PACKAGE : Conflicts: …"
            let packages = reasons.iter().filter_map(|reason| reason.split_once(" : "));
            (failure, packages.map(|(package, _)| package.to_owned()).collect())
        }
    };
    failure.detail(format!("searched: {}", request.sources.join(", "))).of_template().about_packages(packages)
}

/// The package lists that apt downloaded to the target tree.
struct PackageLists(Vec<String>);

impl PackageLists {
    fn read(target: &Path) -> PackageLists {
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(target.join("var/lib/apt/lists")).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with("_Packages") {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                texts.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        PackageLists(texts)
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|text| text.lines())
    }

    /// Returns the distinct versions of a package, in the order of the lists.
    fn versions(&self, package: &str) -> Vec<String> {
        let mut versions = Vec::new();
        let mut is_it = false;
        for line in self.lines() {
            if let Some(name) = line.strip_prefix("Package: ") {
                is_it = name == package;
            } else if let Some(version) = line.strip_prefix("Version: ").filter(|_| is_it) {
                versions.push(version.to_owned());
            }
        }
        versions.dedup();
        versions
    }

    /// Returns package names similar to `name`, most similar first.
    fn nearest(&self, name: &str) -> Vec<String> {
        const MOST: usize = 3;
        // Minimum similarity, where 1 means equal.
        const LEAST: f64 = 0.75;
        let names: BTreeSet<&str> = self.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
        let mut near: Vec<(f64, &str)> = names
            .into_iter()
            .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
            .filter(|(likeness, _)| *likeness >= LEAST)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::run;

    fn request() -> AptRequest {
        AptRequest {
            suite: "bookworm".into(),
            sources: vec!["deb http://a bookworm main".into()],
            local_indexes: vec![],
            packages: vec!["nano".into(), "udev".into()],
            epoch: None,
            apt_options: vec!["Acquire::http::Proxy \"http://u:secret@p\";".into()],
            keyring: None,
        }
    }

    #[test]
    fn cache_key_depends_only_on_content() {
        let one = request();
        assert_eq!(one.identity(), AptRequest { apt_options: vec![], ..one.clone() }.identity());
        assert_ne!(one.identity(), AptRequest { packages: vec!["nano".into()], ..one.clone() }.identity());
        assert_ne!(
            one.identity(),
            AptRequest { sources: vec!["deb http://b bookworm main".into()], ..one.clone() }.identity()
        );
        assert_ne!(one.identity(), AptRequest { local_indexes: vec!["0".into()], ..one.clone() }.identity());
    }

    #[test]
    fn similar_names_are_found_in_package_lists() {
        let tree = tempfile::tempdir().unwrap();
        let lists = tree.path().join("var/lib/apt/lists");
        std::fs::create_dir_all(&lists).unwrap();
        let text = "Package: nano\nVersion: 1\n\nPackage: nanoc\n\nPackage: openssh-server\nVersion: 2\n";
        std::fs::write(lists.join("h_dists_x_main_binary-amd64_Packages"), text).unwrap();
        let lists = PackageLists::read(tree.path());
        assert_eq!(lists.nearest("nanoo"), ["nano", "nanoc"]);
        assert_eq!(lists.nearest("openssh-servre"), ["openssh-server"]);
        assert!(lists.nearest("completely-different").is_empty());
        assert_eq!(lists.versions("nano"), ["1"]);
        assert!(lists.versions("nanoc").is_empty());
    }

    #[test]
    fn builds_the_mmdebstrap_command_line() {
        assert_eq!(
            mmdebstrap(&request(), Path::new("/w/tree"), Path::new("/w/apt.conf")).to_string(),
            "mmdebstrap --mode=root --variant=minbase --format=directory --skip=check/empty --skip=cleanup/apt/lists \
             --skip=chroot/start-stop-daemon --dpkgopt=force-unsafe-io '--aptopt=Acquire::Languages \"none\"' \
             --aptopt=/w/apt.conf --include=nano,udev bookworm /w/tree \
             'deb http://a bookworm main'"
        );
    }

    #[test]
    fn apt_errors_are_explained() {
        let explained = |line: &str| {
            let script = format!("echo \"{line}\" >&2; exit 100");
            let error = run(&Invocation::new("sh").args(["-c", &script])).unwrap_err();
            explain(error, &request(), Path::new("/no/such/tree")).message
        };
        assert_eq!(
            explained("E: Unable to locate package nonsense"),
            "the package `nonsense` does not exist in bookworm"
        );
        assert_eq!(
            explained("Err:1 http://a bookworm InRelease Could not connect to a:80"),
            "could not connect to the archive: deb http://a bookworm main"
        );
        assert_eq!(explained("E: something else"), "could not install the content");
    }
}
