//! What an EFI program of GRUB carries: its prefix and its embedded configuration. Source: GRUB 2.06, include/grub/kernel.h.

/// What a core image was built with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Embedded {
    pub prefix: Option<String>,
    pub configuration: Option<String>,
    /// An archive in memory, whose scripts are not read.
    pub has_memdisk: bool,
}

/// Types of what is embedded. Source: GRUB 2.06, include/grub/kernel.h.
const MEMDISK: u32 = 1;
const CONFIGURATION: u32 = 2;
const PREFIX: u32 = 3;

impl Embedded {
    /// From the section `mods` of an EFI program: `mimg`, and the objects behind it. Source: struct grub_module_info64.
    pub fn parse(bytes: &[u8]) -> Embedded {
        let mut found = Embedded::default();
        let number = |at: usize, length: usize| -> Option<usize> {
            let bytes = bytes.get(at..at.checked_add(length)?)?;
            Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
        };
        if !bytes.starts_with(b"mimg") {
            return found;
        }
        let Some(mut at) = number(8, 8) else { return found };
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0u8..40) {
            let head = [&b"mimg"[..], &[0; 4], &[start, 0, 0, 0, 0, 0, 0, 0]].concat();
            let _ = Embedded::parse(&[head, bytes].concat());
        }
    }
}
