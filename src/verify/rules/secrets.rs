//! Secrets and identifiers that must not be in a published image.

use crate::disk::Body;
use crate::finding::Level;
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;

pub(super) static MACHINE_ID: Rule = Rule {
    name: "machine-id",
    summary: "the image contains a machine ID",
    level: Level::Error,
    why: "All machines created from the image would have the same identity: the same DHCP lease, the same \
          journal, the same derived keys. Source: machine-id(5), \"First Boot Semantics\".",
    check: Check::System(machine_id),
};

fn machine_id(system: &System, out: &mut Findings) {
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        let Some(id) = system.tree.find_nofollow(path) else { continue };
        if !matches!(system.tree.nodes[id].body, Body::File(_)) {
            continue;
        }
        let text = system.texts.get(&id).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        if text.is_some_and(|text| !text.is_empty() && text != "uninitialized") {
            out.report("the image contains a machine ID")
                .path(path)
                .help("truncate the file to zero bytes; systemd creates the ID at the first boot");
        }
    }
}

pub(super) static SSH_HOST_KEY: Rule = Rule {
    name: "ssh-host-key",
    summary: "the image contains SSH host keys",
    level: Level::Error,
    why: "Anyone with a copy of the image can impersonate every machine created from it. Source: sshd(8), \
          FILES.",
    check: Check::System(host_keys),
};

fn host_keys(system: &System, out: &mut Findings) {
    for name in system.list("/etc/ssh") {
        if name.starts_with("ssh_host_") && name.ends_with("_key") {
            out.report("the image contains an SSH host key")
                .path(format!("/etc/ssh/{name}"))
                .help("delete the file; each machine creates its own");
        }
    }
}

pub(super) static RANDOM_SEED: Rule = Rule {
    name: "random-seed",
    summary: "the image contains a random seed",
    level: Level::Error,
    why: "All machines created from the image would start with the same seed. Source: \
          systemd-random-seed.service(8), bootctl(1), \"random-seed\".",
    check: Check::System(random_seed),
};

fn random_seed(system: &System, out: &mut Findings) {
    let loaders = ["/boot", "/boot/efi", "/efi"].map(|at| format!("{at}/loader/random-seed"));
    let others = ["/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed"].map(str::to_owned);
    for path in loaders.into_iter().chain(others) {
        if system.exists(&path) {
            out.report("the image contains a random seed")
                .path(path)
                .help("delete the file; each machine creates its own");
        }
    }
}

pub(super) static ROOT_PASSWORD: Rule = Rule {
    name: "root-password-empty",
    summary: "root can log in without a password",
    level: Level::Error,
    why: "Anyone at the console can log in as root, and over the network if PAM permits it. Source: \
          shadow(5), encrypted password.",
    check: Check::System(root_password),
};

fn root_password(system: &System, out: &mut Findings) {
    let accounts = system.text("/etc/passwd").unwrap_or_default();
    let shadow = system.text("/etc/shadow").unwrap_or_default();
    for account in accounts.lines() {
        let fields: Vec<&str> = account.split(':').collect();
        let (Some(name), Some(password), Some(&"0")) = (fields.first(), fields.get(1), fields.get(2)) else {
            continue;
        };
        // `x`: the password is in /etc/shadow.
        let hidden =
            || shadow.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split(':').next());
        let (path, password) =
            if *password == "x" { ("/etc/shadow", hidden()) } else { ("/etc/passwd", Some(*password)) };
        if password == Some("") {
            out.report(format!("user `{name}` has UID 0 and an empty password"))
                .path(path)
                .help("lock the account, for example with `passwd -l root` in a PostChrootShell hook");
        }
    }
}

pub(super) static PRIVATE_KEY: Rule = Rule {
    name: "private-key",
    summary: "the image contains a private key or another secret that all machines would share",
    level: Level::Error,
    why: "Anyone with a copy of the image has the secret. Source: the manual of each program that creates \
          such a file on first use.",
    check: Check::System(private_keys),
};

/// Directories that may contain secrets of machines or users, and the first bytes of private keys.
const SECRET_DIRECTORIES: &[&str] = &["/etc/", "/root/", "/home/", "/var/lib/"];
const BEGINS: &[&str] = &[
    "-----BEGIN OPENSSH PRIVATE KEY",
    "-----BEGIN PRIVATE KEY",
    "-----BEGIN RSA PRIVATE KEY",
    "-----BEGIN EC PRIVATE KEY",
    "-----BEGIN DSA PRIVATE KEY",
    "-----BEGIN ENCRYPTED PRIVATE KEY",
    "-----BEGIN PGP PRIVATE KEY",
];

fn private_keys(system: &System, out: &mut Findings) {
    for (path, id) in system.tree.paths() {
        let path = String::from_utf8_lossy(&path).into_owned();
        if !SECRET_DIRECTORIES.iter().any(|directory| path.starts_with(directory)) || is_host_key(&path) {
            continue;
        }
        let Some(bytes) = system.texts.get(&id) else { continue };
        let start = &bytes[..bytes.len().min(4096)];
        if BEGINS.iter().any(|begin| contains(start, begin.as_bytes())) {
            out.report("the image contains a private key")
                .path(path)
                .help("generate the key at the first boot, or provision it on each machine");
        }
    }
    // State of a cloud-init run during the build, and a generated iSCSI initiator name.
    for path in ["/var/lib/cloud/instance", "/etc/iscsi/initiatorname.iscsi"] {
        if system.tree.find_nofollow(path).is_some()
            && !system.text(path).is_some_and(|text| text.contains("GenerateName=yes"))
        {
            out.report("the image contains the identity of a single machine").path(path);
        }
    }
}

/// Host keys are reported by `ssh-host-key`.
fn is_host_key(path: &str) -> bool {
    path.starts_with("/etc/ssh/ssh_host_")
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}
