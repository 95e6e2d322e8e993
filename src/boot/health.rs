//! Judges the health of a running system from the output of commands in it.

use super::mounts;
use super::network;
use super::session::Answer;
use super::verdict::{Class, Note, NoteKind};
use crate::plan::Plan;
use crate::template::Bytes;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::str::FromStr;

/// The commands, in this order. The first one waits for a system that is still starting, with a timeout.
pub(super) const COMMANDS: [&str; 6] = [
    "timeout 300 systemctl is-system-running --wait || systemctl is-system-running",
    "systemctl --failed --no-legend --plain --no-pager; systemctl list-jobs --no-legend --no-pager",
    mounts::MOUNTS,
    mounts::SWAPS,
    mounts::SIZES,
    network::STATE,
];

/// Source: systemctl(1), is-system-running.
const STATES: [&str; 8] =
    ["initializing", "starting", "running", "degraded", "maintenance", "stopping", "offline", "unknown"];

/// Whether a command is one of the checks of `--healthy`, and not of `--run`.
pub fn is_health_check(command: &str) -> bool {
    COMMANDS.contains(&command)
}

/// Returns the class and the lines that prove a problem. The first `answers` are those to [`COMMANDS`]; without a plan
/// the mounts are not checked. `larger`: the disk is larger than planned. `host`: the required host name, if it differs
/// from the plan's.
pub(super) fn judge(
    answers: &[Answer],
    plan: Option<&Plan>,
    larger: bool,
    host: Option<&str>,
) -> Option<(Class, Vec<String>)> {
    let [state, failed, mounted, swaps, sizes, network, ..] = answers else {
        return Some((Class::Degraded, vec!["the state of the system was not queried".to_owned()]));
    };
    // The kernel and other programs print to the same console.
    let state = state.lines.iter().rfind(|line| STATES.contains(&line.trim()));
    if state.is_none_or(|state| state.trim() != "running") {
        let said = state.map(|state| format!("system state: {}", state.trim()));
        return Some((Class::Degraded, said.into_iter().chain(failed.lines.iter().cloned()).collect()));
    }
    let wrong = mounts::judge(plan?, &mounted.lines, &swaps.lines, &sizes.lines, larger);
    if !wrong.is_empty() {
        return Some((Class::WrongMounts, wrong));
    }
    let wrong = network::judge(network, plan?, host);
    (!wrong.is_empty()).then_some((Class::WrongNetwork, wrong))
}

/// A health note that is not a failure until a given day: `failed-unit:2027-06-30:mcelog.service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedNote {
    pub kind: NoteKind,
    /// The last day, such as 2027-06-30.
    pub until: String,
    /// A substring of the line.
    pub text: String,
}

impl FromStr for AllowedNote {
    type Err = String;

    fn from_str(text: &str) -> Result<AllowedNote, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(kind), Some(until), Some(part)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("expected KIND:YYYY-MM-DD:TEXT".to_owned());
        };
        let kind = NoteKind::deserialize(kind.into_deserializer())
            .map_err(|error: serde::de::value::Error| error.to_string())?;
        if humantime::parse_rfc3339(&format!("{until}T00:00:00Z")).is_err() {
            return Err(format!("`{until}` is not a date of the form YYYY-MM-DD"));
        }
        if part.is_empty() {
            return Err("the text must not be empty".to_owned());
        }
        Ok(AllowedNote { kind, until: until.to_owned(), text: part.to_owned() })
    }
}

impl AllowedNote {
    /// `today` has the form 2027-06-30.
    pub fn is_over(&self, today: &str) -> bool {
        today > self.until.as_str()
    }
}

/// The notes that are failures and not allowed.
pub(super) fn judge_notes(notes: &[Note], allowed: &[AllowedNote]) -> Option<(Class, Vec<String>)> {
    let is_allowed = |note: &&Note| {
        allowed.iter().any(|allowed| allowed.kind == note.kind && note.line.contains(&allowed.text))
    };
    let wrong: Vec<String> = notes
        .iter()
        .filter(|note| note.kind.is_fault() && !is_allowed(note))
        .map(|note| format!("{}: {}", note.kind, note.line))
        .collect();
    (!wrong.is_empty()).then_some((Class::Degraded, wrong))
}

/// Commands that show whether the root filesystem is writable.
pub(super) const ROOT: [&str; 2] = ["cat /proc/mounts", "df -Pk /"];

/// Whether the root filesystem is full or read-only, from the answers to [`ROOT`].
pub(super) fn judge_root(mounts: &Answer, free: &Answer) -> Option<(Class, Vec<String>)> {
    // Source: proc_pid_mountinfo(5). The last mount on `/` is the visible one.
    let root = mounts.lines.iter().rfind(|line| line.split(' ').nth(1) == Some("/"));
    let is_read_only =
        |line: &&String| line.split(' ').nth(3).is_some_and(|o| o.split(',').any(|o| o == "ro"));
    if let Some(line) = root.filter(is_read_only) {
        return Some((Class::RootReadOnly, vec![line.clone()]));
    }
    // Source: POSIX, df -P: the fourth column is the available space.
    let is_full = |line: &&String| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.len() >= 6 && columns[columns.len() - 1] == "/" && columns[columns.len() - 3] == "0"
    };
    let full = free.lines.iter().find(is_full);
    full.map(|line| (Class::RootFull, vec![line.clone()]))
}

/// Prints the size of the root filesystem in bytes.
pub(super) const GROWN: &str = "df -B1 --output=size /";

/// Whether the root filesystem fills a disk that is larger by `more`, from the answer to [`GROWN`].
pub(super) fn judge_grown(answer: &Answer, plan: Option<&Plan>, more: Bytes) -> Option<(Class, Vec<String>)> {
    let size = answer.lines.iter().find_map(|line| line.trim().parse::<u64>().ok());
    let planned = plan.and_then(|plan| plan.partition_at("/")).map_or(0, |(_, partition)| partition.size.0);
    // A filesystem needs part of the space for its metadata.
    let wanted = (planned + more.0) / 10 * 9;
    let what = match size {
        Some(size) if size >= wanted => return None,
        Some(size) => {
            format!("the size of the root filesystem is {}, expected at least {}", Bytes(size), Bytes(wanted))
        }
        None => "the size of the root filesystem is unknown".to_owned(),
    };
    Some((Class::NotGrown, std::iter::once(what).chain(answer.lines.iter().cloned()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_units_are_listed() {
        let answer = |lines: &[&str]| Answer {
            command: String::new(),
            status: 0,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let nothing = || answer(&[]);
        let with = |state: &[&str], failed: &[&str]| {
            [answer(state), answer(failed), nothing(), nothing(), nothing(), nothing()]
        };
        assert_eq!(judge(&with(&["running"], &[]), None, false, None), None);
        let mixed = ["[  112.6] cloud-init[521]: running 'modules:final'", "running", "[  113.0] done"];
        assert_eq!(judge(&with(&mixed, &[]), None, false, None), None);
        let bad = with(&["degraded", "degraded"], &["a.service loaded failed failed A"]);
        let (class, lines) = judge(&bad, None, false, None).unwrap();
        assert_eq!(class, Class::Degraded);
        assert_eq!(lines, ["system state: degraded", "a.service loaded failed failed A"]);
        assert!(judge(&with(&[], &[]), None, false, None).is_some());
        assert!(judge(&[], None, false, None).is_some());
    }

    #[test]
    fn read_only_and_full_roots_are_detected() {
        let answer = |lines: &[&str]| Answer {
            command: String::new(),
            status: 0,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let free = answer(&[
            "Filesystem     1024-blocks   Used Available Capacity Mounted on",
            "/dev/vda3          1998672 482108   1394704      26% /",
        ]);
        let full = answer(&["/dev/vda3          1998672 1998672         0     100% /"]);
        let writable = answer(&["sysfs /sys sysfs ro,relatime 0 0", "/dev/vda3 / ext4 rw,relatime 0 0"]);
        let read_only = answer(&["/dev/vda3 / ext4 ro,relatime 0 0"]);
        assert_eq!(judge_root(&writable, &free), None);
        assert_eq!(judge_root(&read_only, &free).unwrap().0, Class::RootReadOnly);
        assert_eq!(judge_root(&writable, &full).unwrap().0, Class::RootFull);
        // An overlay on a read-only filesystem.
        let overlay = answer(&["/dev/vda1 / erofs ro 0 0", "overlay / overlay rw,relatime 0 0"]);
        assert_eq!(judge_root(&overlay, &free), None);
    }

    #[test]
    fn notes_are_failures_unless_allowed() {
        let note = |kind, line: &str| Note { kind, line: line.to_owned(), at: 1.0 };
        let notes = [
            note(NoteKind::FailedUnit, "[FAILED] Failed to start mcelog.service"),
            note(NoteKind::NotTheEnd, "kernel-panic: a museum"),
        ];
        assert_eq!(
            judge_notes(&notes, &[]).unwrap().1,
            ["failed-unit: [FAILED] Failed to start mcelog.service"]
        );
        let allowed: AllowedNote = "failed-unit:2027-06-30:mcelog".parse().unwrap();
        assert_eq!(judge_notes(&notes, std::slice::from_ref(&allowed)), None);
        assert!(allowed.is_over("2027-07-01") && !allowed.is_over("2027-06-30"));
        for bad in ["failed-unit:2027-06-30", "nothing:2027-06-30:x", "clock:soon:x", "clock:2027-06-30:"] {
            assert!(bad.parse::<AllowedNote>().is_err(), "{bad}");
        }
    }
}
