//! Which of several kernels is the default.

use super::boot::in_system;
use crate::finding::Level;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::BTreeSet;

pub(super) static ENTRIES: Rule = Rule {
    name: "boot-entries",
    summary: "more than one kernel can be booted",
    level: Level::Note,
    why: "The boot loader's sort order and its default entry decide which kernel boots without user \
          input. The Boot Loader Specification puts the newest version first, whatever entry a hook wrote \
          last. Sources: UAPI.1, \"Sorting\"; loader.conf(5).",
    check: Check::Disk(several_entries),
};

fn several_entries(facts: &Facts, out: &mut Findings) {
    for path in &facts.boot_paths.paths {
        let mut first = None;
        let mut others = BTreeSet::new();
        for (start, chosen) in path
            .start
            .all(false)
            .into_iter()
            .filter_map(|(step, chosen)| Some((facts.boot_paths.kernels.get(step.kernel?)?, chosen)))
        {
            match (&first, chosen) {
                (None, false) => first = Some(start),
                _ => {
                    _ = others.insert((&start.entry, start.image.as_ref().map(|(at, _)| at), &start.options))
                }
            }
        }
        let Some(first) = first else { continue };
        let image = first.image.as_ref().map(|(at, _)| at);
        others.remove(&(&first.entry, image, &first.options));
        if others.is_empty() {
            continue;
        }
        let kernel = image.map_or("no kernel", |at| at.path.as_str());
        let (partition, path_of_entry) = in_system(facts, &first.entry);
        out.report(format!(
            "{} boots {kernel} by default; other menu entries: {}",
            path.firmware,
            others.len()
        ))
        .partition(partition)
        .path(path_of_entry)
        .help("remove the other entries, or set the default entry in the boot loader configuration");
    }
}
