//! Writes one published file.

use super::iso::Name;
use super::source::{Raw, Source};
use super::{archive, comparison, gzip, iso, oci, ova, pxe, qcow2, qemu, vhd, vmdk, xz, zstandard};
use crate::host::{Context, Failure, inherited_name};
use crate::image::copy_data;
use crate::plan::{Diskless, Firmware};
use crate::template::{Bytes, Format};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The sources of published files.
pub struct Material<'m> {
    /// The raw image.
    pub raw: &'m File,
    /// The root tree as a tar, if a format needs it.
    pub root: Option<&'m File>,
    /// How the root tree boots without its disk.
    pub diskless: Option<&'m Diskless>,
    /// The firmware that boots the image; `None` if it is not bootable.
    pub firmware: Option<Firmware>,
    /// GUID of the disk, from which other identifiers are derived.
    pub id: Uuid,
    /// Timestamp of the latest change, in seconds since 1970.
    pub time: u64,
    /// Directory for unnamed temporary files.
    pub scratch: &'m Path,
}

const BUFFER: usize = 1 << 20;

/// Writes a format into `out`, an empty file that will be named `name`. Reads it back and compares it with its
/// source. Returns a description of attributes that the format cannot store.
pub fn write(material: &Material, format: Format, name: &str, out: &File) -> Result<Option<String>, Failure> {
    let mut lost = None;
    let context = || format!("could not write `{name}`");
    let raw = Raw::new(material.raw).context(context)?;
    let root = || -> Result<Raw, Failure> {
        let root = material
            .root
            .ok_or_else(|| Failure::new("the root tree was not packed; this is a bug in ister"))?;
        Raw::new(root).context(context)
    };
    let id = Uuid::new_v5(&material.id, format.to_string().as_bytes());
    let mut buffer = BufWriter::with_capacity(BUFFER, out);
    match format {
        Format::Qcow2 => qcow2::write(&raw, qcow2::Compression::Zlib, out).context(context)?,
        Format::Qcow2Zstd => qcow2::write(&raw, qcow2::Compression::Zstd, out).context(context)?,
        Format::Vhdx | Format::Vdi => qemu::write(material.raw, format, id, out)?,
        Format::Vhd => {
            if !raw.size().is_multiple_of(vhd::UNIT) {
                return Err(Failure::new(format!(
                    "the size of a vhd must be a multiple of 1 MiB, the image has {} bytes",
                    raw.size()
                )));
            }
            copy_data(material.raw, out, Bytes(0)).context(context)?;
            out.write_all_at(&vhd::footer(raw.size(), id, material.time), raw.size()).context(context)?;
        }
        Format::Vmdk => vmdk::write(&raw, name, id.as_fields().0, &mut buffer).context(context)?,
        Format::Ova => {
            let scratch = tempfile::tempfile_in(material.scratch).context(context)?;
            let appliance = ova::Appliance {
                name: name.strip_suffix(".ova").unwrap_or(name),
                id,
                firmware: material.firmware.unwrap_or(Firmware::Uefi),
                time: material.time,
            };
            ova::write(&raw, &appliance, &scratch, &mut buffer).context(context)?;
        }
        Format::RawGz => gzip::write(&raw, &mut buffer).context(context)?,
        Format::RawXz => xz::write(&raw, &mut buffer).context(context)?,
        Format::RawZst => zstandard::write(&raw, &mut buffer).context(context)?,
        Format::TarGz => archive::write(&raw, material.time, &mut buffer).context(context)?,
        Format::Tar => {
            let root = root()?;
            copy_data(root.file(), out, Bytes(0)).context(context)?;
            out.set_len(root.size()).context(context)?;
        }
        Format::TarXz => xz::write(&root()?, &mut buffer).context(context)?,
        Format::Oci => {
            let scratch = tempfile::tempfile_in(material.scratch).context(context)?;
            let stem = name.split('.').next().unwrap_or(name);
            oci::write(&root()?, &scratch, stem, material.time, &mut buffer).context(context)?;
        }
        Format::Pxe => {
            let diskless = diskless(material)?;
            lost = pxe::write(&root()?, diskless, material.time, material.scratch, &mut buffer)
                .map_err(|failure| failure.context(context()))?;
        }
        Format::Iso => {
            let stem = name.split('.').next().unwrap_or(name);
            let called = Name { stem, id, time: material.time };
            lost = iso::write(&root()?, diskless(material)?, &called, material.scratch, out)
                .map_err(|failure| failure.context(context()))?;
        }
    }
    buffer.flush().context(context)?;
    drop(buffer);
    read_back(material, format, out).map_err(|failure| failure.context(context()))?;
    if is_disk(format) {
        let path = PathBuf::from(inherited_name(out));
        comparison::check(&path, material.raw, material.scratch)
            .map_err(|failure| failure.context(context()))?;
    }
    Ok(lost)
}

/// Compares formats that contain the root tree. Disks are compared separately.
fn read_back(material: &Material, format: Format, out: &File) -> Result<(), Failure> {
    let context = || "could not read the published file back".to_owned();
    let Some(root) = material.root else { return Ok(()) };
    let root = Raw::new(root).context(context)?;
    let mut file = out;
    file.rewind().context(context)?;
    match format {
        Format::TarXz => comparison::check_tree(&root, liblzma::read::XzDecoder::new(BufReader::new(file))),
        Format::Oci => comparison::check_tree(&root, oci::layer(BufReader::new(file)).context(context)?),
        Format::Pxe => pxe::check(&root, diskless(material)?, out, material.scratch),
        _ => Ok(()),
    }
}

fn diskless<'m>(material: &Material<'m>) -> Result<&'m Diskless, Failure> {
    material.diskless.ok_or_else(|| Failure::new("the plan has no kernel to boot"))
}

/// Returns whether a format contains the raw image.
fn is_disk(format: Format) -> bool {
    !matches!(format, Format::Tar | Format::TarXz | Format::Oci | Format::Pxe | Format::Iso)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Names;

    /// Writes every disk format twice and compares the bytes.
    #[test]
    fn published_images_are_reproducible() {
        let directory = tempfile::tempdir().unwrap();
        let raw = tempfile::tempfile().unwrap();
        raw.set_len(70 << 20).unwrap();
        let mut state = 7u32;
        let noise: Vec<u8> = (0..3 << 20)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        raw.write_all_at(&noise, (1 << 20) - 100).unwrap();
        raw.write_all_at(b"the end", (70 << 20) - 7).unwrap();
        let id = Uuid::from_u128(0x1234);
        let material = Material {
            raw: &raw,
            root: None,
            diskless: None,
            firmware: None,
            id,
            time: 1_700_000_000,
            scratch: directory.path(),
        };
        for (name, format) in Format::ALL.iter().filter(|(_, format)| is_disk(*format)) {
            let made: Vec<Vec<u8>> = (0..2)
                .map(|_| {
                    let path = directory.path().join("out");
                    let out = File::options()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open(&path)
                        .unwrap();
                    write(&material, *format, "image", &out).unwrap_or_else(|failure| panic!("{failure}"));
                    std::fs::read(&path).unwrap()
                })
                .collect();
            assert!(made[0] == made[1], "{name}: not reproducible");
            assert!(made[0].len() > 3 << 20 || *name == "raw.xz", "{name}");
        }
    }
}
