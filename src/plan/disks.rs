//! Plans the disks and their partitions: positions, types, identifiers and filesystems.

use super::identity::Identity;
use super::inputs::{Device, ExistingPartition, ExistingTable, Inputs, PlanError};
use super::mkfs;
use super::model::*;
use super::space;
use crate::plan::layout::{self, DiskSize, Layout, LayoutError, Lba, PartitionRequest, Slot};
use crate::template::{
    Bytes, ESP_AS_BOOT, ESP_OF_GRUB, ESP_OF_KERNEL_INSTALL, FilesystemEntry, Format, LayoutEntry,
    PartitionRef, PartitionType, Size, Span, Spanned, Template, boot_method,
};
use uuid::{Uuid, uuid};

// Source: UEFI 2.10, table 5.7 (ESP); The Discoverable Partitions Specification (UAPI.2), "Partition Types".
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
const USR_X86_64: Uuid = uuid!("8484680c-9521-48c6-9c11-b0720656f69e");
const HOME: Uuid = uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
const SRV: Uuid = uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8");
const VAR: Uuid = uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d");
const SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
const LINUX_FILESYSTEM: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// All disks, in the order in which the layout names them.
pub(super) fn disks(
    template: &Template,
    inputs: &Inputs,
    identity: &Identity,
) -> Result<Vec<Disk>, Vec<PlanError>> {
    let mut names: Vec<&str> = Vec::new();
    for entry in template.layout() {
        let name = entry.place.disk.as_ref().map_or("", |d| d.value.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut refusals = Vec::new();
    let mut disks = Vec::new();
    for name in names {
        match disk(template, name, inputs, identity) {
            Ok(disk) => disks.push(disk),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() { Ok(disks) } else { Err(refusals) }
}

fn disk(template: &Template, name: &str, inputs: &Inputs, identity: &Identity) -> Result<Disk, PlanError> {
    let work = Work { template, name, inputs, identity };
    if template.is_physical() { work.device() } else { work.image() }
}

/// The inputs for planning one disk.
struct Work<'a> {
    template: &'a Template,
    /// The name in the template.
    name: &'a str,
    inputs: &'a Inputs<'a>,
    identity: &'a Identity,
}

/// The position of a partition, and its entry in a preserved partition table.
struct Placed<'a> {
    slot: &'a Slot,
    existing: Option<&'a ExistingPartition>,
}

impl<'a> Work<'a> {
    fn image(&self) -> Result<Disk, PlanError> {
        let size = match &self.template.disk_size {
            Some(Spanned { value: Ok(Size::Exact(size)), .. }) => DiskSize::Exactly(*size),
            _ => DiskSize::Fit,
        };
        let layout = layout::solve(&self.requests(size)?, size, self.inputs.sector_size)
            .map_err(|error| self.explain(error))?;
        let layout = match size {
            DiskSize::Fit => self.is_gce_archive(layout)?,
            DiskSize::Exactly(_) => layout,
        };
        // ister.py created the image in the directory of this path. ister uses only the file name; `-o` sets the
        // directory.
        let name = self.name.rsplit('/').next().unwrap_or(self.name);
        Ok(self.planned(name, &layout))
    }

    /// Rounds the size up to whole GiB for Google Compute Engine, if the disk is as large as its partitions need.
    fn is_gce_archive(&self, layout: Layout) -> Result<Layout, PlanError> {
        let size = Bytes(layout.sectors * layout.sector.bytes());
        if !self.template.publishes(Format::TarGz) || size.0.is_multiple_of(Bytes::GIB) {
            return Ok(layout);
        }
        let size = DiskSize::Exactly(Bytes(size.0.next_multiple_of(Bytes::GIB)));
        layout::solve(&self.requests(DiskSize::Fit)?, size, self.inputs.sector_size)
            .map_err(|error| self.explain(error))
    }

    fn device(&self) -> Result<Disk, PlanError> {
        let device = self.inputs.devices.get(self.name).ok_or_else(|| {
            PlanError::new(
                self.span(),
                format!("no disk /dev/{} on this machine", self.name),
                "correct `disk` (`lsblk` lists all disks). To plan for another machine, give the disk size, for example --disk-size 8G",
            )
        })?;
        if self.template.disabled_new_partitions.as_ref().is_some_and(|kept| kept.value) {
            return self.kept(device);
        }
        let size = DiskSize::Exactly(device.size);
        let layout = layout::solve(&self.requests(size)?, size, device.sector_size)
            .map_err(|error| self.explain(error))?;
        Ok(self.planned(self.name, &layout))
    }

    /// Uses the existing partitions.
    fn kept(&self, device: &Device) -> Result<Disk, PlanError> {
        let table = device.table.as_ref().ok_or_else(|| {
            PlanError::new(
                self.template.disabled_new_partitions.as_ref().map_or(self.span(), |kept| kept.span),
                format!("/dev/{} has no valid GUID partition table to preserve", self.name),
                "remove `DisabledNewPartitions` to write a new partition table, which erases the disk",
            )
        })?;
        let mut slots = Vec::new();
        for entry in self.entries() {
            let Some(number) = entry.place.partition.as_ref() else { continue };
            let existing = table.partitions.iter().find(|p| p.number == number.value).ok_or_else(|| {
                PlanError::new(
                    number.span,
                    format!("/dev/{} has no partition {}", self.name, number.value),
                    "use the number of an existing partition, or remove `DisabledNewPartitions`",
                )
            })?;
            let slot = Slot { number: number.value, range: existing.first_lba.0..existing.last_lba.0 + 1 };
            self.check_kept(entry, &slot, existing, device)?;
            slots.push(slot);
        }
        slots.sort_by_key(|slot| slot.number);
        let layout =
            Layout { sector: device.sector_size, sectors: device.size.0 / device.sector_size.bytes(), slots };
        Ok(self.with_table(&layout, Some(table)))
    }

    /// Checks that a preserved partition has the size and filesystem that the template requires.
    fn check_kept(
        &self,
        entry: &LayoutEntry,
        slot: &Slot,
        existing: &ExistingPartition,
        device: &Device,
    ) -> Result<(), PlanError> {
        let have = slot.size(device.sector_size);
        if let Some(Spanned { value: Ok(Size::Exact(asked)), span }) = &entry.size
            && *asked > have
        {
            return Err(PlanError::new(
                *span,
                format!(
                    "partition {} of /dev/{} has a size of {have}, expected at least {asked}",
                    slot.number, self.name
                ),
                "correct `size`, or remove `DisabledNewPartitions` to create new partitions",
            ));
        }
        let filesystem = self.filesystem(slot.number);
        if let Some(FilesystemEntry { kind: Some(kind), disable_format: Some(_), .. }) = filesystem
            && let Some(wanted) = kind.known()
            && existing.filesystem.as_deref() != Some(wanted.to_string().as_str())
        {
            let found = existing.filesystem.as_deref().unwrap_or("no known filesystem");
            return Err(PlanError::new(
                kind.span,
                format!(
                    "partition {} of /dev/{} contains {found}, expected {wanted}",
                    slot.number, self.name
                ),
                "correct `type`, or remove `disable_format` to create a new filesystem",
            ));
        }
        Ok(())
    }

    fn planned(&self, name: &str, layout: &Layout) -> Disk {
        Disk { name: name.to_owned(), ..self.with_table(layout, None) }
    }

    fn with_table(&self, layout: &Layout, table: Option<&ExistingTable>) -> Disk {
        let existing = |number: u32| table?.partitions.iter().find(|p| p.number == number);
        let partitions = layout
            .slots
            .iter()
            .map(|slot| self.partition(layout, Placed { slot, existing: existing(slot.number) }));
        Disk {
            name: self.name.to_owned(),
            sector_size: layout.sector,
            size: Bytes(layout.sectors * layout.sector.bytes()),
            guid: table.map_or_else(|| self.guid("disk"), |table| table.guid),
            keeps_table: table.is_some(),
            partitions_from: match table {
                Some(table) => table.partitions.iter().map(|p| p.first_lba).min(),
                None => layout.slots.first().map(Slot::first),
            }
            .unwrap_or(Lba(layout::ALIGNMENT.0 / layout.sector.bytes())),
            partitions: partitions.collect(),
        }
    }

    fn partition(&self, layout: &Layout, placed: Placed) -> Partition {
        let Placed { slot, existing } = placed;
        let number = slot.number;
        let mount = self.mount(number);
        let bios = self.template.uses_bios();
        let esp = boot_method(self.template).and_then(|method| method.esp);
        let kind = self
            .entries()
            .find(|e| is_number(&e.place, number))
            .and_then(|e| e.kind.as_ref()?.known())
            .unwrap_or(PartitionType::Linux);
        let entry = self.filesystem(number);
        let label = entry.and_then(|f| f.label.as_ref()).map(|l| l.value.as_str());
        let encryption = entry.and_then(|f| f.encryption.as_ref()).map(|encryption| Encryption {
            name: encryption.name.as_ref().map_or_else(|| format!("luks{number}"), |n| n.value.clone()),
            uuid: self.guid(&format!("luks {number}")),
        });
        let size = slot.size(layout.sector);
        let filesystem = entry.and_then(|entry| {
            let kind = entry.kind.as_ref()?.known()?;
            let request = mkfs::MkfsRequest {
                kind,
                id: self.guid(&format!("filesystem {number}")),
                hash_seed: self.guid(&format!("hash seed {number}")),
                label,
                options: entry.options.as_ref().map_or("", |o| o.value.as_str()),
                place: match &encryption {
                    // Created in a separate file and encrypted while it is copied to the partition.
                    Some(_) => mkfs::MkfsTarget::OwnFile,
                    // mke2fs requires exclusive access to a device, but ister keeps the device open until everything is
                    // written.
                    None if self.template.is_physical() => mkfs::MkfsTarget::OwnFile,
                    None => mkfs::MkfsTarget::At(Bytes(slot.range.start * layout.sector.bytes())),
                },
                size: Bytes(size.0 - encryption.as_ref().map_or(0, |_| LUKS_DATA_OFFSET.0.min(size.0))),
                sector: layout.sector,
            };
            Some(match entry.disable_format.filter(|_| self.template.is_physical()) {
                Some(_) => {
                    Filesystem { uuid: None, keep: true, mkfs: Vec::new(), ..mkfs::filesystem(&request) }
                }
                None => mkfs::filesystem(&request),
            })
        });
        let type_guid = match (mount.as_deref(), kind) {
            (mount, _) if mount.is_some() && mount == esp => ESP,
            (Some("/"), _) => ROOT_X86_64,
            (Some("/usr"), _) => USR_X86_64,
            (Some("/home"), _) => HOME,
            (Some("/srv"), _) => SRV,
            (Some("/var"), _) => VAR,
            (_, PartitionType::Swap) => SWAP,
            (None, PartitionType::Efi) if !bios => ESP,
            _ => LINUX_FILESYSTEM,
        };
        let mut partition = Partition {
            number,
            name: partition_name(label, mount.as_deref(), kind),
            type_guid,
            guid: self.guid(&format!("partition {number}")),
            first_lba: slot.first(),
            last_lba: slot.last(),
            size,
            legacy_boot: bios && self.is_boot_partition(number),
            // Opened through crypttab; systemd-gpt-auto-generator would ask for the passphrase again.
            no_auto: encryption.is_some(),
            encryption,
            filesystem,
            mount,
            space: None,
        };
        partition.space = space::empty(&partition, entry, layout.sector);
        if let Some(existing) = existing {
            partition.name = existing.name.clone();
            partition.type_guid = existing.type_guid;
            partition.guid = existing.guid;
            partition.legacy_boot = existing.attributes & 1 << 2 != 0;
            partition.no_auto = existing.attributes & 1 << 63 != 0;
        }
        partition
    }

    /// The layout requests. A last partition with `rest` on a disk of unknown size gets the size that its content
    /// needs.
    fn requests(&self, disk: DiskSize) -> Result<Vec<PartitionRequest>, PlanError> {
        let mut requests = Vec::new();
        for entry in self.entries() {
            let (Some(number), Some(size)) = (&entry.place.partition, &entry.size) else { continue };
            let Ok(asked) = &size.value else { continue };
            let size = match (asked, disk, self.inputs.footprint) {
                (Size::Rest, DiskSize::Fit, Some(footprint)) => {
                    let mount = self.mount(number.value);
                    Size::Exact(space::minimum_size(
                        &space::SizeRequest {
                            filesystem: self.filesystem(number.value),
                            sector: self.inputs.sector_size,
                            mount: mount.as_deref(),
                            mounts: &self.all_mounts(),
                        },
                        footprint,
                    ))
                }
                (asked, ..) => *asked,
            };
            requests.push(PartitionRequest { number: number.value, size });
        }
        Ok(requests)
    }

    fn entries(&self) -> impl Iterator<Item = &'a LayoutEntry> + use<'a> {
        let name = self.name;
        self.template.layout().iter().filter(move |entry| is_disk(&entry.place, name))
    }

    fn filesystem(&self, number: u32) -> Option<&'a FilesystemEntry> {
        self.template
            .filesystems()
            .iter()
            .find(|f| is_disk(&f.place, self.name) && is_number(&f.place, number))
    }

    fn mount(&self, number: u32) -> Option<String> {
        let entry = self
            .template
            .mounts()
            .iter()
            .find(|m| is_disk(&m.place, self.name) && is_number(&m.place, number))?;
        Some(self.mount_point(entry.mount.as_ref()?.value.as_str()).to_owned())
    }

    /// The mount point in the installed system for a mount point in the template.
    fn mount_point<'p>(&self, path: &'p str) -> &'p str {
        match boot_method(self.template).and_then(|method| method.esp) {
            Some(esp) if path == ESP_AS_BOOT => esp,
            _ => path,
        }
    }

    fn all_mounts(&self) -> Vec<&'a str> {
        let mounts = self.template.mounts().iter();
        mounts.filter_map(|m| Some(self.mount_point(m.mount.as_ref()?.value.as_str()))).collect()
    }

    /// Whether the boot loader reads the kernel from this partition.
    fn is_boot_partition(&self, number: u32) -> bool {
        let found = ["/boot", "/"].iter().find_map(|path| {
            let mut mounts = self.template.mounts().iter();
            mounts.find(|m| m.mount.as_ref().is_some_and(|mount| mount.value == *path))
        });
        found.is_some_and(|m| is_disk(&m.place, self.name) && is_number(&m.place, number))
    }

    fn guid(&self, what: &str) -> Uuid {
        // An image has one disk. Its file name does not influence the identifiers.
        if self.template.is_physical() {
            self.identity.guid(&format!("{} {what}", self.name))
        } else {
            self.identity.guid(what)
        }
    }

    /// The position of the disk's first mention.
    fn span(&self) -> Span {
        let named = self.entries().find_map(|entry| Some(entry.place.disk.as_ref()?.span));
        named.unwrap_or(self.template.span)
    }

    fn explain(&self, error: LayoutError) -> PlanError {
        let number = match error {
            LayoutError::RestOfUnknown(n) | LayoutError::Overflow(n) | LayoutError::Duplicate(n) => Some(n),
            LayoutError::RestNotLast { number, .. } | LayoutError::NoRest { number, .. } => Some(number),
            LayoutError::NoSuchNumber(n) => Some(n),
            LayoutError::TooMany(_) | LayoutError::DoesNotFit { .. } => None,
        };
        let entry = number.and_then(|n| self.entries().find(|e| is_number(&e.place, n)));
        let span = entry
            .and_then(|e| e.size.as_ref().map(|s| s.span))
            .or(self.template.disk_size.as_ref().map(|s| s.span))
            .unwrap_or_else(|| self.span());
        let physical = self.template.is_physical();
        let help = match error {
            LayoutError::RestOfUnknown(_) => {
                "set the disk size with `\"DiskSize\": \"8G\"` or --disk-size 8G. Otherwise `ister build` fetches the content \
                 and computes the size from it"
            }
            LayoutError::DoesNotFit { .. } | LayoutError::NoRest { .. } if physical => {
                "reduce the size of a partition, or use a larger disk"
            }
            LayoutError::DoesNotFit { .. } | LayoutError::NoRest { .. } => {
                "increase `DiskSize`, or reduce the size of a partition"
            }
            _ => "correct the numbers and sizes of the partitions",
        };
        let message = if physical { format!("/dev/{}: {error}", self.name) } else { error.to_string() };
        PlanError::new(span, message, help)
    }
}

fn is_disk(place: &PartitionRef, name: &str) -> bool {
    place.disk.as_ref().is_some_and(|disk| disk.value == name)
}

fn is_number(place: &PartitionRef, number: u32) -> bool {
    place.partition.as_ref().is_some_and(|p| p.value == number)
}

/// The GPT partition name: the filesystem label or a name for the purpose, truncated to 36 UTF-16 code units.
fn partition_name(label: Option<&str>, mount: Option<&str>, kind: PartitionType) -> String {
    let name = match (label, mount, kind) {
        (Some(label), ..) => label,
        (None, Some(ESP_AS_BOOT | ESP_OF_KERNEL_INSTALL | ESP_OF_GRUB) | None, PartitionType::Efi) => "ESP",
        (None, Some("/"), _) => "root",
        (None, Some(mount), _) => mount.trim_start_matches('/'),
        (None, None, PartitionType::Swap) => "swap",
        (None, None, PartitionType::Linux) => "linux",
    };
    let mut units = 0;
    name.chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= 36
        })
        .collect()
}
