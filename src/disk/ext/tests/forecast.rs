//! The predicted layout of an empty filesystem matches mke2fs.

use super::*;

fn check_forecast(kind: ExtKind, size: u64, options: &str) {
    let directory = TempDir::new().unwrap();
    let image = directory.path().join("image");
    let (path, kib) = (image.to_str().unwrap(), format!("{}k", size / 1024));
    let name = match kind {
        ExtKind::Ext2 => "ext2",
        ExtKind::Ext3 => "ext3",
        ExtKind::Ext4 => "ext4",
    };
    let mut arguments = vec!["-q", "-F", "-t", name, "-E", "assume_storage_prezeroed=1"];
    arguments.extend(options.split_whitespace());
    arguments.extend([path, &kib]);
    let made = run("mke2fs", &arguments, &[]);
    let forecast = ExtRequest { kind, size, options }.forecast();
    if !made.status.success() {
        return assert_eq!(forecast, None, "{name} {size} {options}");
    }
    let file = File::open(&image).unwrap();
    let window = Window { file: &file, offset: 0, size };
    let ext = Ext::open(&window).unwrap();
    let Some(Capacity { block_size, free_blocks, reserved, inodes }) = forecast else {
        panic!("{name} {size} {options}: no prediction");
    };
    assert_eq!(
        (block_size, free_blocks * block_size),
        (ext.superblock.block_size, ext.free_bytes()),
        "{name} {size} {options}"
    );
    let printed = String::from_utf8(run("dumpe2fs", &["-h", path], &[]).stdout).unwrap();
    let field = |name: &str| -> u64 {
        let line = printed.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert_eq!(inodes, field("Inode count:"), "{name} {size} {options}");
    assert_eq!(reserved, field("Reserved block count:") * block_size, "{name} {size} {options}");
}

#[test]
fn predictions_match_mke2fs() {
    const MIB: u64 = 1 << 20;
    for kind in [ExtKind::Ext2, ExtKind::Ext3, ExtKind::Ext4] {
        for mib in [1, 2, 3, 7, 16, 64, 129, 300, 511, 512, 1000, 2048, 3000, 9000, 40_000] {
            check_forecast(kind, mib * MIB + 3072, "");
        }
    }
    for options in [
        "-b 4096 -m 1",
        "-b 1024 -i 8192",
        "-N 100000",
        "-I 128 -J size=8",
        "-O ^64bit,^resize_inode",
        "-O ^flex_bg -g 8192",
        "-O meta_bg,^resize_inode",
        "-O ^has_journal -m 0",
        "-O sparse_super2 -G 64",
        "-i 1048576 -O ^extent,^64bit",
    ] {
        for mib in [33, 700, 5000] {
            check_forecast(ExtKind::Ext4, mib * MIB, options);
        }
    }
}
