//! Intact images, and helpers to change their contents.

use super::run;
use crate::common::system::{install, make, plan};
use crate::common::{text, verify};
use ister::plan::layout::gpt;
use ister::plan::{Disk, Plan};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An intact image and its plan. Tests damage copies of it.
pub(super) struct Good {
    pub(super) directory: tempfile::TempDir,
    pub(super) image: PathBuf,
    pub(super) plan: Plan,
}

impl Good {
    pub(super) fn new(template: &serde_json::Value, prepare: impl FnOnce(&Path)) -> Good {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        install(&root);
        prepare(&root);
        let plan = plan(template, |_| {});
        let image = make(&plan, &root, directory.path());
        Good { directory, image, plan }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.plan.disks[0]
    }

    /// Offset of a partition in the image, in bytes.
    pub(super) fn offset(&self, number: u32) -> u64 {
        let partition = self.disk().partitions.iter().find(|p| p.number == number).unwrap();
        self.disk().offset(partition).0
    }

    /// Damages a copy of the image, with its plan next to it, and returns the findings of `ister verify`.
    pub(super) fn damaged(&self, damage: &dyn Fn(&Good, &Path)) -> Vec<String> {
        let copy = self.directory.path().join("damaged.img");
        run("cp", &["--sparse=always", self.image.to_str().unwrap(), copy.to_str().unwrap()]);
        std::fs::copy(format!("{}.plan.json", self.image.display()), format!("{}.plan.json", copy.display()))
            .unwrap();
        damage(self, &copy);
        verify(&copy, &[])
    }

    /// Runs a debugfs command on the root filesystem.
    pub(super) fn debugfs(&self, image: &Path, command: &str) {
        let device = format!("{}?offset={}", image.display(), self.offset(3));
        run("debugfs", &["-w", "-R", command, &device]);
    }

    /// Writes a file in the root filesystem, or replaces it.
    pub(super) fn put(&self, image: &Path, path: &str, content: &[u8], mode: &str) {
        let host = self.directory.path().join("put");
        std::fs::write(&host, content).unwrap();
        let device = format!("{}?offset={}", image.display(), self.offset(3));
        // Fails if the file does not exist.
        let _ = Command::new("/sbin/debugfs").args(["-w", "-R", &format!("rm {path}"), &device]).output();
        self.debugfs(image, &format!("write {} {path}", host.display()));
        self.debugfs(image, &format!("set_inode_field {path} mode {mode}"));
    }

    /// The ESP in the syntax of mtools.
    pub(super) fn esp(&self, image: &Path) -> String {
        format!("{}@@{}", image.display(), self.offset(1))
    }

    pub(super) fn put_in_esp(&self, image: &Path, path: &str, content: &[u8]) {
        let host = self.directory.path().join("put");
        std::fs::write(&host, content).unwrap();
        run("mcopy", &["-o", "-i", &self.esp(image), host.to_str().unwrap(), &format!("::{path}")]);
    }

    pub(super) fn copy_from_esp(&self, image: &Path, path: &str) -> Vec<u8> {
        let host = self.directory.path().join("copy");
        run("mcopy", &["-n", "-o", "-i", &self.esp(image), &format!("::{path}"), host.to_str().unwrap()]);
        std::fs::read(host).unwrap()
    }

    /// Adds an option to the kernel command line.
    pub(super) fn add_option(&self, image: &Path, option: &str) {
        let (name, entry) = self.entry(image);
        self.put_in_esp(image, &name, format!("{entry}options {option}\n").as_bytes());
    }

    pub(super) fn entry(&self, image: &Path) -> (String, String) {
        let listing = Command::new("mdir")
            .args(["-b", "-i", &self.esp(image), "::/loader/entries"])
            .env("MTOOLS_SKIP_CHECK", "1")
            .output()
            .unwrap();
        let name = text(&listing.stdout).lines().next().unwrap().trim_start_matches("::").trim().to_owned();
        let host = self.directory.path().join("entry");
        run("mcopy", &["-n", "-o", "-i", &self.esp(image), &format!("::{name}"), host.to_str().unwrap()]);
        (name, std::fs::read_to_string(host).unwrap())
    }
}

pub(super) fn open(image: &Path) -> File {
    File::options().read(true).write(true).open(image).unwrap()
}

pub(super) fn flip(image: &Path, at: u64) {
    let file = open(image);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

pub(super) fn size(image: &Path) -> u64 {
    image.metadata().unwrap().len()
}

/// Changes the entries of both tables and updates the checksums.
pub(super) fn change_entries(image: &Path, change: &dyn Fn(&mut [u8])) {
    let file = open(image);
    let size = size(image);
    for (header, array) in [(512, 1024), (size - 512, size - 33 * 512)] {
        let mut entries = vec![0; 128 * 128];
        file.read_exact_at(&mut entries, array).unwrap();
        change(&mut entries);
        file.write_all_at(&entries, array).unwrap();
        let mut bytes = vec![0; 92];
        file.read_exact_at(&mut bytes, header).unwrap();
        bytes[88..92].copy_from_slice(&gpt::crc32(&entries).to_le_bytes());
        bytes[16..20].fill(0);
        let crc = gpt::crc32(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, header).unwrap();
    }
}
