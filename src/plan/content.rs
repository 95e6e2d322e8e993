//! The content to install: resolves bundle names to packages.

use super::inputs::{Inputs, Origin, PlanError};
use super::model::{Content, Loader};
use crate::plan::bundle::invalid_package_name;
use crate::template::{BootMethod, ESP_OF_KERNEL_INSTALL, Format, SoftwareManager, Template, Version};

/// Packages that do not exist in these releases, because their programs were part of the systemd package or did not
/// exist. Tested with bullseye; the other releases are older or, for Ubuntu, from before the split.
const PARTS_OF_SYSTEMD: &[(&str, &[&str])] = &[
    ("systemd-boot-efi", &["buster", "bullseye", "bionic", "focal", "jammy"]),
    ("systemd-resolved", &["buster", "bullseye", "bionic", "focal", "jammy"]),
    ("systemd-timesyncd", &["buster", "bionic"]),
    ("systemd-repart", &["buster", "bullseye", "bookworm", "bionic", "focal", "jammy"]),
];

/// Debian releases with systemd-repart, which grows partitions. It was added in systemd 245 and has its own package
/// since Debian 13.
const WITH_REPART: &[&str] =
    &["bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable"];

/// Packages that manage the network and its name servers instead of systemd-networkd.
pub const NETWORK_MANAGERS: &[&str] = &[
    "network-manager",
    "ifupdown",
    "ifupdown2",
    "ifupdown-ng",
    "netplan.io",
    "connman",
    "resolvconf",
    "openresolv",
];

/// Whether the content has systemd-repart and no other program that grows partitions.
pub(super) fn has_repart(content: &Content) -> bool {
    content.manager == SoftwareManager::Apt
        && WITH_REPART.contains(&content.release.as_str())
        && !content.packages.iter().any(|package| package == "cloud-init")
}

/// The packages needed for this boot method, including those for updates of the kernel and the boot loader.
fn packages_of(method: BootMethod) -> &'static [&'static str] {
    match method {
        // The hooks of systemd-boot call kernel-install for each kernel package.
        BootMethod { loader: Loader::SystemdBoot, esp: Some(ESP_OF_KERNEL_INSTALL) } => {
            &["systemd-boot", "systemd-boot-efi"]
        }
        BootMethod { loader: Loader::SystemdBoot, .. } => &["systemd-boot-efi"],
        // update-grub and the modules that its configuration loads. The core image is created with the GRUB of the
        // content.
        BootMethod { loader: Loader::Grub, esp: None } => &["grub-pc-bin", "grub2-common"],
        // The signed variants, which Secure Boot requires.
        BootMethod { loader: Loader::Grub, esp: Some(_) } => {
            &["grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed"]
        }
    }
}

/// Resolves the content. `method` is the boot method of the image.
pub(super) fn content(
    template: &Template,
    inputs: &Inputs,
    method: Option<BootMethod>,
) -> Result<Content, Vec<PlanError>> {
    let manager = template.manager().unwrap_or(SoftwareManager::Swupd);
    let release = match template.version.as_ref().map(|v| &v.value) {
        Some(Version::Name(name)) if manager == SoftwareManager::Apt && name == "latest" => {
            "stable".to_owned()
        }
        Some(Version::Name(name)) => name.clone(),
        Some(Version::Number(number)) => number.to_string(),
        None => String::new(),
    };
    let mut bundles: Vec<String> = template.bundles().iter().map(|b| b.value.clone()).collect();
    let mut packages = Vec::new();
    if matches!(manager, SoftwareManager::Apt | SoftwareManager::Dnf) {
        // Every system has os-core, as with swupd. For dnf there is no definition of it, so the template must list
        // packages.
        if manager == SoftwareManager::Apt && !bundles.iter().any(|b| b == "os-core") {
            bundles.push("os-core".to_owned());
        }
        let resolved = inputs.definitions.resolve(bundles.iter().map(String::as_str));
        let refusals: Vec<PlanError> = template
            .bundles()
            .iter()
            .filter(|bundle| resolved.impossible.contains(&bundle.value))
            .filter_map(|bundle| {
                let (message, help) = invalid_package_name(&bundle.value)?;
                Some(PlanError { span: bundle.span, message, help: help.to_owned() })
            })
            .collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
        packages = resolved.packages;
        // Administrators need sudo.
        if template.users().iter().any(|user| user.sudo.as_ref().is_some_and(|sudo| sudo.value)) {
            packages.push("sudo".to_owned());
        }
        // Also added if the template does not list the `bootloader` bundle.
        if let Some(method) = method.filter(|_| manager == SoftwareManager::Apt) {
            packages.extend(packages_of(method).iter().map(|package| (*package).to_owned()));
        }
        // systemd-networkd passes name servers from DHCP to systemd-resolved.
        let is_networkd = !packages.iter().any(|package| NETWORK_MANAGERS.contains(&package.as_str()));
        if manager == SoftwareManager::Apt && method.is_some() && is_networkd {
            packages.push("systemd-resolved".to_owned());
        }
        let is_cloud = packages.iter().any(|package| package == "cloud-init");
        let grows = WITH_REPART.contains(&release.as_str()) && !is_cloud && !template.is_physical();
        if manager == SoftwareManager::Apt && method.is_some() && grows {
            packages.push("systemd-repart".to_owned());
        }
        // live-boot finds and mounts the root filesystem on a CD.
        if manager == SoftwareManager::Apt && template.publishes(Format::Iso) {
            packages.extend(["live-boot", "live-boot-initramfs-tools"].map(str::to_owned));
        }
    }
    packages.retain(|package| {
        !PARTS_OF_SYSTEMD
            .iter()
            .any(|(name, releases)| package == name && releases.contains(&release.as_str()))
    });
    bundles.sort();
    bundles.dedup();
    packages.sort();
    packages.dedup();
    let Origin { archive, mut components, sources, keyring, configuration, swupd } = inputs.origin.clone();
    let swupd = (manager == SoftwareManager::Swupd).then_some(swupd);
    if swupd.is_some() && bundles.is_empty() {
        bundles.push("os-core".to_owned());
    }
    if manager == SoftwareManager::Apt && components.is_empty() {
        components.push("main".to_owned());
    }
    Ok(Content {
        manager,
        release,
        archive,
        components,
        sources,
        keyring,
        configuration,
        swupd,
        bundles,
        packages,
    })
}
