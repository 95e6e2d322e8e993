//! From a template to a plan.

use super::identity::Identity;
use super::mkfs;
use super::model::*;
use super::unit;
use crate::bundle::Definitions;
use crate::layout::{self, DiskSize, LayoutError, Request, SectorSize, Slot};
use crate::template::*;
use std::collections::BTreeMap;
use uuid::{Uuid, uuid};

/// What a plan depends on besides the template.
pub struct Inputs<'a> {
    pub definitions: &'a Definitions,
    /// `-C URL`.
    pub archive: Option<&'a str>,
    /// Texts of the files that the template names as `key`, by path.
    pub key_files: &'a BTreeMap<String, String>,
}

/// A template that is well-formed, yet cannot become an image: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub span: Span,
    pub message: String,
    pub help: String,
}

// Source: UEFI 2.10, table 5.7 (ESP); The Discoverable Partitions Specification (UAPI.2), "Partition Types".
const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
const ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
const HOME: Uuid = uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
const SRV: Uuid = uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8");
const SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
const LINUX_FILESYSTEM: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// Consoles of an image whose template names none: the screen, and the serial line that a harness listens to.
const CONSOLES: &str = "console=tty0 console=ttyS0,115200n8";

/// Decides everything. The template must have no lint errors: what lint refuses is not looked at again.
pub fn decide(template: &Template, node: &Node, inputs: &Inputs) -> Result<(Plan, Secrets), Vec<Refusal>> {
    let identity = Identity::of(node);
    let layout = solve(template).map_err(|refusal| vec![refusal])?;
    let partitions = partitions(template, &layout, &identity);
    let boot = boot(template, &partitions);
    let content = content(template, inputs, boot.as_ref())?;
    let (system, secrets) = system(template, inputs, &partitions, boot.as_ref());
    let plan = Plan {
        version: PLAN_VERSION,
        image: image_name(template),
        disk: Disk {
            sector_size: layout.sector,
            size: Bytes(layout.sectors * layout.sector.bytes()),
            guid: identity.guid("disk"),
        },
        partitions,
        boot,
        content,
        system,
        hooks: hooks(template),
    };
    Ok((plan, secrets))
}

/// What this version cannot build yet, though the template may be right.
pub fn unsupported(template: &Template) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |span: Span, message: &str, help: &str| {
        refusals.push(Refusal { span, message: message.to_owned(), help: help.to_owned() });
    };
    if let Some(destination) = &template.destination
        && destination.known() == Some(Destination::Physical)
    {
        refuse(
            destination.span,
            "this version of ister builds image files only, not disks of this machine",
            "set DestinationType to \"virtual\" and write the image to the disk",
        );
    }
    let brace = Span::new(template.span.start, template.span.end.min(template.span.start + 1));
    if template.manager() != Some(SoftwareManager::Apt) {
        let span = template.software_manager.as_ref().map_or(brace, |m| m.span);
        refuse(
            span,
            "this version of ister installs content with apt only",
            "build it with Debian content: --software-manager apt --set Version='\"bookworm\"'",
        );
    }
    for entry in template.filesystems() {
        if let Some(kind) = &entry.kind
            && matches!(kind.known(), Some(FilesystemType::Btrfs | FilesystemType::Xfs))
        {
            refuse(kind.span, "this version of ister cannot make btrfs and xfs", "use ext4");
        }
        if let Some(encryption) = &entry.encryption {
            refuse(
                encryption.span,
                "this version of ister cannot encrypt partitions",
                "leave `encryption` out",
            );
        }
        if let Some(span) = entry.disable_format {
            refuse(span, "an image has no filesystem that could be kept", "leave `disable_format` out");
        }
    }
    if let Some(service) = &template.cloud_init_service {
        refuse(service.span, "this version of ister cannot use IsterCloudInitSvc", "leave it out");
    }
    if let Some(kept) = &template.disabled_new_partitions
        && kept.value
    {
        refuse(
            kept.span,
            "a new image has no partitions that could be kept",
            "leave DisabledNewPartitions out",
        );
    }
    if let Some(formats) = &template.formats
        && let Some(first) = formats.value.first()
    {
        refuse(first.span, "this version of ister makes raw images only", "leave `Formats` out");
    }
    refusals
}

fn solve(template: &Template) -> Result<layout::Layout, Refusal> {
    let requests: Vec<Request> = template
        .layout()
        .iter()
        .filter_map(|entry| {
            let size = entry.size.as_ref()?.value.clone().ok()?;
            Some(Request { number: entry.place.partition.as_ref()?.value, size })
        })
        .collect();
    let disk = match &template.disk_size {
        Some(Spanned { value: Ok(Size::Exact(size)), .. }) => DiskSize::Exactly(*size),
        _ => DiskSize::Fit,
    };
    layout::solve(&requests, disk, SectorSize::B512).map_err(|error| {
        let number = match error {
            LayoutError::RestOfUnknown(n) | LayoutError::Overflow(n) | LayoutError::Duplicate(n) => Some(n),
            LayoutError::RestNotLast { number, .. } | LayoutError::NoRest { number, .. } => Some(number),
            LayoutError::TooMany(_) | LayoutError::DoesNotFit { .. } => None,
        };
        let entry = number.and_then(|n| {
            template.layout().iter().find(|e| e.place.partition.as_ref().is_some_and(|p| p.value == n))
        });
        let span = entry
            .and_then(|e| e.size.as_ref().map(|s| s.span))
            .or(template.disk_size.as_ref().map(|s| s.span))
            .or(template.key_span("PartitionLayout"))
            .unwrap_or(template.span);
        let help = match error {
            LayoutError::RestOfUnknown(_) => {
                "say how large the disk is: `\"DiskSize\": \"8G\"`, or --disk-size 8G"
            }
            LayoutError::DoesNotFit { .. } | LayoutError::NoRest { .. } => {
                "raise DiskSize, or make partitions smaller"
            }
            _ => "correct the partitions' numbers and sizes",
        };
        Refusal { span, message: error.to_string(), help: help.to_owned() }
    })
}

fn image_name(template: &Template) -> String {
    let disk = template.layout().iter().find_map(|entry| entry.place.disk.as_ref());
    let name = disk.map_or("", |d| d.value.as_str());
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

fn partitions(template: &Template, layout: &layout::Layout, identity: &Identity) -> Vec<Partition> {
    let number_is = |place: &Place, n: u32| place.partition.as_ref().is_some_and(|p| p.value == n);
    let mount_of = |n: u32| {
        let entry = template.mounts().iter().find(|m| number_is(&m.place, n))?;
        Some(entry.mount.as_ref()?.value.clone())
    };
    let bios = template.boots_by_bios();
    let boot_number = ["/boot", "/"].iter().find_map(|mount| {
        template.mounts().iter().find(|m| m.mount.as_ref().is_some_and(|at| at.value == *mount))
    });
    let boot_number = boot_number.and_then(|m| Some(m.place.partition.as_ref()?.value));

    layout
        .slots
        .iter()
        .map(|slot: &Slot| {
            let n = slot.number;
            let mount = mount_of(n);
            let kind = template
                .layout()
                .iter()
                .find(|e| number_is(&e.place, n))
                .and_then(|e| e.kind.as_ref()?.known())
                .unwrap_or(PartitionType::Linux);
            let type_guid = match (mount.as_deref(), kind) {
                (Some("/boot"), _) if !bios => ESP,
                (Some("/"), _) => ROOT_X86_64,
                (Some("/home"), _) => HOME,
                (Some("/srv"), _) => SRV,
                (_, PartitionType::Swap) => SWAP,
                (None, PartitionType::Efi) if !bios => ESP,
                _ => LINUX_FILESYSTEM,
            };
            let entry = template.filesystems().iter().find(|f| number_is(&f.place, n));
            let label = entry.and_then(|f| f.label.as_ref()).map(|l| l.value.as_str());
            let size = slot.size(layout.sector);
            let filesystem = entry.and_then(|entry| {
                Some(mkfs::filesystem(&mkfs::Request {
                    kind: entry.kind.as_ref()?.known()?,
                    id: identity.guid(&format!("filesystem {n}")),
                    hash_seed: identity.guid(&format!("hash seed {n}")),
                    label,
                    options: entry.options.as_ref().map_or("", |o| o.value.as_str()),
                    offset: Bytes(slot.range.start * layout.sector.bytes()),
                    size,
                    for_grub: bios && boot_number == Some(n),
                }))
            });
            Partition {
                number: n,
                name: partition_name(label, mount.as_deref(), kind),
                type_guid,
                guid: identity.guid(&format!("partition {n}")),
                first_lba: slot.first(),
                last_lba: slot.last(),
                size,
                legacy_boot: bios && boot_number == Some(n),
                filesystem,
                mount,
            }
        })
        .collect()
}

/// GPT's name: the filesystem's label, or what the partition is for. At most 36 UTF-16 units fit.
fn partition_name(label: Option<&str>, mount: Option<&str>, kind: PartitionType) -> String {
    let name = match (label, mount, kind) {
        (Some(label), ..) => label,
        (None, Some("/boot"), PartitionType::Efi) | (None, None, PartitionType::Efi) => "ESP",
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

fn boot(template: &Template, partitions: &[Partition]) -> Option<Boot> {
    let at = |mount: &str| partitions.iter().find(|p| p.mount.as_deref() == Some(mount));
    let root = at("/")?;
    let own_boot = at("/boot");
    let (firmware, loader, boot_partition) = if template.boots_by_bios() {
        (Firmware::Bios, Loader::Grub, own_boot.unwrap_or(root).number)
    } else {
        let esp = own_boot.filter(|p| p.type_guid == ESP)?;
        (Firmware::Uefi, Loader::SystemdBoot, esp.number)
    };
    let own = template.cmdline.as_ref().map_or("", |c| c.value.trim());
    let mut words = vec![format!("root=PARTUUID={}", root.guid), "rw".to_owned()];
    if !own.split_whitespace().any(|word| word.starts_with("console=")) {
        words.push(CONSOLES.to_owned());
    }
    if !own.is_empty() {
        words.push(own.to_owned());
    }
    Some(Boot {
        firmware,
        loader,
        boot_partition,
        root_partition: root.number,
        kernel_command_line: words.join(" "),
    })
}

fn content(template: &Template, inputs: &Inputs, boot: Option<&Boot>) -> Result<Content, Vec<Refusal>> {
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
    if manager == SoftwareManager::Apt {
        // As swupd does: every system has os-core.
        if !bundles.iter().any(|b| b == "os-core") {
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
        // The loader's own program is needed whether or not the `bootloader` bundle was asked for.
        if boot.is_some_and(|b| b.loader == Loader::SystemdBoot) {
            packages.push("systemd-boot-efi".to_owned());
        }
    }
    bundles.sort();
    bundles.dedup();
    packages.sort();
    packages.dedup();
    Ok(Content { manager, release, archive: inputs.archive.map(str::to_owned), bundles, packages })
}

fn system(
    template: &Template,
    inputs: &Inputs,
    partitions: &[Partition],
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

    for partition in partitions {
        let (Some(mount), Some(filesystem)) = (&partition.mount, &partition.filesystem) else { continue };
        let forced = template.mounts().iter().any(|m| {
            m.mount.as_ref().is_some_and(|at| at.value == *mount)
                && m.force_unit.as_ref().is_some_and(|f| f.value)
        });
        // Debian's generator mounts an ESP only under conditions that an image cannot promise.
        let esp_on_debian = mount == "/boot" && template.manager() == Some(SoftwareManager::Apt);
        if forced || esp_on_debian || !unit::is_left_to_generator(mount) {
            let name = unit::mount_unit_name(mount);
            system.files.insert(
                format!("/etc/systemd/system/{name}"),
                unit::mount_unit(mount, filesystem.kind, partition.guid),
            );
            system.links.insert(
                format!("/etc/systemd/system/local-fs.target.wants/{name}"),
                format!("/etc/systemd/system/{name}"),
            );
        }
    }

    if let Some(network) = &template.static_ip {
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
    for (url, file) in
        [(&template.mirror_url, "mirror_contenturl"), (&template.version_url, "mirror_versionurl")]
    {
        if let Some(url) = url {
            system.files.insert(format!("/etc/swupd/{file}"), format!("{}\n", url.value));
        }
    }
    if let Some(boot) = boot {
        system.files.insert("/etc/kernel/cmdline".to_owned(), format!("{}\n", boot.kernel_command_line));
    }
    (system, secrets)
}

fn hooks(template: &Template) -> Hooks {
    let texts = |section: &Section<Spanned<String>>| -> Vec<String> {
        entries(section).iter().map(|text| text.value.clone()).collect()
    };
    Hooks {
        pre_install_shell: texts(&template.pre_install_shell),
        post_non_chroot: texts(&template.post_non_chroot),
        post_non_chroot_shell: texts(&template.post_non_chroot_shell),
        post_chroot: texts(&template.post_chroot),
        post_chroot_shell: texts(&template.post_chroot_shell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle;

    const KVM: &str = include_str!("../../vm-tests/kvm/template.json");
    const KVM_LEGACY: &str = include_str!("../../vm-tests/kvm-legacy/template.json");

    fn plan(text: &str) -> Result<(Plan, Secrets), Vec<Refusal>> {
        let (template, node, faults) = parse(&SourceText::new("t.json", text));
        assert_eq!(faults, []);
        let definitions = bundle::builtin();
        decide(
            &template,
            &node,
            &Inputs { definitions: &definitions, archive: None, key_files: &BTreeMap::new() },
        )
    }

    #[test]
    fn published_plans() {
        for (name, text) in [("kvm", KVM), ("kvm-legacy", KVM_LEGACY)] {
            let (plan, _) = plan(text).unwrap();
            insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
                insta::assert_json_snapshot!(format!("plan-{name}"), plan);
            });
        }
    }

    #[test]
    fn a_plan_reads_back_equal() {
        let (plan, _) = plan(KVM).unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_password_is_not_in_the_plan() {
        let text = KVM.replacen('{', r#"{"Users": [{"username": "u", "password": "$6$salt$secret"}],"#, 1);
        let (plan, secrets) = plan(&text).unwrap();
        assert_eq!(plan.system.users[0].password, Password::Hash);
        assert!(!serde_json::to_string(&plan).unwrap().contains("secret"));
        assert!(!format!("{secrets:?}").contains("secret"));
    }

    #[test]
    fn consoles_are_added_unless_the_template_names_one() {
        let cmdline = |extra: &str| {
            let text = KVM.replacen('{', &format!(r#"{{"cmdline": "{extra}","#), 1);
            plan(&text).unwrap().0.boot.unwrap().kernel_command_line
        };
        assert!(cmdline("quiet").ends_with(" rw console=tty0 console=ttyS0,115200n8 quiet"));
        assert!(cmdline("console=hvc0").ends_with(" rw console=hvc0"));
    }

    #[test]
    fn rest_needs_the_disk_size() {
        let text = KVM.replace("\"8G\"", "\"rest\"");
        let refusals = plan(&text).unwrap_err();
        assert_eq!(refusals.len(), 1);
        assert_eq!(&text[refusals[0].span.start..refusals[0].span.end], "\"rest\"");
        let (plan, _) = plan(&text.replacen('{', r#"{"DiskSize": "4G","#, 1)).unwrap();
        assert_eq!(plan.partitions[2].size, Bytes::mib(4096 - 1 - 512 - 32 - 1));
    }

    #[test]
    fn without_esp_and_bios_nothing_boots() {
        let text = KVM_LEGACY.replace("\"LegacyBios\": true", "\"LegacyBios\": false");
        assert_eq!(plan(&text).unwrap().0.boot, None);
    }
}
