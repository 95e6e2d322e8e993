//! Unpacks compressed files and disks in archives.

use super::archive_limits::{LARGEST, check_space, too_large};
use super::open::{size, start};
use super::unreadable::Unreadable;
use crate::disk::is_zero;
use crate::host::{Context, Failure};
use crate::image::copy_range;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Compressions, detected by the first bytes of a file.
#[derive(Clone, Copy)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
}

const COMPRESSIONS: &[(&[u8], Compression)] = &[
    (b"\x1f\x8b", Compression::Gzip),
    (b"\xfd7zXZ\0", Compression::Xz),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    (b"BZh", Compression::Bzip2),
];

/// Returns the compression of a file that starts with these bytes.
pub(super) fn compression(start: &[u8]) -> Option<Compression> {
    COMPRESSIONS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, compression)| *compression)
}

/// Returns the decompressed file, or the file itself if it is not compressed.
pub(super) fn unpacked(file: File, scratch: &Path) -> Result<File, Failure> {
    let start = start(&file).context(|| "could not read a part of the file".to_owned())?;
    match compression(&start) {
        Some(how) => decompress(&file, how, scratch).map_err(Unreadable::failure),
        None => Ok(file),
    }
}

pub(super) fn scratch_file(scratch: &Path) -> Result<File, Failure> {
    tempfile::tempfile_in(scratch)
        .context(|| format!("could not create a temporary file in `{}`", scratch.display()))
}

/// Decompresses a file. Zeros become holes.
pub(super) fn decompress(file: &File, how: Compression, scratch: &Path) -> Result<File, Unreadable> {
    /// Memory limit of the decoder. The file determines how much it needs.
    const MOST_MEMORY: u64 = 2 << 30;
    let out = scratch_file(scratch)?;
    let context = || "could not read the image".to_owned();
    let mut input = file.try_clone().context(context)?;
    input.rewind().context(context)?;
    let input = BufReader::with_capacity(1 << 20, input);
    let mut stream: Box<dyn Read> = match how {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Xz => {
            let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32);
            let decoder = liblzma::stream::MtStreamBuilder::new()
                .threads(cores)
                .memlimit_threading(MOST_MEMORY)
                .memlimit_stop(MOST_MEMORY)
                .decoder()
                .map_err(std::io::Error::from)
                .context(context)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, decoder))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input).context(context)?;
            // The limit of zstd's own program: 128 MiB.
            decoder.window_log_max(27).context(context)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
    };
    copy_sparse(&mut stream, &out).map_err(|error| error.into_unreadable(scratch)).map(|()| out)
}

/// Which side of a copy failed.
enum CopyError {
    Read(std::io::Error),
    Write(std::io::Error),
    TooLarge,
    /// It would fill the filesystem of temporary files.
    Full(Failure),
}

impl CopyError {
    fn into_unreadable(self, scratch: &Path) -> Unreadable {
        match self {
            // Errors with a number come from the system; others are errors of the decoder.
            CopyError::Read(error) if error.raw_os_error().is_some() => {
                Failure::new("could not read the file").caused_by(&error).into()
            }
            CopyError::Read(error) => {
                Unreadable::Damaged(Failure::new("the file is damaged").caused_by(&error))
            }
            CopyError::TooLarge => Unreadable::Damaged(too_large()),
            CopyError::Full(failure) => {
                failure.context(format!("could not write to `{}`", scratch.display())).into()
            }
            CopyError::Write(error) => Err::<(), _>(error)
                .context(|| format!("could not write to `{}`", scratch.display()))
                .unwrap_err()
                .into(),
        }
    }
}

/// Copies data without writing blocks of zeros.
fn copy_sparse(from: &mut dyn Read, to: &File) -> Result<(), CopyError> {
    const BLOCK: usize = 64 << 10;
    /// How often the free space is checked, in bytes written.
    const STEP: u64 = 64 << 20;
    let mut unchecked = 0;
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
        if filled == 0 {
            return to.set_len(at).map_err(CopyError::Write);
        }
        if at > LARGEST {
            return Err(CopyError::TooLarge);
        }
        if !is_zero(&buffer[..filled]) {
            unchecked += filled as u64;
            if unchecked >= STEP {
                check_space(to, STEP).map_err(CopyError::Full)?;
                unchecked = 0;
            }
            to.write_all_at(&buffer[..filled], at).map_err(CopyError::Write)?;
        }
        at += filled as u64;
    }
}

/// Returns whether a member of an archive is a disk: `disk.raw` for Google, the VMDK of an OVA, the disk of a Vagrant
/// box. Source: Compute Engine, "Manually import boot disks", requirements; DMTF DSP0243, 2.1.2; Vagrant and
/// vagrant-libvirt, "Box File Format".
fn is_disk(path: &Path) -> bool {
    let is_on_top = path.parent().is_none_or(|parent| matches!(parent.to_str(), Some("" | ".")));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_box = matches!(name.as_str(), "box.img" | "box_0.img");
    path.ends_with("disk.raw") || (is_on_top && (name.ends_with(".vmdk") || is_box))
}

/// Returns the disk in an archive and its name; `None` if there is no disk.
///
/// # Errors
/// The archive contains several disks, is damaged, or does not fit into `scratch`.
pub(super) fn disk_in_archive(file: &File, scratch: &Path) -> Result<Option<(File, String)>, Unreadable> {
    let context = || "could not read the archive".to_owned();
    let size = size(file).context(context)?;
    // The duplicate shares its position with the file.
    let mut input = file.try_clone().context(context)?;
    input.rewind().context(context)?;
    let mut archive = tar::Archive::new(input);
    let mut found: Option<(File, String)> = None;
    for entry in archive.entries_with_seek().context(context)? {
        let mut entry = entry.context(context).map_err(Unreadable::Damaged)?;
        if !entry.path().is_ok_and(|path| is_disk(&path)) {
            continue;
        }
        let name = entry.path().map(|path| path.display().to_string()).unwrap_or_default();
        if let Some((_, first)) = &found {
            let why = format!("the archive contains several disks: `{first}`, `{name}`");
            let failure = Failure::new(why).help("extract the disk with the system and use its path");
            return Err(Unreadable::Damaged(failure));
        }
        let out = scratch_file(scratch)?;
        if entry.header().entry_type() == tar::EntryType::GNUSparse {
            copy_sparse(&mut entry, &out).map_err(|error| error.into_unreadable(scratch))?;
            let (is, was) = (self::size(&out).context(context)?, entry.size());
            if is < was {
                let why = format!("the archive is truncated: `{name}` has {is} of {was} bytes");
                return Err(Unreadable::Damaged(Failure::new(why)));
            }
        } else {
            let (start, length) = (entry.raw_file_position(), entry.size());
            if start.checked_add(length).is_none_or(|end| end > size) {
                let why = format!("the archive is truncated in `{name}`");
                return Err(Unreadable::Damaged(Failure::new(why)));
            }
            check_space(&out, length)?;
            let position = (&*file).stream_position().context(context)?;
            copy_range(file, start..start + length, &out)
                .context(|| format!("could not write to `{}`", scratch.display()))?;
            (&*file).seek(SeekFrom::Start(position)).context(context)?;
        }
        found = Some((out, name));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes() {
        use std::os::unix::fs::MetadataExt;
        let mut bytes = vec![0; 4 << 20];
        bytes[1 << 20] = 7;
        let out = tempfile::tempfile().unwrap();
        assert!(copy_sparse(&mut bytes.as_slice(), &out).is_ok());
        let metadata = out.metadata().unwrap();
        assert_eq!(metadata.len(), 4 << 20);
        assert!(metadata.blocks() * 512 <= 128 << 10);
        let mut byte = [0];
        out.read_exact_at(&mut byte, 1 << 20).unwrap();
        assert_eq!(byte, [7]);
    }

    #[test]
    fn an_archive_with_several_disks_is_ambiguous() {
        let scratch = tempfile::tempdir().unwrap();
        let archive = |names: &[&str]| {
            let mut file = tempfile::tempfile().unwrap();
            let mut builder = tar::Builder::new(&mut file);
            for name in names {
                let mut header = tar::Header::new_ustar();
                header.set_size(3);
                builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
            }
            builder.finish().unwrap();
            drop(builder);
            disk_in_archive(&file, scratch.path())
                .map(|found| found.map(|(_, name)| name))
                .map_err(|why| why.failure().message)
        };
        assert_eq!(archive(&["a.ovf", "a-disk1.vmdk"]), Ok(Some("a-disk1.vmdk".to_owned())));
        assert_eq!(archive(&["a.ovf", "sub/b.vmdk"]), Ok(None));
        assert_eq!(
            archive(&["a.ovf", "a-disk1.vmdk", "a-disk2.vmdk"]),
            Err("the archive contains several disks: `a-disk1.vmdk`, `a-disk2.vmdk`".to_owned())
        );
    }
}
