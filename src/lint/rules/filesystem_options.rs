//! `filesystem-options`: options of a filesystem contradict the plan.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{FilesystemType, Template};

pub static RULE: Rule = Rule {
    name: "filesystem-options",
    summary: "options of a filesystem contradict the plan",
    level: Level::Error,
    why: "`options` is handed to mkfs as it stands. Size, place, UUID and content of a filesystem are decided by the plan, the label has a key of its own, and an option that mkfs does not know ends the build when half of it is done.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4", "options": "-L root" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4", "label": "root" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in template.filesystems() {
        let (Some(kind), Some(options)) = (entry.kind.as_ref().and_then(|k| k.known()), &entry.options)
        else {
            continue;
        };
        for fault in judge(kind, &options.value) {
            out.report(options.span, fault).help(
                "size, place, UUID and content are the plan's; labels have a key of their own, `label`",
            );
        }
    }
}

/// Options that take a value, and options that are the plan's. Source: mke2fs(8), mkfs.fat(8), mkswap(8).
fn letters(kind: FilesystemType) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => {
            ("bCDeEgGiIJLlmMNoOrTtUzd", "dFLnSStTU")
        }
        FilesystemType::Vfat => ("bDfFghiMnrRsS", "Cin"),
        FilesystemType::Swap => ("eLopUv", "LopU"),
        // Their programs' options are not known here.
        FilesystemType::Btrfs | FilesystemType::Xfs => return None,
    })
}

fn judge(kind: FilesystemType, options: &str) -> Vec<String> {
    let Some((with_value, planned)) = letters(kind) else { return Vec::new() };
    let mut faults = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        if word.starts_with("--") {
            faults.push(format!("`{word}`: long options are not passed on"));
            continue;
        }
        let mut characters = word.strip_prefix('-').unwrap_or_default().chars();
        let Some(letter) = characters.next() else {
            faults
                .push(format!("`{word}` is no option: another device or size is not the template's to name"));
            continue;
        };
        let glued = characters.as_str();
        if planned.contains(letter) {
            faults.push(format!("`-{letter}` is the plan's to say"));
        }
        if !with_value.contains(letter) {
            continue;
        }
        let value = if glued.is_empty() { words.next().unwrap_or_default() } else { glued };
        if value.is_empty() {
            faults.push(format!("`-{letter}` needs a value"));
        }
        const PLANNED: &[&str] = &["offset", "hash_seed", "root_owner", "assume_storage_prezeroed"];
        for setting in value.split(',').filter(|_| letter == 'E') {
            let name = setting.split('=').next().unwrap_or_default();
            if PLANNED.contains(&name) {
                faults.push(format!("`-E {name}` is the plan's to say"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        let options = |kind: &str, text: &str| {
            format!(r#"{{"FilesystemTypes": [{{"type": "{kind}", "options": "{text}"}}]}}"#)
        };
        for (kind, text, fault) in [
            ("ext4", "-E offset=0", "`-E offset` is the plan's to say"),
            ("ext4", "-U random", "`-U` is the plan's to say"),
            ("ext4", "-n", "`-n` is the plan's to say"),
            (
                "ext4",
                "/dev/null",
                "`/dev/null` is no option: another device or size is not the template's to name",
            ),
            ("ext4", "--frobnicate", "`--frobnicate`: long options are not passed on"),
            ("vfat", "-i 1234", "`-i` is the plan's to say"),
            ("swap", "-L x", "`-L` is the plan's to say"),
        ] {
            check_rule(&super::RULE, &options(kind, text), &[&format!("1:50 {fault}")]);
        }
        check_rule(&super::RULE, &options("ext4", "-b 4096 -O ^64bit -Estride=2 -m 0"), &[]);
        check_rule(&super::RULE, &options("vfat", "-F 32 -s 1"), &[]);
    }
}
