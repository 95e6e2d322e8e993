//! What is written into the installed tree: users, units, tables, network.

use super::inputs::Inputs;
use super::installer::installer;
use super::model::*;
use super::unit;
use crate::template::{FilesystemType, SecretSource, SoftwareManager, Spanned, Template, shown_url};

pub fn system(
    template: &Template,
    inputs: &Inputs,
    disks: &[Disk],
    boot: Option<&Boot>,
) -> (System, Secrets) {
    let mut system =
        System { hostname: template.hostname.as_ref().map(|h| h.value.clone()), ..System::default() };
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|v| v.value.clone());
    let mut secrets = Secrets {
        http_proxy: text(&template.http_proxy),
        https_proxy: text(&template.https_proxy),
        ..Secrets::default()
    };

    for user in template.users() {
        let Some(name) = user.username.as_ref().map(|n| n.value.clone()) else { continue };
        let password = match user.password.as_ref().map(|p| &p.value) {
            None => Password::Locked,
            Some(SecretSource::Inline(text)) if text.is_empty() => Password::Empty,
            Some(source) => {
                secrets.passwords.insert(name.clone(), source.clone());
                Password::Hash
            }
        };
        system.users.push(UserPlan {
            name,
            uid: user.uid.as_ref().and_then(|uid| u32::try_from(uid.value).ok()),
            full_name: user.fullname.as_ref().map(|f| f.value.clone()),
            sudo: user.sudo.as_ref().is_some_and(|s| s.value),
            password,
            ssh_key: user.key.as_ref().map(|key| {
                let text = inputs.key_files.get(&key.value).unwrap_or(&key.value);
                text.trim().to_owned()
            }),
        });
    }

    mounts(template, disks, boot, &mut system);
    encryption(template, disks, &mut system, &mut secrets);

    if let Some(network) = &template.static_ip {
        system.name_server = text(&network.dns);
        let line = |key: &str, value: &Option<Spanned<String>>| {
            value.as_ref().map(|v| format!("{key}={}\n", v.value)).unwrap_or_default()
        };
        system.files.insert(
            "/etc/systemd/network/10-en-static.network".to_owned(),
            format!(
                "[Match]\n{}\n[Network]\n{}{}{}",
                line("Name", &network.iface),
                line("Address", &network.address),
                line("Gateway", &network.gateway),
                line("DNS", &network.dns),
            ),
        );
    }
    if template.manager() == Some(SoftwareManager::Swupd) {
        for (url, file) in
            [(&template.mirror_url, "mirror_contenturl"), (&template.version_url, "mirror_versionurl")]
        {
            if let Some(url) = url {
                system.files.insert(format!("/etc/swupd/{file}"), format!("{}\n", url.value));
            }
        }
    } else {
        system.mirror = text(&template.mirror_url);
    }
    secrets.cloud_init_service = text(&template.cloud_init_service);
    system.cloud_init_service = secrets.cloud_init_service.as_deref().map(shown_url);
    installer(&inputs.carried, &mut system);
    if let Some(boot) = boot {
        system.files.insert("/etc/kernel/cmdline".to_owned(), format!("{}\n", boot.kernel_command_line));
    }
    (system, secrets)
}

/// Units and fstab entries for what nothing else mounts.
fn mounts(template: &Template, disks: &[Disk], boot: Option<&Boot>, system: &mut System) {
    let debian = template.manager() == Some(SoftwareManager::Apt);
    for disk in disks {
        for partition in &disk.partitions {
            let Some(filesystem) = &partition.filesystem else { continue };
            // The GPT generator looks at the root's disk only, and opens no encrypted volume that crypttab has.
            let seen = boot.is_some_and(|boot| boot.root_partition.disk == disk.name)
                && partition.encryption.is_none();
            let Some(mount) = &partition.mount else {
                if filesystem.kind == FilesystemType::Swap && !seen {
                    let device = partition.device();
                    add_unit(system, &unit::swap_unit_name(&device), unit::swap_unit(&device), "swap.target");
                }
                continue;
            };
            if mount == "/usr" && debian {
                // The initramfs mounts it before anything of the system runs, and looks for it here. Source:
                // initramfs-tools(7).
                system.files.insert(
                    "/etc/fstab".to_owned(),
                    format!(
                        "# Written by ister.\n{} /usr {} defaults 0 2\n",
                        fstab_device(partition),
                        filesystem.kind
                    ),
                );
                continue;
            }
            let forced = template.mounts().iter().any(|m| {
                m.mount.as_ref().is_some_and(|at| at.value == *mount)
                    && m.force_unit.as_ref().is_some_and(|f| f.value)
            });
            // The generators of Debian and of rpm distributions mount an ESP only under conditions that an image cannot
            // promise, and nobody's mounts what is below /usr. Clear is built for it.
            let promised = template.manager() == Some(SoftwareManager::Swupd);
            let needed = !promised && (mount == "/boot" || mount.starts_with("/usr/"));
            let left = unit::is_left_to_generator(mount) && (seen || mount == "/") && !needed;
            if forced || !left {
                let text = unit::mount_unit(mount, filesystem.kind, &partition.device());
                add_unit(system, &unit::mount_unit_name(mount), text, "local-fs.target");
            }
        }
    }
}

fn add_unit(system: &mut System, name: &str, text: String, target: &str) {
    let path = format!("/etc/systemd/system/{name}");
    system.links.insert(format!("/etc/systemd/system/{target}.wants/{name}"), path.clone());
    system.files.insert(path, text);
}

fn fstab_device(partition: &Partition) -> String {
    match &partition.encryption {
        Some(_) => partition.device(),
        None => format!("PARTUUID={}", partition.guid),
    }
}

/// crypttab(5), and where the passphrases come from.
fn encryption(template: &Template, disks: &[Disk], system: &mut System, secrets: &mut Secrets) {
    let mut table = String::new();
    let mut early = String::new();
    for (disk, partition) in disks.iter().flat_map(|disk| disk.partitions.iter().map(move |p| (disk, p))) {
        let Some(encryption) = &partition.encryption else { continue };
        let entry = template.filesystems().iter().find(|f| {
            f.place.partition.as_ref().is_some_and(|p| p.value == partition.number)
                && f.place.disk.as_ref().is_some_and(|d| d.value.rsplit('/').next() == Some(&disk.name))
        });
        let passphrase = entry.and_then(|f| f.encryption.as_ref()?.passphrase.as_ref());
        if let Some(passphrase) = passphrase {
            secrets.passphrases.insert(encryption.name.clone(), passphrase.value.clone());
        }
        let line = format!("{} UUID={} none luks", encryption.name, encryption.uuid);
        if matches!(partition.mount.as_deref(), Some("/" | "/usr")) {
            // The option is for Debian's initramfs: others do not know it. Source: crypttab(5) of cryptsetup.
            let debian = template.manager() == Some(SoftwareManager::Apt);
            table.push_str(&format!("{line}{}\n", if debian { ",initramfs" } else { "" }));
            early.push_str(&format!("{line},initramfs\n"));
        } else {
            table.push_str(&format!("{line}\n"));
        }
    }
    if !table.is_empty() {
        system.files.insert("/etc/crypttab".to_owned(), format!("# Written by ister.\n{table}"));
    }
    if !early.is_empty() && template.manager() == Some(SoftwareManager::Apt) {
        system.initramfs.insert("/cryptroot/crypttab".to_owned(), early);
    }
}
