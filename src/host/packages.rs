//! Installs Debian packages with apt-get.

use super::catalog::CATALOG;
use super::{Failure, Invocation, Progress, find_program, run};

/// Installs packages, with sudo for unprivileged users.
///
/// If an installed package of [`CATALOG`] conflicts with one of them (such as parts of QEMU from another source),
/// apt-get replaces it with a compatible version, with a warning. Other packages are never removed.
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
        "removed {} because of a version conflict: installing a compatible version",
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
    Err(Failure::new(format!("installing {} would remove {}", packages.join(" "), removed.join(" "))).help(
        format!("to install anyway, run `apt-get install --no-install-recommends {}`", packages.join(" ")),
    ))
}

struct Apt {
    root: bool,
}

impl Apt {
    fn new(packages: &[&str], root: bool) -> Result<Apt, Failure> {
        if find_program("apt-get").is_none() {
            return Err(Failure::new("could not install packages: apt-get is not available")
                .help(format!("install the programs of these Debian packages: {}", packages.join(", "))));
        }
        if !root && find_program("sudo").is_none() {
            return Err(Failure::new("installing packages requires root, and sudo is not installed")
                .help(format!("as root: apt-get install --no-install-recommends {}", packages.join(" "))));
        }
        Ok(Apt { root })
    }

    fn run(&self, args: &[&str]) -> Result<(), Failure> {
        let apt = if self.root {
            Invocation::new("apt-get")
        } else {
            // sudo resets the environment, so variables for apt are set after it.
            Invocation::new("sudo").args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
        };
        run(&apt.args(args).env("DEBIAN_FRONTEND", "noninteractive"))?;
        Ok(())
    }

    fn install(&self, packages: &[&str]) -> Result<(), Failure> {
        self.run(&[&["-q", "-y", "--no-install-recommends", "install"], packages].concat())
    }

    /// Returns the packages that installing these packages would remove. Does not require root.
    fn would_remove(&self, packages: &[&str]) -> Result<Vec<String>, Failure> {
        let ask = Invocation::new("apt-get").args(["-q", "-y", "--no-install-recommends", "-s", "install"]);
        let finished = run(&ask.args(packages))?;
        Ok(removed(&String::from_utf8_lossy(&finished.stdout)))
    }
}

/// Parses the packages that a simulation removes. Source: apt-get(8), "--simulate".
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
    fn removed_packages_are_read_from_a_simulation() {
        let simulation_output = "NOTE: This is only a simulation!\n\
                    Remv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
                    Inst qemu-system-x86 (1:7.2+dfsg-7+deb12u18+b3 Debian:12.15/oldstable [amd64])\n\
                    Purg exim4:amd64 [4.96-15]\n\
                    Conf qemu-system-x86 (1:7.2+dfsg-7+deb12u18+b3 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(removed(simulation_output), ["qemu-utils", "exim4"]);
        assert!(is_ours("qemu-utils") && !is_ours("exim4"));
        let failure =
            refuse(&["ovmf"], removed(simulation_output).iter().filter(|name| !is_ours(name))).unwrap_err();
        assert_eq!(failure.message, "installing ovmf would remove exim4");
        assert!(refuse(&["ovmf"], [].iter()).is_ok());
    }
}
