//! Whether a running system is as it should be, by what commands in it say.

use super::mounts;
use super::session::Answer;
use super::verdict::Class;
use crate::plan::Plan;

/// In this order; a system that is still starting is waited for, within bounds.
pub const COMMANDS: [&str; 5] = [
    "timeout 300 systemctl is-system-running --wait || systemctl is-system-running",
    "systemctl --failed --no-legend --plain --no-pager; systemctl list-jobs --no-legend --no-pager",
    mounts::MOUNTS,
    mounts::SWAPS,
    mounts::SIZES,
];

/// Source: systemctl(1), is-system-running.
const STATES: [&str; 8] =
    ["initializing", "starting", "running", "degraded", "maintenance", "stopping", "offline", "unknown"];

/// What is wrong, and the lines that say so. `answers` begin with those to [`COMMANDS`]; without a plan nothing is said of mounts.
pub fn judge(answers: &[Answer], plan: Option<&Plan>) -> Option<(Class, Vec<String>)> {
    let [state, failed, mounted, swaps, sizes, ..] = answers else {
        return Some((Class::Degraded, vec!["the system was not asked".to_owned()]));
    };
    // The kernel and others speak on the same console.
    let state = state.lines.iter().rfind(|line| STATES.contains(&line.trim()));
    if state.is_none_or(|state| state.trim() != "running") {
        let said = state.map(|state| format!("system state: {}", state.trim()));
        return Some((Class::Degraded, said.into_iter().chain(failed.lines.iter().cloned()).collect()));
    }
    let wrong = mounts::judge(plan?, &mounted.lines, &swaps.lines, &sizes.lines);
    (!wrong.is_empty()).then_some((Class::WrongMounts, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_unit_is_named() {
        let answer = |lines: &[&str]| Answer {
            command: String::new(),
            status: 0,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let nothing = || answer(&[]);
        let with = |state: &[&str], failed: &[&str]| {
            [answer(state), answer(failed), nothing(), nothing(), nothing()]
        };
        assert_eq!(judge(&with(&["running"], &[]), None), None);
        let mixed = ["[  112.6] cloud-init[521]: running 'modules:final'", "running", "[  113.0] done"];
        assert_eq!(judge(&with(&mixed, &[]), None), None);
        let bad = with(&["degraded", "degraded"], &["a.service loaded failed failed A"]);
        let (class, lines) = judge(&bad, None).unwrap();
        assert_eq!(class, Class::Degraded);
        assert_eq!(lines, ["system state: degraded", "a.service loaded failed failed A"]);
        assert!(judge(&with(&[], &[]), None).is_some());
        assert!(judge(&[], None).is_some());
    }
}
