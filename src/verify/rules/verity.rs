//! dm-verity: whether the blocks are those that the command line stands for.

use super::boot::in_system;
use crate::lint::Level;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Found, Rule};

pub static VERITY_HASH: Rule = Rule {
    name: "verity-hash",
    summary: "a filesystem does not have the digest that the command line names",
    level: Level::Error,
    why: "Blocks that differ are not read: the kernel answers with I/O errors, and the initramfs does not mount the root. Looked at are \
          all blocks. Sources: systemd-veritysetup-generator(8); Linux, Documentation/admin-guide/device-mapper/verity.rst.",
    check: Check::Disk(verity_hash),
};

fn verity_hash(facts: &Facts, out: &mut Found) {
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
