//! Disks and their partitions: places, types, identifiers, filesystems.

use super::identity::Identity;
use super::inputs::{Device, ExistingPartition, ExistingTable, Inputs, Refusal};
use super::mkfs;
use super::model::*;
use super::space;
use crate::plan::layout::{self, DiskSize, Layout, LayoutError, Lba, Request, Slot};
use crate::template::{
    Bytes, ESP_AS_BOOT, ESP_OF_GRUB, ESP_OF_KERNEL_INSTALL, FilesystemEntry, Format, LayoutEntry,
    PartitionType, Place as TemplatePlace, Size, Span, Spanned, Template, boot_method,
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

/// All disks in the order in which the layout names them.
pub(super) fn disks(
    template: &Template,
    inputs: &Inputs,
    identity: &Identity,
) -> Result<Vec<Disk>, Vec<Refusal>> {
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

fn disk(template: &Template, name: &str, inputs: &Inputs, identity: &Identity) -> Result<Disk, Refusal> {
    let work = Work { template, name, inputs, identity };
    if template.is_physical() { work.device() } else { work.image() }
}

/// One disk in the making.
struct Work<'a> {
    template: &'a Template,
    /// As the template has it.
    name: &'a str,
    inputs: &'a Inputs<'a>,
    identity: &'a Identity,
}

/// A partition's place, and what a table that stays says of it.
struct Placed<'a> {
    slot: &'a Slot,
    existing: Option<&'a ExistingPartition>,
}

impl<'a> Work<'a> {
    fn image(&self) -> Result<Disk, Refusal> {
        let size = match &self.template.disk_size {
            Some(Spanned { value: Ok(Size::Exact(size)), .. }) => DiskSize::Exactly(*size),
            _ => DiskSize::Fit,
        };
        let layout = layout::solve(&self.requests(size)?, size, self.inputs.sector_size)
            .map_err(|error| self.explain(error))?;
        let layout = match size {
            DiskSize::Fit => self.for_google(layout)?,
            DiskSize::Exactly(_) => layout,
        };
        // A directory in the name is where ister.py would have put it; `-o` says where it goes.
        let name = self.name.rsplit('/').next().unwrap_or(self.name);
        Ok(self.planned(name, &layout))
    }

    /// Google's disks are of whole GiB: one that is as large as its partitions need is made larger.
    fn for_google(&self, layout: Layout) -> Result<Layout, Refusal> {
        let size = Bytes(layout.sectors * layout.sector.bytes());
        if !self.template.publishes(Format::TarGz) || size.0.is_multiple_of(Bytes::GIB) {
            return Ok(layout);
        }
        let size = DiskSize::Exactly(Bytes(size.0.next_multiple_of(Bytes::GIB)));
        layout::solve(&self.requests(DiskSize::Fit)?, size, self.inputs.sector_size)
            .map_err(|error| self.explain(error))
    }

    fn device(&self) -> Result<Disk, Refusal> {
        let device = self.inputs.devices.get(self.name).ok_or_else(|| {
            Refusal::new(
                self.span(),
                format!("this machine has no disk /dev/{}", self.name),
                "correct `disk`; `lsblk` lists the disks there are. To plan for one elsewhere give its size: --disk-size 8G",
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

    /// With the partitions that are there.
    fn kept(&self, device: &Device) -> Result<Disk, Refusal> {
        let table = device.table.as_ref().ok_or_else(|| {
            Refusal::new(
                self.template.disabled_new_partitions.as_ref().map_or(self.span(), |kept| kept.span),
                format!("/dev/{} has no valid GUID partition table that could be kept", self.name),
                "leave DisabledNewPartitions out to make a new one, which erases the disk",
            )
        })?;
        let mut slots = Vec::new();
        for entry in self.entries() {
            let Some(number) = entry.place.partition.as_ref() else { continue };
            let existing = table.partitions.iter().find(|p| p.number == number.value).ok_or_else(|| {
                Refusal::new(
                    number.span,
                    format!("/dev/{} has no partition {}", self.name, number.value),
                    "name a partition that is there, or leave DisabledNewPartitions out",
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

    /// What a kept partition must have for what the template wants of it.
    fn check_kept(
        &self,
        entry: &LayoutEntry,
        slot: &Slot,
        existing: &ExistingPartition,
        device: &Device,
    ) -> Result<(), Refusal> {
        let have = slot.size(device.sector_size);
        if let Some(Spanned { value: Ok(Size::Exact(asked)), span }) = &entry.size
            && *asked > have
        {
            return Err(Refusal::new(
                *span,
                format!("partition {} of /dev/{} has {have}, not {asked}", slot.number, self.name),
                "write the size that it has, or leave DisabledNewPartitions out to make new partitions",
            ));
        }
        let filesystem = self.filesystem(slot.number);
        if let Some(FilesystemEntry { kind: Some(kind), disable_format: Some(_), .. }) = filesystem
            && let Some(wanted) = kind.known()
            && existing.filesystem.as_deref() != Some(wanted.to_string().as_str())
        {
            let found = existing.filesystem.as_deref().unwrap_or("no filesystem that is known");
            return Err(Refusal::new(
                kind.span,
                format!("partition {} of /dev/{} has {found}, not {wanted}", slot.number, self.name),
                "correct `type`, or leave `disable_format` out to make a new filesystem",
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
        let bios = self.template.boots_by_bios();
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
            let request = mkfs::Request {
                kind,
                id: self.guid(&format!("filesystem {number}")),
                hash_seed: self.guid(&format!("hash seed {number}")),
                label,
                options: entry.options.as_ref().map_or("", |o| o.value.as_str()),
                place: match &encryption {
                    // It is made apart, and encrypted on its way into the partition.
                    Some(_) => mkfs::Place::OwnFile,
                    // mke2fs wants a device for itself, but that is held until everything is written.
                    None if self.template.is_physical() => mkfs::Place::OwnFile,
                    None => mkfs::Place::At(Bytes(slot.range.start * layout.sector.bytes())),
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
            // Its own crypttab entry opens it; the generator would ask a second time.
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

    /// The size of a last partition that takes the rest of a disk as large as the content needs is decided here.
    fn requests(&self, disk: DiskSize) -> Result<Vec<Request>, Refusal> {
        let mut requests = Vec::new();
        for entry in self.entries() {
            let (Some(number), Some(size)) = (&entry.place.partition, &entry.size) else { continue };
            let Ok(asked) = &size.value else { continue };
            let size = match (asked, disk, self.inputs.footprint) {
                (Size::Rest, DiskSize::Fit, Some(footprint)) => {
                    let mount = self.mount(number.value);
                    Size::Exact(space::least_size(
                        &space::Wanted {
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
            requests.push(Request { number: number.value, size });
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

    /// Where the system mounts what the template mounts at `path`.
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

    /// Whether the loader reads the kernel from this partition.
    fn is_boot_partition(&self, number: u32) -> bool {
        let found = ["/boot", "/"].iter().find_map(|path| {
            let mut mounts = self.template.mounts().iter();
            mounts.find(|m| m.mount.as_ref().is_some_and(|mount| mount.value == *path))
        });
        found.is_some_and(|m| is_disk(&m.place, self.name) && is_number(&m.place, number))
    }

    fn guid(&self, what: &str) -> Uuid {
        // An image has one disk, whose name is the file's and says nothing.
        if self.template.is_physical() {
            self.identity.guid(&format!("{} {what}", self.name))
        } else {
            self.identity.guid(what)
        }
    }

    /// Where the disk is named first.
    fn span(&self) -> Span {
        let named = self.entries().find_map(|entry| Some(entry.place.disk.as_ref()?.span));
        named.unwrap_or(self.template.span)
    }

    fn explain(&self, error: LayoutError) -> Refusal {
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
                "its size follows from the content, which `ister build` fetches; to plan without it give the disk's \
                 size: `\"DiskSize\": \"8G\"`, or --disk-size 8G"
            }
            LayoutError::DoesNotFit { .. } | LayoutError::NoRest { .. } if physical => {
                "make partitions smaller, or take a larger disk"
            }
            LayoutError::DoesNotFit { .. } | LayoutError::NoRest { .. } => {
                "raise DiskSize, or make partitions smaller"
            }
            _ => "correct the partitions' numbers and sizes",
        };
        let message = if physical { format!("/dev/{}: {error}", self.name) } else { error.to_string() };
        Refusal::new(span, message, help)
    }
}

fn is_disk(place: &TemplatePlace, name: &str) -> bool {
    place.disk.as_ref().is_some_and(|disk| disk.value == name)
}

fn is_number(place: &TemplatePlace, number: u32) -> bool {
    place.partition.as_ref().is_some_and(|p| p.value == number)
}

/// GPT's name: the filesystem's label, or what the partition is for. At most 36 UTF-16 units fit.
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
