//! Compares the mounts in the running guest with the plan. Pure: the plan and the output of commands in the guest go
//! in.

use crate::plan::{Partition, Plan};
use crate::template::FilesystemType;

/// The commands: mount point, filesystem type and PARTUUID of the device, one mount per line; then name and PARTUUID of
/// active swap devices. `lsblk` determines the PARTUUID without root privileges.
pub(super) const MOUNTS: &str = "findmnt -rn -o TARGET,FSTYPE,SOURCE,PARTUUID";
pub(super) const SWAPS: &str =
    "for device in $(tail -n +2 /proc/swaps | cut -d' ' -f1); do lsblk -dnro NAME,PARTUUID \"$device\"; done";

/// PARTUUID and size in bytes of each partition.
pub(super) const SIZES: &str = "lsblk -bnro PARTUUID,SIZE";

/// The differences from the plan, one sentence each. `larger`: the disk is larger than planned, so the root partition
/// may be larger too.
pub(super) fn judge(
    plan: &Plan,
    mounts: &[String],
    swaps: &[String],
    sizes: &[String],
    larger: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (_, partition) in plan.partitions() {
        wrong.extend(judge_size(partition, sizes, larger && partition.mount.as_deref() == Some("/")));
        let Some(filesystem) = &partition.filesystem else { continue };
        match &partition.mount {
            Some(mount) => wrong.extend(judge_mount(partition, mount, filesystem.kind, mounts)),
            None if filesystem.kind == FilesystemType::Swap => {
                let known = match &partition.encryption {
                    Some(encryption) => encryption.name.clone(),
                    None => partition.guid.to_string(),
                };
                if !swaps.iter().any(|line| line.split(' ').any(|word| word == known)) {
                    wrong.push(format!("the swap {} is not active", partition.title()));
                }
            }
            None => {}
        }
    }
    wrong
}

/// Checks the size of a partition that exists. Missing partitions show up in the mounts.
fn judge_size(partition: &Partition, sizes: &[String], may_be_larger: bool) -> Option<String> {
    let guid = partition.guid.to_string();
    let size: u64 = sizes.iter().find_map(|line| {
        let (found, size) = line.split_once(' ')?;
        found.eq_ignore_ascii_case(&guid).then(|| size.trim().parse().ok())?
    })?;
    let planned = partition.size.0;
    (size != planned && !(may_be_larger && size > planned))
        .then(|| format!("{} has {size} bytes, but {planned} are planned", partition.title()))
}

fn judge_mount(
    partition: &Partition,
    mount: &str,
    kind: FilesystemType,
    mounts: &[String],
) -> Option<String> {
    // The last mount on a path is the visible one. systemd mounts an automount below it.
    let line = mounts.iter().rfind(|line| {
        let mut fields = line.split(' ');
        fields.next() == Some(mount) && fields.next() != Some("autofs")
    });
    let Some(line) = line else { return Some(format!("{} is not mounted at {mount}", partition.title())) };
    let fields: Vec<&str> = line.split(' ').collect();
    let (found, source, guid) = (
        fields.get(1).copied().unwrap_or_default(),
        fields.get(2).copied().unwrap_or_default(),
        fields.get(3),
    );
    if found != kind.to_string() {
        return Some(format!("the filesystem at {mount} is {found}, but {kind} is planned"));
    }
    let right = match &partition.encryption {
        Some(encryption) => source == format!("/dev/mapper/{}", encryption.name),
        None => guid.is_some_and(|guid| guid.eq_ignore_ascii_case(&partition.guid.to_string())),
    };
    (!right).then(|| {
        format!(
            "{source} (PARTUUID {}) is mounted at {mount}, but {} is planned",
            guid.unwrap_or(&"none"),
            partition.device()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::bundle;
    use crate::plan::{Inputs, decide};
    use crate::template::{SourceText, parse};

    #[test]
    fn findmnt_output_is_compared_with_the_plan() {
        let text = include_str!("../../vm-tests/kvm/template.json");
        let (template, node, _) = parse(&SourceText::new("t.json", text));
        let (plan, _) = decide(&template, &node, &Inputs::new(&bundle::builtin())).unwrap();
        let guid = |mount: &str| plan.partition_at(mount).unwrap().1.guid;
        let swap = plan.partitions().find(|(_, p)| p.number == 2).unwrap().1.guid;
        let mounts = [
            format!("/ ext4 /dev/vda3 {}", guid("/")),
            "/efi autofs systemd-1 ".to_owned(),
            format!("/efi vfat /dev/vda1 {}", guid("/efi")),
        ];
        let swaps = [format!("vda2 {swap}")];
        let size = plan.partition_at("/efi").unwrap().1.size.0;
        let sizes = [" 9162457088".to_owned(), format!("{} {size}", guid("/efi"))];
        assert_eq!(judge(&plan, &mounts, &swaps, &sizes, false), [""; 0]);
        assert_eq!(
            judge(&plan, &mounts, &swaps, &[format!("{} 4096", guid("/efi"))], false),
            [format!("partition 1 (`/efi`) has 4096 bytes, but {size} are planned")]
        );
        assert_eq!(
            judge(&plan, &mounts[..1], &[], &[], false),
            ["partition 1 (`/efi`) is not mounted at /efi", "the swap partition 2 (`swap`) is not active"]
        );
    }
}
