//! Installing Debian packages with apt-get.

use super::catalog::CATALOG;
use super::{Failure, Invocation, Progress, find_program, run};

/// Installs packages: through sudo for an ordinary user.
///
/// Where a package of [`CATALOG`] is there in a version that one of them cannot be beside (half of QEMU from elsewhere),
/// apt-get replaces it by one that goes with it, which is said. No other package is removed.
pub fn install_packages(packages: &[&str], root: bool, progress: &dyn Progress) -> Result<(), Failure> {
    let apt = Apt::new(packages, root)?;
    progress.begin(format!("installing {}", packages.join(" ")));
    let context = |failure: Failure| failure.context(format!("could not install {}", packages.join(" ")));
    apt.run(&["-q", "update"]).map_err(context)?;
    let replaced = apt.would_remove(packages).map_err(context)?;
    refuse(packages, replaced.iter().filter(|name| !is_ours(name)))?;
    apt.install(packages).map_err(context)?;
    if replaced.is_empty() {
        return Ok(());
    }
    progress.warn(format!(
        "{} had to make room: it is installed again, in the version that goes with what was installed",
        replaced.join(", ")
    ));
    let replaced: Vec<&str> = replaced.iter().map(String::as_str).collect();
    refuse(&replaced, apt.would_remove(&replaced).map_err(context)?.iter())?;
    apt.install(&replaced).map_err(context)
}

fn is_ours(package: &str) -> bool {
    CATALOG.iter().any(|tool| tool.package == package)
}

fn refuse<'a>(packages: &[&str], removed: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    let removed: Vec<&str> = removed.map(String::as_str).collect();
    if removed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("installing {} would remove {}", packages.join(" "), removed.join(" ")))
        .help(format!("decide it yourself: apt-get install --no-install-recommends {}", packages.join(" "))))
}

struct Apt {
    root: bool,
}

impl Apt {
    fn new(packages: &[&str], root: bool) -> Result<Apt, Failure> {
        if find_program("apt-get").is_none() {
            return Err(Failure::new(
                "this host has no apt-get, so the packages cannot be installed automatically",
            )
            .help(format!("install what these Debian packages have: {}", packages.join(", "))));
        }
        if !root && find_program("sudo").is_none() {
            return Err(Failure::new("installing packages needs root, and there is no sudo")
                .help(format!("as root: apt-get install --no-install-recommends {}", packages.join(" "))));
        }
        Ok(Apt { root })
    }

    fn run(&self, args: &[&str]) -> Result<(), Failure> {
        let apt = if self.root {
            Invocation::new("apt-get")
        } else {
            // sudo drops the environment: what apt needs of it is set behind it.
            Invocation::new("sudo").args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
        };
        run(&apt.args(args).env("DEBIAN_FRONTEND", "noninteractive"))?;
        Ok(())
    }

    fn install(&self, packages: &[&str]) -> Result<(), Failure> {
        self.run(&[&["-q", "-y", "--no-install-recommends", "install"], packages].concat())
    }

    /// What has to go for these packages to come. Nobody needs to be root to ask.
    fn would_remove(&self, packages: &[&str]) -> Result<Vec<String>, Failure> {
        let ask = Invocation::new("apt-get").args(["-q", "-y", "--no-install-recommends", "-s", "install"]);
        let finished = run(&ask.args(packages))?;
        Ok(removed(&String::from_utf8_lossy(&finished.stdout)))
    }
}

/// The packages that a simulation removes. Source: apt-get(8), "--simulate".
fn removed(simulation: &str) -> Vec<String> {
    let package = |line: &str| {
        let (verb, rest) = line.split_once(' ')?;
        let name = rest.split_whitespace().next()?;
        ["Remv", "Purg"].contains(&verb).then(|| name.split(':').next().unwrap_or(name).to_owned())
    };
    simulation.lines().filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_go_is_read_from_a_simulation() {
        let said = "NOTE: This is only a simulation!\n\
                    Remv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
                    Inst qemu-system-x86 (1:7.2+dfsg-7+deb12u18+b3 Debian:12.15/oldstable [amd64])\n\
                    Purg exim4:amd64 [4.96-15]\n\
                    Conf qemu-system-x86 (1:7.2+dfsg-7+deb12u18+b3 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(removed(said), ["qemu-utils", "exim4"]);
        assert!(is_ours("qemu-utils") && !is_ours("exim4"));
        let failure = refuse(&["ovmf"], removed(said).iter().filter(|name| !is_ours(name))).unwrap_err();
        assert_eq!(failure.message, "installing ovmf would remove exim4");
        assert!(refuse(&["ovmf"], [].iter()).is_ok());
    }
}
