//! The published file itself.

use crate::format::ImageFormat;
use crate::lint::Level;
use crate::template::Bytes;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Found, Rule};

pub static VHD_SIZE: Rule = Rule {
    name: "vhd-size",
    summary: "a VHD's size is no whole number of MiB",
    level: Level::Error,
    why: "Azure refuses it. Source: Azure documentation, \"Prepare a Windows VHD or VHDX to upload\", and the same for Linux: \
          the virtual size must be aligned to 1 MiB.",
    check: Check::Disk(vhd),
};

fn vhd(facts: &Facts, out: &mut Found) {
    if facts.format == ImageFormat::Vhd && !facts.size.is_multiple_of(Bytes::MIB) {
        out.report(format!("the disk has {} bytes, no whole number of MiB", facts.size))
            .help("convert it with qemu-img's `-o force_size=on` from an image of whole MiB");
    }
}
