//! Packages to update a guest with: a kernel from the release's backports, the image's own kernel to be reinstalled,
//! and an ordinary package with a higher version.

use crate::content;
use crate::host::{Context, Failure, Invocation, run};
use crate::plan::Content;
use crate::template::SoftwareManager;
use std::path::Path;

/// A package that is on every system, and whose version no other package depends on.
const ORDINARY: &str = "netbase";

/// Downloads the packages to a new directory. `packages` is the package list next to the image. With `reinstall` the
/// image's own kernel is included.
pub(super) fn fetch_newer_packages(
    content: &Content,
    packages: &Path,
    reinstall: bool,
    directory: &Path,
) -> Result<(), Failure> {
    let context = || format!("could not download newer packages to `{}`", directory.display());
    if content.manager != SoftwareManager::Apt {
        return Err(Failure::new(context())
            .detail(format!(
                "newer packages are only available for apt content, and the content of this image uses {}",
                content.manager
            ))
            .help(
                "remove `update` from type.json, or use `ister boot --update DIR` with your own packages",
            ));
    }
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(directory).context(context)?;
    let apt = Apt::with_backports(content).map_err(|failure| failure.context(context()))?;
    let list =
        std::fs::read_to_string(packages).context(|| format!("could not read `{}`", packages.display()))?;
    let installed: Vec<(&str, &str)> = list
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let kernel = |is_meta: bool| {
        installed.iter().find(|(name, _)| {
            let rest = name.strip_prefix("linux-image-");
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) != is_meta)
        })
    };
    let (Some((meta, _)), Some((own, version))) = (kernel(true), kernel(false)) else {
        return Err(
            Failure::new(context()).detail("the image has no kernel package and its `linux-image-` package")
        );
    };
    let newer = apt.dependency(meta)?;
    let release = &content.release;
    let own = reinstall.then(|| format!("{own}={version}"));
    let wanted = [format!("{meta}/{release}-backports"), newer, ORDINARY.to_owned()];
    for package in wanted.into_iter().chain(own) {
        apt.download(&package, directory).map_err(|failure| failure.context(context()))?;
    }
    raise_version(directory)?;
    unpack_payloads(directory)
}

/// apt with its own package lists.
struct Apt {
    place: tempfile::TempDir,
    release: String,
}

impl Apt {
    fn with_backports(content: &Content) -> Result<Apt, Failure> {
        let context = || "could not create a directory for apt's package lists".to_owned();
        let place = tempfile::tempdir().context(context)?;
        let release = content.release.clone();
        let own = content::sources_for(content)?;
        // `deb [options] URL SUITE component…`
        let backports = own.iter().filter_map(|line| {
            let at = line.find(&format!(" {release} "))?;
            Some(format!("{} {release}-backports {}", &line[..at], &line[at + release.len() + 2..]))
        });
        let sources: Vec<String> = own.iter().cloned().chain(backports).collect();
        for directory in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(place.path().join(directory)).context(context)?;
        }
        let path = |name: &str| place.path().join(name).display().to_string();
        let mut settings = content::apt_options()?;
        settings.extend([
            format!("Dir::State::lists \"{}\";", path("lists")),
            format!("Dir::State::status \"{}\";", path("status")),
            format!("Dir::Cache \"{}\";", path("cache")),
            format!("Dir::Etc::sourcelist \"{}\";", path("sources.list")),
            "Dir::Etc::sourceparts \"-\";".to_owned(),
            "APT::Sandbox::User \"root\";".to_owned(),
        ]);
        let lines = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let files =
            [("status", String::new()), ("sources.list", lines(&sources)), ("apt.conf", lines(&settings))];
        for (name, text) in files {
            std::fs::write(place.path().join(name), text).context(context)?;
        }
        let apt = Apt { place, release };
        run(&apt.invocation("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    fn invocation(&self, program: &str) -> Invocation {
        Invocation::new(program).env("APT_CONFIG", self.place.path().join("apt.conf"))
    }

    /// The kernel package that a metapackage in backports depends on.
    fn dependency(&self, package: &str) -> Result<String, Failure> {
        let target = format!("{}-backports", self.release);
        let show = self.invocation("apt-cache").args(["-t", &target, "show", "--no-all-versions", package]);
        let said = run(&show)?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let depends = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        let name = depends.split([',', ' ']).find(|word| word.starts_with("linux-image-"));
        name.map(str::to_owned).ok_or_else(|| {
            Failure::new(format!("`{package}` of {target} does not depend on a kernel"))
                .detail(format!("Depends: {depends}"))
        })
    }

    fn download(&self, package: &str, directory: &Path) -> Result<(), Failure> {
        let script = "cd \"$1\" && exec apt-get -qq download \"$2\"";
        let download = self.invocation("sh").args(["-c", script, "sh"]).arg(directory).arg(package);
        run(&download)?;
        Ok(())
    }
}

/// Recompresses kernel packages without xz, because an emulated processor takes minutes to decompress what the host
/// unpacks in a second.
fn unpack_payloads(directory: &Path) -> Result<(), Failure> {
    let script = r#"set -eu
cd "$1"
for package in linux-image-*.deb; do
    dpkg-deb --raw-extract "$package" unpacked
    dpkg-deb --root-owner-group -Znone --build unpacked "$package" >/dev/null
    rm -r unpacked
done"#;
    run(&Invocation::new("sh").args(["-c", script, "sh"]).arg(directory))?;
    Ok(())
}

/// Rebuilds the ordinary package with a higher version and the same files.
fn raise_version(directory: &Path) -> Result<(), Failure> {
    let script = r#"set -eu
cd "$1"
dpkg-deb --raw-extract "$2"_*.deb unpacked
rm "$2"_*.deb
sed -i 's/^Version: .*/&+ister1/' unpacked/DEBIAN/control
dpkg-deb --root-owner-group --build unpacked "$2"_newer.deb >/dev/null
rm -r unpacked"#;
    run(&Invocation::new("sh").args(["-c", script, "sh"]).arg(directory).arg(ORDINARY))?;
    Ok(())
}
