//! Property tests of the linter with generated templates: valid templates have no findings, templates with one error
//! have exactly that finding, and fixes do not cause new errors.

mod faults;

use faults::*;
use ister::lint::{FileFact, Files, Finding, Level, LintResult, Program, fix, lint};
use ister::plan::bundle::{Definitions, builtin};
use ister::template::{Safety, SourceText, Template, format_json, read_json};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use std::sync::LazyLock;

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(builtin);

/// All hooks exist, except those whose path contains `missing`.
fn files(template: &Template) -> Files {
    let good = FileFact::Program(Program { executable: true, startable: true, writable_by_all: false });
    ister::lint::referenced_files(template)
        .into_iter()
        .map(|(path, _)| {
            let fact = if path.contains("missing") { FileFact::Missing } else { good.clone() };
            (path, fact)
        })
        .collect()
}

fn judge(source: &SourceText) -> LintResult {
    lint(source, &DEFINITIONS, files)
}

/// The parameters of a generated template.
#[derive(Clone, Debug)]
struct Spec {
    physical: bool,
    bios: bool,
    apt: bool,
    swap: bool,
    /// Mount points and filesystems of additional partitions.
    data: Vec<(&'static str, &'static str)>,
    labels: bool,
    disk_size: bool,
    rest: bool,
    user: Option<&'static str>,
    text_numbers: bool,
    network: bool,
    hostname: String,
    style: Style,
}

#[derive(Clone, Copy, Debug)]
enum Style {
    Compact,
    Pretty,
    Tabs,
    Windows,
}

fn spec() -> impl Strategy<Value = Spec> {
    let data = prop::sample::subsequence(vec!["/home", "/srv", "/var/lib/data"], 0..=3);
    let kinds = prop::collection::vec(prop::sample::select(vec!["ext2", "ext3", "ext4", "xfs", "btrfs"]), 3);
    let user = prop::option::of(prop::sample::select(vec!["ada", "_bob", "c-3"]));
    let style = prop::sample::select(vec![Style::Compact, Style::Pretty, Style::Tabs, Style::Windows]);
    let flags = prop::array::uniform9(any::<bool>());
    (flags, data, kinds, user, "[a-z]([a-z0-9-]{0,20}[a-z0-9])?", style).prop_map(
        |(flags, data, kinds, user, hostname, style)| {
            let [physical, bios, apt, swap, labels, disk_size, rest, text_numbers, network] = flags;
            let data = data.into_iter().zip(kinds).collect();
            // A virtual disk without a size cannot have a "rest" partition.
            let rest = rest && (physical || disk_size);
            let disk_size = disk_size && !physical;
            Spec {
                physical,
                bios,
                apt,
                swap,
                data,
                labels,
                disk_size,
                rest,
                user,
                text_numbers,
                network,
                hostname,
                style,
            }
        },
    )
}

impl Spec {
    fn template(&self) -> Value {
        let disk = if self.physical { "sdb" } else { "test.img" };
        let (mut layout, mut filesystems, mut mounts) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |size: &str, kind: &str, filesystem: &str, label: &str, mount: Option<&str>| {
            let number = layout.len() + 1;
            let number = if self.text_numbers { json!(number.to_string()) } else { json!(number) };
            layout.push(json!({ "disk": disk, "partition": number, "size": size, "type": kind }));
            let mut entry = json!({ "disk": disk, "partition": number, "type": filesystem });
            if self.labels {
                entry["label"] = json!(label);
            }
            filesystems.push(entry);
            if let Some(mount) = mount {
                mounts.push(json!({ "disk": disk, "partition": number, "mount": mount }));
            }
        };
        if !self.bios {
            add("512M", "EFI", "vfat", "ESP", Some("/boot"));
        }
        if self.swap {
            add("32M", "swap", "swap", "swap", None);
        }
        for (mount, kind) in &self.data {
            add("1G", "linux", kind, &mount[1..4], Some(mount));
        }
        add(if self.rest { "rest" } else { "8G" }, "linux", "ext4", "root", Some("/"));
        let kernel = if self.apt { "kernel-kvm" } else { "kernel-native" };
        let mut template = json!({
            "DestinationType": if self.physical { "physical" } else { "virtual" },
            "PartitionLayout": layout,
            "FilesystemTypes": filesystems,
            "PartitionMountPoints": mounts,
            "SoftwareManager": if self.apt { "apt" } else { "swupd" },
            "Version": if self.apt { json!("bookworm") } else { json!(34_000) },
            "Bundles": ["bootloader", kernel, "os-core"],
            "Hostname": self.hostname,
            "cmdline": "quiet console=ttyS0,115200n8",
        });
        if self.bios {
            template["LegacyBios"] = json!(true);
        }
        if self.disk_size {
            template["DiskSize"] = json!("100G");
        }
        // Templates with Debian content need a user who can log in.
        if let Some(name) = self.user.or(self.apt.then_some("zoe")) {
            template["Users"] =
                json!([{ "username": name, "uid": 1000, "password": "$6$salt$hash", "sudo": true }]);
        }
        if self.network {
            template["Static_IP"] = json!({ "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1", "dns": "192.0.2.1" });
        }
        template
    }

    fn text(&self, template: &Value) -> String {
        match self.style {
            Style::Compact => template.to_string(),
            Style::Pretty => serde_json::to_string_pretty(template).unwrap(),
            Style::Tabs => serde_json::to_string_pretty(template).unwrap().replace("  ", "\t"),
            Style::Windows => serde_json::to_string_pretty(template).unwrap().replace('\n', "\r\n"),
        }
    }

    /// The index of the root partition, which is the last one.
    fn root(&self) -> usize {
        usize::from(!self.bios) + usize::from(self.swap) + self.data.len()
    }

    /// The index of the first data partition.
    fn first_data(&self) -> Option<usize> {
        (!self.data.is_empty()).then(|| usize::from(!self.bios) + usize::from(self.swap))
    }
}

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}: {}", f.rule, f.message)).collect()
}

/// Applies one of the errors that are possible for the template.
fn break_it(spec: &Spec, pick: Index) -> (&'static str, String) {
    let pick = pick.index(FAULTS.len() + TEXT_FAULTS.len());
    if let Some((rule, change)) = TEXT_FAULTS.get(pick) {
        return (rule, change(&spec.text(&spec.template())));
    }
    let start = pick - TEXT_FAULTS.len();
    for (rule, change) in FAULTS.iter().cycle().skip(start) {
        let mut template = spec.template();
        if change(&mut template, spec) {
            return (rule, spec.text(&template));
        }
    }
    unreachable!("every template can have some of the errors")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    fn valid_templates_have_no_findings(spec in spec()) {
        let text = spec.text(&spec.template());
        let linted = judge(&SourceText::new("t.json", text.clone()));
        prop_assert!(linted.findings.is_empty(), "{:?}\n{text}", shown(&linted.findings));
    }

    fn a_single_error_has_exactly_one_finding(spec in spec(), pick in any::<Index>()) {
        let (rule, text) = break_it(&spec, pick);
        let linted = judge(&SourceText::new("t.json", text.clone()));
        let found = linted.findings.iter().any(|f| f.rule == rule);
        let others = linted.findings.iter().any(|f| f.rule != rule);
        prop_assert!(found && !others, "{rule}: {:?}\n{text}", shown(&linted.findings));
    }
}

fn errors(linted: &LintResult) -> usize {
    linted.findings.iter().filter(|f| f.level == Level::Error).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Up to three errors in one template.
    fn fixes_are_idempotent_and_cause_no_new_errors(
        spec in spec(), picks in prop::collection::vec(any::<Index>(), 1..4), careless in any::<bool>()
    ) {
        let mut template = spec.template();
        let mut text_fault = None;
        for pick in picks {
            let pick = pick.index(FAULTS.len() + TEXT_FAULTS.len());
            match TEXT_FAULTS.get(pick) {
                Some(fault) => text_fault = Some(fault),
                None => {
                    let mut broken = template.clone();
                    let applied = crate::harness::tried(|| (FAULTS[pick - TEXT_FAULTS.len()].1)(&mut broken, &spec));
                    // An earlier error may have removed what the next one needs.
                    if applied.unwrap_or(false) {
                        template = broken;
                    }
                }
            }
        }
        let text = spec.text(&template);
        let text = text_fault.map_or(text.clone(), |(_, change)| change(&text));
        let source = SourceText::new("t.json", text.clone());
        let wanted = |f: &Finding| f.fix.as_ref().is_some_and(|fix| careless || fix.safety == Safety::Safe);
        let before = judge(&source);
        let fixed = fix(&source, &judge, &wanted);
        // Syntax errors may have hidden other errors.
        let readable = read_json(&text).1.is_empty();
        prop_assert!(!readable || errors(&fixed.linted) <= errors(&before), "{text}\n{}", fixed.source.text());
        for rule in fixed.linted.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.rule) {
            prop_assert!(before.findings.iter().any(|f| f.rule == rule), "{rule} is new: {text}\n{}", fixed.source.text());
        }
        // Applying the fixes again changes nothing.
        let again = fix(&fixed.source, &judge, &wanted);
        prop_assert_eq!(again.source.text(), fixed.source.text());
        prop_assert!(again.made.is_empty());
        // Line ends are preserved.
        if text.contains("\r\n") && text_fault.is_none() {
            prop_assert_eq!(fixed.source.text().matches('\n').count(), fixed.source.text().matches("\r\n").count());
        }
        // Valid JSON stays valid, and can be formatted.
        if readable {
            prop_assert!(read_json(fixed.source.text()).1.is_empty());
            prop_assert!(format_json(fixed.source.text()).is_ok());
        }
    }
}

/// Rules that no single error in these templates triggers. Their unit tests cover them.
const NOT_GENERATED: &[&str] = &[
    "bootloader-missing",
    "cmdline-grub",
    "cmdline-ipxe",
    "cmdline-long",
    "disk-size-aws",
    "filesystem-size",
    "format-size",
    "memory-live",
    "disk-size-google",
    "esp-room",
    "root-not-last",
    "esp-not-first",
    "hook-interpreter",
    "hook-not-executable",
    "hook-writable",
    "image-without-boot",
    "encryption-mismatch",
    "filesystem-kept",
    "label-characters",
    "mount-order",
    "disk-several",
    "passphrase-reused",
    "passphrase-weak",
    "user-key-weak",
];

fn every_rule_is_generated_or_listed() {
    let generated = |name: &str| {
        FAULTS
            .iter()
            .map(|(rule, _)| rule)
            .chain(TEXT_FAULTS.iter().map(|(rule, _)| rule))
            .any(|rule| *rule == name)
    };
    for rule in ister::lint::RULES {
        assert!(
            generated(rule.name) || NOT_GENERATED.contains(&rule.name),
            "no generated template triggers `{}`",
            rule.name
        );
    }
}

/// One missing or doubled character, at any place. Safe fixes must not lose any text.
fn one_wrong_character_is_fixed_or_unchanged() {
    // Remove `$lint`, because fixes would remove its entries if they became unnecessary.
    let pretty = include_str!("../vm-tests/kvm/template.json");
    let lint = pretty.find("\"$lint\"").unwrap()..pretty.find("\"DestinationType\"").unwrap();
    let pretty = [&pretty[..lint.start], &pretty[lint.end..]].concat();
    let pretty = pretty.as_str();
    let plain: Value = serde_json::from_str(pretty).unwrap();
    let compact = plain.to_string();
    for text in [pretty, compact.as_str()] {
        for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
            let lost = format!("{}{}", &text[..at], &text[at + c.len_utf8()..]);
            let doubled = format!("{}{c}{}", &text[..at], &text[at..]);
            for slip in [lost, doubled] {
                for careless in [false, true] {
                    let wanted = |f: &Finding| {
                        f.fix.as_ref().is_some_and(|fix| careless || fix.safety == Safety::Safe)
                    };
                    let source = SourceText::new("t.json", slip.clone());
                    let fixed = fix(&source, &judge, &wanted);
                    let text = fixed.source.text();
                    let again = fix(&fixed.source, &judge, &wanted);
                    assert_eq!(again.source.text(), text, "fixes are not idempotent: {slip}");
                    if careless || text == slip {
                        continue;
                    }
                    // All letters and digits are preserved, in the same order.
                    let words = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
                    assert_eq!(words(text), words(&slip), "{slip}\n{text}");
                    // A file with a syntax error is either completely fixed or not changed.
                    assert!(read_json(text).1.is_empty(), "partly fixed: {slip}\n{text}");
                }
            }
        }
    }
}

crate::tests! {
    valid_templates_have_no_findings,
    a_single_error_has_exactly_one_finding,
    fixes_are_idempotent_and_cause_no_new_errors,
    every_rule_is_generated_or_listed,
    one_wrong_character_is_fixed_or_unchanged,
}
