//! Detects files that are not disk images, so that they are not treated as raw disks.

use super::open::start;
use std::fs::File;

/// Files that are not disk images, or images that have to be unpacked first: offset of the signature, signature,
/// description. Source: the specifications of the formats; file(1), magic.
const FOREIGN: &[(usize, &[u8], &str)] = &[
    (0, b"\x04\x22\x4d\x18", "compressed with lz4: unpack it with `lz4 -d`"),
    (0, b"LZIP", "compressed with lzip: unpack it with `lzip -d`"),
    (0, b"\x89LZO\0\r\n\x1a\n", "compressed with lzop: unpack it with `lzop -d`"),
    (0, b"\x5d\0\0", "compressed with lzma: unpack it with `xz --format=lzma -d`"),
    (0, b"PK\x03\x04", "a zip archive: unpack it with `unzip`"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it with `7z x`"),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image: unpack it with `simg2img`"),
    (0, b"COWD", "a VMDK of type COWD: convert it with `qemu-img convert -f vmdk -O qcow2`"),
    (0, b"Bochs Virtual HD Image", "a Bochs disk image: convert it with `qemu-img convert -f bochs -O raw`"),
    (0, b"hsqs", "a squashfs filesystem, not a disk"),
    (0, b"070701", "a cpio archive, not a disk"),
    (0, b"MSWIM\0\0\0", "a WIM archive, not a disk"),
    (0, b"!<arch>\n", "an ar archive or a Debian package, not a disk"),
    (0, b"\xed\xab\xee\xdb", "an RPM package, not a disk"),
    (
        0,
        b"# Disk DescriptorFile",
        "a VMDK descriptor that refers to other files: use a self-contained image, such as a streamOptimized vmdk",
    ),
];

/// Returns the description of a file that cannot be opened as a disk image, by its signature.
pub fn foreign(file: &File) -> std::io::Result<Option<&'static str>> {
    let start = start(file)?;
    let found = FOREIGN.iter().find(|(at, magic, _)| start.get(*at..).is_some_and(|s| s.starts_with(magic)));
    Ok(found.map(|(_, _, what)| *what))
}
