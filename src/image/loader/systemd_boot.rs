//! systemd-boot: its program in the ESP, where firmware looks without being told. Source: UEFI 2.10, 3.5.1.1.

use crate::content::Tree;
use crate::host::Failure;

const PROGRAM: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// `esp` is where the tree has the ESP.
pub(super) fn install(tree: &Tree, esp: &str) -> Result<(), Failure> {
    if !tree.exists(PROGRAM) {
        return Err(Failure::new(format!("the content has no systemd-boot: there is no {PROGRAM}"))
            .help("add the bundle `bootloader`"));
    }
    for path in ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"] {
        tree.copy(PROGRAM, &format!("{esp}/{path}"))?;
    }
    tree.write(&format!("{esp}/loader/loader.conf"), "timeout 0\n", 0o644)
}
