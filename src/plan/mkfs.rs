//! Argument vectors of the mkfs programs.

use super::capacity::{fat, is_mixed};
use super::model::Filesystem;
use crate::plan::layout::SectorSize;
use crate::template::{Bytes, FilesystemType};
use uuid::Uuid;

/// Placeholder for the image or device file in [`Filesystem::mkfs`].
pub const DEVICE: &str = "{device}";
/// Placeholder for the directory with the content of the filesystem.
pub const TREE: &str = "{tree}";

/// Where a filesystem is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MkfsTarget {
    /// Directly in the disk image, at this offset in bytes, for programs that support it.
    At(Bytes),
    /// In a separate file, which is then copied to the disk and encrypted if needed.
    OwnFile,
}

/// The parameters of a filesystem.
pub(super) struct MkfsRequest<'a> {
    pub kind: FilesystemType,
    pub id: Uuid,
    pub hash_seed: Uuid,
    pub label: Option<&'a str>,
    /// `options` of the template: additional arguments for the program, separated by white space.
    pub options: &'a str,
    pub place: MkfsTarget,
    pub size: Bytes,
    /// The sector size of the disk.
    pub sector: SectorSize,
}

pub(super) fn filesystem(request: &MkfsRequest) -> Filesystem {
    let (uuid, mkfs) = match request.kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => {
            (request.id.to_string(), mke2fs(request))
        }
        FilesystemType::Vfat => {
            let id = volume_id(request.id);
            (format!("{:04X}-{:04X}", id >> 16, id & 0xffff), mkfs_vfat(request, id))
        }
        FilesystemType::Swap => (request.id.to_string(), mkswap(request)),
        FilesystemType::Btrfs => (request.id.to_string(), mkfs_btrfs(request)),
        FilesystemType::Xfs => (request.id.to_string(), mkfs_xfs(request)),
    };
    Filesystem {
        kind: request.kind,
        uuid: Some(uuid),
        label: request.label.map(str::to_owned),
        keep: false,
        mkfs,
    }
}

/// The vfat volume ID has 32 bits. 0 means that there is none.
fn volume_id(id: Uuid) -> u32 {
    (id.as_u128() >> 96) as u32 | 1
}

/// Creates the filesystem directly in the image, without a separate file and a copy. Features, block size and inode
/// ratio that the arguments do not set come from `disk::ext::MKE2FS_CONFIG`.
fn mke2fs(request: &MkfsRequest) -> Vec<String> {
    let mut features = Vec::new();
    let mut extended = Vec::new();
    if let MkfsTarget::At(offset) = request.place {
        extended.push(format!("offset={}", offset.0));
    }
    extended.push(format!("hash_seed={}", request.hash_seed));
    extended.push("root_owner=0:0".to_owned());
    // Unwritten blocks of a new sparse file are zero, so mke2fs and the guest need not zero the journal and the inode
    // tables. The target of a separate file may contain old data.
    if request.place != MkfsTarget::OwnFile {
        extended.push("assume_storage_prezeroed=1".to_owned());
    }
    // mke2fs uses only the last -O and the last -E, so those of the template are merged with ours.
    let mut others = Vec::new();
    for (letter, value) in words(request.options) {
        match letter.as_str() {
            "-O" => features.extend(value),
            "-E" => extended.extend(value),
            _ => others.extend(std::iter::once(letter).chain(value)),
        }
    }
    let mut argv: Vec<String> = ["mke2fs", "-q", "-F", "-t"].map(str::to_owned).into();
    argv.push(request.kind.to_string());
    argv.extend(["-U".to_owned(), request.id.to_string()]);
    argv.extend(label("-L", request));
    if !features.is_empty() {
        argv.extend(["-O".to_owned(), features.join(",")]);
    }
    argv.extend(["-E".to_owned(), extended.join(",")]);
    // The kernel cannot mount a filesystem whose blocks are smaller than the sectors of the disk.
    if request.sector == SectorSize::B4096 && !sets(request.options, "-b") {
        argv.extend(["-b".to_owned(), request.sector.bytes().to_string()]);
    }
    argv.extend(others);
    argv.extend(["-d", TREE, DEVICE].map(str::to_owned));
    argv.push(format!("{}k", request.size.0 / Bytes::KIB));
    argv
}

/// Uses a sparse file of the partition's size, because mkfs.vfat 4.2 computes wrong sizes with `--offset`.
fn mkfs_vfat(request: &MkfsRequest, id: u32) -> Vec<String> {
    let mut argv: Vec<String> = ["mkfs.vfat", "--invariant", "-i"].map(str::to_owned).into();
    argv.push(format!("{id:08x}"));
    // Firmware and the kernel reject FAT with sectors smaller than those of the disk.
    if request.sector == SectorSize::B4096 && !sets(request.options, "-S") {
        argv.extend(["-S".to_owned(), request.sector.bytes().to_string()]);
    }
    argv.extend(label("-n", request));
    for (option, value) in vfat_defaults(request) {
        if !sets(request.options, option) {
            argv.extend([option.to_owned(), value]);
        }
    }
    finish(argv, request)
}

/// The defaults of mkfs.vfat 4.2 for this size: number of FATs, FAT width and sectors per cluster.
fn vfat_defaults(request: &MkfsRequest) -> Vec<(&'static str, String)> {
    let sector = request.sector.bytes();
    let options = format!("-S {sector} {}", request.options);
    let made = fat::FatRequest { size: request.size.0, options: &options }.forecast();
    let mut defaults = vec![("-f", "2".to_owned())];
    // With another sector size or unknown options, mkfs.vfat selects the rest.
    if let Some(made) = made.filter(|_| !sets(request.options, "-S")) {
        defaults.push(("-F", made.width.bits().to_string()));
        defaults.push(("-s", (made.cluster_size / sector).to_string()));
    }
    defaults
}

fn mkswap(request: &MkfsRequest) -> Vec<String> {
    let mut argv = vec!["mkswap".to_owned(), "-U".to_owned(), request.id.to_string()];
    if !sets(request.options, "-p") {
        argv.extend(["-p", "4096"].map(str::to_owned));
    }
    argv.extend(label("-L", request));
    finish(argv, request)
}

/// Creates an empty filesystem, which ister fills.
fn mkfs_btrfs(request: &MkfsRequest) -> Vec<String> {
    let mut argv: Vec<String> = ["mkfs.btrfs", "-q", "-f", "-U"].map(str::to_owned).into();
    argv.push(request.id.to_string());
    argv.extend(label("-L", request));
    // Fixes defaults that depend on the version of mkfs.btrfs or on the size.
    for (option, value) in [("-m", "dup"), ("-d", "single"), ("-n", "16384"), ("-s", "4096")] {
        let mixed = is_mixed(request.options) && matches!(option, "-m" | "-d" | "-n");
        if !mixed && !sets(request.options, option) {
            argv.extend([option.to_owned(), value.to_owned()]);
        }
    }
    finish(argv, request)
}

/// Defaults of XFS that differ between versions of mkfs.xfs. The template's options override them. The log size is the
/// default of version 6.1 for all but very large filesystems. Source: mkfs.xfs(8).
const XFS: &[(&str, &[&str])] = &[
    ("-m", &["crc=1", "finobt=1", "rmapbt=0", "reflink=1", "bigtime=1", "inobtcount=1"]),
    ("-i", &["sparse=1", "nrext64=0"]),
    ("-l", &["internal=1", "size=64m"]),
    ("-d", &["agcount=4"]),
];

/// Creates an empty filesystem, which ister fills.
fn mkfs_xfs(request: &MkfsRequest) -> Vec<String> {
    let mut argv: Vec<String> = ["mkfs.xfs", "-q", "-f"].map(str::to_owned).into();
    argv.extend(label("-L", request));
    let mut own = Vec::new();
    let mut others = Vec::new();
    for (letter, value) in words(request.options) {
        match value {
            Some(value) if XFS.iter().any(|(option, _)| *option == letter) => own.push((letter, value)),
            value => others.extend(std::iter::once(letter).chain(value)),
        }
    }
    for (option, defaults) in XFS {
        // mkfs.xfs rejects duplicate settings.
        let mut settings: Vec<String> =
            own.iter().filter(|(letter, _)| letter == option).map(|(_, value)| value.clone()).collect();
        let given = settings.join(",");
        let is_given = |setting: &str| {
            let name = setting.split('=').next();
            given.split(',').any(|other| other.split('=').next() == name)
        };
        // `agsize` and `agcount` both set the size of allocation groups.
        let geometry = *option == "-d" && given.split(',').any(|other| other.starts_with("agsize"));
        settings.extend(defaults.iter().filter(|s| !is_given(s) && !geometry).map(|s| (*s).to_owned()));
        if *option == "-m" {
            settings.push(format!("uuid={}", request.id));
        }
        if !settings.is_empty() {
            argv.extend([(*option).to_owned(), settings.join(",")]);
        }
    }
    if request.sector == SectorSize::B4096 && !sets(request.options, "-s") {
        argv.extend(["-s".to_owned(), "size=4096".to_owned()]);
    }
    argv.extend(others);
    argv.push(DEVICE.to_owned());
    argv
}

/// Splits options from their values, also if they are written together (`-Ox`). Lint has already rejected words that
/// are not options.
fn words(options: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for word in options.split_whitespace() {
        if !word.starts_with('-') {
            match found.last_mut() {
                Some((_, value @ None)) => *value = Some(word.to_owned()),
                _ => found.push((word.to_owned(), None)),
            }
        } else if word.len() > 2 && matches!(word.as_bytes()[1], b'O' | b'E' | b'm' | b'i' | b'l' | b'd') {
            found.push((word[..2].to_owned(), Some(word[2..].to_owned())));
        } else {
            found.push((word.to_owned(), None));
        }
    }
    found
}

/// Whether the template's options contain an option.
fn sets(options: &str, option: &str) -> bool {
    options.split_whitespace().any(|word| word.starts_with(option))
}

fn label(option: &str, request: &MkfsRequest) -> impl Iterator<Item = String> {
    request.label.into_iter().flat_map(move |text| [option.to_owned(), text.to_owned()])
}

fn finish(mut argv: Vec<String>, request: &MkfsRequest) -> Vec<String> {
    argv.extend(request.options.split_whitespace().map(str::to_owned));
    argv.push(DEVICE.to_owned());
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: FilesystemType, options: &str) -> MkfsRequest<'_> {
        MkfsRequest {
            kind,
            id: Uuid::from_u128(0x1234_5678 << 96),
            hash_seed: Uuid::from_u128(7),
            label: Some("L"),
            options,
            place: MkfsTarget::At(Bytes::mib(1)),
            size: Bytes::mib(64),
            sector: SectorSize::B512,
        }
    }

    #[test]
    fn features_of_the_template_are_merged() {
        let made = filesystem(&request(FilesystemType::Ext4, "-b 4096 -O ^64bit -Estride=2"));
        assert_eq!(
            made.mkfs.join(" "),
            "mke2fs -q -F -t ext4 -U 12345678-0000-0000-0000-000000000000 -L L \
             -O ^64bit \
             -E offset=1048576,hash_seed=00000000-0000-0000-0000-000000000007,root_owner=0:0,\
             assume_storage_prezeroed=1,stride=2 -b 4096 -d {tree} {device} 65536k"
        );
    }

    #[test]
    fn vfat_has_a_32_bit_id() {
        let made = filesystem(&request(FilesystemType::Vfat, "-s 4"));
        assert_eq!(made.uuid.as_deref(), Some("1234-5679"));
        assert_eq!(made.mkfs.join(" "), "mkfs.vfat --invariant -i 12345679 -n L -f 2 -F 16 -s 4 {device}");
    }

    #[test]
    fn encrypted_filesystems_use_a_separate_file() {
        let made =
            filesystem(&MkfsRequest { place: MkfsTarget::OwnFile, ..request(FilesystemType::Ext2, "") });
        let line = made.mkfs.join(" ");
        assert!(!line.contains("offset=") && !line.contains("prezeroed"), "{line}");
    }

    #[test]
    fn settings_of_xfs_are_merged_without_duplicates() {
        let made = filesystem(&request(FilesystemType::Xfs, "-m bigtime=0 -b size=4096 -dagsize=1g"));
        assert_eq!(
            made.mkfs.join(" "),
            "mkfs.xfs -q -f -L L -m bigtime=0,crc=1,finobt=1,rmapbt=0,reflink=1,inobtcount=1,\
             uuid=12345678-0000-0000-0000-000000000000 -i sparse=1,nrext64=0 -l internal=1,size=64m -d agsize=1g \
             -b size=4096 {device}"
        );
    }

    #[test]
    fn btrfs_options_of_the_template_override_defaults() {
        let made = filesystem(&request(FilesystemType::Btrfs, "-m single -O ^no-holes"));
        assert_eq!(
            made.mkfs.join(" "),
            "mkfs.btrfs -q -f -U 12345678-0000-0000-0000-000000000000 -L L -d single -n 16384 -s 4096 -m single \
             -O ^no-holes {device}"
        );
        // mkfs.btrfs rejects mixed block groups with 16,384-byte nodes.
        for options in ["-M", "-O mixed-bg"] {
            let made = filesystem(&request(FilesystemType::Btrfs, options));
            assert!(
                made.mkfs.join(" ").ends_with(&format!(" -L L -s 4096 {options} {{device}}")),
                "{options}"
            );
        }
    }

    #[test]
    fn sector_size_of_4096_bytes_is_passed_on() {
        let line =
            |kind| filesystem(&MkfsRequest { sector: SectorSize::B4096, ..request(kind, "") }).mkfs.join(" ");
        assert!(line(FilesystemType::Vfat).contains(" -S 4096 "));
        assert!(line(FilesystemType::Ext4).contains(" -b 4096 "));
        assert!(line(FilesystemType::Xfs).contains(" -s size=4096 "));
    }
}
