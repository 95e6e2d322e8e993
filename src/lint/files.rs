//! Facts about host files, which are collected before the rules run.

use crate::template::{Template, entries};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFact {
    Missing,
    /// Exists but cannot be used, for example a directory, a device or a file without read permission.
    Unreadable(String),
    Program(Program),
    Text(String),
}

/// A file that the build executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    pub executable: bool,
    /// The file starts with `#!` or an ELF header, so the kernel can execute it.
    pub startable: bool,
    /// Any user can write to the file, or replace it in its directory.
    pub writable_by_all: bool,
}

pub type Files = BTreeMap<String, FileFact>;

/// What a host file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// The build executes it.
    Program,
    /// The build reads its text.
    PublicKey,
}

/// The host files that the rules need facts about: hooks, and `key` values that may be paths.
pub fn referenced_files(template: &Template) -> Vec<(String, FileUse)> {
    let hooks = entries(&template.post_non_chroot).iter().map(|hook| (hook.value.clone(), FileUse::Program));
    let keys = template.users().iter().filter_map(|user| {
        let key = &user.key.as_ref()?.value;
        // An inline key has at least three words. File names like that are not expected.
        (key.split_whitespace().count() < 3).then(|| (key.clone(), FileUse::PublicKey))
    });
    hooks.chain(keys).collect()
}
