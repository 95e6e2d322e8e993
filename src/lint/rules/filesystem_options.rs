//! `filesystem-options`: mkfs options are invalid or conflict with the plan.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, FilesystemType, Fix, Safety, Template, json_string};

pub(super) static RULE: Rule = Rule {
    name: "filesystem-options",
    summary: "mkfs options are invalid or conflict with the plan",
    level: Level::Error,
    why: "`options` is passed to mkfs unchanged. The plan sets size, position, UUID and content of a filesystem, and the label has its own key. An unknown option makes mkfs fail in the middle of the build.",
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
                    let report = report.help("use the key `label` instead");
                    if entry.label.is_none() {
                        let key = Change::AddKey {
                            object: entry.place.span,
                            key: "label".to_owned(),
                            value: json_string(&label),
                        };
                        report.fix(Fix {
                            title: format!("replace with `\"label\": \"{}\"`", label.escape_debug()),
                            safety: Safety::Unsafe,
                            changes: vec![Change::string(options.span, &rest), key],
                        });
                    }
                }
                None => {
                    report
                        .help("remove it; the plan sets size, position, UUID and content of the filesystem");
                }
            }
        }
    }
}

/// The command-line options of a mkfs program.
struct Program {
    name: &'static str,
    with_value: &'static str,
    flags: &'static str,
    /// The options among them that the plan sets.
    planned: &'static str,
    /// The option that sets the label.
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

struct InvalidOption {
    message: String,
    /// For the label option: the label, and the options without it.
    label: Option<(String, String)>,
}

/// Features of mkfs.xfs and mkfs.btrfs that ister's filesystem writers do not support.
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

/// Limit on the words that are checked.
const MOST: usize = 200;

fn judge(kind: FilesystemType, options: &str) -> Vec<InvalidOption> {
    let program = program(kind);
    let mut faults = Vec::new();
    let mut fault = |message: String| faults.push(InvalidOption { message, label: None });
    let mut labels = Vec::new();
    let words: Vec<&str> = options.split_whitespace().collect();
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|_| at < MOST) {
        at += 1;
        if word.starts_with("--") {
            fault(format!("long options such as `{word}` are not supported"));
            continue;
        }
        let letters = word.strip_prefix('-').unwrap_or_default();
        if letters.is_empty() {
            fault(format!("`{word}` is not an option"));
        }
        for (index, letter) in letters.char_indices() {
            let takes_value = program.with_value.contains(letter);
            if !takes_value && !program.flags.contains(letter) {
                fault(format!("{} has no option `-{letter}`", program.name));
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
                fault(format!("`-{letter}` is set by the plan"));
            }
            if takes_value && value.is_empty() {
                fault(format!("option `-{letter}` requires a value"));
            }
            // Settings, of any option, that the plan decides or that name a file or device of the host.
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
                    fault(format!("`-{letter} {name}` is set by the plan"));
                }
                if UNFILLED.contains(&(kind, setting)) {
                    fault(format!("ister does not support {kind} with `-{letter} {setting}`"));
                }
            }
            if takes_value {
                break;
            }
        }
    }
    for label in labels {
        let message = format!("option `-{}` sets the label, which has its own key", program.label);
        faults.push(InvalidOption { message, label: Some(label) });
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let options = |kind: &str, text: &str| {
            format!(r#"{{"FilesystemTypes": [{{"type": "{kind}", "options": "{text}"}}]}}"#)
        };
        for (kind, text, fault) in [
            ("ext4", "-E offset=0", "`-E offset` is set by the plan"),
            ("ext4", "-U random", "`-U` is set by the plan"),
            ("ext4", "-n", "`-n` is set by the plan"),
            ("ext4", "/dev/null", "`/dev/null` is not an option"),
            ("ext4", "--frobnicate", "long options such as `--frobnicate` are not supported"),
            ("vfat", "-i 1234", "`-i` is set by the plan"),
            ("swap", "-L x", "option `-L` sets the label, which has its own key"),
            ("ext4", "-qZ", "mke2fs has no option `-Z`"),
            ("xfs", "-N", "`-N` is set by the plan"),
            ("xfs", "-m bigtime=1,rmapbt=1", "ister does not support xfs with `-m rmapbt=1`"),
            ("btrfs", "-O quota", "ister does not support btrfs with `-O quota`"),
            ("ext4", "-b", "option `-b` requires a value"),
        ] {
            let column = 46 + kind.len();
            check_rule(&super::RULE, &options(kind, text), &[&format!("1:{column} {fault}")]);
        }
        check_rule(&super::RULE, &options("ext4", "-b 4096 -O ^64bit -Estride=2 -m 0"), &[]);
        check_rule(&super::RULE, &options("vfat", "-F 32 -s 1"), &[]);
    }
}
