//! Checks the contents of kernels and initramfs images.

use super::Volume;
use super::efi::{self, Machine};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

/// A kernel image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelImage {
    /// The version in its header. Source: Linux, Documentation/arch/x86/boot.rst, kernel_version.
    pub version: Option<String>,
    /// 64-bit UEFI firmware can start it.
    pub is_efi: bool,
    /// What is wrong with it. If set, the other fields are unknown.
    pub damage: Option<String>,
}

impl KernelImage {
    pub fn read(volume: &Volume, path: &str) -> KernelImage {
        match volume.read(path) {
            Some(bytes) => KernelImage::parse(&bytes),
            None => KernelImage::damaged("the kernel cannot be read"),
        }
    }

    fn damaged(why: impl Into<String>) -> KernelImage {
        KernelImage { damage: Some(why.into()), ..KernelImage::default() }
    }

    /// Source: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
    pub fn parse(bytes: &[u8]) -> KernelImage {
        if bytes.is_empty() {
            return KernelImage::damaged("the file is empty");
        }
        if bytes.get(0x38..0x3c) == Some(b"ARM\x64") {
            return KernelImage::damaged("the kernel is for aarch64");
        }
        if bytes.starts_with(b"\x7fELF") {
            return KernelImage::damaged(
                "the kernel is an uncompressed ELF file, which PC boot loaders do not start",
            );
        }
        if bytes.get(0x202..0x206) != Some(b"HdrS") || bytes.get(0x1fe..0x200) != Some(&[0x55, 0xaa]) {
            return KernelImage::damaged("the kernel has no boot header (`HdrS`)");
        }
        let number =
            |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().expect("four")));
        let setup = match bytes[0x1f1] {
            0 => 4,
            count => u64::from(count),
        };
        let needs = (setup + 1) * 512 + u64::from(number(0x1f4).unwrap_or(0)) * 16;
        if (bytes.len() as u64) < needs {
            return KernelImage::damaged(format!(
                "the kernel is truncated: {needs} bytes according to its header, but the file has {}",
                bytes.len()
            ));
        }
        let payload = (setup + 1) * 512 + u64::from(number(0x248).unwrap_or(0));
        let end = payload + u64::from(number(0x24c).unwrap_or(0));
        let protocol = bytes.get(0x206..0x208).map_or(0, |b| u16::from_le_bytes(b.try_into().expect("two")));
        if protocol >= 0x208 && end > bytes.len() as u64 {
            return KernelImage::damaged(
                "the compressed payload of the kernel extends past the end of the file",
            );
        }
        if protocol >= 0x208
            && let Some(damage) =
                payload_damage(bytes.get(payload as usize..end as usize).unwrap_or_default())
        {
            return KernelImage::damaged(damage);
        }
        // XLF_KERNEL_64 is bit 0 of xloadflags.
        let is_64 = bytes.get(0x236).is_some_and(|flags| flags & 1 != 0);
        let is_efi =
            is_64 && efi::Program::parse(bytes, bytes.len() as u64).is_ok_and(|p| p.machine == Machine::X64);
        KernelImage { version: version(bytes), is_efi, damage: None }
    }
}

/// Checks the signature of the compressed payload. Source: Linux, scripts/Makefile.lib; lib/decompress.c.
fn payload_damage(payload: &[u8]) -> Option<String> {
    let known = ARCHIVES.iter().any(|magic| payload.starts_with(magic))
        || payload.starts_with(b"\x04\x22\x4d\x18")
        || payload.starts_with(b"\x89LZO")
        || payload.starts_with(b"\x7fELF");
    (!known).then(|| "the compressed payload of the kernel has an unknown format".to_owned())
}

/// Source: Linux, Documentation/arch/x86/boot.rst, kernel_version.
fn version(bytes: &[u8]) -> Option<String> {
    let at = usize::from(u16::from_le_bytes(bytes.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = bytes.get(at..)?.split(|byte| *byte == 0 || *byte == b' ').next()?;
    let text = std::str::from_utf8(text).ok()?;
    (text.starts_with(|c: char| c.is_ascii_digit()) && text.len() < 200).then(|| text.to_owned())
}

/// cpio "newc", gzip, bzip2, xz, lzma, lz4 (legacy), zstd. Source: Linux, lib/decompress.c.
const ARCHIVES: &[&[u8]] = &[
    b"070701",
    b"070702",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",
    &LZ4_MAGIC,
    b"\x28\xb5\x2f\xfd",
];

const LZ4_MAGIC: [u8; 4] = *b"\x02\x21\x4c\x18";

/// Whether the first bytes are those of an initramfs.
pub fn is_initramfs(bytes: &[u8]) -> bool {
    ARCHIVES.iter().any(|magic| bytes.starts_with(magic))
}

/// The contents of an initramfs image. Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Initramfs {
    /// Kernel versions of its modules.
    pub versions: BTreeSet<String>,
    /// Names of modules, with `_` and without extension.
    #[serde(skip)]
    pub modules: BTreeSet<String>,
    /// It contains /init.
    pub has_init: bool,
    /// The image was read completely.
    pub is_complete: bool,
    /// What is wrong with the image.
    pub damage: Option<String>,
    /// Size of the unpacked files, in bytes.
    #[serde(skip)]
    pub unpacked: u64,
}

/// Uncompressed size of each chunk but the last, in bytes. Source: LZ4, doc/lz4_Frame_format.md, "Legacy frame".
const LZ4_CHUNK: usize = 8 << 20;

/// A reader of chunks, each preceded by its compressed length. Source: Linux, lib/decompress_unlz4.c.
struct Lz4<'b> {
    rest: &'b [u8],
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Lz4<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.rest.is_empty() {
                return Ok(read);
            }
            let truncated = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(truncated)?;
            // The start of another frame, or the padding at the end of the file.
            if *length == LZ4_MAGIC {
                self.rest = rest;
                continue;
            }
            let length = u32::from_le_bytes(*length) as usize;
            if length == 0 {
                self.rest = &[];
                continue;
            }
            let packed = rest.get(..length).ok_or_else(truncated)?;
            self.rest = &rest[length..];
            let chunk = lz4_flex::block::decompress(packed, LZ4_CHUNK).map_err(io::Error::other)?;
            self.chunk = io::Cursor::new(chunk);
        }
    }
}

/// The maximum unpacked size of an initramfs, in bytes.
const MOST: u64 = 1 << 30;
/// Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst, "newc" header.
const HEADER: usize = 110;

impl Initramfs {
    pub fn read(volume: &Volume, path: &str) -> Initramfs {
        match volume.read(path) {
            Some(bytes) => Initramfs::parse(&bytes),
            None => {
                Initramfs { damage: Some("the initramfs cannot be read".to_owned()), ..Initramfs::default() }
            }
        }
    }

    pub fn parse(bytes: &[u8]) -> Initramfs {
        let mut found = Initramfs::default();
        if bytes.is_empty() {
            found.damage = Some("the file is empty".to_owned());
            return found;
        }
        match found.parts(bytes) {
            Ok(complete) => found.is_complete = complete,
            Err(damage) => found.damage = Some(damage),
        }
        found
    }

    /// Reads a sequence of archives, each compressed or not, with zeros between them. `Ok(false)`: one of them is not
    /// supported.
    fn parts(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        let mut first = true;
        loop {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes = &bytes[zeros..];
            if bytes.is_empty() && !first {
                return Ok(true);
            }
            if !is_initramfs(bytes) {
                return match first {
                    true => Err("the initramfs is neither a cpio archive nor compressed".to_owned()),
                    // The kernel prints "junk within compressed archive" and continues.
                    false => Ok(true),
                };
            }
            first = false;
            if bytes.starts_with(b"07070") {
                self.archive(&mut bytes).map_err(|error| damage(&error))?;
            } else {
                self.compressed(&mut bytes).map_err(|error| damage(&error))?;
            }
        }
    }

    fn compressed(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        if bytes.starts_with(b"\x1f\x8b") {
            let mut reader = io::BufReader::new(flate2::bufread::GzDecoder::new(*bytes));
            self.archives(&mut reader)?;
            *bytes = reader.into_inner().into_inner();
        } else if bytes.starts_with(b"BZh") {
            let mut reader = io::BufReader::new(bzip2::bufread::BzDecoder::new(*bytes));
            self.archives(&mut reader)?;
            *bytes = reader.into_inner().into_inner();
        } else if bytes.starts_with(b"\xfd7zXZ") || bytes.starts_with(b"\x5d\x00\x00") {
            let stream = match bytes.starts_with(b"\x5d") {
                true => liblzma::stream::Stream::new_lzma_decoder(1 << 30),
                false => liblzma::stream::Stream::new_stream_decoder(1 << 30, 0),
            };
            let stream = stream.map_err(io::Error::other)?;
            let mut reader = io::BufReader::new(liblzma::bufread::XzDecoder::new_stream(*bytes, stream));
            self.archives(&mut reader)?;
            *bytes = reader.into_inner().into_inner();
        } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
            let decoder = zstd::stream::read::Decoder::with_buffer(*bytes)?.single_frame();
            let mut reader = io::BufReader::with_capacity(1 << 17, decoder);
            self.archives(&mut reader)?;
            *bytes = reader.into_inner().finish();
        } else {
            // The chunks extend to the end of the file, so nothing follows them.
            let mut reader = io::BufReader::with_capacity(
                LZ4_CHUNK,
                Lz4 { rest: &bytes[4..], chunk: io::Cursor::default() },
            );
            self.archives(&mut reader)?;
            *bytes = &[];
        }
        Ok(())
    }

    /// Reads archives up to the end of the compressed data, where the checksums are.
    fn archives(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        let mut reader = reader.take(MOST);
        loop {
            let buffer = reader.fill_buf()?;
            match buffer.first() {
                None => return Ok(()),
                Some(0) => {
                    let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
                    reader.consume(zeros);
                }
                Some(_) => self.archive(&mut reader)?,
            }
        }
    }

    /// Reads one archive, up to its trailer.
    fn archive(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        loop {
            let mut header = [0; HEADER];
            reader.read_exact(&mut header)?;
            let number = |at: usize| {
                let digits = std::str::from_utf8(&header[at..at + 8]).ok();
                let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                number.ok_or_else(|| io::Error::other("damaged cpio header"))
            };
            if !header.starts_with(b"07070") {
                return Err(io::Error::other("damaged cpio header"));
            }
            let (size, length) = (number(54)?, number(94)?);
            if length > 4096 {
                return Err(io::Error::other("damaged file name in the cpio archive"));
            }
            let mut name = vec![0; length as usize];
            reader.read_exact(&mut name)?;
            skip(reader, padding(HEADER as u64 + length))?;
            skip(reader, size + padding(size))?;
            self.unpacked += size;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name == b"TRAILER!!!" {
                return Ok(());
            }
            self.note(&String::from_utf8_lossy(name));
        }
    }

    fn note(&mut self, name: &str) {
        let name = name.trim_start_matches("./").trim_start_matches('/');
        self.has_init |= name == "init";
        let inside = name.strip_prefix("usr/").unwrap_or(name).strip_prefix("lib/modules/");
        let Some((version, file)) = inside.and_then(|inside| inside.split_once('/')) else { return };
        self.versions.insert(version.to_owned());
        let file = file.rsplit('/').next().unwrap_or_default();
        if let Some((module, _)) = file.split_once(".ko") {
            self.modules.insert(module.replace('-', "_"));
        }
    }
}

fn damage(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the initramfs is truncated".to_owned(),
        _ => format!("the initramfs cannot be unpacked: {error}"),
    }
}

/// Number of padding bytes to a multiple of four.
fn padding(length: u64) -> u64 {
    length.next_multiple_of(4) - length
}

fn skip(reader: &mut impl BufRead, mut count: u64) -> io::Result<()> {
    while count > 0 {
        let there = reader.fill_buf()?.len() as u64;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let step = there.min(count);
        reader.consume(step as usize);
        count -= step;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// Builds an archive with empty files.
    pub(crate) fn cpio(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names.iter().chain(&["TRAILER!!!"]) {
            let fields = [1, 0o100_644, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() + 1, 0];
            bytes.extend(b"070701");
            bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
            bytes.extend(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// Builds a kernel header, followed by the number of bytes that it specifies.
    pub(crate) fn kernel(version: &str) -> Vec<u8> {
        let mut bytes = vec![0; 5 * 512 + 0x1000];
        bytes[0x1f1] = 4;
        bytes[0x1f4..0x1f8].copy_from_slice(&0x100_u32.to_le_bytes());
        bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        bytes[0x20e..0x210].copy_from_slice(&0x200_u16.to_le_bytes());
        bytes[0x24c..0x250].copy_from_slice(&64_u32.to_le_bytes());
        bytes[0x400..0x400 + version.len()].copy_from_slice(version.as_bytes());
        bytes[5 * 512..5 * 512 + 4].copy_from_slice(b"\x28\xb5\x2f\xfd");
        // The header of the EFI stub, and XLF_KERNEL_64.
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        bytes[0x236] = 1;
        bytes
    }

    #[test]
    fn truncated_and_damaged_kernels_are_detected() {
        let whole = kernel("6.1.0-1");
        assert_eq!(KernelImage::parse(&whole).version.as_deref(), Some("6.1.0-1"));
        assert!(KernelImage::parse(&whole).is_efi);
        let mut for_32_bits = whole.clone();
        for_32_bits[0x236] = 0;
        assert!(!KernelImage::parse(&for_32_bits).is_efi);
        let damage = |bytes: &[u8]| KernelImage::parse(bytes).damage.unwrap();
        assert!(damage(&whole[..4000]).contains("6656 bytes according to its header, but the file has 4000"));
        assert!(damage(&[]).contains("empty"));
        assert!(damage(&[7; 4096]).contains("HdrS"));
        let mut payload = whole.clone();
        payload[5 * 512] = 0;
        assert!(damage(&payload).contains("compressed payload"));
    }

    #[test]
    fn all_compression_formats_are_read_to_the_end() {
        let plain = cpio(&[
            "init",
            "usr/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko",
            "lib/modules/6.1.0/kernel/virtio-blk.ko.xz",
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip.write_all(&plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        let chunk = lz4_flex::block::compress(&plain);
        let lz4 = [&LZ4_MAGIC[..], &(chunk.len() as u32).to_le_bytes(), &chunk].concat();
        for packed in
            [plain.clone(), gzip.finish().unwrap(), bzip.finish().unwrap(), xz.finish().unwrap(), zstd, lz4]
        {
            // An uncompressed archive with microcode comes first.
            let mut early = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
            early.resize(early.len().next_multiple_of(512), 0);
            early.extend(&packed);
            let found = Initramfs::parse(&early);
            assert_eq!(found.damage, None);
            assert!(found.has_init && found.is_complete);
            assert_eq!(found.versions.iter().collect::<Vec<_>>(), ["6.1.0"]);
            assert_eq!(found.modules.iter().collect::<Vec<_>>(), ["ext4", "virtio_blk"]);
            let truncated = Initramfs::parse(&early[..early.len() - 40]);
            assert!(truncated.damage.is_some(), "{:?}", &packed[..6]);
        }
        assert!(Initramfs::parse(&[7; 100]).damage.unwrap().contains("neither"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), magic in 0..ARCHIVES.len()) {
            let _ = KernelImage::parse(&bytes);
            let _ = Initramfs::parse(&[ARCHIVES[magic], &bytes].concat());
        }
    }
}
