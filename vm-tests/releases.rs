//! Content of all supported Debian releases, with UEFI and BIOS: verified, booted, and healthy.

use super::{Outcome, World, expect, ister, run};
use libtest_mimic::Failed;
use serde_json::Value;

/// Debian 12 is used by all other tests.
const RELEASES: [&str; 3] = ["bullseye", "trixie", "sid"];
const TYPES: [&str; 2] = ["kvm", "kvm-legacy"];

pub fn every_release(world: &World) -> Outcome {
    // The security archive is not used, because that of an old release may lack files that its index lists.
    let archive = main_archive()?;
    for release in RELEASES {
        for name in TYPES {
            boots(world, release, name, &archive)
                .map_err(|failed| format!("{release}, {name}: {}", failed.message().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn boots(world: &World, release: &str, name: &str, archive: &str) -> Outcome {
    let template = format!("vm-tests/{name}/template.json");
    let users = std::fs::read_to_string("vm-tests/filesystems/template.json").map_err(|e| e.to_string())?;
    let users: Value = serde_json::from_str(&users).map_err(|e| e.to_string())?;
    let (version, users) = (format!("Version=\"{release}\""), format!("Users={}", users["Users"]));
    let sets = ["--set", &version, "--set", &users];
    let out = world.path("releases");
    ister(&[&["build", "-q", &template, "-C", archive], &sets[..]].concat(), &[("-o", &out)], 0)?;
    let image = out.join(format!("{name}.img"));
    let path = image.to_str().ok_or("the path is not valid UTF-8")?;
    ister(&["verify", "-q", path], &[], 0)?;
    // The guest's network has no name server (`restrict=on`), but systemd-resolved must run and be the configured
    // resolver.
    let inside = "systemctl is-active systemd-resolved && grep -q '^nameserver 127.0.0.53' /etc/resolv.conf && \
                  . /etc/os-release && echo \"release ${VERSION_CODENAME}\"";
    let login = ["--login", "ada=env:ISTER_TEST_PASSWORD", "--healthy", "--host", name, "--run", inside];
    let report = out.join("report");
    let verdict =
        ister(&[&["boot", path, "--format", "json"], &login[..]].concat(), &[("--report", &report)], 0)?;
    expect(verdict["class"] == "login-prompt", &format!("{verdict:#}"))?;
    let answers = verdict["answers"].as_array().ok_or("no answers")?;
    let told = answers.last().map(|answer| answer["lines"].to_string()).unwrap_or_default();
    // sid has the code name of the next release.
    expect(told.contains("release ") && (release == "sid" || told.contains(release)), &told)?;
    std::fs::remove_dir_all(&out).map_err(|e| e.to_string().into())
}

/// The main archive in this host's apt sources.
fn main_archive() -> Result<String, Failed> {
    let args = ["indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages"];
    let archives = run("apt-get", &args)?;
    let main = archives.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    Ok(main.ok_or("this host has no apt source for Debian")?.to_owned())
}
