//! Published formats: writes files for download from a raw image or a packed root tree, and reads published files.
//!
//! The same image always results in the same file: identifiers are derived from the plan and timestamps from the
//! content, and pieces compressed in parallel do not depend on the number of cores.
//!
//! | format | consumer | module |
//! | --- | --- | --- |
//! | qcow2, vhd, vmdk, ova | QEMU, Azure, VMware | [`qcow2`], [`vhd`], [`vmdk`], [`ova`] |
//! | vhdx, vdi | Hyper-V generation 2, VirtualBox | qemu-img; [`qemu`] replaces its version and random identifiers |
//! | raw.gz, raw.xz, raw.zst | any | [`gzip`], [`xz`], [`zstandard`] |
//! | tar.gz | Google Compute Engine | [`archive`] |
//! | tar, tar.xz, oci | containers, from the root tree | [`oci`] |
//! | iso | CDs and USB sticks, from the root tree | [`iso`] |
//! | pxe | machines without a disk, from the root tree | [`pxe`], [`initramfs`] |

mod archive;
mod archive_limits;
mod chunks;
mod comparison;
mod convert;
mod foreign;
mod gzip;
mod image_format;
mod initramfs;
mod iso;
mod iso_esp;
mod medium;
mod nodes;
mod oci;
mod open;
mod ova;
mod pxe;
mod qcow2;
mod qemu;
mod self_contained;
mod source;
mod squashfs;
pub mod sums;
mod tree;
mod truncation;
mod unpack;
mod unreadable;
mod vhd;
mod vmdk;
mod write;
mod xz;
mod zstandard;

pub use convert::is_self_contained;
pub use foreign::foreign;
pub use image_format::ImageFormat;
pub use iso::{BootCatalog, CdImage, boot_catalog};
pub use medium::{Cd, Medium, MediumKind, RootTree, Start, initramfs_of_cd};
pub use open::{FileKind, OpenedImage, Published, format_name, kind_of, open, open_published};
pub use pxe::{NetworkBoot, is_network_boot, open as open_network_boot};
pub use write::{Material, write};
