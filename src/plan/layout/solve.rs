//! Computes block ranges from partition sizes.

use super::geometry::{Lba, SectorSize, first_usable, last_usable};
use crate::template::limits::LARGEST_FILE;
use crate::template::{Bytes, Size};
use std::ops::Range;

/// Every partition starts and ends on a multiple of this, and the first one starts at it.
pub const ALIGNMENT: Bytes = Bytes::mib(1);

/// The number of entries of a GPT. Source: UEFI 2.10, section 5.3.1.
pub const MAX_PARTITIONS: usize = 128;

/// A requested partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    pub number: u32,
    pub size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskSize {
    /// As large as the partitions need.
    Fit,
    /// The size of a device, or the requested size.
    Exactly(Bytes),
}

/// The position of a partition. The range is half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub number: u32,
    pub range: Range<u64>,
}

impl Slot {
    pub fn first(&self) -> Lba {
        Lba(self.range.start)
    }

    /// The last block of the partition (inclusive), as stored in a GPT.
    pub fn last(&self) -> Lba {
        Lba(self.range.end - 1)
    }

    pub fn size(&self, sector: SectorSize) -> Bytes {
        Bytes((self.range.end - self.range.start) * sector.bytes())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub sector: SectorSize,
    /// The disk's size in sectors.
    pub sectors: u64,
    /// Sorted by partition number, which is the order on the disk.
    pub slots: Vec<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("too many partitions: {0}, a GPT has {MAX_PARTITIONS} entries")]
    TooMany(usize),
    #[error("invalid partition number {0}, expected 1 to {MAX_PARTITIONS}")]
    NoSuchNumber(u32),
    #[error("duplicate partition number {0}")]
    Duplicate(u32),
    #[error("partition {number} takes the rest of the disk, but partition {after} comes after it")]
    RestNotLast { number: u32, after: u32 },
    #[error("partition {0} takes the rest of a disk of unknown size")]
    RestOfUnknown(u32),
    #[error("the partitions exceed 2^63 bytes at partition {0}")]
    Overflow(u32),
    #[error("the partitions need {need}, the disk has {have}")]
    DoesNotFit { need: Bytes, have: Bytes },
    #[error("no space left for partition {number}: the partitions before it end at {used} of {have}")]
    NoRest { number: u32, used: Bytes, have: Bytes },
}

/// Places the partitions one after another in the order of their numbers, each with exactly the requested size. There
/// is 1 MiB for the table before the first, and at least 1 MiB for the backup table after the last one.
pub fn solve(
    requests: &[PartitionRequest],
    disk: DiskSize,
    sector: SectorSize,
) -> Result<Layout, LayoutError> {
    if requests.len() > MAX_PARTITIONS {
        return Err(LayoutError::TooMany(requests.len()));
    }
    let mut ordered = requests.to_vec();
    ordered.sort_by_key(|r| r.number);
    if let Some(pair) = ordered.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(LayoutError::Duplicate(pair[0].number));
    }

    if let Some(odd) = ordered.iter().find(|r| r.number == 0 || r.number as usize > MAX_PARTITIONS) {
        return Err(LayoutError::NoSuchNumber(odd.number));
    }

    // The end of the last MiB that a partition may use.
    let limit = match disk {
        DiskSize::Fit => LARGEST_FILE - ALIGNMENT.0,
        DiskSize::Exactly(have) => align_down(have.0).saturating_sub(ALIGNMENT.0),
    };
    let mut ranges = Vec::with_capacity(ordered.len());
    let mut at = ALIGNMENT.0;
    for (index, request) in ordered.iter().enumerate() {
        let end = match (request.size, disk) {
            (Size::Exact(size), _) => at
                .checked_add(size.0)
                .and_then(align_up)
                .filter(|end| *end <= LARGEST_FILE - ALIGNMENT.0)
                .ok_or(LayoutError::Overflow(request.number))?,
            (Size::Rest, _) if index + 1 < ordered.len() => {
                let after = ordered[index + 1].number;
                return Err(LayoutError::RestNotLast { number: request.number, after });
            }
            (Size::Rest, DiskSize::Fit) => return Err(LayoutError::RestOfUnknown(request.number)),
            (Size::Rest, DiskSize::Exactly(have)) if limit <= at => {
                return Err(LayoutError::NoRest { number: request.number, used: Bytes(at), have });
            }
            (Size::Rest, DiskSize::Exactly(_)) => limit,
        };
        ranges.push((request.number, at..end));
        at = end;
    }

    let size = match disk {
        DiskSize::Fit => at + ALIGNMENT.0,
        DiskSize::Exactly(have) if at > limit => {
            return Err(LayoutError::DoesNotFit { need: Bytes(at + ALIGNMENT.0), have });
        }
        DiskSize::Exactly(have) => have.0,
    };
    let bytes = sector.bytes();
    let layout = Layout {
        sector,
        sectors: size / bytes,
        slots: ranges
            .into_iter()
            .map(|(number, range)| Slot { number, range: range.start / bytes..range.end / bytes })
            .collect(),
    };
    debug_assert!(layout.slots.iter().all(|slot| {
        slot.first() >= first_usable(sector)
            && last_usable(sector, layout.sectors).is_some_and(|last| slot.last() <= last)
    }));
    Ok(layout)
}

fn align_down(bytes: u64) -> u64 {
    bytes - bytes % ALIGNMENT.0
}

fn align_up(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(ALIGNMENT.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(number: u32, size: &str) -> PartitionRequest {
        PartitionRequest { number, size: Size::parse(size).unwrap() }
    }

    #[test]
    fn the_published_kvm_layout() {
        let requests = [request(1, "512M"), request(2, "32M"), request(3, "8G")];
        let layout = solve(&requests, DiskSize::Fit, SectorSize::B512).unwrap();
        let places: Vec<_> = layout.slots.iter().map(|s| (s.first().0, s.last().0)).collect();
        assert_eq!(places, [(2048, 1_050_623), (1_050_624, 1_116_159), (1_116_160, 17_893_375)]);
        assert_eq!(layout.sectors, 17_893_376 + 2048);
    }

    #[test]
    fn partitions_are_sorted_numerically() {
        let requests = [request(10, "1M"), request(9, "1M")];
        let layout = solve(&requests, DiskSize::Fit, SectorSize::B512).unwrap();
        assert_eq!(layout.slots.iter().map(|s| s.number).collect::<Vec<_>>(), [9, 10]);
    }

    #[test]
    fn impossible_layouts_are_rejected() {
        let fit =
            |requests: &[PartitionRequest]| solve(requests, DiskSize::Fit, SectorSize::B512).unwrap_err();
        assert_eq!(fit(&[request(1, "rest")]), LayoutError::RestOfUnknown(1));
        assert_eq!(fit(&[request(129, "1M")]), LayoutError::NoSuchNumber(129));
        assert_eq!(fit(&[request(1, "1M"), request(1, "2M")]), LayoutError::Duplicate(1));
        assert_eq!(fit(&[request(1, "8388607T"), request(2, "1T")]), LayoutError::Overflow(2));
        let disk = DiskSize::Exactly(Bytes::mib(10));
        let on_disk = |requests: &[PartitionRequest]| solve(requests, disk, SectorSize::B512).unwrap_err();
        assert_eq!(
            on_disk(&[request(1, "rest"), request(2, "1M")]),
            LayoutError::RestNotLast { number: 1, after: 2 }
        );
        assert_eq!(
            on_disk(&[request(1, "9M")]),
            LayoutError::DoesNotFit { need: Bytes::mib(11), have: Bytes::mib(10) }
        );
        assert_eq!(
            on_disk(&[request(1, "8M"), request(2, "rest")]),
            LayoutError::NoRest { number: 2, used: Bytes::mib(9), have: Bytes::mib(10) }
        );
    }

    /// Valid requests: distinct numbers with gaps in any order, any unit, and "rest" at most once and last.
    fn requests() -> impl Strategy<Value = (Vec<PartitionRequest>, DiskSize)> {
        let numbers = prop::sample::subsequence((1..=MAX_PARTITIONS as u32).collect::<Vec<_>>(), 1..=128);
        let unit = prop_oneof![8 => Just(Bytes::MIB), 8 => Just(Bytes::GIB), 1 => Just(Bytes::TIB)];
        let sizes = prop::collection::vec((1u64..4096, unit), MAX_PARTITIONS);
        (numbers, sizes, any::<bool>(), 0u64..Bytes::GIB).prop_flat_map(|(numbers, sizes, rest, slack)| {
            let mut requests: Vec<PartitionRequest> = numbers
                .iter()
                .zip(&sizes)
                .map(|(number, (n, unit))| PartitionRequest {
                    number: *number,
                    size: Size::Exact(Bytes(n * unit)),
                })
                .collect();
            let used: u64 = sizes[..requests.len()].iter().map(|(n, unit)| n * unit).sum();
            let mut disk = DiskSize::Fit;
            if rest {
                requests.last_mut().unwrap().size = Size::Rest;
                disk = DiskSize::Exactly(Bytes(used + 2 * ALIGNMENT.0 + slack));
            }
            (Just(requests).prop_shuffle(), Just(disk))
        })
    }

    fn sector() -> impl Strategy<Value = SectorSize> {
        prop_oneof![Just(SectorSize::B512), Just(SectorSize::B4096)]
    }

    proptest! {
        #[test]
        fn partitions_are_usable_disjoint_aligned_and_sorted(
            (requests, disk) in requests(), sector in sector()
        ) {
            let layout = solve(&requests, disk, sector).unwrap();
            let aligned = ALIGNMENT.0 / sector.bytes();
            prop_assert_eq!(layout.slots.len(), requests.len());
            prop_assert_eq!(layout.slots[0].first().0, aligned);
            for pair in layout.slots.windows(2) {
                prop_assert!(pair[0].number < pair[1].number);
                prop_assert_eq!(pair[0].range.end, pair[1].range.start, "disjoint and without gaps");
            }
            for slot in &layout.slots {
                prop_assert!(slot.first() >= first_usable(sector));
                prop_assert!(slot.last() <= last_usable(sector, layout.sectors).unwrap());
                prop_assert_eq!(slot.range.start % aligned, 0);
                prop_assert_eq!(slot.range.end % aligned, 0);
                let asked = requests.iter().find(|r| r.number == slot.number).unwrap();
                match asked.size {
                    Size::Exact(size) => prop_assert_eq!(slot.size(sector), size),
                    Size::Rest => {
                        let left = layout.sectors - slot.range.end;
                        prop_assert!((aligned..2 * aligned).contains(&left), "all space except the backup table: {left}");
                    }
                }
            }
            let after = layout.sectors - layout.slots.last().unwrap().range.end;
            prop_assert!(after >= aligned);
        }

        #[test]
        fn solving_is_idempotent((requests, disk) in requests(), sector in sector()) {
            let layout = solve(&requests, disk, sector).unwrap();
            let exact: Vec<PartitionRequest> = layout.slots.iter()
                .map(|slot| PartitionRequest { number: slot.number, size: Size::Exact(slot.size(sector)) })
                .collect();
            let size = DiskSize::Exactly(Bytes(layout.sectors * sector.bytes()));
            prop_assert_eq!(solve(&exact, size, sector).unwrap(), layout);
        }

        #[test]
        fn growing_a_partition_moves_only_later_ones(
            (requests, _) in requests(), sector in sector(), pick in any::<prop::sample::Index>()
        ) {
            let mut requests = requests;
            for request in &mut requests {
                if request.size == Size::Rest { request.size = Size::Exact(Bytes::mib(7)); }
            }
            let before = solve(&requests, DiskSize::Fit, sector).unwrap();
            let grown = pick.index(requests.len());
            let Size::Exact(size) = requests[grown].size else { unreachable!() };
            requests[grown].size = Size::Exact(Bytes(size.0 + Bytes::MIB));
            let grown = requests.iter().filter(|r| r.number < requests[grown].number).count();
            let after = solve(&requests, DiskSize::Fit, sector).unwrap();
            let moved = Bytes::MIB / sector.bytes();
            for (index, (old, new)) in before.slots.iter().zip(&after.slots).enumerate() {
                let expect = match index.cmp(&grown) {
                    std::cmp::Ordering::Less => old.range.clone(),
                    std::cmp::Ordering::Equal => old.range.start..old.range.end + moved,
                    std::cmp::Ordering::Greater => old.range.start + moved..old.range.end + moved,
                };
                prop_assert_eq!(&new.range, &expect);
            }
        }

        #[test]
        fn arbitrary_sizes_do_not_overflow(
            sizes in prop::collection::vec(1u64..=u64::MAX, 1..=4), disk in prop::option::of(any::<u64>())
        ) {
            let requests: Vec<PartitionRequest> = (1..).zip(&sizes)
                .map(|(number, size)| PartitionRequest { number, size: Size::Exact(Bytes(*size)) })
                .collect();
            let disk = disk.map_or(DiskSize::Fit, |size| DiskSize::Exactly(Bytes(size)));
            let _ = solve(&requests, disk, SectorSize::B512);
        }
    }
}
