//! cloud-init user data of a machine's role, for the first boot.

use crate::content::Tree;
use crate::host::Failure;

/// The path that ister.py used.
const USER_DATA: &str = "/etc/cloud-init-user-data";
/// Unit of Clear Linux's implementation of cloud-init (micro-config-drive).
const UCD_UNIT: &str = "/usr/lib/systemd/system/ucd.service";
/// Directory that cloud-init reads without a network. Source: cloud-init, "NoCloud", "Source 1: Local filesystem".
const SEED: &str = "/var/lib/cloud/seed/nocloud";
const DATA_SOURCES: &str = "/etc/cloud/cloud.cfg.d/90-ister.cfg";

/// Writes the user data to the paths that the tree's cloud-init reads. `instance` is unique to this image.
pub fn set_user_data(
    tree: &Tree,
    data: &[u8],
    instance: &str,
    hostname: Option<&str>,
) -> Result<(), Failure> {
    let (ucd, cloud_init) = (tree.exists(UCD_UNIT), tree.exists("/usr/bin/cloud-init"));
    if !ucd && !cloud_init {
        return Err(Failure::new("no cloud-init in the package contents to apply the machine's role")
            .of_template()
            .detail(format!("searched for {UCD_UNIT} and /usr/bin/cloud-init"))
            .help("add the bundle `os-cloudguest` to `Bundles`, or remove IsterCloudInitSvc"));
    }
    // User data may contain passwords.
    tree.write_bytes(USER_DATA, data, 0o600)?;
    if ucd {
        let unit = tree.read(UCD_UNIT)?.unwrap_or_default();
        let changed = reads_the_file(&unit);
        if changed == unit && !unit.contains(USER_DATA) {
            return Err(Failure::new(format!("could not add the user data to {UCD_UNIT}"))
                .detail("its ExecStart does not contain `--metadata --user-data-once`")
                .help("report this together with the unit file; removing IsterCloudInitSvc lets the image build"));
        }
        tree.edit(UCD_UNIT, |_| changed)?;
    }
    if cloud_init {
        tree.write_bytes(&format!("{SEED}/user-data"), data, 0o600)?;
        let name = hostname.map(|name| format!("local-hostname: {name}\n")).unwrap_or_default();
        tree.write(&format!("{SEED}/meta-data"), &format!("instance-id: {instance}\n{name}"), 0o644)?;
        // cloud-init logs an error if locale-gen is missing.
        let locale = if tree.exists("/usr/sbin/locale-gen") { "" } else { "locale: false\n" };
        let text = format!(
            "# Written by ister: the user data is part of the image.\ndatasource_list: [ NoCloud, None ]\n{locale}"
        );
        tree.write(DATA_SOURCES, &text, 0o644)?;
    }
    Ok(())
}

/// Changes the unit in the same way as ister.py.
fn reads_the_file(unit: &str) -> String {
    let mut out = String::new();
    for line in unit.lines() {
        let asks = "--metadata --user-data-once";
        if line.starts_with("ExecStart") {
            out.push_str(&line.replace(asks, &format!("--user-data-file {USER_DATA}")));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_written_for_both_implementations() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        let set = |tree: &Tree| set_user_data(tree, b"#cloud-config\n", "iid-1", Some("node"));
        assert!(set(&tree).unwrap_err().message.starts_with("no cloud-init"));
        tree.write(UCD_UNIT, "[Service]\nExecStart=/usr/bin/ucd --metadata --user-data-once -x\n", 0o644)
            .unwrap();
        tree.write("/usr/bin/cloud-init", "", 0o755).unwrap();
        set(&tree).unwrap();
        assert_eq!(
            tree.read(UCD_UNIT).unwrap().unwrap(),
            "[Service]\nExecStart=/usr/bin/ucd --user-data-file /etc/cloud-init-user-data -x\n"
        );
        let seed = |name: &str| tree.read(&format!("{SEED}/{name}")).unwrap().unwrap();
        assert_eq!(seed("user-data"), "#cloud-config\n");
        assert_eq!(seed("meta-data"), "instance-id: iid-1\nlocal-hostname: node\n");
    }
}
