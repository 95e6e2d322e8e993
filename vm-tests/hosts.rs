//! The two commands of the README on clean Debian hosts, run by an ordinary user with sudo and a sub-id range. The
//! images must be bit-identical on all hosts. `host.sh` turns a root tree into a host.

use super::{Outcome, World, expect, ister, run};
use libtest_mimic::Failed;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The releases that the README lists.
const HOSTS: [&str; 2] = ["bookworm", "trixie"];

/// Packages of a new user's host in addition to Debian's essential packages and Rust.
const PACKAGES: &str =
    r#"Bundles=["os-core","ca-certificates","gcc","git","libc6-dev","make","sudo","uidmap"]"#;

/// Both firmwares, all filesystems, and all formats that are identical on all hosts, which excludes `iso`.
const IMAGES: &str = r#"
    ister=target/debug/ister
    $ister build -q vm-tests/filesystems/template.json -o out
    $ister build -q vm-tests/kvm-legacy/template.json -o out --set 'Formats=["qcow2", "vhd", "vhdx", "vmdk", "vdi", "tar.gz",
        "tar", "tar.xz", "oci", "raw.xz", "raw.zst", "raw.gz", "pxe"]'
    # Content of one release, on a host of the same and on one of the other.
    $ister build -q vm-tests/kvm/template.json -o newer --set 'Version="trixie"'
    $ister boot -q newer/kvm.img >&2
    mv newer/kvm.img out/kvm-trixie.img
    cd out && sha256sum *.img kvm-legacy.*"#;

pub fn same_bytes_on_every_host(world: &World) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return super::skip("only root can create the namespaces of a host");
    }
    let mut sums: Vec<BTreeMap<String, String>> = Vec::new();
    for suite in HOSTS {
        let directory = world.path("hosts").join(suite);
        let root = host(suite, &directory)?;
        for command in ["make demo", "make test"] {
            let started = Instant::now();
            on_host(&root, command, &directory.join("log"))?;
            eprintln!("{suite}: `{command}` took {} s", started.elapsed().as_secs());
        }
        let printed = on_host(&root, &format!("set -e; {IMAGES}"), &directory.join("log"))?;
        sums.push(checksums(&printed));
        std::fs::remove_dir_all(&directory).map_err(|e| e.to_string())?;
    }
    for (name, sum) in &sums[0] {
        eprintln!("{sum}  {name}");
    }
    expect(sums[0].len() == 20, &format!("images or files are missing: {:?}", sums[0].keys()))?;
    for other in &sums[1..] {
        let differ: Vec<&String> =
            sums[0].keys().filter(|name| other.get(*name) != sums[0].get(*name)).collect();
        expect(
            differ.is_empty() && other.len() == sums[0].len(),
            &format!("these files differ: {differ:?}"),
        )?;
    }
    Ok(())
}

/// The root tree of a clean system.
fn host(suite: &str, directory: &Path) -> Result<std::path::PathBuf, Failed> {
    let _ = std::fs::remove_dir_all(directory);
    let root = directory.join("root");
    std::fs::create_dir_all(&root).map_err(|e| e.to_string())?;
    let disk =
        r#"PartitionLayout=[{"disk": "container.img", "partition": 1, "size": "2G", "type": "linux"}]"#;
    let version = format!("Version=\"{suite}\"");
    let sets = ["--set", &version, "--set", disk, "--set", PACKAGES, "--set", r#"Formats=["tar"]"#];
    ister(
        &[&["build", "-q", "vm-tests/container/template.json"], &sets[..]].concat(),
        &[("-o", directory)],
        0,
    )?;
    let tar = directory.join("container.tar");
    run("tar", &["-C", root.to_str().unwrap(), "--numeric-owner", "-xpf", tar.to_str().unwrap()])?;
    Ok(root)
}

/// The output of a command, which is also written to the log.
fn on_host(root: &Path, command: &str, log: &Path) -> Result<String, Failed> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/vm-tests/host.sh");
    let output = Command::new(script).arg(root).arg(command).output().map_err(|e| e.to_string())?;
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    std::fs::write(log, &said).map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&said);
    let tail: Vec<&str> = said.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    expect(
        output.status.success(),
        &format!("`{command}`: {}, see {}\n{}", output.status, log.display(), tail.join("\n")),
    )?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Parses the output of sha256sum.
fn checksums(printed: &str) -> BTreeMap<String, String> {
    let lines = printed.lines().filter_map(|line| line.split_once("  "));
    lines
        .filter(|(sum, name)| sum.len() == 64 && !name.contains(' '))
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect()
}
