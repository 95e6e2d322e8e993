//! Converts images of other formats to raw bytes with qemu-img, after checks that qemu-img does not do.

use super::archive_limits::check_space;
use super::image_format::ImageFormat;
use super::open::size;
use super::self_contained::{self, Reference};
use super::truncation::minimum_end;
use super::unpack::scratch_file;
use super::unreadable::Unreadable;
use crate::host::{Context, Failure, Invocation, Jail, inherited_name, jailed, run_any_status, run_jailed};
use std::fs::File;
use std::path::Path;

pub(super) fn convert(file: &File, format: ImageFormat, scratch: &Path) -> Result<File, Unreadable> {
    let out = scratch_file(scratch)?;
    let (from, to) = (inherited_name(file), inherited_name(&out));
    // qemu-img must not open an image that refers to other files.
    check_self_contained(file, format)?;
    let size = virtual_size(file, format)?;
    check_complete(file, format)?;
    // Several entries of its table may refer to the same data.
    if check_space(&out, size).is_err() {
        check_space(&out, data_size(file, format)?)?;
    }
    // `-n` writes to the existing unnamed file, which must already have its size.
    out.set_len(size).context(|| format!("could not write to `{}`", scratch.display()))?;
    let convert = ["convert", "-n", "--target-is-zero", "-f", format.qemu_name(), "-O", "raw", &from, &to];
    qemu_img(&convert, &[file, &out])?;
    Ok(out)
}

/// Runs qemu-img in a sandbox with access only to the inherited files.
fn qemu_img(args: &[&str], files: &[&File]) -> Result<Vec<u8>, Unreadable> {
    let invocation = Invocation::new("qemu-img").args(args);
    let invocation = files.iter().try_fold(invocation, |invocation, file| invocation.inheriting(file))?;
    Ok(run_jailed(&invocation, Jail::Nothing)?.stdout)
}

/// Checks that an image is complete. qemu-img silently reads zeros beyond the end of a truncated file.
fn check_complete(file: &File, format: ImageFormat) -> Result<(), Unreadable> {
    if matches!(format, ImageFormat::Qcow2 | ImageFormat::Vhdx | ImageFormat::Vmdk) {
        let check = Invocation::new("qemu-img").args(["check", "-q", "-f", format.qemu_name()]);
        let check = check.arg(inherited_name(file)).inheriting(file)?;
        let (check, _) = jailed(&check, Jail::Nothing);
        // Source: qemu-img(1), check: 2 is corrupt, 3 only has leaked clusters, 63 is not supported.
        let finished = run_any_status(&check)?;
        match finished.status.code() {
            Some(0 | 3 | 63) => {}
            None => return Err(Failure::new("`qemu-img check` was terminated by a signal").into()),
            // The first line contains the cause. Do not report the command: it contains a time limit, and reports
            // must be comparable.
            Some(_) => {
                let line = finished.stderr.lines().next().unwrap_or_default();
                let failure = Failure::new("`qemu-img check` failed").detail(format!("stderr: {line}"));
                return Err(Unreadable::by_stderr(failure, line));
            }
        }
    }
    let size = size(file).context(|| "could not read the image".to_owned())?;
    match minimum_end(file, size, format) {
        Some(end) if end <= size => Ok(()),
        end => {
            let end = end.map_or("more".to_owned(), |end| end.to_string());
            Err(Unreadable::Damaged(Failure::new(format!(
                "the image is truncated: its header requires {end} bytes, but the file has {size}"
            ))))
        }
    }
}

/// Returns how much space the data of an image takes in a sparse raw image, in bytes. Source: qemu-img(1), measure.
fn data_size(file: &File, format: ImageFormat) -> Result<u64, Unreadable> {
    let name = inherited_name(file);
    let measure = ["measure", "--output=json", "-O", "raw", "-f", format.qemu_name(), &name];
    let output = qemu_img(&measure, &[file])?;
    let sizes: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
    sizes["required"].as_u64().ok_or_else(|| Failure::new("`qemu-img measure` did not report a size").into())
}

/// Returns the size of the disk in a self-contained image in bytes.
fn virtual_size(file: &File, format: ImageFormat) -> Result<u64, Unreadable> {
    let output =
        qemu_img(&["info", "--output=json", "-f", format.qemu_name(), &inherited_name(file)], &[file])?;
    let info: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
    let size = info["virtual-size"].as_u64();
    size.ok_or_else(|| Failure::new("qemu-img reported no size of the disk").into())
}

/// Checks that an image is self-contained.
///
/// # Errors
/// The image refers to other files, which would be read from the host.
pub fn is_self_contained(file: &File, format: ImageFormat) -> Result<(), Failure> {
    check_self_contained(file, format).map_err(Unreadable::failure)
}

/// Has to be called before any other program opens the image.
fn check_self_contained(file: &File, format: ImageFormat) -> Result<(), Unreadable> {
    let context = || "could not read the image".to_owned();
    let size = size(file).context(context)?;
    let found = match format {
        ImageFormat::Raw | ImageFormat::Parallels => return Ok(()),
        ImageFormat::Qcow2 => self_contained::qcow2(file),
        ImageFormat::Vhd => self_contained::vhd(file, size),
        ImageFormat::Vhdx => self_contained::vhdx(file),
        ImageFormat::Vmdk => self_contained::vmdk(file, size),
        ImageFormat::Vdi => self_contained::vdi(file),
        ImageFormat::Qcow => self_contained::qcow(file),
        ImageFormat::Qed => self_contained::qed(file),
    };
    found.context(context)?.map_err(|why| {
        Unreadable::Damaged(match why {
            Reference::Damaged(_) => Failure::new(format!("the {format} image is damaged: {why}")),
            Reference::Encrypted => Failure::new(format!("the {format} image is encrypted"))
                .help("convert it to an image without encryption with `qemu-img convert --object secret,…`"),
            Reference::Named(_) | Reference::Differencing => {
                Failure::new(format!("the {format} image is not self-contained: {why}"))
                    .help("if you trust the image, make it self-contained with `qemu-img convert`")
            }
        })
    })
}
