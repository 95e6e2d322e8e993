//! The installed system: init, login programs, accounts and the kernel command line.

use super::boot::{kernels, report_kernel};
use super::units::{UNITS, Unit, missing_requirement, unit};
use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::plan::command_line::{LONGEST, words};
use crate::verify::facts::Facts;
use crate::verify::pam;
use crate::verify::programs::Role;
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;
use std::collections::BTreeSet;

pub(super) static INIT_PROGRAM: Rule = Rule {
    name: "init-program",
    summary: "the init program is missing or cannot be executed",
    level: Level::Error,
    why: "The kernel panics with \"No working init found\". The check covers the file, its mode, its \
          architecture, its interpreter and all libraries that it loads. Sources: Linux, \
          Documentation/admin-guide/init.rst; ld.so(8).",
    check: Check::Disk(init),
};

fn init(facts: &Facts, out: &mut Findings) {
    programs(facts, &[Role::Init], false, out);
}

pub(super) static LOGIN_PROGRAM: Rule = Rule {
    name: "login-program",
    summary: "a program that is needed to log in is missing or cannot be executed",
    level: Level::Error,
    why: "The login prompt does not appear, or does not respond. Sources: agetty(8), login(1), ld.so(8).",
    check: Check::Disk(login),
};

fn login(facts: &Facts, out: &mut Findings) {
    programs(facts, &[Role::Login, Role::Shell], false, out);
}

pub(super) static PACKAGE_FILE: Rule = Rule {
    name: "package-file",
    summary: "a program that every boot runs differs from its package",
    level: Level::Error,
    why: "Its digest differs from the one recorded by dpkg, rpm or swupd, so the file was damaged or \
          replaced. Sources: deb-md5sums(5); rpm(8), --verify; swupd-diagnose(1).",
    check: Check::Disk(package_file),
};

fn package_file(facts: &Facts, out: &mut Findings) {
    programs(facts, &[Role::Init, Role::Login, Role::Shell], true, out);
}

fn programs(facts: &Facts, roles: &[Role], checksums: bool, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    for fault in
        system.faults.iter().filter(|fault| roles.contains(&fault.role) && fault.is_checksum == checksums)
    {
        out.report(fault.message.clone()).partition(system.root).path(fault.path.clone());
    }
}

pub(super) static ACCOUNTS: Rule = Rule {
    name: "accounts",
    summary: "the user database has no root account",
    level: Level::Error,
    why: "systemd runs services under user accounts, and login looks them up. Each account needs a line \
          in /etc/passwd and /etc/shadow. Sources: passwd(5), shadow(5).",
    check: Check::System(accounts),
};

fn accounts(system: &System, out: &mut Findings) {
    // Stateless systems keep the defaults below /usr and create /etc/passwd at the first boot.
    if system.exists("/usr/share/defaults/etc/passwd") || !system.exists("/usr/lib/systemd/system") {
        return;
    }
    for (path, fields) in [("/etc/passwd", 7), ("/etc/shadow", 9)] {
        let Some(text) = system.text(path) else {
            // Without /etc/shadow, passwords are in /etc/passwd.
            if path == "/etc/passwd" {
                out.report("/etc/passwd missing").path(path);
            }
            continue;
        };
        let root = text.lines().find(|line| line.starts_with("root:"));
        match root {
            None => drop(out.report(format!("{path} has no line for root")).path(path)),
            Some(line) if line.split(':').count() != fields => {
                let found = line.split(':').count();
                out.report(format!("the line for root in {path} has {found} fields, expected {fields}"))
                    .path(path);
            }
            Some(_) => {}
        }
    }
}

pub(super) static PAM: Rule = Rule {
    name: "pam",
    summary: "PAM is not configured for logins",
    level: Level::Error,
    why: "Every login is rejected. Source: pam.conf(5): without a file for the service, /etc/pam.d/other \
          applies, and without that file access is denied.",
    check: Check::System(pam),
};

fn pam(system: &System, out: &mut Findings) {
    let has_pam = ["/lib/x86_64-linux-gnu/libpam.so.0", "/usr/lib64/libpam.so.0", "/lib64/libpam.so.0"];
    if !has_pam.iter().any(|path| system.exists(path)) {
        return;
    }
    let configured = |name: &str| {
        ["/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d"]
            .iter()
            .any(|directory| system.exists(&format!("{directory}/{name}")))
    };
    if !configured("login") && !configured("other") && !system.exists("/etc/pam.conf") {
        out.report("PAM is not configured for `login`").path("/etc/pam.d/login");
        return;
    }
    let Some(text) = system.text("/etc/pam.d/login") else { return };
    for line in text.lines() {
        let Some(name) = line.strip_prefix("@include").map(str::trim) else { continue };
        if !configured(name) {
            out.report(format!("missing included file `{name}`")).path("/etc/pam.d/login");
        }
    }
    let own = pam::stack(system, "login");
    // Without lines of that kind, those of `other` apply.
    let lines = if own.iter().any(|line| line.kind == "auth") { own } else { pam::stack(system, "other") };
    if !lines.iter().any(pam::Line::authenticates) {
        out.report("no module authenticates users for `login`").path("/etc/pam.d/login");
    }
}

pub(super) static DEFAULT_TARGET: Rule = Rule {
    name: "default-target",
    summary: "systemd's default target, or a unit that it requires, does not exist",
    level: Level::Error,
    why: "systemd falls back to rescue.target, and freezes if that is missing too. Source: systemd(1), \
          default.target.",
    check: Check::Disk(default_target),
};

fn default_target(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    if !system.exists("/usr/lib/systemd/systemd") {
        return;
    }
    let named = command_line(facts)
        .into_iter()
        .filter_map(|word| Some(word.strip_prefix("systemd.unit=")?.to_owned()))
        .next_back();
    let name = named.as_deref().unwrap_or("default.target");
    match unit(system, name) {
        Unit::There => {
            if let Some((by, missing)) = missing_requirement(system, name) {
                out.report(format!(
                    "{name} cannot be reached: {by} requires {missing}, which is missing or masked"
                ))
                .path(format!("{}/{missing}", UNITS[3]));
            }
        }
        Unit::Masked => drop(out.report(format!("{name} is masked")).path(format!("{}/{name}", UNITS[0]))),
        Unit::Missing => {
            out.report(format!("{name} is missing or a dangling link"))
                .path(format!("{}/{name}", UNITS[0]))
                .help("run `systemctl set-default multi-user.target` in a PostChrootShell hook");
        }
    }
}

pub(super) static GETTY: Rule = Rule {
    name: "getty",
    summary: "no login prompt appears on any console of the kernel command line",
    level: Level::Error,
    why: "systemd-getty-generator starts serial-getty@ for each serial console=, unless that unit or \
          getty.target is masked or does not exist. Source: systemd-getty-generator(8).",
    check: Check::Disk(getty),
};

fn getty(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    // Minimal systems may have gettys of their own.
    if !system.exists("/usr/lib/systemd/systemd")
        || !system.exists("/usr/lib/systemd/system-generators/systemd-getty-generator")
    {
        return;
    }
    let words = command_line(facts);
    let serial = words
        .iter()
        .filter_map(|word| word.strip_prefix("console="))
        .map(|console| console.split(',').next().unwrap_or_default());
    let serial: Vec<&str> =
        serial.filter(|console| console.starts_with("ttyS") || console.starts_with("hvc")).collect();
    let mut units = vec!["getty.target".to_owned()];
    units.extend(serial.iter().map(|console| format!("serial-getty@{console}.service")));
    if serial.is_empty() {
        units.push("getty@tty1.service".to_owned());
    }
    for name in units {
        let problem = match unit(system, &name) {
            Unit::There => continue,
            Unit::Masked => "is masked",
            Unit::Missing => "does not exist",
        };
        out.report(format!("{name} {problem}, so no login prompt appears"))
            .path(format!("{}/{name}", UNITS[0]));
    }
    // The getty on the screen is not generated, but enabled by a link.
    let on_screen = ["getty.target.wants/getty@tty1.service"].iter().any(|link| {
        UNITS.iter().any(|directory| system.tree.find_nofollow(&format!("{directory}/{link}")).is_some())
    });
    let has_screen = on_screen
        || system.exists("/etc/systemd/system/display-manager.service")
        || system.exists("/usr/lib/systemd/system/autovt@.service");
    if !words.is_empty() && serial.is_empty() && !has_screen {
        out.report("the kernel command line has no serial console=, and no getty is enabled on the screen")
            .level(Level::Warning);
    }
}

/// The command line of the default kernel.
fn command_line(facts: &Facts) -> Vec<String> {
    let start = kernels(facts).into_iter().find(|(_, chosen)| !chosen);
    start.iter().flat_map(|(start, _)| words(&start.options)).map(str::to_owned).collect()
}

pub(super) static COMMAND_LINE: Rule = Rule {
    name: "kernel-command-line",
    summary: "the kernel command line prevents the system from starting",
    level: Level::Error,
    why: "The rule reports init= with a missing file, stops in the initramfs (rd.break, break=), \
          maintenance targets such as rescue, a wrong rootfstype=, and more bytes than the kernel reads. \
          Sources: Linux, arch/x86/include/asm/setup.h; Linux, \
          Documentation/admin-guide/kernel-parameters.txt; dracut.cmdline(7); initramfs-tools(7); \
          systemd(1).",
    check: Check::Disk(kernel_command_line),
};

fn kernel_command_line(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let root = facts.partition(system.root);
    let mut seen = BTreeSet::new();
    for (start, chosen) in kernels(facts) {
        let mut report = |message: String, out: &mut Findings| {
            report_kernel(facts, &start.entry, chosen, message, &mut seen, out);
        };
        let words = || words(&start.options).into_iter();
        if start.options.len() > LONGEST {
            report(
                format!(
                    "the command line has {} bytes, but the kernel reads only {LONGEST}",
                    start.options.len()
                ),
                out,
            );
        }
        let value = |key: &str| words().filter_map(|word| word.strip_prefix(key)).next_back();
        if let Some(path) = value("init=").filter(|path| !system.exists(path)) {
            report(format!("init={path} does not exist"), out);
        }
        for word in words() {
            let stops = ["rd.break", "break=", "rd.emergency="].iter().any(|start| word.starts_with(start))
                || word == "break";
            let rescue = [
                "single",
                "1",
                "s",
                "S",
                "emergency",
                "rescue",
                "-b",
                "systemd.unit=rescue.target",
                "systemd.unit=emergency.target",
            ];
            if stops {
                report(format!("`{word}` stops the boot in the initramfs"), out);
            } else if rescue.contains(&word) {
                report(format!("`{word}` boots into a maintenance shell"), out);
            }
        }
        let kind = root.and_then(|root| root.kind).and_then(|kind| match kind {
            VolumeKind::Ext => Some(&["ext2", "ext3", "ext4"][..]),
            VolumeKind::Xfs => Some(&["xfs"][..]),
            VolumeKind::Btrfs => Some(&["btrfs"][..]),
            _ => None,
        });
        if let (Some(named), Some(kinds)) = (value("rootfstype="), kind)
            && !named.split(',').any(|name| kinds.contains(&name) || name == "auto")
        {
            report(
                format!(
                    "rootfstype={named}, but the root filesystem is {}",
                    kinds.last().unwrap_or(&"another")
                ),
                out,
            );
        }
    }
}

pub(super) static PACKAGE_DATABASE: Rule = Rule {
    name: "package-database",
    summary: "the package manager's database is damaged",
    level: Level::Error,
    why: "dpkg and apt refuse to work, so nothing can be updated. Source: dpkg(1); deb822(5).",
    check: Check::System(package_database),
};

const STATUS: &str = "/var/lib/dpkg/status";

fn package_database(system: &System, out: &mut Findings) {
    if !system.exists("/var/lib/dpkg/info") || !(system.exists("/usr/bin/dpkg") || system.exists("/bin/dpkg"))
    {
        return;
    }
    let Some(bytes) = system.bytes(STATUS) else {
        // Files above the size limit exist, but are not read.
        if !system.exists(STATUS) {
            out.report(format!("{STATUS} missing")).path(STATUS);
        }
        return;
    };
    if bytes.is_empty() {
        out.report(format!("{STATUS} is empty")).path(STATUS);
        return;
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        out.report(format!("{STATUS} contains a NUL byte at offset {at}")).path(STATUS);
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut line = 1;
    for paragraph in text.split("\n\n") {
        let has = |field: &str| paragraph.lines().any(|line| line.starts_with(field));
        let is_one =
            has("Package: ") && has("Status: ") && (has("Version: ") || !has("Status: install ok installed"));
        let odd = paragraph
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with([' ', '\t']) && !line.contains(':'));
        if !paragraph.trim().is_empty() && (!is_one || odd.is_some()) {
            out.report(format!("{STATUS}: invalid package entry at line {line}")).path(STATUS);
            return;
        }
        line += paragraph.lines().count() + 1;
    }
    if !text.ends_with('\n') {
        out.report(format!("{STATUS} is truncated: no newline at the end of the file")).path(STATUS);
    }
}
