//! The disks of a physical target: shows their contents and asks before erasing them.

use super::console::Console;
use crate::host::{Context, Failure, Invocation, run};
use crate::image::device::{self, DeviceContent};
use crate::plan::{Disk, Plan};
use crate::report::{Table, disk_title};
use std::fs::File;
use std::io::{IsTerminal, Write};

/// Whether the user must still confirm that the disks are erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Ask,
    Given,
}

/// Opens every disk of the plan for writing, after showing its contents. `None`, with a message, without the user's
/// consent.
pub(super) fn open(plan: &Plan, consent: Consent, console: &Console) -> Result<Option<Vec<File>>, Failure> {
    let mut opened = Vec::new();
    for disk in &plan.disks {
        opened.push(device::open(&disk.name)?);
    }
    for disk in &plan.disks {
        console.say(&show(disk)?);
    }
    if consent == Consent::Given || confirm(plan, console)? {
        return Ok(Some(opened));
    }
    Ok(None)
}

fn confirm(plan: &Plan, console: &Console) -> Result<bool, Failure> {
    let names: Vec<&str> = plan.disks.iter().map(|disk| disk.name.as_str()).collect();
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        console.say(&format!(
            "error: cannot ask for confirmation to erase {} without a terminal\n  help: to erase without confirmation, add --erase",
            names.join(", ")
        ));
        return Ok(false);
    }
    let mut err = std::io::stderr();
    let context = || "could not ask for confirmation on the terminal".to_owned();
    write!(err, "Everything marked ERASED will be lost. Type `{}` to continue: ", names.join(" "))
        .context(context)?;
    err.flush().context(context)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context(context)?;
    if answer.trim() == names.join(" ") {
        return Ok(true);
    }
    console.say("nothing was written");
    Ok(false)
}

/// The current contents of a disk, and whether each partition is erased or preserved.
fn show(disk: &Disk) -> Result<String, Failure> {
    let facts = device::facts(&disk.name)?
        .ok_or_else(|| Failure::new(format!("the disk `/dev/{}` has disappeared", disk.name)))?;
    let found = device::contents(&disk.name, &facts)?;
    let title = disk_title(disk);
    if found.is_empty() {
        return Ok(format!("{title}: no known contents"));
    }
    let mut table = Table::new(&["#", "size", "contents", "label", "action"], &[0, 1]);
    for DeviceContent { partition, size, kind, label } in &found {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            partition.map_or_else(|| "-".to_owned(), |number| number.to_string()),
            size.to_string(),
            or_dash(kind),
            or_dash(label),
            action(disk, *partition).to_owned(),
        ]);
    }
    Ok(format!("{title}, current contents:\n{}", table.render().trim_end()))
}

fn action(disk: &Disk, partition: Option<u32>) -> &'static str {
    let planned = disk.partitions.iter().find(|p| Some(p.number) == partition && disk.keeps_table);
    match planned {
        Some(partition) if disk.stays(partition) => "preserved",
        Some(_) => "ERASED, reformatted",
        None if disk.keeps_table => "preserved",
        None => "ERASED",
    }
}

/// Makes the kernel read the new partition tables again. This fails if a partition is in use.
pub(super) fn announce(plan: &Plan, console: &Console) {
    for disk in plan.disks.iter().filter(|disk| !disk.keeps_table) {
        let path = format!("/dev/{}", disk.name);
        let again = Invocation::new("blockdev").args(["--rereadpt", path.as_str()]);
        if run(&again).is_err() {
            console.say(&format!(
                "warning: the kernel did not reload the partition table of `{path}`; run `partprobe {path}` or reboot"
            ));
        }
    }
}
