//! Clouds without the cloud: whether each one is used is tested with the image types. Here are the controls, which must
//! fail: a defect of the cloud, or one of the image.

use super::{Outcome, World, expect, ister};

/// A control: the image type, a hook that breaks the image, the cloud, further arguments, and the expected classes.
type Control = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const CONTROLS: &[Control] = &[
    ("gce", "", "gce", &["--cloud-fault", "no-name"], &["metadata-unused"]),
    ("gce", "", "gce", &["--cloud-fault", "wrong-smbios"], &["metadata-unused"]),
    ("gce", "", "gce", &["--cloud-fault", "no-route"], &["metadata-unused"]),
    ("gce", "", "gce", &["--cloud-fault", "missing-key"], &["no-ssh-key"]),
    ("gce", "touch /etc/cloud/cloud-init.disabled", "gce", &[], &["metadata-unused"]),
    ("gce", "rm -r /etc/systemd/system/cloud-init-local.service.d", "gce", &[], &["wrong-network"]),
    ("aws", "", "ec2", &["--cloud-fault", "wrong-smbios"], &["metadata-unused"]),
    // cloud-init loses all metadata if an entry that is listed cannot be read.
    (
        "aws",
        "",
        "ec2",
        &["--cloud-fault", "missing-key"],
        &["metadata-unused", "user-data-unused", "no-ssh-key"],
    ),
    ("aws", "", "ec2", &["--cloud-fault", "no-user-data"], &["metadata-unused", "user-data-unused"]),
    ("cloudguest", "", "nocloud", &["--cloud-fault", "no-user-data"], &["user-data-unused"]),
    ("cloudguest", "rm /usr/bin/sudo", "nocloud", &[], &["no-sudo"]),
    ("cloudguest", "systemctl mask systemd-resolved.service", "nocloud", &[], &["no-dns"]),
    ("cloudguest", "rm /usr/bin/growpart", "nocloud", &["--grow", "4G"], &["not-grown", "degraded"]),
    (
        "cloudguest",
        "echo 'preserve_hostname: true' >/etc/cloud/cloud.cfg.d/99-name.cfg",
        "nocloud",
        &[],
        &["wrong-host"],
    ),
];

/// Names of clouds: only these are tested.
const CHOICE: &str = "ISTER_TEST_CLOUDS";

pub fn controls(world: &World) -> Outcome {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    for (kind, hook, cloud, more, wanted) in CONTROLS {
        if !choice.is_empty() && !choice.split(',').any(|name| name == *cloud) {
            continue;
        }
        let out = world.path("clouds");
        let template = format!("vm-tests/{kind}/template.json");
        let mut build = vec!["build", &template, "-q", "--set", "Formats=[]"];
        let hooks = format!("PostChrootShell={}", serde_json::json!([hook]));
        if !hook.is_empty() {
            build.extend(["--set", &hooks]);
        }
        ister(&build, &[("-o", &out)], 0)?;
        let image = out.join(format!("{kind}.img"));
        let image = image.to_str().ok_or("the path is not text")?;
        let boot = [&["boot", image, "--format", "json", "--cloud", cloud][..], more].concat();
        let verdict = ister(&boot, &[], 1)?;
        let class = verdict["class"].as_str().unwrap_or_default();
        eprintln!("{kind} {hook} {more:?}: {class} after {} s", verdict["seconds"]);
        expect(wanted.contains(&class), &format!("{kind} {hook} {more:?}: {verdict:#}"))?;
    }
    std::fs::remove_dir_all(world.path("clouds")).map_err(|e| e.to_string().into())
}
