//! GRUB for UEFI: shim and the distribution's signed GRUB in the ESP, kernels in /boot of the root filesystem.
//!
//! The signed program contains its modules. It reads EFI/ID/grub.cfg from the partition it was loaded from, where ID
//! is the ID of the distribution.

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::Plan;

const SHIM: &str = "/usr/lib/shim/shimx64.efi.signed";
const MOK_MANAGER: &str = "/usr/lib/shim/mmx64.efi.signed";
const GRUB: &str = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";

/// Installs shim and GRUB. `esp` is the mount point of the ESP in the tree, `id` the ID of os-release.
pub(super) fn install(plan: &Plan, tree: &Tree, esp: &str, id: &str) -> Result<(), Failure> {
    // shim loads grubx64.efi from its own directory. Source: shim, README.
    for (from, name) in [(SHIM, "BOOTX64.EFI"), (GRUB, "grubx64.efi")] {
        if !tree.exists(from) {
            return Err(Failure::new(format!(
                "no signed GRUB for UEFI in the package contents: {from} is missing"
            ))
            .help("add the packages shim-signed and grub-efi-amd64-signed"));
        }
        tree.copy(from, &format!("{esp}/EFI/BOOT/{name}"))?;
    }
    // Needed only by users who enroll keys.
    if tree.exists(MOK_MANAGER) {
        tree.copy(MOK_MANAGER, &format!("{esp}/EFI/BOOT/mmx64.efi"))?;
    }
    let place = plan.boot.as_ref().map(|boot| &boot.boot_partition);
    let partition = place.and_then(|place| plan.partition(place)).map(|(_, partition)| partition);
    let filesystem = partition.and_then(|partition| partition.filesystem.as_ref());
    let uuid = filesystem.and_then(|filesystem| filesystem.uuid.as_deref()).unwrap_or_default();
    tree.write(
        &format!("{esp}/EFI/{id}/grub.cfg"),
        &format!("search.fs_uuid {uuid} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"),
        0o644,
    )
}
