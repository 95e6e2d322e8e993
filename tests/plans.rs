//! Plans: what is planned for every template that we ship and every sample, as tables; that each is what the schema
//! says; and that independent readers see what was planned.

use crate::common::{ister, text};
use ister::plan::layout::{DiskSize, Request, SectorSize, solve};
use ister::plan::{Disk, PLAN_SCHEMA_TEXT, Partition, Plan};
use ister::template::{Bytes, Size};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// The plan of a template in one form. The cache is empty: what the content holds is not known.
fn planned(template: &Path, more: &[&str]) -> String {
    let cache = tempfile::tempdir().unwrap();
    let mut command = ister(&["plan", "-q"]);
    command.arg(template).args(more).arg("--cache-dir").arg(cache.path());
    let output = command.output().unwrap();
    // A plan, or what there is to say instead of one.
    if output.stdout.is_empty() { text(&output.stderr) } else { text(&output.stdout) }
}

/// Name and path of every template that we ship, the published types as `ister new` gives them.
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

fn every_template_has_the_plan_that_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let templates = templates(directory.path());
    assert!(templates.len() > 20);
    for (name, path) in templates {
        let text = std::fs::read_to_string(&path).unwrap();
        // What a template of ours leaves to the command line.
        let mut more = Vec::new();
        for (word, options) in
            [("\"rest\"", ["--disk-size", "20G"]), ("\"physical\"", ["--disk-size", "20G"])]
        {
            if text.contains(word) && !more.contains(&options[1]) {
                more.extend(options);
            }
        }
        let shown = planned(&path, &more).replace(directory.path().to_str().unwrap(), "DIRECTORY");
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("plan-of-{name}"), shown);
        });
    }
}

fn every_plan_is_what_the_schema_says() {
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
        // Read back it is the same plan, and printing that one gives the same text.
        let read: Plan = serde_json::from_value(plan.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), plan);
        let mut broken = plan;
        broken["disks"][0]["partitions"][0]["size"] = "1M".into();
        assert!(!validator.is_valid(&broken));
    }
    assert!(plans > 10, "{plans}");
    let output = ister(&["schema", "plan"]).output().unwrap();
    assert_eq!(text(&output.stdout), PLAN_SCHEMA_TEXT);
}

fn a_picture_shows_every_partition_of_every_disk() {
    let directory = tempfile::tempdir().unwrap();
    let svg = planned(Path::new("vm-tests/kvm/template.json"), &["--format", "svg"]);
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("plan-kvm-svg", svg);
    });
    // A long tail: the smallest partition is still wide enough to be read.
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

fn two_plans_are_compared_by_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let kvm = "vm-tests/kvm/template.json";
    let diff = |other: &str| {
        let output = ister(&["plan", kvm, "--diff", other, "-q"])
            .env("XDG_CACHE_HOME", directory.path())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(diff(kvm), (Some(0), "the plans are the same\n".to_owned()));
    let changed = directory.path().join("changed.json");
    let template = std::fs::read_to_string(kvm).unwrap().replace("\"8G\"", "\"9G\"");
    std::fs::write(&changed, template).unwrap();
    let (code, said) = diff(changed.to_str().unwrap());
    assert_eq!(code, Some(1));
    assert!(said.contains("disks[kvm.img].partitions[3].size: 8589934592 -> 9663676416\n"), "{said}");
    // A plan of before will do as well.
    let before = directory.path().join("before.plan.json");
    let output = ister(&["plan", kvm, "--format", "json", "-q"])
        .env("XDG_CACHE_HOME", directory.path())
        .output()
        .unwrap();
    std::fs::write(&before, output.stdout).unwrap();
    assert_eq!(diff(before.to_str().unwrap()), (Some(0), "the plans are the same\n".to_owned()));
    std::fs::write(&before, "{\"version\": 1, \"content\": {}}").unwrap();
    let (code, _) = diff(before.to_str().unwrap());
    assert_eq!(code, Some(2), "a plan of another version");
}

/// A table as sfdisk, sgdisk and blkid read it, from what was solved.
fn independent_readers_see_what_was_planned() {
    crate::common::need_tools(&["sfdisk", "sgdisk", "blkid"]);
    let numbers = prop::sample::subsequence((1..=128u32).collect::<Vec<_>>(), 1..=24);
    let sizes = prop::collection::vec((1u64..600, prop_oneof![Just(1u64 << 20), Just(1 << 30)]), 24);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(numbers, sizes, any::<bool>()), |(numbers, sizes, rest)| {
            let mut requests: Vec<Request> = numbers
                .iter()
                .zip(&sizes)
                .map(|(number, (n, unit))| Request { number: *number, size: Size::Exact(Bytes(n * unit)) })
                .collect();
            let mut size = DiskSize::Fit;
            if rest {
                let used: u64 = sizes[..requests.len()].iter().map(|(n, unit)| n * unit).sum();
                requests.last_mut().unwrap().size = Size::Rest;
                size = DiskSize::Exactly(Bytes(used + (3 << 20) + 512));
            }
            read_by_others(&requests, size);
            Ok(())
        })
        .unwrap();
}

fn read_by_others(requests: &[Request], size: DiskSize) {
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
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .arg(&path)
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let table: serde_json::Value = serde_json::from_str(&said("sfdisk", &["--json"])).unwrap();
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
    let verified = said("sgdisk", &["-v"]);
    assert!(verified.contains("No problems found"), "{verified}");
    let probed = said("blkid", &["-p", "-o", "export"]);
    assert!(probed.contains(&format!("PTUUID={}\n", disk.guid)) && probed.contains("PTTYPE=gpt"), "{probed}");
}

/// What a format cannot hold is refused at its name, before anything is made.
fn formats_refuse_what_they_cannot_hold() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.json");
    let kvm = include_str!("../vm-tests/kvm/template.json");
    for format in ["vmdk", "vdi", "vhd", "vhdx", "ova", "tar.gz"] {
        std::fs::write(&path, kvm.replacen('{', &format!("{{\n    \"Formats\": [\"{format}\"],"), 1))
            .unwrap();
        let said = planned(&path, &["--sector-size", "4096"]);
        let expected = format!("{format} supports only sectors of 512 bytes, this disk has 4096");
        assert!(said.contains(&expected) && said.contains("t.json:2:17"), "{said}");
    }
    for size in ["9000000T", "8388608T"] {
        std::fs::write(&path, kvm.replacen("\"8G\"", &format!("\"{size}\""), 1)).unwrap();
        let said = planned(&path, &[]);
        assert!(said.contains("error[partition-size]") && said.contains("2^63 - 1 bytes"), "{said}");
    }
}

crate::tests! {
    every_template_has_the_plan_that_it_had,
    every_plan_is_what_the_schema_says,
    a_picture_shows_every_partition_of_every_disk,
    two_plans_are_compared_by_what_they_say,
    independent_readers_see_what_was_planned,
    formats_refuse_what_they_cannot_hold,
}
