//! Root filesystems other than ext4 grow to fill a larger disk.

use super::updates::VISITOR;
use super::{Outcome, World, expect, ister};
use serde_json::Value;

pub fn other_roots(world: &World) -> Outcome {
    let visitor = world.path("visitor");
    std::fs::write(&visitor, VISITOR).map_err(|e| e.to_string())?;
    let credential = format!("tmpfiles.extra=file:{}", visitor.display());
    for kind in ["xfs", "btrfs"] {
        let directory = world.path(&format!("growth-{kind}"));
        let entry = |number: u32, rest: &str| format!(r#"{{"disk":"kvm.img","partition":{number},{rest}}}"#);
        let layout = [
            entry(1, r#""size":"128M","type":"EFI""#),
            entry(2, r#""size":"32M","type":"swap""#),
            entry(3, r#""size":"2G","type":"linux""#),
        ];
        let filesystems = [
            entry(1, r#""type":"vfat""#),
            entry(2, r#""type":"swap""#),
            entry(3, &format!(r#""type":"{kind}""#)),
        ];
        let layout = format!("PartitionLayout=[{}]", layout.join(","));
        let filesystems = format!("FilesystemTypes=[{}]", filesystems.join(","));
        let build = ["build", "vm-tests/kvm/template.json", "-q", "--set", &layout, "--set", &filesystems];
        ister(&build, &[("-o", &directory)], 0)?;
        let image = directory.join("kvm.img");
        let image = image.to_str().ok_or("the path is not UTF-8")?;
        let boot = ["boot", image, "--format", "json", "--healthy", "--grow", "4G"];
        let inside = ["--login", "visitor", "--credential", &credential];
        let sizes = ["--run", "findmnt -no FSTYPE /; df -B1 --output=size / | tail -1"];
        let verdict = ister(&[&boot[..], &inside, &sizes].concat(), &[], 0)?;
        let answer = verdict["answers"].as_array().and_then(|answers| answers.last()).ok_or("no answers")?;
        let lines: Vec<&str> =
            answer["lines"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let [found, size] = &lines[..] else { return Err(format!("{answer:#}").into()) };
        let bytes: u64 = size.trim().parse().map_err(|_| format!("{answer:#}"))?;
        expect(found.trim() == kind && bytes > 5 << 30, &format!("{answer:#}"))?;
        std::fs::remove_dir_all(directory).map_err(|e| e.to_string())?;
    }
    Ok(())
}
