//! What QMP events mean for a run. Source: QEMU, qapi/run-state.json.

use super::super::monitor::BootMonitor;
use super::super::qmp::QmpEvent;
use std::time::Duration;

/// Whether the guest has reset the machine or powered it off.
pub(super) fn is_end_of_run(event: &QmpEvent) -> bool {
    matches!(event.name.as_str(), "RESET" | "SHUTDOWN") && event.data["guest"].as_bool() == Some(true)
}

pub(super) fn is_switched_off(event: &QmpEvent) -> bool {
    event.name == "SHUTDOWN" && event.data["guest"].as_bool() == Some(true)
}

/// The error of the host if QEMU stopped the guest because a write to its disk failed. Source: QEMU,
/// qapi/block-core.json, BLOCK_IO_ERROR; man page, `werror`: the default is "enospc".
pub(super) fn fault(event: &QmpEvent) -> Option<&'static str> {
    let is_stopped = event.name == "BLOCK_IO_ERROR" && event.data["action"] == "stop";
    is_stopped.then_some(match event.data["nospace"].as_bool() {
        Some(true) => {
            "the host has no space left for the guest's disk: set TMPDIR to a directory with more space"
        }
        _ => "the host could not read or write the guest's disk",
    })
}

pub(super) fn observe(monitor: &mut BootMonitor, event: &QmpEvent, at: Duration) {
    match event.name.as_str() {
        "RESET" if event.data["guest"].as_bool() == Some(true) => monitor.reset(at),
        "SHUTDOWN" if is_switched_off(event) => monitor.shut_down(at),
        "GUEST_PANICKED" => monitor.panicked(at),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stop_for_a_host_disk_error_is_reported() {
        let event = |name: &str, data: serde_json::Value| QmpEvent { name: name.to_owned(), data };
        let stop = json!({ "device": "disk0", "operation": "write", "action": "stop", "nospace": true });
        let why = fault(&event("BLOCK_IO_ERROR", stop.clone())).unwrap();
        assert!(why.contains("no space left"), "{why}");
        let report = json!({ "action": "report", "nospace": false });
        assert_eq!(fault(&event("BLOCK_IO_ERROR", report)), None);
        assert_eq!(fault(&event("STOP", stop)), None);
    }
}
