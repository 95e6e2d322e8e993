//! Configuration of the installed system: users, units, fstab, crypttab and network.

use super::content::has_repart;
use super::inputs::Inputs;
use super::installer::installer;
use super::model::*;
use super::unit;
use crate::template::ssh_key::strip_byte_order_mark;
use crate::template::{
    ESP_AS_BOOT, FilesystemType, SecretSource, SoftwareManager, Spanned, StaticIp, Template, display_url,
};

pub(super) fn system(
    template: &Template,
    inputs: &Inputs,
    disks: &[Disk],
    boot: Option<&Boot>,
    content: &Content,
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
                strip_byte_order_mark(text).trim().to_owned()
            }),
        });
    }

    mounts(template, disks, boot, &mut system);
    encryption(template, disks, &mut system, &mut secrets);
    growth(template, disks, boot, content, &mut system);

    if let Some(network) = &template.static_ip {
        system.name_server = text(&network.dns);
        system.files.insert("/etc/systemd/network/10-en-static.network".to_owned(), static_network(network));
        if content.packages.iter().any(|package| package == "cloud-init") {
            // The network file written by cloud-init would take precedence over this one.
            system.files.insert(
                "/etc/cloud/cloud.cfg.d/99-ister-network.cfg".to_owned(),
                "# Written by ister: the address is in /etc/systemd/network.\nnetwork: {config: disabled}\n"
                    .to_owned(),
            );
        }
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
    system.cloud_init_service = secrets.cloud_init_service.as_deref().map(display_url);
    installer(&inputs.embedded, &mut system);
    if let Some(boot) = boot {
        system.files.insert("/etc/kernel/cmdline".to_owned(), format!("{}\n", boot.kernel_command_line));
    }
    (system, secrets)
}

/// The systemd.network(5) file. An empty `[Match]` matches nothing, so without an interface name the file matches all
/// Ethernet interfaces except virtual ones such as bridges.
fn static_network(network: &StaticIp) -> String {
    let line = |key: &str, value: &Option<Spanned<String>>| {
        value.as_ref().map(|v| format!("{key}={}\n", v.value)).unwrap_or_default()
    };
    let interface = match &network.iface {
        Some(_) => line("Name", &network.iface),
        None => "Type=ether\nKind=!*\n".to_owned(),
    };
    // systemd-networkd accepts several servers in one line, separated only by spaces.
    let servers = network.dns.as_ref().map(|dns| {
        let servers = dns.split([' ', ',']).filter(|server| !server.is_empty());
        format!("DNS={}\n", servers.collect::<Vec<_>>().join(" "))
    });
    // A single address has no subnet that contains the gateway. Source: systemd.network(5), `GatewayOnLink=`.
    let is_single = |address: &Option<Spanned<String>>, prefix: &str| {
        address.as_ref().is_some_and(|address| address.ends_with(prefix))
    };
    let mut routes = String::new();
    let mut gateway = |value: &Option<Spanned<String>>, on_link: bool| {
        if !on_link || value.is_none() {
            return line("Gateway", value);
        }
        routes += &format!("\n[Route]\n{}GatewayOnLink=yes\n", line("Gateway", value));
        String::new()
    };
    let via = gateway(&network.gateway, is_single(&network.address, "/32"));
    let via6 = gateway(&network.gateway6, is_single(&network.address6, "/128"));
    format!(
        "[Match]\n{interface}\n[Network]\n{}{via}{}{via6}{}{routes}",
        line("Address", &network.address),
        line("Address", &network.address6),
        servers.unwrap_or_default(),
    )
}

/// Grows the root filesystem on a larger disk at the next boot. cloud-init does this itself.
fn growth(template: &Template, disks: &[Disk], boot: Option<&Boot>, content: &Content, system: &mut System) {
    let Some(boot) = boot.filter(|_| !template.is_physical()) else { return };
    let disk = disks.iter().find(|disk| disk.name == boot.root_partition.disk);
    let last = disk.and_then(|disk| disk.partitions.iter().max_by_key(|partition| partition.last_lba));
    let is_last =
        last.is_some_and(|last| last.number == boot.root_partition.partition && last.encryption.is_none());
    let grows = |filesystem: &Filesystem| {
        matches!(filesystem.kind, FilesystemType::Ext4 | FilesystemType::Xfs | FilesystemType::Btrfs)
    };
    let can_grow = last.is_some_and(|last| last.filesystem.as_ref().is_some_and(grows));
    if !is_last || !can_grow || !has_repart(content) {
        return;
    }
    system.files.insert(
        "/etc/repart.d/50-root.conf".to_owned(),
        "# Written by ister: grows the root partition into the free space after it.\n[Partition]\nType=root\n"
            .to_owned(),
    );
    // ExecCondition= skips the service at most boots: the 1 MiB at the end of the disk does not justify changing the
    // planned partition size. --discard=no protects data outside of partitions, such as GRUB's core image.
    // systemd-growfs is called here, because x-systemd.growfs requires an fstab entry for the root filesystem, which
    // would mount it again. Source: repart.d(5), systemd-repart(8), --discard=.
    system.files.insert(
        "/etc/systemd/system/systemd-repart.service.d/10-ister.conf".to_owned(),
        "# Written by ister.\n[Unit]\nAfter=systemd-remount-fs.service\nConditionPathIsReadWrite=/\n\n[Service]\n\
         ExecCondition=/bin/sh -c 'p=/sys/class/block/$$(basename $$(findmnt -nvo SOURCE /)) && \
         test $$(($$(cat $$p/../size) - $$(cat $$p/start) - $$(cat $$p/size))) -gt 32768'\nExecStart=\n\
         ExecStart=/usr/bin/systemd-repart --dry-run=no --discard=no\nExecStart=/usr/lib/systemd/systemd-growfs /\n"
            .to_owned(),
    );
}

/// Units and fstab entries for filesystems that nothing else mounts.
fn mounts(template: &Template, disks: &[Disk], boot: Option<&Boot>, system: &mut System) {
    let debian = template.manager() == Some(SoftwareManager::Apt);
    for disk in disks {
        for partition in &disk.partitions {
            let Some(filesystem) = &partition.filesystem else { continue };
            // systemd-gpt-auto-generator uses only the disk of the root filesystem, and ignores encrypted volumes in
            // crypttab.
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
                // The initramfs mounts /usr before the system starts, and reads this entry. Source:
                // initramfs-tools(7).
                add_to_fstab(system, partition, "/usr", &format!("{} defaults 0 2", filesystem.kind));
                continue;
            }
            let forced = template.mounts().iter().any(|m| {
                m.place.partition.as_ref().is_some_and(|p| p.value == partition.number)
                    && m.place
                        .disk
                        .as_ref()
                        .is_some_and(|d| d.value.rsplit('/').next() == disk.name.rsplit('/').next())
                    && m.force_unit.as_ref().is_some_and(|f| f.value)
            });
            // systemd-gpt-auto-generator mounts an ESP only under conditions that an image cannot guarantee. If it is
            // not mounted, the hooks of kernel packages silently do nothing.
            let holds_kernels =
                boot.is_some_and(|boot| boot.esp.as_ref() == Some(mount) && mount != ESP_AS_BOOT);
            if holds_kernels && !forced {
                add_to_fstab(system, partition, mount, &format!("{} umask=0077 0 2", filesystem.kind));
                continue;
            }
            // The generators of Debian and RPM distributions mount an ESP only under conditions that an image cannot
            // guarantee, and none of them mounts filesystems below /usr. Clear Linux relies on its generator.
            let guaranteed = template.manager() == Some(SoftwareManager::Swupd);
            let needed = !guaranteed && (mount == "/boot" || mount.starts_with("/usr/"));
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

fn add_to_fstab(system: &mut System, partition: &Partition, mount: &str, rest: &str) {
    let table =
        system.files.entry("/etc/fstab".to_owned()).or_insert_with(|| "# Written by ister.\n".to_owned());
    table.push_str(&format!("{} {mount} {rest}\n", fstab_device(partition)));
}

fn fstab_device(partition: &Partition) -> String {
    match &partition.encryption {
        Some(_) => partition.device(),
        None => format!("PARTUUID={}", partition.guid),
    }
}

/// Writes crypttab(5), and collects the sources of the passphrases.
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
            // Only Debian's initramfs supports the option. Source: crypttab(5) of cryptsetup.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{SourceText, parse};

    #[test]
    fn gateways_of_single_addresses_are_on_the_link() {
        let file = |keys: &str| {
            let (template, ..) = parse(&SourceText::new("t.json", format!(r#"{{"Static_IP": {{{keys}}}}}"#)));
            static_network(&template.static_ip.unwrap())
        };
        let single = file(
            r#""address": "192.0.2.7/32", "gateway": "198.51.100.1", "address6": "2001:db8::7/64", "gateway6": "fe80::1""#,
        );
        assert_eq!(
            single,
            "[Match]\nType=ether\nKind=!*\n\n[Network]\nAddress=192.0.2.7/32\nAddress=2001:db8::7/64\n\
             Gateway=fe80::1\n\n[Route]\nGateway=198.51.100.1\nGatewayOnLink=yes\n"
        );
        let subnet = file(r#""address": "192.0.2.7/24", "gateway": "192.0.2.1""#);
        assert!(subnet.ends_with("Address=192.0.2.7/24\nGateway=192.0.2.1\n"), "{subnet}");
    }
}
