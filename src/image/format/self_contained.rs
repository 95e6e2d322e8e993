//! Rejects images that refer to other files.
//!
//! Each format is checked here before any other program opens the image, because that program would also open the
//! files that the image refers to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Why an image is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reference {
    #[error("it refers to another file ({0})")]
    Named(&'static str),
    #[error("it is a differencing image, which refers to a parent image")]
    Differencing,
    #[error("it is encrypted")]
    Encrypted,
    #[error("invalid {0} in its header")]
    Damaged(&'static str),
}

type Found = io::Result<Result<(), Reference>>;

/// Reads bytes at an offset. Bytes beyond the end of the file are zero.
fn bytes<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut buffer = [0; N];
    let mut filled = 0;
    while filled < N {
        match file.read_at(&mut buffer[filled..], at.saturating_add(filled as u64))? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(buffer)
}

fn little_u32(file: &File, at: u64) -> io::Result<u32> {
    bytes(file, at).map(u32::from_le_bytes)
}

fn little_u64(file: &File, at: u64) -> io::Result<u64> {
    bytes(file, at).map(u64::from_le_bytes)
}

fn big_u32(file: &File, at: u64) -> io::Result<u32> {
    bytes(file, at).map(u32::from_be_bytes)
}

fn big_u64(file: &File, at: u64) -> io::Result<u64> {
    bytes(file, at).map(u64::from_be_bytes)
}

/// Source: QEMU, docs/interop/qcow2.txt: backing file at 8, encryption at 32, incompatible features at 72 with bit 2
/// for an external data file, header extensions after the header.
pub(super) fn qcow2(file: &File) -> Found {
    const DATA_FILE: u32 = 0x4441_5441;
    if big_u64(file, 8)? != 0 {
        return Ok(Err(Reference::Named("backing file")));
    }
    if big_u32(file, 32)? != 0 {
        return Ok(Err(Reference::Encrypted));
    }
    let version = big_u32(file, 4)?;
    if version < 3 {
        return Ok(Ok(()));
    }
    if big_u64(file, 72)? & 1 << 2 != 0 {
        return Ok(Err(Reference::Named("data file")));
    }
    let cluster_bits = big_u32(file, 20)?;
    if !(9..=21).contains(&cluster_bits) {
        return Ok(Err(Reference::Damaged("cluster size")));
    }
    // Header extensions are in the first cluster.
    let mut at = u64::from(big_u32(file, 100)?);
    while at + 8 <= 1 << cluster_bits {
        let (kind, length) = (big_u32(file, at)?, u64::from(big_u32(file, at + 4)?));
        match kind {
            0 => return Ok(Ok(())),
            DATA_FILE => return Ok(Err(Reference::Named("data file"))),
            _ => at = at + 8 + length.next_multiple_of(8),
        }
    }
    Ok(Ok(()))
}

/// Source: QEMU, block/qcow.c: backing file at 8, encryption at 36.
pub(super) fn qcow(file: &File) -> Found {
    if big_u64(file, 8)? != 0 {
        return Ok(Err(Reference::Named("backing file")));
    }
    Ok(if big_u32(file, 36)? == 0 { Ok(()) } else { Err(Reference::Encrypted) })
}

/// Source: QEMU, docs/interop/qed_spec.rst: features at 16, bit 0 for a backing file.
pub(super) fn qed(file: &File) -> Found {
    let has_backing = little_u64(file, 16)? & 1 != 0;
    Ok(if has_backing { Err(Reference::Named("backing file")) } else { Ok(()) })
}

/// Source: Virtual Hard Disk Image Format Specification 1.0: disk type at 60 in the footer, 4 for differencing. A
/// dynamic image starts with a copy of the footer, which is what programs read.
pub(super) fn vhd(file: &File, size: u64) -> Found {
    for at in [Some(0), size.checked_sub(512), size.checked_sub(511)].into_iter().flatten() {
        if &bytes::<8>(file, at)? == b"conectix" && big_u32(file, at + 60)? == 4 {
            return Ok(Err(Reference::Differencing));
        }
    }
    Ok(Ok(()))
}

/// Source: VirtualBox, include/VBox/vd.h and Storage/VDICore.h: type at 76, 1 for dynamic and 2 for fixed; 3 and 4
/// are undo and differencing images.
pub(super) fn vdi(file: &File) -> Found {
    Ok(match little_u32(file, 76)? {
        1 | 2 => Ok(()),
        3 | 4 => Err(Reference::Differencing),
        _ => Err(Reference::Damaged("image type")),
    })
}

/// Source: [MS-VHDX] 2.2.3 (region tables at 192 and 256 KiB), 2.6 (metadata, file parameters with bit 1 for a
/// parent), 2.6.2.6 (the parent locator).
pub(super) fn vhdx(file: &File) -> Found {
    const METADATA: [u8; 16] =
        guid(0x8b7c_a206, 0x4790, 0x4b9a, [0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e]);
    const PARAMETERS: [u8; 16] =
        guid(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]);
    const PARENT: [u8; 16] =
        guid(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]);
    let mut found = false;
    for table in [192 << 10, 256 << 10] {
        if &bytes::<4>(file, table)? != b"regi" {
            continue;
        }
        // A table has at most 2047 entries.
        for entry in 0..u64::from(little_u32(file, table + 8)?.min(2047)) {
            let entry = table + 16 + 32 * entry;
            if bytes::<16>(file, entry)? != METADATA {
                continue;
            }
            found = true;
            let region = little_u64(file, entry + 16)?;
            let count = u16::from_le_bytes(bytes(file, region.saturating_add(10))?).min(2047);
            for item in 0..u64::from(count) {
                let item = region.saturating_add(32 + 32 * item);
                let name = bytes::<16>(file, item)?;
                let value = region.saturating_add(u64::from(little_u32(file, item.saturating_add(16))?));
                if name == PARENT
                    || (name == PARAMETERS && little_u32(file, value.saturating_add(4))? & 2 != 0)
                {
                    return Ok(Err(Reference::Differencing));
                }
            }
        }
    }
    Ok(if found { Ok(()) } else { Err(Reference::Damaged("region table")) })
}

/// Returns the on-disk form of a GUID. Source: RFC 4122 with the first three fields in little-endian order.
const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> [u8; 16] {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// Checks a hosted sparse extent with an embedded descriptor. Source: VMware, Virtual Disk Format 5.0, "Hosted Sparse
/// Extent Header" and "The Descriptor File". If the capacity is 0, QEMU treats the descriptor like a separate
/// descriptor file, whose extents can be any files of the host (block/vmdk.c, vmdk_open_sparse).
pub(super) fn vmdk(file: &File, size: u64) -> Found {
    /// QEMU reads at most 1 MiB of a descriptor.
    const MOST: u64 = 1 << 20;
    // QEMU searches this range for a parent regardless of the header (block/vmdk.c, vmdk_parent_open).
    let mut beginning = vec![0; (20 * 512).min(size.saturating_sub(512)) as usize];
    file.read_exact_at(&mut beginning, 512)?;
    if beginning.to_ascii_lowercase().windows(18).any(|part| part == b"parentfilenamehint") {
        return Ok(Err(Reference::Differencing));
    }
    let header = |at: u64| -> Found {
        if little_u64(file, at + 12)? == 0 {
            return Ok(Err(Reference::Named("extent of a descriptor without embedded data")));
        }
        let place = little_u64(file, at + 28)?.saturating_mul(512);
        let length = little_u64(file, at + 36)?.saturating_mul(512);
        if place == 0 && length == 0 {
            return Ok(Ok(()));
        }
        if place != 512 {
            return Ok(Err(Reference::Damaged("descriptor offset")));
        }
        if length > MOST {
            return Ok(Err(Reference::Damaged("descriptor size")));
        }
        let mut text = vec![0; length.min(size.saturating_sub(place)) as usize];
        file.read_exact_at(&mut text, place)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        Ok(descriptor(&String::from_utf8_lossy(&text[..end])))
    };
    if let Err(why) = header(0)? {
        return Ok(Err(why));
    }
    // A stream-optimized image has a second header before its last marker, which then takes precedence.
    if let Some(footer) = size.checked_sub(1024)
        && &bytes::<4>(file, footer)? == b"KDMV"
    {
        return header(footer);
    }
    Ok(Ok(()))
}

fn descriptor(text: &str) -> Result<(), Reference> {
    let mut extents = 0;
    for line in text.lines().map(str::trim) {
        let lower = line.to_ascii_lowercase();
        if lower.contains("parentfilenamehint") {
            return Err(Reference::Differencing);
        }
        if let Some((key, value)) = lower.split_once('=') {
            let value = value.trim().trim_matches('"');
            match key.trim() {
                "parentcid" if value != "ffffffff" => return Err(Reference::Differencing),
                "createtype" if !matches!(value, "monolithicsparse" | "streamoptimized") => {
                    return Err(Reference::Named("extent of an unsupported descriptor type"));
                }
                _ => {}
            }
        }
        let mut words = lower.split_whitespace();
        if words.next().is_some_and(|word| matches!(word, "rw" | "rdonly" | "noaccess")) {
            extents += 1;
            if words.nth(1) != Some("sparse") {
                return Err(Reference::Named("external extent"));
            }
        }
    }
    // The only extent is the file itself, regardless of its name in the descriptor.
    if extents > 1 { Err(Reference::Named("additional extent")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn vmdk_with(capacity: u64, descriptor: &str) -> Result<(), Reference> {
        let mut bytes = vec![0; 4096];
        bytes[..4].copy_from_slice(b"KDMV");
        bytes[12..20].copy_from_slice(&capacity.to_le_bytes());
        bytes[28..36].copy_from_slice(&1u64.to_le_bytes());
        bytes[36..44].copy_from_slice(&2u64.to_le_bytes());
        bytes[512..512 + descriptor.len()].copy_from_slice(descriptor.as_bytes());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        vmdk(&file, 4096).unwrap()
    }

    #[test]
    fn vmdk_with_external_files_is_rejected() {
        let good = "# Disk DescriptorFile\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW 8 SPARSE \"a.vmdk\"\n";
        assert_eq!(vmdk_with(8, good), Ok(()));
        assert!(vmdk_with(0, good).is_err());
        for (from, to) in [
            ("RW 8 SPARSE \"a.vmdk\"", "RW 8 FLAT \"/etc/shadow\" 0"),
            ("RW 8 SPARSE \"a.vmdk\"", "rw 8 vmfs \"/etc/shadow\""),
            ("RW 8 SPARSE \"a.vmdk\"", "RW 8 SPARSE \"a.vmdk\"\nRW 8 SPARSE \"/b.vmdk\""),
            ("monolithicSparse", "monolithicFlat"),
            ("monolithicSparse", "custom"),
            ("ffffffff", "12345678"),
            ("RW 8", "parentFileNameHint=\"/etc/shadow\"\nRW 8"),
        ] {
            let bad = good.replace(from, to);
            assert!(vmdk_with(8, &bad).is_err(), "{bad}");
        }
        // After the end of the descriptor according to the header.
        let behind = format!("{good}\0{}parentFileNameHint=\"json:{{}}\"", " ".repeat(1500));
        assert_eq!(vmdk_with(8, &behind), Err(Reference::Differencing));
    }

    #[test]
    fn images_with_external_files_are_rejected() {
        let with = |size: usize, parts: &[(usize, &[u8])]| {
            let mut bytes = vec![0; size];
            for (at, part) in parts {
                bytes[*at..at + part.len()].copy_from_slice(part);
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            file
        };
        let one = 1u64.to_be_bytes();
        assert_eq!(qcow2(&with(512, &[(8, &one)])).unwrap(), Err(Reference::Named("backing file")));
        assert_eq!(qcow(&with(512, &[(8, &one)])).unwrap(), Err(Reference::Named("backing file")));
        assert_eq!(qed(&with(512, &[(16, &[1])])).unwrap(), Err(Reference::Named("backing file")));
        let three: [(usize, &[u8]); 4] =
            [(4, &[0, 0, 0, 3]), (20, &[0, 0, 0, 16]), (100, &[0, 0, 0, 104]), (104, b"DATA")];
        assert_eq!(qcow2(&with(512, &three[..3])).unwrap(), Ok(()));
        assert_eq!(qcow2(&with(512, &three)).unwrap(), Err(Reference::Named("data file")));
        let differencing = with(1024, &[(512, b"conectix"), (572, &[0, 0, 0, 4])]);
        assert_eq!(vhd(&differencing, 1024).unwrap(), Err(Reference::Differencing));
        assert_eq!(vdi(&with(512, &[(76, &[4])])).unwrap(), Err(Reference::Differencing));
        assert_eq!(vdi(&with(512, &[(76, &[1])])).unwrap(), Ok(()));
        assert_eq!(vhdx(&with(1 << 20, &[])).unwrap(), Err(Reference::Damaged("region table")));
    }
}
