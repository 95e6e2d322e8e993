//! Firmware: which one an image wants, and where the host keeps it.

use crate::image::sha256;
use crate::plan::{ESP, Firmware};
use crate::tool::{Context, Failure, Invocation, run};
use crate::verify::read_table;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Code and variables of UEFI firmware without Secure Boot, as distributions lay them out.
const OVMF: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];

pub struct Ovmf {
    pub code: PathBuf,
    pub variables: PathBuf,
}

pub fn find_ovmf() -> Result<Ovmf, Failure> {
    OVMF.iter()
        .find(|(code, variables)| Path::new(code).exists() && Path::new(variables).exists())
        .map(|(code, variables)| Ovmf { code: code.into(), variables: variables.into() })
        .ok_or_else(|| {
            Failure::new("UEFI firmware for QEMU is needed and not installed")
                .detail(format!("looked for {}", OVMF[0].0))
                .help(
                    "install the package `ovmf`, or everything that is missing with `ister doctor --install`",
                )
        })
}

/// The firmware that a machine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareFile {
    pub path: PathBuf,
    pub sha256: String,
}

/// The file that QEMU takes, and its hash: distributions do not write versions into it.
pub fn firmware_file(firmware: Firmware) -> Result<FirmwareFile, Failure> {
    /// SeaBIOS, as QEMU finds it by itself.
    const SEABIOS: &[&str] =
        &["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin", "/usr/share/seabios/bios.bin"];
    let path = match firmware {
        Firmware::Uefi => find_ovmf()?.code,
        Firmware::Bios => SEABIOS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or_else(|| Failure::new("SeaBIOS is not where QEMU has it").detail(SEABIOS.join(", ")))?,
    };
    let sha256 = sha256(&path)?;
    Ok(FirmwareFile { path, sha256 })
}

/// "QEMU emulator version 7.2.22 (Debian …)".
pub fn emulator_version() -> Result<String, Failure> {
    let said = run(&Invocation::new("qemu-system-x86_64").arg("--version"))?.stdout;
    let text = String::from_utf8_lossy(&said);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What a raw disk without a plan asks for, called `image` in errors: an EFI system partition means UEFI, the legacy-BIOS-bootable attribute
/// or boot code in sector 0 means BIOS.
pub fn guess_firmware(disk: &File, image: &Path) -> Result<Firmware, Failure> {
    let context = || format!("could not read `{}`", image.display());
    let size = disk.metadata().context(context)?.len();
    if let Some((_, entries)) = read_table(disk, size).context(context)?.1.valid() {
        // Source: UEFI 2.10, 5.3.3: bit 2, "Legacy BIOS Bootable".
        if entries.iter().any(|entry| entry.attributes & 1 << 2 != 0) {
            return Ok(Firmware::Bios);
        }
        if entries.iter().any(|entry| entry.type_guid == ESP) {
            return Ok(Firmware::Uefi);
        }
    }
    use std::os::unix::fs::FileExt;
    let mut sector = [0; 512];
    let boots = disk.read_exact_at(&mut sector, 0).is_ok()
        && sector[510..] == [0x55, 0xaa]
        && sector[..440].iter().any(|byte| *byte != 0);
    if boots {
        return Ok(Firmware::Bios);
    }
    Err(Failure::new(format!("cannot tell which firmware `{}` is for", image.display()))
        .detail(
            "it has neither a plan beside it, nor an EFI system partition, nor boot code in its first sector",
        )
        .help("say it: --firmware uefi or --firmware bios"))
}
