//! Firmware: which one an image needs, and where the host has it installed.

use crate::disk::{Body, NodeId, Opened, ROOT, VolumeKind, Window, detect};
use crate::host::{Context, Failure, Invocation, run};
use crate::image::format::boot_catalog;
use crate::image::sha256;
use crate::plan::layout::SectorSize;
use crate::plan::layout::mbr::Mbr;
use crate::plan::{ESP, Firmware};
use crate::verify::read_table;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Code and variables of UEFI firmware without Secure Boot, in the paths that distributions use.
const OVMF: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];

pub(super) struct Ovmf {
    pub code: PathBuf,
    pub variables: PathBuf,
}

pub(super) fn find_ovmf() -> Result<Ovmf, Failure> {
    OVMF.iter()
        .find(|(code, variables)| Path::new(code).exists() && Path::new(variables).exists())
        .map(|(code, variables)| Ovmf { code: code.into(), variables: variables.into() })
        .ok_or_else(|| {
            Failure::new("the UEFI firmware for QEMU is not installed")
                .detail(format!("`{}` does not exist", OVMF[0].0))
                .help(
                    "install the package `ovmf`, or run `ister doctor --install` to install everything that is missing",
                )
        })
}

/// The firmware of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FirmwareFile {
    pub path: PathBuf,
    pub sha256: String,
}

/// The firmware file that QEMU uses, and its hash: distributions do not put version numbers into it.
pub fn firmware_file(firmware: Firmware) -> Result<FirmwareFile, Failure> {
    /// The SeaBIOS that QEMU uses by default.
    const SEABIOS: &[&str] =
        &["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin", "/usr/share/seabios/bios.bin"];
    let path = match firmware {
        Firmware::Uefi => find_ovmf()?.code,
        Firmware::Bios => SEABIOS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
            Failure::new("SeaBIOS for QEMU is not installed")
                .detail(format!("none of these files exists: {}", SEABIOS.join(", ")))
        })?,
    };
    let sha256 = sha256(&path)?;
    Ok(FirmwareFile { path, sha256 })
}

/// The version line of QEMU: "QEMU emulator version 7.2.22 (Debian …)".
pub fn emulator_version() -> Result<String, Failure> {
    let said = run(&Invocation::new("qemu-system-x86_64").arg("--version"))?.stdout;
    let text = String::from_utf8_lossy(&said);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// How a raw disk can be booted if its plan is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    pub firmware: Firmware,
    /// The alternative, if the disk supports both: it is tried if the first firmware does not boot it.
    pub other: Option<Firmware>,
    pub sector_size: SectorSize,
}

/// Determines the firmware that a raw disk supports. `image` is its name in errors.
///
/// UEFI: EFI/BOOT/BOOTX64.EFI on a FAT filesystem, in a partition of any type or on the whole disk, or an entry in the
/// boot catalogue of a CD. BIOS: boot code in the first sector, or an entry in the boot catalogue. `sector` is the
/// sector size, if the image format defines it.
///
/// # Errors
/// The disk supports neither.
pub fn guess_firmware(disk: &File, image: &Path, sector: Option<SectorSize>) -> Result<Guess, Failure> {
    let context = || format!("could not read `{}`", image.display());
    let size = disk.metadata().context(context)?.len();
    let catalogue = boot_catalog(disk).context(context)?;
    let mut first = [0; 512];
    let has_sector = disk.read_exact_at(&mut first, 0).is_ok();
    let boots = has_sector
        && first[510..] == [0x55, 0xaa]
        && first[..440].iter().any(|byte| *byte != 0)
        && !is_placeholder_boot_code(&first);
    let (sector_size, table) = match size {
        0..512 => (SectorSize::B512, None),
        _ => read_table(disk, size, sector).map(|(sector, table)| (sector, Some(table))).context(context)?,
    };
    let entries = table.as_ref().and_then(|table| table.valid()).map_or(&[][..], |(_, entries)| entries);
    let bytes = sector_size.bytes();
    let mut places: Vec<(u64, u64)> = entries
        .iter()
        .map(|entry| {
            (entry.first.0.saturating_mul(bytes), entry.last.0.saturating_add(1).saturating_mul(bytes))
        })
        .collect();
    let has_esp = entries.iter().any(|entry| entry.type_guid == ESP);
    // Also logical partitions.
    if entries.is_empty() {
        let records = table.iter().filter_map(|table| table.records.as_ref()).flat_map(Mbr::partitions);
        places.extend(records.map(|record| (record.first.0 * bytes, (record.last().0 + 1) * bytes)));
    }
    places.push((0, size));
    let uefi = catalogue.contains(&Firmware::Uefi)
        || places.iter().any(|(start, end)| has_fallback_loader(disk, *start, (*end).min(size)));
    // Source: UEFI 2.10, 5.3.3: bit 2, "Legacy BIOS Bootable".
    let legacy = entries.iter().any(|entry| entry.attributes & 1 << 2 != 0);
    let bios = boots || legacy || catalogue.contains(&Firmware::Bios);
    let guess = |firmware, other| Guess { firmware, other, sector_size };
    match (uefi, bios) {
        (true, true) => Ok(guess(Firmware::Uefi, Some(Firmware::Bios))),
        (true, false) => Ok(guess(Firmware::Uefi, None)),
        // An ESP without a boot loader is damaged, or its boot loader has another path.
        (false, true) if has_esp && !legacy => Ok(guess(Firmware::Bios, Some(Firmware::Uefi))),
        (false, true) => Ok(guess(Firmware::Bios, None)),
        (false, false) if has_esp => Ok(guess(Firmware::Uefi, None)),
        (false, false) => Err(Failure::new(format!("cannot tell which firmware `{}` is for", image.display()))
            .detail(
                "there is no plan next to it, and it has no EFI/BOOT/BOOTX64.EFI on a FAT filesystem, no boot code \
                 in its first sector and no boot catalogue",
            )
            .help("use --firmware uefi or --firmware bios")
            .of_template()),
    }
}

/// Whether the boot code is the placeholder that mkfs programs write, which only prints that the disk is not bootable.
/// Source: dosfstools, mkfs.fat.c, `dummy_boot_code`.
fn is_placeholder_boot_code(sector: &[u8]) -> bool {
    let text = b"This is not a bootable disk";
    sector.windows(text.len()).any(|part| part == text)
}

/// Whether a FAT filesystem has the default boot loader of UEFI. Names are case-insensitive. Source: UEFI 2.10,
/// 3.5.1.1.
fn has_fallback_loader(disk: &File, offset: u64, end: u64) -> bool {
    let window = Window { file: disk, offset, size: end.saturating_sub(offset) };
    if window.size < 512 || !matches!(detect(&window), Ok(Some(VolumeKind::Vfat))) {
        return false;
    }
    let Ok(tree) = Opened::open(&window).and_then(|opened| opened.tree()) else { return false };
    let find = |at: NodeId, name: &str| {
        let Body::Directory(entries) = &tree.nodes.get(at)?.body else { return None };
        entries.iter().find(|(entry, _)| entry.eq_ignore_ascii_case(name.as_bytes())).map(|(_, id)| *id)
    };
    ["EFI", "BOOT", "BOOTX64.EFI"].iter().try_fold(ROOT, |at, name| find(at, name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn disk(parts: &[(usize, &[u8])]) -> File {
        let mut bytes = vec![0; 64 << 10];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn boot_code_selects_bios() {
        let guess = |file: &File| {
            guess_firmware(file, Path::new("a.img"), None).map(|guess| (guess.firmware, guess.other))
        };
        let code: &[(usize, &[u8])] = &[(0, &[0xeb, 0xfe]), (510, &[0x55, 0xaa])];
        assert_eq!(guess(&disk(code)).unwrap(), (Firmware::Bios, None));
        assert!(guess(&disk(&[(510, &[0x55, 0xaa])])).is_err());
        assert!(guess(&disk(&[(3, b"This is not a bootable disk."), (510, &[0x55, 0xaa])])).is_err());
        // A CD with one entry for each firmware.
        let mut catalogue = [0; 160];
        (catalogue[0], catalogue[30], catalogue[31], catalogue[32]) = (1, 0x55, 0xaa, 0x88);
        (catalogue[64], catalogue[65], catalogue[66], catalogue[96]) = (0x91, 0xef, 1, 0x88);
        let record = [&b"\0CD001\x01EL TORITO SPECIFICATION"[..], &[0; 41], &[20, 0, 0, 0]].concat();
        assert_eq!(record.len(), 0x4b);
        let cd = disk(&[(17 * 2048, &record), (20 * 2048, &catalogue)]);
        assert_eq!(guess(&cd).unwrap(), (Firmware::Uefi, Some(Firmware::Bios)));
    }
}
