//! From a published file to the bytes that a guest sees.

use crate::tool::{Context, Failure, Invocation, inherit, run, spawn};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

/// How an image is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    Raw,
    Qcow2,
    Vhd,
    Vhdx,
    Vmdk,
    Vdi,
}

impl ImageFormat {
    /// QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            ImageFormat::Raw => "raw",
            ImageFormat::Qcow2 => "qcow2",
            ImageFormat::Vhd => "vpc",
            ImageFormat::Vhdx => "vhdx",
            ImageFormat::Vmdk => "vmdk",
            ImageFormat::Vdi => "vdi",
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ImageFormat::Raw => "raw",
            ImageFormat::Qcow2 => "qcow2",
            ImageFormat::Vhd => "vhd",
            ImageFormat::Vhdx => "vhdx",
            ImageFormat::Vmdk => "vmdk",
            ImageFormat::Vdi => "vdi",
        })
    }
}

/// An image's bytes, and how they were found.
pub struct OpenedImage {
    /// Raw: the image itself, or an unnamed file that it was unpacked to.
    pub file: File,
    pub format: ImageFormat,
    /// Bytes that the guest sees.
    pub size: u64,
}

/// Compressions by their first bytes, and the program that undoes each to standard output.
const COMPRESSIONS: &[(&[u8], &str)] =
    &[(b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")];

/// Opens an image of any published format, also a compressed one, and a GCE archive with `disk.raw` inside. What has to be
/// unpacked goes to unnamed files in `scratch`.
pub fn open(path: &Path, scratch: &Path) -> Result<OpenedImage, Failure> {
    let mut file = File::open(path).context(|| format!("could not open the image `{}`", path.display()))?;
    let failed = |failure: Failure| failure.context(format!("could not unpack `{}`", path.display()));
    // A compressed image of a format of its own is unpacked twice, and a tar in between makes three.
    for _ in 0..3 {
        let start = start(&file).context(|| format!("could not read the image `{}`", path.display()))?;
        if let Some((_, program)) = COMPRESSIONS.iter().find(|(magic, _)| start.starts_with(magic)) {
            file = decompress(&file, program, scratch).map_err(failed)?;
            continue;
        }
        if start.get(257..262) == Some(b"ustar") {
            file = disk_raw(&file, scratch).map_err(failed)?;
            continue;
        }
        break;
    }
    let format = format_of(&file).context(|| format!("could not read the image `{}`", path.display()))?;
    if format != ImageFormat::Raw {
        file = convert(&file, format, scratch).map_err(failed)?;
    }
    let size = size(&file).context(|| format!("could not read the image `{}`", path.display()))?;
    if start(&file).is_ok_and(|start| start.starts_with(b"# Disk DescriptorFile")) {
        return Err(Failure::new(format!("`{}` is only a description of other files", path.display()))
            .help("name an image that stands alone, such as a streamOptimized vmdk"));
    }
    if size == 0 {
        return Err(Failure::new(format!("`{}` is no image: it is empty", path.display())));
    }
    Ok(OpenedImage { file, format, size })
}

fn start(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    let count = file.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Of a device too.
fn size(file: &File) -> std::io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

/// Source: QEMU, docs/interop/qcow2.txt; Virtual Hard Disk Image Format Specification (footer "conectix" in the last 512
/// bytes); [MS-VHDX] 2.2.1; VMware Virtual Disk Format 5.0 ("KDMV"); VirtualBox, VDI header signature at 64.
fn format_of(file: &File) -> std::io::Result<ImageFormat> {
    let start = start(file)?;
    let size = size(file)?;
    let mut footer = [0; 8];
    let footer_is_vhd =
        size >= 512 && file.read_exact_at(&mut footer, size - 512).is_ok() && footer == *b"conectix";
    Ok(match start.as_slice() {
        s if s.starts_with(b"QFI\xfb") => ImageFormat::Qcow2,
        s if s.starts_with(b"vhdxfile") => ImageFormat::Vhdx,
        s if s.starts_with(b"KDMV") => ImageFormat::Vmdk,
        s if s.starts_with(b"conectix") || footer_is_vhd => ImageFormat::Vhd,
        s if s.get(64..68) == Some(&[0x7f, 0x10, 0xda, 0xbe]) => ImageFormat::Vdi,
        _ => ImageFormat::Raw,
    })
}

fn scratch_file(scratch: &Path) -> Result<File, Failure> {
    tempfile::tempfile_in(scratch)
        .context(|| format!("could not create a temporary file in `{}`", scratch.display()))
}

/// Streams through the program, leaving holes where there are zeros.
fn decompress(file: &File, program: &str, scratch: &Path) -> Result<File, Failure> {
    let out = scratch_file(scratch)?;
    let mut input = file.try_clone().context(|| "could not read the image".to_owned())?;
    std::io::Seek::rewind(&mut input).context(|| "could not read the image".to_owned())?;
    let invocation = Invocation::new(program).arg("-dc");
    let mut child = spawn(&invocation, Stdio::from(input), Stdio::piped(), Stdio::piped())?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let said = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let copied = copy_sparse(&mut stdout, &out);
    drop(stdout);
    let status = child.wait().context(|| format!("could not wait for `{program}`"))?;
    copied.context(|| format!("could not write to `{}`", scratch.display()))?;
    if !status.success() {
        let said = said.join().unwrap_or_default();
        return Err(Failure::new(format!("`{program}` failed")).detail(format!("it said: {said}")));
    }
    Ok(out)
}

/// Blocks of zeros are left out.
fn copy_sparse(from: &mut dyn Read, to: &File) -> std::io::Result<()> {
    const BLOCK: usize = 64 << 10;
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return to.set_len(at);
        }
        if buffer[..filled].iter().any(|byte| *byte != 0) {
            to.write_all_at(&buffer[..filled], at)?;
        }
        at += filled as u64;
    }
}

/// Google's form: a tar with `disk.raw`. Source: Compute Engine, "Manually import boot disks", requirements.
fn disk_raw(file: &File, scratch: &Path) -> Result<File, Failure> {
    let context = || "could not read the archive".to_owned();
    let mut input = file.try_clone().context(context)?;
    std::io::Seek::rewind(&mut input).context(context)?;
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().context(context)? {
        let mut entry = entry.context(context)?;
        if entry.path().is_ok_and(|path| path.ends_with("disk.raw")) {
            let out = scratch_file(scratch)?;
            copy_sparse(&mut entry, &out)
                .context(|| format!("could not write to `{}`", scratch.display()))?;
            return Ok(out);
        }
    }
    Err(Failure::new("the archive holds no `disk.raw`")
        .help("name the image itself, or an archive with `disk.raw` in it"))
}

fn convert(file: &File, format: ImageFormat, scratch: &Path) -> Result<File, Failure> {
    let out = scratch_file(scratch)?;
    let (from, to) = (inherit(file)?, inherit(&out)?);
    let path = |number| format!("/proc/self/fd/{number}");
    // `-n` keeps the unnamed file, which has to have its size already.
    let info =
        Invocation::new("qemu-img").args(["info", "--output=json", "-f", format.qemu_name(), &path(from)]);
    let info: serde_json::Value = serde_json::from_slice(&run(&info)?.stdout).unwrap_or_default();
    let size = info["virtual-size"]
        .as_u64()
        .ok_or_else(|| Failure::new("qemu-img does not say how large the disk is"))?;
    // An image that leads to other files of the host is none that can be published, and may be meant to read them.
    if info.get("backing-filename").is_some() || info["format-specific"]["data"].get("data-file").is_some() {
        return Err(Failure::new("the image is only a part: it refers to another file")
            .help("make one that stands alone: `qemu-img convert`"));
    }
    out.set_len(size).context(|| format!("could not write to `{}`", scratch.display()))?;
    let convert = Invocation::new("qemu-img")
        .args(["convert", "-n", "--target-is-zero", "-f", format.qemu_name(), "-O", "raw"])
        .args([path(from), path(to)]);
    run(&convert)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_and_the_size_stays() {
        use std::os::unix::fs::MetadataExt;
        let mut bytes = vec![0; 4 << 20];
        bytes[1 << 20] = 7;
        let out = tempfile::tempfile().unwrap();
        copy_sparse(&mut bytes.as_slice(), &out).unwrap();
        let metadata = out.metadata().unwrap();
        assert_eq!(metadata.len(), 4 << 20);
        assert!(metadata.blocks() * 512 <= 128 << 10);
        let mut byte = [0];
        out.read_exact_at(&mut byte, 1 << 20).unwrap();
        assert_eq!(byte, [7]);
    }
}
