//! A NoCloud seed: a disk with settings for cloud-init. Source: cloud-init, "NoCloud": a filesystem labelled CIDATA
//! with `user-data` and `meta-data`.

use crate::disk::{Window, fat, scan};
use crate::host::{Context, Failure, Invocation, run};
use std::fs::File;
use std::path::Path;

/// Writes the image of a seed that sets the instance's host name.
pub(super) fn write_seed(path: &Path, host: &str) -> Result<(), Failure> {
    const KIB: &str = "1024";
    let context = || format!("could not write the seed `{}`", path.display());
    let _ = std::fs::remove_file(path);
    run(&Invocation::new("mkfs.vfat").args(["-n", "CIDATA", "-C"]).arg(path).arg(KIB))?;
    let directory = tempfile::tempdir().context(context)?;
    let meta = format!("instance-id: iid-{host}\nlocal-hostname: {host}\n");
    for (name, text) in [("meta-data", meta.as_str()), ("user-data", "#cloud-config\n")] {
        std::fs::write(directory.path().join(name), text).context(context)?;
    }
    let image = File::options().read(true).write(true).open(path).context(context)?;
    let size = image.metadata().context(context)?.len();
    let held = scan(directory.path(), i64::MAX).map_err(|error| Failure::new(context()).caused_by(&error))?;
    fat::fill(&Window { file: &image, offset: 0, size }, &held, true)
        .map_err(|error| Failure::new(context()).caused_by(&error))
}
