//! Changes to a plan for systems that run from memory or a CD instead of a disk.

use super::model::Plan;
use crate::plan::command_line;
use std::collections::BTreeSet;

/// The differences of a system that does not run from a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diskless {
    /// The kernel command line without parameters that refer to a disk.
    pub command_line: String,
    /// Paths of files that mount or open partitions, which are left out.
    pub without: BTreeSet<String>,
}

impl Plan {
    /// `None` if the image does not boot.
    pub fn diskless(&self) -> Option<Diskless> {
        let boot = self.boot.as_ref()?;
        let names_disk = |word: &&str| {
            let name = word.split('=').next().unwrap_or(word);
            matches!(name, "root" | "rootfstype" | "rootflags" | "resume" | "ro" | "rw")
        };
        let words: Vec<&str> = command_line::words(&boot.kernel_command_line)
            .into_iter()
            .filter(|word| !names_disk(word))
            .collect();
        // There is no partition to grow either.
        let tables = ["/etc/fstab", "/etc/crypttab", "/etc/repart.d/50-root.conf"].map(str::to_owned);
        let is_mount = |path: &&String| {
            path.starts_with("/etc/systemd/system/") && (path.ends_with(".mount") || path.ends_with(".swap"))
        };
        let units = self.system.files.keys().chain(self.system.links.keys()).filter(is_mount).cloned();
        Some(Diskless { command_line: words.join(" "), without: units.chain(tables).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, decide};
    use crate::plan::bundle;
    use crate::template::{SourceText, parse};

    #[test]
    fn references_to_the_disk_are_removed() {
        let text =
            include_str!("../../vm-tests/kvm/template.json").replacen('{', r#"{"cmdline": "quiet","#, 1);
        let (template, node, _) = parse(&SourceText::new("t.json", text));
        let (plan, _) = decide(&template, &node, &Inputs::new(&bundle::builtin())).unwrap();
        let diskless = plan.diskless().unwrap();
        assert_eq!(diskless.command_line, "console=tty0 console=ttyS0,115200n8 quiet");
        let paths: Vec<&str> = diskless.without.iter().map(String::as_str).collect();
        assert_eq!(paths, ["/etc/crypttab", "/etc/fstab", "/etc/repart.d/50-root.conf",]);
    }
}
