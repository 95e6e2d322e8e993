//! OVA: a tar with a descriptor, a manifest of digests and a streamOptimized VMDK, in this order. Source: DMTF
//! DSP0243, Open Virtualization Format 1.1, "OVF packages" and "Distribution as a single file". The virtual hardware
//! is that of exports by VMware.

use super::source::Source;
use super::vmdk;
use crate::image::sha256_of;
use crate::plan::Firmware;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use tar::{Builder, EntryType, Header};
use uuid::Uuid;

/// Properties of the virtual machine for the descriptor.
pub(super) struct Appliance<'a> {
    /// Name of the machine and of the files, without extension.
    pub name: &'a str,
    pub id: Uuid,
    pub firmware: Firmware,
    /// Seconds since 1970.
    pub time: u64,
}

/// Writes the archive. `scratch` is an empty temporary file for the disk.
pub(super) fn write(
    source: &impl Source,
    appliance: &Appliance,
    scratch: &File,
    out: impl Write,
) -> io::Result<()> {
    let name = appliance.name;
    let disk = format!("{name}-disk1.vmdk");
    let mut buffer = BufWriter::with_capacity(1 << 20, scratch);
    vmdk::write(source, &disk, appliance.id.as_fields().0, &mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    let size = scratch.metadata()?.len();
    let descriptor = descriptor(appliance, &disk, source.size(), size);
    let mut reader = scratch;
    reader.rewind()?;
    let of_disk = sha256_of(&mut BufReader::new(reader))?;
    let of_descriptor = sha256_of(&mut descriptor.as_bytes())?;
    let manifest = format!("SHA256({name}.ovf)= {of_descriptor}\nSHA256({disk})= {of_disk}\n");
    let mut tar = Builder::new(out);
    let header = |size: u64| {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(appliance.time);
        header.set_size(size);
        header
    };
    for (ending, text) in [("ovf", &descriptor), ("mf", &manifest)] {
        tar.append_data(&mut header(text.len() as u64), format!("{name}.{ending}"), text.as_bytes())?;
    }
    reader.rewind()?;
    tar.append_data(&mut header(size), &disk, BufReader::with_capacity(1 << 20, reader))?;
    tar.into_inner()?.flush()
}

/// Describes a machine with two processors, 2 GiB of memory, a paravirtual SCSI controller and a vmxnet3 network
/// card, of hardware version 13 (ESXi 6.5).
fn descriptor(appliance: &Appliance, disk: &str, capacity: u64, size: u64) -> String {
    let name = escaped(appliance.name);
    let disk = escaped(disk);
    let firmware = match appliance.firmware {
        Firmware::Uefi => "efi",
        Firmware::Bios => "bios",
    };
    let item = |id: u32, kind: u32, rest: &str| {
        format!(
            "      <Item>\n        <rasd:InstanceID>{id}</rasd:InstanceID>\n        \
             <rasd:ResourceType>{kind}</rasd:ResourceType>\n{rest}      </Item>\n"
        )
    };
    let line = |key: &str, value: &str| format!("        <rasd:{key}>{value}</rasd:{key}>\n");
    let items = [
        item(1, 3, &(line("ElementName", "2 virtual CPUs") + &line("VirtualQuantity", "2"))),
        item(
            2,
            4,
            &(line("AllocationUnits", "byte * 2^20")
                + &line("ElementName", "2048 MB")
                + &line("VirtualQuantity", "2048")),
        ),
        item(
            3,
            6,
            &(line("Address", "0")
                + &line("ElementName", "SCSI controller 0")
                + &line("ResourceSubType", "VirtualSCSI")),
        ),
        item(
            4,
            17,
            &(line("AddressOnParent", "0")
                + &line("ElementName", "Hard disk 1")
                + &line("HostResource", "ovf:/disk/disk1")
                + &line("Parent", "3")),
        ),
        item(
            5,
            10,
            &(line("AddressOnParent", "1")
                + &line("AutomaticAllocation", "true")
                + &line("Connection", "network")
                + &line("ElementName", "Ethernet 1")
                + &line("ResourceSubType", "VmxNet3")),
        ),
    ]
    .concat();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
    xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="{disk}" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte"
        ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="network"/>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="otherLinux64Guest">
      <Info>Linux, 64 bit</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual hardware family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
{items}      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

/// Escapes a string for text and attributes. Source: XML 1.0, 2.4.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::source::Raw;
    use super::*;
    use std::io::Read;

    #[test]
    fn archive_has_descriptor_manifest_and_disk() {
        let raw = tempfile::tempfile().unwrap();
        raw.set_len(3 << 20).unwrap();
        let appliance = Appliance { name: "a", id: Uuid::from_u128(1), firmware: Firmware::Uefi, time: 1000 };
        let mut out = Vec::new();
        write(&Raw::new(&raw).unwrap(), &appliance, &tempfile::tempfile().unwrap(), &mut out).unwrap();
        let mut names = Vec::new();
        let mut texts = Vec::new();
        for entry in tar::Archive::new(&out[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().display().to_string());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            texts.push(bytes);
        }
        assert_eq!(names, ["a.ovf", "a.mf", "a-disk1.vmdk"]);
        let digest = sha256_of(&mut &texts[2][..]).unwrap();
        assert!(String::from_utf8_lossy(&texts[1]).contains(&format!("SHA256(a-disk1.vmdk)= {digest}\n")));
        let descriptor = String::from_utf8_lossy(&texts[0]);
        assert!(descriptor.contains("ovf:capacity=\"3145728\"") && descriptor.contains("vmw:value=\"efi\""));
        assert!(descriptor.contains(&format!("ovf:size=\"{}\"", texts[2].len())));
    }
}
