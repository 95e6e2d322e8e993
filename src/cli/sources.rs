//! Finds the templates for the paths on the command line: files, directories, standard input.

use super::files::read_source;
use crate::host::plain;
use crate::template::SourceText;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The templates that were found, in command line order, and sorted within directories.
pub(super) struct Sources {
    pub files: Vec<PathBuf>,
    /// Error messages for directories that could not be read.
    pub faults: Vec<String>,
    /// Directories that contain no template.
    pub without_templates: Vec<PathBuf>,
}

/// How to treat files that are given explicitly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// As templates, regardless of their contents.
    IsATemplate,
    /// Skip files that do not look like templates, because pre-commit hooks pass all changed JSON files.
    MayBeOther,
}

impl Named {
    pub(super) fn new(templates_only: bool) -> Named {
        if templates_only { Named::MayBeOther } else { Named::IsATemplate }
    }
}

/// Directories with third-party or generated files, which are skipped.
const SKIPPED_DIRECTORIES: &[&str] = &["node_modules", "target"];

impl Sources {
    /// Finds the templates. `named` selects how files that are given explicitly are treated.
    pub(super) fn find(paths: &[PathBuf], named: Named, wanted: Wanted) -> Sources {
        let mut sources = Sources { files: Vec::new(), faults: Vec::new(), without_templates: Vec::new() };
        let mut seen = BTreeSet::new();
        for path in paths {
            if path.is_dir() {
                let found = sources.walk(path, wanted);
                if found.is_empty() {
                    sources.without_templates.push(path.clone());
                }
                for file in found {
                    if seen.insert(file.clone()) {
                        sources.files.push(file);
                    }
                }
            } else if (named == Named::IsATemplate || wanted.includes(path)) && seen.insert(path.clone()) {
                sources.files.push(path.clone());
            }
        }
        sources
    }

    /// Every `*.json` file below a directory that looks like a template, sorted. Hidden directories and symbolic
    /// links to directories are skipped.
    fn walk(&mut self, directory: &Path, wanted: Wanted) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![directory.to_owned()];
        while let Some(directory) = todo.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.faults.push(format!(
                        "could not read the directory `{}`: {}",
                        directory.display(),
                        plain(&error)
                    ));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let Ok(kind) = entry.file_type() else { continue };
                // Symbolic links to files count as files. FIFOs, devices and dangling links are skipped.
                let is_file = || std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file());
                if name.starts_with('.') {
                    continue;
                }
                if kind.is_dir() {
                    if !SKIPPED_DIRECTORIES.contains(&name.as_ref()) {
                        todo.push(entry.path());
                    }
                } else if name.ends_with(".json") && is_file() && wanted.includes(&entry.path()) {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }

    /// Reads and processes every file, in parallel. The results are in the order of the files, with `Err` for
    /// unreadable ones.
    pub(super) fn each<T: Send>(
        &self,
        stdin_name: Option<&str>,
        treat: impl Fn(SourceText) -> T + Sync,
    ) -> Vec<anyhow::Result<T>> {
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<anyhow::Result<T>>>> =
            self.files.iter().map(|_| Mutex::new(None)).collect();
        let work = || {
            while let Some((path, slot)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                self.files.get(index).zip(results.get(index))
            } {
                let result = read_source(path, stdin_name).map(&treat);
                *slot.lock().unwrap_or_else(|e| e.into_inner()) = Some(result);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(self.files.len());
        std::thread::scope(|scope| {
            // This thread works too, so a single file needs no additional thread.
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        results.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(|e| e.into_inner())).collect()
    }
}

/// The kinds of files that are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Templates,
    /// Also the definitions of image types, `type.json`.
    TemplatesAndTypes,
}

impl Wanted {
    /// Whether a JSON file looks like one of these kinds. Unreadable files do, so that they are reported.
    fn includes(self, path: &Path) -> bool {
        let Ok(bytes) = std::fs::read(path) else { return true };
        let text = String::from_utf8_lossy(&bytes);
        let is_type =
            || path.file_name().is_some_and(|name| name == "type.json") && text.contains("\"boots\"");
        looks_like_a_template(&text) || self == Wanted::TemplatesAndTypes && is_type()
    }
}

/// Whether a text contains keys that only templates have.
fn looks_like_a_template(text: &str) -> bool {
    let has = |key: &str| text.contains(key);
    // The JSON Schema contains these keys, too, but is not a template.
    let keys =
        ["\"PartitionLayout\"", "\"FilesystemTypes\"", "\"PartitionMountPoints\"", "\"DestinationType\""];
    keys.iter().filter(|key| has(key)).count() >= 2 && !has("json-schema.org")
}
