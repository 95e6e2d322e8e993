//! Puts the packages of a directory into a tar archive that the guest gets as a disk.

use super::DIRECTORY;
use crate::host::{Context, Failure, Invocation, run, scratch_directory};
use crate::image::sha256;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A tar archive in an unnamed file.
pub(crate) struct Archive {
    pub file: File,
}

impl Archive {
    /// Creates an archive of Debian packages or of rpm packages.
    ///
    /// # Errors
    /// The directory contains neither kind, or both.
    pub(crate) fn of_directory(directory: &Path) -> Result<Archive, Failure> {
        let context = || format!("could not read the packages in `{}`", directory.display());
        let mut packages: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(directory).context(context)? {
            packages.push(entry.context(context)?.path());
        }
        packages.sort();
        let with = |ending: &str| -> Vec<&Path> {
            let all = packages.iter().map(PathBuf::as_path);
            all.filter(|path| path.extension().is_some_and(|e| e == ending)).collect()
        };
        let (debs, rpms) = (with("deb"), with("rpm"));
        let file = tempfile::tempfile_in(scratch_directory()).context(context)?;
        let mut tar = tar::Builder::new(file);
        let mut text = |name: &str, text: &str, mode: u32| -> Result<(), Failure> {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(mode);
            tar.append_data(&mut header, name, text.as_bytes()).context(context)
        };
        text("update.sh", include_str!("guest.sh"), 0o755)?;
        match (&debs[..], &rpms[..]) {
            ([_, ..], []) => {
                text("sources.list", &format!("deb [trusted=yes] copy:{DIRECTORY} ./\n"), 0o644)?;
                let entries: Vec<String> =
                    debs.iter().map(|path| index_entry(path)).collect::<Result<_, _>>()?;
                text("Packages", &entries.join("\n"), 0o644)?;
            }
            ([], [_, ..]) => {
                let index = tempfile::tempdir_in(scratch_directory()).context(context)?;
                run(&Invocation::new("createrepo_c")
                    .arg("--quiet")
                    .arg("--outputdir")
                    .arg(index.path())
                    .arg(directory))?;
                tar.append_dir_all("repodata", index.path().join("repodata")).context(context)?;
            }
            _ => {
                return Err(Failure::new(context())
                    .detail(format!("found {} .deb and {} .rpm files", debs.len(), rpms.len()))
                    .help("--update takes a directory with newer packages, either .deb or .rpm"));
            }
        }
        for path in debs.iter().chain(&rpms) {
            tar.append_path_with_name(path, path.file_name().unwrap_or_default()).context(context)?;
        }
        let file = tar.into_inner().context(context)?;
        Ok(Archive { file })
    }
}

/// The entry of a package in apt's index. Source: deb822(5); Debian Policy, "Debian repository format", Packages.
fn index_entry(path: &Path) -> Result<String, Failure> {
    let control = run(&Invocation::new("dpkg-deb").arg("--field").arg(path))?;
    let size = path.metadata().context(|| format!("could not read `{}`", path.display()))?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!(
        "{}\nFilename: ./{name}\nSize: {size}\nSHA256: {}\n",
        String::from_utf8_lossy(&control.stdout).trim_end(),
        sha256(path)?
    ))
}
