//! Format and size of the image file.

use crate::finding::Level;
use crate::image::format::ImageFormat;
use crate::template::Bytes;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static GCE_SIZE: Rule = Rule {
    name: "gce-size",
    summary: "the size of a Google Compute Engine disk is not a multiple of 1 GiB",
    level: Level::Error,
    why: "Google Compute Engine does not import such an image. Source: Google Cloud documentation, \
          \"Manually import virtual disks\": the size of disk.raw must be a multiple of 1 GB (2^30 \
          bytes).",
    check: Check::Disk(google),
};

fn google(facts: &Facts, out: &mut Findings) {
    if facts.is_gce_archive && !facts.size.is_multiple_of(Bytes::GIB) {
        out.report(format!("disk.raw has {} bytes, which is not a multiple of 1 GiB", facts.size))
            .help("set `DiskSize` to whole GiB in the template, or remove it to have the size rounded up");
    }
}

pub(super) static VHD_SIZE: Rule = Rule {
    name: "vhd-size",
    summary: "the size of a VHD is not a multiple of 1 MiB, or is ambiguous",
    level: Level::Error,
    why: "Azure rejects such a disk. Source: Azure documentation, \"Prepare a Windows VHD or VHDX to \
          upload\", and the same for Linux: the virtual size must be aligned to 1 MiB.",
    check: Check::Disk(vhd),
};

fn vhd(facts: &Facts, out: &mut Findings) {
    if facts.format == ImageFormat::Vhd && !facts.size.is_multiple_of(Bytes::MIB) {
        out.report(format!("the disk has {} bytes, which is not a multiple of 1 MiB", facts.size)).help(
            "enlarge the image to whole MiB, then convert it with `qemu-img convert -O vpc -o force_size=on`",
        );
    }
    if let Some((size, by_cylinders)) = facts.ambiguous_size {
        out.report(format!(
            "the footer contains two sizes: {size} bytes, and {by_cylinders} bytes by its disk geometry"
        ))
        .help("convert the image again with `qemu-img convert -O vpc -o force_size=on`");
    }
}

pub(super) static IMAGE_FORMAT: Rule = Rule {
    name: "image-format",
    summary: "the file name does not match the format of the content",
    level: Level::Error,
    why: "Programs that go by the file name fail to open the image, or read the format's metadata as disk \
          content. A VHD without its footer, for example, is a raw image. Source: Virtual Hard Disk Image \
          Format Specification 1.0, \"Hard Disk Footer Format\".",
    check: Check::Disk(format_by_name),
};

fn format_by_name(facts: &Facts, out: &mut Findings) {
    if facts.format.is_misnamed(&facts.name) {
        out.report(format!("the file is named {}, but its content is {}", facts.name, facts.format))
            .help("rename the file, convert it with qemu-img, or download it again if it is truncated");
    }
}
