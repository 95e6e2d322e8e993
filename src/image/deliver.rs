//! From the file that a filesystem was made in to its place in the partition: as it is, or encrypted.

use super::make::Target;
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
    target: &Target,
) -> Result<(), Failure> {
    let context = || format!("could not write {}", partition.title());
    let Some(encryption) = &partition.encryption else {
        if !target.blank {
            // What was there before must not shine through where the filesystem counts on zeros.
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
        .ok_or_else(|| Failure::new(format!("there is no passphrase for `{}`", encryption.name)))?;
    // As the disk has them: larger ones could not be mounted with a filesystem made for the disk.
    let parameters =
        luks::Parameters { sector_size: target.sector, ..luks::Parameters::new(encryption.uuid) };
    let mut entropy = entropy(target.seed, encryption.uuid);
    let volume = luks::format(&parameters, passphrase.expose().as_bytes(), &mut entropy)
        .map_err(|error| Failure::new("could not make the LUKS2 header").caused_by(&error))?;
    let data = target.offset.0 + LUKS_DATA_OFFSET.0;
    if !target.blank {
        // An older header may have keyslots here.
        wipe::zero(target.file, target.offset.0..data).context(context)?;
    }
    target.file.write_all_at(&volume.header, target.offset.0).context(context)?;
    luks::encrypt(file, target.file, data, &in_use(kind, file)?, &volume.key, target.sector).context(context)
}

/// The bytes that the filesystem counts on, whether or not they are zero.
fn in_use(kind: FilesystemType, file: &File) -> Result<Vec<Range<u64>>, Failure> {
    let size = file.metadata().context(|| "could not look at a temporary file".to_owned())?.len();
    let window = Window { file, offset: 0, size };
    let damaged = |error: crate::disk::ReadError| {
        Failure::new("the new filesystem does not read back").caused_by(&error)
    };
    let mut ranges = match kind {
        // The header, and nothing else until something is swapped out.
        FilesystemType::Swap => std::iter::once(0..4096.min(window.size())).collect(),
        _ => Opened::open(&window).map_err(damaged)?.in_use().map_err(damaged)?,
    };
    // And everything that was written, in case the two differ.
    ranges.extend(extents::data(file).context(|| "could not look at a temporary file".to_owned())?);
    Ok(merged(ranges))
}

/// What follows from a seed and the volume; without one, from what the kernel gives.
fn entropy(seed: Option<&str>, volume: Uuid) -> impl FnMut(&mut [u8]) {
    let mut random = [0; 32];
    if seed.is_none() {
        // So few bytes come at once and never fail. Source: getrandom(2).
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
            .expect("32 bytes are always given");
    }
    let seed = seed.map_or(random.to_vec(), |seed| format!("{seed}\n{volume}").into_bytes());
    luks::seeded(&seed)
}
