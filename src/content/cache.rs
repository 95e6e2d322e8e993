//! The content cache: installed trees, stored under a hash of the request they were built from.
//!
//! An entry consists of two files, `<key>.tar` and `<key>.json`. The JSON file makes the entry valid and contains the
//! BLAKE3 hash of the tar file, which is verified whenever the tree is unpacked. Both files are written atomically, so
//! an interrupted build leaves no partial entry, and an entry can be removed while it is being read.

use crate::host::{AtomicFile, Context, Durability, Failure};
use crate::template::Bytes;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

pub struct Cache {
    directory: PathBuf,
}

/// Description of a cache entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Metadata {
    /// Human-readable title: "apt bookworm, 231 packages".
    pub title: String,
    /// Time of creation in seconds since 1970.
    pub created: u64,
    /// Size of the packed tree in bytes.
    pub size: u64,
    /// BLAKE3 hash of the packed tree.
    pub hash: String,
    /// Latest timestamp in the tree, in seconds since 1970.
    pub epoch: u64,
    /// Names and versions of the installed packages.
    pub packages: Vec<(String, String)>,
    /// The request that the tree was built from.
    pub wanted: ContentKey,
}

/// The part of a content request that is known when planning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContentKey {
    pub suite: String,
    pub packages: Vec<String>,
    /// sources.list(5) lines.
    pub sources: Vec<String>,
}

pub struct CacheEntry {
    pub key: String,
    pub metadata: Metadata,
    pub file: File,
}

/// A cache entry being written. Holds the lock of the entry; other builds that need the same entry wait for it.
pub struct PendingEntry {
    pub draft: AtomicFile,
    key: String,
    description: PathBuf,
    _lock: File,
}

/// Returns the paths of an entry's files relative to the cache directory: the packed tree and its description.
pub fn cache_names(key: &str) -> (String, String) {
    (format!("content/{key}.tar"), format!("content/{key}.json"))
}

impl Cache {
    /// Opens the cache in a directory, by default `$XDG_CACHE_HOME/ister` or `~/.cache/ister`.
    pub fn open(directory: Option<&Path>) -> Result<Cache, Failure> {
        let directory = match directory {
            Some(directory) => std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()),
            None => default_directory()?,
        };
        for part in ["content", "work"] {
            let path = directory.join(part);
            std::fs::create_dir_all(&path)
                .context(|| format!("could not create the cache directory `{}`", path.display()))?;
        }
        Ok(Cache { directory })
    }

    /// Opens an existing cache without creating anything.
    pub fn existing(directory: Option<&Path>) -> Option<Cache> {
        let directory =
            directory.map_or_else(default_directory, |directory| Ok(directory.to_owned())).ok()?;
        directory.join("content").is_dir().then_some(Cache { directory })
    }

    /// Finds the newest entry with this suite and these packages, and from these sources if they are given.
    pub fn find_requested(
        &self,
        suite: &str,
        packages: &[String],
        sources: Option<&[String]>,
    ) -> Option<CacheEntry> {
        let entries = self.list().ok()?;
        let fits = |wanted: &ContentKey| {
            wanted.suite == suite
                && wanted.packages == packages
                && sources.is_none_or(|sources| wanted.sources == sources)
        };
        let (key, _) = entries.iter().rfind(|(_, metadata)| fits(&metadata.wanted))?;
        self.find(key)
    }

    /// Returns an empty directory, the mount point of the workspace in the build's mount namespace.
    pub fn workspace(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Returns the default swupd state directory, shared by all trees.
    pub fn swupd_state(&self) -> PathBuf {
        self.directory.join("swupd")
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, key: &str, suffix: &str) -> PathBuf {
        self.directory.join("content").join(format!("{key}.{suffix}"))
    }

    /// Returns the entry if it is complete.
    pub fn find(&self, key: &str) -> Option<CacheEntry> {
        let text = std::fs::read_to_string(self.path(key, "json")).ok()?;
        let metadata: Metadata = serde_json::from_str(&text).ok()?;
        let file = File::open(self.path(key, "tar")).ok()?;
        let size = file.metadata().ok()?.len();
        (size == metadata.size).then(|| CacheEntry { key: key.to_owned(), metadata, file })
    }

    /// Locks an entry for writing. If another process holds the lock, calls `waiting` and waits for it; the caller must
    /// then check whether the entry exists now.
    pub fn fill(&self, key: &str, waiting: impl FnOnce()) -> Result<PendingEntry, Failure> {
        use rustix::fs::{FlockOperation, flock};
        let path = self.path(key, "lock");
        let context = || format!("could not lock `{}`", path.display());
        let lock = File::options().create(true).truncate(false).write(true).open(&path).context(context)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&lock, FlockOperation::LockExclusive).context(context)?;
        }
        Ok(PendingEntry {
            draft: AtomicFile::begin(&self.path(key, "tar"))?,
            key: key.to_owned(),
            description: self.path(key, "json"),
            _lock: lock,
        })
    }

    /// Removes a damaged or outdated entry.
    pub fn forget(&self, key: &str) {
        // The description is removed first: without it, the remaining files are not an entry.
        for suffix in ["json", "tar", "lock"] {
            let _ = std::fs::remove_file(self.path(key, suffix));
        }
    }

    /// Lists all complete entries, oldest first.
    pub fn list(&self) -> Result<Vec<(String, Metadata)>, Failure> {
        let directory = self.directory.join("content");
        let context = || format!("could not read `{}`", directory.display());
        let mut entries = Vec::new();
        for file in std::fs::read_dir(&directory).context(context)? {
            let name = file.context(context)?.file_name();
            if let Some(key) = name.to_str().and_then(|name| name.strip_suffix(".json"))
                && let Some(entry) = self.find(key)
            {
                entries.push((entry.key, entry.metadata));
            }
        }
        entries.sort_by(|a, b| (a.1.created, &a.0).cmp(&(b.1.created, &b.0)));
        Ok(entries)
    }

    /// Removes the entries selected by `remove`, and all leftover files that are not part of a complete entry and not
    /// in use. Returns the number of removed entries and of freed bytes.
    pub fn prune(&self, remove: impl Fn(&Metadata) -> bool) -> Result<(usize, Bytes), Failure> {
        use rustix::fs::{FlockOperation, flock};
        let mut removed = 0;
        let mut freed = 0;
        for (key, metadata) in self.list()? {
            if remove(&metadata) {
                self.forget(&key);
                removed += 1;
                freed += metadata.size;
            }
        }
        let directory = self.directory.join("content");
        let context = || format!("could not read `{}`", directory.display());
        for file in std::fs::read_dir(&directory).context(context)? {
            let path = file.context(context)?.path();
            // Also matches named temporary files, `.KEY.tar.ister-…`.
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let key = name.trim_start_matches('.').split('.').next().unwrap_or_default();
            if self.find(key).is_some() {
                continue;
            }
            let in_use = File::open(self.path(key, "lock"))
                .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err());
            if !in_use {
                freed += path.metadata().map_or(0, |m| m.len());
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok((removed, Bytes(freed)))
    }
}

impl PendingEntry {
    /// Makes the entry valid.
    pub fn finish(self, metadata: &Metadata) -> Result<(), Failure> {
        self.draft.publish(Durability::Checked)?;
        let mut description = AtomicFile::begin(&self.description)?;
        let text = serde_json::to_string(metadata).expect("metadata is plain data");
        std::io::Write::write_all(&mut description.file, text.as_bytes())
            .context(|| format!("could not write the description of the cache entry `{}`", self.key))?;
        description.publish(Durability::Checked)
    }
}

fn default_directory() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("ister"))
        .ok_or_else(|| {
            Failure::new(
                "could not determine the directory of the content cache: neither XDG_CACHE_HOME nor HOME is set",
            )
            .help("specify one with --cache-dir")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn metadata(size: u64) -> Metadata {
        Metadata {
            title: "apt bookworm, 0 packages".into(),
            created: 7,
            size,
            hash: "00".into(),
            epoch: 1,
            packages: vec![],
            wanted: ContentKey { suite: "bookworm".into(), ..ContentKey::default() },
        }
    }

    #[test]
    fn incomplete_entries_are_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path())).unwrap();
        let mut filling = cache.fill("k", || ()).unwrap();
        filling.draft.file.write_all(b"tree").unwrap();
        assert!(cache.find("k").is_none());
        filling.finish(&metadata(4)).unwrap();
        assert_eq!(cache.find("k").unwrap().metadata, metadata(4));
        std::fs::write(directory.path().join("content/k.tar"), "cut").unwrap();
        assert!(cache.find("k").is_none());
    }

    #[test]
    fn pruning_removes_entries_and_leftover_files() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path())).unwrap();
        let mut filling = cache.fill("k", || ()).unwrap();
        filling.draft.file.write_all(b"tree").unwrap();
        filling.finish(&metadata(4)).unwrap();
        std::fs::write(directory.path().join("content/lost.tar"), "12").unwrap();
        assert_eq!(cache.list().unwrap().len(), 1);
        assert_eq!(cache.prune(|_| true).unwrap(), (1, Bytes(6)));
        assert_eq!(std::fs::read_dir(directory.path().join("content")).unwrap().count(), 0);
    }

    #[test]
    fn pruning_skips_locked_entries() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path())).unwrap();
        let filling = cache.fill("k", || ()).unwrap();
        cache.prune(|_| true).unwrap();
        assert!(directory.path().join("content/k.lock").exists());
        drop(filling);
        cache.prune(|_| true).unwrap();
        assert!(!directory.path().join("content/k.lock").exists());
    }
}
