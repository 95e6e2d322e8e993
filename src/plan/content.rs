//! What has to be installed: bundle names to packages.

use super::inputs::{Inputs, Origin, Refusal};
use super::model::{Content, Loader};
use crate::template::{Format, SoftwareManager, Template, Version};

/// Releases whose package systemd has [`PARTS_OF_SYSTEMD`] in it. Tried with bullseye, whose archive has neither package;
/// the others are older or, for Ubuntu, of the time before the split.
const PARTS_IN_SYSTEMD: &[&str] = &["buster", "bullseye", "bionic", "focal", "jammy"];
const PARTS_OF_SYSTEMD: &[&str] = &["systemd-boot-efi", "systemd-resolved"];

/// `loader` is what the image boots with.
pub fn content(
    template: &Template,
    inputs: &Inputs,
    loader: Option<Loader>,
) -> Result<Content, Vec<Refusal>> {
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
        // As swupd does: every system has os-core. What that is of rpm packages, nobody but the template knows.
        if manager == SoftwareManager::Apt && !bundles.iter().any(|b| b == "os-core") {
            bundles.push("os-core".to_owned());
        }
        let resolved = inputs.definitions.resolve(bundles.iter().map(String::as_str));
        let refusals: Vec<Refusal> = template
            .bundles()
            .iter()
            .filter(|bundle| resolved.impossible.contains(&bundle.value))
            .map(|bundle| Refusal {
                span: bundle.span,
                message: format!("`{}` is neither a bundle nor a possible package name", bundle.value),
                help: format!(
                    "built-in bundles: {}",
                    inputs.definitions.names().collect::<Vec<_>>().join(", ")
                ),
            })
            .collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
        packages = resolved.packages;
        // Whoever is to become root needs the program for it.
        if template.users().iter().any(|user| user.sudo.as_ref().is_some_and(|sudo| sudo.value)) {
            packages.push("sudo".to_owned());
        }
        // The loader's own program is needed whether or not the `bootloader` bundle was asked for.
        if manager == SoftwareManager::Apt && loader == Some(Loader::SystemdBoot) {
            packages.push("systemd-boot-efi".to_owned());
        }
        // The core image is made by the content's own GRUB.
        if manager == SoftwareManager::Apt && loader == Some(Loader::Grub) {
            packages.push("grub-pc-bin".to_owned());
        }
        // What finds the root tree on a CD, and mounts it.
        if manager == SoftwareManager::Apt && template.publishes(Format::Iso) {
            packages.extend(["live-boot", "live-boot-initramfs-tools"].map(str::to_owned));
        }
    }
    if PARTS_IN_SYSTEMD.contains(&release.as_str()) {
        packages.retain(|package| !PARTS_OF_SYSTEMD.contains(&package.as_str()));
    }
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
