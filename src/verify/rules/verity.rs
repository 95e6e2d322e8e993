//! dm-verity: whether the blocks match the root hash on the command line.

use super::boot::in_system;
use crate::finding::Level;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static VERITY_HASH: Rule = Rule {
    name: "verity-hash",
    summary: "a dm-verity partition does not match its root hash",
    level: Level::Error,
    why: "The kernel returns I/O errors for blocks that do not match, so the root filesystem cannot be \
          mounted. All blocks are checked. Sources: systemd-veritysetup-generator(8); Linux, \
          Documentation/admin-guide/device-mapper/verity.rst.",
    check: Check::Disk(verity_hash),
};

fn verity_hash(facts: &Facts, out: &mut Findings) {
    for verity in &facts.verity {
        let Some(fault) = &verity.fault else { continue };
        let level = if verity.is_alternative { Level::Warning } else { Level::Error };
        let found = out.report(format!("{}: {fault}", verity.option)).level(level);
        match verity.partition {
            Some(number) => drop(found.partition(number)),
            None => {
                let (partition, path) = in_system(facts, &verity.entry);
                found.partition(partition).path(path);
            }
        }
    }
}
