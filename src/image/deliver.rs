//! Copies a finished filesystem from its temporary file into the partition, either as it is or encrypted.

use super::make::FilesystemTarget;
use super::{extents, wipe};
use crate::disk::{Opened, Source, Window, luks, merged, without};
use crate::host::{Context, Failure};
use crate::plan::{LUKS_DATA_OFFSET, Partition};
use crate::template::FilesystemType;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

pub(super) fn deliver(
    partition: &Partition,
    kind: FilesystemType,
    file: &File,
    target: &FilesystemTarget,
) -> Result<(), Failure> {
    let context = || format!("could not write {}", partition.title());
    let Some(encryption) = &partition.encryption else {
        if !target.blank {
            // The filesystem relies on zeros in places where the device may contain old data.
            let written = merged(extents::data(file).context(context)?);
            for range in without(in_use(kind, file)?, &written) {
                let (start, end) = (target.offset.0 + range.start, target.offset.0 + range.end);
                wipe::zero(target.file, start..end).context(context)?;
            }
        }
        return extents::copy_data(file, target.file, target.offset).context(context);
    };
    let passphrase = target
        .passphrases
        .get(&encryption.name)
        .ok_or_else(|| Failure::new(format!("no passphrase for `{}`", encryption.name)))?;
    // The sector size of the disk: a volume with larger sectors could not be mounted with a filesystem that was made
    // for the disk.
    let parameters =
        luks::Parameters { sector_size: target.sector, ..luks::Parameters::new(encryption.uuid) };
    let mut entropy = entropy(target.seed, encryption.uuid);
    let volume = luks::format(&parameters, passphrase.expose().as_bytes(), &mut entropy)
        .map_err(|error| Failure::new("could not create the LUKS2 header").caused_by(&error))?;
    let data = target.offset.0 + LUKS_DATA_OFFSET.0;
    if !target.blank {
        // An older header may have left keyslots here.
        wipe::zero(target.file, target.offset.0..data).context(context)?;
    }
    target.file.write_all_at(&volume.header, target.offset.0).context(context)?;
    luks::encrypt(file, target.file, data, &in_use(kind, file)?, &volume.key, target.sector).context(context)
}

/// Returns the ranges that the filesystem relies on, whether or not they are zero.
fn in_use(kind: FilesystemType, file: &File) -> Result<Vec<Range<u64>>, Failure> {
    let size = file.metadata().context(|| "could not inspect a temporary file".to_owned())?.len();
    let window = Window { file, offset: 0, size };
    let damaged = |error: crate::disk::ReadError| {
        Failure::new("could not read back the new filesystem").caused_by(&error)
    };
    let mut ranges = match kind {
        // Only the header is used until something is swapped out.
        FilesystemType::Swap => std::iter::once(0..4096.min(window.size())).collect(),
        _ => Opened::open(&window).map_err(damaged)?.in_use().map_err(damaged)?,
    };
    // Include everything that was written, in case the two differ.
    ranges.extend(extents::data(file).context(|| "could not inspect a temporary file".to_owned())?);
    Ok(merged(ranges))
}

/// Returns a byte stream derived from the seed and the volume's UUID, or from the kernel's random bytes if there is
/// no seed.
fn entropy(seed: Option<&str>, volume: Uuid) -> impl FnMut(&mut [u8]) {
    let mut random = [0; 32];
    if seed.is_none() {
        // A request of up to 256 bytes never fails and is never split. Source: getrandom(2).
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
            .expect("getrandom(2) returns up to 256 bytes at once");
    }
    let seed = seed.map_or(random.to_vec(), |seed| format!("{seed}\n{volume}").into_bytes());
    luks::seeded(&seed)
}
