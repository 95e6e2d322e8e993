//! Predicted capacity, compared with mkfs.xfs.

use super::super::superblock::Superblock;
use super::super::{WriteError, fill};
use super::support::{Builder, FILL, MIB, STANDARD, fresh, window};
use crate::disk::tree::ROOT;
use crate::plan::capacity::xfs::{Shape, capacity};

fn shape(superblock: &Superblock, size: u64) -> Shape {
    Shape {
        size,
        block_size: 1 << superblock.block_log,
        sector_size: 1 << superblock.sector_log,
        inode_size: 1 << superblock.inode_log,
        log_blocks: superblock.log_blocks,
        groups: superblock.groups,
        finobt: superblock.has(super::super::format::ro_compat::FINOBT),
        reflink: superblock.has(super::super::format::ro_compat::REFLINK),
    }
}

#[test]
fn free_blocks_match_mkfs() {
    for size in [300, 301, 555, 1024, 4097, 10_240, 123_457, 1 << 20].map(|size| size * MIB + 12_345) {
        for options in [
            STANDARD,
            "-s size=4096 -i size=1024 -m reflink=0 -l size=64m",
            "-m finobt=0,inobtcount=0 -b size=1024 -l size=70m",
            "-d agcount=3 -l size=64m",
        ] {
            let image = fresh(size, options);
            let superblock = Superblock::read(&window(image.as_file())).unwrap();
            assert_eq!(shape(&superblock, size).free_blocks(), superblock.free_blocks, "{size} {options}");
        }
    }
}

#[test]
fn exactly_the_predicted_capacity_fits() {
    let size = 300 * MIB;
    let options = "-m reflink=1,finobt=1 -l size=64m";
    let room = capacity(&shape(&Superblock::read(&window(fresh(size, options).as_file())).unwrap(), size));
    // The map of the file and that of the root need no blocks.
    for (length, fits) in [(room, true), (room + 1, false)] {
        let mut builder = Builder::new();
        builder.file(ROOT, b"file", vec![7; length as usize]);
        if fits {
            super::support::check(&builder.scan, size, options);
        } else {
            let image = fresh(size, options);
            let full = fill(image.as_file(), &builder.scan, &FILL);
            assert!(
                matches!(full, Err(WriteError::Full { have, need }) if have == room && need == room + 4096)
            );
        }
    }
}
