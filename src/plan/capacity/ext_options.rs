//! Parses the options of mke2fs 1.47 that determine the capacity of a filesystem.
//!
//! Defaults are those of `disk::ext::MKE2FS_CONFIG`, which is used for every run of mke2fs. Unknown options result in
//! `None`, so that callers do not rely on a guess.

use std::collections::BTreeSet;

/// The default of `-E num_backup_sb=`.
const DEFAULT_BACKUPS: u32 = 2;
/// The default of `-G`, in groups.
const DEFAULT_FLEX_GROUPS: u64 = 16;
/// The default of `-m`, in percent.
const DEFAULT_RESERVE: f64 = 5.0;
/// The features of every type: `base_features`.
const BASE_FEATURES: &[&str] =
    &["sparse_super", "large_file", "filetype", "resize_inode", "dir_index", "ext_attr"];
const EXT4_FEATURES: &[&str] =
    &["has_journal", "extent", "huge_file", "flex_bg", "metadata_csum", "64bit", "dir_nlink", "extra_isize"];
/// Supported features: those that take no blocks, and those whose blocks the forecast computes.
const KNOWN_FEATURES: &[&str] = &[
    "64bit",
    "dir_index",
    "dir_nlink",
    "ea_inode",
    "encrypt",
    "ext_attr",
    "extent",
    "extra_isize",
    "filetype",
    "flex_bg",
    "has_journal",
    "huge_file",
    "large_dir",
    "large_file",
    "meta_bg",
    "metadata_csum",
    "metadata_csum_seed",
    "resize_inode",
    "sparse_super",
    "sparse_super2",
    "stable_inodes",
    "uninit_bg",
    "verity",
];

/// The filesystem type, `-t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtKind {
    Ext2,
    Ext3,
    Ext4,
}

/// The options that are given explicitly.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// `-b`, in bytes.
    pub block_size: Option<u64>,
    /// `-i`, in bytes per inode.
    pub inode_ratio: Option<u64>,
    /// `-N`
    pub inodes: Option<u64>,
    /// `-I`, in bytes.
    pub inode_size: Option<u64>,
    /// `-m`, in percent.
    pub reserve: Option<f64>,
    /// `-g`, in blocks.
    pub group_blocks: Option<u64>,
    /// `-G`
    pub flex_groups: Option<u64>,
    /// `-J size=`, in MiB.
    pub journal: Option<u64>,
    /// `-j`
    wants_journal: bool,
    /// `-O`, in order: whether the feature is set or cleared, and its name. An empty name means all features.
    features: Vec<(bool, String)>,
    /// `-E num_backup_sb=`
    backups: Option<u32>,
}

/// The effective options, including defaults.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub block_size: u64,
    pub inode_ratio: u64,
    pub inode_size: u64,
    pub reserve: f64,
    /// The number of groups whose structures are stored together with `flex_bg`.
    pub flex_groups: u64,
    pub backups: u32,
    pub features: BTreeSet<String>,
}

impl Resolved {
    pub(super) fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }
}

impl Options {
    /// Parses command-line options.
    pub(super) fn parse(words: &str) -> Option<Options> {
        let mut options = Options::default();
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            let letters = word.strip_prefix('-')?;
            let letter = letters.chars().next().filter(char::is_ascii)?;
            match (letter, &letters[1..]) {
                ('j', "") => options.wants_journal = true,
                ('q' | 'F' | 'v' | 'D', "") => {}
                ('j' | 'q' | 'F' | 'v' | 'D', _) => return None,
                (_, "") => options.set(letter, words.next()?)?,
                (_, value) => options.set(letter, value)?,
            }
        }
        Some(options)
    }

    fn set(&mut self, letter: char, value: &str) -> Option<()> {
        match letter {
            'b' => self.block_size = Some(bytes(value).filter(|size| is_block_size(*size))?),
            'i' => self.inode_ratio = Some(bytes(value)?),
            'N' => self.inodes = Some(number(value)?).filter(|inodes| *inodes != 0),
            'I' => self.inode_size = Some(number(value)?).filter(|size| *size != 0),
            'm' => self.reserve = Some(value.parse().ok()?),
            'g' => self.group_blocks = Some(number(value)?).filter(|blocks| *blocks != 0),
            'G' => self.flex_groups = Some(number(value)?),
            'O' => self.set_features(value)?,
            'J' => self.set_journal(value)?,
            'E' => self.set_extended(value)?,
            // Label, UUID, mount point and error behavior take no blocks.
            'L' | 'U' | 'M' | 'e' => {}
            _ => return None,
        }
        Some(())
    }

    fn set_features(&mut self, value: &str) -> Option<()> {
        for name in value.split(',').filter(|name| !name.is_empty()) {
            if name == "none" {
                self.features.push((false, String::new()));
                continue;
            }
            let is_set = !name.starts_with(['^', '-']);
            let name = match name.trim_start_matches(['^', '-', '+']) {
                "extents" => "extent",
                "gdt_csum" => "uninit_bg",
                "largedir" => "large_dir",
                name => name,
            };
            if !KNOWN_FEATURES.contains(&name) {
                return None;
            }
            self.features.push((is_set, name.to_owned()));
        }
        Some(())
    }

    fn set_journal(&mut self, value: &str) -> Option<()> {
        for part in value.split(',') {
            match part.split_once('=') {
                Some(("size", size)) => self.journal = Some(number(size)?).filter(|size| *size != 0),
                None if part == "v1_superblock" => {}
                _ => return None,
            }
        }
        Some(())
    }

    fn set_extended(&mut self, value: &str) -> Option<()> {
        const WITHOUT_BLOCKS: &[&str] = &[
            "assume_storage_prezeroed",
            "discard",
            "hash_seed",
            "lazy_itable_init",
            "lazy_journal_init",
            "no_copy_xattrs",
            "nodiscard",
            "offset",
            "root_owner",
            "test_fs",
        ];
        // `stride` is not in the list, because it moves structures and can change the extents of a journal. mke2fs uses
        // only the last `-E`.
        self.backups = None;
        for part in value.split(',').filter(|part| !part.is_empty()) {
            let (name, argument) = part.split_once('=').unwrap_or((part, ""));
            if name == "num_backup_sb" {
                self.backups = Some(argument.parse().ok().filter(|backups| *backups <= 2)?);
            } else if !WITHOUT_BLOCKS.contains(&name) {
                return None;
            }
        }
        Some(())
    }

    /// Adds defaults. `kib` is the size of the filesystem, which selects the usage type.
    pub(super) fn resolve(&self, kind: ExtKind, kib: u64) -> Option<Resolved> {
        let (block_size, inode_ratio) = usage_by_size(kib, self.block_size.unwrap_or(1024));
        let block_size = self.block_size.unwrap_or(block_size);
        let features = self.resolve_features(kind);
        let resolved = Resolved {
            block_size,
            inode_ratio: self.inode_ratio.unwrap_or(inode_ratio.max(block_size)),
            inode_size: self.inode_size.unwrap_or(256),
            reserve: self.reserve.unwrap_or(DEFAULT_RESERVE),
            flex_groups: self.flex_groups.unwrap_or(DEFAULT_FLEX_GROUPS),
            backups: self.backups.unwrap_or(DEFAULT_BACKUPS),
            features,
        };
        self.is_accepted(&resolved).then_some(resolved)
    }

    fn resolve_features(&self, kind: ExtKind) -> BTreeSet<String> {
        let more = match kind {
            ExtKind::Ext2 => &[][..],
            ExtKind::Ext3 => &["has_journal"],
            ExtKind::Ext4 => EXT4_FEATURES,
        };
        let mut features: BTreeSet<String> =
            BASE_FEATURES.iter().chain(more).map(|name| (*name).to_owned()).collect();
        for (is_set, name) in &self.features {
            match (is_set, name.as_str()) {
                (_, "") => features.clear(),
                (true, _) => {
                    features.insert(name.clone());
                }
                (false, _) => {
                    features.remove(name);
                }
            }
        }
        if self.wants_journal || self.journal.is_some() {
            features.insert("has_journal".to_owned());
        }
        features
    }

    /// Whether mke2fs accepts the options.
    fn is_accepted(&self, resolved: &Resolved) -> bool {
        let Resolved { block_size, inode_size, inode_ratio, reserve, .. } = resolved;
        let groups_fit = self
            .group_blocks
            .is_none_or(|blocks| blocks.is_multiple_of(8) && (256..=8 * block_size).contains(&blocks));
        let flex_fits = self
            .flex_groups
            .is_none_or(|groups| groups.is_power_of_two() && groups <= 1 << 31 && resolved.has("flex_bg"));
        (128..=*block_size).contains(inode_size)
            && inode_size.is_power_of_two()
            && (1024..=65_536 * 1024).contains(inode_ratio)
            && (0.0..=50.0).contains(reserve)
            && groups_fit
            && flex_fits
            && (!resolved.has("64bit") || resolved.has("extent"))
            && !(resolved.has("meta_bg") && resolved.has("resize_inode"))
            && (!resolved.has("resize_inode") || resolved.has("sparse_super"))
            && (!resolved.has("metadata_csum_seed") || resolved.has("metadata_csum"))
    }
}

/// Whether a block size in bytes is valid.
fn is_block_size(size: u64) -> bool {
    (1024..=65_536).contains(&size) && size.is_power_of_two()
}

/// The block size and the bytes per inode of the usage type that mke2fs selects by size: floppy, small, default, big or
/// huge. mke2fs counts in blocks of the requested size, or of 1 KiB.
fn usage_by_size(kib: u64, block_size: u64) -> (u64, u64) {
    let blocks = kib * 1024 / block_size;
    let mib = (1 << 20) / block_size;
    if blocks < 3 * mib {
        (1024, 8192)
    } else if blocks < 512 * mib {
        (1024, 4096)
    } else if blocks < (4 * mib) << 20 {
        (4096, 16_384)
    } else if blocks < (16 * mib) << 20 {
        (4096, 32_768)
    } else {
        (4096, 65_536)
    }
}

/// Parses a number as strtoul(3) with base 0, but strictly.
fn number(text: &str) -> Option<u64> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(&text[1..], 8).ok(),
        None => text.parse().ok(),
    }
}

/// Parses a number of bytes with an optional unit.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.chars().last()? {
        'k' | 'K' => (&text[..text.len() - 1], 10),
        'm' | 'M' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_options_have_no_forecast() {
        for words in [
            "-C 65536",
            "-O bigalloc",
            "-E resize=10G",
            "-z",
            "4096",
            "-b",
            "-J location=0",
            "-T news",
            "-b x",
            "-b 0",
            "-b 512",
            "-b 3072",
            "-b 128k",
            "-b 0xffffffffffffffff -g 256",
        ] {
            let resolved = Options::parse(words).and_then(|options| options.resolve(ExtKind::Ext4, 1 << 20));
            assert!(resolved.is_none(), "{words}");
        }
    }

    #[test]
    fn options_can_be_joined_with_their_values() {
        let resolved =
            Options::parse("-b2k -O^64bit,^extent -m 0").unwrap().resolve(ExtKind::Ext4, 1 << 20).unwrap();
        assert_eq!((resolved.block_size, resolved.reserve, resolved.has("64bit")), (2048, 0.0, false));
    }
}
