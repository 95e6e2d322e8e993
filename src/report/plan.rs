//! Renders a plan as tables.

use super::Table;
use super::table::{GAP, wrapped};
use crate::plan::{Disk, Password, Plan, Space};
use crate::template::Bytes;

/// "kvm.img: 8.5 GiB (9162457088 bytes), sectors of 512 bytes".
pub fn disk_title(disk: &Disk) -> String {
    format!(
        "{}: {} ({} bytes), sectors of {} bytes",
        disk.name,
        disk.size,
        disk.size.0,
        disk.sector_size.bytes()
    )
}

/// How much a plan's tables show.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanView {
    /// All columns, with GUIDs.
    pub wide: bool,
    /// Columns of the terminal; `None` for no limit.
    pub width: Option<usize>,
}

/// On narrower terminals, block addresses are left out.
const WIDTH_FOR_ADDRESSES: usize = 80;

pub fn plan_table(plan: &Plan, view: PlanView) -> String {
    let lines = plan_lines(plan, view);
    let width = view.width.unwrap_or(usize::MAX);
    let mut out: String =
        lines.lines().map(|line| wrapped(line, width.saturating_sub(GAP), "  ") + "\n").collect();
    out.push('\n');
    for disk in &plan.disks {
        if plan.disks.len() > 1 {
            out.push_str(&format!("{}\n", disk.name));
        }
        out.push_str(&disk_tables(disk, view));
    }
    out
}

/// What is not in the tables, a line each.
fn plan_lines(plan: &Plan, view: PlanView) -> String {
    let mut out = String::new();
    for disk in &plan.disks {
        let table = if disk.keeps_table { ", partition table preserved" } else { "" };
        let guid = if view.wide { format!(", disk GUID {}", disk.guid) } else { String::new() };
        out.push_str(&format!("{}{guid}{table}\n", disk_title(disk)));
    }
    match &plan.boot {
        Some(boot) => out.push_str(&format!(
            "boots with {} and {}\nkernel command line: {}\n",
            boot.firmware, boot.loader, boot.kernel_command_line
        )),
        None => out.push_str("not bootable: no ESP on /boot, and LegacyBios is not set\n"),
    }
    let content = &plan.content;
    out.push_str(&format!(
        "content: {} {} from {}\nbundles: {}\n",
        content.manager,
        content.release,
        content.archive.as_deref().unwrap_or("the package sources of the host"),
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
    if !plan.published.is_empty() {
        let names: Vec<&str> = plan.published.iter().map(|file| file.name.as_str()).collect();
        out.push_str(&format!("published: {}\n", names.join(", ")));
    }
    out
}

/// Tables of the partitions: positions, identifiers and capacity.
fn disk_tables(disk: &Disk, view: PlanView) -> String {
    let with_addresses = view.wide || view.width.is_none_or(|width| width >= WIDTH_FOR_ADDRESSES);
    let columns = [
        ("#", true),
        ("first LBA", with_addresses),
        ("last LBA", with_addresses),
        ("size", true),
        ("bytes", view.wide),
        ("filesystem", true),
        ("label", view.wide),
        ("mount", true),
        ("name", true),
    ];
    let shown: Vec<&'static str> =
        columns.iter().filter(|(_, shown)| *shown).map(|(name, _)| *name).collect();
    let numbers = ["#", "first LBA", "last LBA", "size", "bytes"];
    let right: Vec<usize> = (0..shown.len()).filter(|index| numbers.contains(&shown[*index])).collect();
    let mut places = Table::new(&shown, &right);
    let mut names = Table::new(&["#", "type GUID", "unique GUID", "filesystem UUID", "flags"], &[0]);
    let mut spaces = Table::new(&["#", "capacity", "inodes", "used", "free", "remarks"], &[0, 1, 2, 3, 4]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for partition in &disk.partitions {
        let filesystem = partition.filesystem.as_ref();
        let kind = filesystem.map(|f| {
            let preserved = if f.keep { ", preserved" } else { "" };
            let luks = if partition.encryption.is_some() { " in LUKS2" } else { "" };
            format!("{}{luks}{preserved}", f.kind)
        });
        let cells = [
            partition.number.to_string(),
            partition.first_lba.to_string(),
            partition.last_lba.to_string(),
            partition.size.to_string(),
            partition.size.0.to_string(),
            or_dash(kind),
            or_dash(filesystem.and_then(|f| f.label.clone())),
            or_dash(partition.mount.clone()),
            partition.name.clone(),
        ];
        places.row(cells.into_iter().zip(columns).filter(|(_, (_, shown))| *shown).map(|(cell, _)| cell));
        let flags = [(partition.legacy_boot, "legacy-boot"), (partition.no_auto, "no-auto")];
        let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        names.row([
            partition.number.to_string(),
            partition.type_guid.to_string(),
            partition.guid.to_string(),
            or_dash(filesystem.and_then(|f| f.uuid.clone())),
            or_dash((!flags.is_empty()).then(|| flags.join(", "))),
        ]);
        if let Some(space) = &partition.space {
            let bytes = |bytes: Option<Bytes>| or_dash(bytes.map(|bytes| bytes.to_string()));
            spaces.row([
                partition.number.to_string(),
                space.offers.to_string(),
                or_dash(space.inodes.map(|count| count.to_string())),
                bytes(space.holds),
                bytes(space.left),
                or_dash(another_kernel(space)),
            ]);
        }
    }
    let names = if view.wide { names.render() + "\n" } else { String::new() };
    places.render() + "\n" + &names + &spaces.render_within(view.width)
}

fn another_kernel(space: &Space) -> Option<String> {
    let (need, left) = (space.another_kernel?, space.left?);
    Some(if need <= left {
        format!("space for another kernel ({need})")
    } else {
        format!("no space for another kernel ({need})")
    })
}
