//! `passphrase-weak`: a passphrase is easy to guess.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template};
use std::collections::BTreeSet;

pub(super) static RULE: Rule = Rule {
    name: "passphrase-weak",
    summary: "a passphrase is easy to guess",
    level: Level::Warning,
    why: "Anyone with access to the disk can try millions of passphrases. An empty, short or common passphrase is found within seconds.",
    example: r#"{
    "$lint": { "allow": { "passphrase-clear": "thrown away after the test" } },
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": "secret" } }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    instead: r#"{
    "$lint": { "allow": { "passphrase-clear": "thrown away after the test" } },
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": "correct horse battery staple" } }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in template.filesystems() {
        let Some(passphrase) = entry.encryption.as_ref().and_then(|e| e.passphrase.as_ref()) else {
            continue;
        };
        let SecretSource::Inline(text) = &passphrase.value else { continue };
        let different = text.chars().collect::<BTreeSet<_>>().len();
        let what = if text.is_empty() {
            "empty"
        } else if text.chars().count() < 12 {
            "fewer than 12 characters"
        } else if different < 5 {
            "fewer than 5 different characters"
        } else {
            continue;
        };
        // The message never contains the passphrase.
        out.report(passphrase.span, format!("weak passphrase: {what}"))
            .help("use a longer passphrase, for example several random words");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"encryption": {"passphrase": ""}}, {"encryption": {"passphrase": "aaaaaaaaaaaaaaaa"}}]}"#,
            &["1:52 weak passphrase: empty", "1:88 weak passphrase: fewer than 5 different characters"],
        );
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"encryption": {"passphrase": "correct horse battery"}}, {"encryption": {"passphrase": {"env": "X"}}}]}"#,
            &[],
        );
    }
}
