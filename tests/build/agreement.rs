//! Comparison of an image with its plan.

use super::run;
use std::path::Path;

/// Asserts that independent programs report what the plan of the image specifies.
pub(super) fn assert_matches_plan(image: &Path) {
    let plan: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{}.plan.json", image.display())).unwrap()).unwrap();
    let plan = &plan["disks"][0];
    let image = image.to_str().unwrap();
    let table: serde_json::Value = serde_json::from_str(&run("sfdisk", &["--json", image])).unwrap();
    let table = &table["partitiontable"];
    let lower = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_lowercase();
    assert_eq!(lower(&table["id"]), lower(&plan["guid"]));
    let partitions = plan["partitions"].as_array().unwrap();
    assert_eq!(table["partitions"].as_array().unwrap().len(), partitions.len());
    for (seen, planned) in table["partitions"].as_array().unwrap().iter().zip(partitions) {
        assert_eq!(seen["start"], planned["first_lba"]);
        assert_eq!(
            seen["size"].as_u64().unwrap(),
            planned["last_lba"].as_u64().unwrap() - planned["first_lba"].as_u64().unwrap() + 1
        );
        assert_eq!(lower(&seen["type"]), lower(&planned["type_guid"]));
        assert_eq!(lower(&seen["uuid"]), lower(&planned["guid"]));
        assert_eq!(seen["name"], planned["name"]);
        let offset = (planned["first_lba"].as_u64().unwrap() * 512).to_string();
        let size = planned["size"].as_u64().unwrap().to_string();
        let probe = run("blkid", &["-p", "-O", &offset, "-S", &size, "-o", "export", image]);
        let filesystem = &planned["filesystem"];
        for (key, value) in [("TYPE", &filesystem["type"]), ("UUID", &filesystem["uuid"])] {
            let line = format!("{key}={}", value.as_str().unwrap());
            assert!(probe.lines().any(|l| l == line), "{line} in {probe}");
        }
        if let Some(label) = filesystem["label"].as_str() {
            assert!(probe.lines().any(|l| l == format!("LABEL={label}")), "{probe}");
        }
    }
    let verified = run("sgdisk", &["-v", image]);
    assert!(verified.contains("No problems found"), "{verified}");
}
