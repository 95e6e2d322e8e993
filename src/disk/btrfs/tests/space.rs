//! The predicted capacity is a lower bound and close to the real one.

use super::sample::one_file;
use super::{MIB, WriteError, check, filled, mkfs};
use crate::plan::capacity::btrfs::{Profiles, capacity, minimum_size};

#[test]
fn predicted_capacity_fits() {
    let mixed = Profiles { mixed: true, metadata_copies: 1, node_size: 4096, ..Profiles::default() };
    for (options, size, profiles) in [
        ("", 109, Profiles::default()),
        ("", 200, Profiles::default()),
        ("-m single", 45, Profiles { metadata_copies: 1, ..Profiles::default() }),
        ("-m single", 130, Profiles { metadata_copies: 1, ..Profiles::default() }),
        ("-d dup", 229, Profiles { data_copies: 2, ..Profiles::default() }),
        ("-m single -d dup", 165, Profiles { metadata_copies: 1, data_copies: 2, ..Profiles::default() }),
        ("--mixed", 16, mixed),
        ("--mixed -m dup -d dup", 157, Profiles { metadata_copies: 2, data_copies: 2, ..mixed }),
    ] {
        let bytes = capacity(size * MIB, profiles);
        let image = filled(size * MIB, options, &one_file(bytes).1);
        check(image.unwrap_or_else(|error| panic!("{options}: {error}")).path(), options);
        let more = one_file(bytes + 16 * MIB).1;
        let Err(WriteError::Full { .. }) = filled(size * MIB, options, &more) else {
            panic!("{options}: {bytes} bytes are far too few")
        };
    }
}

#[test]
fn minimum_sizes_match_mkfs() {
    let single = Profiles { metadata_copies: 1, ..Profiles::default() };
    for (options, profiles) in [
        ("", Profiles::default()),
        ("-m single", single),
        ("-d dup", Profiles { data_copies: 2, ..Profiles::default() }),
        ("-m single -d dup", Profiles { data_copies: 2, ..single }),
        ("--mixed", Profiles { mixed: true, node_size: 4096, ..single }),
    ] {
        let size = minimum_size(profiles);
        mkfs(size, options);
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(size - 4096).unwrap();
        let output =
            crate::disk::judge("mkfs.btrfs").args(options.split_whitespace()).arg(image.path()).output();
        assert!(!output.unwrap().status.success(), "{options}");
    }
}
