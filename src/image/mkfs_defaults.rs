//! Disables features that newer versions of mkfs.xfs and mkfs.btrfs enable by default.
//!
//! Older versions reject the names of these features. The argument vector of the plan contains what every supported
//! version accepts, and only this part depends on the host. With it, every version makes the same filesystem.

use crate::host::{Failure, is_at_least, version_of};

struct Default {
    program: &'static str,
    /// The first version that accepts the setting.
    since: &'static str,
    /// Part of an argument. If the template contains it, the setting is left to the template.
    unless: &'static str,
    off: [&'static str; 2],
}

/// Tested: xfsprogs 6.1 rejects both names, 6.13 accepts them and leaves them disabled, 7.2 enables them. mkfs.btrfs
/// 7.3 itself names 6.19 as the version that changed its default.
const DEFAULTS: &[Default] = &[
    Default { program: "mkfs.xfs", since: "6.13", unless: "exchange=", off: ["-i", "exchange=0"] },
    Default { program: "mkfs.xfs", since: "6.13", unless: "parent=", off: ["-n", "parent=0"] },
    Default {
        program: "mkfs.btrfs",
        since: "6.19",
        unless: "block-group-tree",
        off: ["-O", "^block-group-tree"],
    },
];

/// Adapts an argument vector to the version of its program on this host. The last argument is the device.
pub(super) fn for_this_host(argv: &[String]) -> Result<Vec<String>, Failure> {
    let of_program: Vec<&Default> = DEFAULTS.iter().filter(|d| argv[0] == d.program).collect();
    if of_program.is_empty() {
        return Ok(argv.to_vec());
    }
    let version = version_of(&argv[0], "-V").ok_or_else(|| {
        Failure::new(format!("could not determine the version of `{}`", argv[0])).help(format!(
            "`{} -V` must print a version number: reinstall the package that contains the program",
            argv[0]
        ))
    })?;
    Ok(adapted(argv, &of_program, &version))
}

fn adapted(argv: &[String], defaults: &[&Default], version: &str) -> Vec<String> {
    let is_given = |default: &Default| argv.iter().any(|word| word.contains(default.unless));
    let off = defaults.iter().filter(|d| is_at_least(version, d.since) && !is_given(d)).flat_map(|d| d.off);
    let (device, before) = argv.split_last().expect("an argument vector has a program and a device");
    before.iter().cloned().chain(off.map(str::to_owned)).chain([device.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_passed_to_versions_that_support_them() {
        let line = |argv: &str, version: &str| {
            let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
            let of_program: Vec<&Default> = DEFAULTS.iter().filter(|d| argv[0] == d.program).collect();
            adapted(&argv, &of_program, version).join(" ")
        };
        assert_eq!(line("mkfs.xfs -i nrext64=0 x", "6.1.0"), "mkfs.xfs -i nrext64=0 x");
        assert_eq!(
            line("mkfs.xfs -i nrext64=0 x", "6.13.0"),
            "mkfs.xfs -i nrext64=0 -i exchange=0 -n parent=0 x"
        );
        assert_eq!(line("mkfs.xfs -i exchange=1 x", "7.2"), "mkfs.xfs -i exchange=1 -n parent=0 x");
        assert_eq!(line("mkfs.btrfs -q x", "6.14"), "mkfs.btrfs -q x");
        assert_eq!(line("mkfs.btrfs -q x", "7.3"), "mkfs.btrfs -q -O ^block-group-tree x");
    }
}
