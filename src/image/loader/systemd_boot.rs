//! systemd-boot: its program in the ESP, where firmware looks without being told. Source: UEFI 2.10, 3.5.1.1.

use crate::content::Tree;
use crate::tool::{Context, Failure};

const PROGRAM: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

pub fn install(tree: &Tree) -> Result<(), Failure> {
    if !tree.exists(PROGRAM) {
        return Err(Failure::new(format!("the content has no systemd-boot: there is no {PROGRAM}"))
            .help("add the bundle `bootloader`"));
    }
    let source = tree.path().join(PROGRAM.trim_start_matches('/'));
    for path in ["/boot/EFI/BOOT/BOOTX64.EFI", "/boot/EFI/systemd/systemd-bootx64.efi"] {
        let (folder, _) = path.rsplit_once('/').expect("paths are absolute");
        tree.make_folder(folder)?;
        std::fs::copy(&source, tree.path().join(path.trim_start_matches('/')))
            .context(|| format!("could not copy systemd-boot to the image's `{path}`"))?;
    }
    tree.write("/boot/loader/loader.conf", "timeout 0\n", 0o644)
}
