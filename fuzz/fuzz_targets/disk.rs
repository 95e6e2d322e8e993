//! On-disk formats: arbitrary bytes as a partition table, a filesystem or a LUKS volume. Every input must be parsed or
//! rejected without a panic. Ranges in use must be sorted, disjoint and inside the image, extents must not overflow, and
//! every byte must have a description.

#![no_main]

use ister::disk::{Body, Content, Opened, VolumeKind, detect, luks, unpack};
use ister::plan::layout::gpt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() as u64;
    let _ = gpt::check_mbr(bytes, size / 512);
    if let Ok(header) = gpt::GptHeader::decode(bytes) {
        let _ = gpt::entries(bytes, header.entry_size);
    }
    if let Ok(volume) = luks::Luks::open(&bytes) {
        let _ = volume.keyslots();
    }
    if let Ok(Some(VolumeKind::Packed(kind))) = detect(&bytes)
        && let Ok(unpacked) = unpack(kind, &bytes, &std::env::temp_dir())
    {
        let _ = unpacked.tree.paths();
    }
    let Ok(opened) = Opened::open(&bytes) else { return };
    let _ = (opened.label(), opened.uuid(), opened.free_bytes());
    if let Ok(ranges) = opened.in_use() {
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "sorted and disjoint");
        assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size), "inside the image");
    }
    if let Ok(tree) = opened.tree() {
        let _ = tree.paths();
        for node in &tree.nodes {
            if let Body::File(Content::Extents(extents)) = &node.body {
                assert!(extents.iter().all(|extent| extent.from.checked_add(extent.length).is_some()));
            }
        }
    }
    for at in [0, size / 2, size.saturating_sub(1)] {
        let _ = opened.describe(at);
    }
});
