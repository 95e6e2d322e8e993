//! Plans: snapshots for all shipped templates, validation against the schema, and comparison of partition tables with
//! independent programs.

use crate::common::{ister, text};
use ister::plan::layout::{DiskSize, PartitionRequest, SectorSize, solve};
use ister::plan::{Disk, PLAN_SCHEMA_TEXT, Partition, Plan};
use ister::template::{Bytes, Size};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// The output of `ister plan` with an empty cache, so that the content is not known.
fn planned(template: &Path, more: &[&str]) -> String {
    let cache = tempfile::tempdir().unwrap();
    let mut command = ister(&["plan", "-q"]);
    command.arg(template).args(more).arg("--cache-dir").arg(cache.path());
    let output = command.output().unwrap();
    // The plan, or the errors if there is none.
    if output.stdout.is_empty() { text(&output.stderr) } else { text(&output.stdout) }
}

/// Names and paths of all shipped templates: those in vm-tests, and the output of `ister new` for every published type.
fn templates(directory: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("vm-tests").unwrap().flatten() {
        let path = entry.path().join("template.json");
        if path.is_file() {
            found.push((format!("vm-{}", entry.file_name().to_str().unwrap()), path));
        }
    }
    for kind in ister::plan::published::TYPES {
        let path = directory.join(format!("{}.json", kind.name));
        let output = ister(&["new", kind.name, "-o"]).arg(&path).output().unwrap();
        if output.status.success() {
            found.push((format!("new-{}", kind.name), path));
        }
    }
    found.sort();
    found
}

fn plans_match_their_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let templates = templates(directory.path());
    assert!(templates.len() > 20);
    let mut shipped = Vec::new();
    for (name, path) in templates {
        let text = std::fs::read_to_string(&path).unwrap();
        // Options for templates that do not contain a disk size.
        let mut more = vec!["--wide"];
        for (word, options) in
            [("\"rest\"", ["--disk-size", "20G"]), ("\"physical\"", ["--disk-size", "20G"])]
        {
            if text.contains(word) && !more.contains(&options[1]) {
                more.extend(options);
            }
        }
        let shown = planned(&path, &more).replace(directory.path().to_str().unwrap(), "DIRECTORY");
        shipped.push((name, shown));
    }
    for (name, shown) in &shipped {
        // Most types of `ister new` are those of vm-tests, whose snapshot is enough.
        let type_of_vm_tests = name.strip_prefix("new-").map(|kind| format!("vm-{kind}"));
        if shipped.iter().any(|(other, plan)| Some(other) == type_of_vm_tests.as_ref() && plan == shown) {
            continue;
        }
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("plan-of-{name}"), shown);
        });
    }
}

fn plans_match_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(PLAN_SCHEMA_TEXT).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut plans = 0;
    for (name, path) in templates(directory.path()) {
        let more = ["--format", "json", "--disk-size", "20G", "--sector-size", "4096"];
        let shown = planned(&path, &more);
        let Ok(plan) = serde_json::from_str::<serde_json::Value>(&shown) else { continue };
        plans += 1;
        let faults: Vec<String> =
            validator.iter_errors(&plan).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}");
        // The plan round-trips through the typed model.
        let read: Plan = serde_json::from_value(plan.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), plan);
        let mut invalid = plan;
        invalid["disks"][0]["partitions"][0]["size"] = "1M".into();
        assert!(!validator.is_valid(&invalid));
    }
    assert!(plans > 10, "{plans}");
    let output = ister(&["schema", "plan"]).output().unwrap();
    assert_eq!(text(&output.stdout), PLAN_SCHEMA_TEXT);
}

fn svg_shows_every_partition() {
    let directory = tempfile::tempdir().unwrap();
    let svg = planned(Path::new("vm-tests/kvm/template.json"), &["--format", "svg"]);
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("plan-kvm-svg", svg);
    });
    // Even the smallest of many partitions is wide enough to be readable.
    let path = directory.path().join("tail.json");
    let layout: Vec<serde_json::Value> = (1..=12)
        .map(|number| {
            let size = if number == 3 { "4T".to_owned() } else { format!("{number}M") };
            let kind = if number == 1 { "EFI" } else { "linux" };
            serde_json::json!({ "disk": "<&>.img", "partition": number, "size": size, "type": kind })
        })
        .collect();
    let template = serde_json::json!({
        "DestinationType": "virtual", "Version": 1, "Bundles": ["os-core"],
        "PartitionLayout": layout,
        "FilesystemTypes": [
            { "disk": "<&>.img", "partition": 1, "type": "vfat" }, { "disk": "<&>.img", "partition": 3, "type": "ext4" }
        ],
        "PartitionMountPoints": [
            { "disk": "<&>.img", "partition": 1, "mount": "/boot" }, { "disk": "<&>.img", "partition": 3, "mount": "/" }
        ],
    });
    std::fs::write(&path, template.to_string()).unwrap();
    let svg = planned(&path, &["--format", "svg"]);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(svg.matches("<g>").count(), 12);
    assert!(svg.contains("&lt;&amp;&gt;.img") && !svg.contains("<&>"), "{svg}");
    let widths =
        svg.split("height=\"84\"").filter_map(|part| part.rsplit("width=\"").next()?.split('"').next());
    let widths: Vec<f64> = widths.filter_map(|text| text.parse().ok()).collect();
    assert!(widths.len() >= 12 && widths.iter().all(|width| *width >= 96.0), "{widths:?}");
}

fn diff_compares_plans_by_value() {
    let directory = tempfile::tempdir().unwrap();
    let kvm = "vm-tests/kvm/template.json";
    let diff = |other: &str| {
        let output = ister(&["plan", kvm, "--diff", other, "-q"])
            .env("XDG_CACHE_HOME", directory.path())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(diff(kvm), (Some(0), "the plans are identical\n".to_owned()));
    let changed = directory.path().join("changed.json");
    let template = std::fs::read_to_string(kvm).unwrap().replace("\"8G\"", "\"9G\"");
    std::fs::write(&changed, template).unwrap();
    let (code, output) = diff(changed.to_str().unwrap());
    assert_eq!(code, Some(1));
    assert!(output.contains("disks[kvm.img].partitions[3].size: 8589934592 -> 9663676416\n"), "{output}");
    // A saved plan can be compared too.
    let before = directory.path().join("before.plan.json");
    let output = ister(&["plan", kvm, "--format", "json", "-q"])
        .env("XDG_CACHE_HOME", directory.path())
        .output()
        .unwrap();
    std::fs::write(&before, output.stdout).unwrap();
    assert_eq!(diff(before.to_str().unwrap()), (Some(0), "the plans are identical\n".to_owned()));
    std::fs::write(&before, "{\"version\": 1, \"content\": {}}").unwrap();
    let (code, _) = diff(before.to_str().unwrap());
    assert_eq!(code, Some(2), "a plan of another version is rejected");
}

/// Compares random partition tables with the output of sfdisk, sgdisk and blkid.
fn independent_programs_read_the_planned_table() {
    crate::common::need_tools(&["sfdisk", "sgdisk", "blkid"]);
    let numbers = prop::sample::subsequence((1..=128u32).collect::<Vec<_>>(), 1..=24);
    let sizes = prop::collection::vec((1u64..600, prop_oneof![Just(1u64 << 20), Just(1 << 30)]), 24);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(numbers, sizes, any::<bool>()), |(numbers, sizes, rest)| {
            let mut requests: Vec<PartitionRequest> = numbers
                .iter()
                .zip(&sizes)
                .map(|(number, (n, unit))| PartitionRequest {
                    number: *number,
                    size: Size::Exact(Bytes(n * unit)),
                })
                .collect();
            let mut size = DiskSize::Fit;
            if rest {
                let used: u64 = sizes[..requests.len()].iter().map(|(n, unit)| n * unit).sum();
                requests.last_mut().unwrap().size = Size::Rest;
                size = DiskSize::Exactly(Bytes(used + (3 << 20) + 512));
            }
            check_with_other_programs(&requests, size);
            Ok(())
        })
        .unwrap();
}

fn check_with_other_programs(requests: &[PartitionRequest], size: DiskSize) {
    let layout = solve(requests, size, SectorSize::B512).unwrap();
    let id = |number: u32| Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_0000 + u128::from(number));
    let disk = Disk {
        name: "t.img".into(),
        sector_size: layout.sector,
        size: Bytes(layout.sectors * 512),
        guid: id(0),
        keeps_table: false,
        partitions_from: layout.slots[0].first(),
        partitions: layout
            .slots
            .iter()
            .map(|slot| Partition {
                number: slot.number,
                name: format!("part {}", slot.number),
                type_guid: uuid::uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4"),
                guid: id(slot.number),
                first_lba: slot.first(),
                last_lba: slot.last(),
                size: slot.size(layout.sector),
                legacy_boot: slot.number == 1,
                no_auto: slot.number == 2,
                encryption: None,
                filesystem: None,
                mount: None,
                space: None,
            })
            .collect(),
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.img");
    let file = std::fs::File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    file.set_len(disk.size.0).unwrap();
    ister::image::write_table(&disk, &file).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .arg(&path)
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let table: serde_json::Value = serde_json::from_str(&run("sfdisk", &["--json"])).unwrap();
    let table = &table["partitiontable"];
    assert_eq!(table["id"].as_str().unwrap().to_lowercase(), disk.guid.to_string());
    let seen = table["partitions"].as_array().unwrap();
    assert_eq!(seen.len(), disk.partitions.len());
    for (seen, planned) in seen.iter().zip(&disk.partitions) {
        assert_eq!(seen["start"], planned.first_lba.0);
        assert_eq!(seen["size"], planned.last_lba.0 - planned.first_lba.0 + 1);
        assert_eq!(seen["uuid"].as_str().unwrap().to_lowercase(), planned.guid.to_string());
        assert_eq!(seen["name"], planned.name);
        let attributes = seen["attrs"].as_str().unwrap_or_default();
        assert_eq!(attributes.contains("LegacyBIOSBootable"), planned.legacy_boot, "{attributes}");
        assert_eq!(attributes.contains("63"), planned.no_auto, "{attributes}");
    }
    let verified = run("sgdisk", &["-v"]);
    assert!(verified.contains("No problems found"), "{verified}");
    let probed = run("blkid", &["-p", "-o", "export"]);
    assert!(probed.contains(&format!("PTUUID={}\n", disk.guid)) && probed.contains("PTTYPE=gpt"), "{probed}");
}

/// Formats that do not support the disk are rejected before anything is written.
fn unsupported_disks_are_rejected_for_formats() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.json");
    let kvm = include_str!("../vm-tests/kvm/template.json");
    for format in ["vmdk", "vdi", "vhd", "vhdx", "ova", "tar.gz"] {
        std::fs::write(&path, kvm.replacen('{', &format!("{{\n    \"Formats\": [\"{format}\"],"), 1))
            .unwrap();
        let output = planned(&path, &["--sector-size", "4096"]);
        let expected = format!("{format} supports only sectors of 512 bytes, but this disk has 4096");
        assert!(output.contains(&expected) && output.contains("t.json:2:17"), "{output}");
    }
    for size in ["9000000T", "8388608T"] {
        std::fs::write(&path, kvm.replacen("\"8G\"", &format!("\"{size}\""), 1)).unwrap();
        let output = planned(&path, &[]);
        assert!(output.contains("error[partition-size]") && output.contains("2^63 - 1 bytes"), "{output}");
    }
}

crate::tests! {
    plans_match_their_snapshots,
    plans_match_the_schema,
    svg_shows_every_partition,
    diff_compares_plans_by_value,
    independent_programs_read_the_planned_table,
    unsupported_disks_are_rejected_for_formats,
}
