//! The user data of a machine's role, for the first boot.

use crate::content::Tree;
use crate::host::Failure;

/// Where ister.py put it.
const USER_DATA: &str = "/etc/cloud-init-user-data";
/// Clear's own implementation of cloud-init (micro-config-drive).
const UCD_UNIT: &str = "/usr/lib/systemd/system/ucd.service";
/// Where cloud-init looks without a network. Source: cloud-init, "NoCloud", "Source 1: Local filesystem".
const SEED: &str = "/var/lib/cloud/seed/nocloud";
const DATA_SOURCES: &str = "/etc/cloud/cloud.cfg.d/90-ister.cfg";

/// Writes the user data where the tree's cloud-init finds it. `instance` is unique to this image.
pub fn set_user_data(
    tree: &Tree,
    data: &[u8],
    instance: &str,
    hostname: Option<&str>,
) -> Result<(), Failure> {
    let (ucd, cloud_init) = (tree.exists(UCD_UNIT), tree.exists("/usr/bin/cloud-init"));
    if !ucd && !cloud_init {
        return Err(Failure::new(
            "the machine has a role, but the content has no cloud-init that could fulfil it",
        )
        .of_template()
        .detail(format!("looked for {UCD_UNIT} and /usr/bin/cloud-init"))
        .help("add the bundle `os-cloudguest` to `Bundles`, or leave IsterCloudInitSvc out"));
    }
    // Passwords may be in it.
    tree.write_bytes(USER_DATA, data, 0o600)?;
    if ucd {
        let unit = tree.read(UCD_UNIT)?.unwrap_or_default();
        let changed = reads_the_file(&unit);
        if changed == unit && !unit.contains(USER_DATA) {
            return Err(Failure::new(format!("{UCD_UNIT} does not ask for user data as it is known to"))
                .detail("looked for `--metadata --user-data-once` in its ExecStart")
                .help("report this with the unit's text; without a role the image can be built"));
        }
        tree.edit(UCD_UNIT, |_| changed)?;
    }
    if cloud_init {
        tree.write_bytes(&format!("{SEED}/user-data"), data, 0o600)?;
        let name = hostname.map(|name| format!("local-hostname: {name}\n")).unwrap_or_default();
        tree.write(&format!("{SEED}/meta-data"), &format!("instance-id: {instance}\n{name}"), 0o644)?;
        // Without the program it would only complain.
        let locale = if tree.exists("/usr/sbin/locale-gen") { "" } else { "locale: false\n" };
        let text = format!(
            "# Written by ister: the role's data came with the installation.\ndatasource_list: [ NoCloud, None ]\n{locale}"
        );
        tree.write(DATA_SOURCES, &text, 0o644)?;
    }
    Ok(())
}

/// The unit as ister.py changed it.
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
    fn both_kinds_of_cloud_init_find_it() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        let set = |tree: &Tree| set_user_data(tree, b"#cloud-config\n", "iid-1", Some("node"));
        assert!(set(&tree).unwrap_err().message.contains("no cloud-init"));
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
