//! A NoCloud seed: a disk with settings for cloud-init. Source: cloud-init, "NoCloud": a filesystem labelled CIDATA
//! with `user-data` and `meta-data`.

use crate::boot::write_fat_medium;
use crate::host::Failure;
use std::path::Path;

/// Writes the image of a seed that sets the instance's host name.
pub(super) fn write_seed(path: &Path, host: &str) -> Result<(), Failure> {
    let meta = format!("instance-id: iid-{host}\nlocal-hostname: {host}\n");
    write_fat_medium(path, "CIDATA", &[("meta-data", meta), ("user-data", "#cloud-config\n".to_owned())])
}
