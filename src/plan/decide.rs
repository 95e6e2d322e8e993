//! Creates a plan from a template.

use super::boot::{self, boot};
use super::content::content;
use super::disks::disks;
use super::identity::Identity;
use super::inputs::{Inputs, PlanError};
use super::model::*;
use super::space;
use super::system::system;
use crate::template::*;

/// Creates the plan of a template. The template must have no lint errors; they are not checked again.
pub fn decide(template: &Template, node: &Node, inputs: &Inputs) -> Result<(Plan, Secrets), Vec<PlanError>> {
    let identity = Identity::of(node, inputs.seed);
    let mut disks = disks(template, inputs, &identity)?;
    space::check_least(template, &disks)?;
    let boot = boot(template, &disks);
    boot::check(template, &disks, boot.as_ref())?;
    check_formats(template, &disks)?;
    let content = content(template, inputs, boot_method(template).filter(|_| boot.is_some()))?;
    if let Some(footprint) = inputs.footprint {
        space::fill(template, &mut disks, boot.as_ref(), footprint)?;
    }
    let (system, secrets) = system(template, inputs, &disks, boot.as_ref(), &content);
    let published = published(template, &disks);
    let plan = Plan {
        version: PLAN_VERSION,
        destination: if template.is_physical() { Destination::Physical } else { Destination::Virtual },
        disks,
        boot,
        content,
        system,
        hooks: hooks(template),
        published,
    };
    Ok((plan, secrets))
}

/// The content to fetch. It is needed before partition sizes can be decided.
pub fn decide_content(template: &Template, inputs: &Inputs) -> Result<Content, Vec<PlanError>> {
    content(template, inputs, boot_method(template))
}

/// Rejects formats that cannot represent the disk.
fn check_formats(template: &Template, disks: &[Disk]) -> Result<(), Vec<PlanError>> {
    let Some(disk) = disks.first() else { return Ok(()) };
    let refusals: Vec<PlanError> = entries(&template.formats)
        .iter()
        .filter_map(|entry| {
            let Named::Known(format) = entry.value else { return None };
            let problem = limits::of_format(format).refuse(disk.size, disk.sector_size.bytes())?;
            Some(PlanError::new(
                entry.span,
                problem,
                "remove the format, or change the size or sector size of the disk",
            ))
        })
        .collect();
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

/// The files to publish. They are named after the image, with the extension of the format.
fn published(template: &Template, disks: &[Disk]) -> Vec<Published> {
    let Some(image) = disks.first().map(|disk| disk.name.as_str()) else { return Vec::new() };
    let stem = [".img", ".raw"].iter().find_map(|ending| image.strip_suffix(ending)).unwrap_or(image);
    let file = |format: &Spanned<Named<Format>>| {
        let Named::Known(format) = format.value else { return None };
        let name = match format {
            Format::RawXz => format!("{image}.xz"),
            Format::RawZst => format!("{image}.zst"),
            Format::RawGz => format!("{image}.gz"),
            Format::Qcow2Zstd => format!("{stem}.zstd.qcow2"),
            Format::Oci => format!("{stem}.oci.tar"),
            Format::Pxe => format!("{stem}.pxe.tar.xz"),
            other => format!("{stem}.{other}"),
        };
        Some(Published { format, name })
    };
    entries(&template.formats).iter().filter_map(file).collect()
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
    use crate::plan::bundle;

    const KVM: &str = include_str!("../../vm-tests/kvm/template.json");
    const KVM_LEGACY: &str = include_str!("../../vm-tests/kvm-legacy/template.json");

    fn plan(text: &str) -> Result<(Plan, Secrets), Vec<PlanError>> {
        let (template, node, faults) = parse(&SourceText::new("t.json", text));
        assert_eq!(faults, []);
        let definitions = bundle::builtin();
        decide(&template, &node, &Inputs::new(&definitions))
    }

    #[test]
    fn plans_of_published_templates() {
        for (name, text) in [("kvm", KVM), ("kvm-legacy", KVM_LEGACY)] {
            let (plan, _) = plan(text).unwrap();
            insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
                insta::assert_json_snapshot!(format!("plan-{name}"), plan);
            });
        }
    }

    #[test]
    fn plans_round_trip_through_json() {
        let (plan, _) = plan(KVM).unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn plans_contain_no_passwords() {
        let text = KVM.replacen('{', r#"{"Users": [{"username": "u", "password": "$6$salt$secret"}],"#, 1);
        let (plan, secrets) = plan(&text).unwrap();
        assert_eq!(plan.system.users[0].password, Password::Hash);
        assert!(!serde_json::to_string(&plan).unwrap().contains("secret"));
        assert!(!format!("{secrets:?}").contains("secret"));
    }

    #[test]
    fn mirrors_are_written_for_each_manager() {
        let with = |manager: &str, version: &str| {
            let keys = r#"{"MirrorURL": "https://m/x", "VersionURL": "https://m/v","#;
            let text =
                KVM.replacen('{', keys, 1).replace("\"apt\"", manager).replace("\"bookworm\"", version);
            plan(&text).unwrap().0.system
        };
        let swupd = with("\"swupd\"", "25");
        assert_eq!(swupd.files["/etc/swupd/mirror_contenturl"], "https://m/x\n");
        assert_eq!(swupd.files["/etc/swupd/mirror_versionurl"], "https://m/v\n");
        assert_eq!(swupd.mirror, None);
        let apt = with("\"apt\"", "\"bookworm\"");
        assert_eq!(apt.mirror.as_deref(), Some("https://m/x"));
        assert!(!apt.files.keys().any(|path| path.contains("swupd")));
    }

    #[test]
    fn plans_contain_no_password_of_the_service() {
        let text = KVM.replacen('{', r#"{"IsterCloudInitSvc": "http://u:s3cret@h/x/","#, 1);
        let (plan, secrets) = plan(&text).unwrap();
        assert_eq!(plan.system.cloud_init_service.as_deref(), Some("http://h/x/"));
        assert_eq!(secrets.cloud_init_service.as_deref(), Some("http://u:s3cret@h/x/"));
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
    fn rest_requires_the_disk_size() {
        let text = KVM.replace("\"8G\"", "\"rest\"");
        let refusals = plan(&text).unwrap_err();
        assert_eq!(refusals.len(), 1);
        assert_eq!(&text[refusals[0].span.start..refusals[0].span.end], "\"rest\"");
        let (plan, _) = plan(&text.replacen('{', r#"{"DiskSize": "4G","#, 1)).unwrap();
        assert_eq!(plan.disks[0].partitions[2].size, Bytes::mib(4096 - 1 - 512 - 32 - 1));
    }

    #[test]
    fn an_image_without_esp_and_bios_has_no_boot() {
        let text = KVM_LEGACY.replace("\"LegacyBios\": true", "\"LegacyBios\": false");
        assert_eq!(plan(&text).unwrap().0.boot, None);
    }

    #[test]
    fn partitions_below_the_minimum_filesystem_size_are_rejected() {
        let text = KVM.replace("\"ext4\"", "\"xfs\"").replace("\"8G\"", "\"299M\"");
        let refusals = plan(&text).unwrap_err();
        assert_eq!(refusals[0].message, "partition 3 (`/`) of 299 MiB is too small for xfs");
        assert_eq!(refusals[0].help, "make it 300 MiB or larger");
        assert!(plan(&text.replace("299M", "300M")).is_ok());
        let encrypted = r#""type": "ext4", "encryption": { "name": "x", "passphrase": { "env": "P" } }"#;
        let text = KVM.replace("\"type\": \"ext4\"", encrypted).replace("\"8G\"", "\"16M\"");
        assert_eq!(plan(&text).unwrap_err()[0].help, "make it 17 MiB or larger");
    }
}
