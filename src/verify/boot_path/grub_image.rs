//! The prefix and configuration that are embedded in GRUB, as an EFI program or as a core image for BIOS. Source: GRUB
//! 2.06, include/grub/kernel.h.

use liblzma::stream::{Action, Filters, LzmaOptions, Stream};

/// The objects that are embedded in a GRUB image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Embedded {
    pub prefix: Option<String>,
    pub configuration: Option<String>,
    /// There is a memory disk, whose scripts are not read.
    pub has_memdisk: bool,
}

/// Types of embedded objects. Source: GRUB 2.06, include/grub/kernel.h.
const MEMDISK: u32 = 1;
const CONFIGURATION: u32 = 2;
const PREFIX: u32 = 3;

/// Signature before the objects; their offset follows it.
const MAGIC: &[u8] = b"mimg";

/// Format of a core image for BIOS: the first sector loads the others, which start with a decompressor for the rest.
/// Source: GRUB 2.06, include/grub/offsets.h, GRUB_DECOMPRESSOR_I386_PC.
mod core {
    use std::ops::Range;

    pub(super) const SECTOR: usize = 512;
    pub(super) const COMPRESSED_SIZE: Range<usize> = 0x08..0x0c;
    pub(super) const UNCOMPRESSED_SIZE: Range<usize> = 0x0c..0x10;
    pub(super) const REDUNDANCY: Range<usize> = 0x10..0x14;
    /// GRUB_DECOMPRESSOR_I386_PC_MAX_DECOMPRESSOR_SIZE.
    pub(super) const LONGEST: usize = 9 * 1024;
    /// Twice the size of Debian's largest core image, with all modules.
    pub(super) const MOST: usize = 2 << 20;
    /// Limit of bytes for all decompression attempts together, because a malicious image can make each of them long.
    pub(super) const BUDGET: usize = 32 << 20;
}

impl Embedded {
    /// Parses the section `mods` of an EFI program. Source: struct grub_module_info64.
    pub(super) fn parse(bytes: &[u8]) -> Embedded {
        match read(bytes, 8..16) {
            Some(start) if bytes.starts_with(MAGIC) => Embedded::objects(bytes, start),
            _ => Embedded::default(),
        }
    }

    /// Parses a core image for BIOS, including its first sector. `None` if it cannot be decompressed.
    pub(super) fn of_core(image: &[u8]) -> Option<Embedded> {
        let rest = image.get(core::SECTOR..)?;
        let (packed, size) = (read(rest, core::COMPRESSED_SIZE)?, read(rest, core::UNCOMPRESSED_SIZE)?);
        if size > core::MOST {
            return None;
        }
        // The size of the decompressor differs by version and is not recorded. LZMA data starts with a zero byte.
        let starts = (0x20..core::LONGEST.min(rest.len())).filter(|start| rest[*start] == 0);
        let mut budget = core::BUDGET;
        starts.into_iter().find_map(|start| {
            let end = start.checked_add(packed).filter(|end| packed > 0 && *end <= rest.len())?;
            budget = budget.checked_sub(size)?;
            let kernel = unpack(&rest[start..end], size, &mut budget)?;
            // The code may contain the signature too.
            let places = kernel.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
            places.into_iter().find_map(|(at, _)| {
                let info = &kernel[at..];
                let (start, length) = (read(info, 4..8)?, read(info, 8..12)?);
                // Source: struct grub_module_info32.
                (start == 12 && length <= info.len()).then(|| Embedded::objects(&info[..length], start))
            })
        })
    }

    fn objects(bytes: &[u8], mut at: usize) -> Embedded {
        let mut found = Embedded::default();
        let number = |at: usize, length: usize| read(bytes, at..at.checked_add(length)?);
        while let (Some(kind), Some(size)) = (number(at, 4), number(at.saturating_add(4), 4)) {
            let Some(object) = size.checked_add(at).and_then(|end| bytes.get(at + 8..end)) else { break };
            let text = || {
                let text = object.split(|byte| *byte == 0).next().unwrap_or_default();
                String::from_utf8_lossy(text).into_owned()
            };
            match kind as u32 {
                MEMDISK => found.has_memdisk = true,
                CONFIGURATION => found.configuration = Some(text()),
                PREFIX => found.prefix = Some(text()),
                _ => {}
            }
            at += size;
        }
        found
    }
}

/// Whether a core image for BIOS contains redundancy, with which its damage is repaired at boot. Source: GRUB 2.06,
/// grub-core/lib/reed_solomon.c.
pub(super) fn has_redundancy(image: &[u8]) -> bool {
    image.get(core::SECTOR..).and_then(|rest| read(rest, core::REDUNDANCY)).is_some_and(|bytes| bytes > 0)
}

/// Reads a little-endian number.
fn read(bytes: &[u8], at: std::ops::Range<usize>) -> Option<usize> {
    Some(bytes.get(at)?.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// Decompresses exactly `size` bytes. Bytes that a failed attempt did not produce are returned to the budget. Source:
/// GRUB 2.06, util/mkimage.c, compress_kernel_lzma.
fn unpack(packed: &[u8], size: usize, budget: &mut usize) -> Option<Vec<u8>> {
    let mut options = LzmaOptions::new_preset(6).ok()?;
    options.dict_size(1 << 16).literal_context_bits(3).literal_position_bits(0).position_bits(2);
    let mut stream = Stream::new_raw_decoder(Filters::new().lzma1(&options)).ok()?;
    let mut out = Vec::with_capacity(size);
    // The data has no end marker: the output size is known.
    let unpacked = stream.process_vec(packed, &mut out, Action::Run);
    *budget += size.saturating_sub(out.len());
    unpacked.ok()?;
    out.truncate(size);
    (out.len() == size).then_some(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// Builds a core image with GRUB from the host.
    pub(crate) fn core_image(prefix: &str, configuration: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(at("load.cfg"), configuration).unwrap();
        let made = Command::new("grub-mkimage")
            .args(["-O", "i386-pc", "-p", prefix, "-c", &at("load.cfg"), "-o", &at("core.img")])
            .args(["biosdisk", "part_gpt", "ext2", "normal"])
            .status();
        let made = made.expect("the test needs grub-mkimage; `ister doctor --install --tests` installs it");
        assert!(made.success(), "{made}");
        std::fs::read(at("core.img")).unwrap()
    }

    #[test]
    fn prefix_and_configuration_of_core_image_are_read() {
        let configuration = "search.fs_uuid 1-2 root\n";
        let mut core = core_image("(,gpt2)/boot/grub", configuration);
        // Padding, as on a disk.
        core.resize(core.len().next_multiple_of(512) + 5000, 0);
        let found = Embedded::of_core(&core).unwrap();
        assert_eq!(found.prefix.as_deref(), Some("(,gpt2)/boot/grub"));
        assert_eq!(found.configuration.as_deref(), Some(configuration));
        assert_eq!(Embedded::of_core(&core[..9000]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0u8..40) {
            let head = [&b"mimg"[..], &[0; 4], &[start, 0, 0, 0, 0, 0, 0, 0]].concat();
            let _ = Embedded::parse(&[head.clone(), bytes.clone()].concat());
            let _ = Embedded::of_core(&[&[0; 512], &head[..], &bytes].concat());
        }
    }
}
