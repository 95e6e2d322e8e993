//! The table of all rules. The rules themselves are in one file per subject.

mod boot;
mod entries;
mod filesystems;
mod fstab;
mod grub;
mod image;
mod leftovers;
mod media;
mod mounts;
mod partitions;
mod plan;
mod secrets;
mod system;
mod table;
mod units;
mod update;
mod verity;

use super::facts::Facts;
use super::medium::MediumFacts;
use super::rule::{Check, Finding, Findings, MAX_OF_RULE, Rule};

pub(super) use mounts::mounts_of;

/// Sorted by name.
pub static RULES: &[&Rule] = &[
    &system::ACCOUNTS,
    &boot::BOOT_CODE,
    &entries::ENTRIES,
    &boot::BOOT_PATH,
    &boot::BOOT_SPACE,
    &leftovers::BUILD_PATH,
    &media::CD_START,
    &mounts::CRYPTTAB,
    &system::DEFAULT_TARGET,
    &boot::ENTRY_DEVICETREE,
    &boot::ENTRY_INITRD,
    &boot::ENTRY_KERNEL,
    &boot::ENTRY_MISSING,
    &filesystems::ESP_CLUSTERS,
    &partitions::ESP_LOADER,
    &partitions::ESP_REPEATED,
    &filesystems::FILESYSTEM_DAMAGED,
    &filesystems::FILESYSTEM_MISSING,
    &filesystems::FILESYSTEM_NOT_READ,
    &filesystems::FILESYSTEM_PLACE,
    &filesystems::FILESYSTEM_UNREADABLE,
    &mounts::FSTAB,
    &fstab::FSTAB_OPTIONS,
    &image::GCE_SIZE,
    &system::GETTY,
    &table::GPT_BACKUP,
    &table::GPT_BOUNDS,
    &table::GPT_COPIES,
    &table::GPT_ENTRIES,
    &table::GPT_GUID,
    &table::GPT_PRIMARY,
    &boot::GRUB_CONFIGURATION,
    &grub::GRUB_CORE,
    &image::IMAGE_FORMAT,
    &system::INIT_PROGRAM,
    &boot::INITRD_CONTENT,
    &boot::INITRD_DAMAGED,
    &system::COMMAND_LINE,
    &boot::KERNEL_DAMAGED,
    &update::KERNEL_ENTRY,
    &boot::KERNEL_MODULES,
    &update::KERNEL_UPDATE,
    &filesystems::LABEL_REPEATED,
    &system::LOGIN_PROGRAM,
    &filesystems::LUKS_HEADER,
    &filesystems::LUKS_LOCKED,
    &secrets::MACHINE_ID,
    &table::MBR_PROTECTIVE,
    &table::MBR_TABLE,
    &media::MEDIUM_KERNEL,
    &media::MEDIUM_TREE,
    &mounts::MOUNT_POINT,
    &mounts::MOUNT_UNIT,
    &media::OCI_LAYOUT,
    &leftovers::PACKAGE_CACHE,
    &system::PACKAGE_DATABASE,
    &system::PACKAGE_FILE,
    &system::PAM,
    &partitions::PARTITION_ALIGNMENT,
    &plan::PLAN_DISK,
    &plan::PLAN_FILESYSTEM,
    &plan::PLAN_PARTITION,
    &secrets::PRIVATE_KEY,
    &media::PUBLISHED_FILE,
    &secrets::RANDOM_SEED,
    &boot::ROOT_MISSING,
    &boot::ROOT_OPTION,
    &secrets::ROOT_PASSWORD,
    &fstab::ROOT_READ_ONLY,
    &secrets::SSH_HOST_KEY,
    &boot::SYSLINUX_CONFIGURATION,
    &units::UNIT_CYCLE,
    &units::DANGLING_UNIT,
    &filesystems::UUID_REPEATED,
    &verity::VERITY_HASH,
    &image::VHD_SIZE,
    &leftovers::WORLD_WRITABLE,
];

/// Runs all rules on a disk. Findings are sorted by level, then in the order of the table.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    found_by(|check, found| match check {
        Check::Disk(check) => check(facts, found),
        Check::System(check) => facts.system.iter().for_each(|system| check(system, found)),
        Check::Medium(_) => {}
    })
}

/// Runs all rules on a medium that is not a disk.
pub fn judge_medium(facts: &MediumFacts) -> Vec<Finding> {
    found_by(|check, found| match check {
        Check::Disk(_) => {}
        Check::System(check) => facts.system.iter().for_each(|system| check(system, found)),
        Check::Medium(check) => check(facts, found),
    })
}

fn found_by(run: impl Fn(&Check, &mut Findings)) -> Vec<Finding> {
    let mut found = Findings::new(MAX_OF_RULE);
    for rule in RULES {
        found.start(rule.name, rule.level);
        run(&rule.check, &mut found);
    }
    let (mut list, dropped) = found.into_parts();
    for (rule, count) in dropped {
        if let Some(last) = list.iter_mut().rfind(|finding| finding.rule == rule) {
            last.message += &format!(", and {count} more of this kind");
        }
    }
    list.sort_by_key(|finding| finding.level);
    list
}

/// All names, for suggestions.
pub fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_sorted_and_documented() {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
        for rule in RULES {
            let starts_low = |text: &str| text.starts_with(|c: char| c.is_lowercase() || c.is_uppercase());
            assert!(starts_low(rule.summary) && !rule.summary.ends_with('.'), "{}", rule.name);
            assert!(
                rule.why.ends_with('.') && (rule.why.contains("Source: ") || rule.why.contains("Sources: ")),
                "{}",
                rule.name
            );
        }
    }

    #[test]
    fn rule_names_differ_from_lint_rules() {
        for rule in RULES {
            assert!(crate::lint::rule(rule.name).is_none(), "{}", rule.name);
        }
    }
}
