//! Laws of the linter over generated templates: one that is right has no findings, one with a single fault has that
//! finding and no other, and fixes keep their promises.

use ister::lint::{FileFact, Files, Finding, Level, Linted, Program, fix, lint};
use ister::plan::bundle::{Definitions, builtin};
use ister::template::{Safety, SourceText, Template, format_json, read_json};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use std::sync::LazyLock;

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(builtin);

/// Every hook is there but those called `missing`.
fn files(template: &Template) -> Files {
    let good = FileFact::Program(Program { executable: true, startable: true, writable_by_all: false });
    ister::lint::wanted_files(template)
        .into_iter()
        .map(|(path, _)| {
            let fact = if path.contains("missing") { FileFact::Missing } else { good.clone() };
            (path, fact)
        })
        .collect()
}

fn judge(source: &SourceText) -> Linted {
    lint(source, &DEFINITIONS, files)
}

/// What makes one valid template different from another.
#[derive(Clone, Debug)]
struct Spec {
    physical: bool,
    bios: bool,
    apt: bool,
    swap: bool,
    /// Mount points and filesystems of more partitions.
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
            // Without a size there is no rest of a virtual disk.
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
        // Debian content needs somebody who can log in.
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

    /// The root is the last partition.
    fn root(&self) -> usize {
        usize::from(!self.bios) + usize::from(self.swap) + self.data.len()
    }

    /// The first data partition.
    fn first_data(&self) -> Option<usize> {
        (!self.data.is_empty()).then(|| usize::from(!self.bios) + usize::from(self.swap))
    }
}

const L: &str = "PartitionLayout";
const F: &str = "FilesystemTypes";
const M: &str = "PartitionMountPoints";

fn mount_of<'t>(template: &'t mut Value, mount: &str) -> &'t mut Value {
    template[M].as_array_mut().unwrap().iter_mut().find(|m| m["mount"] == mount).unwrap()
}

fn push(value: &mut Value, item: Value) {
    value.as_array_mut().unwrap().push(item);
}

/// A user besides those that are there, who is all right but for what is given.
fn add_user(template: &mut Value, fault: Value) {
    let mut user = json!({ "username": "eve", "password": "$6$salt$hash" });
    user.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    if template["Users"].is_null() {
        template["Users"] = json!([]);
    }
    push(&mut template["Users"], user);
}

fn set_disk(template: &mut Value, name: &str) {
    for section in [L, F, M] {
        for entry in template[section].as_array_mut().unwrap() {
            entry["disk"] = json!(name);
        }
    }
}

/// A rule, and what makes a valid template break it; `false` where this one cannot.
type Fault = (&'static str, fn(&mut Value, &Spec) -> bool);

/// Sets one key.
macro_rules! set {
    ($rule:literal, $key:literal = $($value:tt)+) => {
        ($rule, |t: &mut Value, _: &Spec| {
            t[$key] = json!($($value)+);
            true
        })
    };
}

const FAULTS: &[Fault] = &[
    set!("hostname", "Hostname" = "a_b"),
    set!("hostname", "Hostname" = "web.example.org"),
    set!("hostname-long", "Hostname" = "a".repeat(64)),
    set!("hostname-dash", "Hostname" = "web-"),
    set!("unknown-key", "Maintainer" = "ada"),
    set!("misspelt-key", "Hostnmae" = "ada"),
    set!("misspelt-key", "PreSetupShell" = ["true"]),
    set!("wrong-type", "Hostname" = 5),
    set!("wrong-type", "DisabledNewPartitions" = "no"),
    set!("wrong-type", "PostChroot" = "x"),
    set!("unknown-value", "DestinationType" = "Virtual"),
    set!("missing-key", "Users" = [{ "password": "$6$a$b" }]),
    set!("control-character", "cmdline" = "quiet\nsplash"),
    set!("cmdline-overrides", "cmdline" = "root=/dev/sda1"),
    set!("cmdline-console", "cmdline" = "console=tty0"),
    set!("cmdline-root-ssh", "cmdline" = "ister.root_ssh"),
    set!("url", "HTTPSProxy" = "proxy:8080"),
    set!("url", "IsterCloudInitSvc" = "https://example.org/x"),
    set!("url-credentials", "HTTPProxy" = "http://a:b@example.org"),
    ("mirror-without-version", |t, s| {
        t["MirrorURL"] = json!("https://example.org/update");
        // apt has no separate place for versions.
        !s.apt
    }),
    set!("url-plain-http", "IsterCloudInitSvc" = "http://example.org/"),
    set!("hook-missing", "PostNonChroot" = ["/srv/missing"]),
    set!("hook-relative", "PostNonChroot" = ["./hook"]),
    set!("version-latest", "Version" = "latest"),
    set!("version", "Version" = 0),
    set!("version", "Version" = -3),
    set!("lint-allowance", "$lint" = { "allow": { "hostname-long": "no reason at all" } }),
    set!("schema", "Formats" = ["qcow2", "qcow2"]),
    set!("unknown-value", "SoftwareManager" = "yum"),
    set!("static-ip", "Static_IP" = { "address": "192.0.2.10/24" }),
    set!("static-ip", "Static_IP" = { "address": "192.0.2.10", "gateway": "192.0.2.1" }),
    set!("static-ip-address", "Static_IP" = { "address": "192.0.2.255/24", "gateway": "192.0.2.1" }),
    set!("static-ip-gateway", "Static_IP" = { "address": "192.0.2.10/24", "gateway": "192.0.3.1" }),
    set!("static-ip-interface", "Static_IP" = { "iface": "sixteen-letters-", "address": "192.0.2.10/24", "gateway": "192.0.2.1" }),
    set!("login-impossible", "Users" = [{ "username": "ada" }]),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove("Version").is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove(L).is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove(F).is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove(M).is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove("Bundles").is_some()),
    ("missing-key", |t, s| {
        let key = ["disk", "partition", "size", "type"][s.data.len()];
        // Without a place the entry speaks of nothing, and the others lack theirs.
        key == "size" && t[L][0].as_object_mut().unwrap().shift_remove(key).is_some()
    }),
    ("user-name", |t, _| {
        add_user(t, json!({ "username": "a:b" }));
        true
    }),
    ("user-name-portable", |t, _| {
        add_user(t, json!({ "username": "Eve" }));
        true
    }),
    ("user-name-reserved", |t, _| {
        add_user(t, json!({ "username": "daemon" }));
        true
    }),
    ("user-uid", |t, _| {
        add_user(t, json!({ "uid": 0 }));
        true
    }),
    ("user-uid", |t, _| {
        add_user(t, json!({ "uid": "4294967296" }));
        true
    }),
    ("user-uid-system", |t, _| {
        add_user(t, json!({ "uid": 65534 }));
        true
    }),
    ("user-password", |t, _| {
        add_user(t, json!({ "password": "secret" }));
        true
    }),
    ("user-password-weak", |t, _| {
        add_user(t, json!({ "password": "$1$salt$hash" }));
        true
    }),
    ("user-password-empty", |t, _| {
        add_user(t, json!({ "password": "" }));
        true
    }),
    ("user-sudo", |t, _| {
        add_user(t, json!({ "sudo": true }));
        t["Users"]
            .as_array_mut()
            .unwrap()
            .last_mut()
            .unwrap()
            .as_object_mut()
            .unwrap()
            .shift_remove("password");
        true
    }),
    ("user-key", |t, _| {
        add_user(t, json!({ "key": "ssh-rsa !!! x" }));
        true
    }),
    ("user-duplicate", |t, s| {
        add_user(t, json!({ "username": s.user.unwrap_or_default() }));
        s.user.is_some()
    }),
    ("partition-size", |t, _| {
        t[L][0]["size"] = json!("512");
        true
    }),
    ("partition-size", |t, _| {
        t[L][0]["size"] = json!("8GB");
        true
    }),
    ("partition-size", |t, _| {
        t[L][0]["size"] = json!("0M");
        true
    }),
    ("unknown-value", |t, _| {
        t[L][0]["type"] = json!("Linux");
        t[L].as_array().unwrap().len() == 1
    }),
    ("unknown-value", |t, s| {
        t[F][s.root()]["type"] = json!("ext5");
        true
    }),
    ("unknown-key", |t, s| {
        t[F][s.root()]["compression"] = json!("zstd");
        true
    }),
    ("partition-duplicate", |t, s| {
        let mut entry = t[M].as_array().unwrap().last().unwrap().clone();
        entry["mount"] = json!("/again");
        push(&mut t[M], entry);
        s.root() < 99
    }),
    ("mount-duplicate", |t, s| {
        let Some((mount, _)) = s.data.first() else { return false };
        mount_of(t, mount)["mount"] = json!("/");
        true
    }),
    ("mount-path", |t, s| {
        let Some((mount, _)) = s.data.first() else { return false };
        mount_of(t, mount)["mount"] = json!("srv");
        true
    }),
    ("mount-path", |t, s| {
        let Some((mount, _)) = s.data.first() else { return false };
        mount_of(t, mount)["mount"] = json!("/a/../b");
        true
    }),
    ("mount-impossible", |t, s| {
        let Some((mount, _)) = s.data.first() else { return false };
        mount_of(t, mount)["mount"] = json!("/proc/x");
        true
    }),
    ("filesystem-without-mount", |t, s| {
        let Some((mount, _)) = s.data.first() else { return false };
        t[M].as_array_mut().unwrap().retain(|m| m["mount"] != *mount);
        true
    }),
    ("root-missing", |t, _| {
        mount_of(t, "/")["mount"] = json!("/rootfs");
        true
    }),
    ("root-kept", |t, s| {
        t[F][s.root()]["disable_format"] = json!(true);
        true
    }),
    ("root-small", |t, s| {
        t[L][s.root()]["size"] = json!("100M");
        s.apt
    }),
    ("mount-impossible", |t, s| {
        t[F][s.root()]["type"] = json!("vfat");
        !s.labels
    }),
    ("esp-twice", |t, s| {
        let Some(index) = s.first_data().filter(|_| !s.bios) else { return false };
        t[L][index]["type"] = json!("EFI");
        t[F][index]["type"] = json!("vfat");
        t[F][index].as_object_mut().unwrap().shift_remove("label");
        true
    }),
    ("esp-filesystem", |t, s| {
        t[F][0]["type"] = json!("ext4");
        !s.bios
    }),
    ("esp-mount", |t, s| {
        !s.bios && !s.physical && {
            mount_of(t, "/boot")["mount"] = json!("/efi");
            true
        }
    }),
    ("esp-missing", |t, s| {
        !s.bios && s.physical && {
            mount_of(t, "/boot")["mount"] = json!("/efi");
            true
        }
    }),
    ("esp-small", |t, s| {
        t[L][0]["size"] = json!("4M");
        !s.bios
    }),
    ("esp-fat32", |t, s| {
        t[L][0]["size"] = json!("32M");
        !s.bios
    }),
    ("esp-with-bios", |t, s| {
        t["LegacyBios"] = json!(true);
        !s.bios
    }),
    ("image-unbootable", |t, s| {
        t["LegacyBios"] = json!(false);
        s.bios && !s.physical
    }),
    ("swap-filesystem", |t, s| {
        let index = usize::from(!s.bios);
        s.swap && {
            t[F].as_array_mut().unwrap().remove(index);
            true
        }
    }),
    ("partition-order", |t, s| {
        let last = s.root();
        last > 0 && {
            t[L].as_array_mut().unwrap().swap(last - 1, last);
            true
        }
    }),
    ("partition-without-filesystem", |t, s| {
        let mut entry = t[L][s.root()].clone();
        entry["partition"] = json!(s.root() + 2);
        entry["size"] = json!("1G");
        push(&mut t[L], entry);
        !s.rest
    }),
    ("filesystem-without-partition", |t, s| {
        let mut entry = t[F][s.root()].clone();
        entry["partition"] = json!(99);
        entry.as_object_mut().unwrap().shift_remove("label");
        push(&mut t[F], entry);
        true
    }),
    ("mount-without-filesystem", |t, _| {
        let mut entry = mount_of(t, "/").clone();
        entry["partition"] = json!(99);
        entry["mount"] = json!("/opt");
        push(&mut t[M], entry);
        true
    }),
    ("disk-full", |t, s| {
        t["DiskSize"] = json!("2M");
        !s.physical
    }),
    ("disk-size-missing", |t, s| {
        t.as_object_mut().unwrap().shift_remove("DiskSize");
        t[L][s.root()]["size"] = json!("rest");
        !s.physical
    }),
    ("partition-rest-not-last", |t, s| {
        t[L][0]["size"] = json!("rest");
        s.root() > 0 && (s.disk_size || s.physical)
    }),
    ("partition-count", |t, s| {
        let number = s.root() + 1;
        for section in [L, F, M] {
            for entry in t[section].as_array_mut().unwrap() {
                if entry["partition"] == json!(number) || entry["partition"] == json!(number.to_string()) {
                    entry["partition"] = json!(129);
                }
            }
        }
        true
    }),
    ("disk-name", |t, s| {
        set_disk(t, "images/");
        !s.physical
    }),
    ("disk-odd", |t, s| {
        set_disk(t, "my disk.img");
        !s.physical
    }),
    ("disk-device", |t, s| {
        set_disk(t, "/dev/sdb");
        s.physical
    }),
    ("disk-device", |t, s| {
        set_disk(t, "nvme0n1p3");
        s.physical
    }),
    ("kernel-missing", |t, s| {
        t["Bundles"].as_array_mut().unwrap().remove(1);
        s.root() < 99
    }),
    ("kernel-several", |t, s| {
        push(&mut t["Bundles"], json!("kernel-aws"));
        s.root() < 99
    }),
    ("bundle-duplicate", |t, _| {
        push(&mut t["Bundles"], json!("os-core"));
        true
    }),
    ("bundle-unknown", |t, s| {
        push(&mut t["Bundles"], json!("left-pad"));
        s.apt
    }),
    ("package-name", |t, s| {
        push(&mut t["Bundles"], json!("left-pad-"));
        s.apt
    }),
    ("os-core-missing", |t, s| {
        t["Bundles"].as_array_mut().unwrap().pop();
        s.apt
    }),
    ("label-length", |t, s| {
        t[F][s.root()]["label"] = json!("seventeen-letters");
        true
    }),
    ("label-case", |t, s| {
        t[F][0]["label"] = json!("esp");
        !s.bios
    }),
    ("label-duplicate", |t, s| {
        let label = t[F][s.root()]["label"].clone();
        s.labels
            && s.first_data().is_some_and(|index| {
                t[F][index]["label"] = label;
                true
            })
    }),
    ("filesystem-options", |t, s| {
        t[F][s.root()]["options"] = json!("-U random");
        true
    }),
    ("filesystem-options", |t, s| {
        t[F][s.root()]["options"] = json!("-Z");
        true
    }),
    ("filesystem-options-grub", |t, s| {
        t[F][s.root()]["options"] = json!("-O casefold");
        s.bios
    }),
    ("encryption-boot", |t, s| {
        t[F][0]["encryption"] = json!({ "name": "boot", "passphrase": { "env": "P" } });
        !s.bios && !s.apt
    }),
    ("encryption-kernel", |t, s| {
        t[F][s.root()]["encryption"] = json!({ "name": "root", "passphrase": { "env": "P" } });
        s.apt && !s.bios
    }),
    ("passphrase-clear", |t, s| {
        t[F][s.root()]["encryption"] = json!({ "name": "root", "passphrase": "correct horse battery" });
        !s.apt && !s.bios
    }),
];

/// Faults of the text, which no value can have.
type TextFault = (&'static str, fn(&str) -> String);

const TEXT_FAULTS: &[TextFault] = &[
    ("syntax", |text| text.trim_end_matches('}').trim_end().to_owned() + ",}"),
    ("syntax", |text| text.replacen(':', "", 1)),
    ("syntax", |text| text.replacen('{', "{ // note\n", 1)),
    ("syntax", |text| format!("\u{feff}{text}")),
    ("syntax", |text| text.replacen("\"quiet console=ttyS0,115200n8\"", "'quiet console=ttyS0,115200n8'", 1)),
    ("syntax", |text| text.replacen("\"Hostname\"", "Hostname", 1)),
    ("duplicate-key", |text| text.replacen('{', "{\"Hostname\": \"twice\",", 1)),
];

fn shown(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}: {}", f.rule, f.message)).collect()
}

/// One of the faults that this template can have.
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
    unreachable!("some faults suit every template")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_right_template_has_no_findings(spec in spec()) {
        let text = spec.text(&spec.template());
        let linted = judge(&SourceText::new("t.json", text.clone()));
        prop_assert!(linted.findings.is_empty(), "{:?}\n{text}", shown(&linted.findings));
    }

    #[test]
    fn a_single_fault_is_found_and_nothing_else(spec in spec(), pick in any::<Index>()) {
        let (rule, text) = break_it(&spec, pick);
        let linted = judge(&SourceText::new("t.json", text.clone()));
        let found = linted.findings.iter().any(|f| f.rule == rule);
        let others = linted.findings.iter().any(|f| f.rule != rule);
        prop_assert!(found && !others, "{rule}: {:?}\n{text}", shown(&linted.findings));
    }
}

fn errors(linted: &Linted) -> usize {
    linted.findings.iter().filter(|f| f.level == Level::Error).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Three faults at once, as in a bad day's template.
    #[test]
    fn fixes_settle_and_never_make_a_new_error(
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
                    let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        (FAULTS[pick - TEXT_FAULTS.len()].1)(&mut broken, &spec)
                    }));
                    // One fault may have taken away what the next one needs.
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
        // What could not be read at first may hide more.
        let readable = read_json(&text).1.is_empty();
        prop_assert!(!readable || errors(&fixed.linted) <= errors(&before), "{text}\n{}", fixed.source.text());
        for rule in fixed.linted.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.rule) {
            prop_assert!(before.findings.iter().any(|f| f.rule == rule), "{rule} is new: {text}\n{}", fixed.source.text());
        }
        // Nothing is left to do, and doing it again changes nothing.
        let again = fix(&fixed.source, &judge, &wanted);
        prop_assert_eq!(again.source.text(), fixed.source.text());
        prop_assert_eq!(again.made, 0);
        // Line ends stay what they were.
        if text.contains("\r\n") && text_fault.is_none() {
            prop_assert_eq!(fixed.source.text().matches('\n').count(), fixed.source.text().matches("\r\n").count());
        }
        // What was JSON stays JSON, and can be laid out.
        if readable {
            prop_assert!(read_json(fixed.source.text()).1.is_empty());
            prop_assert!(format_json(fixed.source.text()).is_ok());
        }
    }
}

/// Rules that no single fault of these templates can show; their examples are tested beside them.
const NOT_GENERATED: &[&str] = &[
    "bootloader-missing",
    "cmdline-grub",
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

#[test]
fn every_rule_is_generated_or_known_not_to_be() {
    let generated = |name: &str| {
        FAULTS
            .iter()
            .map(|(rule, _)| rule)
            .chain(TEXT_FAULTS.iter().map(|(rule, _)| rule))
            .any(|rule| *rule == name)
    };
    for rule in ister::lint::RULES {
        assert!(generated(rule.name) || NOT_GENERATED.contains(&rule.name), "{} is not generated", rule.name);
    }
}

/// One character lost or doubled, anywhere: the commonest slip. No safe fix may lose what a person wrote.
#[test]
fn a_slip_of_one_character_is_mended_or_left_alone() {
    // Without its allowance, which is removed where a slip makes it useless.
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
                    assert_eq!(again.source.text(), text, "it settles: {slip}");
                    if careless || text == slip {
                        continue;
                    }
                    // Letters and digits all stay, in their order.
                    let words = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
                    assert_eq!(words(text), words(&slip), "{slip}\n{text}");
                    // And where the slip was in the JSON itself, either it is fixed or it was not touched.
                    assert!(read_json(text).1.is_empty(), "half fixed: {slip}\n{text}");
                }
            }
        }
    }
}
