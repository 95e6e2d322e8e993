//! Converts an image type to commands. Pure.

use super::definition::{BootCase, GuestChecks, ImageType};
use crate::boot::{DiskBus, NetworkCard};
use crate::plan::{Content, Firmware, Plan};
use crate::template::Bytes;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    Build,
    Verify,
    Boot,
    /// Compares results with the budget and earlier runs.
    Limits,
}

impl StepKind {
    pub fn name(self) -> &'static str {
        match self {
            StepKind::Build => "build",
            StepKind::Verify => "verify",
            StepKind::Boot => "boot",
            StepKind::Limits => "limits",
        }
    }
}

/// A command, and the files that it needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TestStep {
    pub kind: StepKind,
    /// "boot kvm.qcow2 (uefi, nvme)".
    pub name: String,
    pub args: Vec<String>,
    /// The file that is verified or booted; empty for a build.
    pub file: String,
    /// The directory of the serial log, screenshot and verdict of a boot.
    pub report: Option<String>,
    /// Files to create before the step.
    pub needs: Vec<Need>,
}

/// A file that a step needs in addition to the image.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Need {
    /// A seed with the instance's host name.
    Seed { path: PathBuf, host: String },
    /// A user for the serial console.
    Visitor { path: PathBuf },
    /// Newer packages than those in the image.
    Updates { path: PathBuf, packages: PathBuf, content: Box<Content>, reinstall: bool },
    /// Checks that are part of type.json.
    Checks { path: PathBuf, text: String },
    /// An empty disk.
    Disk { path: PathBuf, size: Bytes },
}

/// The user who logs in on the console of a test.
pub(super) const VISITOR: &str = "visitor";

/// The paths of a type's files.
pub(crate) struct TypePaths<'a> {
    /// The directory of images and reports.
    pub directory: &'a Path,
    /// A private key generated for the test.
    pub key: &'a Path,
}

impl TypePaths<'_> {
    fn text(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// The build step. It comes first, because the other steps depend on the plan that it writes.
pub(super) fn build_step(kind: &ImageType, place: &TypePaths, more: &[String]) -> TestStep {
    let mut args = vec!["build".to_owned(), kind.template.display().to_string(), "-o".to_owned()];
    args.push(place.directory.display().to_string());
    args.extend(["--format", "json"].map(str::to_owned));
    if let Some(formats) = &kind.definition.formats {
        args.extend(["--set".to_owned(), format!("Formats={}", serde_json::json!(formats))]);
    }
    args.extend(more.iter().cloned());
    TestStep {
        kind: StepKind::Build,
        name: "build".to_owned(),
        args,
        file: String::new(),
        report: None,
        needs: Vec::new(),
    }
}

/// The steps after the build: verify all published files, then boot them.
///
/// # Errors
/// A boot names an unknown file, or a bootable file has no boot and would be published without a test.
pub(super) fn steps(kind: &ImageType, plan: &Plan, place: &TypePaths) -> Result<Vec<TestStep>, String> {
    let mut steps: Vec<TestStep> = plan
        .image()
        .into_iter()
        .chain(plan.published.iter().map(|file| file.name.as_str()))
        .map(|name| TestStep {
            kind: StepKind::Verify,
            name: format!("verify {name}"),
            args: ["verify", &place.text(name), "--format", "json", "--boot-svg"]
                .map(str::to_owned)
                .into_iter()
                .chain([place.text(&boot_paths_picture(name))])
                .collect(),
            file: name.to_owned(),
            report: None,
            needs: Vec::new(),
        })
        .collect();
    let startable: Vec<&str> = plan
        .image()
        .into_iter()
        .chain(plan.published.iter().filter(|file| file.is_bootable()).map(|file| file.name.as_str()))
        .collect();
    let small = kind.definition.small_boot();
    for (index, case) in kind.definition.boots.iter().chain(&small).enumerate() {
        if !startable.contains(&case.file.as_str()) {
            return Err(format!(
                "type.json boots `{}`, but the template creates {}: add it to `formats`, or correct the name",
                case.file,
                startable.join(", ")
            ));
        }
        let mut step = if index < kind.definition.boots.len() {
            boot_step(case, kind, plan, place, index)
        } else {
            small_step(case, kind, plan, place)
        };
        // Names must be unique because results are identified by name.
        let same = steps
            .iter()
            .filter(|other| other.name == step.name || other.name.starts_with(&format!("{} #", step.name)));
        if let count @ 1.. = same.count() {
            step.name.push_str(&format!(" #{}", count + 1));
        }
        steps.push(step);
    }
    let is_booted = |name: &str| kind.definition.boots.iter().any(|case| case.file == name && !case.direct);
    let published = plan.published.iter().filter(|file| file.is_bootable()).map(|file| file.name.as_str());
    // If no other file is bootable, the raw image is published.
    let raw = plan.image().filter(|_| !plan.published.iter().any(|file| file.is_bootable()));
    let unproven: Vec<&str> = published.chain(raw).filter(|name| !is_booted(name)).collect();
    if plan.boot.is_some() && !unproven.is_empty() {
        return Err(format!(
            "type.json publishes {} but never boots it (`direct` does not test firmware and boot loader): add it to \
             `boots`, or remove it from `formats`",
            unproven.join(", ")
        ));
    }
    Ok(steps)
}

/// A boot with the memory of `case`, which is part of its name.
pub(super) fn small_step(case: &BootCase, kind: &ImageType, plan: &Plan, place: &TypePaths) -> TestStep {
    let mut step = boot_step(case, kind, plan, place, kind.definition.boots.len());
    step.name = format!("{}, {} MiB)", step.name.trim_end_matches(')'), case.hardware.memory);
    // The receipt of a file tells with what it boots, not with how little.
    step.args.retain(|arg| arg != "--receipt");
    step
}

/// The name of the diagram of a file's boot paths that `verify` writes to the type's directory.
pub(crate) fn boot_paths_picture(file: &str) -> String {
    format!("boot-paths-{}.svg", plain(file))
}

/// Replaces the characters that are not valid in URLs.
fn plain(file: &str) -> String {
    file.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.+".contains(c), "-")
}

fn boot_step(case: &BootCase, kind: &ImageType, plan: &Plan, place: &TypePaths, index: usize) -> TestStep {
    let hardware = &case.hardware;
    let disk = hardware.disk.name();
    let firmware = case.firmware.or_else(|| plan.boot.as_ref().map(|boot| boot.firmware));
    let firmware = match firmware {
        Some(Firmware::Bios) => "bios",
        _ => "uefi",
    };
    let mut facts = vec![firmware.to_owned(), disk.clone()];
    let report = format!("report-{}-{index}", plain(&case.file));
    let mut args: Vec<String> =
        ["boot", &place.text(&case.file), "--format", "json", "--firmware", firmware, "--report"]
            .map(str::to_owned)
            .to_vec();
    args.push(place.text(&report));
    let mut add = |name: &str, value: String| args.extend([format!("--{name}"), value]);
    if hardware.disk != DiskBus::default() {
        add("disk", disk);
    }
    if hardware.network_card != NetworkCard::default() {
        let card = hardware.network_card.name();
        facts.push(card.clone());
        add("network-card", card);
    }
    add("template", kind.template.display().to_string());
    add("memory", hardware.memory.to_string());
    add("cpus", hardware.cpus.to_string());
    let mut needs = Vec::new();
    args.extend(given(case, place, index, &mut facts, &mut needs));
    let mut add = |name: &str, value: String| args.extend([format!("--{name}"), value]);
    if case.ssh {
        add("ssh", format!("root={}", place.key.display()));
        add("credential", format!("ssh.authorized_keys.root=file:{}.pub", place.key.display()));
        facts.push("ssh".to_owned());
    }
    if case.console {
        let path = place.directory.join("visitor");
        add("login", VISITOR.to_owned());
        add("credential", format!("tmpfiles.extra=file:{}", path.display()));
        facts.push("console".to_owned());
        needs.push(Need::Visitor { path });
    }
    if hardware.hyperv {
        args.push("--hyperv".to_owned());
    }
    if case.ssh || case.console {
        args.push("--healthy".to_owned());
        for allowance in &case.allow {
            args.extend(["--allow".to_owned(), allowance.argument()]);
        }
    }
    let checks = checks(case, kind, place, index, &mut needs);
    if !checks.is_empty() {
        facts.push("checks".to_owned());
        args.extend(checks);
    }
    if let Some(more) = case.grow {
        facts.push(format!("{more} larger"));
        args.extend(["--grow".to_owned(), format!("{}M", more.0.div_ceil(Bytes::MIB))]);
    }
    if case.update {
        let path = place.directory.join("updates");
        facts.push("update".to_owned());
        args.extend(["--update".to_owned(), path.display().to_string()]);
        let packages = place.text(&format!("{}.packages", plan.image().unwrap_or_default())).into();
        let (content, reinstall) = (Box::new(plan.content.clone()), case.reinstall);
        needs.push(Need::Updates { path, packages, content, reinstall });
    } else if case.again {
        facts.push("twice".to_owned());
        args.push("--again".to_owned());
    }
    if case.direct {
        facts.push("direct".to_owned());
        args.push("--direct".to_owned());
    } else {
        // A direct boot does not test firmware and boot loader, so it gets no receipt.
        args.push("--receipt".to_owned());
    }
    let name = format!("boot {} ({})", case.file, facts.join(", "));
    TestStep { kind: StepKind::Boot, name, args, file: case.file.clone(), report: Some(report), needs }
}

/// The arguments for the seed, the cloud and the additional disk.
fn given(
    case: &BootCase,
    place: &TypePaths,
    index: usize,
    facts: &mut Vec<String>,
    needs: &mut Vec<Need>,
) -> Vec<String> {
    let mut args = Vec::new();
    let mut add = |name: &str, value: String| args.extend([format!("--{name}"), value]);
    if let Some(host) = &case.seed {
        let path = place.directory.join(format!("seed-{index}.img"));
        add("seed", path.display().to_string());
        add("host", host.clone());
        facts.push("seed".to_owned());
        needs.push(Need::Seed { path, host: host.clone() });
    }
    if let Some(cloud) = case.cloud {
        add("cloud", cloud.name());
        facts.push(format!("cloud {}", cloud.name()));
    }
    if let Some(size) = case.target {
        let path = place.directory.join(format!("target-{index}.img"));
        add("second-disk", path.display().to_string());
        facts.push("empty disk".to_owned());
        needs.push(Need::Disk { path, size });
    }
    args
}

/// The arguments for checks in the guest and for scripts.
fn checks(
    case: &BootCase,
    kind: &ImageType,
    place: &TypePaths,
    index: usize,
    needs: &mut Vec<Need>,
) -> Vec<String> {
    let of_type = kind.template.parent().unwrap_or(Path::new(""));
    let path = match &case.checks {
        Some(GuestChecks::File(name)) => Some(of_type.join(name)),
        Some(GuestChecks::Inline(checks)) => {
            let path = place.directory.join(format!("checks-{index}.json"));
            let text = serde_json::Value::Object(checks.clone()).to_string();
            needs.push(Need::Checks { path: path.clone(), text });
            Some(path)
        }
        None => None,
    };
    let checks = path.into_iter().flat_map(|path| ["--checks".to_owned(), path.display().to_string()]);
    let script = |name: &String| ["--test".to_owned(), of_type.join(name).display().to_string()];
    checks.chain(case.tests.iter().flat_map(script)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::definition::Definition;
    use super::*;
    use crate::plan::bundle;
    use crate::plan::{Inputs, decide};
    use crate::template::{SourceText, parse};

    fn commands(definition: &str) -> Result<Vec<String>, String> {
        let text = include_str!("../../vm-tests/kvm/template.json");
        let text = text.replacen('{', r#"{"Formats": ["qcow2", "tar"],"#, 1);
        let text = text.replacen(",\n    \"Formats\"", ",\n    \"$comment\"", 1);
        let (template, node, _) = parse(&SourceText::new("t.json", text));
        let (plan, _) = decide(&template, &node, &Inputs::new(&bundle::builtin())).unwrap();
        let definition: Definition = serde_json::from_str(definition).unwrap();
        let kind = ImageType { name: "kvm".to_owned(), template: "t.json".into(), definition };
        let place = TypePaths { directory: Path::new("out"), key: Path::new("key") };
        let steps = steps(&kind, &plan, &place)?;
        Ok(steps.into_iter().map(|step| format!("{}: {}", step.name, step.args.join(" "))).collect())
    }

    #[test]
    fn files_are_verified_and_booted() {
        let said = commands(
            r#"{"boots": [
                {"file": "kvm.qcow2", "hardware": {"disk": "nvme"}, "seed": "here", "ssh": true, "again": true},
                {"file": "kvm.img", "firmware": "bios", "console": true, "update": true, "grow": "+4G"},
                {"file": "kvm.img", "cloud": "ec2", "grow": "+4G"},
                {"file": "kvm.img", "ssh": true, "checks": "c.yaml", "tests": ["t.sh"]},
                {"file": "kvm.img", "console": true, "checks": {"user": {"root": {"exists": true}}}}
            ]}"#,
        )
        .unwrap();
        assert_eq!(
            said,
            [
                "verify kvm.img: verify out/kvm.img --format json --boot-svg out/boot-paths-kvm.img.svg",
                "verify kvm.qcow2: verify out/kvm.qcow2 --format json --boot-svg out/boot-paths-kvm.qcow2.svg",
                "verify kvm.tar: verify out/kvm.tar --format json --boot-svg out/boot-paths-kvm.tar.svg",
                "boot kvm.qcow2 (uefi, nvme, seed, ssh, twice): boot out/kvm.qcow2 --format json \
                 --firmware uefi --report out/report-kvm.qcow2-0 --disk nvme --template t.json --memory 1024 --cpus 1 \
                 --seed out/seed-0.img --host here --ssh root=key \
                 --credential ssh.authorized_keys.root=file:key.pub --healthy --again --receipt",
                "boot kvm.img (bios, virtio-blk, console, 4 GiB larger, update): boot out/kvm.img --format json \
                 --firmware bios \
                 --report out/report-kvm.img-1 --template t.json --memory 1024 --cpus 1 --login visitor \
                 --credential tmpfiles.extra=file:out/visitor --healthy --grow 4096M --update out/updates --receipt",
                "boot kvm.img (uefi, virtio-blk, cloud ec2, 4 GiB larger): boot out/kvm.img --format json --firmware uefi \
                 --report out/report-kvm.img-2 --template t.json --memory 1024 --cpus 1 --cloud ec2 --grow 4096M --receipt",
                "boot kvm.img (uefi, virtio-blk, ssh, checks): boot out/kvm.img --format json --firmware uefi \
                 --report out/report-kvm.img-3 --template t.json --memory 1024 --cpus 1 --ssh root=key \
                 --credential ssh.authorized_keys.root=file:key.pub --healthy --checks c.yaml --test t.sh --receipt",
                "boot kvm.img (uefi, virtio-blk, console, checks): boot out/kvm.img --format json --firmware uefi \
                 --report out/report-kvm.img-4 --template t.json --memory 1024 --cpus 1 --login visitor \
                 --credential tmpfiles.extra=file:out/visitor --healthy --checks out/checks-4.json --receipt",
            ]
        );
        let why = commands(r#"{"boots": [{"file": "kvm.tar"}]}"#).unwrap_err();
        assert!(why.contains("boots `kvm.tar`, but the template creates kvm.img, kvm.qcow2"), "{why}");
        let why = commands(r#"{"boots": [{"file": "kvm.img"}]}"#).unwrap_err();
        assert!(why.contains("publishes kvm.qcow2 but never boots it"), "{why}");
        assert!(serde_json::from_str::<Definition>(r#"{"boots": [{"file": "a", "bus": "ide"}]}"#).is_err());
    }
}
