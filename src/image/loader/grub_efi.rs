//! GRUB for UEFI: shim and the distribution's signed GRUB in the ESP, kernels in /boot of the root filesystem.
//!
//! The signed program has its modules in it, and reads EFI/ID/grub.cfg from the partition it was started from, ID being the
//! distribution's.

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::Plan;

const SHIM: &str = "/usr/lib/shim/shimx64.efi.signed";
const MOK_MANAGER: &str = "/usr/lib/shim/mmx64.efi.signed";
const GRUB: &str = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";

/// `esp` is where the tree has the ESP, `id` os-release's ID.
pub(super) fn install(plan: &Plan, tree: &Tree, esp: &str, id: &str) -> Result<(), Failure> {
    // shim starts the grubx64.efi beside it. Source: shim, README.
    for (from, name) in [(SHIM, "BOOTX64.EFI"), (GRUB, "grubx64.efi")] {
        if !tree.exists(from) {
            return Err(Failure::new(format!("the content has no signed GRUB for UEFI: there is no {from}"))
                .help("the packages shim-signed and grub-efi-amd64-signed have them"));
        }
        tree.copy(from, &format!("{esp}/EFI/BOOT/{name}"))?;
    }
    // For users who enrol keys; nothing else starts it.
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
