//! A NoCloud seed: settings that cloud-init finds on a disk of its own. Source: cloud-init, "NoCloud": a filesystem called
//! CIDATA with `user-data` and `meta-data`.

use crate::tool::{Context, Failure, Invocation, run};
use std::path::Path;

/// Writes the image of a seed that gives the instance a host name.
pub fn write_seed(path: &Path, host: &str) -> Result<(), Failure> {
    const KIB: &str = "1024";
    let context = || format!("could not write the seed `{}`", path.display());
    let _ = std::fs::remove_file(path);
    run(&Invocation::new("mkfs.vfat").args(["-n", "CIDATA", "-C"]).arg(path).arg(KIB))?;
    let folder = tempfile::tempdir().context(context)?;
    let meta = format!("instance-id: iid-{host}\nlocal-hostname: {host}\n");
    for (name, text) in [("meta-data", meta.as_str()), ("user-data", "#cloud-config\n")] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).context(context)?;
        run(&Invocation::new("mcopy").arg("-i").arg(path).arg(&file).arg(format!("::{name}")))?;
    }
    Ok(())
}
