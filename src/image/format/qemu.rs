//! Converts images with qemu-img and replaces random and time-dependent bytes.

use crate::host::{Context, Failure, Invocation, inherited_name, run};
use crate::template::{Bytes, Format};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// Converts the raw image. `out` is an empty file, which may be unnamed.
pub(super) fn write(raw: &File, format: Format, id: Uuid, out: &File) -> Result<(), Failure> {
    let (kind, options): (&str, &[&str]) = match format {
        Format::Vhdx => ("vhdx", &["-o", "subformat=dynamic"]),
        _ => ("vdi", &[]),
    };
    let convert = Invocation::new("qemu-img")
        .kill_on_exit()
        .args(["convert", "-f", "raw", "-O", kind])
        .args(options)
        .args([inherited_name(raw), inherited_name(out)])
        .inheriting(raw)?
        .inheriting(out)?;
    run(&convert)?;
    let normalized = match format {
        Format::Vhdx => normalize_vhdx(out, id),
        Format::Vdi => normalize_vdi(out, id),
        _ => Ok(()),
    };
    normalized.context(|| format!("could not write a {kind} image"))
}

/// Replaces the UUIDs of the image and of its last change. Source: VirtualBox, VDICore.h.
fn normalize_vdi(out: &File, id: Uuid) -> io::Result<()> {
    const IMAGE: u64 = 392;
    out.write_all_at(&id.to_bytes_le(), IMAGE)?;
    out.write_all_at(&Uuid::new_v5(&id, b"change").to_bytes_le(), IMAGE + 16)
}

/// Replaces creator, identifiers and log. Source: [MS-VHDX] 2.2.1 (creator, 512 bytes of UTF-16), 2.2.2 (two headers,
/// the one with the larger sequence number is valid), 2.2.3 (region table), 2.6 (metadata).
fn normalize_vhdx(out: &File, id: Uuid) -> io::Result<()> {
    const HEADERS: [u64; 2] = [64 * Bytes::KIB, 128 * Bytes::KIB];
    const HEADER_SIZE: usize = 4096;
    const REGIONS: u64 = 192 * Bytes::KIB;
    const METADATA: Uuid = Uuid::from_u128(0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e);
    const PAGE_83: Uuid = Uuid::from_u128(0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746);
    // QEMU stores its version here.
    let mut creator = [0; 512];
    for (place, unit) in creator.chunks_exact_mut(2).zip("ister".encode_utf16()) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    out.write_all_at(&creator, 8)?;
    let number = |at: u64| -> io::Result<u64> {
        let mut bytes = [0; 8];
        out.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_le_bytes(bytes))
    };
    // Finds an entry of a table by GUID. Returns the offset of its location field.
    let find = |table: u64, count: u64, wanted: Uuid| -> io::Result<u64> {
        for entry in (0..count.min(2047)).map(|index| table + index * 32) {
            let mut name = [0; 16];
            out.read_exact_at(&mut name, entry)?;
            if Uuid::from_bytes_le(name) == wanted {
                return Ok(entry + 16);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a required table is missing in the vhdx"))
    };
    let sequence = [number(HEADERS[0] + 8)?, number(HEADERS[1] + 8)?];
    for (index, at) in HEADERS.into_iter().enumerate() {
        let mut header = [0; HEADER_SIZE];
        out.read_exact_at(&mut header, at)?;
        let order = if sequence[index] >= sequence[1 - index] { 2u64 } else { 1 };
        header[8..16].copy_from_slice(&order.to_le_bytes());
        header[16..32].copy_from_slice(&Uuid::new_v5(&id, b"file").to_bytes_le());
        header[32..48].copy_from_slice(&Uuid::new_v5(&id, b"data").to_bytes_le());
        header[4..8].fill(0);
        let sum = crc32c::crc32c(&header);
        header[4..8].copy_from_slice(&sum.to_le_bytes());
        out.write_all_at(&header, at)?;
    }
    // Section 2.3: the log is empty if its GUID is zero, but it may contain stale entries.
    let mut log = [0; 16];
    out.read_exact_at(&mut log, HEADERS[0] + 48)?;
    if log == [0; 16] {
        let (length, at) = (number(HEADERS[0] + 68)? & 0xffff_ffff, number(HEADERS[0] + 72)?);
        out.write_all_at(&vec![0; length.min(Bytes::MIB) as usize], at)?;
    }
    let regions = number(REGIONS + 8)? & 0xffff_ffff;
    let metadata = number(find(REGIONS + 16, regions, METADATA)?)?;
    // After the signature and two reserved bytes.
    let items = number(metadata + 8)? >> 16 & 0xffff;
    let page = number(find(metadata + 32, items, PAGE_83)?)? & 0xffff_ffff;
    out.write_all_at(&id.to_bytes_le(), metadata + page)
}
