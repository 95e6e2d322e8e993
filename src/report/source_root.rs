//! Paths as code scanning services expect them: relative to the root of the repository, independent of the current
//! directory and of the name with which the file was checked.

use std::path::{Component, Path, PathBuf};

/// The directory that reported paths are relative to.
pub struct SourceRoot {
    root: PathBuf,
    /// The directory that relative names start from.
    current: PathBuf,
    /// Resolves the symbolic links in a directory.
    resolve: fn(&Path) -> Option<PathBuf>,
}

/// The path of a file in a report.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::report) enum ReportedPath {
    /// Relative to the root, without `.` and `..`.
    BelowRoot(String),
    /// Absolute, because the file is outside of the root.
    Elsewhere(String),
    /// Not a file: standard input without a name.
    Unnamed(String),
}

impl SourceRoot {
    /// `root` and `current` are absolute.
    pub fn new(root: PathBuf, current: PathBuf, resolve: fn(&Path) -> Option<PathBuf>) -> SourceRoot {
        SourceRoot { root, current, resolve }
    }

    pub(in crate::report) fn root(&self) -> String {
        self.root.to_string_lossy().into_owned()
    }

    pub(in crate::report) fn locate(&self, name: &str) -> ReportedPath {
        if name.starts_with('<') {
            return ReportedPath::Unnamed(name.to_owned());
        }
        let path = normalize(&self.current.join(name));
        let below = |path: &Path| {
            let relative = path.strip_prefix(&self.root).ok()?;
            Some(ReportedPath::BelowRoot(relative.to_string_lossy().into_owned()))
        };
        let resolved = || {
            let directory = (self.resolve)(path.parent()?)?;
            below(&directory.join(path.file_name()?))
        };
        below(&path)
            .or_else(resolved)
            .unwrap_or_else(|| ReportedPath::Elsewhere(path.to_string_lossy().into_owned()))
    }

    /// The path for an annotation, relative to the root if possible.
    pub(in crate::report) fn annotated(&self, name: &str) -> String {
        match self.locate(name) {
            ReportedPath::BelowRoot(path) | ReportedPath::Elsewhere(path) | ReportedPath::Unnamed(path) => {
                path
            }
        }
    }
}

/// Removes `.` and `..` from a path. Symbolic links are not followed.
fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolves `/link` to `/srv/r`.
    fn resolve(path: &Path) -> Option<PathBuf> {
        path.strip_prefix("/link").ok().map(|rest| Path::new("/srv/r").join(rest))
    }

    #[test]
    fn paths_are_relative_to_root() {
        let root = SourceRoot::new("/srv/r".into(), "/srv/r/sub/deep".into(), resolve);
        let below = |path: &str| ReportedPath::BelowRoot(path.to_owned());
        assert_eq!(root.locate("t.json"), below("sub/deep/t.json"));
        assert_eq!(root.locate("./t.json"), below("sub/deep/t.json"));
        assert_eq!(root.locate("../x/.././t.json"), below("sub/t.json"));
        assert_eq!(root.locate("/srv/r/t.json"), below("t.json"));
        assert_eq!(root.locate("/link/sub/t.json"), below("sub/t.json"));
        assert_eq!(root.locate("../../../t.json"), ReportedPath::Elsewhere("/srv/t.json".to_owned()));
        assert_eq!(root.locate("/srv/r2/t.json"), ReportedPath::Elsewhere("/srv/r2/t.json".to_owned()));
        assert_eq!(root.locate("<stdin>"), ReportedPath::Unnamed("<stdin>".to_owned()));
    }
}
