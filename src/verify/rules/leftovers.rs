//! Leftover files of the build.

use crate::disk::Body;
use crate::finding::Level;
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;

pub(super) static PACKAGE_CACHE: Rule = Rule {
    name: "package-cache",
    summary: "the image contains downloaded packages or package lists",
    level: Level::Warning,
    why: "They make the image larger, and they are outdated when the image runs. Source: apt-get(8), \
          clean; dnf(8), clean; FORMAT of swupd's state directory.",
    check: Check::System(package_cache),
};

fn package_cache(system: &System, out: &mut Findings) {
    const DIRECTORIES: &[(&str, &[&str])] = &[
        ("/var/cache/apt/archives", &[".deb"]),
        ("/var/cache/apt", &[".bin"]),
        ("/var/lib/apt/lists", &["Packages", "InRelease", "Release", ".lz4", ".gz", ".xz"]),
        ("/var/cache/dnf", &[".solv", ".solvx", ".rpm"]),
        ("/var/lib/swupd/staged", &[""]),
    ];
    for (directory, endings) in DIRECTORIES {
        let names = system.list(directory);
        let found: Vec<&String> =
            names.iter().filter(|name| endings.iter().any(|end| name.ends_with(end))).collect();
        if let Some(first) = found.first() {
            let more = if found.len() > 1 { format!(" and {} more", found.len() - 1) } else { String::new() };
            out.report(format!("leftover files: {first}{more}"))
                .path(*directory)
                .help("clean the package cache in a PostChrootShell hook, for example with `apt-get clean`");
        }
    }
}

pub(super) static BUILD_PATH: Rule = Rule {
    name: "build-path",
    summary: "a file contains paths or leftover files of the build host",
    level: Level::Warning,
    why: "The paths do not exist where the image runs, and they disclose details of the build host. \
          Source: reproducible-builds.org, \"Build path\".",
    check: Check::System(build_path),
};

/// Strings that tools for building root trees write into files.
const MARKS: &[&str] = &["/tmp/mmdebstrap.", "/.cache/ister/work", "99mmdebstrap"];
const FILES: &[&str] =
    &["/etc/apt/apt.conf.d/99mmdebstrap", "/etc/dpkg/dpkg.cfg.d/99mmdebstrap", "/debootstrap"];

fn build_path(system: &System, out: &mut Findings) {
    for path in FILES.iter().filter(|path| system.exists(path)) {
        out.report("leftover file of a build tool").path(*path);
    }
    for (path, id) in system.tree.paths() {
        let path = String::from_utf8_lossy(&path).into_owned();
        // Package scripts and file lists may contain any path.
        if path.starts_with("/var/lib/dpkg/info/") || FILES.contains(&path.as_str()) {
            continue;
        }
        let Some(bytes) = system.texts.get(&id) else { continue };
        let marks = MARKS.iter().copied().chain(system.host_marks.iter().map(String::as_str));
        for mark in marks {
            if memchr::memmem::find(bytes, mark.as_bytes()).is_some() {
                out.report(format!("contains `{mark}`, a path of the build host")).path(&path);
                break;
            }
        }
    }
}

pub(super) static WORLD_WRITABLE: Rule = Rule {
    name: "world-writable",
    summary: "a system file is world-writable",
    level: Level::Error,
    why: "Any process can modify files that root executes. Source: file-hierarchy(7); Debian Policy, \
          section 10.9.",
    check: Check::System(world_writable),
};

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;

fn world_writable(system: &System, out: &mut Findings) {
    for (path, id) in system.tree.paths() {
        let node = &system.tree.nodes[id];
        // vfat stores no modes: the mount options define them.
        let has_modes = !system.without_modes.contains(&system.partition_of(id));
        let open = node.mode & OTHERS_WRITE != 0 && has_modes;
        let bad = match node.body {
            Body::Directory(_) => open && node.mode & STICKY == 0,
            Body::File(_) => open,
            // Symbolic links have no mode of their own. Devices and sockets may be world-writable on purpose.
            _ => false,
        };
        if bad {
            out.report(format!("world-writable (mode {:04o})", node.mode & 0o7777))
                .path(String::from_utf8_lossy(&path).into_owned());
        }
    }
}
