//! Errors about content that cannot be written are returned before anything is written.

use super::sample::{one_file, sample};
use super::{EPOCH, MIB, WriteError, filled, mkfs};
use crate::disk::Fill;
use crate::disk::btrfs::fill;
use crate::disk::scan::scan;
use uuid::Uuid;

fn fill_error(options: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let result = filled(300 * MIB, options, &scan(directory.path(), EPOCH).unwrap());
    result.unwrap_err().to_string()
}

#[test]
fn unsupported_features_are_rejected() {
    for (options, expected) in [
        ("-R quota", "cannot fill a btrfs with the feature quota"),
        ("-O ^skinny-metadata", "cannot fill a btrfs with the feature skinny-metadata turned off"),
    ] {
        let message = fill_error(options);
        assert_eq!(message, expected);
    }
}

#[test]
fn filled_filesystems_are_rejected() {
    let (_directory, scan) = sample(1);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    let error = fill(image.as_file(), &scan, &Fill { epoch: EPOCH, seed: Uuid::nil() }).unwrap_err();
    assert!(matches!(error, WriteError::NotEmpty(_)), "{error}");
}

#[test]
fn too_much_content_is_rejected() {
    let (_directory, scan) = one_file(120 * MIB);
    let image = mkfs(120 * MIB, "");
    let before = std::fs::read(image.path()).unwrap();
    let error = fill(image.as_file(), &scan, &Fill { epoch: EPOCH, seed: Uuid::nil() }).unwrap_err();
    let WriteError::Full { need, have } = error else { panic!("{error}") };
    assert_eq!(have, 120 * MIB);
    assert!(before == std::fs::read(image.path()).unwrap(), "the image was modified");
    // The reported size is sufficient.
    filled(need.next_multiple_of(MIB), "", &scan).unwrap();
}

#[test]
fn attributes_and_names_larger_than_a_node_are_rejected() {
    let (_directory, mut scan) = sample(1);
    let result = filled(300 * MIB, "-O ^extref", &scan);
    assert!(matches!(result, Err(WriteError::Node { .. })), "500 names do not fit without extref");
    scan.tree.nodes[0].attributes.insert(b"user.huge".to_vec(), vec![0; 17_000]);
    let Err(error) = filled(300 * MIB, "", &scan) else { panic!("the filesystem was written") };
    assert!(error.to_string().starts_with("the attribute `user.huge` of `"), "{error}");
}
