//! Errors to insert into a valid template, and the rule that must report each.

use super::*;

pub(super) const L: &str = "PartitionLayout";
pub(super) const F: &str = "FilesystemTypes";
pub(super) const M: &str = "PartitionMountPoints";

pub(super) fn mount_of<'t>(template: &'t mut Value, mount: &str) -> &'t mut Value {
    template[M].as_array_mut().unwrap().iter_mut().find(|m| m["mount"] == mount).unwrap()
}

pub(super) fn push(value: &mut Value, item: Value) {
    value.as_array_mut().unwrap().push(item);
}

/// Adds a user that is valid except for the given fields.
pub(super) fn add_user(template: &mut Value, fault: Value) {
    let mut user = json!({ "username": "eve", "password": "$6$salt$hash" });
    user.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    if template["Users"].is_null() {
        template["Users"] = json!([]);
    }
    push(&mut template["Users"], user);
}

pub(super) fn set_disk(template: &mut Value, name: &str) {
    for section in [L, F, M] {
        for entry in template[section].as_array_mut().unwrap() {
            entry["disk"] = json!(name);
        }
    }
}

/// A rule, and a change that makes a valid template violate it. The change returns `false` if it does not apply to
/// the template.
pub(super) type Fault = (&'static str, fn(&mut Value, &Spec) -> bool);

/// Sets one key.
macro_rules! set {
    ($rule:literal, $key:literal = $($value:tt)+) => {
        ($rule, |t: &mut Value, _: &Spec| {
            t[$key] = json!($($value)+);
            true
        })
    };
}

pub(super) const FAULTS: &[Fault] = &[
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
        // apt has no separate version URL.
        !s.apt
    }),
    set!("url-plain-http", "IsterCloudInitSvc" = "http://example.org/"),
    set!("hook-missing", "PostNonChroot" = ["/srv/missing"]),
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
    ("static-ip-interface-unlikely", |t, s| {
        t["Static_IP"] = json!({ "iface": "eno1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" });
        !s.physical
    }),
    ("static-ip-manager", |t, s| {
        t["Static_IP"] = json!({ "address": "192.0.2.10/24", "gateway": "192.0.2.1" });
        push(&mut t["Bundles"], json!("network-manager"));
        s.apt
    }),
    set!("login-impossible", "Users" = [{ "username": "ada" }]),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove("Version").is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove(L).is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove(F).is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove(M).is_some()),
    ("missing-key", |t, _| t.as_object_mut().unwrap().shift_remove("Bundles").is_some()),
    ("missing-key", |t, s| {
        let key = ["disk", "partition", "size", "type"][s.data.len()];
        // Without a disk, the entry refers to no partition, and other entries lose theirs.
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
        push(&mut t["Bundles"], json!("sysadmin-basics"));
        s.apt
    }),
    ("package-name", |t, s| {
        push(&mut t["Bundles"], json!("left-pad-"));
        s.apt
    }),
    ("os-core-missing", |t, s| {
        t["Bundles"].as_array_mut().unwrap().pop();
        (t["SoftwareManager"], t["Version"]) = (json!("dnf"), json!(41));
        s.root() < 99
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

/// Errors in the text, which cannot be expressed as values.
pub(super) type TextFault = (&'static str, fn(&str) -> String);

pub(super) const TEXT_FAULTS: &[TextFault] = &[
    ("syntax", |text| text.trim_end_matches('}').trim_end().to_owned() + ",}"),
    ("syntax", |text| text.replacen(':', "", 1)),
    ("syntax", |text| text.replacen('{', "{ // note\n", 1)),
    ("syntax", |text| format!("\u{feff}{text}")),
    ("syntax", |text| text.replacen("\"quiet console=ttyS0,115200n8\"", "'quiet console=ttyS0,115200n8'", 1)),
    ("syntax", |text| text.replacen("\"Hostname\"", "Hostname", 1)),
    ("duplicate-key", |text| text.replacen('{', "{\"Hostname\": \"twice\",", 1)),
];
