//! Checksums of installed files, from dpkg's MD5 sums, the digests in rpm's database, and the hashes in swupd's
//! manifests.

use super::examine::unreadable;
use super::system::System;
use crate::content::RPM_DATABASES;
use crate::content::swupd::hash::{Attributes, ObjectHash, ObjectKind, object_hash};
use crate::content::swupd::manifest::Bundle;
use crate::disk::{Body, Node, ReadError, Window, read_file};
use crate::host::{Context, Failure, Invocation, Jail, run_jailed};
use md5::{Digest, Md5};
use sha2::{Sha256, Sha512};
use std::collections::BTreeMap;
use std::path::Path;

/// Files of the three rpm database formats: SQLite, NDB, Berkeley DB. Source: rpm, lib/backend.
const RPM_FILES: [&str; 6] =
    ["rpmdb.sqlite", "rpmdb.sqlite-wal", "rpmdb.sqlite-shm", "Packages.db", "Index.db", "Packages"];
/// Larger database files are not copied, in bytes.
const MOST: u64 = 512 << 20;
/// Directories with swupd's manifests, in one subdirectory per version. Source: swupd-client, globals.c and its older
/// releases.
const SWUPD: [&str; 2] = ["/var/lib/swupd/manifest", "/var/lib/swupd"];

/// Returns the content of a file, if it exists and is not larger than the limit.
type ReadBytes<'r> = dyn Fn(&str, u64) -> Result<Option<Vec<u8>>, Failure> + 'r;

/// The expected checksum of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    /// Hexadecimal; the length determines the algorithm.
    Digest(String),
    Object(ObjectHash),
}

/// The expected checksums of programs and libraries, by path.
#[derive(Debug, Default)]
pub(super) struct PackageFiles(BTreeMap<String, Vec<Expected>>);

impl PackageFiles {
    /// Reads the databases of all package managers in the system. Damaged files are skipped, because other rules report
    /// them.
    ///
    /// # Errors
    /// If the rpm database cannot be copied to `scratch`, or the host cannot read the image.
    pub(super) fn read<'w>(
        system: &System,
        scratch: &Path,
        window: impl Fn(u32) -> Option<Window<'w>>,
    ) -> Result<PackageFiles, Failure> {
        let mut files = PackageFiles::default();
        files.dpkg(system);
        let bytes = |path: &str, most: u64| -> Result<Option<Vec<u8>>, Failure> {
            let Some(id) = system.tree.find(path) else { return Ok(None) };
            let node = &system.tree.nodes[id];
            let Some(window) = window(system.partition_of(id)) else { return Ok(None) };
            if !matches!(node.body, Body::File(_)) || node.size > most {
                return Ok(None);
            }
            match read_file(&window, node, most) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(ReadError::Damaged { .. } | ReadError::Unsupported(_)) => Ok(None),
                Err(error) => Err(unreadable(&error)),
            }
        };
        files.rpm(system, scratch, &bytes)?;
        files.swupd(system, &bytes)?;
        Ok(files)
    }

    /// Whether a file matches its package, and the name of the digest. `None` if no package has a checksum of it.
    pub(super) fn check(&self, path: &str, node: &Node, bytes: &[u8]) -> Option<(bool, &'static str)> {
        let under_usr = path.strip_prefix("/usr");
        let under_root = format!("/usr{path}");
        let expected = self.0.get(path).or_else(|| self.0.get(under_usr?)).or_else(|| {
            self.0.get(&under_root).filter(|_| path.starts_with("/lib") || path.contains("bin/"))
        })?;
        // prelink modifies files after installation; rpm reverts that before it verifies them. Source: prelink(8),
        // --verify.
        if memchr::memmem::find(bytes, b".gnu.prelink_undo").is_some() {
            return None;
        }
        // Several packages may contain the same path, for example for two architectures.
        let checks: Vec<_> =
            expected.iter().map(|expected| matches(expected, node, bytes)).collect::<Option<_>>()?;
        checks.iter().find(|(is_same, _)| *is_same).or(checks.first()).copied()
    }

    fn insert(&mut self, path: String, expected: Expected) {
        let is_relevant = path.contains("bin/") || path.contains(".so") || path.contains("/systemd/");
        if is_relevant {
            self.0.entry(path).or_default().push(expected);
        }
    }

    /// Source: deb-md5sums(5).
    fn dpkg(&mut self, system: &System) {
        const INFO: &str = "/var/lib/dpkg/info";
        let diversions = system.text("/var/lib/dpkg/diversions").unwrap_or_default();
        for name in system.list(INFO).into_iter().filter(|name| name.ends_with(".md5sums")) {
            let text = system.text(&format!("{INFO}/{name}")).unwrap_or_default();
            for (sum, path) in text.lines().filter_map(|line| line.split_once("  ")) {
                let path = format!("/{path}");
                // A diverted path has the file of another package. Source: dpkg-divert(1).
                if !diversions.lines().any(|line| line == path) {
                    self.insert(path, Expected::Digest(sum.to_owned()));
                }
            }
        }
    }

    /// Runs rpm on a copy of the database, because rpm also writes when it only queries. Without rpm on the host
    /// nothing is checked.
    fn rpm(&mut self, system: &System, scratch: &Path, bytes: &ReadBytes<'_>) -> Result<(), Failure> {
        const FORMAT: &str = "[%{FILEDIGESTS}\t%{FILEFLAGS:fflags}\t%{FILENAMES}\n]";
        let has =
            |directory: &&str| RPM_FILES.iter().any(|name| system.exists(&format!("{directory}/{name}")));
        let Some(directory) = RPM_DATABASES.into_iter().find(has) else { return Ok(()) };
        let could_not = || format!("could not write to `{}`", scratch.display());
        let copy = tempfile::tempdir_in(scratch).context(could_not)?;
        for name in RPM_FILES {
            if let Some(bytes) = bytes(&format!("{directory}/{name}"), MOST)? {
                std::fs::write(copy.path().join(name), bytes).context(could_not)?;
            }
        }
        let query =
            Invocation::new("rpm").arg("--dbpath").arg(copy.path()).args(["-qa", "--queryformat", FORMAT]);
        let Ok(listed) = run_jailed(&query, Jail::Directory(copy.path())) else { return Ok(()) };
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let mut fields = line.splitn(3, '\t');
            let (Some(digest), Some(flags), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            // Directories and links have no digest, and ghost files (`g`) are not created by the package.
            if !digest.is_empty() && !flags.contains('g') {
                self.insert(path.to_owned(), Expected::Digest(digest.to_owned()));
            }
        }
        Ok(())
    }

    /// Reads swupd's manifests for the version in os-release.
    fn swupd(&mut self, system: &System, bytes: &ReadBytes<'_>) -> Result<(), Failure> {
        let release = system.text("/usr/lib/os-release").unwrap_or_default();
        let Some(version) = release.lines().find_map(|line| line.strip_prefix("VERSION_ID=")) else {
            return Ok(());
        };
        for directory in SWUPD.map(|place| format!("{place}/{}", version.trim_matches('"'))) {
            let is_bundle = |name: &String| name.starts_with("Manifest.") && name != "Manifest.MoM";
            for name in system.list(&directory).into_iter().filter(is_bundle) {
                let Some(bytes) = bytes(&format!("{directory}/{name}"), MOST)? else { continue };
                let Ok(bundle) = Bundle::parse(bytes) else { continue };
                for line in bundle.files.iter().filter(|line| line.kind == ObjectKind::File) {
                    let path = String::from_utf8_lossy(bundle.path(line)).into_owned();
                    self.insert(path, Expected::Object(line.hash));
                }
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the content matches, and the name of the digest. `None` if that cannot be determined.
fn matches(expected: &Expected, node: &Node, bytes: &[u8]) -> Option<(bool, &'static str)> {
    match expected {
        Expected::Digest(digest) => {
            let (own, name) = match digest.len() {
                32 => (hex(&Md5::digest(bytes)), "MD5"),
                64 => (hex(&Sha256::digest(bytes)), "SHA-256"),
                128 => (hex(&Sha512::digest(bytes)), "SHA-512"),
                _ => return None,
            };
            Some((own == *digest, name))
        }
        // Hashes of files with extended attributes are not supported.
        Expected::Object(_) if !node.attributes.is_empty() => None,
        Expected::Object(hash) => {
            let attributes = Attributes {
                kind: ObjectKind::File,
                mode: node.mode & 0o7777,
                uid: node.uid,
                gid: node.gid,
                size: node.size,
            };
            Some((object_hash(&attributes, bytes) == *hash, "swupd"))
        }
    }
}
