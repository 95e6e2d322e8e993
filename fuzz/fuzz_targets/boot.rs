//! Boot-related parsers: kernels, initramfs archives, partition tables, loader entries and GRUB scripts from arbitrary
//! bytes, and following the boot paths of arbitrary filesystems. Every input must terminate without a panic.

#![no_main]

use ister::disk::Opened;
use ister::plan::bls::LoaderEntry;
use ister::plan::layout::mbr::Mbr;
use ister::verify::boot_path::{Disk, Initramfs, KernelImage, Volume, check_grub_script, follow};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = KernelImage::parse(bytes);
    let _ = Initramfs::parse(bytes);
    let _ = Mbr::read(bytes, |at| {
        let start = usize::try_from(at.0.checked_mul(512)?).ok()?;
        bytes.get(start..start.checked_add(512)?).map(<[u8]>::to_vec)
    });
    let text = String::from_utf8_lossy(bytes);
    let _ = (LoaderEntry::parse("entry", &text), check_grub_script(&text));
    let Ok(opened) = Opened::open(&bytes) else { return };
    let Ok(tree) = opened.tree() else { return };
    let volume = Volume {
        number: 1,
        is_fat: matches!(opened, Opened::Fat(_)),
        is_esp: true,
        is_xbootldr: false,
        is_active: true,
        uuid: Some(opened.uuid()),
        label: opened.label(),
        tree: &tree,
        source: &bytes,
    };
    let boot_code = bytes.get(..440).unwrap_or_default();
    let sectors = |_: u64, length: usize| Some(vec![1; length]);
    let _ = follow(&Disk { volumes: vec![volume], not_read: Vec::new(), boot_code, sectors: &sectors });
});
