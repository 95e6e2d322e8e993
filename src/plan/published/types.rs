//! The table of image types. Sizes, bundles and options are those of the published templates.

/// The firmware that boots the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    Uefi,
    Bios,
    /// None: a container root filesystem.
    None,
}

#[derive(Debug)]
pub struct ImageType {
    pub name: &'static str,
    /// Where images of this type run.
    pub purpose: &'static str,
    pub firmware: Firmware,
    /// The size of the EFI partition, if there is one.
    pub esp: Option<&'static str>,
    pub swap: Option<&'static str>,
    pub root: &'static str,
    /// mkfs options of the root filesystem.
    pub options: Option<&'static str>,
    /// In addition to os-core and os-core-update.
    pub bundles: &'static [&'static str],
}

const fn uefi(
    name: &'static str,
    esp: &'static str,
    swap: Option<&'static str>,
    root: &'static str,
    purpose: &'static str,
) -> ImageType {
    let (firmware, esp) = (Firmware::Uefi, Some(esp));
    ImageType { name, purpose, firmware, esp, swap, root, options: None, bundles: &[] }
}

const fn bios(
    name: &'static str,
    root: &'static str,
    options: Option<&'static str>,
    purpose: &'static str,
) -> ImageType {
    let firmware = Firmware::Bios;
    ImageType { name, purpose, firmware, esp: None, swap: None, root, options, bundles: &[] }
}

const KVM: &[&str] =
    &["bootloader", "editors", "kernel-kvm", "network-basic", "openssh-server", "sysadmin-basic"];
const AZURE: &[&str] = &[
    "editors",
    "kernel-hyperv",
    "network-basic",
    "openssh-server",
    "os-cloudguest-azure",
    "storage-utils",
    "sysadmin-basic",
];

/// Sorted by name.
pub const TYPES: &[ImageType] = &[
    ImageType {
        bundles: &["kernel-aws", "openssh-server", "os-cloudguest-aws"],
        ..bios("aws", "512M", Some("-b 4096 -O ^64bit"), "Amazon EC2: BIOS, NVMe")
    },
    ImageType {
        bundles: AZURE,
        ..bios("azure", "20G", Some("-O ^64bit"), "Microsoft Azure: Hyper-V generation 1, IDE")
    },
    ImageType {
        bundles: &[
            "cloud-native-basic",
            "containers-basic",
            "containers-virt",
            "editors",
            "kernel-hyperv",
            "network-basic",
            "openssh-server",
            "os-cloudguest-azure",
            "storage-utils",
            "sysadmin-basic",
        ],
        ..bios("azure-docker", "20G", Some("-O ^64bit"), "Microsoft Azure, with containers")
    },
    ImageType {
        bundles: &[
            "editors",
            "kernel-hyperv",
            "machine-learning-basic",
            "network-basic",
            "openssh-server",
            "os-cloudguest-azure",
            "storage-utils",
            "sysadmin-basic",
        ],
        ..bios("azure-machine-learning", "20G", Some("-O ^64bit"), "Microsoft Azure, with machine learning")
    },
    ImageType {
        bundles: &["bootloader", "cloud-network", "kernel-kvm", "os-cloudguest"],
        ..uefi("ciao-networking", "64M", None, "800M", "the networking node of a ciao cluster")
    },
    ImageType {
        bundles: &["bootloader", "containers-basic", "kernel-kvm", "openssh-server", "os-cloudguest"],
        ..uefi("cloud-docker", "64M", None, "2G", "a cloud guest with containers")
    },
    ImageType {
        bundles: &["bootloader", "kernel-kvm", "os-cloudguest", "telemetrics"],
        ..uefi(
            "cloudguest",
            "512M",
            None,
            "800M",
            "a cloud guest: virtio-scsi, settings from a cloud-init seed",
        )
    },
    ImageType {
        firmware: Firmware::None,
        ..bios("container", "224M", Some("-b 4096"), "a container root filesystem: no kernel, does not boot")
    },
    ImageType {
        bundles: &["kernel-gce", "openssh-server", "os-cloudguest-gce"],
        ..bios("gce", "2G", Some("-b 4096 -O ^64bit"), "Google Compute Engine: BIOS, virtio-scsi")
    },
    ImageType {
        bundles: &[
            "bootloader",
            "editors",
            "kernel-hyperv",
            "network-basic",
            "openssh-server",
            "sysadmin-basic",
        ],
        ..uefi("hyperv", "512M", Some("32M"), "8G", "Microsoft Hyper-V, generation 2")
    },
    ImageType {
        bundles: &["bootloader", "kernel-hyperv-mini"],
        ..uefi("hyperv-mini", "30M", None, "300M", "Microsoft Hyper-V, generation 2, minimal")
    },
    ImageType {
        bundles: &["bootloader", "kernel-native", "os-installer"],
        ..uefi("installer", "64M", None, "2G", "an installer on a USB stick, which installs to another disk")
    },
    ImageType {
        bundles: KVM,
        ..uefi("kvm", "512M", Some("32M"), "8G", "a virtual machine: QEMU, KVM, UEFI, virtio")
    },
    ImageType {
        bundles: KVM,
        ..bios("kvm-legacy", "8G", Some("-O ^64bit"), "a virtual machine with BIOS: QEMU, KVM, virtio")
    },
    ImageType {
        bundles: &["bootloader", "containers-basic", "kernel-native", "openssh-server"],
        ..uefi("live-docker", "64M", None, "5G", "any machine, with containers")
    },
    ImageType {
        bundles: &["bootloader", "kernel-native", "os-utils"],
        ..uefi("live-server", "64M", None, "5G", "any machine: from a USB stick or a CD")
    },
    ImageType {
        bundles: &["kernel-native"],
        ..bios("mbr", "20G", None, "any machine with BIOS, IDE disks too")
    },
    ImageType {
        bundles: &["bootloader", "kernel-native", "os-installer"],
        ..uefi("provision", "64M", None, "2G", "provisions machines over the network")
    },
    ImageType {
        bundles: &["bootloader", "kernel-native"],
        ..uefi("release", "32M", Some("16M"), "10G", "the release image: any machine")
    },
    ImageType {
        bundles: &["bootloader", "kernel-native"],
        ..uefi("vmware", "64M", Some("32M"), "5G", "VMware: UEFI, pvscsi, vmxnet3")
    },
];
