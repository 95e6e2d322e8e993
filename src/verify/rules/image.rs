//! The published file itself.

use crate::finding::Level;
use crate::image::format::ImageFormat;
use crate::template::Bytes;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static GCE_SIZE: Rule = Rule {
    name: "gce-size",
    summary: "a disk for Google Compute Engine is not a whole number of GiB",
    level: Level::Error,
    why: "Google refuses to make an image of it. Source: Google Cloud documentation, \"Manually import virtual disks\": the size \
          of disk.raw must be a multiple of 1 GB (2^30 bytes).",
    check: Check::Disk(google),
};

fn google(facts: &Facts, out: &mut Findings) {
    if facts.for_google && !facts.size.is_multiple_of(Bytes::GIB) {
        out.report(format!("disk.raw has {} bytes, not a whole number of GiB", facts.size)).help(
            "give the template a `DiskSize` of whole GiB, or leave it out: the disk is then made so large",
        );
    }
}

pub(super) static VHD_SIZE: Rule = Rule {
    name: "vhd-size",
    summary: "a VHD's size is not a whole number of MiB, or ambiguous",
    level: Level::Error,
    why: "Azure refuses it. Source: Azure documentation, \"Prepare a Windows VHD or VHDX to upload\", and the same for Linux: \
          the virtual size must be aligned to 1 MiB.",
    check: Check::Disk(vhd),
};

fn vhd(facts: &Facts, out: &mut Findings) {
    if facts.format == ImageFormat::Vhd && !facts.size.is_multiple_of(Bytes::MIB) {
        out.report(format!("the disk has {} bytes, no whole number of MiB", facts.size))
            .help("convert it with qemu-img's `-o force_size=on` from an image of whole MiB");
    }
    if let Some((size, by_cylinders)) = facts.ambiguous_size {
        out.report(format!(
            "the footer has {size} bytes, and {by_cylinders} by its cylinders: readers differ"
        ))
        .help("convert it with qemu-img's `-o force_size=on`");
    }
}

pub(super) static IMAGE_FORMAT: Rule = Rule {
    name: "image-format",
    summary: "the file's name says another format than its content",
    level: Level::Error,
    why: "Whoever goes by the name refuses it, or takes the format's own structures for the disk's: a VHD without its footer is a raw \
          image. Source: Virtual Hard Disk Image Format Specification 1.0, \"Hard Disk Footer Format\".",
    check: Check::Disk(format_by_name),
};

fn format_by_name(facts: &Facts, out: &mut Findings) {
    if facts.format.is_misnamed(&facts.name) {
        out.report(format!("the file is called {}, its content is {}", facts.name, facts.format))
            .help("rename it, convert it with qemu-img, or fetch it again: it may be cut");
    }
}
