//! Builds QEMU's arguments.

use super::accel::Accelerator;
use super::update;
use crate::host::Invocation;
use crate::plan::layout::SectorSize;
use base64::Engine;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

/// How the image is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DiskBus {
    #[default]
    VirtioBlk,
    VirtioScsi,
    Nvme,
    Ide,
    Ahci,
    Usb,
    /// VMware's paravirtual SCSI controller.
    Pvscsi,
    /// A CD, which is read-only.
    Cdrom,
}

/// The model of the network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NetworkCard {
    #[default]
    VirtioNet,
    E1000,
    /// VMware's paravirtual network card.
    Vmxnet3,
}

impl DiskBus {
    /// The name on the command line and in files.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl NetworkCard {
    /// The name on the command line and in files.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The emulated machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Hardware {
    pub disk: DiskBus,
    pub network_card: NetworkCard,
    /// In MiB.
    pub memory: u32,
    /// One by default, because guests run in parallel: with TCG, threads that share a core wait for each other's locks.
    pub cpus: u32,
    /// The enlightenments of Hyper-V.
    pub hyperv: bool,
}

impl Default for Hardware {
    fn default() -> Self {
        Hardware {
            disk: DiskBus::default(),
            network_card: NetworkCard::default(),
            memory: 1024,
            cpus: 1,
            hyperv: false,
        }
    }
}

impl Hardware {
    /// The hardware that is available with this accelerator: TCG has no enlightenments. Source: QEMU,
    /// docs/system/i386/hyperv.rst.
    pub fn under(self, accelerator: Accelerator) -> Hardware {
        Hardware { hyperv: self.hyperv && accelerator == Accelerator::Kvm, ..self }
    }
}

/// A kernel that is started without firmware and boot loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectKernel {
    pub kernel: PathBuf,
    pub initrd: Option<PathBuf>,
    pub command_line: String,
}

/// What the guest can reach over the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// Nothing: the guest only gets an address by DHCP.
    #[default]
    Isolated,
    /// This host as 10.0.2.2, and through it everything that the host can reach.
    Host,
}

pub(super) struct Machine<'a> {
    /// The name of a qcow2 overlay on the image that receives the guest's writes; nothing for a network boot.
    pub disk: Option<&'a str>,
    pub hardware: Hardware,
    pub sector_size: SectorSize,
    /// The code of the UEFI firmware and the name of a copy of its variables; nothing means BIOS.
    pub ovmf: Option<(&'a Path, &'a str)>,
    pub accelerator: Accelerator,
    /// Whether the processor has the instruction `cmpxchg16b`, which old versions of TCG emulate incorrectly.
    pub cmpxchg16b: bool,
    pub network: Network,
    /// A port on this host's loopback interface that is forwarded to the guest's ssh server.
    pub ssh_port: Option<u16>,
    /// Further ports of this host's loopback interface, by the guest's ports that they are forwarded to.
    pub ports: &'a BTreeMap<u16, u16>,
    /// A raw image that the guest may write to.
    pub second_disk: Option<&'a Path>,
    /// A raw image with the instance's settings, read-only.
    pub seed: Option<&'a Path>,
    /// The seed is a CD.
    pub seed_is_cd: bool,
    /// Values of `-smbios`.
    pub smbios: &'a [String],
    /// A raw image with packages for an update, read-only.
    pub update: Option<&'a str>,
    /// The names of inherited files with systemd credentials. Arguments are not used for them because every user can
    /// read those.
    pub credentials: &'a [String],
    pub direct: Option<&'a DirectKernel>,
    /// The firmware boots from the network.
    pub boots_from_network: bool,
    /// All files that QEMU inherits.
    pub files: &'a [&'a File],
}

impl Machine<'_> {
    /// Whether QEMU forwards ports of this host to the guest.
    pub(super) fn listens(&self) -> bool {
        self.ssh_port.is_some() || !self.ports.is_empty()
    }

    /// QEMU without its default devices and configuration. `graphics=off` makes SeaBIOS, and therefore GRUB, use the
    /// serial console too; the VGA card serves the screenshot. Disk and firmware variables are unnamed files, and the
    /// network is isolated (`restrict=on`) unless requested otherwise.
    ///
    /// `serial` and `monitor` are connected sockets that QEMU inherits.
    pub(super) fn invocation(&self, serial: RawFd, monitor: RawFd, lan: Option<RawFd>) -> Invocation {
        let Hardware { disk: bus, network_card, memory, cpus, hyperv } =
            self.hardware.under(self.accelerator);
        let machine = if bus == DiskBus::Ide { "pc,graphics=off" } else { "q35,graphics=off" };
        let (accelerator, mut cpu) = match self.accelerator {
            Accelerator::Kvm => ("kvm", "host".to_owned()),
            // With the CPU features for fast `rep movsb` and `rep stosb` a guest clears and copies memory bytewise, and
            // TCG emulates that one byte at a time: a live CD needed 195 s instead of 110. Source: Linux,
            // arch/x86/lib/clear_page_64.S.
            Accelerator::Tcg => ("tcg,thread=multi", "max,-erms,-fsrm".to_owned()),
        };
        if self.accelerator == Accelerator::Tcg && !self.cmpxchg16b {
            cpu.push_str(",-cx16");
        }
        if hyperv {
            cpu.push_str(",hv-relaxed,hv-vapic,hv-time,hv-vpindex,hv-synic,hv-stimer");
        }
        let mut invocation = Invocation::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-sandbox", SANDBOX])
            .args(["-machine", machine, "-accel", accelerator, "-cpu", &cpu])
            .args(["-smp", &cpus.to_string(), "-m", &memory.to_string()])
            .args(["-boot", "strict=on", "-device", "VGA", "-device", "virtio-rng-pci"])
            .args(["-chardev", &format!("socket,id=serial0,fd={serial}"), "-serial", "chardev:serial0"])
            .args(["-chardev", &format!("socket,id=monitor0,fd={monitor}")])
            .args(["-mon", "chardev=monitor0,mode=control"])
            .args(["-netdev", &self.netdev(lan)])
            .args([
                "-device",
                &network_device(network_card, if self.boots_from_network { IPXE } else { NO_ROM }),
            ]);
        for value in self.smbios {
            invocation = invocation.args(["-smbios", value]);
        }
        for name in self.credentials {
            invocation = invocation.args(["-smbios", &format!("type=11,path={name}")]);
        }
        if let Some(direct) = self.direct {
            invocation =
                invocation.arg("-kernel").arg(&direct.kernel).args(["-append", &direct.command_line]);
            if let Some(initrd) = &direct.initrd {
                invocation = invocation.arg("-initrd").arg(initrd);
            }
        }
        if let Some((code, variables)) = self.ovmf {
            let flash =
                |file: &Path, more: &str| format!("if=pflash,format=raw,file={}{more}", escaped(file));
            invocation = invocation
                .args(["-drive", &flash(code, ",readonly=on")])
                .args(["-drive", &flash(Path::new(variables), "")]);
        }
        // QEMU's controllers report 512 by default.
        let blocks = match self.sector_size {
            SectorSize::B512 => "",
            SectorSize::B4096 => ",logical_block_size=4096,physical_block_size=4096",
        };
        if let Some(disk) = self.disk {
            invocation = self.with_disk(invocation, disk, blocks);
        }
        if let Some(path) = self.second_disk {
            let drive =
                format!("if=none,id=disk1,file={},format=raw,cache=unsafe,discard=unmap", escaped(path));
            invocation = invocation.args(["-drive", &drive]);
            invocation = invocation.args(["-device", &format!("virtio-blk-pci,drive=disk1{blocks}")]);
        }
        if let Some(path) = self.seed {
            let drive = format!("if=none,id=seed,file={},format=raw,readonly=on", escaped(path));
            let device = if self.seed_is_cd { "ide-cd,drive=seed" } else { "virtio-blk-pci,drive=seed" };
            invocation = invocation.args(["-drive", &drive, "-device", device]);
        }
        if let Some(name) = self.update {
            let drive = format!("if=none,id=update,file={name},format=raw,readonly=on");
            let device = format!("virtio-blk-pci,drive=update,serial={}", update::SERIAL);
            invocation = invocation.args(["-drive", &drive, "-device", &device]);
        }
        invocation
    }

    fn with_disk(&self, invocation: Invocation, disk: &str, blocks: &str) -> Invocation {
        let drive = format!("if=none,id=disk0,file={disk},format=qcow2,cache=unsafe");
        let mut invocation = invocation.args(["-drive", &drive]);
        let (controller, disk) = match self.hardware.disk {
            DiskBus::VirtioBlk => (None, "virtio-blk-pci,drive=disk0"),
            DiskBus::VirtioScsi => (Some("virtio-scsi-pci"), "scsi-hd,drive=disk0"),
            DiskBus::Nvme => (None, "nvme,drive=disk0,serial=ister0"),
            DiskBus::Ide => (None, "ide-hd,drive=disk0"),
            DiskBus::Ahci => (None, "ide-hd,drive=disk0,bus=ide.0"),
            DiskBus::Usb => (Some("qemu-xhci"), "usb-storage,drive=disk0"),
            DiskBus::Pvscsi => (Some("pvscsi"), "scsi-hd,drive=disk0"),
            DiskBus::Cdrom => (None, "ide-cd,drive=disk0,bus=ide.0"),
        };
        if let Some(device) = controller {
            invocation = invocation.args(["-device", device]);
        }
        // A directly started kernel already has the first boot index.
        let first = if self.direct.is_some() { "" } else { ",bootindex=0" };
        invocation.args(["-device", &format!("{disk}{first}{blocks}")])
    }

    fn netdev(&self, lan: Option<RawFd>) -> String {
        if let Some(lan) = lan {
            return format!("socket,id=net0,fd={lan}");
        }
        let mut netdev = "user,id=net0".to_owned();
        if self.network == Network::Isolated {
            netdev.push_str(",restrict=on");
        }
        if let Some(port) = self.ssh_port {
            netdev.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-:22"));
        }
        for (guest, port) in self.ports {
            netdev.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-:{guest}"));
        }
        netdev
    }
}

/// What QEMU must not do once it runs: start programs, gain privileges, use obsolete system calls. Source: QEMU's man
/// page, `-sandbox`.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Passes a systemd credential to a guest without changing its image, as a string in the SMBIOS tables. Source:
/// systemd(1), "System Credentials", SMBIOS type 11.
pub(super) fn credential(name: &str, value: &[u8]) -> String {
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    format!("io.systemd.credential.binary:{name}={value}")
}

/// The first boot device, with QEMU's own ROM, which is iPXE.
const IPXE: &str = "bootindex=0";
/// Nothing is booted from the network.
const NO_ROM: &str = "romfile=";

fn network_device(card: NetworkCard, rom: &str) -> String {
    let model = match card {
        NetworkCard::VirtioNet => "virtio-net-pci",
        NetworkCard::E1000 => "e1000",
        NetworkCard::Vmxnet3 => "vmxnet3",
    };
    format!("{model},netdev=net0,{rom}")
}

/// In QEMU's option lists a comma is doubled.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_only_used_as_backing_file() {
        let machine = Machine {
            disk: Some("/proc/self/fd/7"),
            hardware: Hardware::default(),
            sector_size: SectorSize::B512,
            ovmf: Some((Path::new("/f,g/code.fd"), "/proc/self/fd/8")),
            accelerator: Accelerator::Tcg,
            cmpxchg16b: true,
            network: Network::Isolated,
            ssh_port: None,
            ports: &BTreeMap::new(),
            second_disk: None,
            seed: None,
            seed_is_cd: false,
            smbios: &[],
            update: None,
            credentials: &[],
            files: &[],
            direct: None,
            boots_from_network: false,
        };
        assert_eq!(
            machine.invocation(5, 6, None).to_string(),
            "qemu-system-x86_64 -nodefaults -no-user-config -display none \
             -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
             -machine q35,graphics=off -accel tcg,thread=multi -cpu max,-erms,-fsrm -smp 1 -m 1024 -boot strict=on \
             -device VGA -device virtio-rng-pci -chardev socket,id=serial0,fd=5 -serial chardev:serial0 \
             -chardev socket,id=monitor0,fd=6 -mon chardev=monitor0,mode=control \
             -netdev user,id=net0,restrict=on -device virtio-net-pci,netdev=net0,romfile= \
             -drive if=pflash,format=raw,file=/f,,g/code.fd,readonly=on \
             -drive if=pflash,format=raw,file=/proc/self/fd/8 \
             -drive if=none,id=disk0,file=/proc/self/fd/7,format=qcow2,cache=unsafe \
             -device virtio-blk-pci,drive=disk0,bootindex=0"
        );
        // A kernel that is started directly.
        let direct = DirectKernel { kernel: "/k".into(), initrd: None, command_line: "quiet".to_owned() };
        let text = Machine { direct: Some(&direct), ..machine }.invocation(5, 6, None).to_string();
        assert!(text.contains(" -kernel /k -append quiet "), "{text}");
        assert!(text.ends_with(" -device virtio-blk-pci,drive=disk0"), "{text}");
    }
}
