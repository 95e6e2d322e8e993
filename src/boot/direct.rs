//! Starts the kernel of an image's own boot loader entry without the boot loader. This serves hardware that the
//! firmware on this host cannot read from, such as a disk on VMware's PVSCSI under OVMF. Source: The Boot Loader
//! Specification (UAPI.1), "Type #1 Boot Loader Specification Entries".

use super::machine::DirectKernel;
use crate::disk::{Body, Opened, Tree, Window, read_file};
use crate::host::{Context, Failure, inherited_name};
use crate::image::format;
use crate::plan::ESP;
use crate::plan::bls::{self, LoaderEntry};
use crate::verify::table_of;
use std::fs::File;
use std::io::Write;
use std::path::Path;

const ENTRIES: &str = "/loader/entries";
const SETTINGS: &str = "/loader/loader.conf";
/// Larger than any kernel or initramfs.
const MOST: u64 = 1 << 30;

/// Kernel and initramfs in unnamed files.
pub struct OwnKernel {
    kernel: File,
    initrd: Option<File>,
    command_line: String,
}

impl OwnKernel {
    /// Reads the kernel of the default boot loader entry.
    ///
    /// # Errors
    /// The image has no ESP with such an entry.
    pub fn of_image(image: &Path, scratch: &Path) -> Result<OwnKernel, Failure> {
        let opened = format::open(image, scratch)?;
        let context = || format!("could not read `{}`", image.display());
        let (sector, table) = table_of(&opened).context(context)?;
        let esp = table.valid().and_then(|(_, entries)| entries.iter().find(|entry| entry.type_guid == ESP));
        let esp = esp.ok_or_else(|| none(image, "it has no EFI system partition"))?;
        let offset = esp.first.0.saturating_mul(sector.bytes());
        let end = esp.last.0.saturating_add(1).saturating_mul(sector.bytes()).min(opened.size);
        let window = Window { file: &opened.file, offset, size: end.saturating_sub(offset) };
        let tree = Opened::open(&window)
            .and_then(|opened| opened.tree())
            .map_err(|error| Failure::new(context()).caused_by(&error))?;
        let entry = entry(&window, &tree)
            .ok_or_else(|| none(image, "its EFI system partition contains no boot loader entry"))?;
        let read = |path: &str| -> Result<Vec<u8>, Failure> {
            let id = tree.find(path).ok_or_else(|| none(image, &format!("`{path}` does not exist")))?;
            read_file(&window, &tree.nodes[id], MOST)
                .map_err(|error| Failure::new(context()).detail(path).caused_by(&error))
        };
        let unnamed = |bytes: &[u8]| {
            let written =
                tempfile::tempfile_in(scratch).and_then(|mut file| file.write_all(bytes).map(|()| file));
            written.context(|| format!("could not write a file in `{}`", scratch.display()))
        };
        let kernel = unnamed(&read(entry.linux.as_deref().unwrap_or_default())?)?;
        // The kernel accepts several concatenated cpio archives.
        let mut initrds = Vec::new();
        for path in &entry.initrds {
            initrds.extend(read(path)?);
            if initrds.len() as u64 > MOST {
                return Err(none(image, "its initramfs is too large"));
            }
        }
        let initrd = if initrds.is_empty() { None } else { Some(unnamed(&initrds)?) };
        Ok(OwnKernel { kernel, initrd, command_line: entry.options })
    }

    /// The kernel with the names that QEMU inherits the files under.
    pub fn direct(&self) -> DirectKernel {
        DirectKernel {
            kernel: inherited_name(&self.kernel).into(),
            initrd: self.initrd.as_ref().map(|initrd| inherited_name(initrd).into()),
            command_line: self.command_line.clone(),
        }
    }
}

fn none(image: &Path, why: &str) -> Failure {
    Failure::new(format!("`{}` has no kernel that can be started without its boot loader", image.display()))
        .detail(why)
}

/// The default entry among those that start a kernel.
fn entry(window: &Window, tree: &Tree) -> Option<LoaderEntry> {
    let text = |path: &str| {
        let bytes = read_file(window, &tree.nodes[tree.find(path)?], MOST).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let Body::Directory(names) = &tree.nodes[tree.find(ENTRIES)?].body else { return None };
    let names = names.keys().map(|name| String::from_utf8_lossy(name).into_owned());
    let mut entries: Vec<LoaderEntry> = names
        .filter(|name| name.to_ascii_lowercase().ends_with(".conf"))
        .filter_map(|name| Some(LoaderEntry::parse(&name, &text(&format!("{ENTRIES}/{name}"))?)))
        .collect();
    entries.sort_by(bls::order);
    let has_kernel =
        |index: usize| entries[index].linux.as_ref().is_some_and(|path| tree.find(path).is_some());
    let chosen = bls::chosen(&entries, &text(SETTINGS).unwrap_or_default(), has_kernel)?;
    Some(entries.swap_remove(chosen))
}
