//! Argument vectors of the programs that make filesystems.

use super::model::Filesystem;
use crate::template::{Bytes, FilesystemType};
use uuid::Uuid;

/// Stands for the image or device file in [`Filesystem::mkfs`].
pub const DEVICE: &str = "{device}";
/// Stands for the folder whose content goes into the filesystem.
pub const TREE: &str = "{tree}";

/// What decides a filesystem.
pub struct Request<'a> {
    pub kind: FilesystemType,
    pub id: Uuid,
    pub hash_seed: Uuid,
    pub label: Option<&'a str>,
    /// The template's `options`: extra arguments for the program, separated by white space.
    pub options: &'a str,
    pub offset: Bytes,
    pub size: Bytes,
    /// GRUB has to read it.
    pub for_grub: bool,
}

/// ext4 features that GRUB 2.06 cannot read, and that newer mke2fs turn on by default.
const UNREADABLE_BY_GRUB: &str = "^metadata_csum_seed,^orphan_file";

pub fn filesystem(request: &Request) -> Filesystem {
    let label = request.label.map(str::to_owned);
    let (uuid, mkfs) = match request.kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => {
            (request.id.to_string(), mke2fs(request))
        }
        FilesystemType::Vfat => {
            let id = volume_id(request.id);
            (format!("{:04X}-{:04X}", id >> 16, id & 0xffff), mkfs_vfat(request, id))
        }
        FilesystemType::Swap => (request.id.to_string(), mkswap(request)),
        FilesystemType::Btrfs => (request.id.to_string(), labelled("mkfs.btrfs", "-U", "-L", request)),
        FilesystemType::Xfs => {
            let mut argv = labelled("mkfs.xfs", "-m", "-L", request);
            argv[2] = format!("uuid={}", request.id);
            (request.id.to_string(), argv)
        }
    };
    Filesystem { kind: request.kind, uuid, label, mkfs }
}

/// vfat has 32 bits of identity, and 0 means none.
fn volume_id(id: Uuid) -> u32 {
    (id.as_u128() >> 96) as u32 | 1
}

/// Fills the partition inside the image: no file of its own, no copy.
fn mke2fs(request: &Request) -> Vec<String> {
    let mut features = Vec::new();
    if request.for_grub && request.kind == FilesystemType::Ext4 {
        features.push(UNREADABLE_BY_GRUB.to_owned());
    }
    // The image is a new sparse file: what was not written is zero, so neither journal nor inode tables need to be
    // zeroed, here or in the guest.
    let mut extended = vec![
        format!("offset={}", request.offset.0),
        format!("hash_seed={}", request.hash_seed),
        "root_owner=0:0".to_owned(),
        "assume_storage_prezeroed=1".to_owned(),
    ];
    // mke2fs takes the last -O and the last -E only: the template's are joined with ours.
    let mut others = Vec::new();
    let mut words = request.options.split_whitespace();
    while let Some(word) = words.next() {
        let (list, glued) = match word.as_bytes() {
            [b'-', b'O', ..] => (&mut features, &word[2..]),
            [b'-', b'E', ..] => (&mut extended, &word[2..]),
            _ => {
                others.push(word.to_owned());
                continue;
            }
        };
        let value = if glued.is_empty() { words.next() } else { Some(glued) };
        list.extend(value.map(str::to_owned));
    }
    let mut argv: Vec<String> = ["mke2fs", "-q", "-F", "-t"].map(str::to_owned).into();
    argv.push(request.kind.to_string());
    argv.extend(["-U".to_owned(), request.id.to_string()]);
    if let Some(label) = request.label {
        argv.extend(["-L".to_owned(), label.to_owned()]);
    }
    if !features.is_empty() {
        argv.extend(["-O".to_owned(), features.join(",")]);
    }
    argv.extend(["-E".to_owned(), extended.join(",")]);
    argv.extend(others);
    argv.extend(["-d", TREE, DEVICE].map(str::to_owned));
    argv.push(format!("{}k", request.size.0 / Bytes::KIB));
    argv
}

/// On a sparse file of the partition's size: with `--offset` mkfs.vfat 4.2 miscounts.
fn mkfs_vfat(request: &Request, id: u32) -> Vec<String> {
    let mut argv: Vec<String> = ["mkfs.vfat", "--invariant", "-i"].map(str::to_owned).into();
    argv.push(format!("{id:08x}"));
    if let Some(label) = request.label {
        argv.extend(["-n".to_owned(), label.to_owned()]);
    }
    argv.extend(request.options.split_whitespace().map(str::to_owned));
    argv.push(DEVICE.to_owned());
    argv
}

fn mkswap(request: &Request) -> Vec<String> {
    labelled("mkswap", "-U", "-L", request)
}

fn labelled(program: &str, id: &str, label: &str, request: &Request) -> Vec<String> {
    let mut argv = vec![program.to_owned(), id.to_owned(), request.id.to_string()];
    if let Some(text) = request.label {
        argv.extend([label.to_owned(), text.to_owned()]);
    }
    argv.extend(request.options.split_whitespace().map(str::to_owned));
    argv.push(DEVICE.to_owned());
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: FilesystemType, options: &str) -> Request<'_> {
        Request {
            kind,
            id: Uuid::from_u128(0x1234_5678 << 96),
            hash_seed: Uuid::from_u128(7),
            label: Some("L"),
            options,
            offset: Bytes::mib(1),
            size: Bytes::mib(64),
            for_grub: true,
        }
    }

    #[test]
    fn features_of_the_template_join_ours() {
        let made = filesystem(&request(FilesystemType::Ext4, "-b 4096 -O ^64bit -Estride=2"));
        assert_eq!(
            made.mkfs.join(" "),
            "mke2fs -q -F -t ext4 -U 12345678-0000-0000-0000-000000000000 -L L \
             -O ^metadata_csum_seed,^orphan_file,^64bit \
             -E offset=1048576,hash_seed=00000000-0000-0000-0000-000000000007,root_owner=0:0,\
             assume_storage_prezeroed=1,stride=2 -b 4096 -d {tree} {device} 65536k"
        );
    }

    #[test]
    fn vfat_has_a_short_identity() {
        let made = filesystem(&request(FilesystemType::Vfat, "-s 1"));
        assert_eq!(made.uuid, "1234-5679");
        assert_eq!(made.mkfs.join(" "), "mkfs.vfat --invariant -i 12345679 -n L -s 1 {device}");
    }
}
