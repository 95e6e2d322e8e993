//! systemd-boot: installs its program at the default path that firmware loads from the ESP. Source: UEFI 2.10, 3.5.1.1.

use crate::content::Tree;
use crate::host::Failure;

const PROGRAM: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// Installs systemd-boot. `esp` is the mount point of the ESP in the tree.
pub(super) fn install(tree: &Tree, esp: &str) -> Result<(), Failure> {
    if !tree.exists(PROGRAM) {
        return Err(Failure::new(format!("no systemd-boot in the package contents: {PROGRAM} is missing"))
            .help("add the bundle `bootloader` to `Bundles`"));
    }
    for path in ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"] {
        tree.copy(PROGRAM, &format!("{esp}/{path}"))?;
    }
    tree.write(&format!("{esp}/loader/loader.conf"), "timeout 0\n", 0o644)
}
