//! Paths as code scanning services expect them: relative to the root of the repository, from whatever directory and
//! under whatever name the file was checked.

use std::path::{Component, Path, PathBuf};

/// The directory that reported paths are relative to.
pub struct SourceRoot {
    root: PathBuf,
    /// What a relative name starts at.
    current: PathBuf,
    /// The directory without symbolic links, where it has any.
    resolve: fn(&Path) -> Option<PathBuf>,
}

/// A file's path, for a report.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::report) enum ReportedPath {
    /// Relative to the root, without `.` and `..`.
    BelowRoot(String),
    /// Absolute: no path that starts at the root leads to it.
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

    /// The name for an annotation: relative to the root where there is such a path.
    pub(in crate::report) fn annotated(&self, name: &str) -> String {
        match self.locate(name) {
            ReportedPath::BelowRoot(path) | ReportedPath::Elsewhere(path) | ReportedPath::Unnamed(path) => {
                path
            }
        }
    }
}

/// `path` without `.` and `..`; symbolic links are not followed.
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

    /// `/link` leads to `/srv/r`.
    fn resolve(path: &Path) -> Option<PathBuf> {
        path.strip_prefix("/link").ok().map(|rest| Path::new("/srv/r").join(rest))
    }

    #[test]
    fn paths_start_at_the_repository() {
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
