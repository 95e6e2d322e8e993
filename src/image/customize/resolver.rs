//! Makes name resolution work for hooks in a chroot: /etc/resolv.conf temporarily has the content of the host's file.

use crate::content::Tree;
use crate::host::{Context, Failure};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

const FILE: &str = "/etc/resolv.conf";

/// The host's resolver configuration in a tree. Changes that a hook makes to the file are preserved.
pub(super) struct Resolver<'t> {
    tree: &'t Path,
    lent: Option<Lent>,
}

struct Lent {
    text: String,
    before: Before,
}

enum Before {
    Nothing,
    File {
        bytes: Vec<u8>,
        mode: u32,
    },
    /// The link target is in /run, which is temporary.
    Link,
}

impl<'t> Resolver<'t> {
    /// Installs the configuration. /run must be a temporary filesystem.
    pub(super) fn lend(tree: &'t Path) -> Result<Resolver<'t>, Failure> {
        let own = Tree::open(tree)?;
        // The host has no resolver.
        let text = std::fs::read_to_string(FILE).unwrap_or_default();
        if text.trim().is_empty() || !tree.join("etc").is_dir() {
            return Ok(Resolver { tree, lent: None });
        }
        let before = match tree.join("etc/resolv.conf").symlink_metadata() {
            Err(_) => {
                own.write(FILE, &text, 0o644)?;
                Some(Before::Nothing)
            }
            Ok(metadata) if metadata.is_file() => {
                let bytes = own.read_bytes(FILE)?.unwrap_or_default();
                own.write(FILE, &text, metadata.mode() & 0o7777)?;
                Some(Before::File { bytes, mode: metadata.mode() & 0o7777 })
            }
            Ok(metadata) if metadata.is_symlink() => {
                let target = std::fs::read_link(tree.join("etc/resolv.conf"))
                    .context(|| format!("could not read {FILE} of the image"))?;
                in_run(&target).map(|path| fill(tree, &path, &text)).transpose()?.map(|()| Before::Link)
            }
            Ok(_) => None,
        };
        Ok(Resolver { tree, lent: before.map(|before| Lent { text, before }) })
    }

    pub(super) fn take_back(self) -> Result<(), Failure> {
        let Some(Lent { text, before }) = self.lent else { return Ok(()) };
        let own = Tree::open(self.tree)?;
        let is_ours = self.tree.join("etc/resolv.conf").symlink_metadata().is_ok_and(|m| m.is_file())
            && own.read(FILE)?.as_deref() == Some(&text);
        match before {
            Before::Nothing if is_ours => own.remove(FILE),
            Before::File { bytes, mode } if is_ours => own.write_bytes(FILE, &bytes, mode),
            _ => Ok(()),
        }
    }
}

/// Resolves the target of a link in /etc, if it is in /run.
fn in_run(target: &Path) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new("/etc").join(target).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path.starts_with("run").then_some(path)
}

fn fill(tree: &Path, path: &Path, text: &str) -> Result<(), Failure> {
    let path = tree.join(path);
    let context = || "could not copy the resolver configuration of the host into the image".to_owned();
    let directory = path.parent().unwrap_or(tree);
    std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, text)).context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn links_into_run_are_recognized() {
        let check = |target: &str, expect: Option<&str>| {
            assert_eq!(in_run(Path::new(target)).as_deref(), expect.map(Path::new), "{target}");
        };
        check("../run/systemd/resolve/stub-resolv.conf", Some("run/systemd/resolve/stub-resolv.conf"));
        check("/run/NetworkManager/resolv.conf", Some("run/NetworkManager/resolv.conf"));
        check("../usr/lib/systemd/resolv.conf", None);
        check("../../../run/x", Some("run/x"));
        check("../run/../etc/passwd", None);
    }

    #[test]
    fn the_file_is_restored_unless_a_hook_changed_it() {
        let Ok(host) = fs::read_to_string(FILE) else { return };
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path();
        let file = tree.join("etc/resolv.conf");
        fs::create_dir(tree.join("etc")).unwrap();
        let lend = || Resolver::lend(tree).unwrap();
        let lent = lend();
        assert_eq!(fs::read_to_string(&file).unwrap(), host);
        lent.take_back().unwrap();
        assert!(!file.exists());
        fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
        let lent = lend();
        assert_eq!(fs::read_to_string(&file).unwrap(), host);
        lent.take_back().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "nameserver 192.0.2.1\n");
        let lent = lend();
        fs::write(&file, "nameserver 192.0.2.2\n").unwrap();
        lent.take_back().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "nameserver 192.0.2.2\n");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", &file).unwrap();
        let lent = lend();
        assert_eq!(fs::read_to_string(&file).unwrap(), host);
        fs::remove_dir_all(tree.join("run")).unwrap();
        lent.take_back().unwrap();
        assert!(file.symlink_metadata().unwrap().is_symlink());
    }
}
