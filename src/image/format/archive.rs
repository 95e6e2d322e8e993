//! Images for Google Compute Engine: a gzip-compressed tar with the single member `disk.raw`. Source: Compute Engine,
//! "Manually import boot disks", requirements: `tar --format=oldgnu`.

use super::gzip;
use super::source::{Framed, Source};
use std::io::{self, Write};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;

/// Writes the archive. `time` is in seconds since 1970.
pub(super) fn write(raw: &impl Source, time: u64, out: &mut impl Write) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_path("disk.raw")?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(raw.size());
    header.set_cksum();
    let rest = raw.size().next_multiple_of(BLOCK) - raw.size();
    // Two empty blocks mark the end of a tar.
    let framed = Framed { before: header.as_bytes().to_vec(), inner: raw, after: rest + 2 * BLOCK };
    gzip::write(&framed, out)
}
