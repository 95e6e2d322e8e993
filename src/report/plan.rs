//! A plan as a table.

use super::Table;
use crate::plan::{Password, Plan};

pub fn plan_table(plan: &Plan) -> String {
    let mut out = format!(
        "{}: {} ({} bytes), sectors of {} bytes, disk GUID {}\n",
        plan.image,
        plan.disk.size,
        plan.disk.size.0,
        plan.disk.sector_size.bytes(),
        plan.disk.guid
    );
    match &plan.boot {
        Some(boot) => out.push_str(&format!(
            "boots by {} with {}\nkernel command line: {}\n",
            boot.firmware, boot.loader, boot.kernel_command_line
        )),
        None => out.push_str("not bootable: there is no ESP on /boot, and LegacyBios is not set\n"),
    }
    let content = &plan.content;
    out.push_str(&format!(
        "content: {} {} from {}\nbundles: {}\n",
        content.manager,
        content.release,
        content.archive.as_deref().unwrap_or("the host's own package sources"),
        content.bundles.join(" "),
    ));
    if !content.packages.is_empty() {
        out.push_str(&format!("packages: {}\n", content.packages.join(" ")));
    }
    if let Some(name) = &plan.system.hostname {
        out.push_str(&format!("host name: {name}\n"));
    }
    for user in &plan.system.users {
        let uid = user.uid.map(|uid| format!(" (uid {uid})")).unwrap_or_default();
        let password = match user.password {
            Password::Locked => "no password login",
            Password::Empty => "empty password",
            Password::Hash => "password",
        };
        let key = if user.ssh_key.is_some() { ", ssh key" } else { "" };
        let sudo = if user.sudo { ", sudo" } else { "" };
        out.push_str(&format!("user: {}{uid}, {password}{key}{sudo}\n", user.name));
    }
    out.push('\n');

    let mut places = Table::new(
        &["#", "first LBA", "last LBA", "size", "bytes", "filesystem", "label", "mount", "name"],
        &[0, 1, 2, 3, 4],
    );
    let mut names = Table::new(&["#", "type GUID", "unique GUID", "filesystem UUID", "flags"], &[0]);
    for partition in &plan.partitions {
        let filesystem = partition.filesystem.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        places.row([
            partition.number.to_string(),
            partition.first_lba.to_string(),
            partition.last_lba.to_string(),
            partition.size.to_string(),
            partition.size.0.to_string(),
            or_dash(filesystem.map(|f| f.kind.to_string())),
            or_dash(filesystem.and_then(|f| f.label.clone())),
            or_dash(partition.mount.clone()),
            partition.name.clone(),
        ]);
        names.row([
            partition.number.to_string(),
            partition.type_guid.to_string(),
            partition.guid.to_string(),
            or_dash(filesystem.map(|f| f.uuid.clone())),
            if partition.legacy_boot { "legacy-boot".to_owned() } else { "-".to_owned() },
        ]);
    }
    out + &places.render() + "\n" + &names.render()
}
