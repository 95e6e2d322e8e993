//! Facts about files of the host that rules need, collected before they run.

use crate::template::{Template, entries};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFact {
    Missing,
    /// There, but of no use: a directory, a device, somebody else's.
    Unreadable(String),
    Program(Program),
    Text(String),
}

/// A file that is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    pub executable: bool,
    /// It begins as the kernel wants it: `#!` or an ELF header.
    pub startable: bool,
    /// Everybody may write to it, or replace it in its directory.
    pub writable_by_all: bool,
}

pub type Files = BTreeMap<String, FileFact>;

/// Why a path's facts are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It will be run.
    Program,
    /// Its text counts.
    PublicKey,
}

/// Paths whose facts the rules want to know: hooks, and keys that may be files.
pub fn wanted_files(template: &Template) -> Vec<(String, Wanted)> {
    let hooks = entries(&template.post_non_chroot).iter().map(|hook| (hook.value.clone(), Wanted::Program));
    let keys = template.users().iter().filter_map(|user| {
        let key = &user.key.as_ref()?.value;
        // A key itself has three words; nobody's file is called like that.
        (key.split_whitespace().count() < 3).then(|| (key.clone(), Wanted::PublicKey))
    });
    hooks.chain(keys).collect()
}
