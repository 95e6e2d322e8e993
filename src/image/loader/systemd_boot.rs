//! systemd-boot: its program in the ESP, where firmware looks without being told. Source: UEFI 2.10, 3.5.1.1.

use crate::content::Tree;
use crate::tool::Failure;

const PROGRAM: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

pub fn install(tree: &Tree) -> Result<(), Failure> {
    if !tree.exists(PROGRAM) {
        return Err(Failure::new(format!("the content has no systemd-boot: there is no {PROGRAM}"))
            .help("add the bundle `bootloader`"));
    }
    for path in ["/boot/EFI/BOOT/BOOTX64.EFI", "/boot/EFI/systemd/systemd-bootx64.efi"] {
        tree.copy(PROGRAM, path)?;
    }
    tree.write("/boot/loader/loader.conf", "timeout 0\n", 0o644)
}
