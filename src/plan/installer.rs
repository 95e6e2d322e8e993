//! An image that installs: it carries ister itself, templates, and their content, so that it needs no archive.

use super::model::{Installer, System};

/// Where an installer has its content cache.
pub const CACHE: &str = "/var/lib/ister/cache";
/// Where templates that it carries are.
pub const TEMPLATES: &str = "/usr/share/defaults/ister";

const UNIT: &str = "ister-installer.service";

/// Unattended where the kernel command line asks for it, and only there: nothing is erased by a machine that merely started
/// from the medium. Where it succeeds the machine switches itself off, as with ister.py.
const UNIT_TEXT: &str = "# Written by ister.
[Unit]
Description=Unattended installation
Documentation=man:ister-build(1)
ConditionKernelCommandLine=isterconf
After=network.target

[Service]
Type=oneshot
WorkingDirectory=/var/lib/ister
ExecStart=/usr/bin/ister.py --offline --statedir /var/lib/ister/cache --output /var/lib/ister/installed
ExecStartPost=/usr/bin/systemctl --no-block poweroff
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
";

/// Adds what makes the system an installer. `carried` are the file names of the templates, the first is the default.
pub(super) fn installer(carried: &[String], system: &mut System) {
    let Some(first) = carried.first() else { return };
    system.files.insert(format!("/etc/systemd/system/{UNIT}"), UNIT_TEXT.to_owned());
    system.links.insert(
        format!("/etc/systemd/system/multi-user.target.wants/{UNIT}"),
        format!("/etc/systemd/system/{UNIT}"),
    );
    system.files.insert(format!("{TEMPLATES}/ister.conf"), format!("template=file://{TEMPLATES}/{first}\n"));
    system.installer = Some(Installer { templates: carried.to_vec() });
}
