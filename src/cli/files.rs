//! Reads and replaces files: templates, files that templates reference, bundle definitions.

use crate::host::{remove_on_interrupt, unregister_file};
use crate::lint::{FileFact, FileUse, Files, Program, referenced_files};
use crate::plan::bundle::{self, Definition, Definitions};
use crate::template::{SourceText, Template};
use anyhow::{Context, bail};
use rustix::fs::{Gid, Uid};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Reads a template. `name` is the display name for standard input.
pub(super) fn read_source(path: &Path, name: Option<&str>) -> anyhow::Result<SourceText> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("could not read standard input")?;
        (name.unwrap_or("<stdin>").to_owned(), bytes)
    } else {
        let bytes = std::fs::read(path)
            .with_context(|| format!("could not read the template `{}`", path.display()))?;
        (path.display().to_string(), bytes)
    };
    Ok(SourceText::from_bytes(name, bytes))
}

/// Replaces a file atomically and preserves its owner and permissions. Symbolic links are followed.
pub(super) fn replace_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let replace = || -> std::io::Result<()> {
        let path = std::fs::canonicalize(path)?;
        // Renaming only needs a writable directory, but a read-only file must not be replaced.
        rustix::fs::access(&path, rustix::fs::Access::WRITE_OK)?;
        let old = std::fs::metadata(&path)?;
        if !old.is_file() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        // Without tempfile's text, which has the name of the temporary file.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|error| error.kind())?;
        let temporary = file.path().to_owned();
        remove_on_interrupt(&temporary);
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(old.permissions())?;
        // Only root may change the owner; for other users the new file is their own.
        let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
        let _ = rustix::fs::fchown(file.as_file(), Some(owner), Some(group));
        file.as_file().sync_all()?;
        let placed = file.persist(&path);
        unregister_file(&temporary);
        placed?;
        Ok(())
    };
    replace().with_context(|| format!("could not write `{}`", path.display()))
}

/// Files larger than this are not read as public keys.
const MAX_KEY_SIZE: u64 = 64 << 10;

/// The directory of a template, where relative paths in it start; `None` for the working directory.
pub(super) fn directory_of(source: &SourceText) -> Option<&Path> {
    Path::new(source.name()).parent().filter(|directory| directory.is_dir())
}

/// The facts about files on the host that lint rules need. Relative paths start at `directory`.
pub(super) fn file_facts_in(template: &Template, directory: Option<&Path>) -> Files {
    referenced_files(template)
        .into_iter()
        .map(|(path, wanted)| {
            let place = directory.map_or_else(|| PathBuf::from(&path), |directory| directory.join(&path));
            let fact = file_fact(&place, wanted);
            (path, fact)
        })
        .collect()
}

fn file_fact(path: &Path, wanted: FileUse) -> FileFact {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return FileFact::Missing,
        Err(error) => return FileFact::Unreadable(error.to_string()),
    };
    if !metadata.is_file() {
        return FileFact::Unreadable("it is not a regular file".to_owned());
    }
    match wanted {
        FileUse::Program => FileFact::Program(program_facts(path, &metadata)),
        FileUse::PublicKey if metadata.len() > MAX_KEY_SIZE => {
            FileFact::Unreadable("it is too large for a public key".to_owned())
        }
        FileUse::PublicKey => match std::fs::read_to_string(path) {
            Ok(text) => FileFact::Text(text),
            Err(error) => FileFact::Unreadable(error.to_string()),
        },
    }
}

fn program_facts(path: &Path, metadata: &std::fs::Metadata) -> Program {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    // A non-empty file that cannot be read may still be a valid program.
    let startable = read == 0 && metadata.len() > 0 || start.starts_with(b"#!") || start == *b"\x7fELF";
    let open = |metadata: &std::fs::Metadata| metadata.mode() & 0o002 != 0;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // In a directory with the sticky bit, such as /tmp, only the owner can replace a file.
    let replaceable = std::fs::metadata(directory)
        .is_ok_and(|directory| open(&directory) && directory.mode() & 0o1000 == 0);
    Program {
        executable: rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok(),
        startable,
        writable_by_all: open(metadata) || replaceable,
    }
}

/// The built-in bundle definitions, extended by those in a directory.
pub(super) fn definitions(directory: Option<&Path>) -> anyhow::Result<Definitions> {
    definitions_in(directory, bundle::builtin())
}

pub(super) fn definitions_in(
    directory: Option<&Path>,
    mut definitions: Definitions,
) -> anyhow::Result<Definitions> {
    let Some(directory) = directory else { return Ok(definitions) };
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("could not read the bundle definitions in `{}`", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read the bundle definition `{}`", path.display()))?;
        match Definition::parse(name, &text) {
            Ok(definition) => definitions.insert(name, definition),
            Err(fault) => bail!("{}: {fault}", path.display()),
        }
    }
    Ok(definitions)
}
