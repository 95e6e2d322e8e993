//! `filesystem-options`: options of a filesystem contradict the plan.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, FilesystemType, Fix, Safety, Template, json_string};

pub(super) static RULE: Rule = Rule {
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
            let report = out.report(options.span, fault.message);
            match fault.label {
                Some((label, rest)) => {
                    let report = report.help("write it as `label`");
                    if entry.label.is_none() {
                        let key = Change::AddKey {
                            object: entry.place.span,
                            key: "label".to_owned(),
                            value: json_string(&label),
                        };
                        report.fix(Fix {
                            title: format!("make it `label`: \"{}\"", label.escape_debug()),
                            safety: Safety::Unsafe,
                            changes: vec![Change::string(options.span, &rest), key],
                        });
                    }
                }
                None => {
                    report.help("size, place, UUID and content are the plan's; mkfs takes everything else as it stands");
                }
            }
        }
    }
}

/// The options of a mkfs program.
struct Program {
    name: &'static str,
    with_value: &'static str,
    flags: &'static str,
    /// Those of both that the plan decides.
    planned: &'static str,
    /// The one for the label.
    label: char,
}

/// Source: mke2fs(8) 1.47, mkfs.fat(8) 4.2, mkswap(8) 2.38, mkfs.btrfs(8) 6.2, mkfs.xfs(8) 6.1.
fn program(kind: FilesystemType) -> Program {
    match kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => Program {
            name: "mke2fs",
            with_value: "bCeEgGiIJlLmMNoOrtTUdz",
            flags: "cDFjKnqSvV",
            planned: "dFlLnStTUz",
            label: 'L',
        },
        FilesystemType::Vfat => Program {
            name: "mkfs.vfat",
            with_value: "bDfFghilmMnrRsS",
            flags: "aAcCIv",
            planned: "Cilmn",
            label: 'n',
        },
        FilesystemType::Swap => {
            Program { name: "mkswap", with_value: "eLopsUv", flags: "cfq", planned: "LoUs", label: 'L' }
        }
        FilesystemType::Btrfs => Program {
            name: "mkfs.btrfs",
            with_value: "AbdlLmnOrRsU",
            flags: "fKMqvV",
            planned: "AbLrU",
            label: 'L',
        },
        FilesystemType::Xfs => Program {
            name: "mkfs.xfs",
            with_value: "bcdilLmnprs",
            flags: "fKNqV",
            planned: "cLNpr",
            label: 'L',
        },
    }
}

struct OptionFault {
    message: String,
    /// For an option that gives the label: the label, and the options without it.
    label: Option<(String, String)>,
}

/// What mkfs.xfs and mkfs.btrfs would make, and ister's writers do not know.
const UNFILLED: &[(FilesystemType, &str)] = &[
    (FilesystemType::Xfs, "rmapbt=1"),
    (FilesystemType::Xfs, "parent=1"),
    (FilesystemType::Xfs, "version=ci"),
    (FilesystemType::Xfs, "ftype=0"),
    (FilesystemType::Xfs, "crc=0"),
    (FilesystemType::Xfs, "internal=0"),
    (FilesystemType::Btrfs, "block-group-tree"),
    (FilesystemType::Btrfs, "quota"),
    (FilesystemType::Btrfs, "zoned"),
    (FilesystemType::Btrfs, "raid-stripe-tree"),
    (FilesystemType::Btrfs, "squota"),
    (FilesystemType::Btrfs, "extent-tree-v2"),
    (FilesystemType::Btrfs, "^skinny-metadata"),
];

/// More words than this are not options any more.
const MOST: usize = 200;

fn judge(kind: FilesystemType, options: &str) -> Vec<OptionFault> {
    let program = program(kind);
    let mut faults = Vec::new();
    let mut fault = |message: String| faults.push(OptionFault { message, label: None });
    let mut labels = Vec::new();
    let words: Vec<&str> = options.split_whitespace().collect();
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|_| at < MOST) {
        at += 1;
        if word.starts_with("--") {
            fault(format!("`{word}`: long options are not passed on"));
            continue;
        }
        let letters = word.strip_prefix('-').unwrap_or_default();
        if letters.is_empty() {
            fault(format!("`{word}` is no option: another device or size is not the template's to name"));
        }
        for (index, letter) in letters.char_indices() {
            let takes_value = program.with_value.contains(letter);
            if !takes_value && !program.flags.contains(letter) {
                fault(format!("{} knows no option `-{letter}`", program.name));
                break;
            }
            let glued = &letters[index + letter.len_utf8()..];
            let value = match (takes_value, glued) {
                (false, _) => "",
                (true, "") => {
                    at += 1;
                    words.get(at - 1).copied().unwrap_or_default()
                }
                (true, glued) => glued,
            };
            if letter == program.label && labels.is_empty() {
                let rest = words
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| *n + 1 < at - usize::from(glued.is_empty()) || *n >= at);
                let rest: Vec<&str> = rest.map(|(_, word)| *word).collect();
                labels.push((value.trim_matches(['"', '\'']).to_owned(), rest.join(" ")));
            } else if program.planned.contains(letter) {
                fault(format!("`-{letter}` is the plan's to say"));
            }
            if takes_value && value.is_empty() {
                fault(format!("`-{letter}` needs a value"));
            }
            // Of all that takes settings: what the plan decides, and what names a file or device of the host.
            const PLANNED: &[&str] = &[
                "offset",
                "hash_seed",
                "root_owner",
                "assume_storage_prezeroed",
                "device",
                "file",
                "name",
                "logdev",
                "rtdev",
                "uuid",
            ];
            for setting in value.split(',').filter(|_| takes_value) {
                let name = setting.split('=').next().unwrap_or_default();
                if PLANNED.contains(&name) {
                    fault(format!("`-{letter} {name}` is the plan's to say"));
                }
                if UNFILLED.contains(&(kind, setting)) {
                    fault(format!("ister cannot fill {kind} with `-{letter} {setting}`"));
                }
            }
            if takes_value {
                break;
            }
        }
    }
    for label in labels {
        let message = format!("`-{}` gives the label, which has a key of its own", program.label);
        faults.push(OptionFault { message, label: Some(label) });
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
            ("swap", "-L x", "`-L` gives the label, which has a key of its own"),
            ("ext4", "-qZ", "mke2fs knows no option `-Z`"),
            ("xfs", "-N", "`-N` is the plan's to say"),
            ("xfs", "-m bigtime=1,rmapbt=1", "ister cannot fill xfs with `-m rmapbt=1`"),
            ("btrfs", "-O quota", "ister cannot fill btrfs with `-O quota`"),
            ("ext4", "-b", "`-b` needs a value"),
        ] {
            let column = 46 + kind.len();
            check_rule(&super::RULE, &options(kind, text), &[&format!("1:{column} {fault}")]);
        }
        check_rule(&super::RULE, &options("ext4", "-b 4096 -O ^64bit -Estride=2 -m 0"), &[]);
        check_rule(&super::RULE, &options("vfat", "-F 32 -s 1"), &[]);
    }
}
