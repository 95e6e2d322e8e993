//! The disks of a physical target: what is on them, and whether they may be written to.

use super::console::Console;
use crate::host::{Context, Failure, Invocation, run};
use crate::image::device::{self, Found};
use crate::plan::{Disk, Plan};
use crate::report::{Table, disk_title};
use std::fs::File;
use std::io::{IsTerminal, Write};

/// Whether somebody has said already that the disks may be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Ask,
    Given,
}

/// Opens every disk of the plan for writing, after it was shown what is on them. Nothing if nobody agreed; that is said.
pub(super) fn open(plan: &Plan, consent: Consent, console: &Console) -> Result<Option<Vec<File>>, Failure> {
    let mut opened = Vec::new();
    for disk in &plan.disks {
        opened.push(device::open(&disk.name)?);
    }
    for disk in &plan.disks {
        console.say(&show(disk)?);
    }
    if consent == Consent::Given || agreed(plan, console)? {
        return Ok(Some(opened));
    }
    Ok(None)
}

fn agreed(plan: &Plan, console: &Console) -> Result<bool, Failure> {
    let names: Vec<&str> = plan.disks.iter().map(|disk| disk.name.as_str()).collect();
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        console.say(&format!(
            "error: nobody can be asked whether {} may be erased\n  help: say so with --erase",
            names.join(", ")
        ));
        return Ok(false);
    }
    let mut err = std::io::stderr();
    let context = || "could not ask on the terminal".to_owned();
    write!(err, "What is marked above will be lost. Type `{}` to go on: ", names.join(" "))
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

/// What a disk holds now, and what becomes of it.
fn show(disk: &Disk) -> Result<String, Failure> {
    let facts = device::facts(&disk.name)?
        .ok_or_else(|| Failure::new(format!("the disk /dev/{} has gone", disk.name)))?;
    let found = device::contents(&disk.name, &facts)?;
    let title = disk_title(disk);
    if found.is_empty() {
        return Ok(format!("{title}: nothing that is known is on it"));
    }
    let mut table = Table::new(&["#", "size", "holds", "label", "becomes"], &[0, 1]);
    for Found { partition, size, kind, label } in &found {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            partition.map_or_else(|| "-".to_owned(), |number| number.to_string()),
            size.to_string(),
            or_dash(kind),
            or_dash(label),
            fate(disk, *partition).to_owned(),
        ]);
    }
    Ok(format!("{title}, which holds:\n{}", table.render().trim_end()))
}

fn fate(disk: &Disk, partition: Option<u32>) -> &'static str {
    let planned = disk.partitions.iter().find(|p| Some(p.number) == partition && disk.keeps_table);
    match planned {
        Some(partition) if disk.stays(partition) => "stays",
        Some(_) => "ERASED, reformatted",
        None if disk.keeps_table => "stays",
        None => "ERASED",
    }
}

/// Lets the kernel know of the new partitions. Somebody who has one open in the meantime keeps it from that.
pub(super) fn announce(plan: &Plan, console: &Console) {
    for disk in plan.disks.iter().filter(|disk| !disk.keeps_table) {
        let path = format!("/dev/{}", disk.name);
        let again = Invocation::new("blockdev").args(["--rereadpt", path.as_str()]);
        if run(&again).is_err() {
            console.say(&format!(
                "warning: the kernel could not read {path}'s new partition table; `partprobe {path}` or a restart lets it"
            ));
        }
    }
}
